"""The sheets of XML Spreadsheet 2003 as the engine of other workbooks would give them: their cells in rows.

Rows and cells stand next to each other unless they say where they stand; those that lie in merged cells aren't there.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from stages.convert.source import RawFile, Source
from stages.convert.workbooks.sheet_area import MOST_CELLS, TooFarApart
from stages.convert.workbooks.sheet_days import Shown
from stages.convert.workbooks.spreadsheet_value import Value, shown_by_format, value_of

SPACE = "urn:schemas-microsoft-com:office:spreadsheet"
_FROM_1904 = "{urn:schemas-microsoft-com:office:excel}Date1904"
_PIECE = 1024 * 1024
_SHEET, _TABLE, _COLUMN, _ROW, _CELL, _DATA, _STYLE, _FORMAT = (
    f"{{{SPACE}}}{name}" for name in ("Worksheet", "Table", "Column", "Row", "Cell", "Data", "Style", "NumberFormat")
)
_EVENTS_OF = (_SHEET, _COLUMN, _ROW, _STYLE, _FROM_1904)
_NAMES = ("Name", "ID", "Parent", "Format", "Index", "Span", "StyleID", "Formula", "MergeAcross", "MergeDown", "Type")
_LOCAL = {prefix + name: name for name in _NAMES for prefix in (f"{{{SPACE}}}", "")}  # some programs leave prefixes out
_EMPTY: list[Value] = []


Marks = dict[str, str]  # the attributes of an element


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
        file, events=("start", "end"), tag=_EVENTS_OF, resolve_entities=False, no_network=True, huge_tree=True,
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
            self._sheet = Sheet(_marks(element).get("Name", ""))
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
            self._column(_marks(element))
        elif element.tag == _SHEET:
            sheet, self._sheet = self._sheet, None
            _forget(element)
            return sheet
        return None

    def _style(self, element: Any) -> None:
        marks, own = _marks(element), element.find(_FORMAT)
        inherited = self._shown.get(marks.get("Parent", ""), Shown.NUMBER)
        code = None if own is None else _marks(own).get("Format", "")
        self._shown[marks.get("ID", "")] = inherited if code is None else shown_by_format(code)

    def _column(self, marks: Marks) -> None:
        first = _number(marks, "Index") or (self._columns[-1][1] + 1 if self._columns else 1)
        shown = self._shown.get(marks.get("StyleID", ""), Shown.NUMBER)
        self._columns.append((first, first + _number(marks, "Span"), shown))

    def _row(self, element: Any, sheet: Sheet) -> None:
        marks = _marks(element)
        place = _number(marks, "Index") or sheet.height + 1
        if place <= sheet.height:
            raise ValueError("rows overlap")
        sheet.skip(place - 1 - sheet.height)
        row: list[Value] = []
        last = after = 0  # the last cell's column, and the last one that it covers
        for cell in element.iterchildren(_CELL):
            own = _marks(cell)
            column = _number(own, "Index") or after + 1
            if column <= last or column > MOST_CELLS:
                raise ValueError("cells overlap" if column <= last else "a cell lies too far to the right")
            row += [""] * (column - 1 - len(row))
            row.append(self._value(cell, own, marks, column))
            last, after = column, column + _number(own, "MergeAcross")
            _merge(own, place, column, sheet)
        sheet.add(row)
        sheet.skip(_number(marks, "Span"))

    def _value(self, cell: Any, own: Marks, row: Marks, column: int) -> Value:
        found = [child for child in cell if child.tag == _DATA]
        if not found:
            self._count(unvalued="Formula" in own)
            return ""
        if len(found) > 1:
            raise ValueError("a cell has two values")
        (data,) = found
        kind = _marks(data).get("Type", "")
        if kind == "Error":
            self._count(errors=True)
            return ""
        text = "".join(data.itertext()) if len(data) else data.text or ""
        shown = self._shown_in(own.get("StyleID") or row.get("StyleID"), column) if kind == "DateTime" else Shown.NUMBER
        return value_of(kind, text, shown, is_1904=self._is_1904)

    def _count(self, *, unvalued: bool = False, errors: bool = False) -> None:
        if self._sheet is not None:
            self._sheet.unvalued += unvalued
            self._sheet.errors += errors

    def _shown_in(self, style: str | None, column: int) -> Shown:
        """What a cell in COLUMN shows, by the STYLE of its own or its row's, or by its column's."""
        if style:
            return self._shown.get(style, Shown.NUMBER)
        return next((shown for first, last, shown in self._columns if first <= column <= last), Shown.NUMBER)


def _merge(cell: Marks, row: int, column: int, sheet: Sheet) -> None:
    down, across = _number(cell, "MergeDown"), _number(cell, "MergeAcross")
    if down or across:
        sheet.merged_cell_ranges.append(((row - 1, column - 1), (row - 1 + down, column - 1 + across)))


def _is_in_sheet(row: Any) -> bool:
    table = row.getparent()
    return table is not None and table.tag == _TABLE and table.getparent().tag == _SHEET


def _marks(element: Any) -> Marks:
    """ELEMENT's attributes, by their names without a prefix."""
    return {_LOCAL[name]: value for name, value in element.items() if name in _LOCAL}


def _number(marks: Marks, name: str) -> int:
    text = marks.get(name)
    number = int(text) if text else 0
    if number < 0:
        raise ValueError(f"{name} is {number}")
    return number


def _forget(element: Any) -> None:
    """Frees what ELEMENT and those before it hold."""
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]
