"""Spoilt files are read as a careful person would, told nothing about them."""

from __future__ import annotations

import pytest

from tests.stages.convert.pollution import Table, tables
from tests.stages.convert.pollution_odd import files_of
from tests.stages.convert.score import read_all, score

TABLES = tables()
LEAST = 9.7  # of 10, over all files of a table


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_spoilt_files_score_high(table: Table) -> None:
    scores = {wanted.way: score(wanted, found) for wanted, found in read_all(files_of(table))}
    worst = sorted(scores.items(), key=lambda item: item[1])[:8]
    assert sum(scores.values()) / len(scores) >= LEAST, worst


def test_a_wrong_reading_scores_low() -> None:
    wanted = next(iter(files_of(TABLES[0])))
    _file, found = read_all([wanted])[0]
    assert score(wanted, found) == 10
    assert score(wanted, found._replace(header=None)) < 8
    assert score(wanted, found._replace(rows=[row[:-1] for row in found.rows])) < 8
    assert score(wanted, found._replace(rows=found.rows[:-9])) < 9.9
    assert score(wanted, found._replace(is_table=False)) == 0
