"""Old binary workbooks, looked at before the engine reads them: passwords that it doesn't see, chains without an end.

They lie in a container ([MS-CFB]) of sectors: a table (FAT) has for each sector the one that follows it. Where a chain leads
back into itself, the engine would follow it until no memory is left.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterator

_GLOBALS = re.compile(rb"\x09\x08[\x08\x10]\0\0[\x05\x06]\x05\0", re.DOTALL)  # the first record of a workbook
_FILE_PASS, _WRITE_PROTECT = b"\x2f\0", b"\x86\0"  # records that may be the second one
_HEADER_FATS = range(76, 512, 4)  # where the header names sectors of the FAT
_ENTRY = 128  # bytes of a directory's entry
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


def is_endless(data: bytes) -> bool:
    """Whether a chain of sectors in the container DATA leads back into itself."""
    try:
        _check_chains(data)
    except Endless:
        return True
    except (struct.error, IndexError):
        pass  # the engine gives up on that
    return False


def _check_chains(data: bytes) -> None:
    shift, small_shift = struct.unpack_from("<HH", data, 30)
    directory, cutoff, small_table, _tables, more_tables = (_number(data, at) for at in (48, 56, 60, 64, 68))
    if shift > _MOST_SHIFT or small_shift > shift:
        return
    size = 1 << shift
    sectors = [_number(data, at) for at in _HEADER_FATS]
    seen = set[int]()
    while more_tables < _NO_SECTOR:
        _see(more_tables, seen)
        words = struct.unpack_from(f"<{size // 4}I", data, (more_tables + 1) * size)
        sectors += words[:-1]
        more_tables = words[-1]
    table = b"".join(data[(number + 1) * size :][:size] for number in sectors if number < _NO_SECTOR)
    fat = _words(table)
    entries = b"".join(data[(number + 1) * size :][:size] for number in _chain(fat, directory))
    small = b"".join(data[(number + 1) * size :][:size] for number in _chain(fat, small_table))
    tables = (fat, _words(small))
    for at in range(0, len(entries) - _ENTRY + 1, _ENTRY):
        start, length = struct.unpack_from("<II", entries, at + 116)
        with contextlib.suppress(IndexError):  # of an entry that isn't in use
            list(_chain(tables[at > 0 and length < cutoff], start))


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
