"""JSON texts read by DuckDB into columns of a known shape, and believed only if every token is accounted for."""

from __future__ import annotations

import threading
from collections.abc import Collection
from functools import cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from stages.convert import json_marks
from stages.convert.columns import fit
from stages.convert.json_marks import Tokens
from stages.convert.shapes import TIMES, Shape

Columns = dict[str, pl.Series]

_PER_BATCH = 16 * 1024  # records that one thread of the engine takes at once
_EXACT = float(2**53)  # whole numbers from here on may be another one as a double
_encode = msgspec.json.encode


class Texts(msgspec.Struct, frozen=True):
    """JSON texts in one piece of bytes: the i-th is data[bounds[i]:bounds[i + 1]], blanks around it allowed."""

    data: bytes
    bounds: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.bounds) - 1

    def __getitem__(self, index: int) -> bytes:
        return self.data[self.bounds[index] : self.bounds[index + 1]]


class Engine:
    """A DuckDB of one's own, in memory."""

    def __init__(self) -> None:
        import duckdb  # these two only where there is JSON: they cost 60 MB

        self._errors = duckdb.Error
        self._lock = threading.Lock()
        self._connection = duckdb.connect(config={"threads": 2, "memory_limit": "512MB"})
        self._connection.execute("SET produce_arrow_string_view = true")  # as Polars holds them: no copy

    def read(
        self, texts: Texts, shapes: dict[str, Shape], tokens: Tokens | None = None, *, is_proven: bool = True
    ) -> Columns | None:
        """The columns of TEXTS, whose TOKENS may be known; None where they aren't all objects of SHAPES, or, unless
        that IS_PROVEN, perhaps not valid."""
        if not shapes or not _are_distinct(shapes) or not all(map(_is_plain, shapes.values())):
            return None
        tokens = tokens or json_marks.count_tokens(texts.data)
        if not tokens.is_sure:
            return None
        table = self._query(texts, shapes)
        if table is None or table.num_rows != texts.count:
            return None
        found = _Found()
        found.objects = texts.count  # each record is one
        for column, shape in zip(table.columns, shapes.values(), strict=True):
            found.take_fields(column, shape)
        if not found.accounts_for(tokens) or not (is_proven or found.accounts_for_commas(tokens)):
            return None
        return _columns(table, shapes)

    def _query(self, texts: Texts, shapes: dict[str, Shape]) -> Any:
        import pyarrow as pa

        structure = _encode({key: _structure(shape) for key, shape in shapes.items()}).decode()
        offsets = pa.py_buffer(texts.bounds.astype(np.int32))
        array = pa.StringArray.from_buffers(texts.count, offsets, pa.py_buffer(texts.data))
        batches = pa.table({"text": array}).to_batches(max_chunksize=_PER_BATCH)
        with self._lock:
            self._connection.register("texts", pa.Table.from_batches(batches))
            try:
                query = f"SELECT unnest(from_json(text, {_quoted(structure)})) FROM texts"
                return self._connection.sql(query).to_arrow_table()
            except (self._errors, UnicodeDecodeError):  # its message may cut a character
                return None
            finally:
                self._connection.unregister("texts")


@cache
def engine() -> Engine:
    """The process's own."""
    return Engine()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _is_plain(shape: Shape) -> bool:
    """Whether the engine can read SHAPE as we would."""
    name = shape.kind.name
    if name == "struct":
        return _are_distinct([key for key, _field in shape.fields]) and all(
            _is_plain(field) for _name, field in shape.fields
        )
    if name == "list":
        return shape.items is not None and _is_plain(shape.items)
    return name in ("integer", "double", "boolean", "text", "null", *TIMES)


def _are_distinct(names: Collection[str]) -> bool:
    """Whether NAMES, of which there are some, differ by more than case for the engine, which ends them at a zero."""
    return 0 < len(names) == len({name.partition("\0")[0].casefold() for name in names})


def _structure(shape: Shape) -> Any:
    if shape.fields:
        return {name: _structure(field) for name, field in shape.fields}
    if shape.items is not None:
        return [_structure(shape.items)]
    return {"integer": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN"}.get(shape.kind.name, "VARCHAR")


class _Found:
    """What the engine's columns hold, to be held against the tokens of the source."""

    def __init__(self) -> None:
        self.objects = self.lists = self.fields = self.strings = self.booleans = self.nulls_in_lists = 0
        self.items = self.filled_lists = self.fractions = 0
        self.largest = 0.0

    def take_fields(self, column: Any, shape: Shape) -> None:
        """Counts a column of values that have keys."""
        for array in column.chunks if hasattr(column, "chunks") else [column]:
            self.fields += len(array) - array.null_count
            self._take(array, shape)

    def _take(self, array: Any, shape: Shape) -> None:
        name = shape.kind.name
        if name == "struct":
            self.objects += len(array) - array.null_count
            for child, (_name, field) in zip(array.flatten(), shape.fields, strict=True):
                self.take_fields(child, field)
        elif shape.items is not None:
            self.lists += len(array) - array.null_count
            items = array.flatten()
            self.items += len(items)
            self.filled_lists += int(
                np.count_nonzero(array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
            )
            self.nulls_in_lists += items.null_count
            self._take(items, shape.items)
        elif name == "boolean":
            self.booleans += len(array) - array.null_count
        elif name == "double":
            values = array.drop_null().to_numpy(zero_copy_only=False)
            self.fractions += int(np.count_nonzero(values != np.floor(values)))
            self.largest = max(self.largest, float(np.abs(values).max(initial=0.0)))
        elif name != "integer":
            self.strings += len(array) - array.null_count

    def accounts_for(self, tokens: Tokens) -> bool:
        """Whether every object, list, key, string, word and fraction counted is in the columns as what it is. (A key
        that was never seen before shows unless all of its values are null.) NaN isn't accounted for."""
        if tokens.objects != self.objects or tokens.lists != self.lists:
            return False
        if tokens.colons != self.fields + tokens.nulls - self.nulls_in_lists:
            return False
        if tokens.strings != tokens.colons + self.strings or tokens.booleans != self.booleans:
            return False
        if self.largest >= _EXACT:
            return False
        return self.fractions == tokens.fractions - tokens.whole_fractions

    def accounts_for_commas(self, tokens: Tokens) -> bool:
        """Whether there's a comma between two keys or items, and no other: before a closing bracket the engine forgives
        one. Objects without a key can't be told from that."""
        return tokens.commas == tokens.colons - tokens.objects + self.items - self.filled_lists


def _columns(table: Any, shapes: dict[str, Shape]) -> Columns | None:
    columns: Columns = {}
    frame = pl.DataFrame(pl.from_arrow(table))
    for (key, shape), column in zip(shapes.items(), frame.get_columns(), strict=True):
        typed = fit(column, shape.kind) if shape.kind.name in TIMES else column
        if typed is None:
            return None
        columns[key] = typed
    return columns
