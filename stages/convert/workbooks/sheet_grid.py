"""A sheet of any look, cell by cell: its regions, merged headers, columns of mixed kinds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import polars as pl

from pipeline.model import Column
from stages.convert import reasons
from stages.convert.family import Bench, Refused
from stages.convert.values.header import Header, unique_names
from stages.convert.workbooks import cells, regions
from stages.convert.workbooks.regions import Region
from stages.convert.workbooks.sheet_xml import BROKEN, Package, Part

_ROWS = 20_000  # in a block
_HEADERS = 3  # rows that a merged header has at most
MERGED = 2 * _HEADERS  # rows of a table in which cells merged into one may be a header's

Row = Sequence[Any]


class Merge(NamedTuple):
    """Cells merged into one: rows TOP to BOTTOM, columns LEFT to RIGHT, the ends included."""

    top: int
    bottom: int
    left: int
    right: int


class Sheet(Protocol):
    """A sheet as the engine gives it."""

    @property
    def height(self) -> int:
        """How many rows it has, from the first one with a value to the last."""
        ...

    @property
    def width(self) -> int:
        """How many columns lie between the first filled one and the last."""
        ...

    @property
    def start(self) -> tuple[int, int] | None:
        """The row and the column of its first values, from 0; None for an empty one."""
        ...

    @property
    def merged_cell_ranges(self) -> Sequence[tuple[tuple[int, int], tuple[int, int]]] | None:
        """Cells merged into one: the rows and columns of the first and the last one."""
        ...

    def iter_rows(self) -> Iterator[Row]:
        """Its rows from its very first on, each from the first filled column on."""
        ...


class Grid:
    """The cells of SHEET, which has NAME, in rows that can be gone through again."""

    def __init__(self, sheet: Sheet, name: str, package: Package | None = None, member: str = "") -> None:
        self._sheet = sheet
        self._package = package
        self._member = member
        self.name = name

    def rows(self) -> Iterator[Row]:
        """The sheet's rows from its very first on, each from the first filled column on."""
        return iter(self._sheet.iter_rows()) if self._sheet.height else iter(())

    def span(self, first: int, last: int) -> list[Row]:
        """Rows FIRST up to LAST."""
        return list(itertools.islice(self.rows(), first, last))

    @property
    def width(self) -> int:
        """How many columns lie between the first filled one and the last."""
        return int(self._sheet.width)

    @property
    def left(self) -> int:
        """The sheet's column in which rows start, from 0."""
        start = self._sheet.start
        return int(start[1]) if start else 0

    def merges(self) -> list[Merge]:
        """The merged ranges; columns count from the first filled one."""
        left = self.left
        ranges = self._sheet.merged_cell_ranges or ()  # some have their last cell first
        ends = ((sorted(rows), sorted(columns)) for rows, columns in (zip(*corners, strict=True) for corners in ranges))
        return [Merge(top, bottom, first - left, last - left) for (top, bottom), (first, last) in ends]

    def counted(self) -> int | None:
        """How many filled rows the sheet's own XML has; None where that can't be told."""
        if self._package is None or not self._member:
            return None
        try:
            return self._package.filled_rows(self._member)
        except BROKEN:
            return None


def read_grid(grid: Grid, title: str, part: Part, bench: Bench) -> bool:
    """Makes a table of each region of GRID, of which PART is said; False where it's empty. Raises Refused."""
    if grid.width > bench.limits.max_columns:
        raise Refused(reasons.too_many_columns(grid.width, bench.limits.max_columns))
    masks = [_mask(row) for row in grid.rows()]
    if not any(masks):
        return False
    found = regions.find(masks, lambda first, last: [_texts(row) for row in grid.span(first, last)])
    counted = grid.counted()
    filled = sum(map(bool, masks))
    facts: dict[str, Any] = {"sheet": grid.name, **part.facts()}
    if counted is not None and counted != filled:
        facts["rows_of_errors_only"] = counted - filled
    for number, region in enumerate(found, 1):
        name = " ".join(filter(None, (title, str(number) if len(found) > 1 else "")))
        _Table(grid, masks, region, bench).read(name, facts)
    return True


def _mask(row: Row) -> int:
    mask = 0
    for column, cell in enumerate(row):
        if cell != "" and cell is not None:
            mask |= 1 << column
    return mask


def _texts(row: Row) -> list[str]:
    return [cells.as_text(cell) or "" for cell in row]


class _Table:
    """The table in a region."""

    def __init__(self, grid: Grid, masks: Sequence[int], region: Region, bench: Bench) -> None:
        self._grid = grid
        self._masks = masks
        self._region = region
        self._bench = bench
        self._columns = ((1 << (region.right - region.left)) - 1) << region.left
        self._header = _merged_header(grid, region) or region.header
        self._first = region.first + self._header.skip

    def read(self, title: str, facts: dict[str, Any]) -> None:
        """Makes it."""
        kinds = self._kinds()
        names = self._header.names
        sheet = self._bench.sheet(title)
        for block in self._blocks():
            sheet.write(pl.DataFrame(self._made(block, names, kinds)))
        if not any(True for _block in self._blocks()):
            sheet.write(pl.DataFrame(self._made([], names, kinds)))
        sheet.facts = {**facts, **self._facts()}
        columns = [Column(name=name, type=kind or cells.TEXT) for name, kind in zip(names, kinds, strict=True)]
        read = sum(1 for mask in self._masks[self._first : self._region.last] if mask & self._columns)
        sheet.finish(read, columns)

    def _facts(self) -> dict[str, Any]:
        region, left = self._region, self._grid.left
        facts = regions.facts_of(region.first, region.last, left + region.left, left + region.right, self._header)
        before = self._grid.span(region.first, self._first - self._header.is_present)
        skipped = ["\t".join(_texts(row[region.left : region.right])).strip() for row in before]
        if any(skipped):
            facts["skipped_before_data"] = "\n".join(skipped)
        return facts

    def _blocks(self) -> Iterator[list[Row]]:
        """The records, some at a time."""
        region = self._region
        rows = itertools.islice(self._grid.rows(), self._first, region.last)
        wanted = (
            row[region.left : region.right]
            for row, mask in zip(rows, self._masks[self._first : region.last], strict=True)
            if mask & self._columns
        )
        while block := list(itertools.islice(wanted, _ROWS)):
            yield block

    def _kinds(self) -> list[str]:
        width = len(self._header.names)
        if self._bench.is_text_only:
            return [cells.TEXT] * width
        kinds = [cells.NOTHING] * width
        for block in self._blocks():
            kinds = [cells.kind_of(column, kind) for column, kind in zip(_columns(block, width), kinds, strict=True)]
        return kinds

    def _made(self, block: Sequence[Row], names: Sequence[str], kinds: Sequence[str]) -> list[pl.Series]:
        columns = _columns(block, len(names))
        return [cells.column(*parts) for parts in zip(names, columns, kinds, strict=True)]


def _columns(block: Sequence[Row], width: int) -> list[list[Any]]:
    return [[row[index] if index < len(row) else None for row in block] for index in range(width)]


def _merged_header(grid: Grid, region: Region) -> Header | None:
    """The header of REGION where merged cells make it, of one row or more; None where none do."""
    width = region.right - region.left
    near = [
        merge
        for merge in grid.merges()
        if region.first <= merge.top < region.first + MERGED
        and region.left <= merge.left < region.right
        and merge.right - merge.left + 1 < width
    ]
    if not near:
        return None
    top = min(merge.top for merge in near)
    starting = [merge for merge in near if merge.top == top]
    depth = max(merge.bottom - top + 1 + (merge.right > merge.left) for merge in starting)
    if depth > _HEADERS or top + depth >= region.last:
        return None
    rows = [list(_texts(row)) for row in grid.span(top, top + depth)]
    for merge in near:
        for row in range(merge.top, min(merge.bottom + 1, top + depth)):
            span = slice(merge.left, merge.right + 1)
            rows[row - top][span] = [rows[merge.top - top][merge.left]] * (merge.right - merge.left + 1)
    parts = zip(*(row[region.left : region.right] for row in rows), strict=True)
    names = unique_names([" ".join(dict.fromkeys(filter(None, column))) for column in parts])
    return Header(names, top + depth - region.first, True, 0.9)
