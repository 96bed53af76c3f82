"""The sheets of an XLSB file, record by record ([MS-XLSB]), respelled where the engine would misread them.

It gives whole numbers in their short form (RK) without their format, so that a date is a number, and it has no word for
a text with fonts in a cell of its own, which it leaves out. Both have a longer form that it reads. Numbers that are no
days, though their format shows them as some, get a style that isn't there (see sheet_days.py).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from stages.convert.workbooks.sheet_area import TooFarApart
from stages.convert.workbooks.sheet_days import Shown, is_none, shown_by

_SHEETS, _STYLES, _BOOK = "xl/worksheets/", "xl/styles.bin", "xl/workbook.bin"
_FORMAT, _BEGIN_STYLES, _STYLE, _END_STYLES, _PROPERTIES = 44, 617, 47, 618, 153
_FORMULA_NUMBER = 9
_NO_STYLE = b"\xff\xff\xff"
_ROW, _SHORT_NUMBER, _NUMBER, _TEXT, _RICH_TEXT = 0, 2, 5, 6, 62
_FILLED = frozenset((*range(2, 12), _RICH_TEXT))  # records of cells that aren't blank
_CELL = 8  # bytes of a cell's column and style, before its value
_SIZE_BYTES = 4
_unsigned, _signed = struct.Struct("<I").unpack_from, struct.Struct("<i").unpack_from


class Respelling:
    """What is done to the members of an XLSB file, of which STYLES and BOOK are the parts of these names; `odd` counts the
    numbers that are no days. What shows a rectangle of filled cells of more than MOST raises TooFarApart."""

    def __init__(self, styles: bytes, book: bytes, most: int) -> None:
        self._shown = _shown(styles)
        self._is_1904 = any(kind == _PROPERTIES and book[body] & 1 for _at, kind, body, _end in _records(book))
        self._most = most
        self.odd = 0

    def __call__(self, name: str, data: bytes) -> bytes:
        """DATA of the archive's member with NAME; one that isn't a sheet, or what can't be followed, as it is."""
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
                if longer := self._changed(kind, data[body:end]):
                    made += [data[done:start], longer]
                    done = end
        if rows and (max(rows) - min(rows) + 1) * (max(columns) - min(columns) + 1) > self._most:
            raise TooFarApart
        return b"".join([*made, data[done:]])

    def _changed(self, kind: int, body: bytes) -> bytes:
        """The record of KIND with BODY as the engine reads it; nothing where it may stay as it is."""
        shown = self._shown.get(int.from_bytes(body[4:7], "little"))
        if shown is None or not is_none(_value(kind, body), shown, is_1904=self._is_1904):
            return _longer(kind, body)
        self.odd += 1
        plain = body[:4] + _NO_STYLE + body[7:]
        return _longer(kind, plain) or _record(kind, plain)


def _shown(styles: bytes) -> dict[int, Shown]:
    """What the STYLES of cells show, by number, those left out that show numbers."""
    codes: dict[int, str] = {}
    formats: list[int] = []
    is_within = False
    for _start, kind, body, end in _records(styles):
        if kind == _FORMAT and end - body >= 6:
            codes[int.from_bytes(styles[body : body + 2], "little")] = styles[body + 6 : end].decode(
                "utf-16-le", "replace"
            )
        elif kind in (_BEGIN_STYLES, _END_STYLES):
            is_within = kind == _BEGIN_STYLES
        elif kind == _STYLE and is_within:
            formats.append(int.from_bytes(styles[body + 2 : body + 4], "little"))
    shown = [shown_by(number, codes) for number in formats]
    return {number: what for number, what in enumerate(shown) if what is not Shown.NUMBER}


def _value(kind: int, body: bytes) -> float:
    """The number in the record of KIND with BODY; 1, an ordinary day, where it's no number."""
    if kind == _SHORT_NUMBER and len(body) == _CELL + 4:
        return unpacked(*_signed(body, _CELL))
    if kind in (_NUMBER, _FORMULA_NUMBER) and len(body) >= _CELL + 8:
        return float(struct.unpack_from("<d", body, _CELL)[0])
    return 1.0


def _longer(kind: int, body: bytes) -> bytes:
    """The record of KIND with BODY in its longer form; nothing where it may stay as it is."""
    if kind == _SHORT_NUMBER and len(body) == _CELL + 4:
        return _record(_NUMBER, body[:_CELL] + struct.pack("<d", unpacked(*_signed(body, _CELL))))
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


def unpacked(short: int) -> float:
    """The number that SHORT stands for: an integer or the upper half of a double, a hundredth of it where it says so."""
    value: float = short >> 2 if short & 2 else struct.unpack("<d", struct.pack("<q", (short & ~3) << 32))[0]
    return value / 100 if short & 1 else float(value)
