"""Columns of text made into typed ones, with the proof that no value changed: each `fit` returns None otherwise."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import polars as pl

from stages.convert.kinds import DECIMAL_DIGITS, DOUBLE_DIGITS, TEXT, Kind, classify, join_all, settle

SAMPLE = 24  # values looked at, from both ends, before a whole column is tried


def guess(column: pl.Series) -> Kind:
    """A first idea of COLUMN's kind, from few of its values."""
    values = column.drop_nulls()
    ends = values if values.len() <= SAMPLE else pl.concat([values.head(SAMPLE // 2), values.tail(SAMPLE // 2)])
    return join_all(ends.to_list())


def widen(column: pl.Series, kind: Kind) -> tuple[Kind, pl.Series]:
    """The narrowest kind from KIND on that holds all of COLUMN, and COLUMN so typed (as text while undecided)."""
    typed = fit(column, settle(kind)) if kind == settle(kind) else None
    if typed is not None:
        return kind, typed
    kind = join_all(column.drop_nulls().unique().to_list(), kind)
    typed = fit(column, settle(kind))
    return (kind, typed) if typed is not None else (TEXT, column)


def fit(column: pl.Series, kind: Kind) -> pl.Series | None:
    """COLUMN (text, NULL for empty) as KIND, or None where that would change or lose a value."""
    if kind == TEXT:
        return column
    typed = _FITS[kind.name](column, kind)
    if typed is None or typed.null_count() != column.null_count():
        return None
    return typed


def _has_odd_start(column: pl.Series) -> bool:
    """Whether a number starts with a plus, or with a zero that would be lost."""
    starts = column.str
    if starts.starts_with("+").any():
        return True
    zeros = column.filter(starts.starts_with("0") | starts.starts_with("-0"))
    return bool(zeros.len()) and bool(zeros.str.contains(r"^-?0[0-9]|^-0$").any())


def _fit_integer(column: pl.Series, _: Kind) -> pl.Series | None:
    return None if _has_odd_start(column) else column.cast(pl.Int64, strict=False)


def _fit_double(column: pl.Series, _: Kind) -> pl.Series | None:
    typed = column.cast(pl.Float64, strict=False)
    if typed.null_count() != column.null_count() or _has_odd_start(column):
        return None
    odd = column.filter(column.str.contains("[a-zA-Z]|\\.$"))
    if odd.len() and any(classify(text).name != "double" for text in odd.to_list()):
        return None
    long = column.filter(column.str.len_bytes() > DOUBLE_DIGITS)
    return typed if all(map(_is_exact, _not_printed_alike(long).to_list())) else None


def _not_printed_alike(long: pl.Series) -> pl.Series:
    """Those of LONG that a double doesn't print as they are written."""
    return long.filter(long.cast(pl.Float64).cast(pl.String) != long)


def _is_exact(text: str) -> bool:
    digits = len(text.lower().partition("e")[0].replace(".", "").lstrip("-0"))
    return digits <= DOUBLE_DIGITS or Decimal(repr(float(text))) == Decimal(text)


def _fit_decimal(column: pl.Series, kind: Kind) -> pl.Series | None:
    fraction = rf"(?:\.[0-9]{{1,{kind.scale}}})?" if kind.scale else ""
    plain = rf"^-?(?:0|[1-9][0-9]{{0,{DECIMAL_DIGITS - kind.scale - 1}}}){fraction}$"
    if not column.str.contains(plain).all():
        return None
    return column.cast(pl.Decimal(DECIMAL_DIGITS, kind.scale), strict=False)


def _fit_comma(column: pl.Series, kind: Kind) -> pl.Series | None:
    if not column.str.contains(r"^-?(?:[0-9]{1,3}(?:\.[0-9]{3})+|0|[1-9][0-9]*)(?:,[0-9]+)?$").all():
        return None
    plain = column.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return _fit_double(plain, kind)


def _fit_grouped(column: pl.Series, kind: Kind) -> pl.Series | None:
    if not column.str.contains(r"^-?(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|0|[1-9][0-9]*)(?:\.[0-9]+)?$").all():
        return None
    return _fit_double(column.str.replace_all(",", "", literal=True), kind)


def _fit_date(column: pl.Series, kind: Kind) -> pl.Series | None:
    pattern = r"^[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}$"
    if not kind.form.startswith("%Y"):
        pattern = r"^[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}$"
    if not column.str.contains(pattern).all():
        return None
    return column.str.to_date(kind.form, strict=False)


def _fit_stamp(column: pl.Series, kind: Kind) -> pl.Series | None:
    if not column.str.contains(_STAMP).all():
        return None
    typed = column.str.to_datetime(kind.form.replace("%z", "%#z"), time_unit="us", strict=False)
    return typed.dt.replace_time_zone("UTC") if kind.name == "timestamptz" and typed.dtype.time_zone is None else typed  # type: ignore[attr-defined]


_STAMP = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-5][0-9](?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?$"
)


def _fit_time(column: pl.Series, kind: Kind) -> pl.Series | None:
    if not column.str.contains(r"^[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.[0-9]{1,6})?$").all():
        return None
    return column.str.to_time(kind.form, strict=False)


def _fit_boolean(column: pl.Series, kind: Kind) -> pl.Series | None:
    true, false = {"upper": ("TRUE", "FALSE"), "lower": ("true", "false"), "title": ("True", "False")}[kind.form]
    is_true = column == true
    return is_true if (is_true | (column == false)).all() else None


_FITS: dict[str, Callable[[pl.Series, Kind], pl.Series | None]] = {
    "integer": _fit_integer,
    "double": _fit_double,
    "decimal": _fit_decimal,
    "comma": _fit_comma,
    "grouped": _fit_grouped,
    "date": _fit_date,
    "timestamp": _fit_stamp,
    "timestamptz": _fit_stamp,
    "time": _fit_time,
    "boolean": _fit_boolean,
    "null": lambda column, kind: column if column.null_count() == column.len() else None,
}
