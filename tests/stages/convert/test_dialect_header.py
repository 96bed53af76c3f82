"""Which line names the columns where others above or below it might."""

from __future__ import annotations

import pytest

from tests.stages.convert.conftest import Bench

ROWS = [(n, f"name{n}", f"2024-01-{n + 1:02d}", n + 0.5) for n in range(20)]
LINES = [",".join(map(str, row)) for row in ROWS]


def test_groups_said_over_each_of_their_columns(bench: Bench) -> None:
    done = bench.csv("\n".join(["Who,Who,What,What", "id,name,day,amount", *LINES, ""]).encode())
    assert [column.name for column in done.part.columns] == ["id", "name", "day", "amount"]
    assert (done.part.rows, done.part.facts["skipped_before_data"]) == (20, "Who\tWho\tWhat\tWhat")


def test_values_that_repeat_are_no_groups(bench: Bench) -> None:
    done = bench.csv("\n".join(["red,red,blue,blue", "a,b,c,d", *["red,red,blue,green"] * 20, ""]).encode())
    assert "skipped_before_data" not in done.part.facts


@pytest.mark.parametrize("mark", ["[Data]", "***End_of_Header***", "[begin data]"])
def test_a_line_that_says_where_the_table_begins(bench: Bench, mark: str) -> None:
    top = ["[Header]", "TITLE,cellar", "FILEOPENTIME,2024-01-01,10:00", "LIMITS,0,10,20", mark]
    done = bench.csv("\n".join([*top, "id,name,day,amount", *LINES, ""]).encode())
    assert [column.name for column in done.part.columns] == ["id", "name", "day", "amount"]
    assert done.part.rows == 20
    assert mark in done.part.facts["skipped_before_data"]


@pytest.mark.parametrize(
    "places",
    [
        ["ann@example.org", "bob@example.org", "carla@example.com"],
        ["https://example.org/a?b=1", "https://example.com/d", "ftp://example.org/"],
    ],
)
def test_an_address_is_no_name_of_addresses(bench: Bench, places: list[str]) -> None:
    for count in (3, 2):
        done = bench.csv("".join(place + "\n" for place in places[:count]).encode())
        assert (done.part.rows, done.part.facts["has_header"]) == (count, False)
    named = bench.csv("".join(line + "\n" for line in ["contact", *places]).encode())
    assert (named.part.rows, named.part.facts["has_header"]) == (3, True)


@pytest.mark.parametrize(
    "top",
    [
        ["A,B,C,D"],
        ['# {"tool": "x", "version": 2, "by": "me"},'],
        ["Station,7", "Place,52.5,13.4", "Limits,0,10,20,30,40,50"],
        ["Place: by the river, left bank, 7", "Serial: 42, v1, 9"],
    ],
)
def test_lines_above_that_are_as_filled_as_a_header(bench: Bench, top: list[str]) -> None:
    done = bench.csv("\n".join([*top, "id,name,day,amount", *LINES, ""]).encode())
    assert [column.name for column in done.part.columns] == ["id", "name", "day", "amount"]
    assert (done.part.rows, len(done.part.facts["skipped_before_data"].splitlines())) == (20, len(top))


@pytest.mark.parametrize("first", ["A,B,C,D", "#id,name,day,amount", "id,name,day,amount,more"])
def test_headers_that_look_like_lines_above(bench: Bench, first: str) -> None:
    done = bench.csv("\n".join([first, *LINES, ""]).encode())
    assert [column.name for column in done.part.columns][:3] == first.split(",")[:3]
    assert (done.part.read, "skipped_before_data" in done.part.facts) == (20, False)


@pytest.mark.parametrize("first", ["1,a,2", "1,a,2024-01-01", "1,a,2024-01-01,5,6"])
def test_a_first_record_of_another_width_is_a_record(bench: Bench, first: str) -> None:
    done = bench.csv("\n".join([first, *LINES, ""]).encode())
    assert (done.part.facts["has_header"], done.part.read) == (False, 21)
