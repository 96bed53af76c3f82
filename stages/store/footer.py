"""How many rows a Parquet file says it has, read from its footer without an engine.

Importing one costs a worker 60 MB and each footer 0.2 ms; this reads only as far as FileMetaData's third field
(Thrift's compact protocol: 1 version, 2 schema, 3 num_rows).
"""

from __future__ import annotations

import os

MAGIC = b"PAR1"
TAIL_BYTES = 16 * 1024

_BOOLS = (1, 2)
_BYTE = 3
_INTS = (4, 5, 6)
_DOUBLE = 7
_BINARY = 8
_LISTS = (9, 10)
_MAP = 11
_STRUCT = 12


class NotParquet(Exception):
    """The file isn't Parquet, or its footer is damaged."""


def row_count(fd: int) -> int:
    """The number of rows in the Parquet file open at FD. Raises NotParquet."""
    size = os.fstat(fd).st_size
    start = max(0, size - TAIL_BYTES)
    tail = os.pread(fd, TAIL_BYTES, start)
    length = int.from_bytes(tail[-8:-4], "little")
    if size < 12 or tail[-4:] != MAGIC or length > size - 12:
        raise NotParquet(f"a file of {size} bytes has no Parquet footer")
    begin = size - 8 - length
    data = tail[begin - start :] if begin >= start else os.pread(fd, length, begin)
    try:
        return _num_rows(data)
    except IndexError:
        raise NotParquet("the Parquet footer ends early") from None


def _num_rows(data: bytes) -> int:
    at = field = 0
    while kind := data[at] & 15:
        field = field + (data[at] >> 4) if data[at] >> 4 else -1
        at += 1
        if field == 3:
            return _unzigzag(_varint(data, at)[0])
        at = _skip(data, at, kind)
    raise NotParquet("the Parquet footer has no row count")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while (byte := data[at]) & 128:
        value |= (byte & 127) << shift
        shift += 7
        at += 1
    return value | byte << shift, at + 1


def _unzigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _skip(data: bytes, at: int, kind: int) -> int:
    """The position after the value of KIND that begins at AT."""
    if kind in _INTS:
        while data[at] & 128:
            at += 1
        return at + 1
    if kind == _BINARY:
        length, at = _varint(data, at)
        return at + length
    if kind == _STRUCT:
        return _skip_struct(data, at)
    if kind in _LISTS:
        return _skip_list(data, at)
    if kind == _DOUBLE:
        return at + 8
    if kind in _BOOLS:  # as a field; its value lies in its kind
        return at
    if kind == _BYTE:
        return at + 1
    raise NotParquet(f"kind {kind} in the Parquet footer")


def _skip_struct(data: bytes, at: int) -> int:
    while head := data[at]:
        at += 1
        if not head >> 4:  # the field's id follows
            at = _skip(data, at, _INTS[0])
        at = _skip(data, at, head & 15)
    return at + 1


def _skip_list(data: bytes, at: int) -> int:
    count, kind = data[at] >> 4, data[at] & 15
    at += 1
    if count == 15:
        count, at = _varint(data, at)
    for _ in range(count):
        at = at + 1 if kind in _BOOLS else _skip(data, at, kind)
    return at
