"""The sheets of XML Spreadsheet 2003 as the engine of other workbooks would give them: their cells in rows.

Rows and cells stand next to each other unless they say where they stand; those that lie in merged cells aren't there.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from stages.convert.sheet_days import Shown
from stages.convert.source import RawFile, Source
from stages.convert.spreadsheet_value import Value, shown_by_format, value_of

MOST_CELLS = 24_000_000  # of a sheet, empty ones before others and empty rows included
SPACE = "urn:schemas-microsoft-com:office:spreadsheet"
_FROM_1904 = "{urn:schemas-microsoft-com:office:excel}Date1904"
_PIECE = 1024 * 1024
_SHEET, _TABLE, _COLUMN, _ROW, _CELL, _DATA, _STYLE, _FORMAT = (
    f"{{{SPACE}}}{name}" for name in ("Worksheet", "Table", "Column", "Row", "Cell", "Data", "Style", "NumberFormat")
)
_EMPTY: list[Value] = []


class TooFarApart(Exception):
    """The cells of a sheet lie in too large a rectangle."""


class Sheet:
    """The sheet with NAME; `unvalued` counts formulas without a result, `errors` the errors that others came to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.unvalued = self.errors = 0
        self.merged_cell_ranges: list[tuple[tuple[int, int], tuple[int, int]]] = []
        self._rows: list[list[Value]] = []
        self._size = 0
        self._left, self._right = MOST_CELLS, 0

    def skip(self, rows: int) -> None:
        """Leaves ROWS out, which are empty. Raises TooFarApart."""
        self._grow(rows)
        self._rows += [_EMPTY] * rows

    def add(self, row: list[Value]) -> None:
        """Adds ROW, which begins at the first column. Raises TooFarApart."""
        self._grow(1 + len(row))
        filled = [column for column, value in enumerate(row) if value != ""]
        if filled:
            self._left, self._right = min(self._left, filled[0]), max(self._right, filled[-1] + 1)
        self._rows.append(row)

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MOST_CELLS:
            raise TooFarApart

    def filled(self) -> int:
        """How many rows have a value."""
        return sum(any(value != "" for value in row) for row in self._rows)

    @property
    def height(self) -> int:
        """How many rows it has."""
        return len(self._rows)

    @property
    def width(self) -> int:
        """How many columns lie between the first filled one and the last."""
        return max(0, self._right - self._left)

    @property
    def start(self) -> tuple[int, int] | None:
        """Its first row, and the column of its first value; None for an empty one."""
        return (0, self._left) if self._right else None

    def iter_rows(self) -> Iterator[list[Value]]:
        """Its rows, each from the first filled column to the last."""
        for row in self._rows:
            yield row[self._left : self._right] + [""] * (self._right - max(self._left, len(row)))


def sheets(source: Source) -> Iterator[Sheet]:
    """The sheets of SOURCE. Raises ValueError where it isn't as it should be, TooFarApart."""
    from lxml import etree  # type: ignore[import-untyped] # it ships no types

    file = io.BufferedReader(RawFile(source), _PIECE)
    events = etree.iterparse(
        file, events=("start", "end"), resolve_entities=False, no_network=True, huge_tree=True,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    reader = _Reader()
    try:
        for event, element in events:
            if event == "start":
                reader.begin(element)
            elif (sheet := reader.end(element)) is not None:
                yield sheet
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from error


class _Reader:
    """Makes sheets of elements as they come."""

    def __init__(self) -> None:
        self._shown: dict[str, Shown] = {}
        self._columns: list[tuple[int, int, Shown]] = []
        self._is_1904 = False
        self._sheet: Sheet | None = None

    def begin(self, element: Any) -> None:
        """ELEMENT begins."""
        if element.tag == _SHEET:
            self._sheet = Sheet(_attribute(element, "Name"))
            self._columns = []
        elif element.tag == _FROM_1904:
            self._is_1904 = True

    def end(self, element: Any) -> Sheet | None:
        """ELEMENT ends; gives the sheet that ends with it."""
        if element.tag == _ROW and self._sheet is not None and _is_in_sheet(element):
            self._row(element, self._sheet)
            _forget(element)
        elif element.tag == _STYLE:
            self._style(element)
        elif element.tag == _COLUMN:
            self._column(element)
        elif element.tag == _SHEET:
            sheet, self._sheet = self._sheet, None
            _forget(element)
            return sheet
        return None

    def _style(self, element: Any) -> None:
        key, parent, own = _attribute(element, "ID"), _attribute(element, "Parent"), element.find(_FORMAT)
        inherited = self._shown.get(parent, Shown.NUMBER)
        self._shown[key] = inherited if own is None else shown_by_format(_attribute(own, "Format"))

    def _column(self, element: Any) -> None:
        first = _number(element, "Index") or (self._columns[-1][1] + 1 if self._columns else 1)
        shown = self._shown.get(_attribute(element, "StyleID"), Shown.NUMBER)
        self._columns.append((first, first + _number(element, "Span"), shown))

    def _row(self, element: Any, sheet: Sheet) -> None:
        place = _number(element, "Index") or sheet.height + 1
        if place <= sheet.height:
            raise ValueError("rows overlap")
        sheet.skip(place - 1 - sheet.height)
        row: list[Value] = []
        last = after = 0  # the last cell's column, and the next one that is free
        for cell in element.iterchildren(_CELL):
            column = _number(cell, "Index") or after + 1
            if column <= last or column > MOST_CELLS:
                raise ValueError("cells overlap" if column <= last else "a cell lies too far to the right")
            row += [""] * (column - 1 - len(row))
            row.append(self._value(cell, element, column, sheet))
            last, after = column, column + _number(cell, "MergeAcross")
            self._merge(cell, place, column, sheet)
        sheet.add(row)
        sheet.skip(_number(element, "Span"))

    def _value(self, cell: Any, row: Any, column: int, sheet: Sheet) -> Value:
        found = cell.findall(_DATA)
        if not found:
            sheet.unvalued += bool(_attribute(cell, "Formula"))
            return ""
        if len(found) > 1:
            raise ValueError("a cell has two values")
        data = found[0]
        kind = _attribute(data, "Type")
        if kind == "Error":
            sheet.errors += 1
            return ""
        style = _attribute(cell, "StyleID") or _attribute(row, "StyleID")
        shown = self._shown.get(style, Shown.NUMBER) if style else self._shown_in(column)
        return value_of(kind, "".join(data.itertext()), shown, is_1904=self._is_1904)

    def _shown_in(self, column: int) -> Shown:
        return next((shown for first, last, shown in self._columns if first <= column <= last), Shown.NUMBER)

    @staticmethod
    def _merge(cell: Any, row: int, column: int, sheet: Sheet) -> None:
        down, across = _number(cell, "MergeDown"), _number(cell, "MergeAcross")
        if down or across:
            sheet.merged_cell_ranges.append(((row - 1, column - 1), (row - 1 + down, column - 1 + across)))


def _is_in_sheet(row: Any) -> bool:
    return [parent.tag for parent, _ in zip(row.iterancestors(), range(2), strict=False)] == [_TABLE, _SHEET]


def _attribute(element: Any, name: str) -> str:
    """The value of ELEMENT's attribute with NAME; some programs leave its prefix out."""
    return element.get(f"{{{SPACE}}}{name}") or element.get(name) or ""


def _number(element: Any, name: str) -> int:
    text = _attribute(element, name).strip()
    return int(text) if text else 0


def _forget(element: Any) -> None:
    """Frees what ELEMENT and those before it hold."""
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]
