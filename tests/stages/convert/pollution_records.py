"""One change a file, by plan, the second half: quotes, header, records and cells. See pollution_systematic."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.stages.convert.pollution import Polluted, Rows, Style, Table, line, text_of
from tests.stages.convert.pollution_systematic import is_flat, joined, spots, stripped


def quote_ways(table: Table) -> Iterator[Polluted]:
    header, rows = table.header, table.rows
    lines = text_of(table)
    yield from _quote_marks(table, lines)
    for left, right in ("“”", "„“", "«»", "‘’", "「」"):
        typed = [",".join(f"{left}{cell}{right}" for cell in row) for row in (header, *rows)]
        yield Polluted(f"quotes: {left}{right} around all", joined(typed), header, rows)
    every = text_of(table, Style(always=True))
    yield Polluted("quotes: around all", joined(every), header, rows)
    yield Polluted("quotes: around the header's names", joined([every[0], *lines[1:]]), header, rows)
    yield Polluted("quotes: around all but the header's", joined([lines[0], *every[1:]]), header, rows)
    for escape, name in (("\\", "backslash"), ("^", "caret"), ("'", "apostrophe")):
        for always in (False, True):
            text = text_of(table, Style(escape=escape, always=always))
            if escape == "\\" or any(escape + '"' in one for one in text):
                way = f"quotes: escaped by {name}{', around all' if always else ''}"
                yield Polluted(way, joined(text), header, rows)
    bare = [",".join(_backslashed(cell) for cell in row) for row in (header, *rows)]
    yield Polluted("quotes: none, a backslash before the delimiter", joined(bare), header, rows)
    whole = ['"' + one.replace('"', '""') + '"' for one in lines]
    yield Polluted("quotes: around whole lines", joined(whole), header, rows)
    yield Polluted("quotes: around whole lines, not the header", joined([lines[0], *whole[1:]]), header, rows)
    yield Polluted("quotes: around the header as a whole", joined([whole[0], *lines[1:]]), header, rows)
    twice = [",".join(f'""{cell}""' for cell in row) for row in (header, *rows)]
    if not any("," in cell or '"' in cell for row in (header, *rows) for cell in row):
        yield Polluted("quotes: two around all", joined(twice), header, rows)
    thrice = text_of(Table("", [f'"{name}"' for name in header], [[f'"{cell}"' for cell in row] for row in rows]))
    wanted = [[f'"{cell}"' for cell in row] for row in rows]
    also = ((header, rows),)
    yield Polluted("quotes: three around all", joined(thrice), [f'"{name}"' for name in header], wanted, also)
    for at in (0, len(header) - 1):
        one = [line([cell if n != at else "\0" for n, cell in enumerate(row)], Style()) for row in (header, *rows)]
        text = [
            part.replace("\0", '"' + row[at].replace('"', '""') + '"')
            for part, row in zip(one, (header, *rows), strict=True)
        ]
        yield Polluted(f"quotes: around column {'last' if at else 'first'}", joined(text), header, rows)
    for gap, name in ((' "', "a blank before"), ('" ', "a blank after")):
        loose = [one.replace(',"', "," + gap) if gap == ' "' else one.replace('",', gap + ",") for one in every]
        yield Polluted(f"quotes: {name}", joined(loose), header, rows)
    yield from _quotes_in_one(table, lines, every)


def _quote_marks(table: Table, lines: list[str]) -> Iterator[Polluted]:
    for mark in "'`´|$~^%*":
        for always in (False, True):
            style = Style(quote=mark, always=always)
            way = f"quotes: {mark!a}{' around all' if always else ''}"
            if always or any(mark in line or "," in line for line in lines):
                yield Polluted(way, joined(text_of(table, style)), table.header, table.rows)


def _backslashed(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace(",", "\\,").replace("\n", "\\\n")


def _quotes_in_one(table: Table, lines: list[str], every: list[str]) -> Iterator[Polluted]:
    for spot in spots(table):
        at = spot.at + 1
        yield from _one(table, lines, at, every[at], f"quotes: around all of the {spot.name} record")
        whole = '"' + lines[at].replace('"', '""') + '"'
        yield from _one(table, lines, at, whole, f"quotes: around the {spot.name} record as a whole")
        other = line(table.rows[spot.at], Style(quote="'", always=True))
        if "'" not in "".join(table.rows[spot.at]):
            yield from _one(table, lines, at, other, f"quotes: ' in the {spot.name} record")
        yield from _strays(table, spot.at, spot.name)


def _one(table: Table, lines: list[str], at: int, spoilt: str, way: str, *wanted: list[str]) -> Iterator[Polluted]:
    """One of LINES spoilt, which any of WANTED would be right for (none: the record as it was)."""
    readings = [[*table.rows[: at - 1], row, *table.rows[at:]] for row in wanted or (table.rows[at - 1],)]
    data = joined([*lines[:at], spoilt, *lines[at + 1 :]])
    yield Polluted(way, data, table.header, readings[0], tuple((table.header, rows) for rows in readings[1:]))


def _strays(table: Table, at: int, where: str) -> Iterator[Polluted]:
    """Quotes that nobody doubled or closed, in the first, a middle and the last cell, in plain and quoted files."""
    row = table.rows[at]
    cells = sorted({0, len(row) // 2, len(row) - 1})
    for always in (False, True):
        lines = text_of(table, Style(always=always))
        for cell in cells:
            text = row[cell]
            middle = len(text) // 2
            shapes = {
                "before": '"' + text,
                "in": text[:middle] + '"' + text[middle:],
                "after": text + '"',
                "around a word of": text[:middle] + ' "so" ' + text[middle:],
            }
            for name, spoilt in shapes.items():
                if any(mark in text for mark in ',"\n') and not always:
                    continue
                if '"' in text:
                    continue
                parts = [line([part], Style(always=always)) for part in row]
                parts[cell] = f'"{spoilt}"' if always else spoilt
                whole = [*row[:cell], spoilt, *row[cell + 1 :]]
                place = f"{name} cell {cell + 1 if cell < len(row) - 1 else 'last'} of the {where} record"
                way = f"quotes: one {place}{', all quoted' if always else ''}"
                yield from _one(table, lines, at + 1, ",".join(parts), way, whole, row)
            if always:
                parts = [line([part], Style(always=True)) for part in row]
                for name, shape in (("closed", parts[cell][:-1]), ("opened", parts[cell][1:])):
                    spoilt_row = ",".join([*parts[:cell], shape, *parts[cell + 1 :]])
                    place = f"cell {cell + 1 if cell < len(row) - 1 else 'last'} of the {where} record"
                    kept = [*row[:cell], shape.replace('""', '"'), *row[cell + 1 :]]
                    yield from _one(table, lines, at + 1, spoilt_row, f"quotes: not {name}, {place}", row, kept)


def header_ways(table: Table) -> Iterator[Polluted]:
    header, rows = table.header, table.rows
    lines = text_of(table)
    body = lines[1:]
    last = len(header) - 1

    def case(way: str, first: list[str], wanted: list[str] | None = None, kept: Rows | None = None) -> Polluted:
        names = header if wanted is None else wanted
        return Polluted(f"header: {way}", joined([*first, *body]), names, rows if kept is None else kept)

    yield Polluted("header: none", joined(body), None, rows)
    yield Polluted("header: none, all quoted", joined(text_of(table, Style(always=True), header=False)), None, rows)
    for name, at in (("first", 0), ("middle", last // 2), ("last", last)):
        empty = ["" if n == at else cell for n, cell in enumerate(header)]
        yield case(f"{name} name empty", [line(empty, Style())], empty)
        fewer = [cell for n, cell in enumerate(header) if n != at]
        names = ["", *fewer] if at == 0 else [*fewer, ""]
        if last > 2:
            yield case(f"{name} name missing", [line(fewer, Style())], names)
        numbered = ["7" if n == at else cell for n, cell in enumerate(header)]
        yield case(f"{name} name a number", [line(numbered, Style())], numbered)
    yield Polluted("header: all names empty", joined(["," * last, *body]), None, rows)
    yield case("one name more", [line([*header, "spare"], Style())], [*header, "spare"])
    yield case("two names more", [line([*header, "spare", "free"], Style())], [*header, "spare", "free"])
    yield case("one name in front", [line(["spare", *header], Style())], ["spare", *header])
    yield case("two names alike", [line([*header[:-1], header[0]], Style())], [*header[:-1], header[0]])
    yield case("all names alike", [line(["value"] * len(header), Style())], ["value"] * len(header))
    yield case("twice", [lines[0], lines[0]])
    years = [str(1990 + n) for n in range(len(header))]
    yield case("years", [",".join(years)], years)
    dates = [f"2020-{1 + n % 12:02}-01" for n in range(len(header))]
    yield case("dates", [",".join(dates)], dates)
    letters = [chr(65 + n % 26) * (1 + n // 26) for n in range(len(header))]
    yield case("letters", [",".join(letters)], letters)
    marked = ["#" + header[0], *header[1:]]
    yield case("behind a hash", [line(marked, Style())], marked) if '"' not in header[0] else case("", lines[:1])
    long = [
        f"{name} (as it was asked for in the second wave of the year, see annex {n})" for n, name in enumerate(header)
    ]
    yield case("long names", [line(long, Style())], long)
    broken = [f"{name}\n(unit)" for name in header]
    yield case("names of two lines", [line(broken, Style())], broken)
    yield case("capitals", [lines[0].upper()], [name.upper() for name in header])
    yield case("underlined", [lines[0], ",".join("-" * max(len(name), 3) for name in header)])
    yield case("in brackets", [",".join(f"[{name}]" for name in letters)], [f"[{name}]" for name in letters])
    yield case("padded", [", ".join(letters)], letters)
    yield case("no blank in front of a comment", [lines[0], "# all figures provisional"])
    groups = ["base" if n < 2 else "more" for n in range(len(header))]
    spread = [name if n in (0, 2) else "" for n, name in enumerate(groups)]
    yield from _two_lines(table, lines, groups, spread)
    half = len(body) // 2
    middle = [*lines[: half + 1], lines[0], *body[half:]]
    yield Polluted("header: again in the middle", joined(middle), header, rows)
    pages = [part for n in range(0, len(body), 10) for part in (lines[0], *body[n : n + 10])]
    yield Polluted("header: again on each page", joined(pages), header, rows)
    blank = [part for n in range(0, len(body), 10) for part in (lines[0], *body[n : n + 10], "")]
    yield Polluted("header: again on each page, a blank line between", joined(blank), header, rows)
    yield Polluted("header: again at the end", joined([*lines, lines[0]]), header, rows)
    named = [lines[0], *[f"r{n},{one}" for n, one in enumerate(body, 1)]]
    yield Polluted(
        "header: row names", joined(named), ["", *header], [[f"r{n}", *row] for n, row in enumerate(rows, 1)]
    )
    counted = [lines[0], *[f"{n},{one}" for n, one in enumerate(body)]]
    yield Polluted(
        "header: row numbers", joined(counted), ["", *header], [[str(n), *row] for n, row in enumerate(rows)]
    )


def _two_lines(table: Table, lines: list[str], groups: list[str], spread: list[str]) -> Iterator[Polluted]:
    """Header of two lines: both joined, or the lower names with the upper line anywhere or nowhere."""
    header, rows = table.header, table.rows
    units = ["(m)" if n % 2 else "(kg)" for n in range(len(header))]
    types = ["text" if n % 2 else "number" for n in range(len(header))]
    for way, upper, lower in (
        ("groups above", groups, header),
        ("merged groups above", spread, header),
        ("units below", header, units),
        ("types below", header, types),
    ):
        text = [line(upper, Style()), line(lower, Style()), *lines[1:]]
        both = [f"{one} {two}".strip() for one, two in zip(upper, lower, strict=True)]
        also = ((header, rows), (header, [lower, *rows]), (upper, [lower, *rows]))
        yield Polluted(f"header: {way}", joined(text), both, rows, also)


def record_ways(table: Table) -> Iterator[Polluted]:
    lines = text_of(table)
    width = len(table.header)
    for spot in spots(table):
        row, where, at = table.rows[spot.at], f"the {spot.name} record", spot.at + 1

        def with_row(way: str, *texts: str, wanted: tuple[Rows, ...], at: int = at) -> Polluted:
            data = joined([*lines[:at], *texts, *lines[at + 1 :]])
            readings = [[*table.rows[: at - 1], *part, *table.rows[at:]] for part in wanted]
            also = tuple((table.header, rows) for rows in readings[1:])
            return Polluted(f"record: {way}", data, table.header, readings[0], also)

        def plain(cells: list[str]) -> str:
            return line(cells, Style())

        for short in {1, 2, width - 1} - {0, width}:
            kept = row[: width - short]
            yield with_row(f"{min(short, 3)} fewer in {where}", plain(kept), wanted=([kept],))
        yield with_row(f"first cell gone from {where}", plain(row[1:]), wanted=([row[1:]],))
        for more in (1, 2, width):
            longer = [*row, *["extra"] * more]
            yield with_row(f"{min(more, 3)} more in {where}", plain(longer), wanted=([longer],))
        yield with_row(f"one more in front of {where}", plain(["extra", *row]), wanted=([["extra", *row]],))
        doubled = [*row[:1], "", *row[1:]]
        yield with_row(f"a delimiter doubled in {where}", plain(doubled), wanted=([doubled],))
        yield with_row(f"a delimiter after {where}", plain(row) + ",", wanted=([row],))
        yield with_row(f"three delimiters after {where}", plain(row) + ",,,", wanted=([row],))
        yield with_row(f"a delimiter before {where}", "," + plain(row), wanted=([["", *row]],))
        for name, empty in (("blank line", ""), ("line of blanks", "  "), ("line of delimiters", "," * (width - 1))):
            yield with_row(f"{name} before {where}", empty, plain(row), wanted=([row], [[""] * width, row]))
            yield with_row(f"{name} in place of {where}", empty, wanted=([], [[""] * width]))
        yield with_row(
            f"quoted nothing before {where}", ",".join(['""'] * width), plain(row), wanted=([[""] * width, row], [row])
        )
        yield with_row(f"{where} twice", plain(row), plain(row), wanted=([row, row],))
        for name, word in (("comment", "# checked"), ("remark", "see below"), ("ruler", "-----"), ("number", "7")):
            yield with_row(f"a {name} before {where}", word, plain(row), wanted=([row], [[word], row]))
        if is_flat(table):
            half = width // 2
            left, right = plain(row[:half]), plain(row[half:])
            parts = ([row], [row[:half], row[half:]])
            yield with_row(
                f"{where} broken before a delimiter", left, "," + right, wanted=([row], [row[:half], ["", *row[half:]]])
            )
            yield with_row(
                f"{where} broken after a delimiter", left + ",", right, wanted=(*parts, [[*row[:half], ""], row[half:]])
            )
            yield from _broken(with_row, plain, row, half, where)
        nul = [row[0] + "\0", *row[1:]]
        yield with_row(f"NUL in {where}", plain(nul), wanted=([nul], [row]))
        yield with_row(f"blanks before {where}", "   " + plain(row) if row[0] else plain(row), wanted=([row],))
        yield with_row(f"blanks after {where}", plain(row) + "   ", wanted=([row],))
        odd = "\n".join([*lines[:at], plain([*row[:-1], row[-1] + " caf"]), *lines[at + 1 :]]).encode()
        wanted = [*table.rows[: at - 1], [*row[:-1], row[-1] + " café"], *table.rows[at:]]
        if row[-1] and "\n" not in row[-1] and all(ord(c) < 128 for c in "".join(lines)):
            yield Polluted(f"record: latin-1 in {where}", odd.replace(b" caf", b" caf\xe9"), table.header, wanted)
    yield from _many_records(table, lines)


def _broken(
    with_row: Callable[..., Polluted], plain: Callable[[list[str]], str], row: list[str], half: int, where: str
) -> Iterator[Polluted]:
    text = row[half]
    if len(text) > 3 and not any(mark in text for mark in ',"'):
        one, two = text[: len(text) // 2], text[len(text) // 2 :]
        mended = [[[*row[:half], f"{one}{gap}{two}", *row[half + 1 :]]] for gap in ("\n", " ", "")]
        apart = [[*row[:half], one], [two, *row[half + 1 :]]]
        first, second = plain(row[:half]) + "," + one, ",".join([two, *[plain([cell]) for cell in row[half + 1 :]]])
        yield with_row(f"{where} broken in a cell", first, second, wanted=(*mended, apart))


def _many_records(table: Table, lines: list[str]) -> Iterator[Polluted]:
    header, rows = table.header, table.rows
    trimmed = [line(_without_empty_end(row), Style()) for row in rows]
    yield Polluted("record: empty cells at the end left out", joined([lines[0], *trimmed]), header, rows)
    for way, step in (("every second", 2), ("every fifth", 5)):
        kept = [row[:-1] if n % step == 1 else row for n, row in enumerate(rows)]
        yield Polluted(f"record: {way} one short", joined(text_of(Table("", header, kept))), header, kept)
        longer = [[*row, "extra"] if n % step == 1 else row for n, row in enumerate(rows)]
        yield Polluted(f"record: {way} one long", joined(text_of(Table("", header, longer))), header, longer)
    longer = [[*row, "extra"] for row in rows]
    yield Polluted("record: each one long", joined(text_of(Table("", header, longer))), header, longer)
    shorter = [row[:-1] for row in rows]
    yield Polluted("record: each one short", joined(text_of(Table("", header, shorter))), header, shorter)
    numbered = [[*header], *[[*row, str(n)] for n, row in enumerate(rows)]]
    yield Polluted("record: each ends by a number", joined([line(r, Style()) for r in numbered]), header, numbered[1:])


def _without_empty_end(row: list[str]) -> list[str]:
    filled = max((n for n, cell in enumerate(row, 1) if cell), default=0)
    return row[: max(filled, 1)]


CELLS = {
    "very long": "lorem ipsum " * 4_000,
    "longer than a block": "x" * 300_000,
    "control characters": "a\x01b\x07c\x1bd",
    "vertical tab": "a\x0bb",
    "form feed": "a\x0cb",
    "tab": "left\tright",
    "delimiter": "left, right",
    "only a delimiter": ",",
    "many delimiters": ",".join("abcdefghij") * 4,
    "semicolons": "a;b;c;d;e;f",
    "bars": "a|b|c|d|e",
    "line end": "one\ntwo",
    "crlf": "one\r\ntwo",
    "cr": "one\rtwo",
    "blank lines": "one\n\n\ntwo",
    "only a line end": "\n",
    "line end at its end": "one\n",
    "line end in front": "\none",
    "sixty lines": "\n".join(f"line {n}, and so on" for n in range(60)),
    "doubled quotes": 'he said "yes", twice',
    "only a quote": '"',
    "quotes in front": '"yes" he said',
    "quotes at the end": 'he said "yes"',
    "inches": "3/4\" pipe, 6' long",
    "apostrophes": "it's Ann's",
    "json": '{"a": [1, 2, {"b": "c,d"}], "e": null}',
    "html": '<a href="x.html" title="a, b">link</a><br/>',
    "url": "https://example.org/a?b=1,2&c=d;e#f|g",
    "formula": '=HYPERLINK("http://x.org","x")',
    "zeros kept by a formula": '="00123"',
    "backslash": "C:\\temp\\",
    "backslash n": "one\\ntwo",
    "no-break space": "one\u00a0two",
    "line separator": "one\u2028two",
    "next line": "one\u0085two",
    "zero width": "one\u200btwo",
    "emoji": "👩‍👩‍👧 ok",
    "arabic": "مرحبا، كيف الحال؟",
    "blanks around": "  padded  ",
    "only blanks": "   ",
    "a csv": 'a,b\n1,"x"\n2,y\n',
    "NULL": "NULL",
    "dash": "-",
    "hash": "# 5",
    "rulers": "-----",
}


def cell_ways(table: Table) -> Iterator[Polluted]:
    header, rows = table.header, table.rows
    at = len(header) - 1 if table.name != "articles" else 1
    for name, value in CELLS.items():
        for spot in spots(table)[::2] if name.startswith(("very", "longer")) else spots(table):
            spoilt = [[*row[:at], value, *row[at + 1 :]] if n == spot.at else row for n, row in enumerate(rows)]
            also = ((header, stripped(spoilt)),)
            text = joined(text_of(Table("", header, spoilt)))
            yield Polluted(f"cell: {name} in the {spot.name} record", text, header, spoilt, also)
        spoilt = [[*row[:at], value[:3_000], *row[at + 1 :]] for row in rows]
        text = joined(text_of(Table("", header, spoilt)))
        yield Polluted(f"cell: {name} in every record", text, header, spoilt, ((header, stripped(spoilt)),))
    for name, empty in (
        ("quoted", '""'),
        ("a blank", " "),
        ("NULL", "NULL"),
        ("\\N", "\\N"),
        ("n/a", "n/a"),
        ("-", "-"),
    ):
        text = [",".join(line([cell], Style()) if cell else empty for cell in row) for row in (header, *rows)]
        kept = [[cell or empty.strip('"') for cell in row] for row in rows]
        yield Polluted(f"cell: {name} for nothing", joined(text), header, kept, ((header, rows),))
    for column, place in ((0, "first"), (at, "last")):
        void = [["" if n == column else cell for n, cell in enumerate(row)] for row in rows]
        yield Polluted(f"cell: nothing in the {place} column", joined(text_of(Table("", header, void))), header, void)
    grouped = [[f"{1000 + 37 * n:,}" if k == at else cell for k, cell in enumerate(row)] for n, row in enumerate(rows)]
    yield Polluted("cell: thousands in quotes", joined(text_of(Table("", header, grouped))), header, grouped)
    german = [
        [f"{1000 + 37 * n},{n % 90:02}" if k == at else c for k, c in enumerate(row)] for n, row in enumerate(rows)
    ]
    yield Polluted(
        "cell: comma numbers", joined(text_of(Table("", header, german), Style(delimiter=";"))), header, german
    )
    for mark, name in (("\u00a0", "no-break space"), ("'", "apostrophe"), (" ", "blank"), (".", "point")):
        text = [[cell.replace(",", mark) if k == at else cell for k, cell in enumerate(row)] for row in grouped]
        yield Polluted(f"cell: thousands by {name}", joined(text_of(Table("", header, text))), header, text)
