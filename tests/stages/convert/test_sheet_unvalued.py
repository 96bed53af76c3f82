"""Formulas whose result nobody wrote down: their cells are NULL, and a note counts them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import openpyxl
import pytest
import xlsxwriter

from pipeline.model import Code
from stages.convert.workbooks.sheet_unvalued import by_table, count
from tests.stages.convert.conftest import Bench
from tests.stages.convert.workbooks import respelled

ROWS: list[list[Any]] = [["n", "sum"], [1, 2.5], [2, None], [3, None]]
FORMULAS = {(2, 1): "A2+1", (3, 1): "A3+1"}
NOTE = "formulas without a stored result, whose cells are NULL: "


def by_openpyxl(sheets: Sequence[str]) -> bytes:
    data, book = io.BytesIO(), openpyxl.Workbook()
    book.remove(book.active)
    for name in sheets:
        sheet = book.create_sheet(name)
        for row in ROWS:
            sheet.append(row)
        for (row, column), formula in FORMULAS.items():
            sheet.cell(row + 1, column + 1, f"={formula}")
    book.save(data)
    return data.getvalue()


def by_odfpy(formulas: int, value: str = "") -> bytes:
    from odf.opendocument import OpenDocumentSpreadsheet
    from odf.table import Table, TableCell, TableRow
    from odf.text import P

    document, data = OpenDocumentSpreadsheet(), io.BytesIO()
    for name, number in (("one & all", formulas), ("two", 0)):
        table = Table(name=name)
        for row in range(4):
            line = TableRow()
            for column in range(2):
                is_formula = column == 1 and row > 3 - number
                kind = {"valuetype": "float", "value": value} if value else {}
                cell = TableCell(formula="of:=1+1", **kind) if is_formula else TableCell(valuetype="string")
                if not is_formula:
                    cell.addElement(P(text=f"x{row}{column}"))
                line.addElement(cell)
            table.addElement(line)
        document.spreadsheet.addElement(table)
    document.write(data)
    return data.getvalue()


@pytest.mark.parametrize("types", ["auto", "text"])
def test_formulas_that_openpyxl_wrote(bench: Bench, types: str) -> None:
    """The plain way reads it once, the other way in the second run."""
    done = bench.convert({"a.xlsx": by_openpyxl(["one", "two"])}, types=types)
    expected = [(1, 2.5), (2, None), (3, None)] if types == "auto" else [("1", "2.5"), ("2", None), ("3", None)]
    assert [done.frame(part).rows() for part in done.results.tables] == [expected] * 2
    assert done.member.notes == (f"{NOTE}2 in one, 2 in two",)


def test_results_that_are_there_need_no_note(bench: Bench) -> None:
    data = io.BytesIO()
    book = xlsxwriter.Workbook(data)
    sheet = book.add_worksheet("one")
    for row, cells in enumerate(ROWS):
        sheet.write_row(row, 0, cells)
    sheet.write_formula(2, 1, "=A2+1", None, 3)
    sheet.write_formula(3, 1, '=""', None, "")
    book.close()
    member, empty = "xl/worksheets/sheet1.xml", '(<c r="B4")(><f>.*</f><v></v></c>)'
    done = bench.convert({"a.xlsx": respelled(data.getvalue(), member, empty, r'\1 t="str"\2')})
    assert done.rows[1:] == [(2, 3), (3, None)]
    assert not done.member.notes
    assert not bench.convert({"a.ods": by_odfpy(2, "2")}).member.notes


def test_a_sheet_of_nothing_else(bench: Bench) -> None:
    data, book = io.BytesIO(), openpyxl.Workbook()
    for number in range(1, 4):
        book.active.cell(number, 1, "=1+1")
    book.save(data)
    done = bench.convert({"a.xlsx": data.getvalue()})
    assert done.member.reason is not None
    assert done.member.reason.code == Code.EMPTY
    assert done.member.notes == (f"{NOTE}3 in Sheet",)


def test_formulas_in_open_documents_and_old_workbooks(bench: Bench) -> None:
    xlwt = pytest.importorskip("xlwt")
    assert bench.convert({"a.ods": by_odfpy(3)}).member.notes == (f"{NOTE}3 in one & all",)
    data, book = io.BytesIO(), xlwt.Workbook()
    sheet = book.add_sheet("one")
    for row, cells in enumerate(ROWS):
        for column, cell in enumerate(cells):
            if cell is not None:
                sheet.write(row, column, cell)
    for (row, column), formula in FORMULAS.items():
        sheet.write(row, column, xlwt.Formula(formula))
    book.save(data)
    done = bench.convert({"a.xls": data.getvalue()})
    assert done.rows[1:] == [(2, None), (3, None)]
    assert done.member.notes == (f"{NOTE}2",)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('<c r="A1"><f>1+1</f></c>', 1), ("<c><f>1+1</f><v></v></c>", 1), ("<c><f>1+1</f>\n<v />\n</c>", 1),
        ('<c><f t="shared" si="0"/></c>', 1), ("<x:c><x:f>1</x:f> <x:v></x:v></x:c>", 1), ('<c t="str"><f>1</f></c>', 1),
        ("<c><f>1</f></c><c><f>1</f></c>", 2), ('<c r="A1"/><c><f/></c>', 1), ('<c t="str"><f>1</f><v></v></c>', 0),
        ("<c t='str'><f si='0'/><v/></c>", 0), ("<c><f>1</f><v>2</v></c>", 0), ('<c s="1"/><c><v>1</v></c>', 0), ("<c/>", 0),
    ],
)  # fmt: skip
def test_what_such_a_cell_looks_like(text: str, number: int) -> None:
    assert count(text.encode()) == number


def test_cells_that_are_repeated() -> None:
    cell = '<table:table-cell table:number-columns-repeated="3" table:formula="of:=1"/>'
    other = "<table:table-cell table:formula='of:=1' table:number-columns-repeated=\"2\"></table:table-cell>"
    text = f'<table:table table:name="a">{cell}</table:table><table:table table:style-name="x" table:name="b">{cell}{other}'
    assert by_table(text.encode()) == {"a": 3, "b": 5}
