"""cpio: the portable ASCII kinds (newc, crc, odc) and the old binary one, read as a stream."""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from stages.extract import names, reasons
from stages.extract.blobs import BlobSource, MemoryBlob
from stages.extract.formats.tar import Body, Cursor
from stages.extract.protocol import Entry, Kind, Opening, Reader, Refused, Source

MAX_NAME = 1 << 16
TRAILER = b"TRAILER!!!"
_BINARY = {b"\xc7\x71": "<", b"\x71\xc7": ">"}
_HEADER_BYTES = {b"070701": 110, b"070702": 110, b"070707": 76}


@dataclass(frozen=True, slots=True)
class Header:
    """An entry's header: LENGTH is its own, `align` what name and data are padded to."""

    mode: int
    links: int
    size: int
    name_size: int
    align: int
    length: int


@dataclass(slots=True)
class CpioReader:
    """An open cpio."""

    source: Source
    random: bool = False
    counted: bool = False

    def close(self) -> None:
        """Nothing is held."""

    def entries(self, start: int) -> Iterator[Entry]:
        """The entries from START on. Raises Refused where a header doesn't make sense or the archive ends early."""
        cursor = Cursor(self.source)
        index = 0
        while (header := _header(cursor)) is not None:
            raw = cursor.take(header.name_size)
            cursor.skip(-(header.length + header.name_size) % header.align)
            name = raw.rstrip(b"\0")
            if name == TRAILER:
                return
            end = cursor.offset + header.size
            if index >= start:
                yield _entry(index, name, header, cursor)
            cursor.skip(end - cursor.offset + -header.size % header.align)
            index += 1
        raise Refused(reasons.truncated("the mark at its end is missing"))


def _entry(index: int, raw: bytes, header: Header, cursor: Cursor) -> Entry:
    name, notes = names.decode(raw)
    kind = stat.S_IFMT(header.mode)
    if kind == stat.S_IFDIR:
        return Entry(index, name, kind=Kind.FOLDER)
    if kind not in (stat.S_IFREG, 0):
        what = "a symbolic link" if kind == stat.S_IFLNK else "a device or pipe"
        return Entry(index, name, kind=Kind.SPECIAL, reason=reasons.unsafe(what), notes=notes)
    if header.links > 1 and not header.size:  # the bytes come with the last of several links
        return Entry(index, name, kind=Kind.SPECIAL, reason=reasons.unsafe("a hard link"), notes=notes)
    return Entry(index, name, lambda: Body(cursor.some, header.size), size=header.size, notes=notes)


def _header(cursor: Cursor) -> Header | None:
    """The next header, None at the archive's end."""
    magic = cursor.take(6)
    if not magic:
        return None
    try:
        if (order := _BINARY.get(magic[:2])) is not None:
            return _binary(magic + cursor.take(20), order)
        if (length := _HEADER_BYTES.get(magic)) is not None:
            return _ascii(magic, cursor.take(length - 6), length)
    except (ValueError, struct.error) as error:
        raise Refused(reasons.truncated("a header in it breaks off or isn't one")) from error
    raise Refused(reasons.corrupt("a header in it isn't one"))


def _ascii(magic: bytes, rest: bytes, length: int) -> Header:
    if len(rest) < length - 6:
        raise ValueError
    if magic == b"070707":
        fields = [int(rest[at : at + 6], 8) for at in range(0, 42, 6)]
        return _checked(Header(fields[2], fields[5], int(rest[59:70], 8), int(rest[53:59], 8), 1, length))
    numbers = [int(rest[at : at + 8], 16) for at in range(0, 104, 8)]
    return _checked(Header(numbers[1], numbers[4], numbers[6], numbers[11], 4, length))


def _binary(raw: bytes, order: str) -> Header:
    fields = struct.unpack(order + "13H", raw)
    return _checked(Header(fields[3], fields[6], fields[11] << 16 | fields[12], fields[10], 2, 26))


def _checked(header: Header) -> Header:
    if not 0 < header.name_size <= MAX_NAME or header.size < 0:
        raise ValueError
    return header


@dataclass(frozen=True, slots=True)
class Cpio:
    """The family."""

    title: str = "cpio"
    seeks: bool = False

    def matches(self, head: bytes) -> bool:
        """By a first header that makes sense, name and all."""
        if head[:6] not in _HEADER_BYTES and head[:2] not in _BINARY:
            return False
        try:
            header = _header(Cursor(BlobSource(MemoryBlob(head))))
        except Refused:
            return False
        if header is None or stat.S_IFMT(header.mode) not in _TYPES:
            return False
        name = head[header.length : header.length + header.name_size]
        return name.endswith(b"\0") and b"\0" not in name[:-1].rstrip(b"\0")

    def open(self, opening: Opening) -> Reader:
        """A reader over the stream."""
        return CpioReader(opening.source)


_TYPES = {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, 0}


FORMAT = Cpio()
