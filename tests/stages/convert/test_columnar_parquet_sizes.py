"""Parquet files that unpack to far more than they look are read in pieces, or refused before they are read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline.model import Code
from stages.convert.columnar_files import columnar, parquet_sizes
from stages.parquet_footer import ColumnChunk, NotParquet, RowGroup, row_groups
from tests.stages.convert.conftest import Bench

TEXTS = ["x" * 500, None, "Größe", ""] * 300
NESTED: dict[str, list[Any]] = {
    "list": [None if number % 7 == 0 else [text, text] * (number % 3) for number, text in enumerate(TEXTS)],
    "struct": [None if number % 5 == 0 else {"s": text, "n": number} for number, text in enumerate(TEXTS)],
    "both": [[{"s": [text]}, None] for text in TEXTS],
    "many": [[f"{number} of many texts that differ" * 9] for number in range(len(TEXTS))],
}


def written(table: Any, **options: Any) -> bytes:
    data = io.BytesIO()
    parquet.write_table(table, data, store_schema=False, compression="zstd", **options)
    return data.getvalue()


def footer_of(data: bytes) -> bytes:
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


def look(data: bytes, most: int) -> parquet_sizes.Sizes:
    return parquet_sizes.look(footer_of(data), parquet.ParquetFile(io.BytesIO(data)).metadata.schema, most)


def by_pyarrow(data: bytes) -> list[RowGroup]:
    meta = parquet.ParquetFile(io.BytesIO(data)).metadata
    groups = map(meta.row_group, range(meta.num_row_groups))
    return [
        RowGroup(
            group.num_rows,
            [
                ColumnChunk(
                    column.num_values,
                    column.total_uncompressed_size,
                    column.total_compressed_size,
                    column.has_dictionary_page,
                    "DELTA_BYTE_ARRAY" in column.encodings,
                )
                for column in map(group.column, range(group.num_columns))
            ],
        )
        for group in groups
    ]


def by_polars(table: Any) -> bytes:
    data = io.BytesIO()
    pl.DataFrame(table).write_parquet(data, row_group_size=100)
    return data.getvalue()


def by_duckdb(table: Any, path: Path) -> bytes:
    found = table  # noqa: F841 - it's found by its name
    duckdb.sql(f"COPY (FROM found) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)")
    return path.read_bytes()


def test_footers_are_read_as_the_engine_does(tmp_path: Path) -> None:
    table = pa.table({**NESTED, "n": range(1200), "t": [text or "y" for text in TEXTS]})
    numbers = pa.table({f"c{number}": np.arange(5000) for number in range(20)})
    plain = written(numbers, use_dictionary=False, column_encoding=dict.fromkeys(numbers.column_names, "PLAIN"))
    for data in (
        written(table, row_group_size=50), written(table.slice(0, 0)), plain, written(table, write_statistics=False),
        by_polars(table), by_polars(numbers), by_duckdb(numbers, tmp_path / "d.parquet"),
    ):  # fmt: skip
        assert row_groups(footer_of(data)) == by_pyarrow(data)


def test_a_damaged_footer_never_ends_the_process(bench: Bench) -> None:
    """Where a column's statistics don't fit its type, pyarrow aborts when it's asked for them."""
    data = written(pa.table({"a": ["x", "y"]}))
    at = data.rindex(b"\x15\x0c\x25")  # the type, text, at the beginning of a column in the schema
    done = bench.convert({"a.parquet": data[:at] + b"\x15\x08\x25" + data[at + 3 :]})
    assert done.member.reason is not None
    assert done.member.reason.code is Code.CORRUPT
    footer = footer_of(data)
    for damaged in (
        b"",
        footer[:40],
        footer[: len(footer) // 2],
        b"\x1f" * 9,
        b"\x1c" * 5000,
        b"\x19\xf3" + b"\xff" * 8 + b"\x01",
        b"\x49\xfc" + b"\xff" * 9,
    ):
        with pytest.raises(NotParquet):
            row_groups(damaged)


@pytest.mark.parametrize("groups", [5000, 400, 7])
@pytest.mark.parametrize("most", [1 << 20, 2000])
def test_texts_in_lists_and_structs_are_read_as_they_are(
    bench: Bench, groups: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = written(pa.table(NESTED), row_group_size=groups, dictionary_pagesize_limit=most)
    plain = bench.convert({"a.parquet": data})
    monkeypatch.setattr(parquet_sizes, "GROUP_BYTES", 0)
    found = look(data, 1000)
    assert {path.partition(".")[0] for path in found.repeated} == set(NESTED)
    apart = bench.convert({"a.parquet": data})
    assert (apart.types, apart.rows) == (plain.types, plain.rows)
    assert apart.frame(apart.part).to_dict(as_series=False) == NESTED


@pytest.mark.parametrize("kind", ["list", "struct"])
def test_texts_that_a_file_has_once_are_told_before_they_are_written_out(
    bench: Bench, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 300 bytes, and 5 GB once they're unpacked."""
    monkeypatch.setattr(columnar, "_MOST_REPEATED", 2**30)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 5000), pa.array(["x" * 1_000_000]))
    if kind == "list":
        array = pa.ListArray.from_arrays(pa.array(range(5001), pa.int32()), texts)
    else:
        array = pa.StructArray.from_arrays([texts], ["s"])
    data = written(pa.table({"a": array}))
    assert len(data) < 2000
    reason = bench.convert({"a.parquet": data}).member.reason
    assert reason is not None
    assert reason.code == Code.TOO_LARGE


def test_items_that_take_no_room_and_may_be_one_row_s_are_refused(bench: Bench) -> None:
    data = written(pa.table({"a": pa.array([np.zeros(70_000_000, np.int8)])}))
    assert len(data) < 2000
    reason = bench.convert({"a.parquet": data}).member.reason
    assert reason is not None
    assert (reason.code, "may belong to one row" in reason.text) == (Code.TOO_LARGE, True)


def test_long_lists_are_read_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(1).integers(0, 2**31, (200, 1000)).astype(np.int32)
    data = written(pa.table({"a": list(numbers), "b": range(200)}))
    assert look(data, 5000) == parquet_sizes.Sizes(5000)
    monkeypatch.setattr(parquet_sizes, "_BLOCK", 80_000)
    assert look(data, 5000) == parquet_sizes.Sizes(10)
    monkeypatch.setattr(parquet_sizes, "_RATIO", 0)
    assert look(data, 5000).largest == 200 * 1000 * 8


def test_texts_that_share_their_beginnings_are_read_few_at_a_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"{'x' * 3000}{number}" for number in range(500)]
    data = written(
        pa.table({"a": texts, "n": range(500)}),
        use_dictionary=False,
        column_encoding={"a": "DELTA_BYTE_ARRAY", "n": "PLAIN"},
    )
    monkeypatch.setattr(parquet_sizes, "_BLOCK", 100_000)
    rows = look(data, 5000).rows
    assert 1 <= rows < 30
    done = bench.convert({"a.parquet": data})
    assert done.rows == list(zip(texts, range(500), strict=True))


def test_batches_are_joined_as_far_as_they_can_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"a": range(100)})
    few = table.to_batches(7)
    assert [batch.num_rows for batch in parquet_sizes.joined(iter(few), 30)] == [28, 28, 28, 16]
    monkeypatch.setattr(parquet_sizes, "GROUP_BYTES", 8 * 15)
    found = list(parquet_sizes.joined(iter(few), 1000))
    assert [batch.num_rows for batch in found] == [14] * 7 + [2]
    assert pa.Table.from_batches(found).equals(table.combine_chunks())
