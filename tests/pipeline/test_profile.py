"""Columns' sums and histograms, against the values themselves; nothing that a column may hold is an error."""

from __future__ import annotations

import datetime as dt
import decimal
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import given, settings
from pyarrow import parquet

from pipeline.model import Column
from pipeline.results.profile import ColumnProfile, profile


def of(folder: Path, values: list[Any], kind: pa.DataType, type_name: str) -> ColumnProfile:
    path = folder / "it's.parquet"
    parquet.write_table(pa.table({'a "b"': pa.array(values, kind)}), path)
    (found,) = profile([str(path)], [Column(name='a "b"', type=type_name)])
    return found


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3)), min_size=1))
def test_whole_numbers(tmp_path_factory: pytest.TempPathFactory, values: list[int | None]) -> None:
    found = of(tmp_path_factory.mktemp("profile"), values, pa.int64(), "BIGINT")
    there = [value for value in values if value is not None]
    assert (found.rows, found.nulls, found.distinct) == (len(values), len(values) - len(there), len(set(there)))
    if there:
        assert (found.least, found.greatest) == (str(min(there)), str(max(there)))
    if found.bins:
        assert sum(share.rows for share in found.bins) == len(there)
    if found.top:
        counts = Counter(map(str, there))
        assert [share.rows for share in found.top] == sorted(counts.values(), reverse=True)[: len(found.top)]


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.one_of(st.none(), st.floats(), st.sampled_from([1e308, -1e308, 0.0])), min_size=1))
def test_floats_of_any_kind(tmp_path_factory: pytest.TempPathFactory, values: list[float | None]) -> None:
    found = of(tmp_path_factory.mktemp("profile"), values, pa.float64(), "DOUBLE")
    assert found.rows == len(values)


def test_few_whole_numbers_have_a_bar_each(tmp_path: Path) -> None:
    found = of(tmp_path, [1, 2, 2, 3, 4, 5, 9], pa.int64(), "BIGINT")
    assert [share.label for share in found.bins] == [str(n) for n in range(1, 10)]
    assert [share.rows for share in found.bins] == [1, 2, 1, 1, 1, 0, 0, 0, 1]


def test_dates_are_spread_over_time(tmp_path: Path) -> None:
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(160)]
    found = of(tmp_path, days, pa.date32(), "DATE")
    assert [share.rows for share in found.bins] == [10] * 16
    assert found.bins[0].label == "from 2024-01-01"


@pytest.mark.parametrize(
    ("values", "kind", "name"),
    [
        ([[1], None], pa.list_(pa.int64()), "BIGINT[]"),
        ([{"k": 1}, None], pa.struct([("k", pa.int64())]), "STRUCT(k BIGINT)"),
        ([b"\0\xff", None], pa.binary(), "BLOB"),
        ([decimal.Decimal("1.50"), None], pa.decimal128(9, 2), "DECIMAL(9,2)"),
        ([dt.time(1), None], pa.time64("us"), "TIME"),
        ([dt.datetime(9999, 1, 1), None], pa.timestamp("us"), "TIMESTAMP"),
        ([True, None], pa.bool_(), "BOOLEAN"),
        ([None, None], pa.string(), "VARCHAR"),
        (["x" * 500, "</script>"], pa.string(), "VARCHAR"),
    ],
)
def test_every_type(tmp_path: Path, values: list[Any], kind: pa.DataType, name: str) -> None:
    found = of(tmp_path, values, kind, name)
    assert (found.rows, found.nulls) == (2, values.count(None))
    assert len(found.greatest) <= 60


def test_no_part_no_profile() -> None:
    assert profile([], [Column(name="a", type="BIGINT")]) == ()
