"""Sheets read by kernels: the same tables that the engine makes, whoever wrote the file, and none where it's damaged."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Sequence
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.convert.kernels import compiled
from stages.convert.workbooks import sheet_cells
from tests.stages.convert.conftest import Bench, Converted
from tests.stages.convert.workbooks import Error, workbook

often = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

texts = st.one_of(
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30),
    st.sampled_from(["a&b", "<x>", "a_b", "_x000D_", "a_x0041_b", " a ", "a\nb", "a\tb", "twelve bytes", "thirteen byte",
                     "Größe", "東京" * 9, "😀" * 4, "0123", "_", "__x", "_x12_", "&amp;", "#N/A", "x" * 300]),
)  # fmt: skip
numbers = st.one_of(
    st.integers(-(2**53), 2**53),
    st.integers(-9, 9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-9999, max_value=9999).map(float),
)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "number": numbers,
    "whole": st.integers(-(10**6), 10**6),
    "day": st.dates(dt.date(1899, 12, 31), dt.date(9999, 12, 31)),
    "late day": st.dates(dt.date(1950, 1, 1), dt.date(2060, 1, 1)),
    "moment": st.datetimes(dt.datetime(1900, 3, 2), dt.datetime(2100, 1, 1)),
    "clock": st.times().map(lambda time: time.replace(microsecond=0)),
    "flag": st.booleans(),
    "nothing": st.none(),
    "error": st.just(Error("#DIV/0!")),
}


@st.composite
def tables(draw: st.DrawFn) -> list[list[Any]]:
    """Rows below a row of names; mostly one kind of value in a column, and some cells without any."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    names = draw(st.lists(texts, min_size=len(kinds), max_size=len(kinds)))
    rows = draw(st.lists(st.tuples(*(KINDS[kind] for kind in kinds)), min_size=1, max_size=8))
    table = [names, *map(list, rows)]
    for _ in range(draw(st.integers(0, 3))):
        row, column = draw(st.integers(1, len(rows))), draw(st.integers(0, len(kinds) - 1))
        table[row][column] = draw(st.one_of(st.none(), st.just(""), *KINDS.values()))
    return table


def by_us(table: Sequence[Sequence[Any]]) -> bytes:
    return workbook({"data": table})


def by_xlsxwriter(table: Sequence[Sequence[Any]], **options: Any) -> bytes:
    made = io.BytesIO()
    book = xlsxwriter.Workbook(made, {"in_memory": True, "nan_inf_to_errors": True, **options})
    sheet = book.add_worksheet("data")
    formats = {
        dt.datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
        dt.date: book.add_format({"num_format": 14}),
        dt.time: book.add_format({"num_format": "hh:mm:ss"}),
    }
    for number, row in enumerate(table):
        for column, value in enumerate(row):
            if isinstance(value, Error):
                sheet.write_formula(number, column, "=1/0", None, "#DIV/0!")
            elif isinstance(value, bool):
                sheet.write_boolean(number, column, value)
            elif isinstance(value, (int, float)):
                sheet.write_number(number, column, value)
            elif isinstance(value, (dt.date, dt.time)):
                # Before 1900 it writes no day, as spreadsheets don't.
                if not isinstance(value, dt.date) or value.year >= 1900:
                    sheet.write_datetime(number, column, value, formats[type(value)])
            elif value:
                sheet.write_string(number, column, value)
    book.close()
    return made.getvalue()


def by_xlsxwriter_inline(table: Sequence[Sequence[Any]]) -> bytes:
    return by_xlsxwriter(table, constant_memory=True)


def by_xlsxwriter_1904(table: Sequence[Sequence[Any]]) -> bytes:
    late = [[None if isinstance(cell, dt.date) and cell.year < 1905 else cell for cell in row] for row in table]
    return by_xlsxwriter(late, date_1904=True)


def by_openpyxl(table: Sequence[Sequence[Any]]) -> bytes:
    made = io.BytesIO()
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "data"
    for row in table:
        sheet.append(list(row))
    book.save(made)
    return made.getvalue()


WRITERS: list[Callable[[Sequence[Sequence[Any]]], bytes]] = [
    by_us, by_xlsxwriter, by_xlsxwriter_inline, by_xlsxwriter_1904, by_openpyxl
]  # fmt: skip


def facts_of(done: Converted) -> list[Any]:
    """What is to be the same, NaN as itself."""
    tables = [
        (part.title, part.read, part.columns, part.facts, [list(map(repr, row)) for row in done.frame(part).rows()])
        for part in done.results.tables
    ]
    return [tables, done.member.reason, done.member.notes]


class Both:
    """A bench that converts with the engine alone and then with kernels, and tells whether these took it."""

    def __init__(self, bench: Bench, kernels: compiled.Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
        self._bench = bench
        self._kernels = kernels
        self._monkeypatch = monkeypatch

    def same(self, data: bytes) -> bool:
        with self._monkeypatch.context() as patch:
            patch.setattr(compiled, "kernels", lambda: None)
            by_engine = self._bench.convert({"a.xlsx": data})
            taken: list[bool] = []
            load = sheet_cells.load

            def seen(*arguments: Any) -> Any:
                found = load(*arguments)
                taken.append(found is not None)
                return found

            patch.setattr(compiled, "kernels", lambda: self._kernels)
            patch.setattr(sheet_cells, "load", seen)
            by_kernels = self._bench.convert({"a.xlsx": data})
        assert facts_of(by_kernels) == facts_of(by_engine)
        return any(taken)


@pytest.fixture
def both(bench: Bench, made_kernels: compiled.Kernels, monkeypatch: pytest.MonkeyPatch) -> Both:
    return Both(bench, made_kernels, monkeypatch)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_tables_are_the_engines(both: Both, writer: Callable[[Sequence[Sequence[Any]]], bytes]) -> None:
    taken = []

    @given(tables())
    @often
    def check(table: list[list[Any]]) -> None:
        try:
            book = writer(table)
        except (ValueError, openpyxl.utils.exceptions.IllegalCharacterError):  # the writer won't
            return
        taken.append(both.same(book))

    check()
    assert sum(taken) > len(taken) // 10
