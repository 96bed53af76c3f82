"""XML Spreadsheet 2003: its cells' own types, where they stand, and what is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest

from pipeline.model import Code
from stages.convert.workbooks import spreadsheet_ml, spreadsheet_sheet
from stages.convert.workbooks.sheet_days import Shown
from stages.convert.workbooks.spreadsheet_value import value_of
from tests.stages.convert.conftest import Bench, Converted

SPACE = "urn:schemas-microsoft-com:office:spreadsheet"
HEAD = '<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n'
STYLES = "".join(
    f'<Style ss:ID="{key}"><NumberFormat ss:Format="{code}"/></Style>'
    for key, code in (("day", "Short Date"), ("clock", "h:mm:ss;@"), ("short", "Short Time"), ("length", "[h]:mm:ss"))
)
DAY, MOMENT = dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 13, 14, 15, 120000)


def document(*sheets: tuple[str, str], more: str = "") -> str:
    """A workbook of SHEETS, each a name and its rows as XML."""
    inner = "".join(
        f"<Worksheet ss:Name={quoteattr(name)}><Names/><Table>{rows}</Table></Worksheet>" for name, rows in sheets
    )
    return (
        f'{HEAD}<Workbook xmlns="{SPACE}" xmlns:o="urn:schemas-microsoft-com:office:office" '
        f'xmlns:x="urn:schemas-microsoft-com:office:excel" xmlns:ss="{SPACE}">{more}<Styles>{STYLES}</Styles>{inner}</Workbook>'
    )


def cell(value: Any, more: str = "") -> str:
    if value is None:
        return f"<Cell{more}/>"
    kind, text = "String", escape(str(value))
    if isinstance(value, bool):
        kind, text = "Boolean", str(int(value))
    elif isinstance(value, (int, float)):
        kind = "Number"
    elif isinstance(value, dt.datetime):
        kind, text = "DateTime", value.isoformat(timespec="milliseconds")
    elif isinstance(value, dt.date):
        kind, text = "DateTime", f"{value}T00:00:00.000"
    return f'<Cell{more}><Data ss:Type="{kind}">{text}</Data></Cell>'


def row(*values: Any, more: str = "") -> str:
    cells = (value if str(value).startswith("<Cell") else cell(value) for value in values)
    return f"<Row{more}>{''.join(cells)}</Row>"


def read(bench: Bench, text: str, name: str = "a.xml", codec: str = "utf-8") -> Converted:
    return bench.convert({name: text.encode(codec)})


ROWS: list[list[Any]] = [
    ["id", "name", "price", "day", "at", "flag", "zip"],
    [1, "Ada <&> Größe 😀", 1.5, DAY, MOMENT, True, "01234"],
    [2, "two\nlines", -2e-7, DAY, MOMENT, False, " 9 "],
    [3, None, None, None, None, None, "x"],
]


@pytest.mark.parametrize("name", ["a.xml", "a.xls", "a", "a.txt"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "ascii"])
def test_cells_are_what_their_types_say(bench: Bench, name: str, codec: str) -> None:
    text = document(("one", "".join(row(*values) for values in ROWS)))
    if codec == "utf-16-le":
        text = "\ufeff" + text
    data = text.encode(codec, "xmlcharrefreplace" if codec == "ascii" else "strict")
    done = bench.convert({name: data})
    assert list(done.types.values()) == ["BIGINT", "VARCHAR", "DOUBLE", "DATE", "TIMESTAMP", "BOOLEAN", "VARCHAR"]
    assert list(done.types) == ROWS[0]
    assert done.rows == [tuple(values) for values in ROWS[1:]]
    assert not done.member.notes


@pytest.mark.parametrize("codec", ["iso-8859-1", "windows-1252"])
def test_encodings_that_are_declared(bench: Bench, codec: str) -> None:
    text = document(("one", row("id", "name") + row(1, "Größe") + row(2, "é")))
    text = text.replace('version="1.0"', f'version="1.0" encoding="{codec}"')
    assert read(bench, text, codec=codec).rows == [(1, "Größe"), (2, "é")]


def test_each_sheet_is_a_table(bench: Bench) -> None:
    rows = row("id", "name") + row(1, "x")
    done = read(bench, document(("one", rows), ("none", ""), ("A & B", rows + row(2, "y"))))
    assert [(part.title, part.rows) for part in done.results.tables] == [("one", 1), ("A & B", 2)]
    assert done.member.notes == ("empty sheets: none",)


def test_rows_and_cells_that_say_where_they_stand(bench: Bench) -> None:
    rows = (
        row("id", "a", cell("b", ' ss:Index="5"'), more=' ss:Index="3"')
        + row(1, cell("x", ' ss:Index="5"'))
        + row(more=' ss:Index="6" ss:Span="2"')
        + row(2, cell("y", ' ss:Index="2"'), cell("z", ' ss:Index="5"'))
        + row(3)
    )
    done = read(bench, document(("one", rows)))
    values = [tuple(value for name, value in line.items()) for line in done.frame(done.part).to_dicts()]
    assert values == [(1, None, None, None, "x"), (2, "y", None, None, "z"), (3, None, None, None, None)]
    assert done.part.facts["range"] == "A3:E10"


def test_tables_that_begin_elsewhere_and_beside_each_other(bench: Bench) -> None:
    rows = row(cell("id", ' ss:Index="3"'), "name", more=' ss:Index="5"') + row(cell(1, ' ss:Index="3"'), "a")
    assert read(bench, document(("one", rows))).rows == [(1, "a")]
    rows = row("id", "name", None, "k", "v") + row(1, "a", None, "x", 1.5) + row(2, "b", None, "y", 2.5)
    first, second = (done := read(bench, document(("one", rows)))).results.tables
    assert done.frame(first).rows() == [(1, "a"), (2, "b")]
    assert done.frame(second).rows() == [("x", 1.5), ("y", 2.5)]


def test_merged_headers(bench: Bench) -> None:
    rows = row(
        cell("region", ' ss:MergeDown="1"'), cell("2023", ' ss:MergeAcross="1"'), cell("2024", ' ss:MergeAcross="1"')
    )
    rows += row(cell("Q1", ' ss:Index="2"'), "Q2", "Q1", "Q2") + row("north", 1, 2, 3, 4) + row("south", 5, 6, 7, 8)
    done = read(bench, document(("one", rows)))
    assert list(done.types) == ["region", "2023 Q1", "2023 Q2", "2024 Q1", "2024 Q2"]
    assert done.rows == [("north", 1, 2, 3, 4), ("south", 5, 6, 7, 8)]


def test_texts_with_fonts_and_what_stands_beside_them(bench: Bench) -> None:
    rich = (
        '<Cell><ss:Data ss:Type="String" xmlns="http://www.w3.org/TR/REC-html40"><B>bo<!-- no -->ld</B> and <I>more</I>'
        '</ss:Data><Comment ss:Author="x"><ss:Data ss:Type="String"><B>a remark</B></ss:Data></Comment>'
        '<NamedCell ss:Name="n"/></Cell>'
    )
    plain = '<Cell><Data ss:Type="String"><![CDATA[a<b]]>&#10;c</Data></Cell>'
    done = read(bench, document(("one", row("id", "text") + row(1, rich) + row(2, plain))))
    assert done.rows == [(1, "bold and more"), (2, "a<b\nc")]


def test_prefixes_are_as_one_likes(bench: Bench) -> None:
    text = document(("one", row("id", "name") + row(1, "x")))
    for old, new in (
        ("<", "<s:"),
        ("<s:/", "</s:"),
        ("<s:?", "<?"),
        ("xmlns=", "xmlns:s="),
        (" ss:", " s:"),
        ("xmlns:ss=", "xmlns:t="),
    ):
        text = text.replace(old, new)
    assert read(bench, text).rows == [(1, "x")]
    bare = document(("one", row("id", "name") + row(1, "x"))).replace("ss:Type", "Type")
    assert read(bench, bare).rows == [(1, "x")]


def test_times_and_lengths_by_their_formats(bench: Bench) -> None:
    def moments(is_1904: bool) -> str:
        zero = dt.datetime(1904, 1, 1) if is_1904 else dt.datetime(1899, 12, 31)
        six, more = zero + dt.timedelta(hours=6), zero + dt.timedelta(hours=36)
        more_rows = "".join(
            row(number, cell(six, ' ss:StyleID="clock"'), cell(six, ' ss:StyleID="short"'), cell(more, ' ss:StyleID="length"'),
                cell(more, ' ss:StyleID="clock"'), cell(six, ' ss:StyleID="day"'))
            for number in (1, 2)
        )  # fmt: skip
        return row("id", "a", "b", "c", "d", "e") + more_rows

    done = read(bench, document(("one", moments(False))))
    six = dt.time(6)
    assert done.rows[0] == (1, six, six, "36:00:00", dt.datetime(1900, 1, 1, 12), dt.datetime(1899, 12, 31, 6))
    mac = "<x:ExcelWorkbook><x:Date1904/></x:ExcelWorkbook>"
    done = read(bench, document(("one", moments(True)), more=mac))
    assert done.rows[0] == (1, six, six, "36:00:00", dt.datetime(1904, 1, 2, 12), dt.datetime(1904, 1, 1, 6))


def test_styles_of_rows_and_columns(bench: Bench) -> None:
    six = dt.datetime(1899, 12, 31, 6)
    rows = '<Column/><Column ss:Index="2" ss:StyleID="clock" ss:Span="1"/><Column/>' + row("id", "a", "b", "c")
    rows += row(1, six, six, six) + row(2, six, six, six)
    assert read(bench, document(("one", rows))).rows[0] == (1, dt.time(6), dt.time(6), six)
    rows = row("id", "a") + row(1, six, more=' ss:StyleID="short"') + row(2, six, more=' ss:StyleID="short"')
    assert read(bench, document(("one", rows))).rows[0] == (1, dt.time(6))


def test_errors_and_formulas(bench: Bench) -> None:
    error = '<Cell ss:Formula="=1/0"><Data ss:Type="Error">#DIV/0!</Data></Cell>'
    rows = (
        row("id", "a") + row(1, error) + row(2, cell(5, ' ss:Formula="=2+3"')) + row(3, cell(None, ' ss:Formula="=1"'))
    )
    done = read(bench, document(("one", rows + row(cell(None), error))))
    assert done.rows == [(1, None), (2, 5), (3, None)]
    assert done.member.notes == (
        "formulas without a stored result, whose cells are NULL: 1 in one", "error values, whose cells are NULL: 2 in one",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("Number", "1.1000000000000001", 1.1), ("Number", "-5E-3", -0.005), ("Number", " 7 ", 7.0), ("Number", "9007199254740992", 2.0**53),
        ("Number", "9007199254740993", "9007199254740993"), ("Number", "12345678901234567890", "12345678901234567890"),
        ("Number", "0.12345678901234567891", "0.12345678901234567891"), ("Number", "1e999", "1e999"), ("Number", "-1e-999", "-1e-999"), ("Number", "5e-324", 5e-324), ("Number", "0e0", 0.0),
        ("Number", "1.23456789e-320", "1.23456789e-320"), ("Number", "1E5", 100000.0), ("Number", "-0.00000000000000000", -0.0), ("Number", "NaN", "NaN"),
        ("Number", "1e22", 1e22), ("Number", "", ""), ("Number", "1,5", "1,5"), ("Number", "  ", "  "), ("Number", "0001.50", 1.5),
        ("Boolean", "1", True), ("Boolean", "0", False), ("Boolean", "2", "2"), ("String", " 1 ", " 1 "), ("Other", "1", "1"),
        ("DateTime", "2024-02-29T00:00:00.000", dt.datetime(2024, 2, 29)), ("DateTime", "2024-02-29", dt.datetime(2024, 2, 29)),
        ("DateTime", "1900-02-29T00:00:00.000", "1900-02-29T00:00:00.000"), ("DateTime", "2024-02-29T01:02:03.1234567", "2024-02-29T01:02:03.1234567"),
        ("DateTime", "2024-02-29T01:02:03.1234560", dt.datetime(2024, 2, 29, 1, 2, 3, 123456)), ("DateTime", "10000-01-01T00:00:00", "10000-01-01T00:00:00"),
        ("DateTime", "2024-02-29T24:00:00", "2024-02-29T24:00:00"), ("DateTime", "45000", "45000"),
    ],
)  # fmt: skip
def test_values(kind: str, text: str, value: object) -> None:
    found = value_of(kind, text, Shown.NUMBER, is_1904=False)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("day", [1, 1.5, 59, 61, 100.25])
def test_lengths_count_the_day_that_never_was(day: float) -> None:
    start = dt.datetime(1899, 12, 30 if day > 60 else 31)
    text = (start + dt.timedelta(days=day)).isoformat()
    assert value_of("DateTime", text, Shown.LENGTH, is_1904=False) == dt.timedelta(days=day)


def refusal(done: Converted) -> Code | None:
    assert not done.results.tables
    return done.member.reason and done.member.reason.code


PLAIN = document(("one", row("id", "name") + row(1, "x")))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (PLAIN[:-20], Code.CORRUPT), (PLAIN.replace("</Cell>", "", 1), Code.CORRUPT), (document(("one", "")), Code.EMPTY), (document(), Code.EMPTY),
        (document(("one", row(1, more=' ss:Index="5"') + row(2, more=' ss:Index="5"'))), Code.CORRUPT),
        (document(("one", row(cell(1, ' ss:Index="5"'), cell(2, ' ss:Index="5"')))), Code.CORRUPT),
        (document(("one", row(cell(1, ' ss:Index="x"')))), Code.CORRUPT), (document(("one", row(f"<Cell>{cell(1)}</Cell>"))), Code.CORRUPT),
        (document(("one", row("id", cell("a", ' ss:MergeDown="-1"')))), Code.CORRUPT), (document(("one", row("<Cell/><Data>1</Data>"))), Code.CORRUPT), (document(("one", row(1) + cell(2))), Code.CORRUPT),
        (document(("one", row(1) + "<Worksheet/>")), Code.CORRUPT), (document(("one", f"<o:x>{row(1)}</o:x>{row(1)}")), Code.CORRUPT),
        (document(("one", row("<Cell><Data>1</Data><Data>2</Data></Cell>"))), Code.CORRUPT),
        (document(("one", row(1) + row(2, more=' ss:Index="99999999"'))), Code.TOO_LARGE),
        (document(("one", row(1, cell(2, ' ss:Index="9999999"')))), Code.TOO_LARGE),
        (document(("one", row(1, cell(2, ' ss:Index="99999999"')))), Code.CORRUPT),
    ],
)  # fmt: skip
def test_what_is_refused(bench: Bench, text: str, code: Code) -> None:
    assert refusal(read(bench, text)) == code


def test_entities_are_refused(bench: Bench) -> None:
    declared = PLAIN.replace(
        "<Workbook", '<!DOCTYPE Workbook [<!ENTITY e SYSTEM "file:///etc/hostname">]><Workbook'
    ).replace(">x<", ">&e;<")
    assert refusal(read(bench, declared)) == Code.UNSUPPORTED
    assert refusal(read(bench, declared.replace("SYSTEM ", ""))) == Code.UNSUPPORTED
    assert read(bench, PLAIN.replace("<Workbook", "<!DOCTYPE Workbook>\n<Workbook")).rows == [(1, "x")]
    source = HEAD + "<!-- -->" + PLAIN.removeprefix(HEAD)
    assert read(bench, source).rows == [(1, "x")]


def test_larger_than_is_held(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet_sheet, "MOST_CELLS", 7)
    assert read(bench, PLAIN).rows == [(1, "x")]  # two rows of two cells, and one for each row
    assert refusal(read(bench, document(("one", row("id", "name") * 3)))) == Code.TOO_LARGE
    monkeypatch.setattr(spreadsheet_ml, "LARGEST", 100)
    assert refusal(read(bench, PLAIN)) == Code.TOO_LARGE


def test_other_xml_stays_what_it_is(bench: Bench) -> None:
    text = f'<list xmlns:ss="{SPACE}"><item><a>1</a></item><item><a>2</a></item></list>'
    assert read(bench, text).rows == [(1,), (2,)]
    assert bench.convert({"a.xml": text.replace("list", "Workbook").replace(SPACE, "urn:x").encode()}).rows == [
        (1,),
        (2,),
    ]


def test_columns_of_one_sheet_say_nothing_of_another(bench: Bench) -> None:
    six = dt.datetime(1899, 12, 31, 6)
    rows = row("id", "a") + row(1, six) + row(2, six)
    styled = '<Column/><Column ss:StyleID="clock"/>' + rows
    first, second = (done := read(bench, document(("one", styled), ("two", rows)))).results.tables
    assert [done.frame(part).rows()[0] for part in (first, second)] == [(1, dt.time(6)), (1, six)]


def test_a_row_that_only_one_parser_sees_is_no_table(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    add = spreadsheet_sheet.Sheet.add
    monkeypatch.setattr(
        spreadsheet_sheet.Sheet, "add", lambda sheet, values: add(sheet, [] if values[:1] == [2.0] else values)
    )
    text = document(("one", row("id", "name") + row(1, "x") + row(2, "y")))
    assert refusal(read(bench, text)) == Code.INTERNAL
