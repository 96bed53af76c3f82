"""The lists that stages hand to each other: which files a batch holds, and what became of them.

A short list travels inside the payload; a long one is a file in work/ that the payload names, since a message
between processes holds 64 KiB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pipeline.model import Column, Reason

INLINE_BYTES = 2048  # a list up to this size travels in the payload itself


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a member's bytes lie: LENGTH bytes at OFFSET of FILE.

    A relative FILE is a name in work/; an absolute one is the upload itself, which is never moved, linked or changed.
    """

    file: str
    offset: int
    length: int


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file of a batch.

    `number` is its depth-first position in the job, stable over restarts. `path` is its readable name
    (`outer.zip!/a.csv`), never used as a path on disk. A member with a `reason` was rejected and has no `place`.
    """

    number: int
    path: str
    size: int = 0
    sha256: str = ""
    place: Place | None = None
    reason: Reason | None = None
    notes: tuple[str, ...] = ()  # e.g. "name decoded as cp866 (guess)"


class TablePart(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file that convert wrote, with its account: read = rows + rejected.

    `file` and `rejects_file` are names in work/ (a path below a named folder is fine). `title` tells several tables
    of one member apart (a sheet's name); `facts` is what was decided about the source (dialect, encoding, header),
    with the evidence, as plain JSON values.
    """

    source: str
    title: str = ""
    file: str
    rows: int
    read: int
    rejected: int
    repaired: int = 0
    rejects_file: str = ""
    columns: tuple[Column, ...]
    facts: dict[str, Any] = {}


class MemberResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a member: `outcome` is `converted`, `kept` (with its `place`) or `rejected` (with its `reason`)."""

    number: int
    path: str
    outcome: str
    size: int = 0
    sha256: str = ""
    place: Place | None = None
    reason: Reason | None = None
    notes: tuple[str, ...] = ()


class FileList(msgspec.Struct, frozen=True, kw_only=True):
    """Extract to convert: the members of one batch, good and rejected."""

    members: tuple[Member, ...]


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Convert to store: what became of the batch's members, and the tables they gave."""

    members: tuple[MemberResult, ...]
    tables: tuple[TablePart, ...] = ()


T = TypeVar("T", FileList, Results)

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in (FileList, Results)
}


def pack(value: FileList | Results, work: Path, name: str) -> tuple[bytes, tuple[str, ...]]:
    """VALUE as a payload, and the names in work/ that it needs: NAME where the list had to become a file."""
    data = _encoder.encode(value)
    if len(data) <= INLINE_BYTES:
        return b"\x00" + data, ()
    (work / name).write_bytes(data)
    return b"\x01" + name.encode(), (name,)


def unpack(payload: bytes, kind: type[T], work: Path) -> T:
    """The list behind PAYLOAD, as `pack` made it. An empty payload is an empty list."""
    if not payload:
        return kind(members=())
    data = payload[1:] if payload[0] == 0 else (work / payload[1:].decode()).read_bytes()
    found: T = _decoders[kind].decode(data)
    return found
