"""Parts of one group: one table as far as nothing is lost by it, tables of their own beyond."""

from __future__ import annotations

import decimal
import os
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from pipeline.model import Published
from stages.handover import Results
from stages.store import unify
from stages.store.tables import Field
from tests.stages.store.bench import Bench, converted

INTEGERS = {name: (getattr(pa, name)(), int(name.lstrip("uint")), name[0] == "u") for name in unify._DUCKDB}


def publish(bench: Bench, *columns: dict[str, pa.Array], staged: bool = False) -> Published:
    """A job of one group, a part for each of COLUMNS; each in a batch of its own where STAGED."""
    for number, column in enumerate(columns):
        part = bench.part(f"g/{number}.csv", column, facts={"group": "g", "n": number})
        results = Results(members=(converted(number, part.source),), tables=(part,))
        bench.stage_batch(number + 1, results)
    return bench.publish(None, seq=0)


def read(bench: Bench, published: Published, table: int = 0) -> pa.Table:
    return parquet.read_table(bench.library / published.tables[table].path)


def test_equal_parts_are_linked(bench: Bench) -> None:
    published = publish(bench, {"a": pa.array([1])}, {"a": pa.array([2])})
    (table,) = published.tables
    assert (table.name, table.source, table.rows) == ("g", "g/", 2)
    assert read(bench, published)["a"].to_pylist() == [1, 2]
    (entry,) = bench.manifest(published)["tables"]
    assert [part["source"] for part in entry["parts"]] == ["g/0.csv", "g/1.csv"]
    assert [part.get("facts", {}).get("n") for part in entry["parts"]] == [None, 1]
    folder = bench.library / table.path
    assert [(folder / f"part-0000{n}.parquet").stat().st_nlink for n in (0, 1)] == [2, 2]


def test_integers_widen(bench: Bench) -> None:
    published = publish(
        bench, {"a": pa.array([1], pa.int16())}, {"a": pa.array([2**40])}, {"a": pa.array([3], pa.int32())}
    )
    (table,) = published.tables
    assert [(column.name, column.type) for column in table.columns] == [("a", "BIGINT")]
    folder = bench.library / table.path
    assert {str(parquet.read_schema(path)) for path in folder.iterdir()} == {"a: int64"}
    assert read(bench, published)["a"].to_pylist() == [1, 2**40, 3]


@pytest.mark.parametrize("first", [True, False])
def test_columns_of_nulls_take_any_type(bench: Bench, first: bool) -> None:
    nulls = {"a": pa.array([None, None], pa.string())}
    values = {"a": pa.array([decimal.Decimal("1.50")], pa.decimal128(9, 2))}
    published = publish(bench, *([nulls, values] if first else [values, nulls]))
    (table,) = published.tables
    assert table.columns[0].type == "DECIMAL(9, 2)"
    assert [str(value) for value in read(bench, published)["a"].to_pylist()].count("None") == 2


def test_decimals_of_one_scale_widen(bench: Bench) -> None:
    (table,) = publish(
        bench,
        {"a": pa.array([decimal.Decimal("1.50")], pa.decimal128(9, 2))},
        {"a": pa.array([decimal.Decimal("1234567890.50")], pa.decimal128(18, 2))},
    ).tables
    assert table.rows == 2


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (pa.array([1]), pa.array(["01"])),
        (pa.array([1.5]), pa.array(["1.50"])),
        (pa.array([1]), pa.array([1.5])),
        (pa.array([2**63], pa.uint64()), pa.array([-1])),
        (pa.array([decimal.Decimal("1.5")]), pa.array([decimal.Decimal("1.50")])),
        (pa.array([0], pa.date32()), pa.array(["x"])),
    ],
)
def test_what_would_lose_something_stays_apart(bench: Bench, one: pa.Array, two: pa.Array) -> None:
    published = publish(bench, {"a": one}, {"a": two}, {"a": one})
    assert [table.rows for table in published.tables] == [2, 1]
    assert [table.name for table in published.tables] == ["g", "t_1"]
    assert read(bench, published, 1)["a"].to_pylist() == two.to_pylist()


@pytest.mark.parametrize("other", [{"b": pa.array([1])}, {"a": pa.array([1]), "b": pa.array([1])}])
def test_other_columns_stay_apart(bench: Bench, other: dict[str, pa.Array]) -> None:
    assert len(publish(bench, {"a": pa.array([1])}, other).tables) == 2


def test_nested_columns_and_many_row_groups(bench: Bench) -> None:
    nested = pa.array([{"x": 1}] * 5)
    wide = {"a": pa.array(range(5)), "n": nested, "nn": pa.array([[1]] * 5)}
    published = publish(bench, {**wide, "a": pa.array(range(5), pa.int8())}, wide)
    assert len(published.tables) == 1
    assert read(bench, published)["n"].to_pylist() == [{"x": 1}] * 10


def test_an_empty_part_fits_every_type(bench: Bench) -> None:
    (table,) = publish(bench, {"a": pa.array([], pa.string())}, {"a": pa.array([1])}).tables
    assert (table.rows, table.columns[0].type) == (1, "BIGINT")


def test_dictionaries_are_only_a_way_to_store(bench: Bench) -> None:
    plain = pa.array(["x"])
    (table,) = publish(
        bench, {"a": plain, "b": pa.array([1], pa.int8())}, {"a": plain.dictionary_encode(), "b": pa.array([1])}
    ).tables
    assert table.rows == 2


def test_row_groups_are_taken_one_by_one(bench: Bench) -> None:
    part = bench.work / "many.parquet"
    parquet.write_table(pa.table({"a": pa.array(range(100), pa.int8()), "b": [None] * 100}), part, row_group_size=7)
    target = bench.work / "wide.parquet"
    fd = os.open(part, os.O_RDONLY)
    shape = (Field("a", "BIGINT", pa.int64(), False), Field("b", "VARCHAR", pa.string(), False))
    assert unify.rewrite(fd, str(target), shape)
    os.close(fd)
    wide = parquet.ParquetFile(target)
    assert wide.num_row_groups == 15
    assert wide.read().to_pydict() == {"a": list(range(100)), "b": [None] * 100}


@given(st.sampled_from(list(INTEGERS)), st.sampled_from(list(INTEGERS)))
def test_widened_integers_hold_both_and_no_more(one: str, two: str) -> None:
    def reach(kind: Any) -> tuple[int, int]:
        bits = kind.bit_width
        return (0, 2**bits - 1) if str(kind).startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    low = min(reach(INTEGERS[name][0])[0] for name in (one, two))
    high = max(reach(INTEGERS[name][0])[1] for name in (one, two))
    fitting = [kind for kind, _, _ in INTEGERS.values() if reach(kind)[0] <= low and reach(kind)[1] >= high]
    wide = unify._wide_integer(one, two)
    if not fitting:
        assert wide is None
    else:
        assert wide in {str(kind) for kind in fitting if kind.bit_width == min(kind.bit_width for kind in fitting)}
