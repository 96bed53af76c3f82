"""Columns of a spreadsheet's cells: what each cell is decides, never what its text looks like."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from pipeline.model import Column

_MIDNIGHT = dt.time()
EXACT = 2**53  # integers up to here are exact in a cell's double


def as_text(cell: object) -> str | None:
    """CELL as people read it; None for an empty one."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT:
        return str(int(cell))
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, dt.datetime):
        return cell.date().isoformat() if cell.time() == _MIDNIGHT else cell.isoformat(" ")
    return str(cell)


def frame(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> tuple[pl.DataFrame, list[Column]]:
    """ROWS as typed columns called NAMES."""
    made = [
        _column(name, [row[index] if index < len(row) else None for row in rows]) for index, name in enumerate(names)
    ]
    columns = [Column(name=name, type=kind) for name, (_series, kind) in zip(names, made, strict=True)]
    return pl.DataFrame([series for series, _kind in made]), columns


def _column(name: str, values: list[Any]) -> tuple[pl.Series, str]:
    values = [None if value == "" else value for value in values]
    types = set(map(type, values)) - {type(None)}
    for wanted, make in _MAKERS:
        if types and types <= wanted:
            return make(name, values)
    return pl.Series(name, [as_text(value) for value in values], dtype=pl.String), "VARCHAR"


def _numbers(name: str, values: list[Any]) -> tuple[pl.Series, str]:
    present = [value for value in values if value is not None]
    if all(type(value) is int or (value.is_integer() and abs(value) < EXACT) for value in present):
        return pl.Series(name, [None if value is None else int(value) for value in values], dtype=pl.Int64), "BIGINT"
    return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64), "DOUBLE"


def _moments(name: str, values: list[Any]) -> tuple[pl.Series, str]:
    full = [
        value if value is None or isinstance(value, dt.datetime) else dt.datetime.combine(value, _MIDNIGHT)
        for value in values
    ]
    if all(value is None or value.time() == _MIDNIGHT for value in full):
        return pl.Series(name, [value and value.date() for value in full], dtype=pl.Date), "DATE"
    return pl.Series(name, full, dtype=pl.Datetime("us")), "TIMESTAMP"


_MAKERS: tuple[tuple[set[type], Callable[[str, list[Any]], tuple[pl.Series, str]]], ...] = (
    ({bool}, lambda name, values: (pl.Series(name, values, dtype=pl.Boolean), "BOOLEAN")),
    ({int, float}, _numbers),
    ({dt.date, dt.datetime}, _moments),
    ({dt.time}, lambda name, values: (pl.Series(name, values, dtype=pl.Time), "TIME")),
)
