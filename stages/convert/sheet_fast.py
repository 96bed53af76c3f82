"""A sheet that is plainly one table, read by fastexcel: a header in its first row, one kind of cell in each column."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl

from pipeline.model import Column
from stages.convert import cells, header, sheet_halves, sheet_styles
from stages.convert.family import Bench
from stages.convert.sheet_xml import BROKEN, Package, Part

_LOOK = 60  # rows from which the header is judged
# Of days counted from 1900 and from 1904: what's before is a time of day or none at all,
_FIRST_DAYS = (dt.date(1900, 1, 2), dt.date(1904, 1, 2))
_LAST_DAY = dt.date(9999, 12, 31)  # what's after is a number,
_UNSURE = (dt.date(1900, 2, 28), dt.date(1900, 3, 1))  # and one of these may be the February 29 that never was


def read_plain(data: bytes, name: str, title: str, package: Package, member: str, bench: Bench) -> Part | None:
    """Makes a table of the sheet with NAME if it's that plain, and gives what its XML says; None, and nothing made, where
    it isn't."""
    if bench.is_text_only:
        return None
    loaded = _by_two(package, member, name) or _by_one(data, name, package, member)
    if loaded is None:
        return None
    frame, part = loaded
    if not frame.height or frame.width > bench.limits.max_columns or not _has_header(frame):
        return None
    blank = frame.filter(pl.all_horizontal(pl.all().is_null())).height
    if blank or part.rows - 1 != frame.height:
        return None
    first_day = _FIRST_DAYS[sheet_styles.is_1904(package)]
    typed = [_typed(column, first_day) for column in frame.get_columns()]
    found = [column for column in typed if column is not None]
    booleans = sum(column.len() - column.null_count() for column, kind in found if kind == cells.BOOLEAN)
    if len(found) != len(typed) or part.booleans != booleans:
        return None
    names = header.unique_names(frame.columns)
    sheet = bench.sheet(title)
    sheet.write(pl.DataFrame([column.alias(key) for key, (column, _kind) in zip(names, found, strict=True)]))
    sheet.facts = {"has_header": True, "sheet": name, "error_cells": part.errors}
    columns = [Column(name=key, type=kind) for key, (_column, kind) in zip(names, found, strict=True)]
    sheet.finish(part.rows - 1, columns)
    return part


def _by_two(package: Package, member: str, name: str) -> tuple[pl.DataFrame, Part] | None:
    """The sheet with its first row as names, and what its XML says by itself; None where that isn't for two threads."""
    try:
        return sheet_halves.load(package, member, name) if sheet_halves.is_worth_it(package, member) else None
    except BROKEN:
        return None


def _by_one(data: bytes, name: str, package: Package, member: str) -> tuple[pl.DataFrame, Part] | None:
    """The same for a sheet of any size; None where a column's cells are of different kinds."""
    with ThreadPoolExecutor(1) as aside:
        looking = aside.submit(_look, package, member)  # while the engine reads
        frame = _load(data, name)
        part = looking.result()
    return (frame, part) if frame is not None and part is not None else None


def _look(package: Package, member: str) -> Part | None:
    """What the sheet's XML says by itself; None where it can't be read."""
    try:
        return package.look(member)
    except BROKEN:
        return None


def _load(data: bytes, name: str) -> pl.DataFrame | None:
    """The sheet with its first row as names; None where a column's cells are of different kinds."""
    import fastexcel

    try:
        sheet = fastexcel.read_excel(data).load_sheet(
            name, header_row=0, schema_sample_rows=None, dtype_coercion="strict"
        )
        return sheet.to_polars()
    except fastexcel.FastExcelError:
        return None


def _has_header(frame: pl.DataFrame) -> bool:
    """Whether FRAME's names are a header: of each column one, and unlike what's below."""
    if any(name.startswith("__UNNAMED__") or not name.strip() for name in frame.columns):
        return False
    try:
        rows = frame.head(_LOOK).rows()
    except (ValueError, OverflowError):  # a date after the year 9999
        return False
    top = [list(frame.columns), *([cells.as_text(cell) or "" for cell in row] for row in rows)]
    found = header.decide(top)
    return found.is_present and found.skip == 1 and found.width == frame.width


def _typed(column: pl.Series, first_day: dt.date) -> tuple[pl.Series, str] | None:
    """COLUMN with the narrowest type that changes no value; None for what is to be looked at cell by cell."""
    dtype: Any = column.dtype
    if dtype == pl.String:
        return column.replace("", None) if (column == "").any() else column, cells.TEXT
    if dtype == pl.Boolean:
        return column, cells.BOOLEAN
    if dtype == pl.Float64:
        is_whole = (column == column.floor()).all() and (column.abs().max() or 0) < cells.EXACT  # type: ignore[operator]
        return (column.cast(pl.Int64), cells.INTEGER) if is_whole else (column, cells.DOUBLE)
    if dtype == pl.Int64:
        return column, cells.INTEGER
    if dtype == pl.Null:
        return column.cast(pl.String), cells.TEXT
    if isinstance(dtype, pl.Datetime):
        return _moments(column, first_day)
    return None


def _moments(column: pl.Series, first_day: dt.date) -> tuple[pl.Series, str] | None:
    days = column.cast(pl.Date)
    if ((days < first_day) | (days > _LAST_DAY) | days.is_between(*_UNSURE)).any():
        return None
    if (days.cast(column.dtype) == column).all():
        return days, cells.DATE
    return column.cast(pl.Datetime("us")), cells.TIMESTAMP
