"""A zip's table of contents: found from its end, read in slices, and checked before anything is unpacked."""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from stages.extract import reasons
from stages.extract.protocol import CHUNK, Blob, Refused

END = struct.Struct("<4s4H2LH")
END64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR64 = struct.Struct("<4sLQL")
RECORD = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
ENCRYPTED, DESCRIPTOR, UTF8 = 1, 8, 0x800  # bits of an entry's flags
_MAX_COMMENT = 0xFFFF
_FULL = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the table of contents lies. `shift` is what must be added to its offsets, where something was put before
    the zip (a program that unpacks it). `count` is what the archive claims."""

    offset: int
    size: int
    count: int
    shift: int
    volumes: bool = False


@dataclass(slots=True)
class Record:
    """One entry as the table of contents has it. `offset` is that of its local header in the blob."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    system: int
    attributes: int
    extra: bytes


def find(blob: Blob) -> Directory | None:
    """The table of contents, None where there is none that can be believed."""
    start = max(0, blob.size - END.size - _MAX_COMMENT)
    tail = blob.pread(blob.size - start, start)
    at = len(tail)
    while (at := tail.rfind(b"PK\5\6", 0, at)) >= 0:
        if len(tail) - at >= END.size and (found := _end_at(blob, tail, at, start)):
            return found
    return None


def _end_at(blob: Blob, tail: bytes, at: int, start: int) -> Directory | None:
    _, disk, first_disk, _, count, size, offset, _ = END.unpack_from(tail, at)
    end = start + at
    locator = blob.pread(LOCATOR64.size, max(0, end - LOCATOR64.size))
    if len(locator) == LOCATOR64.size and locator[:4] == b"PK\6\7":
        found = _end64(blob, end, LOCATOR64.unpack(locator)[2])
        if found:
            end, count, size, offset, disk, first_disk = found
    begins = end - size
    if begins < 0:
        return None
    shift = begins - offset
    if count and not _starts_record(blob, begins):
        if not _starts_record(blob, offset):
            return None
        begins, shift, size = offset, 0, end - offset  # its size is wrong, or a signature lies behind it
    if shift < 0 and not (disk or first_disk):
        return None
    if shift > 0 and blob.pread(4, 0) == b"PK\3\4":
        return None  # the table of a zip stored within this one, whose own table is lost
    return Directory(begins, size, count, shift, volumes=bool(disk or first_disk))


def _end64(blob: Blob, end: int, claimed: int) -> tuple[int, int, int, int, int, int] | None:
    for offset in (end - LOCATOR64.size - END64.size, claimed):
        raw = blob.pread(END64.size, offset) if offset >= 0 else b""
        if len(raw) == END64.size and raw[:4] == b"PK\6\6":
            _, _, _, _, disk, first_disk, _, count, size, start = END64.unpack(raw)
            return offset, count, size, start, disk, first_disk
    return None


def _starts_record(blob: Blob, offset: int) -> bool:
    return blob.pread(4, offset) == b"PK\1\2"


def records(blob: Blob, directory: Directory, start: int = 0) -> Iterator[Record]:
    """The entries from number START on. Raises Refused where the table breaks off."""
    data, at, left = b"", 0, directory.size
    position, index = directory.offset, 0
    while True:
        if len(data) - at < RECORD.size + 3 * _MAX_COMMENT and left:
            more = blob.pread(min(CHUNK, left), position)
            left = left - len(more) if more else 0
            position += len(more)
            data, at = data[at:] + more, 0
        if data[at : at + 4] != b"PK\1\2":
            break
        if len(data) - at < RECORD.size:
            raise Refused(reasons.truncated("its table of contents breaks off"))
        fields = RECORD.unpack_from(data, at)
        end = at + RECORD.size + fields[10] + fields[11] + fields[12]
        if end > len(data):
            raise Refused(reasons.truncated("its table of contents breaks off"))
        if index >= start:
            yield _record(fields, data[at + RECORD.size : end], directory.shift)
        index += 1
        at = end
    if index < directory.count and index % 0x10000 != directory.count % 0x10000:
        raise Refused(reasons.corrupt(f"its table of contents lists {index:,} of {directory.count:,} entries"))


def _record(fields: tuple[int, ...], rest: bytes, shift: int) -> Record:
    _, made_by, _, flags, method, _, _, crc, packed, size, name_length, extra_length, _, _, _, attributes, offset = (
        fields
    )
    extra = rest[name_length : name_length + extra_length]
    if _FULL in (packed, size, offset):
        packed, size, offset = _wide(extra, packed, size, offset)
    return Record(rest[:name_length], flags, method, crc, packed, size, offset + shift, made_by >> 8, attributes, extra)


def _wide(extra: bytes, packed: int, size: int, offset: int) -> tuple[int, int, int]:
    """The sizes that need 64 bits, which lie in an extra field in this order: size, packed, offset."""
    field = extra_field(extra, 1)
    values = [int.from_bytes(field[i : i + 8], "little") for i in range(0, len(field) - 7, 8)]
    size = values.pop(0) if size == _FULL and values else size
    packed = values.pop(0) if packed == _FULL and values else packed
    offset = values.pop(0) if offset == _FULL and values else offset
    return packed, size, offset


def extra_field(extra: bytes, wanted: int) -> bytes:
    """The content of the extra field WANTED, empty where there is none."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == wanted:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def unicode_name(record: Record) -> str | None:
    """The name in the Unicode extra field, where it belongs to this very name."""
    field = extra_field(record.extra, 0x7075)
    if len(field) < 6 or field[0] != 1 or int.from_bytes(field[1:5], "little") != zlib.crc32(record.name):
        return None
    try:
        return field[5:].decode("utf-8")
    except UnicodeDecodeError:
        return None


class Extents:
    """Where the packed entries lie, gathered one by one to see that none shares bytes with another."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._ends = array("Q")
        self._in_order = True
        self._packed = 0

    def add(self, record: Record) -> None:
        """Notes where RECORD lies; one without packed bytes shares none."""
        start, end = record.offset, record.offset + LOCAL.size + len(record.name) + record.packed
        if not record.packed or not 0 <= start < end < 1 << 63:
            return
        self._packed += record.packed
        self._in_order = self._in_order and (not self._ends or start >= self._ends[-1])
        self._starts.append(start)
        self._ends.append(end)

    def check(self, size: int) -> None:
        """Raises Refused where entries share bytes, or claim more of them together than the SIZE of the file."""
        if self._packed > size:
            raise Refused(reasons.overlap(f"{self._packed:,} packed bytes in a file of {size:,}"))
        if self._in_order:
            return
        reached = 0
        for i in sorted(range(len(self._starts)), key=self._starts.__getitem__):
            if self._starts[i] < reached:
                raise Refused(reasons.overlap(f"at byte {self._starts[i]:,}"))
            reached = self._ends[i]
