"""Writes one sheet of an Excel workbook, row by row, in constant memory. Only what a table needs: text and numbers."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Final
from xml.sax.saxutils import escape

MAX_ROWS: Final = 1_048_576  # of a sheet, the header among them
MAX_COLUMNS: Final = 16_384
_MAX_TEXT: Final = 32_767  # characters of a cell
_MAX_DIGITS: Final = 15  # that a number in Excel keeps
_SHEETS: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_KIND: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"

_PARTS: Final = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_KIND}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1"'
    f' Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1"'
    f' Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
}


def write(path: Path, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a workbook with the sheet NAME to PATH. Raises ValueError for more rows or columns than a sheet has."""
    if len(columns) > MAX_COLUMNS:
        raise ValueError(f"{len(columns)} columns are more than a sheet has")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        for part, content in _PARTS.items():
            book.writestr(part, _HEAD + content)
        sheet = escape(name[:31], {'"': "&quot;"})
        book.writestr(
            "xl/workbook.xml",
            f'{_HEAD}<workbook xmlns="{_SHEETS}" xmlns:r="{_OFFICE}"><sheets>'
            f'<sheet name="{sheet}" sheetId="1" r:id="rId1"/></sheets></workbook>',
        )
        with book.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as file:
            _write_sheet(file, columns, rows)


def _write_sheet(file: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    file.write(f'{_HEAD}<worksheet xmlns="{_SHEETS}"><sheetData>'.encode())
    file.write(_row(columns))
    for number, row in enumerate(rows, 2):
        if number > MAX_ROWS:
            raise ValueError(f"more than {MAX_ROWS} rows don't fit a sheet")
        file.write(_row(row))
    file.write(b"</sheetData></worksheet>")


def _row(values: Sequence[Any]) -> bytes:
    return f"<row>{''.join(map(_cell, values))}</row>".encode("utf-8", "replace")


def _cell(value: Any) -> str:
    """VALUE as a number where Excel keeps it as it is, else as text."""
    if value is None:
        return "<c/>"
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float) and math.isfinite(value) and sum(map(str.isdigit, str(value))) <= _MAX_DIGITS:
        return f"<c><v>{value}</v></c>"
    text = "".join(char for char in str(value)[:_MAX_TEXT] if char >= " " or char in "\t\n")
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'
