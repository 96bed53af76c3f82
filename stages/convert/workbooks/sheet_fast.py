"""A sheet that is plainly one table, read by kernels: a header in its first row, records below."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from pipeline.model import Column
from stages.convert.family import Bench
from stages.convert.values import header
from stages.convert.values.header import Header
from stages.convert.workbooks import cells, sheet_cells, sheet_styles
from stages.convert.workbooks.regions import LOOK, facts_of
from stages.convert.workbooks.sheet_cells import Cells
from stages.convert.workbooks.sheet_xml import BROKEN, Package, Part

# Of days counted from 1900 and from 1904: what's before is a time of day or none at all,
_FIRST_DAYS = (dt.date(1900, 1, 2), dt.date(1904, 1, 2))
_LAST_DAY = dt.date(9999, 12, 31)  # what's after is a number,
_UNSURE = (dt.date(1900, 2, 28), dt.date(1900, 3, 1))  # and one of these may be the February 29 that never was


def read_plain(name: str, title: str, package: Package, member: str, bench: Bench) -> Part | None:
    """Makes a table of the sheet with NAME if it's that plain, and gives what its XML says; None, and nothing made, where
    it isn't."""
    loaded = None if bench.is_text_only else _load(package, member)
    if loaded is None or len(loaded.columns) > bench.limits.max_columns:
        return None
    found = _header(loaded)
    if found is None or _has_blank_rows(loaded):
        return None
    first_day = _FIRST_DAYS[sheet_styles.is_1904(package)]
    typed = [_typed(column, first_day) for column in loaded.columns]
    columns = [column for column in typed if column is not None]
    if len(columns) != len(typed):
        return None
    sheet = bench.sheet(title)
    sheet.write(pl.DataFrame([column.alias(key) for key, (column, _kind) in zip(found.names, columns, strict=True)]))
    right = loaded.left + len(columns)
    sheet.facts = {
        "sheet": name,
        **loaded.part.facts(),
        **facts_of(loaded.top, loaded.top + 1 + loaded.rows, loaded.left, right, found),
    }
    kinds = [Column(name=key, type=kind) for key, (_column, kind) in zip(found.names, columns, strict=True)]
    sheet.finish(loaded.rows, kinds)
    return loaded.part


def _load(package: Package, member: str) -> Cells | None:
    try:
        return sheet_cells.load(package, member)
    except BROKEN:
        return None


def _header(loaded: Cells) -> Header | None:
    """The header, if that's the first row and what's below is unlike it."""
    try:
        rows = zip(*(column.head(LOOK - 1).to_list() for column in loaded.columns), strict=True)
        top = [loaded.names, *([cells.as_text(cell) or "" for cell in row] for row in rows)]
    except (ValueError, OverflowError):  # a date after the year 9999
        return None
    found = header.decide(top)
    return found if found.is_present and found.skip == 1 and found.width == len(loaded.names) else None


def _has_blank_rows(loaded: Cells) -> bool:
    if any(column.null_count() == 0 for column in loaded.columns):
        return False
    frame = pl.DataFrame([column.alias(str(index)) for index, column in enumerate(loaded.columns)])
    return not frame.filter(pl.all_horizontal(pl.all().is_null())).is_empty()


def _typed(column: pl.Series, first_day: dt.date) -> tuple[pl.Series, str] | None:
    """COLUMN with the narrowest type that changes no value; None for what is to be looked at cell by cell."""
    dtype: Any = column.dtype
    if dtype == pl.Float64:
        is_whole = (column == column.floor()).all() and (column.abs().max() or 0) < cells.EXACT  # type: ignore[operator]
        return (column.cast(pl.Int64), cells.INTEGER) if is_whole else (column, cells.DOUBLE)
    if dtype == pl.Null:
        return column.cast(pl.String), cells.TEXT
    if isinstance(dtype, pl.Datetime):
        return _moments(column, first_day)
    return column, _PLAIN[dtype]


_PLAIN: dict[Any, str] = {pl.String: cells.TEXT, pl.Boolean: cells.BOOLEAN, pl.Time: cells.TIME}


def _moments(column: pl.Series, first_day: dt.date) -> tuple[pl.Series, str] | None:
    days = column.cast(pl.Date)
    if ((days < first_day) | (days > _LAST_DAY) | days.is_between(*_UNSURE)).any():
        return None
    if (days.cast(column.dtype) == column).all():
        return days, cells.DATE
    return column.cast(pl.Datetime("us")), cells.TIMESTAMP
