"""Cells with a formula and without what it came to: who wrote them didn't reckon. They are NULL, and a note says so."""

from __future__ import annotations

import contextlib
import html
import re
import struct
from collections.abc import Mapping

import numpy as np

from stages.convert.workbooks.sheet_old import Endless, records, streams

ERRORS = "error values, whose cells are NULL"
WORDS = "formulas without a stored result, whose cells are NULL"

# A cell of an XLSX file; an empty text is written down as a value, in a cell of type `str`. To look for the whole of it
# costs, so that its end is looked for first.
_NO_VALUE = rb"\s*(?:<(?:\w+:)?v\s*/>\s*|<(?:\w+:)?v>\s*</(?:\w+:)?v>\s*)?"
_FORMULA = rb"<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)"
_CELL, _END_OF_CELL = rb"<(?:\w+:)?c\b", rb"</(?:\w+:)?c>"
_TEXT = rb"[^>]*\bt=[\"']str[\"']"
_ENDS = (re.compile(rb"f>" + _NO_VALUE + _END_OF_CELL), re.compile(rb"f\b[^<>]*/>" + _NO_VALUE + _END_OF_CELL))
_UNVALUED = re.compile(
    _CELL + rb"(?!" + _TEXT + rb")[^>]*>\s*" + _FORMULA + _NO_VALUE + _END_OF_CELL
    + rb"|" + _CELL + _TEXT + rb"[^>]*>\s*" + _FORMULA + rb"\s*" + _END_OF_CELL
)  # fmt: skip

# The same in an ODS file.
_TABLE = re.compile(rb"<table:table\s[^>]*?\btable:name=(?:\"([^\"]*)\"|'([^']*)')[^>]*>")
_OPEN_CELL = re.compile(
    rb"<table:table-cell\b(?=[^>]*\btable:formula=)(?![^>]*\boffice:value-type=)(?:[^>]*?-columns-repeated=\"([0-9]+)\")?[^>]*>"
)

_OLD_FORMULAS = frozenset((0x0006, 0x0406))
_STRIP = 128 * 1024  # bytes looked at in one go
_F, _OPEN, _COLON = b"f<:"
_NOTHING = struct.pack("<Q", 0xFFFF000000000003)  # an empty text too


def count(text: bytes) -> int:
    """How many there are in TEXT of a sheet of an XLSX file."""
    return len(_UNVALUED.findall(text)) if _may_have_one(text) and any(end.search(text) for end in _ENDS) else 0


def _may_have_one(text: bytes) -> bool:
    """Whether an element of TEXT may be a formula: a search for so short a word takes ten times as long."""
    array = np.frombuffer(text, np.uint8)
    for start in range(0, array.size, _STRIP):
        strip = array[start : start + _STRIP + 1]
        before = strip[:-1][strip[1:] == _F]
        if ((before == _OPEN) | (before == _COLON)).any():
            return True
    return False


def by_table(content: bytes) -> dict[str, int]:
    """How many there are in each table of the CONTENT of an ODS file that has some."""
    heads = list(_TABLE.finditer(content)) if _OPEN_CELL.search(content) else []
    ends = [head.start() for head in heads[1:]] + [len(content)]
    found = {}
    for head, end in zip(heads, ends, strict=True):
        cells = _OPEN_CELL.finditer(content, head.end(), end)
        found[html.unescape((head[1] or head[2] or b"").decode("utf-8", "replace"))] = sum(
            int(cell[1] or 1) for cell in cells
        )
    return found


def in_old(data: bytes) -> int:
    """How many formulas of the old binary workbook DATA came to nothing: with no result, or an empty text, which looks
    the same."""
    with contextlib.suppress(struct.error, IndexError, Endless):
        return sum(
            kind in _OLD_FORMULAS and stream.records[at + 6 : at + 14] == _NOTHING
            for stream in streams(data)
            if _NOTHING in stream.records
            for kind, at, _size in records(stream.records)
        )
    return 0


def notes(what: str, counts: Mapping[str, int]) -> list[str]:
    """What people are told of WHAT, of which there are COUNTS by sheet; nothing where there are none. A sheet without a
    name is all of a file."""
    places = [f"{number:,} in {name}" if name else f"{number:,}" for name, number in counts.items() if number]
    return [f"{what}: {', '.join(places)}"] if places else []
