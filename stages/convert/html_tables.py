"""HTML pages: a table for each <table> with records in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stages.convert.family import Bench, Head
from stages.convert.source import Source
from stages.convert.text import encoding
from stages.convert.text.text_rows import write_rows
from stages.convert.values.header import decide

_SUFFIXES = (".html", ".htm", ".xhtml")
LARGEST = 32 * 1024 * 1024  # bytes of a page; more is kept as it is
_SPAN = 1000  # columns or rows that one cell covers at most

Grid = list[list[str]]


class HtmlTables:
    """The family of HTML pages."""

    name = "html"

    def sniff(self, head: Head) -> float:
        """By its name, or by what a page begins with (some spreadsheets are pages named .xls)."""
        start = head.data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1000].lower()
        is_page = start.startswith((b"<!doctype html", b"<html", b"<table")) or b"<html" in start
        return 0.98 if is_page else 0.5 if head.suffix in _SUFFIXES else 0.0

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes a table of each table that has a record; a page without one is kept as it is."""
        if source.length > LARGEST:
            return
        grids = [grid for element in _tables(source, head) if (grid := _grid(element)) and len(grid) > 1]
        for number, grid in enumerate(grids, 1):
            _write(grid, str(number) if len(grids) > 1 else "", bench)


def _tables(source: Source, head: Head) -> list[Any]:
    """The innermost tables of the page."""
    from lxml import etree  # type: ignore[import-untyped] # it ships no types

    found = encoding.detect(head.data, is_whole=head.is_whole)
    data = source.read(0, source.length)
    declared = None
    if found is not None and (found.bom or b"charset" not in data[:4096].lower()):
        data, declared = encoding.to_utf8(data[found.bom :], found.codec), "utf-8"  # the parser knows few encodings
    parser = etree.HTMLParser(no_network=True, recover=True, encoding=declared, huge_tree=False)
    try:
        page = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        return []
    return [] if page is None else page.xpath("//table[not(.//table)]")


def _grid(table: Any) -> Grid:
    """TABLE's cells in rows, those that cover more repeated."""
    grid: list[dict[int, str]] = []
    waiting: dict[int, dict[int, str]] = {}  # cells that reach down, by row
    for number, row in enumerate(table.xpath(".//tr")):
        cells = dict(waiting.pop(number, {}))
        column = 0
        for cell in row.xpath("./td|./th"):
            while column in cells:
                column += 1
            text = " ".join("".join(cell.itertext()).split())
            for across in range(_span(cell, "colspan")):
                cells[column + across] = text
                for down in range(1, _span(cell, "rowspan")):
                    waiting.setdefault(number + down, {})[column + across] = text
            column += _span(cell, "colspan")
        grid.append(cells)
    width = max((max(cells) + 1 for cells in grid if cells), default=0)
    return [[cells.get(column, "") for column in range(width)] for cells in grid if any(cells.values())]


def _span(cell: Any, name: str) -> int:
    value = cell.get(name, "1")
    return min(max(1, int(value)), _SPAN) if value.isascii() and value.isdigit() else 1


def _write(grid: Grid, title: str, bench: Bench) -> None:
    top = decide(grid)
    records: Sequence[list[str]] = grid[top.skip :]
    if not records or top.width > bench.limits.max_columns:
        return
    facts: dict[str, Any] = {"has_header": top.is_present, "header_confidence": top.confidence}
    write_rows(top.names, lambda: records, len(records), bench, title=title, facts=facts)
