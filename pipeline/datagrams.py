"""How messages between processes are packed: a datagram is a msgpack array of them, at most 64 KiB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

MAX_DATAGRAM_BYTES: Final = 64 * 1024

_encoder = msgspec.msgpack.Encoder()


def datagrams(messages: Iterable[Any]) -> Iterator[bytes]:
    """MESSAGES packed, in order, into as few datagrams as their size allows.

    Raises ValueError for one message that is over MAX_DATAGRAM_BYTES by itself.
    """
    pending = list(messages)
    data = _encoder.encode(pending)
    if len(data) <= MAX_DATAGRAM_BYTES:
        yield data
    elif len(pending) == 1:
        raise ValueError(f"a message of {len(data)} bytes doesn't fit a datagram: {type(pending[0]).__name__}")
    else:
        half = len(pending) // 2
        yield from datagrams(pending[:half])
        yield from datagrams(pending[half:])
