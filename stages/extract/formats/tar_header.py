"""tar's header blocks: their fields, their checksum, and the pax records that amend them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from stages.extract import reasons
from stages.extract.protocol import Refused

BLOCK = 512
_OCTAL = re.compile(rb"^[ \0]*([0-7]*)[ \0]*")
_TYPES = frozenset(b"\x0001234567LKxXgSVNAEIDM")
_GNU, _USTAR = b"ustar  \0", b"ustar\0"


@dataclass(slots=True)
class Sparse:
    """A file with holes: data EXTENTS as (offset, length) in a file of SIZE bytes; `in_data` where the map comes
    first in the member's own bytes (pax 1.0)."""

    size: int = 0
    extents: list[tuple[int, int]] = field(default_factory=list)
    in_data: bool = False


@dataclass(slots=True)
class Pax:
    """What extended headers say of the next member."""

    name: bytes = b""
    size: int | None = None
    sparse: Sparse | None = None

    def copy(self) -> Pax:
        """One to amend; the global one stays as it is."""
        return replace(self)


@dataclass(frozen=True, slots=True)
class Header:
    """A member's header. `size` is what follows it in the archive; `sparse_map` the raw map of an old GNU sparse file
    and `more_map` whether it goes on in further blocks."""

    name: bytes
    size: int
    type: bytes
    sparse_map: bytes = b""
    more_map: bool = False
    real_size: int = 0


def number(raw: bytes) -> int | None:
    """An octal or, as GNU writes large ones, a binary number; None where it's neither."""
    if raw[:1] in (b"\x80", b"\xff"):
        value = int.from_bytes(raw[1:], "big")
        return value if raw[0] == 0x80 else value - (1 << 8 * (len(raw) - 1))
    match = _OCTAL.match(raw)
    if match is None or (match.end() < len(raw) and raw[match.end() - 1 : match.end()] not in (b" ", b"\0")):
        return None
    return int(match[1] or b"0", 8)


def checksum_fits(block: bytes) -> bool:
    """Whether BLOCK sums to what it says, with unsigned bytes or, as some old programs did, signed ones."""
    claimed = number(block[148:156])
    if claimed is None:
        return False
    total = sum(block) - sum(block[148:156]) + 256
    if total == claimed:
        return True
    high = sum(byte >> 7 for byte in block[:148]) + sum(byte >> 7 for byte in block[156:])
    return total - 256 * high == claimed


def parse_header(block: bytes) -> Header | None:
    """BLOCK as a header, None where it isn't one."""
    size = number(block[124:136])
    if size is None or size < 0 or not checksum_fits(block):
        return None
    name = block[:100].split(b"\0", 1)[0]
    magic = block[257:265]
    if magic[:6] == _USTAR and (prefix := block[345:500].split(b"\0", 1)[0]):
        name = prefix + b"/" + name
    kind = block[156:157]
    if kind != b"S":
        return Header(name, size, kind)
    return Header(name, size, kind, block[386:482], bool(block[482]), number(block[483:495]) or 0)


def plausible(head: bytes) -> bool:
    """Whether a tar starts with HEAD."""
    if len(head) < BLOCK or head[156] not in _TYPES:
        return False
    known = head[257:262] == b"ustar"
    if not head[0] and not known:
        return False
    return (
        (known or head[156] in b"\x000125LKSgx") and number(head[124:136]) is not None and checksum_fits(head[:BLOCK])
    )


def parse_pax(data: bytes, pax: Pax) -> None:
    """Takes the records in DATA (`length key=value`) up into PAX. Raises Refused where they don't add up."""
    at, offset = 0, None
    while at < len(data) and data[at]:
        length, _, _ = data[at : at + 20].partition(b" ")
        end = at + int(length) if length.isdigit() else 0
        record = data[at + len(length) + 1 : end - 1]
        key, found, value = record.partition(b"=")
        if end <= at + len(length) or end > len(data) or not found:
            raise Refused(reasons.corrupt("an extended header in it doesn't add up"))
        at = end
        if key == b"path":
            pax.name = value
        elif key == b"size":
            pax.size = _decimal(value)
        elif key.startswith(b"GNU.sparse."):
            offset = _sparse_record(key[11:], value, pax, offset)


def _sparse_record(key: bytes, value: bytes, pax: Pax, offset: int | None) -> int | None:
    """One record on a sparse file, in any of pax's three ways; returns an extent's OFFSET that awaits its length."""
    sparse = pax.sparse = pax.sparse or Sparse()
    if key == b"name":
        pax.name = value
    elif key in (b"size", b"realsize"):
        sparse.size = _decimal(value)
    elif key == b"major":
        sparse.in_data = value == b"1"
    elif key == b"map":
        numbers = [_decimal(part) for part in value.split(b",")]
        sparse.extents = list(zip(numbers[::2], numbers[1::2], strict=False))
    elif key == b"offset":
        return _decimal(value)
    elif key == b"numbytes" and offset is not None:
        sparse.extents.append((offset, _decimal(value)))
    return None


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 100:
        raise Refused(reasons.corrupt("an extended header in it doesn't add up"))
    return int(value)
