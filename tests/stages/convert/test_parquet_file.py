"""Parquet files written frame by frame: no row group holds more than it may, however wide rows get on the way."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from stages.convert import parquet_file
from stages.convert.parquet_file import ParquetFile, bytes_in

GROUP_BYTES = 64 * 1024


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "GROUP_BYTES", GROUP_BYTES)
    monkeypatch.setattr(parquet_file, "ROW_GROUP", 1000)


def frame(start: int, rows: int, width: int) -> pl.DataFrame:
    numbers = range(start, start + rows)
    return pl.DataFrame(
        {
            "id": pl.Series(numbers, dtype=pl.Int64),
            "text": pl.Series([f"{number:x}".ljust(width, "é") if number % 7 else None for number in numbers], dtype=pl.String),
            "at": pl.Series([dt.datetime(2024, 2, 29, 1, 2, 3, number % 1000) for number in numbers], dtype=pl.Datetime("us", "UTC")),
            "time": [dt.time(1, 2, 3)] * rows,
            "price": pl.Series([Decimal(number) / 4 for number in numbers], dtype=pl.Decimal(38, 2)),
            "nested": [{"a": [number, None], "b": "x"} for number in numbers],
            "raw": [bytes(3)] * rows,
        }
    )  # fmt: skip


def written(path: Path, frames: list[pl.DataFrame]) -> list[int]:
    """The rows of each row group of a file of FRAMES, which is compared with them."""
    file = ParquetFile(path)
    for one in frames:
        file.write(one)
    file.close()
    whole = pl.concat(frames)
    assert file.rows == whole.height
    found = pl.read_parquet(path)
    assert found.schema == whole.schema and found.equals(whole)
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    meta = pq.read_metadata(path)
    return [meta.row_group(index).num_rows for index in range(meta.num_row_groups)]


def test_narrow_rows_fill_a_row_group(tmp_path: Path) -> None:
    groups = written(tmp_path / "a.parquet", [frame(start, 100, 1) for start in range(0, 1200, 100)])
    assert max(groups) > 400


def test_a_row_group_has_fewer_rows_where_they_are_wide(tmp_path: Path) -> None:
    frames = [frame(start, 40, 2000) for start in range(0, 400, 40)]
    groups = written(tmp_path / "a.parquet", frames)
    assert max(groups) * (bytes_in(frames[0]) // 40) <= GROUP_BYTES


@pytest.mark.parametrize(
    "widths", [(1, 1, 3000, 3000, 1), (1, 30, 300, 3000, 30_000), (30_000, 1, 1, 1), (1, 1, 1, 90_000)]
)
def test_rows_that_get_wider_or_narrower_on_the_way(tmp_path: Path, widths: tuple[int, ...]) -> None:
    frames, start = [], 0
    for width in widths:
        rows = max(1, 60_000 // (2 * width + 100))
        for _ in range(4):
            frames.append(frame(start, rows, width))
            start += rows
    groups = written(tmp_path / "a.parquet", frames)
    whole, at = pl.concat(frames), 0
    for count in groups:
        assert bytes_in(whole.slice(at, count)) <= 3 * GROUP_BYTES or count == 1
        at += count
    assert len(groups) < whole.height / 4


def test_one_frame_alone(tmp_path: Path) -> None:
    assert written(tmp_path / "a.parquet", [frame(0, 50, 1)]) == [50]
    (tmp_path / "a.parquet").unlink()
    assert max(written(tmp_path / "a.parquet", [frame(0, 200, 3000)])) < 50
    (tmp_path / "a.parquet").unlink()
    assert sum(written(tmp_path / "a.parquet", [frame(0, 0, 1)])) == 0


def test_nothing_is_left_of_what_is_thrown_away(tmp_path: Path) -> None:
    file = ParquetFile(tmp_path / "a.parquet")
    for width in (1, 1, 60_000, 60_000, 60_000):
        file.write(frame(0, 3, width))
    assert len(list(tmp_path.iterdir())) > 1
    file.discard()
    assert list(tmp_path.iterdir()) == []


def test_bytes_are_counted_as_characters_lie(tmp_path: Path) -> None:
    text = pl.DataFrame({"a": ["é" * 10, None, ""], "b": [1, 2, 3]})
    assert bytes_in(text) == 20 + 3 * 16 + 3 * 8
