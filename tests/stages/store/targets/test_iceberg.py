"""Jobs in an Iceberg catalogue: every value as it was, for every engine that reads there."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from pipeline.config import Iceberg
from stages.store.targets import ForgottenJob, PublishedJob, TargetDown, TargetRefuses
from stages.store.targets.iceberg import IcebergTarget
from tests.stages.store.bench import Bench
from tests.stages.store.targets.test_postgres import publish

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
AT = dt.datetime(2024, 2, 29, 23, 59, 59, 999999)


class House:
    """A warehouse on this disk, and its catalogue."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = folder / "warehouse"
        self.warehouse.mkdir()
        self.uri = f"sqlite:///{folder}/catalog.db"
        self.target = IcebergTarget(Iceberg(warehouse=f"file://{self.warehouse}", uri=self.uri))

    def names(self) -> list[str]:
        return sorted(name[-1] for name in SqlCatalog("stampmill", uri=self.uri).list_tables("stampmill"))

    def table(self, name: str) -> Table:
        return SqlCatalog("stampmill", uri=self.uri).load_table(("stampmill", name))

    def folders(self) -> list[str]:
        return sorted(path.name for path in (self.warehouse / "stampmill").iterdir())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bench")


def deliver(house: House, job: PublishedJob) -> None:
    house.target.deliver(job, lambda count: None)


def test_tables_and_what_they_are_from(house: House, bench: Bench) -> None:
    deliver(house, publish(bench, orders={"a": [1, 2], "b": ["x", None]}, sales={"n": [1.5]}))
    assert house.names() == ["t12_orders", "t12_sales"]
    orders = house.table("t12_orders")
    assert orders.scan().to_arrow().to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    told = {key: value for key, value in orders.properties.items() if key.startswith("stampmill.")}
    assert told.pop("stampmill.manifest")
    assert told == {
        "stampmill.job": "12",
        "stampmill.sha256": bench.upload.sha256,
        "stampmill.upload": "My Orders.zip",
        "stampmill.arrived_at": "2026-02-02T02:40:00.250000+00:00",
        "stampmill.source": "orders.csv",
        "stampmill.rejected": "1",
    }


def test_polars_reads_the_same(house: House, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    deliver(house, publish(bench, orders={"a": [1, 2], "b": ["x", None]}))
    assert pl.scan_iceberg(house.table("t12_orders")).collect().to_dicts() == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


VALUES: list[tuple[pa.Array, list[Any]]] = [
    (pa.array([-(2**63), 2**63 - 1]), [-(2**63), 2**63 - 1]),
    (pa.array([0, 2**64 - 1], pa.uint64()), [decimal.Decimal(0), decimal.Decimal(2**64 - 1)]),
    (pa.array([1, 255], pa.uint8()), [1, 255]),
    (pa.array([0, 2**32 - 1], pa.uint32()), [0, 2**32 - 1]),
    (pa.array([0.1, None]), [0.1, None]),
    (pa.array([decimal.Decimal("12345678901234567890.12"), None], pa.decimal128(38, 2)), [decimal.Decimal("12345678901234567890.12"), None]),
    (pa.array([decimal.Decimal(10**50), None], pa.decimal256(60, 1)), [f"{10**50}.0", None]),
    (pa.array(["01234", "nul\0and\n"]), ["01234", "nul\0and\n"]),
    (pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]), [dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    (pa.array([AT, None]), [AT, None]),
    (pa.array([1, 2], pa.timestamp("ms", "Europe/Berlin")), [dt.datetime(1970, 1, 1, 0, 0, 0, n * 1000, dt.UTC) for n in (1, 2)]),
    (pa.array([1, None], pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001", None]),
    (pa.array([dt.time(1, 2, 3, 4), None]), [dt.time(1, 2, 3, 4), None]),
    (pa.array([1, None], pa.time64("ns")), ["00:00:00.000000001", None]),
    (pa.array([dt.timedelta(days=1, microseconds=5), None]), ["1 day, 0:00:00.000005", None]),
    (pa.array([True, None]), [True, None]),
    (pa.array([[1, None], []], pa.list_(pa.uint16())), [[1, None], []]),
    (pa.array([{"k": [{"n": 1}]}, None]), [{"k": [{"n": 1}]}, None]),
    (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8())), [[("k", 1)], None]),
    (pa.array([b"\0\xff", b""]), [b"\0\xff", b""]),
    (pa.array(["a", None]).dictionary_encode(), ["a", None]),
    (pa.nulls(2), [None, None]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "expected"), VALUES, ids=lambda value: str(getattr(value, "type", ""))[:20])
def test_values_arrive_as_they_are(house: House, bench: Bench, values: pa.Array, expected: list[Any]) -> None:
    deliver(house, publish(bench, x={"i": [0, 1], "v": values}))
    assert house.table("t12_x").scan().to_arrow()["v"].to_pylist() == expected


@pytest.mark.parametrize("name", ["a b", "a.b", "A", "ü", "1", "select", '"', "x" * 300])
def test_columns_keep_their_names(house: House, bench: Bench, name: str) -> None:
    deliver(house, publish(bench, x={"a": [0], name: [1]}))
    assert house.table("t12_x").scan().to_arrow().to_pylist() == [{"a": 0, name: 1}]


def test_a_table_without_rows_is_one(house: House, bench: Bench) -> None:
    deliver(house, publish(bench, x={"a": pa.array([], pa.int64())}))
    assert house.table("t12_x").scan().to_arrow().schema.names == ["a"]
    assert house.table("t12_x").scan().count() == 0


def test_twice_is_once(house: House, bench: Bench) -> None:
    job = publish(bench, x={"a": [1]})
    deliver(house, job)
    seen: list[int] = []
    house.target.deliver(job, seen.append)
    assert seen == [], "what is there already isn't written again"
    assert house.table("t12_x").scan().count() == 1


def test_a_job_that_was_run_again_replaces_what_it_left(house: House, bench: Bench) -> None:
    deliver(house, publish(bench, x={"a": [1]}, y={"a": [1]}))
    again = Bench(bench.root / "again")
    again.upload = bench.upload
    deliver(house, publish(again, x={"a": ["one"]}))
    assert house.names() == ["t12_x"]
    assert house.table("t12_x").scan().to_arrow()["a"].to_pylist() == ["one"]
    assert len(house.folders()) == 1


def test_a_forgotten_job_leaves_no_file_and_its_namesakes_all(house: House, bench: Bench) -> None:
    deliver(house, publish(bench, x={"a": [1]}))
    other = Bench(bench.root / "other")
    other.upload = bench.upload
    deliver(house, publish(other, 121, x={"a": [2]}))
    job = publish(bench, x={"a": [1]})
    house.target.forget(ForgottenJob(job.folder, 12, job.manifest.upload))
    assert house.names() == ["t121_x"]
    assert [name.partition("-")[0] for name in house.folders()] == ["121"]
    assert house.table("t121_x").scan().count() == 1


def test_another_librarys_job_is_left_alone(house: House, bench: Bench) -> None:
    deliver(house, publish(bench, x={"a": [1]}))
    other = publish(Bench(bench.root / "other", upload=b"something else"), x={"a": [2]})
    with pytest.raises(TargetRefuses, match="another library's job 12"):
        deliver(house, other)
    with pytest.raises(TargetRefuses):
        house.target.forget(ForgottenJob(other.folder, 12, other.manifest.upload))
    assert house.table("t12_x").scan().to_arrow()["a"].to_pylist() == [1]


def spoil_warehouse(house: House, tmp_path: Path) -> Iceberg:
    (tmp_path / "file").touch()
    return Iceberg(warehouse=f"file://{tmp_path}/file", uri=house.uri)


def spoil_options(house: House, tmp_path: Path) -> Iceberg:
    return Iceberg(warehouse="file:///tmp/x", options_file=str(tmp_path / "nowhere"))


def spoil_catalogue(house: House, tmp_path: Path) -> Iceberg:
    (tmp_path / "options.json").write_text(json.dumps({"uri": f"sqlite:///{tmp_path}/no/folder.db"}))
    return Iceberg(warehouse=f"file://{tmp_path}", options_file=str(tmp_path / "options.json"))


def leave_uri_out(house: House, tmp_path: Path) -> Iceberg:
    return Iceberg(warehouse=f"file://{tmp_path}")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_warehouse, "Cannot delete directory"),
        (spoil_options, "nowhere isn't there"),
        (spoil_catalogue, "unable to open database file"),
        (leave_uri_out, "URI is required"),
    ],
)
def test_what_the_operator_can_mend_is_waited_for(
    house: House, bench: Bench, tmp_path: Path, spoil: Callable[[House, Path], Iceberg], says: str
) -> None:
    target = IcebergTarget(spoil(house, tmp_path))
    with pytest.raises(TargetDown, match=says):
        target.deliver(publish(bench, x={"a": [1]}), lambda count: None)
