"""Jobs in a real PostgreSQL: whole or not there, once however often they're delivered, every value as it was."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from pipeline.config import Config, Paths, Postgres, Targets
from pipeline.model import Published, Retry
from stages import store
from stages.handover import Results
from stages.store import manifest
from stages.store.targets import PublishedJob, TargetDown, TargetRefuses
from stages.store.targets.postgres import MAX_COLUMNS, MAX_NAME, PostgresTarget
from stages.store.targets.protocol import relation_name
from tests.stages.store.bench import Bench, converted, finding_of
from tests.stages.store.targets.conftest import PostgresServer


@pytest.fixture
def schema(request: pytest.FixtureRequest) -> str:
    return "s_" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


@pytest.fixture
def target(postgres: PostgresServer, schema: str, tmp_path: Path) -> PostgresTarget:
    uri = tmp_path / "uri"
    uri.write_text(postgres.uri + "\n")
    return PostgresTarget(Postgres(uri_file=str(uri), schema=schema))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bench")


def publish(bench: Bench, job: int = 12, **tables: dict[str, list[Any] | pa.Array]) -> PublishedJob:
    parts = tuple(
        bench.part(f"{name}.csv", {column: pa.array(values) for column, values in columns.items()}, rejects=["x"])
        for name, columns in tables.items()
    )
    members = tuple(converted(number, f"{name}.csv") for number, name in enumerate(tables, 1))
    task = msgspec.structs.replace(bench.task(0, Results(members=members, tables=parts)), job=job)
    return published(bench, finding_of(bench.run(task)))


def published(bench: Bench, finding: Published) -> PublishedJob:
    path = bench.library / finding.path / manifest.NAME
    whole = manifest.read(str(path))
    assert whole is not None
    return PublishedJob(bench.library, finding.path, whole, hashlib.sha256(path.read_bytes()).hexdigest())


def deliver(target: PostgresTarget, job: PublishedJob) -> None:
    target.deliver(job, lambda count: None)


def test_every_table_and_its_record(
    target: PostgresTarget, bench: Bench, postgres: PostgresServer, schema: str
) -> None:
    deliver(target, publish(bench, orders={"a": [1, 2], "b": ["x", None]}, sales={"n": [1.5]}))
    assert postgres.query(f'SELECT a, b FROM "{schema}".t12_orders ORDER BY a') == [["1", "x"], ["2", ""]]
    assert postgres.query(
        f'SELECT job, name, relation, rows, rejected FROM "{schema}".stampmill_tables ORDER BY 2'
    ) == [
        ["12", "orders", "t12_orders", "2", "1"],
        ["12", "sales", "t12_sales", "1", "1"],
    ]
    assert postgres.query(f'SELECT job, name, state FROM "{schema}".stampmill_jobs') == [
        ["12", "My Orders.zip", "done"]
    ]


VALUES: list[tuple[pa.Array, str]] = [
    (pa.array([-(2**63), 2**63 - 1]), "-9223372036854775808\n9223372036854775807"),
    (pa.array([0, 2**64 - 1], pa.uint64()), "0\n18446744073709551615"),
    (pa.array([1, 255], pa.uint8()), "1\n255"),
    (pa.array([0.1, float("nan")]), "0.1\nNaN"),
    (pa.array([decimal.Decimal("12345678901234567890.12"), None], pa.decimal128(38, 2)), "12345678901234567890.12\n"),
    (pa.array(["01234", "a\tb\n\\N"]), None),  # type: ignore[list-item]
    (pa.array(["nul\0here", "é"]), "nul␀here\né"),
    (pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]), "0001-01-01\n9999-12-31"),
    (pa.array([dt.datetime(2024, 2, 29, 23, 59, 59, 999999), None]), "2024-02-29 23:59:59.999999\n"),
    (pa.array([1, 2], pa.timestamp("us", "UTC")), "1970-01-01 00:00:00.000001+00\n1970-01-01 00:00:00.000002+00"),
    (pa.array([1, 2], pa.timestamp("ns")), "1970-01-01 00:00:00.000000001\n1970-01-01 00:00:00.000000002"),
    (pa.array([dt.time(1, 2, 3), None]), "01:02:03.000000\n"),
    (pa.array([dt.timedelta(days=1, microseconds=5), None]), "1 day, 0:00:00.000005\n"),
    (pa.array([True, False]), "true\nfalse"),
    (pa.array([[1, None], []]), "[1,null]\n[]"),
    (pa.array([{"k": "v"}, None]), '{"k":"v"}\n'),
    (pa.array([b"\0\xff", b""]), "\\x00ff\n\\x"),
    (pa.array(["a", "a"]).dictionary_encode(), "a\na"),
    (pa.nulls(2), "\n"),
]


@pytest.mark.parametrize(("values", "text"), VALUES, ids=lambda value: str(getattr(value, "type", ""))[:20])
def test_values_arrive_as_they_are(
    target: PostgresTarget, bench: Bench, postgres: PostgresServer, schema: str, values: pa.Array, text: str | None
) -> None:
    deliver(target, publish(bench, x={"i": [0, 1], "v 'q'": values}))
    joining = "string_agg(coalesce(\"v 'q'\"::text, ''), E'\\x1e' ORDER BY i)"
    found = postgres.query(f'SELECT {joining} FROM "{schema}".t12_x')
    joined = "\n".join("\t".join(line) for line in found)
    if text is None:
        assert joined == "01234\x1ea\tb\n\\N"
    else:
        assert joined.replace("\x1e", "\n") == text


def test_twice_is_once(target: PostgresTarget, bench: Bench, postgres: PostgresServer, schema: str) -> None:
    job = publish(bench, x={"a": [1]})
    deliver(target, job)
    seen: list[int] = []
    target.deliver(job, seen.append)
    assert seen == [], "what is there already isn't sent again"
    assert postgres.query(f'SELECT count(*) FROM "{schema}".t12_x') == [["1"]]


def test_a_job_that_was_run_again_replaces_what_it_left(
    target: PostgresTarget, bench: Bench, postgres: PostgresServer, schema: str
) -> None:
    deliver(target, publish(bench, x={"a": [1]}, y={"a": [1]}))
    again = Bench(bench.root / "again")
    again.upload = bench.upload
    deliver(target, publish(again, x={"a": ["one", "two"]}))
    assert postgres.query(f'SELECT a FROM "{schema}".t12_x ORDER BY a') == [["one"], ["two"]]
    assert postgres.query(f"SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'") == [["3"]]


def test_another_librarys_job_is_left_alone(target: PostgresTarget, bench: Bench) -> None:
    deliver(target, publish(bench, x={"a": [1]}))
    other = Bench(bench.root / "other", upload=b"something else")
    with pytest.raises(TargetRefuses, match="another library's job 12"):
        deliver(target, publish(other, x={"a": [2]}))


def test_too_many_columns_are_refused(target: PostgresTarget, bench: Bench) -> None:
    wide = {f"c{number}": [1] for number in range(MAX_COLUMNS + 1)}
    with pytest.raises(TargetRefuses, match="1601 columns"):
        deliver(target, publish(bench, wide=wide))


def test_a_name_too_long_is_shortened_and_still_its_own() -> None:
    names = {relation_name(12, "ü" * 40 + ending, MAX_NAME) for ending in "ab"}
    assert len(names) == 2
    assert all(len(name.encode()) <= 63 for name in names)


class Killed(Exception):
    """The delivery dies here."""


def test_a_delivery_that_dies_leaves_nothing_and_the_next_brings_all(
    target: PostgresTarget, bench: Bench, postgres: PostgresServer, schema: str
) -> None:
    job = publish(bench, x={"a": list(range(200_000))}, y={"a": [1]})
    seen = 0

    def die(count: int) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            raise Killed

    with pytest.raises(Exception, match=r"."):
        target.deliver(job, die)
    assert postgres.query(
        f"SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}' AND tablename LIKE 't12%'"
    ) == [["0"]]
    deliver(target, job)
    assert postgres.query(f'SELECT count(*), count(DISTINCT a) FROM "{schema}".t12_x') == [["200000", "200000"]]


def test_a_server_that_is_killed_is_waited_for(
    target: PostgresTarget, bench: Bench, postgres: PostgresServer, schema: str
) -> None:
    job = publish(bench, x={"a": list(range(300_000))})
    batches = 0

    def kill(count: int) -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            postgres.kill()

    with pytest.raises(TargetDown):
        target.deliver(job, kill)
    with pytest.raises(TargetDown):
        deliver(target, job)
    postgres.start()
    deliver(target, job)
    assert postgres.query(f'SELECT count(*), count(DISTINCT a) FROM "{schema}".t12_x') == [["300000", "300000"]]


def test_store_tries_again_until_the_server_is_there(
    bench: Bench, postgres: PostgresServer, schema: str, tmp_path: Path
) -> None:
    uri = tmp_path / "uri"
    config = Targets(postgres=Postgres(uri_file=str(uri), schema=schema), retry_s=7.0)
    bench.stage = store.build(Config(paths=Paths(state=str(bench.root), library=str(bench.library)), targets=config))
    one = bench.part("n.csv", {"a": pa.array([1])})
    task = bench.task(0, Results(members=(converted(1, "n.csv"),), tables=(one,)))
    waits = bench.run(task)
    assert isinstance(waits, Retry)
    assert (waits.after_s, "uri" in waits.text) == (7.0, True)
    uri.write_text(postgres.uri)
    assert finding_of(bench.run(task)).reason is None
    assert postgres.query(f'SELECT a FROM "{schema}".t12_n') == [["1"]]


def test_what_is_refused_is_in_the_library_and_says_why(
    bench: Bench, postgres: PostgresServer, schema: str, tmp_path: Path
) -> None:
    uri = tmp_path / "uri"
    uri.write_text(postgres.uri)
    config = Targets(postgres=Postgres(uri_file=str(uri), schema=schema))
    bench.stage = store.build(Config(paths=Paths(state=str(bench.root), library=str(bench.library)), targets=config))
    wide = {f"c{number}": pa.array([1]) for number in range(MAX_COLUMNS + 1)}
    part = bench.part("w.csv", wide)
    finding = finding_of(bench.run(bench.task(0, Results(members=(converted(1, "w.csv"),), tables=(part,)))))
    assert finding.reason is not None
    assert "whole in the library, but PostgreSQL doesn't take it" in finding.reason.text
    assert (bench.library / finding.path / "w" / "part-00000.parquet").exists()
