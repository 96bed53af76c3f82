"""Spoilt files are read as a careful person would, told nothing about them."""

from __future__ import annotations

import pytest

from tests.stages.convert.conftest import Bench
from tests.stages.convert.pollution import Table, tables
from tests.stages.convert.pollution_field import fielded
from tests.stages.convert.pollution_odd import files_of
from tests.stages.convert.pollution_programs import planned, tiny_ways
from tests.stages.convert.score import read_all, score

TABLES = [table for table in tables() if table.name in ("people", "sensors", "wide", "pairs")]
LEAST = 9.7  # of 10, over all files of a table


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_spoilt_files_score_high(table: Table) -> None:
    scores = {wanted.way: score(wanted, found) for wanted, found in read_all(files_of(table))}
    worst = sorted(scores.items(), key=lambda item: item[1])[:8]
    assert sum(scores.values()) / len(scores) >= LEAST, worst


def test_a_sample_of_the_plan() -> None:
    files = [file for name, file in planned() if name != "tiny"][::47]
    scores = {wanted.way: score(wanted, found) for wanted, found in read_all(files)}
    worst = sorted(scores.items(), key=lambda item: item[1])[:8]
    assert sum(scores.values()) / len(scores) >= LEAST, worst


def test_a_sample_of_what_people_hand_out() -> None:
    files = [file for _name, file in fielded()][::7]
    scores = {wanted.way: score(wanted, found) for wanted, found in read_all(files)}
    worst = sorted(scores.items(), key=lambda item: item[1])[:8]
    assert sum(scores.values()) / len(scores) >= LEAST, worst


def test_tiny_files() -> None:
    bad = {wanted.way: mark for wanted, found in read_all(tiny_ways()) if (mark := score(wanted, found)) < 9.9}
    assert bad == {}


def test_a_wrong_reading_scores_low() -> None:
    wanted = next(iter(files_of(TABLES[0])))
    _file, found = read_all([wanted])[0]
    assert score(wanted, found) == 10
    assert score(wanted, found._replace(header=None)) < 8
    assert score(wanted, found._replace(rows=[row[:-1] for row in found.rows])) < 8
    assert score(wanted, found._replace(rows=found.rows[:-9])) < 9.9
    assert score(wanted, found._replace(is_table=False)) == 0


@pytest.mark.parametrize("after", [9, 10, 40])
def test_columns_that_came_later(bench: Bench, after: int) -> None:
    early = [f"{number},a,{number}.5" for number in range(60)]
    late = [f"{number},b,{number}.5,new" for number in range(after)]
    done = bench.csv("\n".join(["id,word,half", *early, *late, ""]).encode())
    is_table = after >= 10
    assert [column.name for column in done.part.columns] == ["id", "word", "half", "column_4"][: 3 + is_table]
    assert (done.part.rows, done.part.rejected) == ((60 + after, 0) if is_table else (60, after))
    if is_table:
        assert done.rows[59:61] == [(59, "a", 59.5, None), (0, "b", 0.5, "new")]


def test_a_longer_record_now_and_then_is_a_reject(bench: Bench) -> None:
    records = [f"{number},a,1" + (",more" if number % 3 == 0 else "") for number in range(90)]
    done = bench.csv("\n".join(["id,word,n", *records, ""]).encode())
    assert (done.part.rows, done.part.rejected) == (60, 30)
