"""JSON texts read by Polars into columns of a known shape, and believed only if every token is accounted for.

The engine refuses what isn't valid, and a value of another type than its column's; but it makes text of any value where
text is wanted, and leaves out keys that it doesn't know or has had. Then there are more keys, or fewer strings, in the
source than in the columns.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from stages.convert.json_files import json_keys, json_marks
from stages.convert.json_files.json_marks import Tokens
from stages.convert.values.columns import fit
from stages.convert.values.shapes import TIMES, Shape

Columns = dict[str, pl.Series]

_EXACT = float(2**53)  # whole numbers from here on may be another one as a double
_TINY = 1e-290  # what is less may have been another number
_SMALL_EXPONENT = re.compile(rb"[0-9][eE]-0*[1-9][0-9]{2}")
_TYPES: dict[str, Any] = {"integer": pl.Int64, "double": pl.Float64, "boolean": pl.Boolean}


class Texts(msgspec.Struct, frozen=True):
    """JSON texts in one piece of bytes, each in a line of its own: the i-th is data[bounds[i]:bounds[i + 1]], blanks
    around it allowed."""

    data: bytes
    bounds: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.bounds) - 1

    def __getitem__(self, index: int) -> bytes:
        return self.data[self.bounds[index] : self.bounds[index + 1]]


def read(texts: Texts, shapes: dict[str, Shape], tokens: Tokens | None = None) -> Columns | None:
    """The columns of TEXTS, whose TOKENS may be known; None where they aren't all valid objects of SHAPES."""
    if not shapes or not all(map(_is_plain, shapes.values())):
        return None
    tokens = tokens or json_marks.count_tokens(texts.data)
    if not tokens.is_sure:
        return None
    try:
        frame = pl.read_ndjson(texts.data, schema={key: _dtype(shape) for key, shape in shapes.items()})
    except pl.exceptions.PolarsError:
        return None
    if frame.height != texts.count:
        return None
    found = _Found()
    found.objects = texts.count  # each record is one
    for column, shape in zip(frame.get_columns(), shapes.values(), strict=True):
        found.take_fields(column, shape)
    if not found.accounts_for(tokens) or (found.has_tiny and _SMALL_EXPONENT.search(texts.data)):
        return None
    # A key that's null can't be told from one that isn't there, by the engine's columns.
    if tokens.nulls > found.nulls_in_lists and json_keys.count(texts.data, shapes) != tokens.colons:
        return None
    return _columns(frame, shapes)


def _is_plain(shape: Shape) -> bool:
    """Whether the engine can read SHAPE as we would."""
    name = shape.kind.name
    if name == "struct":
        return bool(shape.fields) and all(_is_plain(field) for _name, field in shape.fields)
    if name == "list":
        return shape.items is not None and _is_plain(shape.items)
    return name in ("integer", "double", "boolean", "text", "null", *TIMES)


def _dtype(shape: Shape) -> Any:
    if shape.fields:
        return pl.Struct({name: _dtype(field) for name, field in shape.fields})
    if shape.items is not None:
        return pl.List(_dtype(shape.items))
    return _TYPES.get(shape.kind.name, pl.String)


class _Found:
    """What the engine's columns hold, to be held against the tokens of the source."""

    def __init__(self) -> None:
        self.objects = self.lists = self.fields = self.strings = self.nulls_in_lists = 0
        self.largest = 0.0
        self.has_tiny = False

    def take_fields(self, column: pl.Series, shape: Shape) -> None:
        """Counts a column of values that have keys."""
        self.fields += len(column) - column.null_count()
        self._take(column, shape)

    def _take(self, column: pl.Series, shape: Shape) -> None:
        name = shape.kind.name
        if name == "struct":
            self.objects += len(column) - column.null_count()
            there = column.drop_nulls() if column.null_count() else column
            for key, field in shape.fields:
                self.take_fields(there.struct.field(key), field)
        elif shape.items is not None:
            self.lists += len(column) - column.null_count()
            items = column.drop_nulls().explode(empty_as_null=False, keep_nulls=False)
            self.nulls_in_lists += items.null_count()
            self._take(items, shape.items)
        elif name == "double":
            sizes = column.drop_nulls().abs()
            self.largest = max(self.largest, float(sizes.max() or 0.0))  # type: ignore[arg-type]
            self.has_tiny = self.has_tiny or bool(float(sizes.min() or 0.0) < _TINY)  # type: ignore[arg-type]
        elif name not in _TYPES:
            self.strings += len(column) - column.null_count()

    def accounts_for(self, tokens: Tokens) -> bool:
        """Whether every object, list, key and string counted is in the columns as what it is."""
        return (
            tokens.objects == self.objects
            and tokens.lists == self.lists
            and tokens.colons == self.fields + tokens.nulls - self.nulls_in_lists
            and tokens.strings == tokens.colons + self.strings
            and self.largest < _EXACT
        )


def _columns(frame: pl.DataFrame, shapes: dict[str, Shape]) -> Columns | None:
    columns: Columns = {}
    for (key, shape), column in zip(shapes.items(), frame.get_columns(), strict=True):
        typed = fit(column, shape.kind) if shape.kind.name in TIMES else column
        if typed is None:
            return None
        columns[key] = typed
    return columns
