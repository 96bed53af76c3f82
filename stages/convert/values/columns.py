"""Columns of text made into typed ones, with the proof that no value changed.

All columns of a frame are tried in one query: the cast of each, and its doubt, an aggregate that is true where a
value would change or be lost (`01234` as a number). What doesn't hold is looked at value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache

import msgspec
import polars as pl

from stages.convert.values import forms, moments
from stages.convert.values.kinds import (
    DECIMAL_DIGITS,
    DOUBLE_DIGITS,
    EXPONENT,
    LEAST_NORMAL,
    NONFINITE_WORDS,
    TEXT,
    Kind,
    decimal,
    join,
    join_all,
    settle,
    with_empty,
)

MOMENTS = ("date", "timestamp", "timestamptz")
SMALL = 20_000  # rows from which on columns are worth two threads
_TURNS = 6  # widenings of one column by the values that don't fit, before all are looked at
_LOOKED_AT = 500  # of those values at once
_FAR = "[eE][+-]?[0-9]{3}"  # an exponent that may be beyond a double's
SAMPLE = 12  # values looked at from each end of a column, before all are tried


class Typed(msgspec.Struct):
    """A frame's columns as typed, and the kinds that all values seen so far have."""

    columns: list[pl.Series]
    kinds: list[Kind]


def typed(frame: pl.DataFrame, kinds: Sequence[Kind]) -> Typed:
    """FRAME (text, NULL for empty) with the narrowest types from KINDS on that change no value."""
    columns = frame.get_columns()
    found = [_first_idea(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    tried = fit_all(frame, [settle(kind) for kind in found])
    result = []
    for index, (column, series) in enumerate(zip(columns, tried, strict=True)):
        if series is None or (found[index].name != "text" and settle(found[index]) == TEXT):
            found[index], series = _widen(column, found[index])  # noqa: PLW2901 - the one that holds
        result.append(series)
    return Typed(result, found)


def _first_idea(column: pl.Series, kind: Kind) -> Kind:
    """KIND, or one guessed from few values where none is known yet."""
    if kind == TEXT:
        return kind
    if kind.name == "null":
        short = column.len() <= 2 * SAMPLE
        values = column.to_list() if short else column.head(SAMPLE).to_list() + column.tail(SAMPLE).to_list()
        kind = join_all((value for value in values if value is not None), kind)
    return with_empty(kind) if column.null_count() else kind


def fit(column: pl.Series, kind: Kind) -> pl.Series | None:
    """COLUMN (text, NULL for empty) as KIND, or None where that would change or lose a value."""
    return fit_all(pl.DataFrame([column]), [kind])[0]


def fit_all(frame: pl.DataFrame, kinds: Sequence[Kind]) -> list[pl.Series | None]:
    """Each column of FRAME (text, NULL for empty) as its kind, None where that would change or lose a value."""
    columns = frame.get_columns()
    results = [_at_once(*pair) for pair in zip(columns, kinds, strict=True)]
    sure = {
        index
        for index, pair in enumerate(zip(columns, kinds, strict=True))
        if results[index] is None and forms.has_form(*pair)
    }
    queries = [
        query.alias(f"{part}{index}")
        for index, (column, kind) in enumerate(zip(columns, kinds, strict=True))
        if results[index] is None
        for part, query in zip("cd", _queries(column.name, kind), strict=True)
        if not (part == "d" and index in sure)
    ]
    if not queries:
        return results
    answers = frame.select_seq(queries) if frame.height < SMALL else frame.select(queries)
    for index, (column, kind) in enumerate(zip(columns, kinds, strict=True)):
        if results[index] is not None:
            continue
        cast = answers.get_column(f"c{index}")
        is_doubtful = index not in sure and frame.height > 0 and answers.get_column(f"d{index}")[0]
        holds = not is_doubtful and _holds(column, cast, kind, is_sure=index in sure)
        results[index] = cast.alias(column.name) if holds else None
    return results


def _at_once(column: pl.Series, kind: Kind) -> pl.Series | None:
    """COLUMN as KIND where no query is needed for that."""
    if kind == TEXT:
        return column
    if kind.name in MOMENTS and len(column) >= moments.LEAST:
        return moments.read(column, kind)
    return None


def _widen(column: pl.Series, kind: Kind) -> tuple[Kind, pl.Series]:
    """The narrowest kind from KIND on that holds all of COLUMN, and COLUMN so typed (as text while undecided)."""
    for _turn in range(_TURNS):
        if settle(kind) == TEXT:
            break
        wider = join_all(_misfits(column, settle(kind)), kind)
        if wider.name == "decimal":
            wider = join(wider, _measured(column))
        if wider == kind:
            break
        kind = wider
        series = fit(column, settle(kind))
        if series is not None:
            return kind, series
    if kind == TEXT:
        return TEXT, column
    return _widen_by_all(column, kind)


def _widen_by_all(column: pl.Series, kind: Kind) -> tuple[Kind, pl.Series]:
    """The same, by a look at each value."""
    kind = join_all(column.drop_nulls().unique().to_list(), kind)
    if kind.name == "decimal":
        kind = join(kind, _measured(column))
    series = fit(column, settle(kind))
    return (kind, series) if series is not None else (TEXT, column)


def _misfits(column: pl.Series, kind: Kind) -> list[str]:
    """Some of the values of COLUMN that KIND doesn't hold."""
    name = column.name
    cast, doubt = _parts(name, kind)
    is_odd = (cast.is_null() | doubt) & pl.col(name).is_not_null()
    if kind.null:
        is_odd &= pl.col(name) != kind.null
    return pl.DataFrame([column]).filter(is_odd).get_column(name).head(_LOOKED_AT).to_list()


def _measured(column: pl.Series) -> Kind:
    """The decimal that has the digits of all of COLUMN's numbers."""
    parts = column.str.strip_chars_start("-").str.split_exact(".", 1).struct.unnest()
    whole, scale = (int(part.str.len_bytes().max() or 0) for part in parts)  # type: ignore[arg-type]
    return decimal(whole, scale)


@lru_cache(maxsize=4096)
def _queries(name: str, kind: Kind) -> tuple[pl.Expr, pl.Expr]:
    """The cast of a column to KIND, and whether any value is in doubt."""
    cast, doubt = _parts(name, kind)
    return cast, doubt.any()


def _parts(name: str, kind: Kind) -> tuple[pl.Expr, pl.Expr]:
    """The cast of a column to KIND, and each value's doubt."""
    column = pl.col(name)
    if kind.null:
        column = pl.when(column != kind.null).then(column)
    cast = _CASTS[kind.name](_clean(column, kind) if kind.name in _CLEANERS else column, kind)
    doubt = (
        _DOUBTS[kind.name](column, kind) if kind.name in _DOUBTS else ~column.str.contains(_PATTERNS[kind.name](kind))
    )
    return cast, doubt


def _holds(column: pl.Series, cast: pl.Series, kind: Kind, *, is_sure: bool) -> bool:
    nulls = column.null_count()
    if kind.null:
        if nulls:
            return False
        nulls = int((column == kind.null).sum())
    return cast.null_count() == nulls and (
        kind.name not in ("double", "comma", "grouped") or _is_exact(column, kind, is_sure=is_sure)
    )


def _is_exact(column: pl.Series, kind: Kind, *, is_sure: bool) -> bool:
    """Whether a double is just what each of COLUMN's texts says, which IS_SURE where all are short and plain."""
    if is_sure:
        return True
    text = pl.lit(column)
    is_far = text.str.contains(_FAR)  # a short one may be too small for a double, or too large
    is_long = pl.select((text.str.len_bytes() > DOUBLE_DIGITS) | is_far).to_series()
    if not is_long.any():
        return True
    long = column.filter(is_long)
    if kind.name in _CLEANERS:
        long = pl.select(_clean(pl.lit(long), kind)).to_series()
    unlike = long.filter(long.cast(pl.Float64, strict=False).cast(pl.String) != long)
    return all(map(_is_exact_text, unlike.to_list()))


def _is_exact_text(text: str) -> bool:
    if text in NONFINITE_WORDS:
        return True
    number = float(text)
    digits = len(text.lower().partition("e")[0].replace(".", "").lstrip("-0"))
    is_plain = digits <= DOUBLE_DIGITS and (LEAST_NORMAL <= abs(number) < float("inf") or not digits)
    return is_plain or Decimal(repr(number)) == Decimal(text)


def _clean(column: pl.Expr, kind: Kind) -> pl.Expr:
    for old, new in _CLEANERS[kind.name]:
        column = column.str.replace_all(old, new, literal=True)
    return column


def _stamp(column: pl.Expr, kind: Kind) -> pl.Expr:
    cast = column.str.to_datetime(kind.form.replace("%z", "%#z"), time_unit="us", strict=False, cache=False)
    return cast.dt.replace_time_zone("UTC") if kind.form.endswith("Z") else cast


_CLEANERS = {"comma": ((".", ""), (",", ".")), "grouped": ((",", ""),)}
BOOLEANS = {"lower": ("true", "false"), "upper": ("TRUE", "FALSE"), "title": ("True", "False")}
_CASTS: dict[str, Callable[[pl.Expr, Kind], pl.Expr]] = {
    "integer": lambda column, kind: column.cast(pl.Int64, strict=False),
    "double": lambda column, kind: column.cast(pl.Float64, strict=False),
    "decimal": lambda column, kind: column.cast(pl.Decimal(DECIMAL_DIGITS, kind.scale), strict=False),
    "comma": lambda column, kind: column.cast(pl.Float64, strict=False),
    "grouped": lambda column, kind: column.cast(pl.Float64, strict=False),
    "date": lambda column, kind: column.str.to_date(kind.form, strict=False, cache=False),
    "timestamp": _stamp,
    "timestamptz": _stamp,
    "time": lambda column, kind: column.str.to_time(kind.form, strict=False, cache=False),
    "boolean": lambda column, kind: column == BOOLEANS[kind.form][0],
}

_WHOLE = r"-?(?:0|[1-9][0-9]*)"
_YEAR_FIRST = r"^[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}$"
_YEAR_LAST = r"^[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}$"
_STAMP = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-5][0-9](?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?$"
)
# What every value of a kind looks like: the casts are more lenient.
_PATTERNS: dict[str, Callable[[Kind], str]] = {
    "double": lambda kind: rf"^(?:(?:{_WHOLE}|-)?\.[0-9]+|{_WHOLE}|{EXPONENT}|{'|'.join(NONFINITE_WORDS)})$",
    "decimal": lambda kind: rf"^{_WHOLE}" + (rf"(?:\.[0-9]{{1,{kind.scale}}})?" if kind.scale else "") + "$",
    "comma": lambda kind: r"^-?(?:[1-9][0-9]{0,2}(?:\.[0-9]{3})+|0|[1-9][0-9]*)(?:,[0-9]+)?$",
    "grouped": lambda kind: r"^-?(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|0|[1-9][0-9]*)(?:\.[0-9]+)?$",
    "date": lambda kind: _YEAR_FIRST if kind.form.startswith("%Y") else _YEAR_LAST,
    "timestamp": lambda kind: _STAMP,
    "timestamptz": lambda kind: _STAMP,
    "time": lambda kind: r"^[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.[0-9]{1,6})?$",
}
# The same, where less than a pattern will do: the cast to an integer takes signs and digits only.
_DOUBTS: dict[str, Callable[[pl.Expr, Kind], pl.Expr]] = {
    "integer": lambda column, kind: (
        column.str.starts_with("+")
        | column.str.starts_with("-0")
        | (column.str.starts_with("0") & (column.str.len_bytes() > 1))
    ),
    "boolean": lambda column, kind: (column != BOOLEANS[kind.form][0]) & (column != BOOLEANS[kind.form][1]),
}
