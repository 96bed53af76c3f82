"""One schema for the parts of a table, where that loses nothing: wider integers, wider decimals of equal scale, and any
type for a column of nulls alone. A text is never made of a number, nor a date of a text: such parts stay apart.

DuckDB, Polars and pyarrow all fail on parts that differ. pyarrow is imported here alone, and only when parts do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from pipeline.model import Column
from stages.store import files
from stages.store.tables import Field, Shape

_SIGNED = ("int8", "int16", "int32", "int64")
_UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
_DUCKDB = {
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
}


def shape(fd: int, columns: Sequence[Column]) -> Shape:
    """The fields of the Parquet file open at FD, which convert described as COLUMNS."""
    file = _parquet(fd)
    return tuple(
        Field(field.name, column.type, _plain(field.type), _all_null(file, index))
        for index, (field, column) in enumerate(zip(file.schema_arrow, columns, strict=True))
    )


def merge(one: Shape, two: Shape) -> Shape | None:
    """The shape that holds the values of both exactly; None where there is none."""
    if [field.name for field in one] != [field.name for field in two]:
        return None
    fields = [_merge_field(left, right) for left, right in zip(one, two, strict=True)]
    return tuple(field for field in fields if field is not None) if None not in fields else None


def rewrite(fd: int, target: str, shape: Shape) -> bool:
    """Writes the Parquet file open at FD to TARGET with the types of SHAPE; False, and nothing done, where it has them.

    It goes by row groups, so that memory is bounded by the largest of them.
    """
    import pyarrow as pa
    from pyarrow import parquet

    source = _parquet(fd)
    old = source.schema_arrow
    if all(_plain(field.type) == want.type for field, want in zip(old, shape, strict=True)):
        return False
    new = pa.schema([_field(field, want) for field, want in zip(old, shape, strict=True)], metadata=old.metadata)
    out = files.create(target)
    with os.fdopen(out, "wb") as sink, parquet.ParquetWriter(sink, new, compression="zstd") as writer:
        for group in range(source.num_row_groups):
            table = source.read_row_group(group)
            arrays = [_cast(column, field) for column, field in zip(table.columns, new, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=new), row_group_size=max(1, table.num_rows))
    return True


def _parquet(fd: int) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(os.fdopen(fd, "rb", closefd=False))


def _plain(kind: Any) -> Any:
    """KIND without a dictionary, which is only a way to store it."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _field(field: Any, want: Field) -> Any:
    return field if _plain(field.type) == want.type else field.with_type(want.type).with_nullable(True)


def _cast(column: Any, field: Any) -> Any:
    import pyarrow as pa

    if column.type == field.type:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), field.type)])
    return column.cast(field.type, safe=True)


def _all_null(file: Any, index: int) -> bool:
    """Whether field INDEX has no value at all. Nested fields, whose leaves are several, count as having some."""
    meta, field = file.metadata, file.schema_arrow[index]
    if not meta.num_rows:
        return True
    if field.type.num_fields:
        return False
    leaf = [file.schema.column(i).path for i in range(len(file.schema))].index(field.name)
    groups = (meta.row_group(group).column(leaf) for group in range(meta.num_row_groups))
    return all(
        chunk.statistics is not None
        and chunk.statistics.has_null_count
        and chunk.statistics.null_count == chunk.num_values
        for chunk in groups
    )


def _merge_field(one: Field, two: Field) -> Field | None:
    if one.type == two.type:
        return Field(one.name, one.words, one.type, one.null and two.null)
    if one.null or two.null:
        return two if one.null else one
    wide = _widen(one.type, two.type)
    return None if wide is None else Field(one.name, _words(wide), wide, False)


def _words(kind: Any) -> str:
    return _DUCKDB.get(str(kind)) or f"DECIMAL({kind.precision},{kind.scale})"


def _widen(one: Any, two: Any) -> Any | None:
    """The narrowest type that holds all values of both, written the same way; None where there is none."""
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_integer(one) and kinds.is_integer(two):
        name = _wide_integer(str(one), str(two))
        return None if name is None else getattr(pa, name)()
    if kinds.is_decimal(one) and kinds.is_decimal(two) and one.scale == two.scale:
        return max(one, two, key=lambda kind: kind.precision)
    return None


def _wide_integer(one: str, two: str) -> str | None:
    for family in (_SIGNED, _UNSIGNED):
        if one in family and two in family:
            return max(one, two, key=family.index)
    signed, unsigned = sorted((one, two), key=lambda name: name in _UNSIGNED)
    width = max(_SIGNED.index(signed), _UNSIGNED.index(unsigned) + 1)
    return _SIGNED[width] if width < len(_SIGNED) else None
