"""XLSX files of one sheet made of raw XML, as no program would write it."""

from __future__ import annotations

import io
import re
import zipfile

from tests.stages.convert.workbooks import workbook

SHEET, STRINGS, STYLES, BOOK = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml"
NS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_STRINGS_LINK = (
    '<Relationship Id="rId9" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"'
    ' Target="sharedStrings.xml"/></Relationships>'
)


def with_members(data: bytes, members: dict[str, bytes]) -> bytes:
    """The archive DATA with MEMBERS for those of their names, or beside what it has."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as after:
        for name in dict.fromkeys((*before.namelist(), *members)):
            after.writestr(name, members[name] if name in members else before.read(name))
    return made.getvalue()


def book(
    rows: str | bytes,
    strings: str | bytes | None = None,
    *,
    styles: str = "",
    tail: str = "",
    head: str = "",
    is_1904: bool = False,
) -> bytes:
    """A workbook with ROWS in its only sheet, after HEAD and before TAIL; with STRINGS as its shared ones, STYLES as the
    formats of its cells."""
    inner = rows if isinstance(rows, bytes) else rows.encode()
    members = {
        SHEET: b"".join(
            (f"<worksheet {NS}>{head}<sheetData>".encode(), inner, f"</sheetData>{tail}</worksheet>".encode())
        )
    }
    made = workbook({"data": []})
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        if strings is not None:
            texts = strings if isinstance(strings, bytes) else strings.encode()
            members[STRINGS] = f"<sst {NS}>".encode() + texts + b"</sst>"
            links = "xl/_rels/workbook.xml.rels"
            members[links] = archive.read(links).replace(b"</Relationships>", _STRINGS_LINK.encode())
        if is_1904:
            members[BOOK] = archive.read(BOOK).replace(b"<sheets>", b'<workbookPr date1904="1"/><sheets>')
    if styles:
        members[STYLES] = styles.encode()
    return with_members(made, members)


def table(*cells: str, name: str = "a", others: str = "") -> str:
    """Rows of a column of CELLS, each an element without its place, `<c><v>1</v></c>`, under NAME, beside a column of
    numbers, by which the first row is known to have names."""
    rows = [f'<row r="1">{_text("A1", name)}{_text("B1", "name")}</row>']
    for number, cell in enumerate(cells, 2):
        placed = re.sub(r"^<c\b", f'<c r="A{number}"', cell, count=1)
        rows.append(f'<row r="{number}">{placed}<c r="B{number}"><v>{number}.5</v></c>{others}</row>')
    return "".join(rows)


def _text(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def styles_of(*formats: int | str) -> str:
    """Styles of which each shows one of FORMATS, a known one by its number or another by its code; the first shows
    numbers."""
    own = {
        code: 170 + index for index, code in enumerate(dict.fromkeys(code for code in formats if isinstance(code, str)))
    }
    codes = "".join(f'<numFmt numFmtId="{number}" formatCode="{code}"/>' for code, number in own.items())
    cells = "".join(f'<xf numFmtId="{own[code] if isinstance(code, str) else code}"/>' for code in (0, *formats))
    return f'<styleSheet {NS}><numFmts count="{len(own)}">{codes}</numFmts><cellXfs count="{1 + len(formats)}">{cells}</cellXfs></styleSheet>'
