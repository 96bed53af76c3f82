"""Arrow's types as every reader of our Parquet takes them, and in DuckDB's words."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import polars as pl

from stages.convert.values.header import unique_names


def portable(schema: Any, *, is_text_only: bool) -> Any:
    """SCHEMA with dictionaries unfolded and other types that some reader lacks made into ones that hold the same."""
    import pyarrow as pa

    fields = [pa.field(field.name, _text(field.type) if is_text_only else _plain(field.type)) for field in schema]
    return pa.schema(fields)


def unfolded(column: Any, kind: Any) -> Any:
    """COLUMN as KIND, its type in a portable schema. Raises ArrowException where a value has no place in that."""
    import pyarrow as pa

    if is_told_apart(column.type):
        return pa.chunked_array([pa.array(list(map(as_json, column.to_pylist())), pa.string())])
    return pa.chunked_array([_rebuilt(chunk, kind) for chunk in column.chunks], kind)


def _rebuilt(array: Any, kind: Any) -> Any:
    """ARRAY as KIND, level by level where a cast doesn't reach all of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types = pa.types
    if array.type == kind:
        return array
    if isinstance(array.type, pa.BaseExtensionType):
        is_uuid = array.type.extension_name == "arrow.uuid"
        return _uuid_texts(array.storage) if is_uuid else _rebuilt(array.storage, kind)
    if types.is_run_end_encoded(array.type):
        return _rebuilt(pc.run_end_decode(array), kind)
    if types.is_map(array.type):
        fields = [("key", array.type.key_type), ("value", array.type.item_type)]
        return _rebuilt(array.cast(pa.list_(pa.struct(fields))), kind)
    if types.is_struct(array.type):
        parts = [_rebuilt(part, field.type) for part, field in zip(array.flatten(), kind, strict=True)]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=array.is_null())
    if types.is_nested(array.type):
        lengths = pc.cumulative_sum(pc.list_value_length(array).fill_null(0).cast(pa.int64()))
        offsets = pa.concat_arrays([pa.array([0], pa.int64()), lengths])
        items = _rebuilt(array.flatten(), kind.value_type)
        return pa.LargeListArray.from_arrays(offsets, items, mask=array.is_null()).cast(kind)
    if types.is_decimal(array.type) and array.type.scale < 0 and types.is_string(kind):
        array = array.cast(pa.decimal256(76, 0))  # else it would be written with an exponent
    return array.cast(kind)


def _uuid_texts(array: Any) -> Any:
    """The 16 bytes of each UUID as people write them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    digits = pl.Series(pl.from_arrow(array.cast(pa.binary()))).bin.encode("hex").to_arrow()
    parts = [
        pc.utf8_slice_codeunits(digits, start, stop) for start, stop in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    ]
    return pc.binary_join_element_wise(*parts, pa.scalar("-", digits.type)).cast(pa.string())


def is_told_apart(kind: Any) -> bool:
    """Whether KIND has something in it that the engines don't take: its values are written as JSON, one by one."""
    import pyarrow as pa

    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return is_told_apart(kind.storage_type)
    if types.is_union(kind) or types.is_interval(kind):
        return True
    if types.is_dictionary(kind):
        return types.is_nested(kind.value_type) or is_told_apart(kind.value_type)
    if types.is_run_end_encoded(kind):
        return is_told_apart(kind.value_type)
    if types.is_struct(kind):
        return not len(kind) or any(is_told_apart(field.type) for field in kind)
    if types.is_map(kind):
        return is_told_apart(kind.key_type) or is_told_apart(kind.item_type)
    return types.is_nested(kind) and is_told_apart(kind.value_type)


def as_json(value: Any) -> str | None:
    """VALUE as JSON; None for none."""
    return None if value is None else _encoder.encode(_spelled(value)).decode()


def _spelled(value: Any) -> Any:
    """VALUE with the numbers for which JSON has no word, such as NaN, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return list(map(_spelled, value))
    return {key: _spelled(part) for key, part in value.items()} if isinstance(value, dict) else value


def _odd(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


_encoder = msgspec.json.Encoder(enc_hook=_odd, decimal_format="number")


def _plain(kind: Any) -> Any:
    import pyarrow as pa

    types = pa.types
    if is_told_apart(kind):
        return pa.string()
    if isinstance(kind, pa.BaseExtensionType):
        return _EXTENSIONS[kind.extension_name](pa) if kind.extension_name in _EXTENSIONS else _plain(kind.storage_type)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _plain(kind.value_type)
    if types.is_nested(kind):
        return _nested(kind)
    for is_it, plain in _SCALARS:
        if is_it(types, kind):
            return plain(pa, kind)
    return kind


@cache
def _zone(name: str) -> str:
    """NAME where the engine knows that zone, else UTC, which gives the same moments."""
    try:
        pl.Series([], dtype=pl.Datetime("us", name))
    except pl.exceptions.PolarsError:
        return "UTC"
    return name


_EXTENSIONS: dict[str, Callable[[Any], Any]] = {
    "arrow.uuid": lambda pa: pa.string(),
    "arrow.bool8": lambda pa: pa.bool_(),
}
_SCALARS: tuple[tuple[Callable[[Any, Any], bool], Callable[[Any, Any], Any]], ...] = (
    (lambda types, kind: types.is_null(kind), lambda pa, kind: pa.string()),
    # What lies where a view is null may be anything, and the engine follows it.
    (lambda types, kind: types.is_string_view(kind), lambda pa, kind: pa.large_string()),
    (lambda types, kind: types.is_binary_view(kind), lambda pa, kind: pa.large_binary()),
    (lambda types, kind: types.is_float16(kind), lambda pa, kind: pa.float32()),
    (
        lambda types, kind: types.is_timestamp(kind),
        lambda pa, kind: pa.timestamp("ms" if kind.unit == "s" else kind.unit, kind.tz and _zone(kind.tz)),
    ),
    (lambda types, kind: types.is_time32(kind) and kind.unit == "s", lambda pa, kind: pa.time32("ms")),
    (lambda types, kind: types.is_duration(kind), lambda pa, kind: pa.int64()),
    (
        lambda types, kind: types.is_decimal(kind) and kind.scale < 0,
        lambda pa, kind: pa.decimal128(38, 0) if kind.precision - kind.scale <= 38 else pa.string(),
    ),
    (
        lambda types, kind: types.is_decimal256(kind),
        lambda pa, kind: pa.decimal128(kind.precision, kind.scale) if kind.precision <= 38 else pa.string(),
    ),
    (lambda types, kind: types.is_date64(kind), lambda pa, kind: pa.date32()),
)


def _nested(kind: Any) -> Any:
    import pyarrow as pa

    types = pa.types
    if types.is_struct(kind):
        names = unique_names([field.name for field in kind]) if _is_doubled(kind) else [field.name for field in kind]
        return pa.struct([pa.field(name, _plain(field.type)) for name, field in zip(names, kind, strict=True)])
    if types.is_map(kind):
        return pa.list_(pa.struct([("key", _plain(kind.key_type)), ("value", _plain(kind.item_type))]))
    return pa.list_(_plain(kind.value_type))


def _is_doubled(kind: Any) -> bool:
    return len({field.name for field in kind}) < len(kind)


def _text(kind: Any) -> Any:
    """Text for what can be cast to it."""
    import pyarrow as pa

    types = pa.types
    plain = _plain(kind)
    is_simple = types.is_primitive(plain) or types.is_string(plain) or types.is_large_string(plain)
    return pa.string() if is_simple or types.is_decimal(plain) else plain


def sql_type(kind: Any) -> str:
    """Arrow's KIND in DuckDB's words."""
    import pyarrow as pa

    types = pa.types
    if types.is_struct(kind):
        return "STRUCT(" + ", ".join(f"{_quoted(field.name)} {sql_type(field.type)}" for field in kind) + ")"
    if types.is_list(kind) or types.is_large_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    if types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if types.is_timestamp(kind):
        return "TIMESTAMP WITH TIME ZONE" if kind.tz else "TIMESTAMP_NS" if kind.unit == "ns" else "TIMESTAMP"
    if types.is_time(kind):
        return "TIME_NS"  # as the engine writes it, whatever its unit
    return _NAMES.get(str(kind), "BLOB" if "binary" in str(kind) else "VARCHAR")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_NAMES = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date32[day]": "DATE",
}
