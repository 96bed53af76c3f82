"""Sheets and shared strings in many pieces: the same tables as in one; and workbooks that are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.convert.kernels import compiled
from stages.convert.workbooks import sheet_cells
from tests.stages.convert.conftest import Bench
from tests.stages.convert.sheet_books import book, styles_of
from tests.stages.convert.sheet_damage import Campaign
from tests.stages.convert.test_sheet_cells import Both, by_xlsxwriter, tables

often = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
STRINGS = "".join(f"<si><t>string {at}{' is longer' * (at % 3)}</t></si>" for at in range(40))
HEAD = '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="str"><v>b</v></c></row>'


@pytest.fixture
def both(bench: Bench, made_kernels: compiled.Kernels, monkeypatch: pytest.MonkeyPatch) -> Both:
    return Both(bench, made_kernels, monkeypatch)


@pytest.fixture(params=[1, 40, 300, 1000])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes a piece has, or more."""
    monkeypatch.setattr(sheet_cells, "_PIECE", request.param)
    return int(request.param)


def row(number: int, first: str, other: str) -> str:
    cells = "".join(
        cell.replace("<c", f'<c r="{column}{number}"', 1) for column, cell in zip("AB", (first, other), strict=True)
    )
    return f'<row r="{number}">{cells}</row>'


NONE, NUMBER, TEXT, LONG = (
    "<c/>",
    "<c><v>{}.5</v></c>",
    '<c t="s"><v>{}</v></c>',
    '<c t="str"><v>text number {} &amp; more</v></c>',
)
DAY, CLOCK, FLAG, ERROR = (
    '<c s="1"><v>4500{}</v></c>',
    '<c s="2"><v>0.{}</v></c>',
    '<c t="b"><v>1</v></c>',
    '<c t="e"><v>#N/A</v></c>',
)
LATE = '<c s="2"><v>4500{}.5</v></c>'


def rows_of(*runs: tuple[str, str, int], first: int = 2) -> str:
    """Runs of rows, each with the kinds of two cells and how many rows there are."""
    made = []
    for one, other, count in runs:
        for _ in range(count):
            number = first + len(made)
            made.append(row(number, one.format(number % 9), other.format(number % 9)))
    return "".join(made)


RUNS = {  # and whether the kernels take it, in pieces of a byte
    "one kind": ([(NUMBER, LONG, 30)], True),
    "nulls first": ([(NONE, LONG, 12), (NUMBER, LONG, 12)], True),
    "nulls last": ([(NUMBER, TEXT, 12), (NUMBER, NONE, 12)], True),
    "nulls of each kind first": ([(NONE, TEXT, 9), (FLAG, TEXT, 3), (NONE, TEXT, 9), (FLAG, NONE, 9)], True),
    "errors first": ([(ERROR, TEXT, 9), (NUMBER, TEXT, 9)], True),
    "errors alone": ([(ERROR, TEXT, 9)], True),
    "texts of both kinds": ([(TEXT, LONG, 9), (LONG, TEXT, 9), (TEXT, TEXT, 9)], True),
    "days and moments": ([(DAY, TEXT, 9), (NONE, TEXT, 5), (LATE, TEXT, 9)], True),
    "times of day": ([(NONE, TEXT, 9), (CLOCK, TEXT, 9)], True),
    "times of day, then moments": ([(CLOCK, TEXT, 9), (LATE, TEXT, 9)], False),
    "numbers, then texts": ([(NUMBER, TEXT, 9), (TEXT, TEXT, 9)], True),
    "numbers, then days": ([(NUMBER, TEXT, 9), (DAY, TEXT, 9)], True),
    "texts, then flags": ([(TEXT, TEXT, 9), (FLAG, TEXT, 9)], True),
    "flags, then numbers": ([(FLAG, TEXT, 9), (NUMBER, TEXT, 9)], True),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.usefixtures("size")
def test_kinds_that_differ_between_pieces(both: Both, name: str) -> None:
    runs, is_taken = RUNS[name]
    styles = styles_of("yyyy-mm-dd hh:mm", "hh:mm")
    assert both.same(book(HEAD + rows_of(*runs), STRINGS, styles=styles)) == is_taken


BLANK = [
    lambda number: f'<row r="{number}"/>',
    lambda number: f'<row r="{number}"></row>',
    lambda number: row(number, '<c s="1"/>', NONE),
]


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.usefixtures("size")
def test_rows_that_are_blank_or_not_there(both: Both, blank: object) -> None:
    assert callable(blank)
    many = rows_of((NUMBER, LONG, 20))
    assert both.same(book(HEAD + many, STRINGS))
    both.same(book(HEAD + many + blank(22), STRINGS))
    both.same(book(HEAD + many + blank(22) + blank(23) + blank(24), STRINGS))
    both.same(book(HEAD + many + blank(30), STRINGS))
    for gap in (blank(22), blank(22) + blank(23)):
        more = rows_of((NUMBER, LONG, 20), first=22 + gap.count("<row"))
        assert not both.same(book(HEAD + many + gap + more, STRINGS))
    assert not both.same(book(HEAD + many + rows_of((NUMBER, LONG, 20), first=23), STRINGS))
    assert not both.same(book(HEAD + many + rows_of((NUMBER, LONG, 20), first=21), STRINGS))


@pytest.mark.usefixtures("size")
def test_blank_rows_at_the_end_are_no_rows(both: Both) -> None:
    """As spreadsheets write them, closed at once."""
    blank = "".join(f'<row r="{number}"/>' for number in range(22, 40))
    assert both.same(book(HEAD + rows_of((NUMBER, TEXT, 20)) + blank, STRINGS))
    assert both.same(book(HEAD + rows_of((NUMBER, TEXT, 20)), STRINGS + "<si/><si/>"))


@pytest.mark.usefixtures("size")
def test_tables_in_pieces_are_the_engines(both: Both) -> None:
    taken = []

    @given(tables(), st.integers(1, 30))
    @often
    def check(table: list[list[object]], times: int) -> None:
        try:
            taken.append(both.same(by_xlsxwriter([table[0], *table[1:] * times])))
        except ValueError:  # the writer won't
            return

    check()
    assert sum(taken) > len(taken) // 10


@pytest.mark.parametrize("seed", range(4))
def test_damaged_workbooks(made_kernels: compiled.Kernels, tmp_path: Path, seed: int) -> None:
    """What kernels take of them is what the engine takes. `python -m tests.stages.convert.sheet_damage` tries many more."""
    campaign = Campaign(made_kernels, seed, tmp_path)
    for _ in range(150):
        assert not campaign.turn()
    assert campaign.taken > 5
