"""The footer's row count, against what pyarrow, DuckDB and Polars write."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from stages import parquet_footer as footer


def count(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return footer.row_count(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 8191, 8192, 300_000])
def test_row_counts(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "a"
    nested = pa.array(
        [{"x": [1, 2], "y": {"k": True}}] * rows,
        pa.struct({"x": pa.list_(pa.int8()), "y": pa.struct({"k": pa.bool_()})}),
    )
    table = pa.table(
        {"a": pa.array(range(rows), pa.int64()), "n": nested, "d": pa.array([None] * rows, pa.decimal128(9, 2))}
    )
    parquet.write_table(table, path, row_group_size=100_000)
    assert count(path) == rows
    duckdb.sql(
        f"copy (select range a, range::varchar b, now() t, {{'x': [1]}} s from range({rows})) to '{path}' (format parquet)"
    )
    assert count(path) == rows
    pl.DataFrame({"a": range(rows)}).write_parquet(path)
    assert count(path) == rows


def test_a_footer_longer_than_the_tail(tmp_path: Path) -> None:
    path = tmp_path / "a"
    parquet.write_table(pa.table({f"column {number}": pa.array([number, 2]) for number in range(2000)}), path)
    assert path.stat().st_size > 3 * footer.TAIL_BYTES
    assert count(path) == 2


@pytest.mark.parametrize("data", [b"", b"PAR1", b"a,b\n1,2\n" * 100, b"PAR1" + b"\xff" * 8 + b"\x08\0\0\0PAR1"])
def test_what_is_no_parquet(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(footer.NotParquet):
        count(tmp_path / "a")


def test_damaged_footers_never_hang_or_pass_for_other_errors(tmp_path: Path) -> None:
    path = tmp_path / "a"
    parquet.write_table(pa.table({"a": [1, 2, 3]}), path)
    whole = bytearray(path.read_bytes())
    start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for at in range(start, len(whole) - 8):
        for value in (0, 0x1D, 0xF9, 0xFF):
            damaged = bytearray(whole)
            damaged[at] = value
            path.write_bytes(damaged)
            try:
                count(path)
            except footer.NotParquet:
                pass
