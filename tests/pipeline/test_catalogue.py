"""SQL over the library: the names that work, what is refused, and what a message says then."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from pipeline.errors import UsageError
from pipeline.model import Code, Reason
from pipeline.results.catalogue import find_tables, query
from stages.handover import Results
from tests.stages.store.bench import Bench, converted, finding_of


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "it's [a] *library?")


def publish(bench: Bench, job: int, source: str, **columns: list[Any] | pa.Array) -> str:
    part = bench.part(source, {name: pa.array(values) for name, values in columns.items()}, rejects=["x"])
    task = bench.task(0, Results(members=(converted(1, source),), tables=(part,)))
    return finding_of(bench.run(msgspec.structs.replace(task, job=job))).path


def rows(bench: Bench, sql: str) -> list[tuple[Any, ...]]:
    return query(bench.library, sql).rows


def problem(bench: Bench, sql: str) -> str:
    with pytest.raises(UsageError) as error:
        query(bench.library, sql)
    return error.value.message


def test_find_tables(bench: Bench) -> None:
    publish(bench, 10, "sales.csv", a=[1])
    publish(bench, 9, "orders.csv", a=[1, 2])
    bench.fail(Reason(code=Code.BOMB, text="It grows.", next_step="Send another."))
    (bench.library / "2026-02/notes").mkdir()
    (bench.library / "2026-02/77-not-a-job").mkdir()
    tables = list(find_tables(bench.library))
    assert [(table.view, table.job) for table in tables] == [("t9_orders", 9), ("t10_sales", 10)]
    info = tables[0].info
    assert (info.name, info.rows, info.rejected, info.path) == ("orders", 2, 1, "2026-02/9-my-orders/orders")
    assert info.columns[0].name == "a"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(a) FROM orders",
        "select sum(A) from T7_ORDERS;",
        'FROM (SELECT sum(a) FROM "orders")',
        "WITH o AS (FROM orders) SELECT sum(a) FROM o",
        "SELECT (SELECT sum(a) FROM t7_orders)",
        "SELECT sum(a) FROM query('FROM orders')",
        "SELECT DISTINCT sum(o.a) FROM orders AS o JOIN t7_orders USING (a)",
    ],
)
def test_a_table_is_found_by_its_name(bench: Bench, sql: str) -> None:
    publish(bench, 7, "orders.csv", a=[1, 2])
    publish(bench, 8, "sales.csv", a=[1])
    assert rows(bench, sql) == [(3,)]


def test_columns_and_values(bench: Bench) -> None:
    moments = pa.array([0], pa.timestamp("us", "UTC"))
    publish(bench, 7, "x.csv", t=moments, s=[{"k": [1, None]}], n=[None])
    answer = query(bench.library, "SELECT t, s, n, 1 AS n FROM x")
    assert answer.columns == ("t", "s", "n", "n")
    assert answer.rows == [("1970-01-01 00:00:00+00", {"k": [1, None]}, None, 1)]


@pytest.mark.parametrize("sql", ["DESCRIBE x", "SUMMARIZE x", "EXPLAIN SELECT * FROM x", "PIVOT x ON a USING count(*)"])
def test_what_else_reads(bench: Bench, sql: str) -> None:
    publish(bench, 7, "x.csv", a=[1, 2])
    assert rows(bench, sql)


def test_show_tables_shows_all(bench: Bench) -> None:
    publish(bench, 7, "x.csv", a=[1])
    publish(bench, 8, "x.csv", a=[1])
    assert rows(bench, "SHOW TABLES") == [("t7_x",), ("t8_x",)]


def test_all_parts_of_a_table_are_read(bench: Bench) -> None:
    parts = tuple(bench.part(f"g/{n}.csv", {"a": pa.array([n])}, facts={"group": 1}) for n in range(3))
    bench.publish(Results(members=(), tables=parts))
    assert rows(bench, "SELECT sum(a) FROM g") == [(3,)]


def test_a_name_of_several_jobs_is_all_their_tables(bench: Bench) -> None:
    publish(bench, 7, "orders.csv", a=[1])
    publish(bench, 8, "orders.csv", a=[2, 3])
    assert rows(bench, "SELECT _job, sum(a) FROM orders GROUP BY 1 ORDER BY 1") == [(7, 1), (8, 5)]
    assert rows(bench, "FROM t8_orders") == [(2,), (3,)]
    assert rows(bench, "WITH orders AS (SELECT 5) FROM orders") == [(5,)]


def test_a_collection_grows_by_columns_and_widens(bench: Bench) -> None:
    publish(bench, 7, "orders.csv", a=[1], b=[1])
    publish(bench, 8, "orders.csv", b=["x"], a=[2**40], c=[1.5])
    assert rows(bench, "SELECT a, b, c, _job FROM orders ORDER BY _job") == [
        (1, "1", None, 7),
        (2**40, "x", 1.5, 8),
    ]


def test_tables_of_one_name_that_differ_too_much_are_told_apart(bench: Bench) -> None:
    publish(bench, 7, "orders.csv", a=[1], b=[1])
    publish(bench, 8, "orders.csv", a=[2], z=[2])
    assert "t7_orders, t8_orders" in problem(bench, "FROM orders")


def test_two_jobs_of_one_number(bench: Bench) -> None:
    """Of two ledgers that wrote to one library."""
    publish(bench, 7, "orders.csv", a=[1])
    bench.upload = msgspec.structs.replace(bench.upload, arrived_at=bench.upload.arrived_at + 1)
    path = publish(bench, 7, "orders.csv", a=[2])
    text = problem(bench, "FROM t7_orders")
    assert f"{path}/orders/*.parquet" in text


def test_a_name_that_looks_like_a_numbered_one(bench: Bench) -> None:
    publish(bench, 7, "t8_orders.csv", a=[7])
    assert rows(bench, "FROM t8_orders") == [(7,)]
    publish(bench, 8, "orders.csv", a=[8])
    assert rows(bench, "FROM t8_orders") == [(8,)]
    assert rows(bench, "FROM t7_t8_orders") == [(7,)]


def test_kept_files_are_no_table(bench: Bench) -> None:
    folder = publish(bench, 7, "orders.csv", a=[1])
    (bench.library / folder / "kept").mkdir()
    (bench.library / folder / "kept/000001-part-00000.parquet").touch()
    assert "kept" in problem(bench, "FROM kept")


def test_an_unknown_name_says_what_there_is(bench: Bench) -> None:
    assert "no table yet" in problem(bench, "FROM nope")
    for job in range(1, 13):
        publish(bench, job, "orders.csv", a=[1])
    text = problem(bench, "FROM nope")
    assert "nope" in text
    assert "t1_orders, t2_orders" in text
    assert text.endswith("and 2 more.")


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1; SELECT 2",
        "CREATE TABLE a AS SELECT 1",
        "COPY (SELECT 1) TO 'x.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'",
        "ATTACH 'x.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "PRAGMA database_list",
        "CALL pragma_version()",
    ],
)
def test_only_what_reads(bench: Bench, sql: str) -> None:
    assert "only reads" in problem(bench, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{root}/secret')",
        "SELECT * FROM read_text('{root}/../library/2026-02/../../secret')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '{root}/secret'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_text('{library}/.stampmill/ledger')",
    ],
)
def test_nothing_else_on_the_disk_is_read(bench: Bench, sql: str) -> None:
    publish(bench, 7, "x.csv", a=[1])
    (bench.root / "secret").write_text("secret")
    (bench.library / ".stampmill").mkdir()
    (bench.library / ".stampmill/ledger").write_text("secret")
    sql = sql.format(root=str(bench.root).replace("'", "''"), library=str(bench.library).replace("'", "''"))
    assert problem(bench, sql)


def test_published_files_may_be_read_by_path(bench: Bench, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    bench.library.rename(plain)
    os.mkdir(bench.library)
    folder = publish(bench, 7, "x.csv", a=[5])
    (bench.library / "2026-02").rename(plain / "2026-02")
    assert query(plain, f"SELECT a FROM read_parquet('{plain}/{folder}/*/*.parquet')").rows == [(5,)]


def test_bad_sql_and_no_library(bench: Bench, tmp_path: Path) -> None:
    assert "syntax error" in problem(bench, "SELEC 1")
    with pytest.raises(UsageError, match="no library"):
        query(tmp_path / "nope", "SELECT 1")
    assert rows(bench, "SELECT 1") == [(1,)]


def test_a_query_leaves_nothing_behind(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(bench, 7, "x.csv", a=[1])
    before = sorted(bench.root.rglob("*"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    rows(bench, "FROM x")
    assert sorted(bench.root.rglob("*")) == before
    assert os.listdir() == []
    ((spill,),) = rows(bench, "SELECT current_setting('temp_directory')")
    assert spill.startswith(tempfile.gettempdir())
    assert not os.path.exists(spill)


def test_the_origin_of_rows_is_there_on_request(bench: Bench) -> None:
    parts = tuple(
        bench.part(source, {"a": pa.array(values)}, facts={"group": 1})
        for source, values in (("z!/1.csv", [1, 2]), ("z!/2.csv", [3]), ("z!/3.csv", [4, 5]))
    )
    members = tuple(converted(number, part.source) for number, part in enumerate(parts, 1))
    bench.publish(Results(members=members, tables=parts))
    publish(bench, 13, "z.csv", a=[6])
    (name,) = {table.info.name for table in find_tables(bench.library)}
    assert query(bench.library, f"SELECT * FROM t12_{name}").columns == ("a",), "not unless it's asked for"
    one = query(bench.library, f"SELECT * FROM t12_{name} ORDER BY a", origin=True)
    assert (one.columns, one.rows) == (("a", "_job", "_row"), [(n, 12, n) for n in range(1, 6)])
    all_of_them = query(bench.library, f"SELECT a, _job, _row FROM {name} WHERE a > 4 ORDER BY a", origin=True)
    assert all_of_them.rows == [(5, 12, 5), (6, 13, 1)]


def test_a_column_that_hides_the_rows_numbers_is_named(bench: Bench) -> None:
    publish(bench, 7, "x.csv", file_row_number=[5])
    assert rows(bench, "SELECT * FROM x") == [(5,)]
    with pytest.raises(UsageError, match="file_row_number"):
        query(bench.library, "SELECT * FROM x", origin=True)
