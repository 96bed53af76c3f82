"""What stands below a table is told of it, and is no record of it."""

from __future__ import annotations

import pytest

from stages.convert.text import dialect_below
from tests.stages.convert.conftest import Bench

HEADER = "id,name,amount"
ROWS = [(n, f"name{n}", n + 0.5) for n in range(30)]
LINES = [HEADER, *(f"{n},{name},{amount}" for n, name, amount in ROWS)]
BELOW = [
    ["(30 rows)"],
    ["(30 rows)", "", "Time: 3.142 ms"],
    ["30 rows in set (0.00 sec)"],
    ["", "(30 rows affected)", ""],
    ["", "30 rows selected."],
    ["Total rows: 30"],
    ["-----"],
    ["-----", "Rows: 30"],
    ["Total,465"],
    ["TRAILER,30"],
    ["*** End of report ***"],
    ["\\."],
    ["# written by hand, 2024"],
    ["", "Source: the portal", "* estimated"],
    ["Made by the ledger", "30 records", "=========="],
]


@pytest.mark.parametrize("lines", BELOW)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_lines_below_a_table(bench: Bench, lines: list[str], end: str, codec: str) -> None:
    done = bench.csv((end.join([*LINES, *lines]) + end).encode(codec))
    assert (done.part.read, done.part.rejected, done.part.repaired) == (30, 0, 0)
    assert done.rows == ROWS
    assert done.types["amount"] == "DOUBLE"
    assert done.part.facts["skipped_after_data"].splitlines() == [line for line in lines if line]


@pytest.mark.parametrize("below", ["(70000 rows)", "\nTotal rows: 70000\n", "(70000 rows)\n" + "\n" * 10])
def test_below_a_large_table(bench: Bench, below: str) -> None:
    """Its last lines are in another chunk than its first, and what comes before them is all there."""
    lines = [f"{n},{'x' * 60},{n}.5" for n in range(70_000)]
    done = bench.csv("\n".join([HEADER, *lines, below]).encode())
    assert (done.part.read, done.part.rows, done.rows[-1]) == (70_000, 70_000, (69_999, "x" * 60, 69_999.5))
    assert done.part.facts["skipped_after_data"] == below.strip()


@pytest.mark.parametrize(
    "last",
    [
        "(30 rows),,",  # as many fields as any record
        '"(30 rows)"',  # in quotes: a value
        '30,"said\n(30 rows)\n",1.5',
        "31,short",
        "31",
        "Total,x,465",
        "-5",
        "30;name of 30;1.5",  # by another hand
        "30 name of 30 1.5",
        "30::name of 30::1.5",
        "2024-01-0",  # cut off
        "name",
    ],
)
def test_what_may_be_a_record_is_one(bench: Bench, last: str) -> None:
    done = bench.csv("\n".join([*LINES, last, ""]).encode())
    assert "skipped_after_data" not in done.part.facts
    assert done.part.read == 31


@pytest.mark.parametrize("header", ["id,name,amount", "id;name", "name"])
@pytest.mark.parametrize("below", ["(0 rows)", "0 rows in set (0.01 sec)", "(0 rows affected)"])
def test_a_table_with_no_rows(bench: Bench, header: str, below: str) -> None:
    done = bench.csv(f"{header}\n{below}\n".encode())
    assert [column.name for column in done.part.columns] == header.replace(";", ",").split(",")
    assert (done.part.read, done.part.facts["skipped_after_data"]) == (0, below)


def test_a_count_below_one_column_of_numbers(bench: Bench) -> None:
    done = bench.csv(b"n\n1\n2\n30\n(3 rows)\n")
    assert (done.rows, done.part.facts["skipped_after_data"]) == ([(1,), (2,), (30,)], "(3 rows)")


@pytest.mark.parametrize("text", ["town\nBerlin\n(2 rows)\n", "n\n1\n2\n-----\n", "Total rows: 5\n", "(5 rows)\n"])
def test_lines_of_one_column_are_all_records(bench: Bench, text: str) -> None:
    assert "skipped_after_data" not in bench.csv(text.encode()).part.facts


def test_the_same_within_the_table_stays_a_record(bench: Bench) -> None:
    done = bench.csv("\n".join([*LINES[:9], "(8 rows)", *LINES[9:], ""]).encode())
    assert (done.part.read, "skipped_after_data" in done.part.facts) == (31, False)


def test_texts_that_are_cut_short_are_records(bench: Bench) -> None:
    """Where a text may stand first, a blank line and a few words are no sign of an end."""
    lines = ["name,town,land", *["Ann,Berlin,DE"] * 20, "", "Bob Marley Smith", "Carla"]
    done = bench.csv("\n".join([*lines, ""]).encode())
    assert (done.part.read, "skipped_after_data" in done.part.facts) == (22, False)


def test_the_record_before_is_rejected_as_it_is(bench: Bench) -> None:
    """A reject's bytes end where the data ends."""
    done = bench.csv("\n".join([*LINES, "31,a,1,more", "(31 rows)", ""]).encode())
    (reject,) = done.rejects(done.part)
    assert (reject["raw"], reject["record"], done.part.read) == ("31,a,1,more", 31, 31)


@pytest.mark.parametrize("last", ["({} rows)", "\nSource: the portal {}", "\nMade by hand {}", "-----"])
def test_files_of_one_header_have_their_own(bench: Bench, last: str) -> None:
    files = {f"part{n}.csv": "\n".join([*LINES[: 5 + n], last.format(n), ""]).encode() for n in range(20)}
    done = bench.convert(files)
    assert sum(part.read for part in done.results.tables) == sum(4 + n for n in range(20))
    assert all(part.facts["skipped_after_data"] for part in done.results.tables)


def test_a_shell_s_table(bench: Bench) -> None:
    rule = "----+--------+--------"
    rows = [f" {n:2} | {name:6} | {amount}" for n, name, amount in ROWS]
    done = bench.csv("\n".join([" id | name   | amount", rule, *rows, "(30 rows)", ""]).encode())
    assert (done.part.read, done.rows[-1], done.part.facts["skipped_after_data"]) == (30, ROWS[-1], "(30 rows)")


def test_only_so_much_is_looked_at(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialect_below, "_TAIL", 64)
    done = bench.csv("\n".join([*LINES, "(30 rows)", ""]).encode())
    assert done.part.read == 30
