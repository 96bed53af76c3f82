"""Workbooks: what each cell is decides its column's type; regions, headers, dates and damage."""

from __future__ import annotations

import datetime as dt
import io
import zipfile

import pytest

from pipeline.model import Code
from scripts.fuzz.seeds import ODS_CONTENT, open_document
from tests.stages.convert.conftest import Bench
from tests.stages.convert.workbooks import Error, respelled, workbook

DAY, MOMENT, CLOCK = dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 13, 14, 15), dt.time(1, 2, 3)
PLAIN = [
    ["id", "name", "price", "day", "at", "flag", "zip"],
    [1, "Ada", 1.5, DAY, MOMENT, True, "01234"],
    [2, "Grace", 2.25, DAY, MOMENT, False, "99999"],
    [3, None, None, None, None, None, None],
]


def test_a_plain_sheet(bench: Bench) -> None:
    done = bench.convert({"a.xlsx": workbook({"data": PLAIN})})
    assert done.types == {
        "id": "BIGINT",
        "name": "VARCHAR",
        "price": "DOUBLE",
        "day": "DATE",
        "at": "TIMESTAMP",
        "flag": "BOOLEAN",
        "zip": "VARCHAR",
    }
    assert done.rows == [tuple(row) for row in PLAIN[1:]]


def test_columns_of_mixed_cells_are_text(bench: Bench) -> None:
    rows = [["a", "b", "c", "d"], [1, True, DAY, 0.1], ["x", 2.5, MOMENT, 1 / 3], [2.5, None, 7, "n/a"]]
    done = bench.convert({"a.xlsx": workbook({"data": rows})})
    assert done.rows == [
        ("1", "TRUE", "2024-02-29", "0.1"),
        ("x", "2.5", "2024-02-29 13:14:15", "0.3333333333333333"),
        ("2.5", None, "7", "n/a"),
    ]


def test_times_of_day(bench: Bench) -> None:
    done = bench.convert({"a.xlsx": workbook({"data": [["t", "n"], [CLOCK, 1], [CLOCK, 2]]})})
    assert done.types == {"t": "TIME_NS", "n": "BIGINT"}
    assert done.rows == [(CLOCK, 1), (CLOCK, 2)]


def test_sheets_are_tables_and_empty_ones_are_named(bench: Bench) -> None:
    done = bench.convert({"a.xlsx": workbook({"one": PLAIN, "none": [], "two": [["x", "y"], [1, "a"]]})})
    assert [(part.title, part.rows) for part in done.results.tables] == [("one", 3), ("two", 1)]
    assert done.member.notes == ("empty sheets: none",)


def test_a_title_above_and_blank_rows_within(bench: Bench) -> None:
    rows = [["Report 2024"], [], ["id", "name"], [1, "a"], [], [2, "b"]]
    done = bench.convert({"a.xlsx": workbook({"data": rows})})
    assert done.rows == [(1, "a"), (2, "b")]
    assert done.part.facts["skipped_before_data"].strip() == "Report 2024"


def test_tables_below_each_other(bench: Bench) -> None:
    rows = [["id", "name"], [1, "a"], [2, "b"], [], ["code", "price", "day"], ["x", 1.5, DAY], ["y", 2.5, DAY]]
    done = bench.convert({"a.xlsx": workbook({"data": rows})})
    first, second = done.results.tables
    assert done.frame(first).rows() == [(1, "a"), (2, "b")]
    assert done.frame(second).rows() == [("x", 1.5, DAY), ("y", 2.5, DAY)]
    assert [part.title for part in done.results.tables] == ["1", "2"]


def test_tables_beside_each_other(bench: Bench) -> None:
    rows = [["id", "name", None, "k", "v"], [1, "a", None, "x", 1.5], [2, "b", None, "y", 2.5], [3, "c"]]
    done = bench.convert({"a.xlsx": workbook({"data": rows})})
    first, second = done.results.tables
    assert done.frame(first).rows() == [(1, "a"), (2, "b"), (3, "c")]
    assert done.frame(second).rows() == [("x", 1.5), ("y", 2.5)]


def test_merged_headers_are_joined(bench: Bench) -> None:
    rows = [
        ["region", "2023", None, "2024", None],
        [None, "Q1", "Q2", "Q1", "Q2"],
        ["north", 1, 2, 3, 4],
        ["south", 5, 6, 7, 8],
    ]
    done = bench.convert({"a.xlsx": workbook({"data": rows}, merges=["A1:A2", "B1:C1", "D1:E1"])})
    assert list(done.types) == ["region", "2023 Q1", "2023 Q2", "2024 Q1", "2024 Q2"]
    assert done.rows == [("north", 1, 2, 3, 4), ("south", 5, 6, 7, 8)]


def test_merged_cells_that_are_named_backwards(bench: Bench) -> None:
    rows = [["region", "2023", None], [None, "Q1", "Q2"], ["north", 1, 2], ["south", 5, 6]]
    done = bench.convert({"a.xlsx": workbook({"data": rows}, merges=["A2:A1", "C1:B1"])})
    assert list(done.types) == ["region", "2023 Q1", "2023 Q2"]
    assert done.rows == [("north", 1, 2), ("south", 5, 6)]


def test_a_sheet_that_starts_elsewhere(bench: Bench) -> None:
    rows = [[], [None, None], [None, None, "id", "name"], [None, None, 1, "a"], [None, None, 2, "b"]]
    done = bench.convert({"a.xlsx": workbook({"data": rows})})
    assert done.rows == [(1, "a"), (2, "b")]


def test_no_header(bench: Bench) -> None:
    done = bench.convert({"a.xlsx": workbook({"data": [[1, "a", 2.5], [2, "b", 3.5], [3, "c", 4.5]]})})
    assert done.rows == [(1, "a", 2.5), (2, "b", 3.5), (3, "c", 4.5)]
    assert list(done.types) == ["column_1", "column_2", "column_3"]


def test_error_cells_are_null_and_counted(bench: Bench) -> None:
    done = bench.convert({"a.xlsx": workbook({"data": [["a", "b"], [1, "x"], [Error("#DIV/0!"), "y"]]})})
    assert done.rows == [(1, "x"), (None, "y")]
    assert done.part.facts["error_cells"] == 1


def test_large_numbers_stay_what_they_are(bench: Bench) -> None:
    done = bench.convert({"a.xlsx": workbook({"data": [["a", "b"], [2**53 + 2, 1], [1, 2]]})})
    assert done.types == {"a": "DOUBLE", "b": "BIGINT"}
    assert done.rows == [(float(2**53 + 2), 1), (1.0, 2)]


def test_text_only(bench: Bench) -> None:
    done = bench.convert({"a.xlsx": workbook({"data": PLAIN})}, types="text")
    assert done.rows[0] == ("1", "Ada", "1.5", "2024-02-29", "2024-02-29 13:14:15", "TRUE", "01234")


@pytest.mark.parametrize("cut", [10, 200, 700])
def test_a_cut_workbook(bench: Bench, cut: int) -> None:
    done = bench.convert({"a.xlsx": workbook({"data": PLAIN})[:-cut]})
    assert done.member.outcome == "rejected"
    assert done.member.reason is not None
    assert done.member.reason.code in (Code.TRUNCATED, Code.CORRUPT)


def test_a_zip_that_is_no_workbook(bench: Bench) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("x.txt", "x")
    done = bench.convert({"a.xlsx": data.getvalue()})
    assert done.member.reason is not None
    assert done.member.reason.code == Code.CORRUPT


def test_one_too_large_is_refused_before_it_is_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.convert.workbooks import workbook as family

    monkeypatch.setattr(family, "LARGEST", 1000)
    done = bench.convert({"a.xlsx": workbook({"data": PLAIN})})
    assert done.member.reason is not None
    assert done.member.reason.code == Code.TOO_LARGE


def test_a_sheet_that_claims_to_be_the_largest(bench: Bench) -> None:
    data = workbook({"data": PLAIN})
    large = respelled(data, "xl/worksheets/sheet1.xml", 'dimension ref="[^"]*"', 'dimension ref="A1:XFD1048576"')
    assert bench.convert({"a.xlsx": large}).rows == [tuple(row) for row in PLAIN[1:]]


def test_lengths_of_time_over_a_day(bench: Bench) -> None:
    data = workbook({"data": [["id", "length"], [1, dt.time(6)], [2, dt.time(1)]]})
    data = respelled(data, "xl/styles.xml", 'numFmtId="21"', 'numFmtId="46"')
    data = respelled(data, "xl/worksheets/sheet1.xml", "<v>0.25</v>", "<v>1.5</v>")
    assert bench.convert({"a.xlsx": data}).rows == [(1, "36:00:00"), (2, "1:00:00")]


def test_open_documents_of_one_file_and_encrypted_ones(bench: Bench) -> None:
    packed = open_document()
    flat = ODS_CONTENT.replace("-content", "").replace(
        'office:version="1.3"', 'office:version="1.3" office:mimetype="application/vnd.oasis.opendocument.spreadsheet"'
    )
    done = bench.convert({"a.ods": packed, "b.fods": flat.encode(), "c": b"\xef\xbb\xbf" + flat.encode()})
    first, second, third = (done.frame(part) for part in done.results.tables)
    assert first.rows() == second.rows() == third.rows()
    assert first.height == 3
    hidden = respelled(packed, "META-INF/manifest.xml", "/>", "><manifest:encryption-data/></manifest:file-entry>")
    hidden = respelled(hidden, "content.xml", "(?s).*", "what nobody can read")
    reason = bench.convert({"a.ods": hidden}).member.reason
    assert reason is not None
    assert reason.code == Code.ENCRYPTED
