"""Old binary workbooks, looked at before the engine reads them: passwords that it doesn't see, chains without an end,
cells for which it would make more room than there is.

They lie in a container ([MS-CFB]) of sectors: a table (FAT) has for each sector the one that follows it. Where a chain leads
back into itself, the engine would follow it until no memory is left.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stages.convert.workbooks.sheet_area import TooFarApart

_GLOBALS = re.compile(rb"\x09\x08[\x08\x10]\0\0[\x05\x06]\x05\0", re.DOTALL)  # the first record of a workbook
_FILE_PASS, _WRITE_PROTECT = b"\x2f\0", b"\x86\0"  # records that may be the second one
_HEADER_FATS = range(76, 512, 4)  # where the header names sectors of the FAT
_ENTRY = 128  # bytes of a directory's entry
_START = 116  # in an entry: the first sector, and the size
_NAMES = tuple("\0".join((*name, "", "")).encode("latin-1") for name in ("Workbook", "Book", "WORKBOOK", "BOOK"))
_header = struct.Struct("<HH").unpack_from
_BEGIN, _END, _DIMENSIONS = 0x0809, 0x000A, 0x0200  # kinds of records
_CELLS = frozenset((0x06, 0xBD, 0xD6, 0xFD, 0x203, 0x204, 0x205, 0x207, 0x27E, 0x406))
_MOST_SHIFT = 16
_NO_SECTOR = 0xFFFFFFFA  # from here on numbers mean something else


class Endless(Exception):
    """A chain of sectors leads back into itself."""


def has_password(data: bytes) -> bool:
    """Whether the cells of the workbook DATA are encrypted, even in the weak way that the engine takes for none."""
    for found in _GLOBALS.finditer(data):
        at = found.start() + 4 + data[found.start() + 2]
        at += 4 if data.startswith(_WRITE_PROTECT, at) else 0
        if data.startswith(_FILE_PASS, at):
            return True
    return False


def check(data: bytes, most: int) -> None:
    """Raises Endless where a chain of sectors in the container DATA leads back into itself, and TooFarApart where a sheet's
    cells lie in a rectangle of more than MOST, or it claims so. What can't be followed is left to the engine."""
    with contextlib.suppress(struct.error, IndexError):
        for stream in streams(data):
            _check_cells(stream.records, most)


class Stream(NamedTuple):
    """A workbook's records, and where each of their sectors of SIZE bytes begins in the container."""

    records: bytes
    starts: list[int]
    size: int


def streams(data: bytes) -> list[Stream]:
    """The workbooks in the container DATA. Raises Endless, IndexError and struct.error where it's damaged."""
    shift, small_shift = struct.unpack_from("<HH", data, 30)
    directory, cutoff, small_table, _tables, more_tables = (_number(data, at) for at in (48, 56, 60, 64, 68))
    if shift > _MOST_SHIFT or small_shift > shift:
        return []
    size = 1 << shift
    sectors = [_number(data, at) for at in _HEADER_FATS]
    seen = set[int]()
    while more_tables < _NO_SECTOR:
        _see(more_tables, seen)
        words = struct.unpack_from(f"<{size // 4}I", data, (more_tables + 1) * size)
        sectors += words[:-1]
        more_tables = words[-1]
    fat = _words(_joined(data, [number for number in sectors if number < _NO_SECTOR], size))
    entries = _joined(data, _chain(fat, directory), size)
    small_fat = _words(_joined(data, _chain(fat, small_table), size))
    small = [(number + 1) * size for number in _chain(fat, _number(entries, _START))]
    found = []
    for at in range(_ENTRY, len(entries) - _ENTRY + 1, _ENTRY):
        start, length = struct.unpack_from("<II", entries, at + _START)
        with contextlib.suppress(IndexError):  # of an entry that isn't in use
            is_small = length < cutoff
            chain = list(_chain(small_fat if is_small else fat, start))
            if entries[at : at + _ENTRY].startswith(_NAMES):
                starts = [(number + 1) * size for number in chain]
                if is_small:
                    places = [number << small_shift for number in chain]
                    starts = [small[place // size] + place % size for place in places]
                found.append(_stream(data, starts, 1 << small_shift if is_small else size))
    return found


def _stream(data: bytes, starts: list[int], size: int) -> Stream:
    return Stream(b"".join(data[start : start + size] for start in starts), starts, size)


def _joined(data: bytes, numbers: Iterable[int], size: int) -> bytes:
    """The sectors of SIZE bytes with NUMBERS, of which the first follows the header."""
    return _stream(data, [(number + 1) * size for number in numbers], size).records


def records(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Each record: its kind, where its body starts, how many bytes that has."""
    at, whole = 0, len(stream)
    while at + 4 <= whole:
        kind, size = _header(stream, at)
        yield kind, at + 4, size
        at += 4 + size


def _check_cells(stream: bytes, most: int) -> None:
    rows, columns = set[int](), set[int]()
    for kind, at, size in records(stream):
        if kind in _CELLS and size >= 4:
            row, column = _header(stream, at)
            rows.add(row)
            columns.add(column)
        elif kind == _DIMENSIONS and size >= 12:
            top, bottom, left, right = struct.unpack_from("<IIHH", stream, at)
            _check_area((top, bottom), (left, right), most)
        elif kind in (_BEGIN, _END):
            _check_area(_ends(rows), _ends(columns), most)
            rows, columns = set[int](), set[int]()
    _check_area(_ends(rows), _ends(columns), most)


def _ends(numbers: set[int]) -> tuple[int, int]:
    return (min(numbers), max(numbers)) if numbers else (0, 0)


def _check_area(rows: tuple[int, int], columns: tuple[int, int], most: int) -> None:
    """Raises TooFarApart where ROWS and COLUMNS, each from one to another, are more than MOST cells."""
    height, width = rows[1] - rows[0], columns[1] - columns[0]
    if height < 0 or width < 0 or height * width > most:  # less than nothing is much to the engine
        raise TooFarApart


def _number(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])


def _see(number: int, seen: set[int]) -> None:
    if number in seen:
        raise Endless
    seen.add(number)


def _chain(table: tuple[int, ...], start: int) -> Iterator[int]:
    """The numbers of a chain's sectors from START on. Raises Endless, and IndexError where it leads nowhere."""
    seen = set[int]()
    while start < _NO_SECTOR:
        _see(start, seen)
        yield start
        start = table[start]
