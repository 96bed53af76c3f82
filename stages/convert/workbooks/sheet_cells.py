"""A sheet of an XLSX file read by kernels: its XML in pieces, each taken apart and typed in a thread while the next one is
unpacked. It takes what is written as spreadsheets do, a table below a row of names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from stages.convert.ahead import mapped
from stages.convert.kernels import compiled, sheet_codes
from stages.convert.kernels.compiled import Kernels
from stages.convert.kernels.fields import Fields, room
from stages.convert.kernels.sheet_codes import EMPTY, TEXTS, bits
from stages.convert.text.encoding import is_utf8
from stages.convert.workbooks import sheet_frame, sheet_styles
from stages.convert.workbooks.sheet_area import column_number
from stages.convert.workbooks.sheet_columns import ColumnPart, Values, joined
from stages.convert.workbooks.sheet_days import Shown
from stages.convert.workbooks.sheet_frame import Odd
from stages.convert.workbooks.sheet_grid import MERGED
from stages.convert.workbooks.sheet_xml import Package, Part

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
    """Rows, which end with the one that has the number LAST: a part of each column, and the buffer of their texts."""

    rows: int
    last: int
    unvalued: int
    errors: int
    parts: list[ColumnPart]
    arena: npt.NDArray[np.uint8]
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
        if any(piece.blank for piece in made[:-1]):
            raise Odd
        if any(part.bits != bits(EMPTY) for piece in made for part in piece.parts[:left]):
            raise Odd
        if any(top <= row < top + MERGED for row in sheet_frame.merged_rows(self._around, "sheetData")):
            raise Odd
        blank = made[-1].blank if made else 0
        buffers = [*self._strings.buffers, *(piece.arena for piece in made)]
        rows = sum(piece.rows for piece in made) - blank
        columns = [
            joined([piece.parts[index] for piece in made], rows, buffers, is_1904=self._is_1904)
            for index in range(left, left + len(names))
        ]
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
        filled = [index for index, part in enumerate(piece.parts) if part.bits != bits(EMPTY)]
        if not filled:
            raise Odd
        left, right = filled[0], filled[-1] + 1
        buffers = [*self._strings.buffers, piece.arena]
        if any(part.bits & ~TEXTS for part in piece.parts[left:right]):
            raise Odd
        names = [joined([part], 1, buffers, is_1904=False)[0] for part in piece.parts[left:right]]
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
        buffer = len(self._strings.buffers) + number
        values = Values(self._kernels, Fields(data, starts, sizes, is_json=True), codes, self._strings.views, buffer)
        parts = [values.part(index, seen) for index, seen in enumerate(state[3:].tolist())]
        return _Piece(rows, int(state[1]), int(state[2]), values.errors, parts, values.arena(), _blank(codes))

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
