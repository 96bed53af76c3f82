"""How a Parquet file is read so that a block of its rows can be held, as its metadata tell before anything is unpacked.

Texts may be stored once for many rows: in a dictionary, or as beginnings that they share. Lists may have items that take
hardly a byte, and how many of them belong to one row isn't told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from stages.convert.parquet_file import GROUP_BYTES
from stages.parquet_footer import ColumnChunk, NotParquet, row_groups

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


def look(footer: bytes, schema: Any, most: int) -> Sizes:
    """What a file with FOOTER and SCHEMA, which is pyarrow's, needs, of which at most MOST rows are to be read at once. Raises
    NotParquet where the footer is damaged, or has other columns."""
    leaves = [schema.column(number) for number in range(len(schema))]
    repeated: dict[str, None] = {}
    rows, largest = most, 0
    for group in row_groups(footer):
        if len(group.columns) != len(leaves):
            raise NotParquet("a row group has other columns than the file")
        columns = list(zip(group.columns, leaves, strict=True))
        repeated.update(dict.fromkeys(leaf.path for part, leaf in columns if _may_repeat(part, leaf, group.rows, most)))
        in_lists = [(part, leaf) for part, leaf in columns if leaf.max_repetition_level]
        unpacked = sum(_unpacked(part, leaf) for part, leaf in in_lists)
        if unpacked > _RATIO * sum(part.packed for part, _leaf in in_lists):
            largest = max(largest, unpacked)
        shared = sum(part.unpacked for part in group.columns if part.is_delta)  # with the text before
        a_row = unpacked // max(1, group.rows) + shared
        rows = max(1, min(rows, _BLOCK // max(1, a_row)))
    return Sizes(rows, list(repeated), largest)


def _may_repeat(part: ColumnChunk, leaf: Any, rows: int, most: int) -> bool:
    """Whether a block of texts, which a row group of ROWS may have once for many rows, may be larger than is held."""
    items = min(rows, most) if part.values == rows else part.values
    is_text = leaf.physical_type == "BYTE_ARRAY" and part.has_dictionary
    return bool(is_text and items * part.unpacked > GROUP_BYTES)


def _unpacked(part: ColumnChunk, leaf: Any) -> int:
    """The bytes of all items of a column."""
    if leaf.physical_type == "BYTE_ARRAY":
        return part.values * (_INDEX + _LEVELS) + part.unpacked
    return int(part.values * (_WIDTHS.get(leaf.physical_type, leaf.length) + _LEVELS))


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
