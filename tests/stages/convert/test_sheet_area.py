"""How much room the cells of a sheet take, whatever it says and however they are spelled."""

from __future__ import annotations

import pytest

from pipeline.model import Code
from stages.convert.workbooks.sheet_area import area
from tests.stages.convert.conftest import Bench
from tests.stages.convert.workbooks import respelled, workbook

SHEET = "xl/worksheets/sheet1.xml"
FAR = '<row r="1"><c r="A1"><v>1</v></c></row><row r="900000"><c r="XFD900000"><v>1</v></c></row>'


def row(number: int, *columns: str) -> str:
    cells = "".join(f'<c r="{column}{number}" s="1"><v>1</v></c>' for column in columns)
    return f'<row r="{number}" spans="1:9">{cells}</row>'


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("", 0), (row(1, "A"), 1), (row(1, "A", "B") + row(2, "A", "B"), 4), (row(5, "C") + row(7, "E"), 9), (FAR, 900_000 * 16_384),
        (row(1, "A", "XFD", "B") + row(9, "A"), 9 * 16_384), (row(9, "A") + row(1, "C"), 27), (FAR.replace('"', "'"), 900_000 * 16_384),
        ('<row r="1"><c r="A1"><v>1</v></c><c r="XFD1" s="4"/></row>', 1), ("<row><c><v>1</v></c><c><v>1</v></c></row>" * 3, 6),
        ('<row r="1"><c><v>1</v></c></row><row r="9"><c><v>1</v></c><c><v>1</v></c></row>', 18),
        ('<row r="9"><c r="D9"><v>1</v></c><c><v>1</v></c></row>', 9 * 6), ('<row><c t="s" r = "B7"><v>1</v></c></row>', 1),
        ("<row><c r='b7'><v>1</v></c><c r='D7' t='inlineStr'><is><t>x</t></is></c></row>", 3),
    ],
)  # fmt: skip
def test_the_rectangle_of_cells(text: str, cells: int) -> None:
    assert area([text.encode()], b"") == cells
    prefixed = text.replace("<", "<x:").replace("<x:/", "</x:")
    assert area([prefixed.encode()], b"x:") == cells
    pieces = [piece + "</row>" for piece in text.split("</row>")[:-1]]
    assert area(map(str.encode, pieces), b"") == cells


@pytest.mark.parametrize("claimed", ["", '<dimension ref="A1:B2"/>', '<dimension ref="A1:XFD1048576"/>'])
@pytest.mark.parametrize("prefix", ["", "x:"])
def test_far_cells_are_refused_before_the_engine_makes_room(bench: Bench, claimed: str, prefix: str) -> None:
    plain = workbook({"one": [["a", "b"], [1, 2]]})
    text = f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{claimed}<sheetData>{FAR}</sheetData></worksheet>'
    text = text.replace("<", f"<{prefix}").replace(f"<{prefix}/", f"</{prefix}")
    text = text.replace("xmlns=", "xmlns:x=") if prefix else text
    reason = bench.convert({"a.xlsx": respelled(plain, SHEET, "(?s)^.*$", text)}).member.reason
    assert reason is not None
    assert reason.code == Code.TOO_LARGE
