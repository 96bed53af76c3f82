"""How a Parquet file is read so that a block of its rows can be held, as its metadata tell before anything is unpacked.

Texts may be stored once for many rows: in a dictionary, or as beginnings that they share. Lists may have items that take
hardly a byte, and how many of them belong to one row isn't told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from stages.convert.parquet_file import GROUP_BYTES

MOST = 512 * 1024 * 1024  # bytes of lists' items that may belong to one row, unpacked,
_RATIO = 200  # where they are so many times what they are in the file
_BLOCK = 128 * 1024 * 1024  # bytes of a block of rows, about
_LEVELS = 4  # bytes of what says which list an item is of
_INDEX = 4  # bytes of a text that is read apart from its column
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8}


class Sizes(msgspec.Struct):
    """How many `rows` are read at once, the columns whose texts are `repeated` and so read apart from them, and how many
    bytes of items that take hardly a byte each may belong to one row."""

    rows: int
    repeated: list[str] = []
    largest: int = 0


def look(meta: Any, most: int) -> Sizes:
    """What a file with META needs, of which at most MOST rows are to be read at once."""
    repeated: dict[str, None] = {}
    rows, largest = most, 0
    for index in range(meta.num_row_groups):
        group = meta.row_group(index)
        columns = [(group.column(number), meta.schema.column(number)) for number in range(group.num_columns)]
        repeated.update(dict.fromkeys(part.path_in_schema for part, _leaf in columns if _may_repeat(part, group, most)))
        in_lists = [(part, leaf) for part, leaf in columns if leaf.max_repetition_level]
        unpacked = sum(_unpacked(part, leaf) for part, leaf in in_lists)
        if unpacked > _RATIO * sum(part.total_compressed_size for part, _leaf in in_lists):
            largest = max(largest, unpacked)
        a_row = unpacked // max(1, group.num_rows) + sum(map(_shared, (part for part, _leaf in columns)))
        rows = max(1, min(rows, _BLOCK // max(1, a_row)))
    return Sizes(rows, list(repeated), largest)


def _may_repeat(column: Any, group: Any, most: int) -> bool:
    """Whether a block of COLUMN's texts, which its GROUP may have once for many rows, may be larger than is held."""
    items = min(group.num_rows, most) if column.num_values == group.num_rows else column.num_values
    is_text = column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page
    return bool(is_text and items * column.total_uncompressed_size > GROUP_BYTES)


def _unpacked(column: Any, leaf: Any) -> int:
    """The bytes of all items of COLUMN."""
    if column.physical_type == "BYTE_ARRAY":
        return int(column.num_values * (_INDEX + _LEVELS) + column.total_uncompressed_size)
    return int(column.num_values * (_WIDTHS.get(column.physical_type, leaf.length) + _LEVELS))


def _shared(column: Any) -> int:
    """The bytes that each of COLUMN's texts may share with the one before it, and has once it's unpacked."""
    return int(column.total_uncompressed_size) if "DELTA_BYTE_ARRAY" in column.encodings else 0


def joined(batches: Iterator[Any], most: int) -> Iterator[Any]:
    """BATCHES of few rows put together, so that they have up to MOST rows as far as these can be held at once."""
    import pyarrow as pa

    waiting: list[Any] = []
    rows = size = 0
    for batch in batches:
        if waiting and (rows + batch.num_rows > most or size + batch.nbytes > GROUP_BYTES):
            yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()
            waiting, rows, size = [], 0, 0
        waiting.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
    if waiting:
        yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()
