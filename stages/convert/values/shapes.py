"""What JSON values are, and columns made of them: a shape is to nested values what a kind is to text."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
import polars as pl

from stages.convert.values.columns import fit, typed
from stages.convert.values.kinds import (
    DECIMAL_DIGITS,
    INT64,
    LEAST_NORMAL,
    NULL,
    TEXT,
    Kind,
    decimal,
    join,
    settle,
    sql_type,
)

_encode = msgspec.json.Encoder(decimal_format="number").encode
_INTEGER = Kind("integer")
_LARGE = Kind("integer", whole=19)  # one that a double may not hold is among them
TIMES = ("date", "timestamp", "timestamptz")
MOST_FIELDS = 256  # of a nested object; one with more is rather a mapping, and stays JSON
MOST_DEEP = 24  # levels of lists and objects in a column; what is nested deeper stays JSON


class Shape(msgspec.Struct, frozen=True):
    """`kind` says what: a kind of scalars, or `list` (of `items`), `struct` (of `fields`), or `json` for a mixture
    that is kept as JSON text."""

    kind: Kind
    items: Shape | None = None
    fields: tuple[tuple[str, Shape], ...] = ()


NOTHING = Shape(NULL)
MIXED = Shape(Kind("json"))


def shape_of(values: Sequence[Any], known: Shape = NOTHING, *, is_top: bool = False, deep: int = 0) -> Shape:
    """The shape that holds KNOWN and all VALUES, DEEP levels below a column. Dates in strings are looked for at the top
    level only."""
    types = set(map(type, values)) - {type(None)}
    if known == MIXED or not types:
        return known
    if deep == MOST_DEEP and types & {dict, list}:
        return MIXED
    if types == {dict}:
        return join_shapes(known, _struct(values, known, deep))
    if types == {list}:
        inner = known.items if known.items is not None else NOTHING
        flat = [item for value in values if value is not None for item in value]
        return join_shapes(known, Shape(Kind("list"), items=shape_of(flat, inner, deep=deep + 1)))
    if types == {str}:
        return join_shapes(known, Shape(_text_kind(values, known) if is_top else TEXT))
    if types == {bool}:
        return join_shapes(known, Shape(Kind("boolean")))
    if types <= {int, float, Decimal}:
        return join_shapes(known, Shape(_number_kind(values, types, known.kind)))
    return MIXED


def _struct(values: Sequence[Any], known: Shape, deep: int) -> Shape:
    before = dict(known.fields)
    names: dict[str, None] = dict.fromkeys(before)
    present = [value for value in values if value is not None]
    for value in present:
        names.update(dict.fromkeys(value))
    if len(names) > MOST_FIELDS:
        return MIXED
    fields = {
        name: shape_of([value.get(name) for value in present], before.get(name, NOTHING), deep=deep + 1)
        for name in names
    }
    return Shape(Kind("struct"), fields=tuple(fields.items()))


def _text_kind(values: Sequence[Any], known: Shape) -> Kind:
    if known.kind == TEXT:
        return TEXT
    column = pl.Series(values, dtype=pl.String)
    kind = typed(pl.DataFrame([column]), [known.kind if known.kind.name in TIMES else NULL]).kinds[0]
    return settle(kind) if settle(kind).name in TIMES and not kind.null else TEXT


def _number_kind(values: Sequence[Any], types: set[type], known: Kind) -> Kind:
    integers = [value for value in values if type(value) is int]
    kind = NULL
    if integers:
        low, high = min(integers), max(integers)
        kind = _LARGE if max(abs(low), abs(high)) > 2**53 else _INTEGER
        if low < -INT64 or high >= INT64:
            digits = max(len(str(abs(low))), len(str(abs(high))))
            kind = decimal(digits, 0)
    if Decimal in types or known.name == "decimal":  # then doubles are decimals too: those that they print as
        others = (value for value in values if type(value) in (float, Decimal))
        kinds = (_decimal_kind(_as_decimal(value)) for value in others)
        kind = functools.reduce(join, kinds, kind)
    elif float in types:
        kind = _join_numbers(kind, Kind("double"))
    return Kind("json") if kind == TEXT else kind


def _join_numbers(one: Kind, other: Kind) -> Kind:
    """The kind that holds both; JSON's own where doubles, whose digits nobody has counted, meet what they don't hold."""
    names = {one.name, other.name}
    if "double" in names and ("decimal" in names or _LARGE in (one, other)):
        return Kind("json")
    return join(one, other)


def _decimal_kind(value: Decimal) -> Kind:
    exponent = value.as_tuple().exponent
    if not value.is_finite():
        return TEXT
    scale = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    return decimal(max(1, value.adjusted() + 1), scale)


def join_shapes(one: Shape, other: Shape) -> Shape:
    """The shape that holds both."""
    if other in (one, NOTHING):
        return one
    if one == NOTHING:
        return other
    names = {one.kind.name, other.kind.name}
    if names == {"struct"}:
        before, after = dict(one.fields), dict(other.fields)
        if len({**before, **after}) > MOST_FIELDS:
            return MIXED
        fields = {
            name: join_shapes(before.get(name, NOTHING), after.get(name, NOTHING)) for name in {**before, **after}
        }
        return Shape(Kind("struct"), fields=tuple(fields.items()))
    if names == {"list"}:
        return Shape(Kind("list"), items=join_shapes(one.items or NOTHING, other.items or NOTHING))
    if names <= {"text", *TIMES}:
        return Shape(TEXT if TEXT in (one.kind, other.kind) else _joined_times(one.kind, other.kind))
    if names <= {"integer", "double", "decimal"}:
        kind = _join_numbers(one.kind, other.kind)
        return Shape(kind) if kind not in (TEXT, MIXED.kind) else MIXED
    return MIXED


def _joined_times(one: Kind, other: Kind) -> Kind:
    kind = join(one, other)
    return kind if kind.name in TIMES else TEXT


def dtype(shape: Shape) -> Any:
    """SHAPE in the engine's words."""
    kind = shape.kind
    if kind.name == "struct" and shape.fields:
        return pl.Struct({name: dtype(field) for name, field in shape.fields})
    if kind.name == "list":
        return pl.List(dtype(shape.items or NOTHING))
    if kind.name == "decimal":
        return pl.Decimal(DECIMAL_DIGITS, kind.scale)
    return {"integer": pl.Int64, "double": pl.Float64, "boolean": pl.Boolean}.get(kind.name, pl.String)


def sql(shape: Shape) -> str:
    """SHAPE in DuckDB's words."""
    if shape.kind.name == "struct" and shape.fields:
        inner = ", ".join(f"{_quoted(name)} {sql(field)}" for name, field in shape.fields)
        return f"STRUCT({inner})"
    if shape.kind.name == "list":
        return f"{sql(shape.items or NOTHING)}[]"
    return sql_type(shape.kind)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def column(name: str, values: Sequence[Any], shape: Shape) -> pl.Series:
    """VALUES, all of which SHAPE holds, as a column."""
    if shape.kind.name in TIMES:
        series = fit(pl.Series(name, values, dtype=pl.String), shape.kind)
        assert series is not None, "the shape holds all values"
        return series
    return pl.Series(name, _conform(values, shape), dtype=dtype(shape))


def _conform(values: Iterable[Any], shape: Shape) -> list[Any]:
    """VALUES with what SHAPE keeps as text written as JSON, and numbers of one type."""
    name = shape.kind.name
    if name == "json" or (name == "struct" and not shape.fields):
        return [None if value is None else _encode(value).decode() for value in values]
    if name == "double":
        return [None if value is None else float(value) for value in values]
    if name == "decimal":
        return [value if value is None else _as_decimal(value) for value in values]
    if name == "list":
        items = shape.items or NOTHING
        return [None if value is None else _conform(value, items) for value in values]
    if name == "struct":
        return _conform_structs(list(values), shape)
    return list(values)


def _conform_structs(values: list[Any], shape: Shape) -> list[Any]:
    parts = {
        name: _conform([None if value is None else value.get(name) for value in values], field)
        for name, field in shape.fields
    }
    names = list(parts)
    rows = zip(*parts.values(), strict=True)
    return [
        None if value is None else dict(zip(names, row, strict=True)) for value, row in zip(values, rows, strict=True)
    ]


def _as_decimal(value: Any) -> Decimal:
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def exact_number(text: str) -> float | Decimal | str:
    """A JSON number with a point or exponent: a double where that is exact, else a decimal, or the text where its
    exponent is beyond that too."""
    number = float(text)
    if repr(number) == text:  # as most programs write it
        return number
    mantissa = text.lower().partition("e")[0]
    digits = len(mantissa.replace(".", "").lstrip("-0"))
    is_kept = abs(number) != float("inf") and (number != 0 or not mantissa.strip("-0."))
    if (digits <= 15 and is_kept and abs(number) >= LEAST_NORMAL) or (number == 0 and is_kept):
        return number
    try:
        written = Decimal(text)
    except InvalidOperation:
        return text
    return number if is_kept and Decimal(repr(number)) == written else written


__all__ = ["MIXED", "NOTHING", "Shape", "column", "exact_number", "join_shapes", "shape_of", "sql"]
