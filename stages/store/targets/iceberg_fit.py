"""Makes Arrow's types into those that Iceberg has (format version 2), without changing a value.

Nested values stay nested. What Iceberg doesn't know becomes the next larger number, or text.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa
from pyarrow import types

from stages.store.targets.arrow_fit import LARGER, cast

_MOST_DIGITS: Final = 38
_LARGER: Final = LARGER | {
    pa.int8(): pa.int32(),
    pa.int16(): pa.int32(),
    pa.uint8(): pa.int32(),
    pa.time32("s"): pa.time64("us"),
    pa.time32("ms"): pa.time64("us"),
    pa.time64("ns"): pa.string(),
}


def fit(schema: pa.Schema) -> pa.Schema:
    """SCHEMA as it arrives there."""
    return pa.schema([pa.field(field.name, _fit_type(field.type)) for field in schema])


def fitted(batch: pa.RecordBatch) -> pa.RecordBatch:
    """BATCH with the types of `fit`."""
    schema = fit(batch.schema)
    columns = [cast(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.record_batch(columns, schema=schema)


def _fit_type(kind: pa.DataType) -> pa.DataType:
    if types.is_dictionary(kind):
        return _fit_type(kind.value_type)
    if types.is_nested(kind):
        return _fit_nested(kind)
    if types.is_timestamp(kind):
        return pa.string() if kind.unit == "ns" else pa.timestamp("us", "UTC" if kind.tz else None)
    if types.is_decimal(kind):
        fits = 0 <= kind.scale <= kind.precision <= _MOST_DIGITS
        return pa.decimal128(kind.precision, kind.scale) if fits else pa.string()
    if types.is_duration(kind) or types.is_interval(kind):
        return pa.string()
    return pa.binary() if types.is_fixed_size_binary(kind) else _LARGER.get(kind, kind)


def _fit_nested(kind: pa.DataType) -> pa.DataType:
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(_fit_type(kind.value_type))
    if types.is_map(kind):
        return pa.map_(_fit_type(kind.key_type), _fit_type(kind.item_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, _fit_type(field.type)) for field in kind])
    return pa.string()
