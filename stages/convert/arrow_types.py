"""Arrow's types as every reader of our Parquet takes them, and in DuckDB's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec


def portable(schema: Any, *, is_text_only: bool) -> Any:
    """SCHEMA with dictionaries unfolded and other types that some reader lacks made into ones that hold the same."""
    import pyarrow as pa

    fields = [pa.field(field.name, _text(field.type) if is_text_only else _plain(field.type)) for field in schema]
    return pa.schema(fields)


def unfolded(column: Any, kind: Any) -> Any:
    """COLUMN as KIND, its type in a portable schema. Raises ArrowException where a value has no place in that."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_told_apart(column.type):
        return pa.chunked_array([pa.array(list(map(_as_json, column.to_pylist())), pa.string())])
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if pa.types.is_run_end_encoded(column.type):
        column = pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], column.type.value_type)
    if "list_view" in str(column.type):  # a cast gives lists that aren't valid
        return pa.chunked_array([pa.array(column.to_pylist(), kind)])
    return column.cast(kind)


def is_told_apart(kind: Any) -> bool:
    """Whether KIND has something in it that the engines don't take: its values are written as JSON, one by one."""
    import pyarrow as pa

    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return is_told_apart(kind.storage_type)
    if types.is_union(kind) or types.is_interval(kind):
        return True
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return types.is_nested(kind.value_type) or is_told_apart(kind.value_type)
    if types.is_struct(kind):
        names = [field.name for field in kind]
        return len(set(names)) < len(names) or not names or any(is_told_apart(field.type) for field in kind)
    if types.is_map(kind):
        return is_told_apart(kind.key_type) or is_told_apart(kind.item_type)
    return types.is_nested(kind) and is_told_apart(kind.value_type)


def _as_json(value: Any) -> str | None:
    return None if value is None else _encoder.encode(value).decode()


def _odd(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


_encoder = msgspec.json.Encoder(enc_hook=_odd, decimal_format="number")


def _plain(kind: Any) -> Any:
    import pyarrow as pa

    types = pa.types
    if is_told_apart(kind):
        return pa.string()
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _plain(kind.value_type)
    if types.is_nested(kind):
        return _nested(kind)
    for is_it, plain in _SCALARS:
        if is_it(types, kind):
            return plain(pa, kind)
    return kind


_SCALARS: tuple[tuple[Callable[[Any, Any], bool], Callable[[Any, Any], Any]], ...] = (
    (lambda types, kind: types.is_null(kind), lambda pa, kind: pa.string()),
    (lambda types, kind: types.is_float16(kind), lambda pa, kind: pa.float32()),
    (lambda types, kind: types.is_timestamp(kind) and kind.unit == "s", lambda pa, kind: pa.timestamp("ms", kind.tz)),
    (lambda types, kind: types.is_time32(kind) and kind.unit == "s", lambda pa, kind: pa.time32("ms")),
    (lambda types, kind: types.is_duration(kind), lambda pa, kind: pa.int64()),
    (lambda types, kind: types.is_decimal256(kind), lambda pa, kind: pa.string()),
    (
        lambda types, kind: types.is_decimal(kind) and kind.scale < 0,
        lambda pa, kind: pa.decimal128(38, 0) if kind.precision - kind.scale <= 38 else pa.string(),
    ),
    (lambda types, kind: types.is_date64(kind), lambda pa, kind: pa.date32()),
)


def _nested(kind: Any) -> Any:
    import pyarrow as pa

    types = pa.types
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, _plain(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.list_(pa.struct([("key", _plain(kind.key_type)), ("value", _plain(kind.item_type))]))
    return pa.list_(_plain(kind.value_type))


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
        return "STRUCT(" + ", ".join(f'"{field.name}" {sql_type(field.type)}' for field in kind) + ")"
    if types.is_list(kind) or types.is_large_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    if types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if types.is_timestamp(kind):
        return "TIMESTAMP WITH TIME ZONE" if kind.tz else "TIMESTAMP_NS" if kind.unit == "ns" else "TIMESTAMP"
    if types.is_time(kind):
        return "TIME_NS"  # as the engine writes it, whatever its unit
    return _NAMES.get(str(kind), "BLOB" if "binary" in str(kind) else "VARCHAR")


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
