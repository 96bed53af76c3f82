"""More ways in which files are spoilt: what loggers, databases, spreadsheets and instruments emit, and what people add."""

from __future__ import annotations

from collections.abc import Iterator

from tests.stages.convert.pollution import Polluted, Style, Table, Way, joined, line, text_of

MORE: list[Way] = []


def way(function: Way) -> Way:
    MORE.append(function)
    return function


def flat(table: Table, *marks: str) -> Table:
    """TABLE without line ends and MARKS in its cells."""
    rows = table.rows
    for mark in ("\n", *marks):
        rows = [[cell.replace(mark, " ").strip() for cell in row] for row in rows]
    return table._replace(rows=rows)


@way
def databases(table: Table) -> Iterator[Polluted]:
    bare = flat(table, "\t", "\\")
    copied = [["\\N" if cell == "" else cell for cell in row] for row in bare.rows]
    yield Polluted("mysql outfile with header", joined(["\t".join(row) for row in [bare.header, *copied]]),
                   bare.header, copied)  # fmt: skip
    broken = [["two\nlines" if cell == "late, but fine" else cell for cell in row] for row in bare.rows]
    escaped = [[cell.replace("\n", "\\\n") for cell in row] for row in bare.rows]
    yield Polluted("mysql outfile", joined(["\t".join(row) for row in escaped]), None, bare.rows)
    always = Style(always=True, end="\r\n")
    yield Polluted(
        "all quoted, crlf", joined(text_of(table._replace(rows=broken), always), "\r\n"), table.header, broken
    )
    nulls = [["NULL" if cell == "" else cell for cell in row] for row in table.rows]
    yield Polluted("sql server NULL", joined(text_of(table._replace(rows=nulls))), table.header, nulls)
    numbered = [f'"{name}"' for name in table.header]
    body = text_of(table, header=False)
    yield Polluted("only the header quoted", joined([",".join(numbered), *body]), table.header, table.rows)


@way
def spreadsheets(table: Table) -> Iterator[Polluted]:
    width = len(table.header)
    lines = text_of(table)
    empty = "," * (width - 1)
    yield Polluted("empty lines of commas at the end", joined([*lines, empty, empty]), table.header,
                   [*table.rows, [""] * width, [""] * width])  # fmt: skip
    yield Polluted("title, empty line of commas", joined(["Report" + empty, empty, *lines]), table.header, table.rows)
    first = [["", *row] for row in table.rows]
    yield Polluted("an empty first column", joined(["," + text for text in lines]), ["", *table.header], first)
    formula = [[f'="{row[0]}"', *row[1:]] for row in table.rows]
    yield Polluted("formulas around text", joined(text_of(table._replace(rows=formula))), table.header, formula)
    european = Style(";", end="\r\n")
    numbers = [
        [cell.replace(".", ",") if cell.replace(".", "").isdigit() else cell for cell in row] for row in table.rows
    ]
    yield Polluted("semicolons, decimal commas, bom",
                   b"\xef\xbb\xbf" + joined(text_of(table._replace(rows=numbers), european), "\r\n"),
                   table.header, numbers)  # fmt: skip
    grouped = [[f"{int(cell):,}" if cell.isdigit() and len(cell) > 3 else cell for cell in row] for row in table.rows]
    yield Polluted("quoted thousands", joined(text_of(table._replace(rows=grouped))), table.header, grouped)
    tabbed = "\n".join(text_of(table, Style("\t"))).encode("utf-16") + "\n".encode("utf-16-le")
    yield Polluted("unicode text", tabbed, table.header, table.rows)
    total = ["Total", *[""] * (width - 2), "12,345.00"]
    yield Polluted("a total at the end", joined([*lines, line(total, Style())]), table.header, [*table.rows, total])


@way
def several_headers(table: Table) -> Iterator[Polluted]:
    lines = text_of(table)
    width = len(table.header)
    groups = ["first group", *[""] * (width // 2 - 1), "second group", *[""] * (width - width // 2 - 1)]
    yield Polluted("groups over the header", joined([line(groups, Style()), *lines]), table.header, table.rows)
    spaced = [name.replace("a", "a\n", 1) for name in table.header]
    yield Polluted("line ends in the header", joined([line(spaced, Style()), *lines[1:]]),
                   [" ".join(name.split()) for name in spaced], table.rows)  # fmt: skip
    yield Polluted("hash before the header", joined(["#" + lines[0], *lines[1:]]),
                   ["#" + table.header[0], *table.header[1:]], table.rows)  # fmt: skip
    yield Polluted("upper case header", joined([lines[0].upper(), *lines[1:]]),
                   [name.upper() for name in table.header], table.rows)  # fmt: skip
    years = [str(2000 + index) for index in range(width)]
    yield Polluted("years as header", joined([line(["name", *years[1:]], Style()), *lines[1:]]),
                   ["name", *years[1:]], table.rows)  # fmt: skip


@way
def loggers(table: Table) -> Iterator[Polluted]:
    lines = text_of(table)
    tops = {
        "key, value": ["Model,X200", "Serial,00042", "Interval,60 s", ""],
        "key=value": ["model=X200", "serial=00042", ""],
        "ini sections": ["[Header]", "Version,1", "[Data]"],
        "dashes": ["Export", "------", ""],
        "percent comments": ["% instrument X200", "% one line per record"],
        "slashes": ["// generated, do not edit"],
        "xml declaration": ['<?export version="1.0"?>'],
        "ten lines": [f"Setting {number}: {number * 3}" for number in range(10)],
    }
    for name, top in tops.items():
        yield Polluted(f"preamble {name}", joined(top + lines), table.header, table.rows)
    yield Polluted("comment between records", joined([*lines[:9], "# restarted", *lines[9:]]), table.header, table.rows)
    bottoms = {
        "end of file": ["# EOF"],
        "rule, count": ["---", f"{len(table.rows)} records"],
        "copy mark": ["\\."],
        "blank, note, note": ["", "* provisional", "Source: station 5"],
    }
    for name, bottom in bottoms.items():
        yield Polluted(f"footer {name}", joined(lines + bottom), table.header, table.rows)


@way
def characters(table: Table) -> Iterator[Polluted]:
    latin = [[cell.encode("cp1252", "ignore").decode("cp1252") for cell in row] for row in table.rows]
    data = joined(text_of(table._replace(rows=latin))).decode()
    yield Polluted("cp1252", data.encode("cp1252", "replace"), table.header, latin)
    yield Polluted("no-break spaces", data.replace("; ", ";\u00a0").encode(), table.header,
                   [[cell.replace("; ", ";\u00a0") for cell in row] for row in latin])  # fmt: skip
    yield Polluted(
        "bom and sep hint", b"\xef\xbb\xbf" + joined(["sep=,", *text_of(table)], "\r\n"), table.header, table.rows
    )
    ended = joined(text_of(table))
    yield Polluted("ctrl-z at the end", ended + b"\x1a", table.header, table.rows)


@way
def line_ends_mixed(table: Table) -> Iterator[Polluted]:
    bare = flat(table)
    lines = text_of(bare)
    half = len(lines) // 2
    yield Polluted("lf, then crlf", joined(lines[:half]) + joined(lines[half:], "\r\n"), bare.header, bare.rows)
    yield Polluted("crlf in quotes, lf outside", joined(text_of(table)).replace(b"first\nsecond", b"first\r\nsecond"),
                   table.header, [[cell.replace("\n", "\r\n") for cell in row] for row in table.rows])  # fmt: skip
    yield Polluted("cr cr lf", joined(lines, "\r\r\n"), bare.header, bare.rows)


@way
def ragged(table: Table) -> Iterator[Polluted]:
    lines = text_of(table)
    width = len(table.header)
    if width < 3:
        return
    short = [row if index % 4 else [*row[:-2], "", ""] for index, row in enumerate(table.rows)]
    texts = [line(row, Style()) if index % 4 else line(row[:-2], Style()) for index, row in enumerate(short)]
    yield Polluted("every fourth record short", joined([lines[0], *texts]), table.header, short)
    stripped = [line(row, Style()).rstrip(",") for row in table.rows]
    yield Polluted("empty ends left out", joined([lines[0], *stripped]), table.header, table.rows)
    more = [*lines[:6], lines[6] + ",more,and more", *lines[7:]]
    yield Polluted("one record much longer", joined(more), table.header,
                   [*table.rows[:5], [*table.rows[5], "more", "and more"], *table.rows[6:]])  # fmt: skip


@way
def quoting(table: Table) -> Iterator[Polluted]:
    bare = flat(table, ",", '"')
    inches = [[*row[:-1], row[-1] + ' 5"'] for row in bare.rows]
    yield Polluted("inches", joined([",".join(row) for row in [bare.header, *inches]]), bare.header, inches)
    mixed = [[f'"{cell}"' if index % 2 else cell for index, cell in enumerate(row)] for row in bare.rows]
    yield Polluted("every other column quoted", joined([",".join(row) for row in [bare.header, *mixed]]),
                   bare.header, bare.rows)  # fmt: skip
    whole = [f'"{text}"' for text in (",".join(row) for row in [bare.header, *bare.rows])]
    yield Polluted("each line in quotes", joined(whole), bare.header, bare.rows)
    single = Style(";", quote="'", always=True)
    yield Polluted("single quotes and semicolons", joined(text_of(table, single)), table.header, table.rows)
    spaced = [" , ".join(row) for row in [bare.header, *bare.rows]]
    yield Polluted("blanks on both sides", joined(spaced), bare.header, bare.rows)
    escaped = Style(";", escape="\\", always=True)
    yield Polluted("semicolons and backslashes", joined(text_of(table, escaped)), table.header, table.rows)


@way
def several_tables(table: Table) -> Iterator[Polluted]:
    lines = text_of(table)
    yield Polluted("the header again", joined([*lines[:10], lines[0], *lines[10:]]), table.header,
                   [*table.rows[:9], table.header, *table.rows[9:]])  # fmt: skip
    small = ["code,meaning", "1,good", "2,bad"]
    if len(table.header) > 2:
        yield Polluted("a small table below", joined([*lines, "", *small]), table.header, table.rows)
        yield Polluted("a small table above", joined([*small, "", *lines]), table.header, table.rows)
