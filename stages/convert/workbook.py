"""Workbooks: XLSX, XLSM, XLSB, XLS and ODS, one table a sheet."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import python_calamine

from stages.convert import cells, header, reasons
from stages.convert.family import Context, Head, Reading
from stages.convert.sheet import Sheet
from stages.convert.source import Source
from stages.handover import TablePart

_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class Workbook:
    """The family of spreadsheets."""

    name = "workbook"

    def sniff(self, head: Head) -> float:
        """By its name, or as a zip whose first members are a workbook's."""
        if head.suffix in _SUFFIXES:
            return 0.97
        if head.data.startswith(b"PK\x03\x04") and (b"xl/" in head.data or b"opendocument.spreadsheet" in head.data):
            return 0.97
        return 0.0

    def read(self, source: Source, head: Head, context: Context) -> Reading:
        """A table for each sheet that has cells."""
        data = source.read(0, source.length)
        problem = _damage(data, head)
        if problem is not None:
            return problem
        try:
            book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        except python_calamine.PasswordError:
            return Reading(reason=reasons.encrypted())
        except (python_calamine.CalamineError, OSError, zipfile.BadZipFile) as error:
            return Reading(reason=reasons.corrupt(f"the workbook can't be opened ({error})"))
        return _sheets(book, source, context)


def _damage(data: bytes, head: Head) -> Reading | None:
    """A reason where DATA isn't what a workbook's name says."""
    if data.startswith(_OLE):
        return None
    if not data.startswith(b"PK"):
        return (
            None
            if head.suffix == ".xls" and data[:1] == b"\x09"
            else Reading(reason=reasons.corrupt("its name says a workbook, but it isn't one inside"))
        )
    if b"PK\x05\x06" not in data[-70_000:]:
        return Reading(reason=reasons.truncated("the workbook's directory at its end is missing"))
    return None


def _sheets(book: python_calamine.CalamineWorkbook, source: Source, context: Context) -> Reading:
    tables, empty = [], []
    for number, name in enumerate(book.sheet_names):
        sheet = book.get_sheet_by_name(name)
        rows = sheet.to_python(skip_empty_area=True)
        filled = [row for row in rows if any(cell != "" for cell in row)]
        if len(filled) < 1:
            empty.append(name)
            continue
        title = name if len(book.sheet_names) > 1 else ""
        tables.append((title, name, filled))
        context.progress(source.length * (number + 1) // (len(book.sheet_names) + 1))
    parts = [
        _table(source, context, title, filled, {"sheet": name, "empty_sheets": empty}) for title, name, filled in tables
    ]
    if not parts:
        return Reading(reason=reasons.no_records("all of its sheets are empty"))
    return Reading(tables=tuple(parts))


def _table(
    source: Source, context: Context, title: str, rows: Sequence[Sequence[object]], facts: dict[str, object]
) -> TablePart:
    texts = [[cells.as_text(cell) or "" for cell in row] for row in rows[:60]]
    top = header.decide(texts)
    data = rows[top.skip :]
    sheet = Sheet(context.drawer, source.path, title)
    frame, columns = cells.frame(data, list(top.names))
    sheet.write(frame)
    sheet.facts = {**facts, "has_header": top.is_present, "header_confidence": round(top.confidence, 3)}
    sheet.facts["skipped_before_data"] = ["\t".join(row).strip() for row in texts[: max(0, top.skip - top.is_present)]]
    return sheet.finish(len(data), columns)
