"""Workbooks whose parts have other names than most programs give, or are in another encoding than UTF-8."""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from collections.abc import Callable, Mapping

import openpyxl
import pytest
import xlsxwriter

from pipeline.model import Code
from scripts.fuzz.seeds import ODS_CONTENT, open_document
from stages.convert.workbooks import workbook as family
from tests.stages.convert.binary_workbooks import DATE, binary_workbook
from tests.stages.convert.conftest import Bench
from tests.stages.convert.workbooks import respelled

DAY = dt.date(2024, 2, 29)
ROWS = [("id", "Größe", "day"), (1, "klein 😀", DAY), (2, "groß", DAY)]
SHEET, BOOK, STRINGS, STYLES = "xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/sharedStrings.xml", "xl/styles.xml"
LINKS, ROOT, TYPES = "xl/_rels/workbook.xml.rels", "_rels/.rels", "[Content_Types].xml"


def by_xlsxwriter() -> bytes:
    data = io.BytesIO()
    book = xlsxwriter.Workbook(data, {"default_date_format": "yyyy-mm-dd"})
    for name in ("one", "two"):
        sheet = book.add_worksheet(name)
        for row, cells in enumerate(ROWS):
            sheet.write_row(row, 0, cells)
    book.close()
    return data.getvalue()


def by_openpyxl() -> bytes:
    data, book = io.BytesIO(), openpyxl.Workbook()
    book.remove(book.active)
    for name in ("one", "two"):
        sheet = book.create_sheet(name)
        for row in ROWS:
            sheet.append(row)
    book.save(data)
    return data.getvalue()


def renamed(data: bytes, names: Mapping[str, str], links: Mapping[str, str]) -> bytes:
    """The archive DATA with members renamed, and their names in the lists of links and types."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(made, "w") as after:
        for name in before.namelist():
            text = before.read(name)
            if name.endswith(".rels") or name == TYPES:
                for old, new in links.items():
                    text = text.replace(old.encode(), new.encode())
            after.writestr(names.get(name, name), text)
    return made.getvalue()


def all_in(folder: str, data: bytes) -> bytes:
    names = [name for name in zipfile.ZipFile(io.BytesIO(data)).namelist() if name.startswith("xl/")]
    return renamed(data, {name: folder + name[3:] for name in names}, {"xl/": folder})


def recoded(data: bytes, members: list[str], codec: str, declared: str | None) -> bytes:
    """The archive DATA with MEMBERS in CODEC, with or without what they say of it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(made, "w") as after:
        for name in before.namelist():
            text = before.read(name)
            if name in members:
                body = re.sub(r"^<\?xml.*?\?>\s*", "", text.decode())
                head = f'<?xml version="1.0" encoding="{declared}" standalone="yes"?>\n' if declared else ""
                text = (head + body).encode(codec)
            after.writestr(name, text)
    return made.getvalue()


def check(bench: Bench, data: bytes, name: str = "a.xlsx") -> None:
    for types in ("auto", "text"):  # the plain way, and the other one
        done = bench.convert({name: data}, types=types)
        assert done.member.reason is None
        expected = [tuple(map(str, row)) for row in ROWS[1:]] if types == "text" else ROWS[1:]
        assert [part.title for part in done.results.tables] == ["one", "two"]
        for part in done.results.tables:
            assert done.frame(part).columns == list(ROWS[0])
            assert done.frame(part).rows() == expected


BOOK_ELSEWHERE = {BOOK: "xl/book.xml", LINKS: "xl/_rels/book.xml.rels"}
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "the workbook": lambda data: renamed(data, BOOK_ELSEWHERE, {"workbook.xml": "book.xml"}),
    "only in the list of types": lambda data: renamed(
        data, {**BOOK_ELSEWHERE, ROOT: "x.rels"}, {"workbook.xml": "book.xml"}
    ),
    "another folder": lambda data: all_in("Data/Book/", data),
    "no folder": lambda data: all_in("", data),
    "other letters": lambda data: renamed(data, {BOOK: "xl/Workbook.xml", STRINGS: "XL/SharedStrings.XML"}, {}),
    "other strokes": lambda data: renamed(data, {BOOK: "xl\\workbook.xml", SHEET: "xl\\worksheets\\sheet1.xml"}, {}),
    "texts": lambda data: renamed(data, {STRINGS: "xl/texts.xml"}, {"sharedStrings.xml": "texts.xml"}),
    "styles": lambda data: renamed(data, {STYLES: "xl/looks.xml"}, {"styles.xml": "looks.xml"}),
    "a sheet": lambda data: renamed(data, {SHEET: "sheets/1.xml"}, {"worksheets/sheet1.xml": "../sheets/1.xml"}),
    "a sheet like another": lambda data: renamed(
        data, {SHEET: "sheet2.xml"}, {"/xl/worksheets/sheet1.xml": "/sheet2.xml", "worksheets/sheet1.xml": "/sheet2.xml"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("book", [by_xlsxwriter, by_openpyxl])
def test_parts_of_other_names(bench: Bench, book: Callable[[], bytes], way: str) -> None:
    made = WAYS[way](book())
    assert made != book()
    check(bench, made)


def test_other_names_hide_nothing_from_the_guard_of_memory(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "MOST_CELLS", 8)
    for data in (by_xlsxwriter(), WAYS["another folder"](by_xlsxwriter())):
        reason = bench.convert({"a.xlsx": data}).member.reason
        assert reason is not None
        assert reason.code == Code.TOO_LARGE


def test_records_of_other_names(bench: Bench) -> None:
    """An XLSB file."""
    rows = {n: [("shared", n), ("integer", 45000 + n, DATE)] for n in (0, 1)}
    data = binary_workbook({"one": rows}, ["x", "y"])
    names = {
        "xl/workbook.bin": "xl/b.bin",
        "xl/_rels/workbook.bin.rels": "xl/_rels/b.bin.rels",
        "xl/styles.bin": "s.bin",
    }
    made = renamed(data, names, {"workbook.bin": "b.bin", "styles.bin": "/s.bin"})
    expected = bench.convert({"a.xlsb": data}).rows
    assert expected == [("x", dt.date(2023, 3, 15)), ("y", dt.date(2023, 3, 16))]
    assert bench.convert({"a.xlsb": made}).rows == expected


ENCODINGS = [
    ("utf-16", "UTF-16"), ("utf-16", None), ("utf-16-le", "UTF-16"), ("utf-16-be", "utf-16"), ("utf-16-be", None), ("utf-8", "UTF-16"),
    ("utf-8-sig", "UTF-8"), ("utf-8-sig", "UTF-16"), ("utf-32", "UTF-32"),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "declared"), ENCODINGS)
@pytest.mark.parametrize("members", [[SHEET], [STRINGS], [BOOK, LINKS, ROOT, TYPES, STYLES]])
def test_parts_in_other_encodings(bench: Bench, codec: str, declared: str | None, members: list[str]) -> None:
    check(bench, recoded(by_xlsxwriter(), members, codec, declared))


def test_parts_in_old_encodings(bench: Bench) -> None:
    plain = respelled(by_xlsxwriter(), STRINGS, " 😀", "")
    done = bench.convert({"a.xlsx": recoded(plain, [STRINGS, SHEET], "cp1252", "windows-1252")})
    assert done.frame(done.results.tables[0]).rows() == [(1, "klein", DAY), (2, "groß", DAY)]


@pytest.mark.parametrize(
    ("codec", "declared"), [("utf-8", "rot13"), ("utf-8", "no-such"), ("cp1252", "UTF-16"), ("utf-16", "x")]
)
def test_what_can_t_be_read_is_refused(bench: Bench, codec: str, declared: str) -> None:
    data = respelled(by_xlsxwriter(), STRINGS, " 😀", "")
    cut = recoded(data, [STRINGS], codec, declared)
    if codec == "utf-16":
        cut = respelled(cut, STRINGS, "(?s)(.{101}).*", r"\1")  # half of a character is missing
    reason = bench.convert({"a.xlsx": cut}).member.reason
    assert reason is not None
    assert (reason.code, "its parts can't be read" in reason.text) == (Code.CORRUPT, True)


def test_open_documents_in_other_encodings(bench: Bench) -> None:
    expected = bench.convert({"a.ods": open_document()}).rows
    assert expected
    assert "one" in ODS_CONTENT
    for codec, declared in (("utf-16", "UTF-16"), ("utf-16-be", "UTF-16"), ("latin-1", "ISO-8859-1")):
        data = recoded(open_document(), ["content.xml"], codec, declared)
        assert bench.convert({"a.ods": data}).rows == expected
        kind = 'office:version="1.3" office:mimetype="application/vnd.oasis.opendocument.spreadsheet"'
        flat = (
            ODS_CONTENT.replace("-content", "")
            .replace('office:version="1.3"', kind)
            .replace('"UTF-8"', f'"{declared}"')
        )
        mark = "\ufeff" * (codec == "utf-16-be")
        assert bench.convert({"a.fods": (mark + flat).encode(codec)}).rows == expected


def test_archives_that_are_no_workbook_or_locked(bench: Bench) -> None:
    document = renamed(by_xlsxwriter(), BOOK_ELSEWHERE, {"workbook.xml": "book.xml"})
    document = respelled(document, "xl/book.xml", "workbook", "document")
    reason = bench.convert({"a.xlsx": document}).member.reason
    assert reason is not None
    assert (reason.code, "none of its parts is a workbook" in reason.text) == (Code.CORRUPT, True)
    locked = bytearray(by_xlsxwriter())
    locked[locked.rindex(b"PK\x01\x02") + 8] |= 1
    reason = bench.convert({"a.xlsx": bytes(locked)}).member.reason
    assert reason is not None
    assert reason.code == Code.ENCRYPTED
