"""A query's answer in each format, and the verbs that give it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline import cli
from pipeline.results import catalogue, export
from pipeline.verbs.prompt import names
from tests.pipeline.test_catalogue import publish
from tests.stages.store.bench import Bench

SQL = "SELECT a, b, [a, NULL] AS l, NULL AS nothing FROM t7_x ORDER BY a"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    publish(bench, 7, "x.csv", a=[1, 2], b=['say "hi", you', "é\nü"])
    return bench


def written(bench: Bench, form: str) -> tuple[int, bytes]:
    file = io.BytesIO()
    with catalogue.asking(bench.library, SQL) as question:
        return export.write(question, form, file), file.getvalue()


def test_csv(bench: Bench) -> None:
    rows, data = written(bench, "csv")
    assert rows == 2
    assert data.decode() == 'a,b,l,nothing\n1,"say ""hi"", you","[1,null]",\n2,"é\nü","[2,null]",\n'


def test_json(bench: Bench) -> None:
    rows, data = written(bench, "json")
    assert rows == 2
    assert json.loads(data)[1] == {"a": 2, "b": "é\nü", "l": [2, None], "nothing": None}


def test_parquet(bench: Bench) -> None:
    rows, data = written(bench, "parquet")
    table = parquet.read_table(pa.BufferReader(data))
    assert rows == table.num_rows == 2
    assert table.column("l").to_pylist() == [[1, None], [2, None]]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_an_empty_answer_is_a_whole_file(bench: Bench, form: str) -> None:
    file = io.BytesIO()
    with catalogue.asking(bench.library, "SELECT a FROM x WHERE a > 9") as question:
        assert export.write(question, form, file) == 0
    assert file.getvalue()


@pytest.mark.parametrize(
    ("path", "wanted", "form"),
    [(None, "", "table"), ("o.parquet", "", "parquet"), ("o.dat", "", "csv"), ("o.csv", "json", "json")],
)
def test_the_format_is_told_by_the_option_or_by_the_name(path: str | None, wanted: str, form: str) -> None:
    assert export.format_of(Path(path) if path else None, wanted) == form


def call(bench: Bench, *arguments: str) -> int:
    return int(cli.run([*arguments, "--into", str(bench.library)]))


def test_an_answer_goes_to_a_file_whole_or_not_at_all(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    target = bench.root / "o.csv"
    target.write_text("as it was")
    assert call(bench, "query", "SELECT error('no') FROM x", "-o", str(target)) == 2
    assert target.read_text() == "as it was"
    assert call(bench, "query", "SELECT a FROM x ORDER BY a", "-o", str(target)) == 0
    assert target.read_text() == "a\n1\n2\n"
    assert list(bench.root.glob(".o.csv*")) == []
    assert capsys.readouterr().out == ""


def test_off_a_terminal_nothing_is_cut(bench: Bench, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert call(bench, "query", "SELECT repeat('x', 500) AS long FROM x LIMIT 1") == 0
    assert b"x" * 500 in capfdbinary.readouterr().out


def test_tables_lists_what_query_finds(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(bench, "tables", "--json") == 0
    (table,) = json.loads(capsys.readouterr().out)
    assert (table["view"], table["rows"], table["rejected"]) == ("t7_x", 2, 1)
    assert call(bench, "tables", "nope", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_du_counts_what_is_there(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(bench, "du", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["library"] == sum(job["tables"] + job["other"] for job in found["jobs"]) > 0


def test_verify_exits_3_where_something_was_altered(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(bench, "verify") == 0
    part = next(bench.library.glob("*/*/x/part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    assert call(bench, "verify") == 3
    assert "part-00000.parquet" in capsys.readouterr().out


def test_the_prompt_completes_tables_and_columns(bench: Bench) -> None:
    assert {"t7_x", "x", "a", "b", "SELECT"} <= names(bench.library)
