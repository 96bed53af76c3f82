"""Still more ways in which files are spoilt: in several places at once, all through, or from somewhere on."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.stages.convert.pollution import WAYS, Polluted, Style, Table, Way, field, joined, line, text_of
from tests.stages.convert.pollution_more import MORE, flat

ODD: list[Way] = []
SEVERAL = (";;", "|;|", "@@", "##", "~~", "^|^", "<|>", "\t\t", "\t|\t", " | ", "::::", "%%", "=>", "$$", " ; ")


def way(function: Way) -> Way:
    ODD.append(function)
    return function


def _part(texts: list[str], ends: list[str]) -> bytes:
    return "".join(text + end for text, end in zip(texts, ends, strict=True)).encode()


@way
def long_delimiters(table: Table) -> Iterator[Polluted]:
    for mark in SEVERAL:
        plain = flat(table, mark, mark.strip(), mark[0])
        for always in (False, True):
            lines = text_of(plain, Style(mark, always=always))
            yield Polluted(f"long delimiter {mark!r} {always}", joined(lines), plain.header, plain.rows)


@way
def record_ends(table: Table) -> Iterator[Polluted]:
    plain = flat(table)
    lines = text_of(plain)
    for name, end in (("lf lf", "\n\n"), ("cr cr", "\r\r"), ("crlf crlf", "\r\n\r\n"), ("rs", "\x1e")):
        yield Polluted(f"records end in {name}", joined(lines, end), plain.header, plain.rows)
    chance = random.Random(5)
    ends = [chance.choice(("\n", "\r\n")) for _ in lines]
    yield Polluted("lf and crlf in turns", _part(lines, ends), plain.header, plain.rows)
    for share, name in ((0.02, "now and then"), (0.5, "in turns")):
        ends = ["\r" if chance.random() < share else "\n" for _ in lines]
        yield Polluted(f"lf and cr {name}", _part(lines, ends), plain.header, plain.rows)
    half = len(lines) // 2
    yield Polluted("crlf, then lf", joined(lines[:half], "\r\n") + joined(lines[half:]), plain.header, plain.rows)
    yield Polluted("form feeds between pages", joined(lines[:half]) + b"\x0c" + joined(lines[half:]), plain.header,
                   [*plain.rows[: half - 1], ["\x0c" + plain.rows[half - 1][0], *plain.rows[half - 1][1:]],
                    *plain.rows[half:]])  # fmt: skip


@way
def blank_lines(table: Table) -> Iterator[Polluted]:
    lines = text_of(table)
    blank = {"blanks": "   ", "a tab": "\t", "nothing": ""}
    for name, text in blank.items():
        every = [part for number, row in enumerate(lines) for part in ((row, text) if number % 7 == 3 else (row,))]
        yield Polluted(f"lines of {name} all over", joined(every), table.header, table.rows)
        yield Polluted(f"lines of {name} first", joined([text, text, text, *lines]), table.header, table.rows)
        yield Polluted(f"lines of {name} last", joined([*lines, text, text, text]), table.header, table.rows)
    yield Polluted("a blank below the header", joined([lines[0], "", *lines[1:]]), table.header, table.rows)


@way
def nothing_much(table: Table) -> Iterator[Polluted]:
    lines = text_of(table)
    yield Polluted("header only, no end", lines[0].encode(), table.header, [])
    yield Polluted("one record, no end", joined(lines[:2])[:-1], table.header, table.rows[:1])
    one = [[row[0]] for row in table.rows]
    texts = [field(row[0], Style(always=True)) for row in one]
    name = field(table.header[0], Style(always=True))
    yield Polluted("one column, all quoted", joined([name, *texts]), table.header[:1], one)
    yield Polluted("one column, one record", joined([name, texts[0]]), table.header[:1], one[:1])
    last = [[row[-1]] for row in table.rows]
    yield Polluted("one column with delimiters in quotes", joined([table.header[-1],
                   *(field(row[0], Style()) for row in last)]), table.header[-1:],
                   [row for row in last if row[0]])  # fmt: skip


@way
def wrong_widths(table: Table) -> Iterator[Polluted]:
    lines, width = text_of(table), len(table.header)
    wide = [[*row, "x"] for row in table.rows]
    yield Polluted("header shorter by one name", joined([lines[0], *(text + ",x" for text in lines[1:])]),
                   [*table.header, ""], wide)  # fmt: skip
    wider = [[*row, "x", "7"] for row in table.rows]
    yield Polluted("header shorter by two names", joined([lines[0], *(text + ",x,7" for text in lines[1:])]),
                   [*table.header, "", ""], wider)  # fmt: skip
    yield Polluted("header longer by one name", joined([lines[0] + ",more", *lines[1:]]), [*table.header, "more"],
                   [[*row, ""] for row in table.rows])  # fmt: skip
    if width < 3:
        return
    chance = random.Random(9)
    rows, texts = [], []
    for row in table.rows:
        if chance.random() < 0.1:
            rows.append([*row[: width // 2], *[""] * (width - width // 2)])
            texts.append(line(row[: width // 2], Style()))
        else:
            rows.append(row)
            texts.append(line(row, Style()))
    yield Polluted("some records cut in half", joined([lines[0], *texts]), table.header, rows)
    first = [*lines[:1], line(table.rows[0][:2], Style()), *lines[2:]]
    yield Polluted("the first record short", joined(first), table.header,
                   [[*table.rows[0][:2], *[""] * (width - 2)], *table.rows[1:]])  # fmt: skip
    cut = joined(lines)
    at = cut.rfind(b",")
    yield Polluted("cut off within the last record", cut[:at], table.header,
                   [*table.rows[:-1], [*table.rows[-1][:-1], ""]])  # fmt: skip


@way
def tops(table: Table) -> Iterator[Polluted]:
    lines, width = text_of(table), len(table.header)
    export = ['"Report","Weekly"', '"From","2024-01-01"', '"To","2024-01-07"', ""]
    found = {
        "twenty notes": [f"Note {number}: see the manual, page {number * 7}" for number in range(20)],
        "quoted pairs": export,
        "a rule of equal signs": ["REPORT", "======"],
        "w3c": ["#Software: Server 10.0", "#Version: 1.0", "#Date: 2024-01-01 00:00:00"],
        "semicolon comments": ["; exported by tool", "; do not edit"],
        "two titles of many commas": ["Report" + "," * (width - 1), "Q1" + "," * (width - 1), "," * (width - 1)],
        "one word": ["data"],
        "prose": ["Dear all, please find below the figures, as agreed, for the board, by Friday.", ""],
    }
    for name, top in found.items():
        yield Polluted(f"top {name}", joined(top + lines), table.header, table.rows)
    semicolons = text_of(table, Style(";"))
    yield Polluted("top with commas, table of semicolons",
                   joined(["Report, weekly, final", "Unit, north, 7", "", *semicolons]), table.header, table.rows)  # fmt: skip
    tabs = text_of(table, Style("\t"))
    yield Polluted("top key: value, table of tabs", joined(["Device: X", "Serial: 7", "", *tabs]), table.header,
                   table.rows)  # fmt: skip


@way
def bottoms(table: Table) -> Iterator[Polluted]:
    lines, width = text_of(table), len(table.header)
    found = {
        "total records": ["", f"Total records: {len(table.rows)}"],
        "trailer": [f"TRAILER,{len(table.rows)}"] if width != 2 else ["TRAILER"],
        "legend": ["", "Legend:", "a = first, b = second", "* estimated"],
        "end mark": ["<END>"],
        "rows affected": ["", f"({len(table.rows)} rows affected)", ""],
    }
    for name, bottom in found.items():
        yield Polluted(f"bottom {name}", joined(lines + bottom), table.header, table.rows)


@way
def changes(table: Table) -> Iterator[Polluted]:
    lines, width = text_of(table), len(table.header)
    half = len(lines) // 2
    for mark in (";", "\t"):
        other = text_of(table, Style(mark))
        yield Polluted(f"{mark!r} from the middle on", joined(lines[:half] + other[half:]), table.header, table.rows)
    quoted = text_of(table, Style(always=True))
    yield Polluted("all quoted from the middle on", joined(lines[:half] + quoted[half:]), table.header, table.rows)
    single = text_of(table, Style(quote="'", always=True))
    yield Polluted("single quotes from the middle on", joined(lines[:half] + single[half:]), table.header, table.rows)
    yield Polluted("a byte order mark in the middle",
                   joined(lines[:half]) + b"\xef\xbb\xbf" + joined(lines[half:]), table.header, table.rows)  # fmt: skip
    latin = [[cell.encode("cp1252", "ignore").decode("cp1252") for cell in row] for row in table.rows]
    texts = text_of(table._replace(rows=latin))
    halves = joined(texts[:half]) + joined(texts[half:]).decode().encode("cp1252", "replace")
    yield Polluted("utf-8, then cp1252", halves, table.header, latin)
    if width > 2:
        more = [*row_with(table.rows, half, "new")]
        yield Polluted("a column more from the middle on",
                       joined(lines[:half] + [text + ",new" for text in lines[half:]]), table.header, more)  # fmt: skip


def row_with(rows: list[list[str]], at: int, cell: str) -> Iterator[list[str]]:
    """ROWS, from the one at AT on with CELL at their end."""
    for number, row in enumerate(rows, 1):
        yield row if number < at else [*row, cell]


@way
def bytes_of_zero(table: Table) -> Iterator[Polluted]:
    data = joined(text_of(table))
    zero = [[*table.rows[0][:-1], table.rows[0][-1] + "\0"], *table.rows[1:]]
    yield Polluted("a zero byte in a cell", joined(text_of(table._replace(rows=zero))), table.header, zero)
    yield Polluted("zero bytes at the end", data + b"\0" * 100, table.header, table.rows)
    yield Polluted("zero bytes in place of empty cells", joined(text_of(table._replace(
        rows=[[cell or "\0" for cell in row] for row in table.rows]))), table.header,
        [[cell or "\0" for cell in row] for row in table.rows])  # fmt: skip


@way
def quotes_and_blanks(table: Table) -> Iterator[Polluted]:
    plain = flat(table, '"')
    pad = [[field(cell, Style(always=True)) for cell in row] for row in [plain.header, *plain.rows]]
    yield Polluted("blanks after quoted cells", joined([" ,".join(row) for row in pad]), plain.header, plain.rows)
    yield Polluted("blanks before quoted cells", joined([", ".join(row) for row in pad]), plain.header, plain.rows)
    yield Polluted("blanks around quoted cells", joined([" , ".join(row) for row in pad]), plain.header, plain.rows)
    yield Polluted("quoted only where blank", joined([",".join('""' if not cell else field(cell, Style())
                   for cell in row) for row in [plain.header, *plain.rows]]), plain.header, plain.rows)  # fmt: skip
    said = [[*row[:-1], f'"{row[-1]}"' if row[-1] else ""] for row in plain.rows]
    yield Polluted("three quotes", joined(text_of(plain._replace(rows=said))), plain.header, said)
    bare = flat(table, '"', ",")
    many = [[row[0], *(cell + '"' if number % 5 == 2 and cell else cell for cell in row[1:])]
            for number, row in enumerate(bare.rows)]  # fmt: skip
    yield Polluted("a quote at the end of many cells", joined([",".join(row) for row in [bare.header, *many]]),
                   bare.header, many)  # fmt: skip
    within = [[*row[:-1], f'he "{row[-1]}" she'] for row in bare.rows]
    yield Polluted("quotes within bare cells", joined([",".join(row) for row in [bare.header, *within]]), bare.header,
                   within)  # fmt: skip
    for number in (1, 5, 20):
        opened = [*bare.rows]
        opened[number] = [*opened[number][:-1], '"' + opened[number][-1]]
        yield Polluted(f"a quote opened in record {number}", joined([",".join(row) for row in [bare.header, *opened]]),
                       bare.header, opened)  # fmt: skip
    for escape in ("\\",):
        clean = flat(table, escape)
        style = Style(escape=escape, always=True)
        said = [[*row[:-1], f'a "b" {row[-1]}'] for row in clean.rows]
        texts = [",".join(f'"{cell.replace(chr(34), escape + chr(34))}"' for cell in row)
                 for row in [clean.header, *said]]  # fmt: skip
        if style.escape != "/":
            yield Polluted(f"quotes escaped by {escape}", joined(texts), clean.header, said)


@way
def bare_escapes(table: Table) -> Iterator[Polluted]:
    clean = flat(table, "\\", '"')
    texts = [",".join(cell.replace(",", "\\,") for cell in row) for row in [clean.header, *clean.rows]]
    rows = [[*row[:-1], row[-1] + ", x"] if number % 5 == 1 else row for number, row in enumerate(clean.rows)]
    texts = [",".join(cell.replace(",", "\\,") for cell in row) for row in [clean.header, *rows]]
    yield Polluted("delimiters escaped, no quotes", joined(texts), clean.header, rows)
    piped = [[*row[:-1], row[-1] + "|x"] if number % 5 == 1 else row
             for number, row in enumerate(flat(table, "|", "\\").rows)]  # fmt: skip
    texts = ["|".join(cell.replace("|", "\\|") for cell in row) for row in [table.header, *piped]]
    yield Polluted("bars escaped, no quotes", joined(texts), table.header, piped)
    paths = [[f"C:\\data\\{row[0].replace(':', '')}\\", *row[1:]] for row in clean.rows]
    yield Polluted("paths that end in a backslash", joined(text_of(clean._replace(rows=paths))), clean.header, paths)
    quoted = text_of(clean._replace(rows=paths), Style(always=True))
    yield Polluted("paths that end in a backslash, quoted", joined(quoted), clean.header, paths)


@way
def within_cells(table: Table) -> Iterator[Polluted]:
    more = {
        "json": '{"a": 1, "b": [1, 2], "c": "x, y"}',
        "html": '<a href="x,y">z</a>\n<br>',
        "lists": "a, b, c; d | e",
        "money": "$1,234.50",
        "a long date": "Monday, 3 January 2024",
        "many lines": "one\n\ntwo\n, three\n",
        "another table": "a,b\n1,2\n3,4",
        "a long text": "lorem ipsum, " * 900,
        "emoji": "👍🏽, 東京 — “ok”",
        "sql": "SELECT a, 'b' FROM \"t\" WHERE c = ';'",
        "commas and quotes": ',",",',
    }
    for name, text in more.items():
        rows = [[*row, text if number % 3 else ""] for number, row in enumerate(table.rows)]
        found = Table(table.name, [*table.header, "extra"], rows)
        yield Polluted(f"cells hold {name}", joined(text_of(found)), found.header, rows)
        if name in ("json", "money", "lists"):
            yield Polluted(f"cells hold {name}, semicolons", joined(text_of(found, Style(";"))), found.header, rows)


@way
def names(table: Table) -> Iterator[Polluted]:
    lines, width = text_of(table), len(table.header)
    made = {
        "all numbers": [str(number) for number in range(width)],
        "dates": [f"2024-{number % 12 + 1:02d}-01" for number in range(width)],
        "long": [f"{name} as reported by the station, in units of the table" for name in table.header],
        "with units": [f"{name} [m/s]" for name in table.header],
        "dotted": [f"data.{name}.value" for name in table.header],
        "one missing": ["", *table.header[1:]],
        "last missing": [*table.header[:-1], ""],
        "with quotes": [f'{name} "x"' for name in table.header],
    }
    for name, header in made.items():
        yield Polluted(f"names {name}", joined([line(header, Style()), *lines[1:]]), header, table.rows)


@way
def fixed_widths(table: Table) -> Iterator[Polluted]:
    plain = flat(table, '"')
    sizes = [max(map(len, column)) for column in zip(plain.header, *plain.rows, strict=True)]
    for mark, name in ((",", "commas"), (";", "semicolons"), ("|", "bars"), ("\t", "tabs")):
        clean = flat(plain, mark)
        padded = [mark.join(f"{cell:<{size}}" for cell, size in zip(row, sizes, strict=True))
                  for row in [clean.header, *clean.rows]]  # fmt: skip
        yield Polluted(f"padded cells and {name}", joined(padded), clean.header, clean.rows)


@way
def two_at_once(table: Table) -> Iterator[Polluted]:
    width = len(table.header)
    european = Style(";", end="\r\n", always=True)
    top = ["Export 01.02.2024", ""]
    yield Polluted("bom, top, semicolons, crlf, all quoted",
                   b"\xef\xbb\xbf" + joined(top + text_of(table, european), "\r\n"), table.header, table.rows)  # fmt: skip
    tabs = joined(["Title", "", *text_of(flat(table), Style("\t"))], "\r\n").decode().encode("utf-16")
    yield Polluted("utf-16, top, tabs, crlf", tabs, table.header, flat(table).rows)
    pipes = [*text_of(flat(table, "|"), Style("|", quote="")), f"TRAILER|{len(table.rows)}"]
    yield Polluted("bars, trailer, no quotes", joined(pipes), table.header, flat(table, "|").rows)
    semicolons = [text + ";" for text in text_of(table, Style(";"))]
    yield Polluted("semicolons at the ends too", joined(semicolons), [*table.header, ""],
                   [[*row, ""] for row in table.rows])  # fmt: skip
    noted = [*text_of(table), "," * (width - 1), "Source: portal" + "," * (width - 1)]
    yield Polluted("a note in the first cell at the end", joined(noted), table.header,
                   [*table.rows, [""] * width, ["Source: portal", *[""] * (width - 1)]])  # fmt: skip
    single = Style("\t", quote="'", always=True)
    yield Polluted("tabs and single quotes, no header", joined(text_of(table, single, header=False)), None, table.rows)


def files_of(table: Table) -> Iterator[Polluted]:
    """All files that TABLE is spoilt into, by the ways of all modules."""
    for make in (*WAYS, *MORE, *ODD):
        yield from make(table)
