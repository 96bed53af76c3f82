"""How many cells lie in the rectangle that holds all filled cells of a sheet: engines make room for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

MOST_CELLS = 24_000_000  # of a sheet, empty ones between others included


class TooFarApart(Exception):
    """The cells of a sheet lie in too large a rectangle."""


def area(pieces: Iterable[bytes], prefix: bytes) -> int:
    """The area of the sheet of an XLSX file whose XML is PIECES, which end where rows do, with elements whose names begin with PREFIX.
    Where cells don't say where they stand it's reckoned larger than it may be, never smaller."""
    measure = _Measure(prefix)
    for piece in pieces:
        measure.add(piece)
    return measure.area()


class _Measure:
    """Rows and columns as far as they are seen."""

    def __init__(self, prefix: bytes) -> None:
        cell = rb"<" + prefix + rb"c\b[^>/]*?\sr\s*=\s*[\"']"
        rest = rb"[\"'][^>/]*>"  # one that ends at once is blank
        self._any_cell = re.compile(rb"<" + prefix + rb"c\b[^>/]*>")
        self._column = re.compile(cell + rb"([A-Za-z]+)[0-9]+" + rest)
        self._row_of_cell = re.compile(cell + rb"[A-Za-z]+([0-9]+)" + rest)
        self._row = re.compile(rb"<" + prefix + rb"row\b(?:[^>]*?\sr\s*=\s*[\"']([0-9]+))?")
        self._end = rb"</" + prefix + rb"row>"
        self._rows, self._columns = set[int](), set[int]()
        self._unnumbered = self._widest = 0  # rows without a number; the most cells of a row where some have no place

    def add(self, piece: bytes) -> None:
        """Takes PIECE's cells in."""
        rows = self._row_of_cell.findall(piece)
        self._columns |= {column_number(letters.upper()) for letters in set(self._column.findall(piece))}
        self._rows |= {int(row) for row in set(rows)}
        if len(rows) == len(self._any_cell.findall(piece)):
            return
        for row in piece.split(self._end):
            cells = len(self._any_cell.findall(row))
            found = self._row.search(row) if cells else None
            self._widest = max(self._widest, cells)
            if found and found[1]:
                self._rows.add(int(found[1]))
        self._unnumbered += sum(not number for number in self._row.findall(piece))

    def area(self) -> int:
        """The rectangle's."""
        height = max(self._rows, default=0) + self._unnumbered
        width = max(self._columns, default=0) + self._widest
        if self._widest:  # where the first of them stands isn't known
            return height * width
        return (height - min(self._rows) + 1) * (width - min(self._columns) + 1) if self._rows and self._columns else 0


def column_number(letters: bytes) -> int:
    """A column's number by its LETTERS, from 1."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
