"""What a Parquet file's footer says of its row groups, read without an engine: where one of the numbers in it is damaged,
pyarrow's own way to ask for them ends the process.

The footer is Thrift's compact protocol: https://parquet.apache.org/docs/file-format/metadata/.
"""

from __future__ import annotations

from typing import Any

import msgspec

_ROW_GROUPS = 4  # a field of the file's metadata
_COLUMNS, _ROWS = 1, 3  # of a row group's
_META = 3  # of a column chunk's
_ENCODINGS, _VALUES, _UNPACKED, _PACKED, _DICTIONARY = 2, 5, 6, 7, 11  # of its metadata's
_DELTA_BYTE_ARRAY = 7
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12


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


def row_groups(footer: bytes) -> list[RowGroup]:
    """The row groups that FOOTER tells of, without its length and the mark behind it. Raises ValueError."""
    try:
        meta, _ = _struct(footer, 0)
        return [_row_group(group) for group in meta[_ROW_GROUPS]]
    except (LookupError, TypeError, RecursionError) as error:
        raise ValueError("the footer is damaged") from error


def _row_group(group: Any) -> RowGroup:
    return RowGroup(max(0, group[_ROWS]), [_chunk(column[_META]) for column in group[_COLUMNS]])


def _chunk(meta: Any) -> ColumnChunk:
    values, unpacked, packed = (max(0, int(meta[field])) for field in (_VALUES, _UNPACKED, _PACKED))
    return ColumnChunk(values, unpacked, packed, _DICTIONARY in meta, _DELTA_BYTE_ARRAY in meta[_ENCODINGS])


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """The fields, by number, of the struct at AT, and where it ends."""
    found: dict[int, Any] = {}
    field = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _integer(data, at)
        found[field], at = _value(data, at, head & 15)
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
    raise ValueError(f"the footer has a value of the kind {kind}")


def _list(data: bytes, at: int) -> tuple[list[Any], int]:
    count, kind = data[at] >> 4, data[at] & 15
    at += 1
    if count == 15:
        count, at = _varint(data, at)
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
