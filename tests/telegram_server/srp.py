"""Two-step verification: the server's half of SRP (core.telegram.org/api/srp). The password itself isn't kept."""

from __future__ import annotations

import hmac
import os
import secrets
from typing import Any

from telethon import password as client_side
from telethon.tl import types

from tests.telegram_server.keys import GENERATOR, PRIME

_SIZE = 256


def _big(number: int) -> bytes:
    return number.to_bytes(_SIZE, "big")


def _algorithm(salt1: bytes, salt2: bytes) -> Any:
    return types.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow(salt1, salt2, GENERATOR, _big(PRIME))


def new_algorithm() -> Any:
    """What a client should use for a new password."""
    return _algorithm(os.urandom(8), os.urandom(16))


class Verifier:
    """Checks one account's password."""

    def __init__(self, password: str, hint: str = "") -> None:
        self.hint = hint
        self.algorithm = _algorithm(os.urandom(40), os.urandom(16))
        self._v = int.from_bytes(client_side.compute_digest(self.algorithm, password), "big")
        self._k = self._hash(_big(PRIME), _big(GENERATOR))
        self._offers: dict[int, tuple[int, int]] = {}

    @staticmethod
    def _hash(*parts: bytes) -> int:
        return int.from_bytes(client_side.sha256(*parts), "big")

    def offer(self) -> tuple[int, bytes]:
        """An srp_id and srp_B; good for one check."""
        while True:
            secret = int.from_bytes(secrets.token_bytes(_SIZE), "big")
            public = (self._k * self._v + pow(GENERATOR, secret, PRIME)) % PRIME
            if public.bit_length() > 1984 and client_side.is_good_mod_exp_first(
                (public - self._k * self._v) % PRIME, PRIME
            ):
                break
        number = secrets.randbits(63)
        self._offers[number] = secret, public
        return number, _big(public)

    def knows(self, srp_id: int) -> bool:
        """Whether SRP_ID was offered and not used yet."""
        return srp_id in self._offers

    def check(self, srp_id: int, a: bytes, m1: bytes) -> bool:
        """Whether the client behind this check knows the password."""
        secret, public = self._offers.pop(srp_id)
        client = int.from_bytes(a, "big")
        if not client_side.is_good_mod_exp_first(client, PRIME):
            return False
        u = self._hash(_big(client), _big(public))
        shared = pow(client * pow(self._v, u, PRIME), secret, PRIME)
        expected = client_side.sha256(
            client_side.xor(client_side.sha256(_big(PRIME)), client_side.sha256(_big(GENERATOR))),
            client_side.sha256(self.algorithm.salt1),
            client_side.sha256(self.algorithm.salt2),
            _big(client),
            _big(public),
            client_side.sha256(_big(shared)),
        )
        return hmac.compare_digest(expected, m1)
