"""A sheet of an XLSX file read by kernels: its XML in pieces, each taken apart and typed in a thread while the next one is
unpacked. It takes what is written as spreadsheets do, one kind of cell in each column below a row of names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from stages.convert import compiled, sheet_codes, sheet_frame, sheet_styles
from stages.convert.ahead import mapped
from stages.convert.compiled import Kernels
from stages.convert.encoding import is_utf8
from stages.convert.fields import Columns, Fields, column_of, room
from stages.convert.sheet_area import column_number
from stages.convert.sheet_days import MILLISECONDS, Shown
from stages.convert.sheet_frame import Odd
from stages.convert.sheet_grid import MERGED
from stages.convert.sheet_xml import Package, Part

_BEGIN, _END, _ROW, _ROW_END = b"<sheetData>", b"</sheetData>", b"<row", b"</row>"
_STRING, _STRING_END, _STRINGS_END = b"<si", b"</si>", b"</sst>"
_STRINGS, _STYLES = "xl/sharedStrings.xml", "xl/styles.xml"
_OTHERS = ("xl/workbook.xml", "xl/_rels/workbook.xml.rels", _STYLES)
_PLACED = re.compile(rb"<c r=\"([A-Z]{1,3})[0-9]")
_PIECE = 4 * 1024 * 1024  # bytes of XML
_MOST_COLUMNS = 16_384  # of a sheet
_CODES = {
    Shown.NUMBER: sheet_codes.NUMBER,
    Shown.DAY: sheet_codes.DAY,
    Shown.CLOCK: sheet_codes.CLOCK,
    Shown.LENGTH: sheet_codes.LENGTH,
}
_FIRST = {
    False: 0,
    True: 1462,
}  # what a number of days is more than one that counts from 1900, by whether it's from 1904
_EPOCH = 25_569  # the number of 1970's first day
_LEAP = 60  # before the day of that number, which never was, days have one less
_LAST = 2_958_466  # the first number after the year 9999


def _bits(*codes: int) -> int:
    return sum(1 << code for code in codes)


_NOTHING = _bits(sheet_codes.EMPTY, sheet_codes.ERROR)
_ERRORS = _bits(sheet_codes.ERROR)
_NUMBERS, _BOOLEANS = _bits(sheet_codes.NUMBER), _bits(sheet_codes.BOOLEAN)
_CLOCKS = _bits(sheet_codes.CLOCK)
_MOMENTS, _TEXTS = _bits(sheet_codes.DAY, sheet_codes.CLOCK), _bits(sheet_codes.SHARED, sheet_codes.TEXT)
_KINDS = (_NUMBERS, _MOMENTS, _TEXTS, _BOOLEANS)


Codes = npt.NDArray[np.uint8]


class Cells(msgspec.Struct):
    """A plain sheet: the names in its first row, which is the one TOP, from 0, from the column LEFT on, and the columns below,
    with ROWS values each; PART is what its XML says of others."""

    names: list[str]
    columns: list[pl.Series]
    top: int
    left: int
    rows: int
    part: Part


class _Texts(msgspec.Struct):
    """Texts as Arrow's views, two numbers each, and the buffers that they lie in."""

    views: Any
    buffers: list[Any]


class _Piece(msgspec.Struct):
    """Rows, which end with the one that has the number LAST: each column's codes as bits, and its values if it has some."""

    rows: int
    last: int
    unvalued: int
    errors: int
    bits: list[int]
    nulls: Any
    values: list[Any]
    arena: Any
    blank: int  # rows at the end that have nothing at all


def load(package: Package, member: str) -> Cells | None:
    """The sheet in MEMBER; None where kernels aren't loaded, or it isn't as usual. Raises one of sheet_xml.BROKEN."""
    kernels = compiled.kernels()
    if kernels is None:
        return None
    try:
        return _Reader(kernels, package, member).load()
    except Odd:
        return None


class _Reader:
    def __init__(self, kernels: Kernels, package: Package, member: str) -> None:
        self._kernels = kernels
        self._package = package
        self._member = member
        sheet_frame.check(package, *_OTHERS)
        if _STYLES in package.names():
            sheet_frame.check_formats(package.read(_STYLES))
        self._styles = np.array([_CODES[shown] for shown in sheet_styles.shown(package)], np.uint8)
        self._is_1904 = sheet_styles.is_1904(package)
        self._strings = self._read_strings() if _STRINGS in package.names() else _Texts(np.empty(0, np.uint64), [])
        self._columns = 0
        self._around = b""  # the XML before the rows and after them

    def load(self) -> Cells:
        """The sheet. Raises Odd."""
        pieces = self._pieces()
        first = next(pieces)
        cut = first.find(_ROW_END) + len(_ROW_END)
        names, left, top, unvalued = self._names(first[:cut])
        numbered = enumerate(filter(None, itertools.chain([first[cut:]], pieces)))
        made = list(mapped(numbered, lambda pair: self._piece(*pair)))
        last = top
        for piece in made:
            if last + piece.rows != piece.last:
                raise Odd
            last = piece.last
        if any(piece.blank for piece in made[:-1]) or any(piece.bits[:left] != [1] * left for piece in made):
            raise Odd
        if any(top <= row < top + MERGED for row in sheet_frame.merged_rows(self._around, "sheetData")):
            raise Odd
        blank = made[-1].blank if made else 0
        buffers = [*self._strings.buffers, *(piece.arena for piece in made)]
        rows = sum(piece.rows for piece in made) - blank
        columns = [self._joined(made, index, rows, buffers) for index in range(left, left + len(names))]
        part = Part(sum(piece.errors for piece in made), unvalued + sum(piece.unvalued for piece in made))
        return Cells(names, columns, top - 1, left, rows, part)

    def _pieces(self) -> Iterator[bytes]:
        """The sheet's rows, in pieces of whole ones."""
        begin, head, piece = -1, b"", b""
        for part in sheet_frame.parted(self._package, self._member, _ROW_END, _PIECE):
            piece = part
            if begin < 0:
                begin = part.find(_BEGIN)
                head, piece = part[: begin + len(_BEGIN)], part[begin + len(_BEGIN) :]
            if begin < 0:
                raise Odd
            if piece.endswith(_ROW_END):
                yield piece
        end = piece.find(_END)
        if end < 0:
            raise Odd
        self._around = head + piece[end:]
        yield piece[:end]

    def _names(self, row: bytes) -> tuple[list[str], int, int, int]:
        """The texts of the first ROW, in which column the first of them is, the row's number, and how many formulas without a
        result it has."""
        placed = _PLACED.findall(row)
        self._columns = min(column_number(placed[-1]) if placed else row.count(b"<c"), _MOST_COLUMNS)
        piece = self._piece(0, row)
        filled = [index for index, bits in enumerate(piece.bits) if bits != 1]
        if not filled or any(not piece.bits[index] & _TEXTS for index in filled):
            raise Odd
        left, right = filled[0], filled[-1] + 1
        buffers = [*self._strings.buffers, piece.arena]
        names = [self._joined([piece], index, 1, buffers)[0] or "" for index in range(left, right)]
        if not all(names):
            raise Odd
        self._columns = right
        return names, left, piece.last, piece.unvalued

    def _piece(self, number: int, data: bytes) -> _Piece:
        """The rows that DATA, the piece with NUMBER, has. Raises Odd."""
        rows, columns = data.count(_ROW), self._columns
        if not is_utf8(data):
            raise Odd
        starts, sizes = room(columns, rows)
        codes, state = np.empty((columns, rows), np.uint8), np.zeros(3 + columns, np.int64)
        state[1] = -1
        places = codes.ravel(), starts.ravel(), sizes.ravel()
        array = np.frombuffer(data, np.uint8)
        found = self._kernels.find_in_sheet(array, self._styles, columns, rows, *places, state)
        if found != rows or state[0] != len(data):
            raise Odd
        bits = state[3:].tolist()
        errors = 0
        for index in (index for index in range(columns) if bits[index] & _ERRORS):
            is_error = codes[index] == sheet_codes.ERROR
            errors += int(np.count_nonzero(is_error))
            starts[index][is_error] = -1
        buffer = len(self._strings.buffers) + number
        values = _Values(self._kernels, Fields(data, starts, sizes, is_json=True), codes, self._strings.views, buffer)
        read = [values.read(index, bits[index] & ~_NOTHING) for index in range(columns)]
        unvalued = int(state[2])
        return _Piece(rows, int(state[1]), unvalued, errors, bits, starts < 0, read, values.arena(), _blank(codes))

    def _joined(self, pieces: Sequence[_Piece], index: int, rows: int, buffers: Sequence[Any]) -> pl.Series:
        import pyarrow as pa

        kind = 0
        for piece in pieces:
            kind |= piece.bits[index] & ~_NOTHING
        if not kind:
            return pl.repeat(None, rows, dtype=pl.Null, eager=True)
        if not any(kind & ~one == 0 for one in _KINDS):
            raise Odd
        nulls = np.concatenate([piece.nulls[index] for piece in pieces])[:rows]
        if kind & _TEXTS:
            views = np.concatenate([_or_zeros(piece, index, 2, np.uint64) for piece in pieces])[: 2 * rows]
            return column_of(pa.string_view(), nulls, views, *map(pa.py_buffer, buffers))
        if kind == _BOOLEANS:
            flags = np.concatenate([_or_zeros(piece, index, 1, np.uint8) for piece in pieces])[:rows]
            return column_of(pa.uint8(), nulls, flags).cast(pl.Boolean)
        numbers = np.concatenate([_or_zeros(piece, index, 1, np.float64) for piece in pieces])[:rows]
        if kind == _NUMBERS:
            return column_of(pa.float64(), nulls, numbers)
        if kind == _CLOCKS and (numbers[~nulls] < 1).any():
            return column_of(pa.time64("ns"), nulls, _clocks(numbers, nulls))
        return column_of(pa.timestamp("ms"), nulls, _moments(numbers, nulls, is_1904=self._is_1904))

    def _read_strings(self) -> _Texts:
        """The shared strings. Raises Odd."""
        views = [np.empty(0, np.uint64)]
        buffers: list[Any] = []
        for piece in _strings(self._package):
            if not is_utf8(piece):
                raise Odd
            rows = piece.count(_STRING)
            some, arena, state = np.empty(2 * rows, np.uint64), np.empty(len(piece), np.uint8), np.zeros(2, np.int64)
            data = np.frombuffer(piece, np.uint8)
            found = self._kernels.find_strings(data, rows, len(buffers), some, arena, state)
            if found != rows or state[0] != len(piece):
                raise Odd
            views.append(some)
            buffers.append(arena[: state[1]].copy())
        return _Texts(np.concatenate(views), buffers)


class _Values:
    """The values of a piece, which FIELDS and CODES tell; texts are copied into a buffer with the number BUFFER."""

    def __init__(self, kernels: Kernels, fields: Fields, codes: Codes, strings: Any, buffer: int) -> None:
        self._kernels = kernels
        self._fields = fields
        self._codes = codes
        self._strings = strings
        self._buffer = buffer
        self._arena = np.empty(len(fields.data), np.uint8)
        self._used = 0

    def arena(self) -> npt.NDArray[np.uint8]:
        """The buffer, as far as it's used."""
        return self._arena[: self._used].copy()

    def read(self, index: int, kind: int) -> Any:
        """Those of a column of KIND, None where it has none. Raises Odd."""
        if not kind:
            return None
        if kind & ~_NUMBERS == 0 or kind & ~_MOMENTS == 0:
            return self._numbers(index)
        if kind & ~_TEXTS == 0:
            return self._texts(index)
        if kind == _BOOLEANS:
            return self._booleans(index)
        raise Odd

    def _numbers(self, index: int) -> npt.NDArray[np.float64]:
        fields = self._fields
        numbers = np.empty(fields.rows, np.float64)
        places = fields.starts[index], fields.sizes[index]
        if self._kernels.doubles(fields.bytes, *places, fields.is_json, numbers) == fields.rows:
            return numbers
        texts = Columns(self._kernels, fields).numbers(index)
        if texts is None:
            raise Odd
        found = texts.cast(pl.Float64, strict=False)
        if found.null_count() != texts.null_count():
            raise Odd
        return found.to_numpy()

    def _texts(self, index: int) -> npt.NDArray[np.uint64]:
        fields = self._fields
        views = np.empty(2 * fields.rows, np.uint64)
        places = self._codes[index], fields.starts[index], fields.sizes[index]
        more = self._strings, self._buffer, views, self._arena, self._used
        self._used = self._kernels.sheet_texts(fields.bytes, *places, *more)
        if self._used < 0:
            raise Odd
        return views

    def _booleans(self, index: int) -> npt.NDArray[np.uint8]:
        fields = self._fields
        flags = np.empty(fields.rows, np.uint8)
        places = self._codes[index], fields.starts[index], fields.sizes[index]
        if self._kernels.sheet_booleans(fields.bytes, *places, flags) != fields.rows:
            raise Odd
        return flags


def _strings(package: Package) -> Iterator[bytes]:
    """The shared strings' XML, in pieces of whole ones. Raises Odd."""
    begin, head, piece = -1, b"", b""
    for part in sheet_frame.parted(package, _STRINGS, _STRING_END, _PIECE):
        piece = part
        if begin < 0:
            begin = part.find(_STRING)
            head, piece = (part[:begin], part[begin:]) if begin >= 0 else (b"", part)
        if piece.endswith(_STRING_END):
            yield piece
    end = piece.find(_STRINGS_END)
    if begin < 0 or end < 0:
        raise Odd
    sheet_frame.merged_rows(head + piece[end:], "sst")
    yield piece[:end]


def _blank(codes: npt.NDArray[np.uint8]) -> int:
    """How many of the last rows of CODES are empty; all rows before have something. Raises Odd."""
    if any(column.all() for column in codes):
        return 0
    filled = np.any(codes, axis=0)
    count = int(np.count_nonzero(filled))
    if not np.all(filled[:count]):
        raise Odd
    return len(filled) - count


def _or_zeros(piece: _Piece, index: int, width: int, dtype: Any) -> Any:
    values = piece.values[index]
    return np.zeros(width * piece.rows, dtype) if values is None else values


def _moments(numbers: npt.NDArray[np.float64], nulls: npt.NDArray[np.bool_], *, is_1904: bool) -> npt.NDArray[np.int64]:
    """The milliseconds since 1970 of NUMBERS of days, as the engine has them."""
    numbers = np.where(nulls, _EPOCH, numbers)
    if not ((numbers >= 1) & (numbers < _LAST)).all():
        raise Odd
    numbers = numbers + _FIRST[is_1904]
    return _milliseconds(np.where(numbers < _LEAP, numbers + 1, numbers)) - _EPOCH * MILLISECONDS


def _clocks(numbers: npt.NDArray[np.float64], nulls: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The nanoseconds since midnight of NUMBERS that are parts of a day."""
    numbers = np.where(nulls, 0, numbers)
    if not ((numbers >= 0) & (numbers < 1)).all():
        raise Odd
    found = _milliseconds(numbers)
    if not (found < MILLISECONDS).all():
        raise Odd
    return found * 1_000_000


def _milliseconds(days: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    numbers = days * MILLISECONDS
    whole = np.trunc(numbers)
    return (whole + (numbers - whole >= 0.5)).astype(np.int64)
