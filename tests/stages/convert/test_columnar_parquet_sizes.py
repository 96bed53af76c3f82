"""Parquet files that unpack to far more than they look are read in pieces, or refused before they are read."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline.model import Code
from stages.convert.columnar_files import columnar, parquet_sizes
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


@pytest.mark.parametrize("groups", [5000, 400, 7])
@pytest.mark.parametrize("most", [1 << 20, 2000])
def test_texts_in_lists_and_structs_are_read_as_they_are(
    bench: Bench, groups: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = written(pa.table(NESTED), row_group_size=groups, dictionary_pagesize_limit=most)
    plain = bench.convert({"a.parquet": data})
    monkeypatch.setattr(parquet_sizes, "GROUP_BYTES", 0)
    found = parquet_sizes.look(parquet.ParquetFile(io.BytesIO(data)).metadata, 1000)
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
    meta = parquet.ParquetFile(io.BytesIO(data)).metadata
    assert parquet_sizes.look(meta, 5000) == parquet_sizes.Sizes(5000)
    monkeypatch.setattr(parquet_sizes, "_BLOCK", 80_000)
    assert parquet_sizes.look(meta, 5000) == parquet_sizes.Sizes(10)
    monkeypatch.setattr(parquet_sizes, "_RATIO", 0)
    assert parquet_sizes.look(meta, 5000).largest == 200 * 1000 * 8


def test_texts_that_share_their_beginnings_are_read_few_at_a_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"{'x' * 3000}{number}" for number in range(500)]
    data = written(
        pa.table({"a": texts, "n": range(500)}),
        use_dictionary=False,
        column_encoding={"a": "DELTA_BYTE_ARRAY", "n": "PLAIN"},
    )
    meta = parquet.ParquetFile(io.BytesIO(data)).metadata
    monkeypatch.setattr(parquet_sizes, "_BLOCK", 100_000)
    rows = parquet_sizes.look(meta, 5000).rows
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
