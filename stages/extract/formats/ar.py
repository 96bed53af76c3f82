"""ar, as used for .deb packages and static libraries: GNU and BSD names, read as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stages.extract import names, reasons
from stages.extract.formats.tar import Body, Cursor
from stages.extract.protocol import Entry, Kind, Opening, Reader, Refused, Source

MARK = b"!<arch>\n"
HEADER = 60
MAX_NAMES = 1 << 20  # the table of long names, and a BSD name, are no larger than this
_TABLES = (b"/", b"/SYM64/", b"__.SYMDEF", b"__.SYMDEF SORTED", b"__.SYMDEF_64")


@dataclass(slots=True)
class ArReader:
    """An open ar."""

    source: Source
    random: bool = False
    counted: bool = False

    def close(self) -> None:
        """Nothing is held."""

    def entries(self, start: int) -> Iterator[Entry]:
        """The entries from START on; tables of symbols and of names aren't files. Raises Refused where a header isn't
        one or the archive ends early."""
        cursor = Cursor(self.source)
        cursor.skip(len(MARK))
        long_names = b""
        index = 0
        while raw := cursor.take(HEADER):
            if not raw.strip(b"\n\0"):
                return
            name, size = _header(raw)
            end = cursor.offset + size
            if name == b"//":
                long_names = cursor.take(min(size, MAX_NAMES))
            else:
                name, size = _full_name(name, size, long_names, cursor)
                if index >= start:
                    yield _entry(index, name, size, cursor)
                index += 1
            cursor.skip(end + end % 2 - cursor.offset)


def _header(raw: bytes) -> tuple[bytes, int]:
    """The name and the size in the header RAW."""
    if len(raw) < HEADER:
        raise Refused(reasons.truncated("the archive breaks off between two files"))
    size = raw[48:58].strip()
    if raw[58:] != b"`\n" or not size.isdigit():
        raise Refused(reasons.corrupt("a header in it isn't one"))
    return raw[:16].rstrip(), int(size)


def _full_name(name: bytes, size: int, long_names: bytes, cursor: Cursor) -> tuple[bytes, int]:
    """The name in full and the bytes of data, where BSD puts long names before the data."""
    if name.startswith(b"#1/") and name[3:].isdigit():
        length = min(int(name[3:]), size, MAX_NAMES)
        return cursor.take(length).rstrip(b"\0"), size - length
    if name[:1] == b"/" and name[1:].isdigit():
        return long_names[int(name[1:]) :].split(b"\n", 1)[0].rstrip(b"/"), size
    return (name if name in _TABLES else name.rstrip(b"/")), size


def _entry(index: int, raw: bytes, size: int, cursor: Cursor) -> Entry:
    if raw in _TABLES:
        return Entry(index, "", kind=Kind.FOLDER)
    name, notes = names.decode(raw)
    return Entry(index, name, lambda: Body(cursor.some, size), size=size, notes=notes)


@dataclass(frozen=True, slots=True)
class Ar:
    """The family."""

    title: str = "ar"
    seeks: bool = False

    def matches(self, head: bytes) -> bool:
        """By its mark, and a first header behind it."""
        return head[:8] == MARK and (len(head) == len(MARK) or head[66:68] == b"`\n")

    def open(self, opening: Opening) -> Reader:
        """A reader over the stream."""
        return ArReader(opening.source)


FORMAT = Ar()
