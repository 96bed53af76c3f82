"""What programs write for a table, and files so small that there is little to judge by."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from tests.stages.convert.pollution import Polluted, Rows, Style, Table, line, text_of
from tests.stages.convert.pollution_records import cell_ways, header_ways, quote_ways, record_ways
from tests.stages.convert.pollution_systematic import bases, delimiter_ways, file_ways, is_flat, joined, stripped


def program_ways(table: Table) -> Iterator[Polluted]:
    header, rows = table.header, table.rows
    lines = text_of(table)

    def case(way: str, data: bytes, names: list[str] | None = header, kept: Rows = rows) -> Polluted:
        as_it_stands = [[_tab_escaped(cell) for cell in row] for row in rows]
        return Polluted(f"program: {way}", data, names, kept, ((names, as_it_stands),))

    tabs = joined(text_of(table, Style(delimiter="\t")), "\r\n")
    yield case("Excel, Unicode text", tabs.decode().encode("utf-16"))
    yield case("Excel, Europe", b"\xef\xbb\xbf" + joined(text_of(table, Style(delimiter=";")), "\r\n"))
    filled = [[*header, "", ""], *[[*row, "", ""] for row in rows], *[[""] * (len(header) + 2)] * 5]
    yield case("Excel, used range too wide", joined([line(row, Style()) for row in filled], "\r\n"))
    yield case("LibreOffice, all text quoted", joined([_text_quoted(row) for row in (header, *rows)]))
    yield case("mysqldump --tab", joined(["\t".join(map(_tab_escaped, row)) for row in rows]), None)
    yield case("INTO OUTFILE, enclosed", joined([",".join(map(_outfile, row)) for row in rows]), None)
    yield case("INTO OUTFILE, no line end", joined([",".join(map(_outfile, row)) for row in rows], "\r\n")[:-2], None)
    copied = ["\t".join(map(_tab_escaped, row)) for row in rows]
    yield case("pg_dump COPY", joined([f"COPY public.t ({', '.join(header)}) FROM stdin;", *copied, "\\."]), None)
    names = ["", *header]
    numbered = [[str(n), *row] for n, row in enumerate(rows, 1)]
    yield case("R write.csv", joined([_text_quoted(row, 1) for row in (names, *numbered)]), names, numbered)
    spaced = [_text_quoted(header, mark=" ")] + [_text_quoted(row, 1, mark=" ") for row in numbered]
    yield case("R write.table", joined(spaced), names, numbered)
    yield case("pandas to_csv", joined([line(r, Style()) for r in (names, *numbered)]), names, numbered)
    yield case(
        "pandas, an index saved twice",
        joined([line(["", "Unnamed: 0", *header], Style()), *[line([row[0], *row], Style()) for row in numbered]]),
        ["", "Unnamed: 0", *header],
        [[row[0], *row] for row in numbered],
    )
    yield (
        case("bcp -t~~ -r", joined(["~~".join(row) for row in rows], "\r\n"), None)
        if is_flat(table)
        else case("bcp", joined(lines))
    )
    if is_flat(table):
        yield from _aligned(table)
    yield from _forms(table, lines)
    yield from _loggers(table, lines)


def _text_quoted(row: list[str], always: int = 0, mark: str = ",") -> str:
    """Text is quoted, numbers not."""
    return mark.join(
        cell if cell.replace(".", "", 1).isdigit() and n >= always else '"' + cell.replace('"', '""') + '"'
        for n, cell in enumerate(row)
    )


def _tab_escaped(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n") or "\\N"


def _outfile(cell: str) -> str:
    return '"' + cell.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\\n") + '"'


def _aligned(table: Table) -> Iterator[Polluted]:
    header, rows = table.header, table.rows
    width = [max(len(row[at]) for row in (header, *rows)) for at in range(len(header))]
    pads = [[f"{cell:{wide}}" for cell, wide in zip(row, width, strict=True)] for row in (header, *rows)]

    def case(way: str, lines: list[str], names: list[str] | None = header) -> Polluted:
        return Polluted(f"program: {way}", joined(lines), names, stripped(rows))

    ruler = "+" + "+".join("-" * (wide + 2) for wide in width) + "+"
    barred = ["| " + " | ".join(row) + " |" for row in pads]
    yield case("mysql", [ruler, barred[0], ruler, *barred[1:], ruler, f"{len(rows)} rows in set (0.00 sec)", ""])
    yield case("markdown", [barred[0], "|" + "|".join("-" * (w + 2) for w in width) + "|", *barred[1:]])
    open_ended = [" " + " | ".join(row) for row in pads]
    cross = "+".join("-" * (wide + 2) for wide in width)
    yield case("psql", [open_ended[0], cross, *open_ended[1:], f"({len(rows)} rows)", ""])
    yield case("psql -A", ["|".join(row) for row in (header, *rows)] + [f"({len(rows)} rows)"])
    box = {mark: mark.join("─" * (wide + 2) for wide in width) for mark in "┬┼┴"}
    boxed = ["│ " + " │ ".join(row) + " │" for row in pads]
    top, bottom = f"┌{box['┬']}┐", f"└{box['┴']}┘"
    yield case("sqlite, box", [top, boxed[0], f"├{box['┼']}┤", *boxed[1:], bottom])
    yield case("sqlite, list", ["|".join(row) for row in (header, *rows)])
    yield case("sqlite, list without header", ["|".join(row) for row in rows], None)
    dashes = ["-" * wide for wide in width]
    columns = ["  ".join(row).rstrip() for row in pads]
    if all(row[0] and row[-1] and "  " not in "".join(row) for row in (header, *rows)):
        yield case("sqlite, column", [columns[0], "  ".join(dashes), *columns[1:]])
    spool = [part for n in range(1, len(pads), 14) for part in ("", *_page(pads, dashes, n))]
    yield case("SQL*Plus, separator of a bar", [*spool, "", f"{len(rows)} rows selected.", ""])


def _page(pads: Rows, dashes: list[str], start: int) -> list[str]:
    return ["|".join(row) for row in (pads[0], dashes, *pads[start : start + 14])]


def _forms(table: Table, lines: list[str]) -> Iterator[Polluted]:
    """Portals and survey tools: lines above and beside the table."""
    header, rows = table.header, table.rows

    def case(way: str, text: list[str], names: list[str] | None = header, *also: tuple[list[str], Rows]) -> Polluted:
        return Polluted(f"program: {way}", joined(text), names, rows, also)

    bank = ['"Kontonummer:";"DE12 3456 0000";', "", '"Von:";"01.01.2022";', '"Bis:";"31.01.2022";']
    closing = ['"Kontostand vom 31.01.2022:";"1.234,56 EUR";', ""]
    german = text_of(table, Style(delimiter=";", always=True))
    yield case("a bank", [*bank, *closing, *[one + ";" for one in german]])
    world = ['"Data Source","World Indicators",', "", '"Last Updated Date","2023-05-10",', ""]
    yield case("a statistics portal", [*world, *[one + "," for one in text_of(table, Style(always=True))]])
    tags = [f'{{"ImportId":"QID{n}"}}' for n in range(len(header))]
    asked = [f"Please tell: {name}, if you can" for name in header]
    three = [line(row, Style()) for row in (header, asked, tags)]
    extra = [asked, tags]
    joint = [" ".join(names) for names in zip(header, asked, tags, strict=True)]
    yield case("a survey tool, three lines", [*three, *lines[1:]], header, (header, [*extra, *rows]), (joint, rows))
    answers = ["Response" if n else "" for n in range(len(header))]
    two = [f"{name} {word}".strip() for name, word in zip(header, answers, strict=True)]
    yield case("a survey tool, two lines", [lines[0], line(answers, Style()), *lines[1:]], header, (two, rows))
    yield case("a spreadsheet with a title", ["Table 1", *lines])
    yield case("a time stamp in front", ["2023-05-03T10:14:00Z", *lines])
    yield case("a count in front", [str(len(rows)), *lines])
    sums = line(["Total", *[""] * (len(header) - 2), str(len(rows))], Style())
    total = [*rows, ["Total", *[""] * (len(header) - 2), str(len(rows))]]
    yield Polluted("program: a total at the end", joined([*lines, sums]), header, total, ((header, rows),))
    yield Polluted("program: a total behind a blank line", joined([*lines, "", sums]), header, total, ((header, rows),))
    noted = [line([*row, *(["", "note: provisional"] if n == 2 else [])], Style()) for n, row in enumerate(rows)]
    kept = [[*row, *(["", "note: provisional"] if n == 2 else [])] for n, row in enumerate(rows)]
    yield Polluted("program: a remark beside the table", joined([lines[0], *noted]), header, kept, ((header, rows),))


def _loggers(table: Table, lines: list[str]) -> Iterator[Polluted]:
    header, rows = table.header, table.rows
    kinds = ["string" if n % 2 else "double" for n in range(len(header))]
    tabs = text_of(table, Style(delimiter="\t", quote=""))
    marks = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#path\tstock"]
    fields = ["#fields\t" + tabs[0], "#types\t" + "\t".join(kinds)]
    if is_flat(table):
        yield Polluted("program: zeek", joined([*marks, *fields, *tabs[1:], "#close\t2023-05-03"]), header, rows)
    if is_flat(table) and not any(" " in cell or not cell for row in (header, *rows) for cell in row):
        iis = ["#Software: Internet Services", "#Version: 1.0", "#Fields: " + " ".join(header)]
        yield Polluted("program: iis", joined([*iis, *[" ".join(row) for row in rows]]), header, rows)
    quoted = text_of(table, Style(always=True))
    station = '"TOA5","CR1000","CR1000","1234","Std.22","CPU:stock.CR1","5678","Hourly"'
    units = line(["TS" if n == 0 else "" for n in range(len(header))], Style(always=True))
    smp = line(["Smp" if n else "" for n in range(len(header))], Style(always=True))
    also = ((header, [["TS"], ["", *["Smp"] * (len(header) - 1)], *rows]),)
    names = [" ".join(filter(None, (n, "TS" if k == 0 else "Smp"))) for k, n in enumerate(header)]
    toa = joined([station, quoted[0], units, smp, *quoted[1:]], "\r\n")
    yield Polluted("program: a station of four header lines", toa, header, rows, (*also, (names, rows)))
    counted = [["#", *header], *[[str(n), *row] for n, row in enumerate(rows, 1)]]
    plot = ['"Plot Title: cellar"', *[line(row, Style(always=n == 0)) for n, row in enumerate(counted)]]
    yield Polluted("program: a logger with a plot title", joined(plot), counted[0], counted[1:])
    shown = [[*head, *row] for head, row in zip(_beside(len(rows)), rows, strict=True)]
    if len(rows) > 6 and len(header) > 2:
        scope = joined([line(["Model", "TDS", "", *header], Style()), *[line(row, Style()) for row in shown]])
        yield Polluted("program: keys beside the records", scope, ["Model", "TDS", "", *header], shown)


def _beside(count: int) -> Rows:
    keys = [["Record Length", "84", ""], ["Interval", "0.1", ""], ["Source", "CH1", ""], ["Unit", "V", ""]]
    return (keys + [["", "", ""]] * count)[:count]


Tiny = tuple[str, list[str] | None, Rows]


def _column(name: str, *cells: str) -> Tiny:
    return "\n".join([name, *cells]) + "\n", [name], [[cell] for cell in cells]


def tiny() -> list[Tiny]:
    pairs = [["1", "Ann"], ["2", "Bob"]]
    plain: list[Tiny] = [
        ("a,b\n1,2\n", ["a", "b"], [["1", "2"]]),
        ("a,b\n1,2", ["a", "b"], [["1", "2"]]),
        ("a;b\n1;2\n", ["a", "b"], [["1", "2"]]),
        ("a\tb\n1\t2\n", ["a", "b"], [["1", "2"]]),
        ("id,name\n1,Ann\n2,Bob\n", ["id", "name"], pairs),
        ("id|name\n1|Ann\n2|Bob\n", ["id", "name"], pairs),
        ("id name\n1 Ann\n2 Bob\n", ["id", "name"], pairs),
        ("1,Ann\n2,Bob\n", None, pairs),
        ("1;Ann\n2;Bob\n", None, pairs),
        ("1,2\n", None, [["1", "2"]]),
        ("1,2,3\n4,5,6\n", None, [["1", "2", "3"], ["4", "5", "6"]]),
        ("1\n2\n3\n", None, [["1"], ["2"], ["3"]]),
        ("name,town,age\n", ["name", "town", "age"], []),
        ("name;town;age", ["name", "town", "age"], []),
        ('"name","town"\n', ["name", "town"], []),
        ("first name,last name,date of birth\n", ["first name", "last name", "date of birth"], []),
        ('"id","name"\n"1","Ann"\n"2","Bob"\n', ["id", "name"], pairs),
        ('"1","Ann"\n"2","Bob"\n', None, pairs),
        ('"id"\n"1"\n"2"\n', ["id"], [["1"], ["2"]]),
        ('id,note\n1,"a, b"\n', ["id", "note"], [["1", "a, b"]]),
        ('id,note\n1,"a\nb"\n', ["id", "note"], [["1", "a\nb"]]),
        ('id,note\n1,"say ""a"""\n', ["id", "note"], [["1", 'say "a"']]),
        ("name,town\nAnn,Berlin\nBob,Lyon\n", ["name", "town"], [["Ann", "Berlin"], ["Bob", "Lyon"]]),
        ("date,amount\n2023-01-02,5.5\n", ["date", "amount"], [["2023-01-02", "5.5"]]),
        ("date;amount\n02.01.2023;5,5\n", ["date", "amount"], [["02.01.2023", "5,5"]]),
        (
            "Datum;Betrag\n02.01.2023;1.234,50\n03.01.2023;7,00\n",
            ["Datum", "Betrag"],
            [["02.01.2023", "1.234,50"], ["03.01.2023", "7,00"]],
        ),
        ("a,b,c\n1,,\n", ["a", "b", "c"], [["1", "", ""]]),
        ("a,b,c\n,,3\n", ["a", "b", "c"], [["", "", "3"]]),
        ("a,b\r\n1,2\r\n", ["a", "b"], [["1", "2"]]),
        ("a,b\r1,2\r", ["a", "b"], [["1", "2"]]),
        ("\ufeffa,b\n1,2\n", ["a", "b"], [["1", "2"]]),
        ("x,y\n1.5,2.5\n3.5,4.5\n", ["x", "y"], [["1.5", "2.5"], ["3.5", "4.5"]]),
        ("time,host\n10:00:01,a.example.org\n", ["time", "host"], [["10:00:01", "a.example.org"]]),
    ]
    columns = [
        _column("id", "1", "2", "3"),
        _column("name", "Ann", "Bob", "Carla"),
        _column("full name", "Ann Smith", "Bob Jones", "Carla de la Cruz"),
        _column("date", "2024-01-01", "2024-01-02", "2024-01-03"),
        _column("when", "2024-01-01 10:00", "2024-01-02 11:30", "2024-01-03 12:15"),
        _column("time", "12:30", "13:45", "14:00"),
        _column("mail", "ann@example.org", "bob@example.org", "carla@example.com"),
        _column("url", "https://example.org/a?b=1&c=2", "https://example.org/d?e=3&f=4", "http://a.org/"),
        _column("path", "/usr/lib/a.so", "/usr/bin/b", "/etc/c.conf"),
        _column("phone", "+49 30 1234", "+49 30 5678", "+33 1 2345"),
        _column("ip", "10.0.0.1", "10.0.0.2", "192.168.0.1"),
        _column("setting", "a=1", "b=2", "c=3"),
        _column("version", "1.2.3", "1.2.4", "2.0.0-rc.1"),
        _column("said", "To be, or not to be", "Hello", "Well, well, well", "So, then"),
        _column("comment", "Good, but late.", "Bad, and dear.", "Fine, thanks.", "Nice, really."),
        _column("amount", "1,234.50", "5,678.00", "912.25"),
        _column("sentence", "The cat sat on the mat.", "A dog barked.", "It rained for three days."),
        _column("tags", "red;green", "blue", "red;blue;white"),
        _column("key", "a_b_c", "d_e_f", "g_h_i"),
        _column("isbn", "978-3-16-148410-0", "978-0-306-40615-7", "979-1-23-456789-6"),
        _column("uuid", "0b7e9a52-5a3c-4f0e-9a55-1d2c3b4a5f60", "1c8fab63-6b4d-401f-8b66-2e3d4c5b6071"),
        _column("price", "$5", "$12", "$7.50"),
        _column("share", "5%", "12%", "7.5%"),
        _column("names", "Smith, Ann", "Jones, Bob", "Rossi, Carla"),
        _column("town", "Berlin, Germany", "Lyon, France", "Porto, Portugal"),
        _column("point", "52.1 13.4", "45.7 4.8", "41.1 8.6"),
    ]
    quoted = [(_quoted_column(text), header, rows) for text, header, rows in columns]
    return plain + columns + quoted


def _quoted_column(text: str) -> str:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([one] for one in text.splitlines())
    return written.getvalue()


def tiny_ways() -> Iterator[Polluted]:
    for text, header, rows in tiny():
        yield Polluted(f"tiny: {text[:40]!r}", text.encode(), header, rows)


def planned() -> Iterator[tuple[str, Polluted]]:
    """Every file of the plan, with the name of the table that it's made of."""
    groups = (file_ways, delimiter_ways, quote_ways, header_ways, record_ways, cell_ways, program_ways)
    for table in bases():
        for ways in groups:
            yield from ((table.name, file) for file in ways(table))
    yield from (("tiny", file) for file in tiny_ways())
