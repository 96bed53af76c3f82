"""Numbers shown as days: the right moment comes out, or the number that is stored, and a note says so."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import struct
from collections.abc import Callable

import openpyxl
import openpyxl.utils.datetime
import pytest
import xlsxwriter

from stages.convert.workbooks import sheet_xml
from stages.convert.workbooks.sheet_days import Shown, shown_by, shown_by_code
from tests.stages.convert.binary_workbooks import DATE, MOMENT, TIME, Cell, binary_workbook
from tests.stages.convert.conftest import Bench
from tests.stages.convert.sheet_books import book, styles_of, table
from tests.stages.convert.workbooks import respelled

DAY, CLOCK, BOTH, LENGTH = "yyyy-mm-dd", "hh:mm:ss", "yyyy-mm-dd hh:mm:ss", "[h]:mm:ss"
NUMBERS = [-1e9, -1.0, -0.5, 0.0, 0.25, 0.5, 0.9999999999, 1.0, 1.5, 58.5, 59.0, 59.75, 60.0, 60.25, 61.0, 61.5, 45000.0,
           45000.5, 2957003.0, 2957004.0, 2958465.0, 2958465.75, 2958466.0, 1e9]  # fmt: skip
Book = Callable[[list[list[float | tuple[float, str]]], bool], bytes]


def by_xlsxwriter(rows: list[list[float | tuple[float, str]]], is_1904: bool) -> bytes:
    data = io.BytesIO()
    book = xlsxwriter.Workbook(data, {"date_1904": is_1904})
    sheet = book.add_worksheet("one")
    formats = {code: book.add_format({"num_format": code}) for code in (DAY, CLOCK, BOTH, LENGTH)}
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            value, style = (cell[0], formats[cell[1]]) if isinstance(cell, tuple) else (cell, None)
            sheet.write(row, column, value, style)
    book.close()
    return data.getvalue()


def by_openpyxl(rows: list[list[float | tuple[float, str]]], is_1904: bool) -> bytes:
    data, book = io.BytesIO(), openpyxl.Workbook()
    if is_1904:
        book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    for row, cells in enumerate(rows, 1):
        for column, cell in enumerate(cells, 1):
            made = book.active.cell(row, column, cell[0] if isinstance(cell, tuple) else cell)
            if isinstance(cell, tuple):
                made.number_format = cell[1]
    book.save(data)
    return data.getvalue()


def by_xlwt(rows: list[list[float | tuple[float, str]]], is_1904: bool) -> bytes:
    xlwt = pytest.importorskip("xlwt")
    data, book = io.BytesIO(), xlwt.Workbook()
    book.dates_1904 = is_1904
    sheet = book.add_sheet("one")
    styles = {code: xlwt.easyxf(num_format_str=code) for code in (DAY, CLOCK, BOTH, LENGTH)}
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            sheet.write(row, column, *((cell[0], styles[cell[1]]) if isinstance(cell, tuple) else (cell,)))
    book.save(data)
    return data.getvalue()


def in_records(rows: list[list[float | tuple[float, str]]], is_1904: bool) -> bytes:
    """As an XLSB file, whole numbers in their short form."""
    styles = {DAY: DATE, CLOCK: TIME, BOTH: MOMENT}
    made: dict[int, list[Cell]] = {}
    for row, cells in enumerate(rows):
        made[row] = [_record(*cell, styles) if isinstance(cell, tuple) else _record(cell, "", {}) for cell in cells]
    return binary_workbook({"one": made}, is_1904=is_1904)


def _record(value: float | str, code: str, styles: dict[str, int]) -> Cell:
    if isinstance(value, str):
        return ("text", value)
    is_short = value.is_integer() and abs(value) < 2**29
    return ("integer" if is_short else "formula real", int(value) if is_short else value, styles.get(code, 0))


def wanted(number: float, code: str, is_1904: bool) -> str:
    """What stands in a column of texts for NUMBER: its moment, where there is one, or the number."""
    text = str(int(number)) if number.is_integer() else str(number)
    if code == LENGTH:
        if abs(number) == 1e9:
            return text
        minutes, seconds = divmod(round(abs(number) * 86400), 60)
        return f"{'-' * (number < 0)}{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    if not 1 <= number < (2957004 if is_1904 else 2958466):
        moment = dt.datetime(2000, 1, 1) + dt.timedelta(days=max(0, min(number, 1)))
        return str(moment.time()) if code == CLOCK and 0 <= number <= 0.5 else text
    if 60 <= number < 61 and not is_1904:
        return text
    start = dt.datetime(1904, 1, 1) if is_1904 else dt.datetime(1899, 12, 31 if number < 60 else 30)
    moment = start + dt.timedelta(days=number)
    return str(moment.date()) if moment.time() == dt.time() else str(moment)


@pytest.mark.parametrize("is_1904", [False, True])
@pytest.mark.parametrize(
    ("name", "book"), [("a.xlsx", by_xlsxwriter), ("a.xlsx", by_openpyxl), ("a.xls", by_xlwt), ("a.xlsb", in_records)]
)
def test_numbers_at_the_edges(bench: Bench, name: str, book: Book, is_1904: bool) -> None:
    codes = [DAY, CLOCK, BOTH, *([LENGTH] if name != "a.xlsb" else [])]
    rows: list[list[float | tuple[float, str]]] = [["number", "day", "clock", "both", "length"][: 1 + len(codes)]]  # type: ignore[list-item]
    rows += [[number, *((number, code) for code in codes)] for number in NUMBERS]
    done = bench.convert({name: book(rows, is_1904)})
    expected = [(number, *(wanted(number, code, is_1904) for code in codes)) for number in NUMBERS]
    assert done.rows == expected
    kept = sum(":" not in text and "-" not in text[1:] for _number, *texts in expected for text in texts)
    assert done.member.notes == (
        f"{kept} cells have the format of a day or time and a number that is none; such numbers stay as they are stored",
    )


@pytest.mark.parametrize("is_1904", [False, True])
@pytest.mark.parametrize("book", [by_xlsxwriter, by_openpyxl])
@pytest.mark.parametrize("odd", [0.0, -1.0, 60.0, 60.75, 2958466.0])
def test_one_late_in_a_plain_column(bench: Bench, book: Book, odd: float, is_1904: bool) -> None:
    """What reads plain sheets would make a day of it."""
    rows: list[list[float | tuple[float, str]]] = [["n", "day"]]  # type: ignore[list-item]
    rows += [[float(number), (odd if number == 399 else 45000.0 + number, DAY)] for number in range(400)]
    done = bench.convert({"a.xlsx": book(rows, is_1904)})
    assert str(done.rows[-1][1]) == wanted(odd, DAY, is_1904)
    assert str(done.rows[0][1])[:10] == wanted(45000.0, DAY, is_1904)
    assert bool(done.member.notes) == (odd < 60 or odd > 61 or not is_1904)


def in_small_sectors(data: bytes) -> bytes:
    """The old workbook DATA with its records in the sectors of 64 bytes that a container has for what's small."""
    last = data.rindex(b"\x0a\0\0\0", 512, 512 + 4096) + 4
    records = data[512:last]
    count, large = -(-len(records) // 64), -(-len(records) // 512)
    order = [*range(1, large + 1), 0]  # the container of the small ones is out of order
    chain = {3 + one: 3 + other for one, other in itertools.pairwise(order)} | {3 + order[-1]: 0xFFFFFFFE}
    fat = [0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFE, *(chain.get(3 + number, 0xFFFFFFFF) for number in range(125))]
    small = [*range(1, count), 0xFFFFFFFE, *[0xFFFFFFFF] * (128 - count)]
    entry = struct.Struct("<64sHBBIII36sIII").pack
    none = 0xFFFFFFFF
    directory = entry("Root Entry".encode("utf-16-le"), 22, 5, 1, none, none, 1, b"", 3 + order[0], count * 64, 0)
    directory += entry("Workbook".encode("utf-16-le"), 18, 2, 1, none, none, none, b"", 0, len(records), 0)
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIIII", data[:8], b"", 0x3E, 3, 0xFFFE, 9, 6, b"", 0, 1, 1, 0, 4096, 2, 1, 0xFFFFFFFE, 0, 0
    )
    sectors = {3 + place: records[at * 512 :][:512].ljust(512, b"\0") for at, place in enumerate(order)}
    body = [struct.pack("<128I", *fat), directory.ljust(512, b"\0"), struct.pack("<128I", *small)]
    body += [sectors[3 + number] for number in range(large + 1)]
    return header.ljust(512, b"\xff") + b"".join(body)


def test_an_old_workbook_in_small_sectors(bench: Bench) -> None:
    rows: list[list[float | tuple[float, str]]] = [["n", "day"]]  # type: ignore[list-item]
    rows += [[float(number), (60.0 if number == 49 else 45000.0, DAY)] for number in range(50)]
    small = in_small_sectors(by_xlwt(rows, is_1904=False))
    assert bench.convert({"a.xls": small}).rows == [(n, "60" if n == 49 else "2023-03-15") for n in range(50)]


@pytest.mark.parametrize("is_1904", [False, True])
def test_times_of_day_are_times_in_both_systems(bench: Bench, is_1904: bool) -> None:
    rows: list[list[float | tuple[float, str]]] = [["n", "t"], [1.0, (0.0, CLOCK)], [2.0, (0.75, CLOCK)]]  # type: ignore[list-item]
    done = bench.convert({"a.xlsx": by_xlsxwriter(rows, is_1904)})
    assert done.rows == [(1, dt.time(0)), (2, dt.time(18))]
    assert not done.member.notes


def test_sheets_of_other_spellings(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a prefix, blanks and other quotes, and cut into pieces of a few rows."""
    rows: list[list[float | tuple[float, str]]] = [["n", "day"]]  # type: ignore[list-item]
    rows += [[float(number), (60.0 if number % 7 == 0 else 45000.0, DAY)] for number in range(300)]
    plain = by_xlsxwriter(rows, is_1904=False)
    member = "xl/worksheets/sheet1.xml"
    prefixed = respelled(plain, member, "<(/?)([a-z])", r"<\1x:\2")
    prefixed = respelled(prefixed, member, "xmlns=", "xmlns:x=")
    quoted = respelled(plain, member, 's="([0-9]+)"><v>', r"s = '\1' >\n<v>")
    expected = [(number, "60" if number % 7 == 0 else "2023-03-15") for number in range(300)]
    monkeypatch.setattr(sheet_xml, "_PIECE", 2000)
    for data in (plain, prefixed, quoted):
        done = bench.convert({"a.xlsx": data})
        assert done.rows == expected
        assert done.member.notes[0].startswith("43 cells")
        assert "rows_of_errors_only" not in done.part.facts


def test_days_that_formulas_gave(bench: Bench) -> None:
    xlwt = pytest.importorskip("xlwt")
    data = io.BytesIO()
    book = xlsxwriter.Workbook(data)
    sheet, style = book.add_worksheet("one"), book.add_format({"num_format": DAY})
    sheet.write_row(0, 0, ["n", "day"])
    sheet.write_row(1, 0, [1, "x"])
    sheet.write(2, 0, 2)
    sheet.write_formula(2, 1, "=A1*0", style, 0)
    book.close()
    old, other = io.BytesIO(), xlwt.Workbook()
    page = other.add_sheet("one")
    for row, cells in enumerate([["n", "day"], [1, "x"], [2]]):
        for column, value in enumerate(cells):
            page.write(row, column, value)
    page.write(2, 1, xlwt.Formula("A1*60"), xlwt.easyxf(num_format_str=DAY))
    other.save(old)
    reckoned = old.getvalue().replace(struct.pack("<Q", 0xFFFF000000000003), struct.pack("<d", 60))
    assert bench.convert({"a.xlsx": data.getvalue()}).rows == [(1, "x"), (2, "0")]
    assert bench.convert({"a.xls": reckoned}).rows == [(1, "x"), (2, "60")]


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("General", Shown.NUMBER), ("0.00", Shown.NUMBER), ('0.0"days"', Shown.NUMBER), ("#,##0\\d", Shown.NUMBER), ("0_m", Shown.NUMBER),
        ("0;yyyy", Shown.NUMBER), ("[Red]0", Shown.NUMBER), ("*y0", Shown.NUMBER), ("[$-409]d-mmm-yy", Shown.DAY), ("dd.mm.yyyy", Shown.DAY),
        ("mmm", Shown.DAY), ("mm", Shown.DAY), ("yyyy-mm-dd hh:mm", Shown.DAY), ("d h:mm", Shown.DAY), ("mmm hh", Shown.DAY),
        ("hh:mm", Shown.CLOCK), ("mm:ss.0", Shown.CLOCK), ("h AM/PM", Shown.CLOCK), ('[$-F400]h:mm:ss\\ "h"', Shown.CLOCK), ("ss", Shown.CLOCK),
        ("[h]:mm", Shown.LENGTH), ("[mm]:ss", Shown.LENGTH), ("[Red][ss]", Shown.LENGTH), ("yyyy [h]", Shown.DAY),
    ],
)  # fmt: skip
def test_what_formats_show(code: str, shown: Shown) -> None:
    assert shown_by_code(code) is shown
    assert shown_by(200, {200: code}) is shown


def test_formats_that_every_file_knows() -> None:
    assert [shown_by(number, {}) for number in (0, 14, 20, 22, 46, 47, 49)] == [
        Shown.NUMBER, Shown.DAY, Shown.CLOCK, Shown.DAY, Shown.LENGTH, Shown.CLOCK, Shown.NUMBER,
    ]  # fmt: skip


@pytest.mark.parametrize("number", [27, 31, 36, 50, 54, 57, 58])
def test_formats_of_the_east(bench: Bench, number: int) -> None:
    """They have numbers only. 60 was February 28, and 0.5 of a day noon, in silence."""
    cells = [f'<c s="1"><v>{value}</v></c>' for value in ("60", "0.5", "45000")]
    done = bench.convert({"a.xlsx": book(table(*cells), styles=styles_of(number))})
    assert [row[0] for row in done.rows] == ["60", "0.5", "2023-03-15"]
    assert done.member.notes and done.member.notes[0].startswith("2 cells have the format of a day or time")


@pytest.mark.parametrize("number", [32, 35, 55, 56])
def test_formats_that_show_a_time_in_one_country_and_a_day_in_another(bench: Bench, number: int) -> None:
    for value, found in (("0.5", dt.time(12)), ("45000", dt.date(2023, 3, 15)), ("60", 60)):
        done = bench.convert({"a.xlsx": book(table(f'<c s="1"><v>{value}</v></c>'), styles=styles_of(number))})
        assert [row[0] for row in done.rows] == [found]


def test_days_of_open_documents_are_written_out(bench: Bench) -> None:
    """They count from no day, and what isn't one stays as it's written."""
    from odf.opendocument import OpenDocumentSpreadsheet
    from odf.table import Table, TableCell, TableRow
    from odf.text import P

    days = ["1899-12-30", "1899-12-31T06:00:00", "1900-02-28", "1900-02-29", "1900-03-01", "0001-01-01", "9999-12-31T23:59:59",
            "10000-01-01", "-0044-03-15"]  # fmt: skip
    times = ["PT00H00M00S", "PT06H30M00S", "PT36H00M00S", "-PT05H00M00S"]
    document, table = OpenDocumentSpreadsheet(), Table(name="one")
    for number in range(len(days)):
        row = TableRow()
        time = times[number % len(times)]
        cells = [{"valuetype": "float", "value": str(number)}, {"valuetype": "date", "datevalue": days[number]}]
        for values in (*cells, {"valuetype": "time", "timevalue": time}):
            cell = TableCell(**values)
            cell.addElement(P(text="what is shown"))
            row.addElement(cell)
        table.addElement(row)
    document.spreadsheet.addElement(table)
    data = io.BytesIO()
    document.write(data)
    shown = ["00:00:00", "06:30:00", "PT36H00M00S", "-PT05H00M00S"]
    expected = [(n, day.replace("T", " "), shown[n % len(shown)]) for n, day in enumerate(days)]
    assert bench.convert({"a.ods": data.getvalue()}).rows == expected
