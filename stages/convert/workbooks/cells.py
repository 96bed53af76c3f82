"""Columns of a spreadsheet's cells: what each cell is decides, never what its text looks like."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import polars as pl

_MIDNIGHT = dt.time()
EXACT = 2**53  # integers up to here are exact in a cell's double
INTEGER, DOUBLE, BOOLEAN = "BIGINT", "DOUBLE", "BOOLEAN"
DATE, TIMESTAMP, TIME, TEXT = "DATE", "TIMESTAMP", "TIME_NS", "VARCHAR"
NOTHING = ""  # no value yet
DTYPES: dict[str, Any] = {
    INTEGER: pl.Int64,
    DOUBLE: pl.Float64,
    BOOLEAN: pl.Boolean,
    DATE: pl.Date,
    TIMESTAMP: pl.Datetime("us"),
    TIME: pl.Time,
}


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
    if isinstance(cell, dt.timedelta):
        return _hours(cell)
    return str(cell)


def _hours(length: dt.timedelta) -> str:
    """LENGTH as spreadsheets show it, `36:00:00`."""
    minutes, seconds = divmod(abs(length), dt.timedelta(minutes=1))
    rest = f".{seconds.microseconds:06}" if seconds.microseconds else ""
    sign = "-" if length < dt.timedelta(0) else ""
    return f"{sign}{minutes // 60}:{minutes % 60:02}:{seconds.seconds:02}{rest}"


def kind_of(cells: Sequence[Any], known: str) -> str:
    """The narrowest kind from KNOWN on that holds all CELLS, of which "" and None are none."""
    kind = known
    for cell_type in set(map(type, cells)):
        if kind == TEXT:
            break
        kind = _join(kind, _KINDS[cell_type](cells) if cell_type in _KINDS else TEXT)
    return kind


def _number_kind(cells: Sequence[Any]) -> str:
    numbers = [cell for cell in cells if type(cell) in (float, int)]
    return INTEGER if all(float(number).is_integer() and abs(number) < EXACT for number in numbers) else DOUBLE


def _moment_kind(cells: Sequence[Any]) -> str:
    moments = [cell for cell in cells if type(cell) is dt.datetime]
    return DATE if all(moment.time() == _MIDNIGHT for moment in moments) else TIMESTAMP


def _text_kind(cells: Sequence[Any]) -> str:
    return TEXT if any(type(cell) is str and cell for cell in cells) else NOTHING


_KINDS: dict[type, Any] = {
    float: _number_kind,
    int: _number_kind,
    bool: lambda cells: BOOLEAN,
    dt.datetime: _moment_kind,
    dt.date: lambda cells: DATE,
    dt.time: lambda cells: TIME,
    str: _text_kind,
    type(None): lambda cells: NOTHING,
}


def _join(one: str, other: str) -> str:
    if NOTHING in (one, other) or one == other:
        return one or other
    for narrow, wide in ((INTEGER, DOUBLE), (DATE, TIMESTAMP)):
        if {one, other} == {narrow, wide}:
            return wide
    return TEXT


def column(name: str, cells: Sequence[Any], kind: str) -> pl.Series:
    """CELLS as KIND, which holds them."""
    if kind in (TEXT, NOTHING):
        return pl.Series(name, [as_text(cell) for cell in cells], dtype=pl.String)
    convert = _CONVERTERS.get(kind)
    values = [None if cell is None or cell == "" else convert(cell) if convert else cell for cell in cells]
    return pl.Series(name, values, dtype=DTYPES[kind])


_CONVERTERS: dict[str, Any] = {
    INTEGER: int,
    DOUBLE: float,
    DATE: lambda cell: cell.date() if isinstance(cell, dt.datetime) else cell,
    TIMESTAMP: lambda cell: cell if isinstance(cell, dt.datetime) else dt.datetime.combine(cell, _MIDNIGHT),
}
