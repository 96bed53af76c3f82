"""Files that are odd but valid, from the writers that people use: right rows, or a reason."""

from __future__ import annotations

import datetime as dt
import io
import json
import sqlite3
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline.model import Code
from tests.stages.convert.conftest import Bench

THREE = (1, None, 3)


def arrow(column: Any) -> bytes:
    table = pa.table({"v": column})
    data = io.BytesIO()
    with pa.ipc.new_file(data, table.schema) as writer:
        writer.write_table(table)
    return data.getvalue()


UNION = pa.UnionArray.from_dense(
    pa.array([0, 1, 0], pa.int8()), pa.array([0, 0, 1], pa.int32()), [pa.array([1, 2]), pa.array(["x"])]
)
COLUMNS: list[tuple[Any, str, list[Any]]] = [
    (pa.nulls(2), "VARCHAR", [None, None]),
    (pa.array([1.5, None], pa.float16()), "FLOAT", [1.5, None]),
    (pa.array([2**64 - 1], pa.uint64()), "UBIGINT", [2**64 - 1]),
    (pa.array([Decimal("1.50")], pa.decimal256(60, 2)), "VARCHAR", ["1.50"]),
    (pa.array([Decimal(1500)], pa.decimal128(5, -2)), "DECIMAL(38,0)", [Decimal(1500)]),
    (pa.array([dt.date(1, 1, 1)], pa.date64()), "DATE", [dt.date(1, 1, 1)]),
    (pa.array([7], pa.timestamp("s")), "TIMESTAMP", [dt.datetime(1970, 1, 1, 0, 0, 7)]),
    (pa.array([7], pa.duration("ns")), "BIGINT", [7]),
    (pa.array([pa.MonthDayNano([1, 2, 3])]), "VARCHAR", ["[1,2,3]"]),
    (pa.array(["a", "longer than twelve bytes"], pa.string_view()), "VARCHAR", ["a", "longer than twelve bytes"]),
    (pa.Array.from_buffers(pa.string_view(), 1, [pa.py_buffer(b"\0"), pa.py_buffer(b"\xdc" * 16)]), "VARCHAR", [None]),
    (pa.array([b"\x00\xff"], pa.binary(2)), "BLOB", [b"\x00\xff"]),
    (pa.array([[1], None, []], pa.list_view(pa.int32())), "INTEGER[]", [[1], None, []]),
    (pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int64())), 'STRUCT("key" VARCHAR, "value" BIGINT)[]',
     [[{"key": "k", "value": 1}, {"key": "k", "value": 2}]]),
    (pa.array([{}], pa.struct([])), "VARCHAR", ["{}"]),
    (pa.array(["a", "b", "a"]).dictionary_encode(), "VARCHAR", ["a", "b", "a"]),
    (pa.DictionaryArray.from_arrays([0, 1, 0], [[1], [2]]), "VARCHAR", ["[1]", "[2]", "[1]"]),
    (pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), ["a", "b"]), "VARCHAR", ["a", "a", "b"]),
    (UNION, "VARCHAR", ["1", '"x"', "2"]),
    (pa.array([uuid.UUID(int=5).bytes, None], pa.uuid()), "VARCHAR", [str(uuid.UUID(int=5)), None]),
    (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None], pa.int8())), "BOOLEAN", [True, None]),
    (pa.array([Decimal("1.5")], pa.decimal256(38, 1)), "DECIMAL(38,1)", [Decimal("1.5")]),
    (pa.array([Decimal(1500)], pa.decimal256(50, -2)), "VARCHAR", ["1500"]),
    (pa.array([0], pa.timestamp("ms", "+05:30")), "TIMESTAMP WITH TIME ZONE", [dt.datetime(1970, 1, 1, tzinfo=dt.UTC)]),
    (pa.array([0], pa.timestamp("us", "Mars/Olympus")), "TIMESTAMP WITH TIME ZONE", [dt.datetime(1970, 1, 1, tzinfo=dt.UTC)]),
    (pa.StructArray.from_arrays([pa.array([1]), pa.array(["x"])], ["a", "a"]), 'STRUCT("a" BIGINT, "a_2" VARCHAR)',
     [{"a": 1, "a_2": "x"}]),
    (pa.StructArray.from_arrays([pa.array([1])], ['q"']), 'STRUCT("q""" BIGINT)', [{'q"': 1}]),
    (pa.ListArray.from_arrays([0, None, 2, 3], pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), ["a", "b"])),
     "VARCHAR[]", [["a", "a"], None, ["b"]]),
]  # fmt: skip


@pytest.mark.parametrize(("column", "kind", "wanted"), COLUMNS, ids=[str(column.type)[:40] for column, *_ in COLUMNS])
def test_arrow_types(bench: Bench, column: Any, kind: str, wanted: list[Any]) -> None:
    done = bench.convert({"a.arrow": arrow(column)})
    assert done.types == {"v": kind}
    assert done.frame(done.part).to_dict(as_series=False)["v"] == wanted


def test_columnar_files_without_rows_or_columns(bench: Bench) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", "y"]})
    data = io.BytesIO()
    parquet.write_table(table.select([]), data)
    done = bench.convert({"a.parquet": data.getvalue(), "b.arrow": arrow(pa.array([], pa.int64()))})
    nothing, empty = done.results.members
    assert nothing.reason is not None
    assert nothing.reason.code == Code.EMPTY
    assert empty.outcome == "converted"
    assert done.part.rows == 0


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "bzip2", "xz", "zstandard", "lz4"])
def test_avro_codecs(bench: Bench, codec: str) -> None:
    import fastavro

    data = io.BytesIO()
    schema = {"type": "record", "name": "r", "fields": [{"name": "v", "type": ["null", "long"]}]}
    fastavro.writer(data, schema, [{"v": value} for value in THREE], codec=codec)
    assert bench.convert({"a.avro": data.getvalue()}).rows == [(1,), (None,), (3,)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"5", [{"value": 5}]),
        (b'{"a":1,"a":2}', [{"a": 1, "a_2": 2}]),
        (b'[{"a":1,"a":2},{"a":3}]', [{"a": 1, "a_2": 2}, {"a": 3, "a_2": None}]),
        (b'{"a":1}{"a":2} {"a":3}', [{"a": 1}, {"a": 2}, {"a": 3}]),
        (b'\x1e{"a":1}\n\x1e{"a":2}\n', [{"a": 1}, {"a": 2}]),
        (b'[{"a":' + b"9" * 5000 + b"}]", [{"a": "9" * 5000}]),
        (b'[{"a":1e-400},{"a":1}]', [{"a": "1E-400"}, {"a": "1"}]),
        (b'[{"a":"\\ud83d\\ude00"}]', [{"a": "\U0001f600"}]),
        (json.dumps([{"m": {f"k{number}": number for number in range(300)}}]).encode(),
         [{"m": json.dumps({f"k{number}": number for number in range(300)}, separators=(",", ":"))}]),
    ],
)  # fmt: skip
def test_json(bench: Bench, text: bytes, wanted: list[dict[str, Any]]) -> None:
    files = {"a.json": text}
    if text.startswith(b"[{"):  # then its records may have a line each, too
        files["a.ndjson"] = text[1:-1].replace(b"},{", b"}\n{") + b"\n"
    done = bench.convert(files)
    assert [done.frame(part).to_dicts() for part in done.results.tables] == [wanted] * len(files)


def test_json_nested_without_end(bench: Bench) -> None:
    done = bench.convert({"a.json": b"[" * 500 + b"]" * 500, "b.json": b"[" * 100_000})
    deep, deeper = done.results.members
    assert deep.outcome == "converted"
    assert deeper.reason is not None
    assert deeper.reason.code == Code.TOO_DEEP


def openpyxl_book(fill: Callable[[Any], None]) -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    book, data = openpyxl.Workbook(), io.BytesIO()
    fill(book)
    book.save(data)
    return data.getvalue()


def xlsxwriter_book(fill: Callable[[Any], None], **options: Any) -> bytes:
    xlsxwriter = pytest.importorskip("xlsxwriter")
    data = io.BytesIO()
    book = xlsxwriter.Workbook(data, {"in_memory": True, **options})
    fill(book)
    book.close()
    return data.getvalue()


def test_chart_sheets_and_hidden_sheets(bench: Bench) -> None:
    def fill(book: Any) -> None:
        book.active.append(["id", "name"])
        book.active.append([1, "a"])
        book.create_chartsheet("chart")
        hidden = book.create_sheet("hidden")
        hidden.append(["x", "y"])
        hidden.append([2, "b"])
        hidden.sheet_state = "veryHidden"

    done = bench.convert({"a.xlsx": openpyxl_book(fill)})
    assert [(part.title, done.frame(part).rows()) for part in done.results.tables] == [
        ("Sheet", [(1, "a")]),
        ("hidden", [(2, "b")]),
    ]


@pytest.mark.parametrize("is_1904", [False, True])
def test_dates_of_both_epochs(bench: Bench, is_1904: bool) -> None:
    def fill(book: Any) -> None:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["id", "day"])
        for row in (1, 2, 3):
            sheet.write(row, 0, row)
            sheet.write_datetime(row, 1, dt.datetime(2024, 1, row), book.add_format({"num_format": "d mmm yyyy"}))

    done = bench.convert({"a.xlsx": xlsxwriter_book(fill, date_1904=is_1904)})
    assert done.rows == [(row, dt.date(2024, 1, row)) for row in (1, 2, 3)]


@pytest.mark.parametrize("has_dimension", [True, False])
def test_cells_far_apart(bench: Bench, has_dimension: bool) -> None:
    """The engine would make room for 17 thousand million cells, which ends the process."""

    def fill(book: Any) -> None:
        sheet = book.add_worksheet()
        sheet.write(0, 0, "a")
        sheet.write(1_048_575, 16_383, 5)

    data = xlsxwriter_book(fill)
    if not has_dimension:
        data = without_dimension(data)
    done = bench.convert({"a.xlsx": data})
    assert done.member.reason is not None
    assert done.member.reason.code == Code.TOO_LARGE


def without_dimension(data: bytes) -> bytes:
    import re
    import zipfile

    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(made, "w") as after:
        for name in before.namelist():
            after.writestr(name, re.sub(rb"<dimension [^>]*>", b"", before.read(name)))
    return made.getvalue()


def test_dates_beyond_the_calendar(bench: Bench) -> None:
    def fill(book: Any) -> None:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["id", "day"])
        for row, day in enumerate((1, 61, 2_958_466), 1):
            sheet.write(row, 0, row)
            sheet.write_number(row, 1, day, book.add_format({"num_format": "yyyy-mm-dd"}))

    done = bench.convert({"a.xlsx": xlsxwriter_book(fill)})
    assert done.member.outcome == "converted"
    assert done.part.rows == 3


def test_an_old_workbook(bench: Bench) -> None:
    xlwt = pytest.importorskip("xlwt")
    book, data = xlwt.Workbook(), io.BytesIO()
    sheet = book.add_sheet("one")
    for row, values in enumerate([["id", "name", "half"], [1, "Größe", 0.5], [2, "b", 1.5]]):
        for column, value in enumerate(values):
            sheet.write(row, column, value)
    book.save(data)
    assert bench.convert({"a.xls": data.getvalue()}).rows == [(1, "Größe", 0.5), (2, "b", 1.5)]


def test_an_open_document(bench: Bench) -> None:
    table, spreadsheet, text = (pytest.importorskip(f"odf.{name}") for name in ("table", "opendocument", "text"))
    document, data = spreadsheet.OpenDocumentSpreadsheet(), io.BytesIO()
    sheet = table.Table(name="one")
    for times, (first, second) in ((1, ("id", "name")), (1, ("1", "a\nb")), (3, ("7", "c"))):
        row = table.TableRow(numberrowsrepeated=times)
        for value in (first, second):
            is_number = value.isdigit()
            cell = table.TableCell(valuetype="float", value=value) if is_number else table.TableCell(valuetype="string")
            for line in value.split("\n"):
                cell.addElement(text.P(text=line))
            row.addElement(cell)
        sheet.addElement(row)
    document.spreadsheet.addElement(sheet)
    document.write(data)
    assert bench.convert({"a.ods": data.getvalue()}).rows == [(1, "a\nb"), (7, "c"), (7, "c"), (7, "c")]


@pytest.mark.parametrize("name", ["a.xls", "a.xlsx"])
def test_text_named_as_a_workbook(bench: Bench, name: str) -> None:
    assert bench.convert({name: b"id\tname\n1\tx\n2\ty\n"}).rows == [(1, "x"), (2, "y")]


def test_sqlite_of_another_encoding_and_text_of_none(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    base = sqlite3.connect(path)
    base.executescript("PRAGMA encoding = 'UTF-16'; CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'é');")
    base.close()
    assert bench.convert({"a.db": path.read_bytes()}).rows == [(1, "é")]
    other = sqlite3.connect(tmp_path / "b.db")
    other.executescript("CREATE TABLE t (a TEXT); INSERT INTO t VALUES (CAST(x'ff41' AS TEXT));")
    other.close()
    assert bench.convert({"b.db": (tmp_path / "b.db").read_bytes()}).rows == [("ÿA",)]


def test_a_bug_met_by_one_file_leaves_the_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.convert.json_files import json_document

    def fails(*_: Any) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(json_document, "_read", fails)
    done = bench.convert({"a.json": b"[1]", "b.csv": b"a,b\n1,2\n"})
    bad, good = done.results.members
    assert bad.reason is not None
    assert bad.reason.code == Code.INTERNAL
    assert good.outcome == "converted"


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_lines_of_json_under_another_name_may_begin_with_a_bad_one(bench: Bench, bad: int) -> None:
    lines = [b'{"a":1}', b'{"a":2}', b'{"a":3}']
    lines[bad] = b'{"a":"\0"}'
    done = bench.convert({"a.json": b"\n".join(lines) + b"\n"})
    assert done.part.rows == 2
    (reject,) = done.rejects(done.part)
    assert reject["line"] == bad + 1


def test_half_of_a_surrogate_pair_in_a_line_is_called_that(bench: Bench) -> None:
    done = bench.convert({"a.ndjson": b'{"a":"x"}\n{"a":"\\ud800"}\n{"a":"y"}\n'})
    (reject,) = done.rejects(done.part)
    assert "surrogate" in reject["reason"] and done.part.rows == 2
