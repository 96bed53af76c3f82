"""Binary workbooks: XLSB, record by record, and XLS with what its engine doesn't look at."""

from __future__ import annotations

import datetime as dt
import io
import struct

import pytest

from pipeline.model import Code
from tests.stages.convert.binary_workbooks import DATE, MOMENT, TIME, Cell, binary_workbook
from tests.stages.convert.conftest import Bench, Converted

SHARED = ["id", "name", "v", "day", "at", "time", "flag", "Größe 😀"]
ROWS: dict[int, list[Cell]] = {
    0: [("shared", index) for index in range(7)],
    1: [("integer", 1), ("shared", 7), ("short", 0.5), ("integer", 45000, DATE), ("real", 45000.5, MOMENT), ("real", 0.25, TIME),
        ("boolean", 1)],
    2: [("integer", -2), ("rich text", "rich"), ("hundredths", 12345), ("integer", 45001, DATE), ("formula real", 45001.25, MOMENT),
        ("real", 0.5, TIME), ("formula boolean", 0)],
    3: [("real", 3.0), ("formula text", "x"), ("error", 7), ("real", 45002.0, DATE), ("formula error", 42), ("blank", None), None],
}  # fmt: skip
DAY = dt.date(2023, 3, 15)
NOON = dt.datetime(2023, 3, 15, 12)
WANTED = [
    (1, SHARED[7], 0.5, DAY, NOON, dt.time(6), True),
    (-2, "rich", 123.45, DAY + dt.timedelta(1), NOON + dt.timedelta(hours=18), dt.time(12), False),
    (3, "x", None, DAY + dt.timedelta(2), None, None, None),
]


@pytest.mark.parametrize("name", ["a.xlsb", "a"])
def test_every_kind_of_cell(bench: Bench, name: str) -> None:
    assert bench.convert({name: binary_workbook({"one": ROWS, "none": {}}, SHARED)}).rows == WANTED


def test_the_other_epoch_and_texts_of_many_bytes(bench: Bench) -> None:
    rows: dict[int, list[Cell]] = {0: [("text", "id"), ("text", "day"), ("text", "long")]}
    rows |= {n: [("integer", n), ("integer", n, DATE), ("rich text", "ä" * 100 * n)] for n in (1, 2, 9)}
    done = bench.convert({"a.xlsb": binary_workbook({"one": rows}, is_1904=True)})
    assert done.rows == [(n, dt.date(1904, 1, n + 1), "ä" * 100 * n) for n in (1, 2, 9)]


def code(done: Converted) -> Code | None:
    assert not done.results.tables
    return done.member.reason and done.member.reason.code


def test_cells_far_apart_and_damage(bench: Bench) -> None:
    far: dict[int, list[Cell]] = {0: [("integer", 1)], 1_048_575: [None] * 16_383 + [("integer", 2)]}
    assert code(bench.convert({"a.xlsb": binary_workbook({"one": far})})) == Code.TOO_LARGE
    data = binary_workbook({"one": ROWS}, SHARED)
    assert code(bench.convert({"a.xlsb": data[:-300]})) in (Code.CORRUPT, Code.TRUNCATED)


def old_workbook() -> bytes:
    xlwt = pytest.importorskip("xlwt")
    book, data = xlwt.Workbook(), io.BytesIO()
    sheet = book.add_sheet("one")
    for row, values in enumerate([["id", "name"], [1, "a"], [2, "b" * 9000]]):
        for column, value in enumerate(values):
            sheet.write(row, column, value)
    book.save(data)
    return data.getvalue()


@pytest.mark.parametrize("name", ["a.xls", "a", "a.csv"])
def test_old_workbooks_are_known_by_their_content(bench: Bench, name: str) -> None:
    assert bench.convert({name: old_workbook()}).rows == [(1, "a"), (2, "b" * 9000)]


def test_old_workbooks_with_a_password(bench: Bench) -> None:
    """The engine takes the weakest kind of encryption for none."""
    data = old_workbook()
    second = 512 + 20  # the record after the first one of the first stream
    for before in (b"", b"\x86\x00\x00\x00"):
        record = before + b"\x2f\x00\x06\x00\x00\x00"
        assert code(bench.convert({"a.xls": data[:second] + record + data[second + len(record) :]})) == Code.ENCRYPTED


def test_damaged_old_workbooks_and_documents_of_other_kinds(bench: Bench) -> None:
    data = old_workbook()
    assert code(bench.convert({"a.xls": data[:-100]})) == Code.CORRUPT  # by which the engine panics
    hidden = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le")
    done = bench.convert({"a": hidden, "a.docx": hidden, "a.doc": hidden[:512], "a.xlsx": hidden})
    unnamed, document, other, sheet = done.results.members
    assert (document.outcome, other.outcome) == ("kept", "kept")
    for member in (unnamed, sheet):
        assert member.reason is not None
        assert member.reason.code == Code.ENCRYPTED


def test_a_chain_of_sectors_that_leads_back(bench: Bench) -> None:
    """The engine would follow it until no memory is left."""
    data = bytearray(old_workbook())
    table = 512 * (1 + int.from_bytes(data[76:80], "little"))
    data[table + 4 * 3 : table + 4 * 4] = (1).to_bytes(4, "little")
    assert code(bench.convert({"a.xls": bytes(data)})) == Code.CORRUPT


def test_a_sheet_of_too_many_columns(bench: Bench) -> None:
    wide: dict[int, list[Cell]] = {0: [("integer", 1)] + [None] * 30_000 + [("integer", 2)]}
    assert code(bench.convert({"a.xlsb": binary_workbook({"one": wide})})) == Code.TOO_LARGE


@pytest.mark.parametrize("claim", [(0, 2**31, 0, 2), (7, 3, 0, 2), (0, 65_536, 0, 60_000)])
def test_an_old_workbook_that_claims_too_many_cells(bench: Bench, claim: tuple[int, int, int, int]) -> None:
    """The engine would ask for room for all of them, and end the process."""
    data = old_workbook()
    at = data.index(b"\x00\x02\x0e\x00") + 4
    assert code(bench.convert({"a.xls": data[:at] + struct.pack("<IIHH", *claim) + data[at + 12 :]})) == Code.TOO_LARGE
