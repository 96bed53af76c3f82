"""What a Parquet file's footer says, read without an engine.

Importing one costs a worker 60 MB, and each footer 0.2 ms; and where a statistic in it doesn't fit its column's type, pyarrow's
own way to ask for a column's sizes ends the process. The footer is Thrift's compact protocol:
https://parquet.apache.org/docs/file-format/metadata/.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

MAGIC = b"PAR1"
TAIL_BYTES = 16 * 1024

_NUM_ROWS, _ROW_GROUPS = 3, 4  # fields of the file's metadata,
_COLUMNS, _ROWS = 1, 3  # of a row group,
_META = 3  # of a column chunk,
_ENCODINGS, _VALUES, _UNPACKED, _PACKED, _DICTIONARY = 2, 5, 6, 7, 11  # and of its metadata
_DELTA_BYTE_ARRAY = 7
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12


class NotParquet(Exception):
    """The file isn't Parquet, or its footer is damaged."""


class ColumnChunk(msgspec.Struct, frozen=True):
    """A column of a row group: how many values and bytes it has."""

    values: int
    unpacked: int
    packed: int
    has_dictionary: bool
    is_delta: bool  # values may be told by what they share with those before them


class RowGroup(msgspec.Struct, frozen=True):
    """Some rows, and the columns in the order of the schema."""

    rows: int
    columns: list[ColumnChunk]


def row_count(fd: int) -> int:
    """The number of rows in the Parquet file open at FD. Raises NotParquet."""
    size = os.fstat(fd).st_size
    start = max(0, size - TAIL_BYTES)
    tail = os.pread(fd, TAIL_BYTES, start)
    length = int.from_bytes(tail[-8:-4], "little")
    if size < 12 or tail[-4:] != MAGIC or length > size - 12:
        raise NotParquet(f"a file of {size} bytes has no Parquet footer")
    begin = size - 8 - length
    found = _meta(tail[begin - start : -8] if begin >= start else os.pread(fd, length, begin), _NUM_ROWS)
    if not isinstance(found, int):
        raise NotParquet("the Parquet footer has no row count")
    return found


def row_groups(footer: bytes) -> list[RowGroup]:
    """The row groups that FOOTER tells of, without its length and the mark behind it. Raises NotParquet."""
    try:
        return [_row_group(group) for group in _meta(footer, _ROW_GROUPS)]
    except (LookupError, TypeError, ValueError) as error:
        raise NotParquet("the Parquet footer has other row groups than it may") from error


def _row_group(group: Any) -> RowGroup:
    return RowGroup(max(0, group[_ROWS]), [_chunk(column[_META]) for column in group[_COLUMNS]])


def _chunk(meta: Any) -> ColumnChunk:
    values, unpacked, packed = (max(0, int(meta[field])) for field in (_VALUES, _UNPACKED, _PACKED))
    return ColumnChunk(values, unpacked, packed, _DICTIONARY in meta, _DELTA_BYTE_ARRAY in meta[_ENCODINGS])


def _meta(footer: bytes, field: int) -> Any:
    """The file's metadata's FIELD; what's behind it isn't looked at. Raises NotParquet."""
    try:
        return _struct(footer, 0, field)[0].get(field)
    except (IndexError, RecursionError) as error:
        raise NotParquet("the Parquet footer ends early") from error


def _struct(data: bytes, at: int, last: int = 0) -> tuple[dict[int, Any], int]:
    """The fields, by number, of the struct at AT, up to the one LAST, and where it ends."""
    found: dict[int, Any] = {}
    field = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _integer(data, at)
        found[field], at = _value(data, at, head & 15)
        if field == last:
            break
    return found, at + 1


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in _INTEGERS:
        return _integer(data, at)
    if kind == _BINARY:
        size, at = _varint(data, at)
        return data[at : at + size], at + size
    if kind == _STRUCT:
        return _struct(data, at)
    if kind in _LISTS:
        return _list(data, at)
    if kind in (_TRUE, _FALSE):  # the value lies in the kind
        return kind == _TRUE, at
    if kind in (_BYTE, _DOUBLE):
        return None, at + (1 if kind == _BYTE else 8)
    raise NotParquet(f"kind {kind} in the Parquet footer")


def _list(data: bytes, at: int) -> tuple[list[Any], int]:
    count, kind = data[at] >> 4, data[at] & 15
    at += 1
    if count == 15:
        count, at = _varint(data, at)
    if count > len(data) - at:
        raise NotParquet("the Parquet footer has a list that is longer than it")
    found = []
    for _ in range(count):
        value, at = (data[at], at + 1) if kind in (_TRUE, _FALSE) else _value(data, at, kind)
        found.append(value)
    return found, at


def _integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while (byte := data[at]) & 128:
        value |= (byte & 127) << shift
        shift += 7
        at += 1
    return value | byte << shift, at + 1
