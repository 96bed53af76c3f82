"""The server's RSA key, and the numbers of the key exchange and of password checks."""

from __future__ import annotations

import functools
import math
import secrets

import rsa

# The safe prime that Telegram's servers use; clients know it, and needn't test it.
PRIME = int(
    "C71CAEB9C6B1C9048E6C522F70F13F73980D40238E3E21C14934D037563D930F48198A0AA7C14058229493D22530F4DBFA336F6E0AC925139543"
    "AED44CCE7C3720FD51F69458705AC68CD4FE6B6B13ABDC9746512969328454F18FAF8C595F642477FE96BB2A941D5BCD1D4AC8CC49880708FA9B"
    "378E3C4F3A9060BEE67CF9A4A4A695811051907E162753B56B0F6B410DBA74D8A84B2A14B3144E0EF1284754FD17ED950D5965B4B9DD46582DB1"
    "178D169C6BC465B0D6FF9CA3928FEF5B9AE4E418FC15E83EBEA0F87FA9FF5EED70050DED2849F47BF959D956850CE929851F0D8115F635B105EE"
    "2E4E15D04B2454BF6F4FADF034B10403119CD8E3B92FCC5B",
    16,
)
GENERATOR = 3
_SMALL_PRIMES = [n for n in range(3, 4000, 2) if all(n % d for d in range(3, math.isqrt(n) + 1, 2))]


@functools.cache
def server_key() -> rsa.PrivateKey:
    """A new RSA key of 2048 bits, the same for all servers of this process (half a second the first time)."""
    while True:
        p, q = _prime(1024), _prime(1024)
        if p != q and math.gcd((p - 1) * (q - 1), 65537) == 1:
            return rsa.PrivateKey(p * q, 65537, pow(65537, -1, (p - 1) * (q - 1)), p, q)


def public_pem(key: rsa.PrivateKey) -> str:
    """The key that a client must be told, PKCS#1 in PEM."""
    pem: bytes = rsa.PublicKey(key.n, key.e).save_pkcs1()
    return pem.decode()


def _prime(bits: int) -> int:
    while True:
        start = secrets.randbits(bits) | (3 << (bits - 2)) | 1
        for candidate in range(start, start + 4096, 2):
            if all(candidate % small for small in _SMALL_PRIMES) and all(
                pow(base, candidate - 1, candidate) == 1 for base in (2, 3, 5, 7)
            ):
                return candidate
