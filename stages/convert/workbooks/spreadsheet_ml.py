"""XML Spreadsheet 2003, which Excel and many programs write as .xml or .xls: a table for each region of a sheet.

One parser (expat) counts each sheet's rows with a value, another (lxml) reads them; neither fetches anything, and a file
that declares entities is refused.
"""

from __future__ import annotations

import itertools
import re
from typing import Any
from xml.parsers import expat

from stages.convert import reasons
from stages.convert.account import check
from stages.convert.family import Bench, Head, Refused
from stages.convert.source import Source
from stages.convert.workbooks import sheet_unvalued
from stages.convert.workbooks.sheet_area import TooFarApart
from stages.convert.workbooks.sheet_grid import Grid, read_grid
from stages.convert.workbooks.sheet_xml import Part
from stages.convert.workbooks.spreadsheet_sheet import SPACE, sheets

LARGEST = 256 * 1024 * 1024  # bytes of XML whose cells are held at once
_BEFORE = rb"(?>\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>)*+"  # the root
_ROOT = re.compile(_BEFORE + rb"<(?:\w+:)?Workbook\s[^>]*[\"']" + SPACE.encode() + rb"[\"']", re.DOTALL)
_MARKS = (b"\xff\xfe", b"\xfe\xff")
_PIECE = 1024 * 1024
_VALUE = [f"{SPACE}}}{name}" for name in ("Workbook", "Worksheet", "Table", "Row", "Cell", "Data")]
_SHEET, _ROW = _VALUE[:2], _VALUE[:4]
_PLACES = {child: {parent} for parent, child in itertools.pairwise(_VALUE)}  # elements that hold what's to be read
_PLACES[_VALUE[-1]].add(f"{SPACE}}}Comment")
_TYPE = f"{SPACE}}}Type"


class SpreadsheetMl:
    """The family of XML spreadsheets."""

    name = "spreadsheet_ml"

    def sniff(self, head: Head) -> float:
        """By the element that it begins with, whatever its name."""
        start = head.data[:8192]
        if start.startswith(_MARKS):
            start = start.decode("utf-16", "ignore").encode()
        return 0.99 if _ROOT.match(start.removeprefix(b"\xef\xbb\xbf")) else 0.0

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes a table of each region of each sheet. Raises Refused."""
        if source.length > LARGEST:
            raise Refused(reasons.workbook_too_large(source.length, "spreadsheet"))
        try:
            self._read(source, bench)
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise Refused(reasons.corrupt(f"it isn't a well-formed spreadsheet ({error})")) from error
        except TooFarApart as error:
            raise Refused(reasons.cells_far_apart()) from error

    def _read(self, source: Source, bench: Bench) -> None:
        counted = _counted(source)
        empty, unvalued, errors = [], dict[str, int](), dict[str, int]()
        for number, sheet in enumerate(sheets(source)):
            check(f"{source.path}, {sheet.name}", counted[number], sheet.filled(), 0)
            part = Part(sheet.errors, sheet.unvalued)
            if not read_grid(Grid(sheet, sheet.name), sheet.name if len(counted) > 1 else "", part, bench):
                empty.append(sheet.name)
            unvalued[sheet.name], errors[sheet.name] = sheet.unvalued, sheet.errors
            bench.progress(source.length * (number + 1) // len(counted))
        bench.notes += sheet_unvalued.notes(sheet_unvalued.WORDS, unvalued) + sheet_unvalued.notes(
            sheet_unvalued.ERRORS, errors
        )
        if not bench.tables:
            raise Refused(reasons.no_records("all of its sheets are empty"))
        if empty:
            bench.notes.append(f"empty sheets: {', '.join(empty)}")


def _counted(source: Source) -> list[int]:
    """How many rows of each sheet have a value. Raises ExpatError, LookupError, ValueError, Refused."""
    counter = _Counter()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = counter.start
    parser.EndElementHandler = counter.end
    parser.CharacterDataHandler = counter.text
    parser.EntityDeclHandler = _refuse
    for at in range(0, source.length, _PIECE):
        parser.Parse(source.read(at, _PIECE), False)
    parser.Parse(b"", True)
    return counter.rows


def _refuse(*_declaration: Any) -> None:
    what = "it declares entities of its own, which spreadsheets don't have"
    raise Refused(reasons.unsupported(what, "Save it again as an XLSX file and send that."))


class _Counter:
    """Counts rows with a value by sheet."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self._path: list[str] = []
        self._is_filled = self._is_value = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins. Raises ValueError where it can't stand, so that it wouldn't be read."""
        path = self._path
        if name in _PLACES and (not path or path[-1] not in _PLACES[name]):
            raise ValueError(f"an element {name.partition('}')[2]} stands where it can't")
        path.append(name)
        if len(path) == len(_VALUE) and path == _VALUE:
            self._is_value = attributes.get(_TYPE, attributes.get("Type")) != "Error"
        elif path == _SHEET:
            self.rows.append(0)

    def text(self, _text: str) -> None:
        """Some text."""
        self._is_filled |= self._is_value

    def end(self, _name: str) -> None:
        """An element ends."""
        if len(self._path) == len(_VALUE):
            self._is_value = False
        elif self._path == _ROW:
            self.rows[-1] += self._is_filled
            self._is_filled = False
        self._path.pop()
