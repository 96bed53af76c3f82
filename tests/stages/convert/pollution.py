"""CSV files as they really come, each with the table that a careful person would read from it.

A base table is written cleanly and then spoilt in one way: as RFC 4180's grammar can be broken, or as spreadsheets,
databases, loggers and people do it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

Rows = list[list[str]]


class Table(NamedTuple):
    name: str
    header: list[str]
    rows: Rows


class Polluted(NamedTuple):
    """A file, how it was spoilt, and what should be read: a header (None: there is none) and records.

    `also`: other readings that a careful person could defend.
    """

    way: str
    data: bytes
    header: list[str] | None
    rows: Rows
    also: tuple[tuple[list[str] | None, Rows], ...] = ()


class Style(NamedTuple):
    """How a table is written; `always` quotes every field."""

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    end: str = "\n"
    always: bool = False
    pad: str = ""


def field(text: str, style: Style) -> str:
    special = any(mark in text for mark in (style.delimiter, style.quote, "\n", "\r")) if style.quote else False
    if not style.quote or not (special or style.always):
        return text
    inner = (
        text.replace("\\", "\\\\").replace(style.quote, style.escape + style.quote)
        if style.escape
        else (text.replace(style.quote, style.quote * 2))
    )
    return f"{style.quote}{inner}{style.quote}"


def line(cells: list[str], style: Style) -> str:
    return (style.delimiter + style.pad).join(field(cell, style) for cell in cells)


def text_of(table: Table, style: Style | None = None, *, header: bool = True) -> list[str]:
    rows = [table.header, *table.rows] if header else table.rows
    return [line(row, style or Style()) for row in rows]


def joined(lines: list[str], end: str = "\n") -> bytes:
    return (end.join(lines) + end).encode()


FIRST = [
    "Ada",
    "Grace",
    "Alan",
    "Edsger",
    "Barbara",
    "Donald",
    "Margaret",
    "Linus",
    "Ken",
    "Dennis",
    "Frances",
    "John",
    "Radia",
    "Tim",
    "Hedy",
]
LAST = [
    "Lovelace",
    "Hopper",
    "Turing",
    "Dijkstra",
    "Liskov",
    "Knuth",
    "Hamilton",
    "Torvalds",
    "Thompson",
    "Ritchie",
    "Allen",
    "Perlman",
    "Lamarr",
]
CITY = ["New York", "São Paulo", "Köln", "Paris", "Washington, DC", "Łódź", "Tokyo", "St. John's", "Zürich"]
NOTES = [
    "ok",
    "call back",
    'said "yes"',
    "late, but fine",
    "",
    "n/a",
    "see attachment; urgent",
    "first\nsecond",
    "10% off",
]


def tables(seed: int = 7) -> list[Table]:
    chance = random.Random(seed)

    def day() -> str:
        return f"20{chance.randint(10, 24)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"

    def clock() -> str:
        return f"{chance.randint(0, 23):02d}:{chance.randint(0, 59):02d}:{chance.randint(0, 59):02d}"

    people = [
        [
            str(1000 + i),
            f"{chance.choice(FIRST)} {chance.choice(LAST)}",
            chance.choice(CITY),
            day(),
            chance.choice(NOTES),
        ]
        for i in range(60)
    ]
    sales = [
        [
            day(),
            clock(),
            str(chance.randint(1, 20)),
            f"PID{chance.randint(100, 999)}",
            f"{chance.random() * 300:.2f}",
            chance.choice(["Lamp", "Chair, red", "Desk"]),
            f"https://example.com/p/{chance.randint(1, 99)}?a=1&b=2",
            chance.choice(NOTES),
        ]
        for _ in range(80)
    ]
    sensors = [
        [f"{day()}T{clock()}Z", str(chance.randint(1, 9)), f"{chance.gauss(20, 5):.3f}", chance.choice("01")]
        for _ in range(100)
    ]
    texts = [
        [chance.choice(FIRST), chance.choice(LAST), chance.choice(CITY), chance.choice(["red", "green", "blue"])]
        for _ in range(40)
    ]
    finance = [
        [
            f"{chance.randint(1, 28):02d}.{chance.randint(1, 12):02d}.2023",
            f"{chance.choice(LAST)} GmbH",
            f"{chance.randint(0, 9)}.{chance.randint(100, 999)},{chance.randint(10, 99)}",
            "EUR",
        ]
        for _ in range(50)
    ]
    wide = [[str(chance.randint(0, 999)) for _ in range(40)] for _ in range(30)]
    pairs = [[chance.choice(CITY).replace(",", ""), str(chance.randint(1, 9))] for _ in range(25)]
    return [
        Table("people", ["id", "name", "city", "joined", "comment"], people),
        Table("sales", ["DATE", "TIME", "Qty", "PRODUCTID", "Price", "ProductType", "URL", "Comments"], sales),
        Table("sensors", ["timestamp", "sensor", "value", "state"], sensors),
        Table("texts", ["First name", "Last name", "City", "Colour"], texts),
        Table("finance", ["Datum", "Empfänger", "Betrag", "Währung"], finance),
        Table("wide", [f"v{i}" for i in range(40)], wide),
        Table("pairs", ["city", "count"], pairs),
    ]


Way = Callable[[Table], Iterator[Polluted]]
WAYS: list[Way] = []


def way(function: Way) -> Way:
    WAYS.append(function)
    return function


@way
def line_ends(table: Table) -> Iterator[Polluted]:
    for name, end in (("lf", "\n"), ("crlf", "\r\n"), ("cr", "\r")):
        rows = [[cell.replace("\n", " ") for cell in row] for row in table.rows]
        clean = table._replace(rows=rows)
        yield Polluted(f"end {name}", joined(text_of(clean), end), table.header, rows)
        yield Polluted(f"no last end {name}", joined(text_of(clean), end)[: -len(end)], table.header, rows)
        yield Polluted(f"two last ends {name}", joined(text_of(clean), end) + end.encode(), table.header, rows)


@way
def encodings(table: Table) -> Iterator[Polluted]:
    text = joined(text_of(table)).decode()
    for codec in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32"):
        yield Polluted(codec, text.encode(codec), table.header, table.rows)


@way
def delimiters(table: Table) -> Iterator[Polluted]:
    for mark in (";", "\t", "|", ":", " ", "~", "^", "#", "&", "\x1f", "\x01", "||", "::", "~|~", "*", "!"):
        for always in (False, True):
            style = Style(mark, always=always)
            yield Polluted(f"delimiter {mark!r} {always}", joined(text_of(table, style)), table.header, table.rows)
    for mark in (",", ";", "|"):
        style = Style(mark, pad=" ")
        yield Polluted(f"delimiter {mark!r} and blank", joined(text_of(table, style)), table.header, table.rows)
        style = Style(mark, pad=" ", always=True)
        yield Polluted(f"delimiter {mark!r} and blank, quoted", joined(text_of(table, style)), table.header, table.rows)


@way
def quotes(table: Table) -> Iterator[Polluted]:
    for mark in ('"', "'", "`"):
        for always in (False, True):
            for escape in ("", "\\"):
                style = Style(quote=mark, escape=escape, always=always)
                yield Polluted(
                    f"quote {mark} {always} {escape}", joined(text_of(table, style)), table.header, table.rows
                )
    bare = table._replace(rows=[[c.replace(",", "").replace("\n", " ") for c in row] for row in table.rows])
    style = Style(quote="")
    yield Polluted("stray quotes, none quotes", joined(text_of(bare, style)), table.header, bare.rows)


@way
def headers(table: Table) -> Iterator[Polluted]:
    lines = text_of(table)
    yield Polluted("no header", joined(lines[1:]), None, table.rows)
    yield Polluted("header only", joined(lines[:1]), table.header, [])
    yield Polluted("one record", joined(lines[:2]), table.header, table.rows[:1])
    yield Polluted("one record, no header", joined(lines[1:2]), None, table.rows[:1])
    yield Polluted("two records", joined(lines[:3]), table.header, table.rows[:2])
    twice = [line(["group", *[""] * (len(table.header) - 1)], Style()), *lines]
    yield Polluted("title in the first cell", joined(twice), table.header, table.rows)


@way
def preambles(table: Table) -> Iterator[Polluted]:
    lines = text_of(table)
    tops = {
        "title": ["Monthly report"],
        "title and blank": ["Monthly report", ""],
        "key values": ["Device: X200", "Serial: 00042", "Exported: 2024-01-01 10:00", ""],
        "hash comments": ["# made by tool 1.2", "# columns below"],
        "long text": [
            "This file was exported on 3 May 2024, by the portal.",
            "All amounts are in EUR, without tax.",
            "",
        ],
        "padded title": ["Monthly report" + "," * (len(table.header) - 1)],
        "blank first": ["", ""],
    }
    for name, top in tops.items():
        yield Polluted(f"preamble {name}", joined(top + lines), table.header, table.rows)
    style = Style(";")
    yield Polluted("sep hint", joined(["sep=;", *text_of(table, style)]), table.header, table.rows)


@way
def footers(table: Table) -> Iterator[Polluted]:
    lines = text_of(table)
    for name, bottom in {"count": [f"({len(table.rows)} rows)"], "blank, source": ["", "Source: the portal"]}.items():
        yield Polluted(f"footer {name}", joined(lines + bottom), table.header, table.rows)


@way
def spoilt_rows(table: Table) -> Iterator[Polluted]:
    chance = random.Random(len(table.rows))
    lines = text_of(table)
    for _turn in range(3):
        at = chance.randrange(1, len(lines))
        column = chance.randrange(len(table.header))
        row = table.rows[at - 1]
        more = [*row[: column + 1], "extra", *row[column + 1 :]]
        yield _with(table, at, line(more, Style()), more, "one more field")
        less = [*row[:column], *row[column + 1 :]]
        yield _with(table, at, line(less, Style()), [*less, ""], "one field less")
        merged = [*row]
        if column + 1 < len(row):
            merged[column : column + 2] = [row[column] + row[column + 1]]
            yield _with(table, at, line(merged, Style()), [*merged, ""], "one delimiter less")
        stray = [*row]
        stray[column] = stray[column][:1] + '"' + stray[column][1:]
        yield _with(
            table,
            at,
            ",".join(field(c, Style()) if i != column else c for i, c in enumerate(stray)),
            stray,
            "a stray quote",
        )
        opened = [*row]
        opened[column] = '"' + opened[column]
        yield _with(
            table,
            at,
            ",".join(field(c, Style()) if i != column else c for i, c in enumerate(opened)),
            opened,
            "a quote never closed",
        )
        yield _with(table, at, line(row, Style(";")), row, "another delimiter")
        yield _with(table, at, line(row, Style(quote="'", always=True)), row, "another quote")
    yield Polluted(
        "empty records",
        joined([*lines[:4], "," * (len(table.header) - 1), *lines[4:]]),
        table.header,
        [*table.rows[:3], [""] * len(table.header), *table.rows[3:]],
    )
    yield Polluted("blank lines", joined([*lines[:4], "", "", *lines[4:]]), table.header, table.rows)


def _with(table: Table, at: int, spoilt: str, wanted: list[str], name: str) -> Polluted:
    lines = text_of(table)
    lines[at] = spoilt
    rows = [*table.rows]
    rows[at - 1] = wanted
    return Polluted(f"a record with {name}", joined(lines), table.header, rows)


@way
def trailing(table: Table) -> Iterator[Polluted]:
    lines = text_of(table)
    yield Polluted(
        "trailing delimiters",
        joined([text + "," for text in lines]),
        [*table.header, ""],
        [[*row, ""] for row in table.rows],
    )
    yield Polluted(
        "trailing delimiters but in the header",
        joined([lines[0], *(text + "," for text in lines[1:])]),
        [*table.header, ""],
        [[*row, ""] for row in table.rows],
    )
    named = [[str(i), *row] for i, row in enumerate(table.rows, 1)]
    yield Polluted(
        "row names without a header",
        joined([lines[0], *(line(row, Style()) for row in named)]),
        ["", *table.header],
        named,
    )


@way
def screens(table: Table) -> Iterator[Polluted]:
    """What psql, mysql and people paste."""
    rows = [[cell.replace("\n", " ").replace("|", "/") for cell in row] for row in table.rows]
    sizes = [max(map(len, column)) for column in zip(table.header, *rows, strict=True)]
    rule = "+".join("-" * (size + 2) for size in sizes)
    body = [
        "|".join(f" {cell:<{size}} " for cell, size in zip(row, sizes, strict=True)) for row in [table.header, *rows]
    ]
    yield Polluted("psql", joined([body[0], rule, *body[1:], f"({len(rows)} rows)"]), table.header, rows)
    boxed = [f"|{text}|" for text in body]
    yield Polluted("mysql", joined([f"+{rule}+", boxed[0], f"+{rule}+", *boxed[1:], f"+{rule}+"]), table.header, rows)
    marks = "|".join("---" for _ in sizes)
    yield Polluted("markdown", joined([boxed[0], f"|{marks}|", *boxed[1:]]), table.header, rows)
    if all(" " not in cell and cell for row in rows for cell in row):
        aligned = [
            "  ".join(f"{cell:<{size}}" for cell, size in zip(row, sizes, strict=True)) for row in [table.header, *rows]
        ]
        yield Polluted("aligned", joined(aligned), table.header, rows)


@way
def single(table: Table) -> Iterator[Polluted]:
    column = [[row[0]] for row in table.rows]
    one = table._replace(header=table.header[:1], rows=column)
    yield Polluted("one column", joined(text_of(one)), one.header, column)
    yield Polluted("one column, no header", joined(text_of(one)[1:]), None, column)
