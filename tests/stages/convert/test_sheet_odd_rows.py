"""Odd rows and what is around them, each in a small sheet: kernels make of it what the engine does, or leave it alone; the
sheets that they take may yet turn out to be no plain tables."""

from __future__ import annotations

import io
import random
import zipfile
from typing import Any

import pytest

from stages.convert.kernels import compiled
from tests.stages.convert.conftest import Bench
from tests.stages.convert.sheet_books import BOOK, NS, SHEET, STRINGS, STYLES, book, with_members
from tests.stages.convert.test_sheet_cells import Both, by_xlsxwriter
from tests.stages.convert.workbooks import workbook


@pytest.fixture
def both(bench: Bench, made_kernels: compiled.Kernels, monkeypatch: pytest.MonkeyPatch) -> Both:
    return Both(bench, made_kernels, monkeypatch)


def row(number: int, *cells: str) -> str:
    return f'<row r="{number}">{"".join(cells)}</row>'


def text(place: str, value: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'


def number(place: str, value: int) -> str:
    return f'<c r="{place}"><v>{value}</v></c>'


HEAD = row(1, text("A1", "a"), text("B1", "name"))
TWO, THREE, FOUR = (row(at, number(f"A{at}", at), text(f"B{at}", "x" * at)) for at in (2, 3, 4))
THIRD = '<row r="3">@</row>'
ERROR, EMPTY = '<c r="{}" t="e"><v>#N/A</v></c>', '<c r="{}" t="str"><v></v></c>'
UNNAMED = '<row@><c><v>1</v></c><c t="str"><v>{}</v></c></row>'

ROWS = {  # by what's odd: the rows, and whether the kernels take them
    "nothing": (HEAD + TWO + THREE + FOUR, True),
    "cells without a place": (
        '<row r="1"><c t="str"><v>a</v></c><c t="str"><v>name</v></c></row><row r="2"><c><v>1</v></c><c t="str"><v>xx</v></c></row>', True,
    ),
    "no row with a number": ((HEAD + TWO + THREE).replace(' r="1"', "", 1).replace(' r="2"', "", 1).replace(' r="3"', "", 1), False),
    "a row without a number": (HEAD + TWO.replace(' r="2"', "", 1) + THREE, False),
    "a row and its cells without a number": (HEAD + TWO + '<row><c><v>1</v></c><c t="str"><v>x</v></c></row>' + FOUR, True),
    "the first row without a number": (HEAD.replace(' r="1"', "", 1) + TWO, False),
    "a last cell without a place": (HEAD + TWO + '<row r="3"><c r="A3"><v>1</v></c><c t="str"><v>x</v></c></row>', True),
    "a first cell without a place": (HEAD + TWO + '<row r="3"><c><v>1</v></c><c r="B3" t="str"><v>x</v></c></row>', True),
    "a cell without a place after a gap": (
        row(1, text("A1", "a"), text("B1", "b"), text("C1", "c")) + row(2, number("A2", 1), number("B2", 1), text("C2", "x"))
        + '<row r="3"><c r="B3"><v>1</v></c><c t="str"><v>xyz</v></c></row>', True,
    ),
    "one cell too many without a place": (HEAD + TWO + '<row r="3"><c r="B3" t="str"><v>x</v></c><c t="str"><v>zzzz</v></c></row>', False),
    "cells out of order": (HEAD + TWO + row(3, text("B3", "yy"), number("A3", 2)), False),
    "a cell twice": (HEAD + TWO + row(3, number("A3", 2), number("A3", 3), text("B3", "yyy")), False),
    "a row twice": (HEAD + TWO + TWO + THREE, False),
    "rows out of order": (HEAD + THREE + TWO, False),
    "a row left out": (HEAD + TWO + FOUR, False),
    "the row below the names left out": (HEAD + THREE, False),
    "a row 0": (row(0, text("A0", "a")) + TWO, False),
    "a cell of the next row": (HEAD + TWO + row(3, number("A4", 2), text("B4", "yy")), False),
    "a row of another number than its cells": (HEAD + TWO + row(4, number("A3", 2), text("B3", "yy")), False),
    "a number that begins as its row's": (HEAD + TWO + row(3, number("A33", 2), text("B3", "yy")), False),
    "small letters": (HEAD + TWO + row(3, number("a3", 2), text("b3", "yy")), False),
    "an absolute place": (HEAD + TWO + row(3, number("$A$3", 2)), False),
    "a value beyond the columns": (HEAD + TWO + row(3, number("A3", 2), text("B3", "yy"), text("C3", "z")), False),
    "an empty cell in the last column": (HEAD + TWO + row(3, number("A3", 2), text("B3", "yy"), '<c r="XFD3" s="1"/>'), True),
    "an empty cell beyond all columns": (HEAD + TWO + row(3, number("A3", 2), text("B3", "yy"), '<c r="AAAA3" s="1"/>'), False),
    "an empty cell beside the names": (row(1, text("A1", "a"), text("B1", "name"), '<c r="C1" s="1"/>') + TWO + THREE, True),
    "an empty cell far beside the names": (row(1, text("A1", "a"), text("B1", "name"), '<c r="XFD1" s="1"/>') + TWO + THREE, True),
    "an empty cell beyond all columns beside the names": (row(1, text("A1", "a"), text("B1", "b"), '<c r="XFE1" s="1"/>') + TWO, True),
    "a row beyond all rows": (HEAD + TWO + row(1048577, number("A1048577", 2)), False),
    "a number with a zero before": (HEAD + TWO.replace('<row r="2"', '<row r="02"') + THREE, False),
    "a number with a blank before": (HEAD + TWO.replace('<row r="2"', '<row r=" 2"') + THREE, False),
    "a place with a zero before": (HEAD + TWO + THIRD.replace("@", '<c r="A03"><v>2</v></c>'), False),
    "an empty place": (HEAD + TWO + THIRD.replace("@", '<c r=""><v>2</v></c>'), False),
    "a place of letters": (HEAD + TWO + THIRD.replace("@", '<c r="A"><v>2</v></c>'), False),
    "a place of letters in a row without a number": (HEAD + TWO + '<row><c r="A"><v>2</v></c></row>', False),
    "a place of digits": (HEAD + TWO + THIRD.replace("@", '<c r="3"><v>2</v></c>'), False),
    "two places": (HEAD + TWO + THIRD.replace("@", '<c r="B3" r="A3"><v>2</v></c>'), False),
    "two numbers": (HEAD + TWO + THREE.replace('r="3"', 'r="3" r="4"', 1), False),
    "two numbers, the other way round": (HEAD + TWO + THREE.replace('r="3"', 'r="4" r="3"', 1), False),
    "attributes of a row": (HEAD + '<row spans="1:2" r="2" ht="15.75" customHeight="1" x14ac:dyDescent="0.25">' + TWO[len('<row r="2">') :], True),
    "a blank row inside": (HEAD + TWO + '<row r="3"/>' + FOUR, False),
    "an open blank row inside": (HEAD + TWO + '<row r="3"></row>' + FOUR, False),
    "a blank row at the end": (HEAD + TWO + THREE + '<row r="4"/>', True),
    "blank rows at the end": (HEAD + TWO + THREE + '<row r="4"></row><row r="5" spans="1:2" s="1"/>', False),
    "a row with a prefix behind a blank one": (
        HEAD + TWO + THREE + '<row r="4"/><x:row r="5"><x:c r="A5"><x:v>1</x:v></x:c></x:row>', False,
    ),
    "a comment behind a blank row": (HEAD + TWO + THREE + '<row r="4"/><!--x-->', False),
    "a row of looks at the end": (HEAD + TWO + THREE + row(4, '<c r="A4" s="1"/>', '<c r="B4" s="2"/>'), True),
    "a row of looks inside": (HEAD + TWO + row(3, '<c r="A3" s="1"/>', '<c r="B3" s="2"/>') + FOUR, False),
    "a blank row before": ('<row r="1"/>' + TWO + THREE, False),
    "a blank row below the names": (HEAD + '<row r="2"/>' + THREE + FOUR, False),
    "names alone": (HEAD, True),
    "names and a blank row": (HEAD + '<row r="2"/>', True),
    "no rows": ("", False),
    "blank rows alone": ('<row r="1"/><row r="2"/>', False),
    "a blank row far below": (HEAD + TWO + THREE + '<row r="1000"/>', False),
    "a row of empty texts at the end": (HEAD + TWO + THREE + row(4, EMPTY.format("A4"), text("B4", "")), True),
    "a row of empty texts inside": (HEAD + TWO + row(3, EMPTY.format("A3"), text("B3", "")) + FOUR, True),
    "a row of errors inside": (HEAD + TWO + row(3, ERROR.format("A3"), ERROR.format("B3")) + FOUR, True),
    "a row of errors at the end": (HEAD + TWO + THREE + row(4, ERROR.format("A4"), ERROR.format("B4")), True),
    "a column of errors": (HEAD + row(2, ERROR.format("A2"), text("B2", "y")) + row(3, ERROR.format("A3"), text("B3", "yy")), True),
    "an error in the names": (row(1, text("A1", "a"), ERROR.format("B1")) + TWO + THREE, False),
    "an error beyond the columns": (HEAD + TWO + row(3, number("A3", 2), text("B3", "yy"), ERROR.format("C3")), False),
    "an empty column": (HEAD + row(2, text("B2", "y")) + row(3, text("B3", "yyyy")), True),
    "an empty last column": (HEAD + row(2, number("A2", 1)) + row(3, number("A3", 2)), True),
    "a formula without a result beyond the columns": (HEAD + TWO + row(3, number("A3", 2), '<c r="C3"><f>A1</f></c>'), True),
    "a formula without a result beside the names": (row(1, text("A1", "a"), text("B1", "b"), '<c r="C1"><f>A1</f></c>') + TWO + THREE, True),
    "lines between rows": ("\n" + HEAD + "\n " + TWO + "\n" + THREE, False),
    "a line at the end": (HEAD + TWO + THREE + "\n", False),
    "lines between cells": (HEAD + TWO + '<row r="3">\n<c r="A3"><v>1</v></c>\n</row>', False),
    "a prefix": ((HEAD + TWO + THREE).replace("<", "<x:").replace("<x:/", "</x:"), False),
    "a comment": (HEAD + "<!--x-->" + TWO + THREE, False),
    "a comment at the end": (HEAD + TWO + THREE + "<!--x-->", False),
    "a text between rows": (HEAD + TWO + "junk" + THREE, False),
    "a text between cells": (HEAD + TWO + row(3, "x", number("A3", 2)), False),
    "another element": (HEAD + TWO + "<foo/>" + THREE, False),
    "an element that begins as a row": (HEAD + TWO + '<rowx r="3"/>', False),
    "an element beside the cells": (HEAD + TWO + row(3, number("A3", 2), "<extLst/>"), False),
    "a column without a name": (
        row(1, text("A1", "a"), text("C1", "c")) + row(2, number("A2", 1), number("B2", 2), text("C2", "x")) + row(3, text("C3", "xyz")), False,
    ),
    "a name twice": (row(1, text("A1", "a"), text("B1", "a")) + TWO + THREE, True),
    "a name that is a number": (row(1, number("A1", 1), text("B1", "a")) + TWO + THREE, False),
    "names that are numbers written as texts": (row(1, text("A1", "2001"), text("B1", "2002")) + TWO + THREE, True),
    "a name that is blank": (row(1, text("A1", "  "), text("B1", "a")) + TWO + THREE, False),
    "a name of blanks that are kept": (row(1, '<c r="A1" t="str"><v>  </v></c>', text("B1", "a")) + TWO + THREE, True),
    "a name that is a mark": (row(1, text("A1", "\ufeff"), text("B1", "x")) + TWO + THREE, True),
    "a name of two lines": (row(1, text("A1", "a\nb"), text("B1", "x")) + TWO + THREE, True),
    "a name that is true": (row(1, '<c r="A1" t="b"><v>1</v></c>', text("B1", "a")) + TWO + THREE, False),
    "too few names": (row(1, text("A1", "a")) + TWO + THREE, False),
    "too many names": (row(1, text("A1", "a"), text("B1", "b"), text("C1", "c")) + TWO + THREE, True),
    "an empty text beside the names": (row(1, text("A1", "a"), text("B1", "b"), '<c r="C1" t="str"><v></v></c>') + TWO + THREE, False),
    "a title": (row(1, text("A1", "a title")) + row(2, text("A2", "a"), text("B2", "b")) + THREE + FOUR, False),
    "a total": (HEAD + TWO + THREE + row(4, text("A4", "total"), text("B4", "6")), True),
    "from C5 on": (row(5, text("C5", "a"), text("D5", "name")) + row(6, number("C6", 1), text("D6", "xx")) + row(7, number("C7", 2)), True),
    "from C5 on, looks before": (
        row(5, '<c r="A5" s="1"/>', text("C5", "a"), text("D5", "name")) + row(6, '<c r="A6" s="1"/>', number("C6", 1), text("D6", "xx")), True,
    ),
    "from C5 on, a number before": (row(5, text("C5", "a"), text("D5", "name")) + row(6, number("B6", 1), number("C6", 1), text("D6", "xx")), False),
    "from C5 on, an error before": (row(5, text("C5", "a"), text("D5", "b")) + row(6, ERROR.format("B6"), number("C6", 1), text("D6", "xx")), False),
    "from C5 on, an empty text before": (row(5, text("C5", "a"), text("D5", "b")) + row(6, EMPTY.format("B6"), number("C6", 1), text("D6", "x")), False),
    "from C5 on, a formula before": (row(5, text("C5", "a"), text("D5", "b")) + row(6, '<c r="B6"><f>A1</f></c>', number("C6", 1), text("D6", "x")), True),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_rows(both: Both, name: str) -> None:
    rows, is_taken = ROWS[name]
    assert both.same(book(rows)) == is_taken


BODY = "".join(row(at, number(f"A{at}", at), text(f"B{at}", "x" * at)) for at in range(2, 45))
MERGES = {  # ranges, and whether the kernels may leave them out of account
    "A1:B1": False, "A1:A2": False, "B1:B2": False, "A3:B3": False, "B3:A1": False, "A9:B1": False, "A6:B6": False, "A1": False,
    "A7:B7": True, "B40:A8": True, "A20:B20": True, "a1:b1": False, "A1:": False, "": False, "A1:B1:C1": False, "$A$1:$B$1": False,
}  # fmt: skip


@pytest.mark.parametrize("merge", MERGES)
def test_merged_cells(both: Both, merge: str) -> None:
    tail = f'<mergeCells count="1"><mergeCell ref="{merge}"/></mergeCells>'
    assert both.same(book(HEAD + BODY, tail=tail)) == MERGES[merge]


@pytest.mark.parametrize(
    "tail",
    [
        "<mergeCells><mergeCell ref='A1:A2'/></mergeCells>", '<mergeCells><mergeCell\tref = "A1:A2"/></mergeCells>',
        '<x:mergeCells><x:mergeCell ref="A1:A2"/></x:mergeCells>', '<mergeCells><mergeCell ref="A20:B20"/><mergeCell ref="A1:A2"/></mergeCells>',
        '<mergeCells><mergeCell ref="A1:A2', "<mergeCells><mergeCell/></mergeCells>", '<sheetData><row r="9"/></sheetData>', "<sheetData/>",
        "<", "</sheetData>", "</worksheet>", '<a b="1" b="2"/>', "<!DOCTYPE x>",
    ],
)  # fmt: skip
def test_odd_xml_behind_the_rows_is_the_engines(both: Both, tail: str) -> None:
    assert not both.same(book(HEAD + BODY, tail=tail))


def test_usual_xml_around_the_rows(both: Both) -> None:
    tail = (
        '<autoFilter ref="A1:B4"/><!--x--><conditionalFormatting sqref="A1"><cfRule type="x"><formula>1&lt;2</formula></cfRule></conditionalFormatting>'
        '<pageMargins left="0.7"/><extLst><ext uri="x"><x14:y xmlns:x14="z"/></ext></extLst>'
    )
    head = '<sheetPr><tabColor rgb="FF0000"/></sheetPr><dimension ref="A1:B44"/><sheetViews><sheetView workbookViewId="0"/></sheetViews>'
    assert both.same(book(HEAD + BODY, head=head, tail=tail))
    for dimension in ("A1", "A1:A1", "B2:C9", "A1:XFD1048576"):
        assert both.same(book(HEAD + BODY, head=f'<dimension ref="{dimension}"/>')), dimension


@pytest.mark.parametrize(
    "head",
    [
        '<mergeCells><mergeCell ref="A1:A2"/></mergeCells>', "<!--<sheetData>", f"<!--<sheetData>{HEAD}</sheetData>-->", "<sheetData/>",
        "<sheetData></sheetData>", '<dimension ref="foo"/>', "<dimension/>", "<a b=c/>", "<a>", "<a></b>", "<?x",
    ],
)  # fmt: skip
def test_odd_xml_before_the_rows_is_the_engines(both: Both, head: str) -> None:
    assert not both.same(book(HEAD + TWO + THREE, head=head))


def test_sheets_as_a_whole(both: Both) -> None:
    good = f"<worksheet {NS}><sheetData>{HEAD}{TWO}{THREE}</sheetData></worksheet>"
    for whole, is_taken in {
        good: True, "\ufeff" + good: True, '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n' + good + "\n": True, good[:-8]: False,
        good[:-20]: False, good.replace("</sheetData></worksheet>", ""): False, good.replace("a></worksheet>", ""): False, good.replace("</sheetData>", ""): False,
        good[: good.rindex("</row>")]: False, good.replace("<sheetData>", '<sheetData a="b">'): False, good.replace("</sheetData>", "</sheetData >"): False,
        good + "junk": False, good.replace("</worksheet>", "</other>"): False, good.replace("<sheetData>", ""): False, "": False,
        good.replace(f"<worksheet {NS}>", "").replace("</worksheet>", ""): True,
    }.items():  # fmt: skip
        assert both.same(with_members(book(HEAD), {SHEET: whole.encode()})) == is_taken, whole


def test_several_sheets_some_of_them_plain(both: Both) -> None:
    plain: list[list[Any]] = [["a", "b"], [1, "x"], [2, "yyy"]]
    odd: list[list[Any]] = [["a title"], [None], ["a", "b"], [1, 2.5], ["x", None]]
    assert both.same(workbook({"one": plain, "two & more": odd, "three": plain, "four": []}))
    assert both.same(workbook({"one": odd, "two": plain}))
    assert not both.same(workbook({"one": odd, "two": []}))


def test_a_damaged_archive_is_the_engines(both: Both) -> None:
    """Kernels don't see that a number isn't the one that was packed; checksums do."""
    data = by_xlsxwriter([["a", "name"], *([at, f"text {at * 7919 % 1000}"] for at in range(300))])
    assert both.same(data)
    chance = random.Random(5)
    for member in (SHEET, STRINGS, STYLES, BOOK):
        info = zipfile.ZipFile(io.BytesIO(data)).getinfo(member)
        start = data.index(info.filename.encode(), info.header_offset) + len(info.filename)
        for _ in range(10):
            damaged = bytearray(data)
            damaged[start + chance.randrange(info.compress_size)] ^= 1 << chance.randrange(8)
            assert not both.same(bytes(damaged))


def test_an_empty_part_is_the_engines(both: Both) -> None:
    for member in (STYLES, BOOK, SHEET, STRINGS):
        assert not both.same(with_members(book(HEAD + TWO + THREE, ""), {member: b""}))
