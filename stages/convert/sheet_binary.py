"""The sheets of an XLSB file, record by record ([MS-XLSB]), respelled where the engine would misread them.

It gives whole numbers in their short form (RK) without their format, so that a date is a number, and it has no word for
a text with fonts in a cell of its own, which it leaves out. Both have a longer form that it reads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SHEETS = "xl/worksheets/"
_ROW, _SHORT_NUMBER, _NUMBER, _TEXT, _RICH_TEXT = 0, 2, 5, 6, 62
_FILLED = frozenset((*range(2, 12), _RICH_TEXT))  # records of cells that aren't blank
_CELL = 8  # bytes of a cell's column and style, before its value
_SIZE_BYTES = 4
_unsigned, _signed = struct.Struct("<I").unpack_from, struct.Struct("<i").unpack_from


class TooFarApart(Exception):
    """The cells of a sheet lie in too large a rectangle."""


def respelled(name: str, data: bytes, most: int) -> bytes:
    """DATA of the archive's member with NAME; one that isn't a sheet, or what can't be followed, as it is. Raises
    TooFarApart where the rectangle that holds the filled cells has more than MOST."""
    if not (name.startswith(_SHEETS) and name.endswith(".bin")):
        return data
    made, done = list[bytes](), 0
    rows, columns, row = set[int](), set[int](), 0
    for start, kind, body, end in _records(data):
        if kind == _ROW and end - body >= 4:
            (row,) = _unsigned(data, body)
        elif kind in _FILLED and end - body >= _CELL:
            rows.add(row)
            columns.add(_unsigned(data, body)[0])
            if longer := _longer(kind, data[body:end]):
                made += [data[done:start], longer]
                done = end
    if rows and (max(rows) - min(rows) + 1) * (max(columns) - min(columns) + 1) > most:
        raise TooFarApart
    return b"".join([*made, data[done:]])


def _longer(kind: int, body: bytes) -> bytes:
    """The record of KIND with BODY in its longer form; nothing where it may stay as it is."""
    if kind == _SHORT_NUMBER and len(body) == _CELL + 4:
        return _record(_NUMBER, body[:_CELL] + struct.pack("<d", _number(*_signed(body, _CELL))))
    if kind == _RICH_TEXT and len(body) >= _CELL + 5:
        length = 4 + 2 * _unsigned(body, _CELL + 1)[0]
        return _record(_TEXT, body[:_CELL] + body[_CELL + 1 :][:length])
    return b""


def _records(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Each record: where it starts, its kind, where its body starts and ends."""
    at, whole = 0, len(data)
    while at + 1 < whole:
        start, kind, at = at, data[at], at + 1
        if kind & 0x80:
            kind, at = kind & 0x7F | data[at] << 7, at + 1
        size = shift = 0
        while at < whole and shift < 7 * _SIZE_BYTES:
            part, at = data[at], at + 1
            size |= (part & 0x7F) << shift
            shift += 7
            if not part & 0x80:
                break
        if at + size > whole:
            return
        yield start, kind, at, at + size
        at += size


def _record(kind: int, body: bytes) -> bytes:
    """A record whose KIND takes one byte."""
    size, head = len(body), bytearray([kind])
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + body


def _number(short: int) -> float:
    """The number that SHORT stands for: an integer or the upper half of a double, a hundredth of it where it says so."""
    value: float = short >> 2 if short & 2 else struct.unpack("<d", struct.pack("<q", (short & ~3) << 32))[0]
    return value / 100 if short & 1 else float(value)
