"""The auth key exchange (core.telegram.org/mtproto/auth_key), on the server's side."""

from __future__ import annotations

import os
import secrets
import time
from hashlib import sha1
from typing import Any

import rsa
from telethon import helpers
from telethon.crypto import AES, AuthKey
from telethon.crypto.rsa import _compute_fingerprint
from telethon.extensions import BinaryReader
from telethon.tl import functions, types

from tests.telegram_server.keys import GENERATOR, PRIME

# The documentation's example. Telethon factorizes smaller ones sooner, but the smaller the more often wrongly.
PQ = (1229739323, 1402015859)
_SIZE = 256


class Refused(ConnectionError):
    """The client broke the exchange's rules; the connection is closed."""


class Handshake:
    """One exchange. `answer` takes its three requests in turn; after the third `made` holds the key and its salt."""

    def __init__(self, key: rsa.PrivateKey) -> None:
        self.made: tuple[AuthKey, int] | None = None
        self._key = key
        self._fingerprint = _compute_fingerprint(key)
        self._nonce = 0
        self._server_nonce = 0
        self._new_nonce = 0
        self._secret = 0

    def answer(self, request: Any) -> Any:
        """The answer to REQUEST. Raises Refused."""
        if isinstance(request, functions.ReqPqMultiRequest | functions.ReqPqRequest):
            return self._offer(request)
        if request.nonce != self._nonce or request.server_nonce != self._server_nonce:
            raise Refused("nonces don't match")
        if isinstance(request, functions.ReqDHParamsRequest):
            return self._params(request)
        if isinstance(request, functions.SetClientDHParamsRequest):
            return self._finish(request)
        raise Refused(f"no part of a key exchange: {type(request).__name__}")

    def _offer(self, request: Any) -> Any:
        self._nonce = request.nonce
        self._server_nonce = int.from_bytes(os.urandom(16), "little", signed=True)
        product = (PQ[0] * PQ[1]).to_bytes(8, "big").lstrip(b"\0")
        return types.ResPQ(self._nonce, self._server_nonce, product, [self._fingerprint])

    def _params(self, request: Any) -> Any:
        if request.public_key_fingerprint != self._fingerprint:
            raise Refused("an unknown RSA key")
        number = pow(int.from_bytes(request.encrypted_data, "big"), self._key.d, self._key.n)
        plain = number.to_bytes(_SIZE, "big")[1:]
        inner = BinaryReader(plain[20:]).tgread_object()
        if sha1(bytes(inner)).digest() != plain[:20] or inner.nonce != self._nonce:
            raise Refused("what was encrypted for us is damaged")
        if sorted(int.from_bytes(factor, "big") for factor in (inner.p, inner.q)) != list(PQ):
            raise Refused("wrong factors")
        self._new_nonce = inner.new_nonce
        self._secret = int.from_bytes(secrets.token_bytes(_SIZE), "big")
        answer = bytes(
            types.ServerDHInnerData(
                nonce=self._nonce,
                server_nonce=self._server_nonce,
                g=GENERATOR,
                dh_prime=PRIME.to_bytes(_SIZE, "big"),
                g_a=pow(GENERATOR, self._secret, PRIME).to_bytes(_SIZE, "big"),
                server_time=int(time.time()),
            )
        )
        plain = sha1(answer).digest() + answer
        return types.ServerDHParamsOk(
            self._nonce, self._server_nonce, AES.encrypt_ige(plain + bytes(-len(plain) % 16), *self._temporary())
        )

    def _temporary(self) -> tuple[bytes, bytes]:
        key, iv = helpers.generate_key_data_from_nonce(self._server_nonce, self._new_nonce)
        return key, iv

    def _finish(self, request: Any) -> Any:
        plain = AES.decrypt_ige(request.encrypted_data, *self._temporary())
        inner = BinaryReader(plain[20:]).tgread_object()
        if sha1(bytes(inner)).digest() != plain[:20]:
            raise Refused("the client's half of the key is damaged")
        half = int.from_bytes(inner.g_b, "big")
        key = AuthKey(pow(half, self._secret, PRIME).to_bytes(_SIZE, "big"))
        salt = self._first_eight(self._new_nonce, 32) ^ self._first_eight(self._server_nonce, 16)
        self.made = key, int.from_bytes(salt.to_bytes(8, "little"), "little", signed=True)
        return types.DhGenOk(self._nonce, self._server_nonce, key.calc_new_nonce_hash(self._new_nonce, 1))

    @staticmethod
    def _first_eight(number: int, size: int) -> int:
        return int.from_bytes(number.to_bytes(size, "little", signed=True)[:8], "little")
