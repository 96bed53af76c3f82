"""Makes Arrow's types into those that a SQL database has, without changing a value.

Unsigned and nested types have no counterpart there, nor has a nanosecond: they become the next larger number, JSON, and
text. The one character that PostgreSQL's text can't hold, NUL, is shown by its picture, U+2400.
"""

from __future__ import annotations

from typing import Final

import msgspec
import pyarrow as pa
from pyarrow import compute

NUL_SHOWN: Final = "\u2400"
_json = msgspec.json.Encoder(enc_hook=str)
LARGER: Final = {
    pa.uint8(): pa.int16(),
    pa.int8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.null(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_string(): pa.string(),
    pa.binary_view(): pa.binary(),
    pa.large_binary(): pa.binary(),
}


def fit(schema: pa.Schema) -> pa.Schema:
    """SCHEMA as it arrives there."""
    return pa.schema([pa.field(field.name, _fit_type(field.type)) for field in schema])


def fitted(batch: pa.RecordBatch) -> pa.RecordBatch:
    """BATCH with the types of `fit`."""
    schema = fit(batch.schema)
    columns = [_fitted(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.record_batch(columns, schema=schema)


def _fit_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _fit_type(kind.value_type)
    if pa.types.is_nested(kind) or pa.types.is_time32(kind) or pa.types.is_time64(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.string() if kind.unit == "ns" else pa.timestamp("us", kind.tz)
    if pa.types.is_duration(kind) or pa.types.is_interval(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.string() if not pa.types.is_fixed_size_binary(kind) else pa.binary()
    return LARGER.get(kind, kind)


def _fitted(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_nested(column.type):
        texts = [None if value is None else _json.encode(value).decode() for value in column.to_pylist()]
        return pa.array(texts, kind)
    column = cast(column, kind)
    if pa.types.is_string(kind) and compute.any(compute.match_substring(column, "\0")).as_py():
        column = compute.replace_substring(column, "\0", NUL_SHOWN)
    return column


def cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """COLUMN as KIND holds it; its values without their dictionary. Raises pa.ArrowInvalid where it can't."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_duration(column.type) or pa.types.is_interval(column.type):  # pyarrow would show the bare number
        column = pa.array([None if value is None else str(value) for value in column.to_pylist()], kind)
    return column if column.type == kind else column.cast(kind)
