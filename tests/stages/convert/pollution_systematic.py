"""One change a file, by plan: what can be done to a file, its delimiter, its quotes, header, records and cells.

Each way is tried on several tables (narrow, wide, of text, of numbers, of dates, with line ends in cells) and, where it
touches one record, on the first, the second, one in the middle and the last.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from tests.stages.convert.pollution import Polluted, Rows, Style, Table, text_of

WORDS = [
    "harbour",
    "window",
    "copper",
    "winter",
    "garden",
    "ladder",
    "signal",
    "velvet",
    "engine",
    "timber",
    "bridge",
    "candle",
    "marble",
    "falcon",
]
NAMES = [
    "Anna Müller",
    "Bob Stone",
    "Carla Rossi",
    "Dmitri Orlov",
    "Eva Novák",
    "Farid Haddad",
    "Grace O'Neill",
    "Henk de Vries",
]
TOWNS = ["Berlin", "Lyon", "Porto", "Kraków", "Malmö", "Graz", "Ghent", "Cork"]


def bases() -> list[Table]:
    chance = random.Random(4180)
    makers = (_stock, _contacts, _readings, _ledger, _articles, _panel, _survey, _incidents)
    return [make(chance) for make in makers]


def _stock(chance: random.Random) -> Table:
    rows = [[str(100 + n), chance.choice(WORDS), str(chance.randrange(1, 90))] for n in range(12)]
    return Table("stock", ["item", "label", "on_hand"], rows)


def _contacts(chance: random.Random) -> Table:
    rows = [
        [
            NAMES[n % 8],
            f"{chance.choice(WORDS).title()} Street {chance.randrange(1, 99)}, {TOWNS[n % 8]}",
            f"+49 30 {chance.randrange(100000, 999999)}",
            f"{WORDS[n % 14]}{n}@example.org",
            "" if n % 5 == 0 else f"met at the {chance.choice(WORDS)}; wrote back",
        ]
        for n in range(40)
    ]
    return Table("contacts", ["Name", "Address", "Phone", "E-mail", "Remarks"], rows)


def _readings(chance: random.Random) -> Table:
    rows = [
        [
            f"2023-03-{1 + n // 24:02} {n % 24:02}:00:00",
            f"{chance.uniform(-8, 30):.2f}",
            f"{chance.uniform(0, 100):.1f}",
            "" if n % 11 == 3 else str(chance.randrange(980, 1040)),
            f"{chance.uniform(0, 12):.3f}",
            str(n % 2),
        ]
        for n in range(80)
    ]
    return Table("readings", ["time", "temp_c", "humidity", "pressure", "wind", "rain"], rows)


def _ledger(chance: random.Random) -> Table:
    rows = [
        [
            f"{1 + n % 28:02}.{1 + n % 12:02}.2022",
            f"00{chance.randrange(10000, 99999)}",
            f"{chance.randrange(1, 30)},{chance.randrange(100, 999)}.{n % 10}0",
            chance.choice(["EUR", "USD", "CHF"]),
            f"{chance.choice(WORDS)} {chance.choice(WORDS)}",
        ]
        for n in range(30)
    ]
    return Table("ledger", ["Booked", "Account", "Amount", "Currency", "Purpose"], rows)


def _articles(chance: random.Random) -> Table:
    def prose(n: int) -> str:
        lines = [" ".join(chance.choice(WORDS) for _ in range(9)) + "." for _ in range(1 + n % 4)]
        return "\n".join(lines) + (' He said "no", and left.' if n % 3 == 0 else "")

    rows = [[str(n), f"On the {chance.choice(WORDS)}", prose(n), TOWNS[n % 8]] for n in range(1, 16)]
    return Table("articles", ["nr", "title", "body", "place"], rows)


def _panel(chance: random.Random) -> Table:
    rows = [[f"S{n:03}"] + [f"{chance.uniform(0, 9):.2f}" for _ in range(35)] for n in range(25)]
    return Table("panel", ["station"] + [f"m{n:02}" for n in range(1, 36)], rows)


def _survey(chance: random.Random) -> Table:
    likert = ["strongly agree", "agree", "neither", "disagree", "strongly disagree"]
    rows = [[chance.choice(NAMES)] + [chance.choice(likert) for _ in range(4)] for _ in range(20)]
    asked = ["Who are you?", "The staff was friendly, on the whole", "I would come again", "Price", 'The "extras"']
    return Table("survey", asked, rows)


def _incidents(chance: random.Random) -> Table:
    rows = [
        [
            f"{n % 12 + 1}/{n % 28 + 1}/2019",
            f"{n % 24}:{n % 60:02}",
            f"INC-{1000 + n}",
            chance.choice(["theft", "fire, small", "flood", "noise"]),
            chance.choice(TOWNS),
            "" if n % 3 else str(chance.randrange(1, 9)),
            chance.choice(["open", "closed", ""]),
            f"{chance.uniform(40, 55):.5f}",
            f"{chance.uniform(0, 20):.5f}",
            f"{chance.choice(WORDS)}\nsecond line" if n % 9 == 4 else chance.choice(WORDS),
        ]
        for n in range(84)
    ]
    names = ["Date", "Time", "Case No.", "Kind", "Town", "Injured", "State", "Lat", "Lon", "Notes"]
    return Table("incidents", names, rows)


class Spot(NamedTuple):
    """Where one record is spoilt."""

    name: str
    at: int


def spots(table: Table) -> list[Spot]:
    last = len(table.rows) - 1
    return [Spot("first", 0), Spot("second", 1), Spot("middle", last // 2), Spot("last", last)]


def joined(lines: list[str], end: str = "\n") -> bytes:
    return (end.join(lines) + end).encode()


def is_flat(table: Table) -> bool:
    """No cell with a line end."""
    return not any("\n" in cell for row in table.rows for cell in row)


def stripped(rows: Rows) -> Rows:
    return [[cell.strip() for cell in row] for row in rows]


def file_ways(table: Table) -> Iterator[Polluted]:
    lines = text_of(table)
    header, rows = table.header, table.rows

    def case(way: str, data: bytes) -> Polluted:
        return Polluted(f"file: {way}", data, header, rows)

    for name in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "cp1250", "mac_roman"):
        try:
            yield case(f"as {name}", joined(lines).decode().encode(name))
        except UnicodeEncodeError:
            continue
    yield case("nothing changed", joined(lines))
    yield case("no last line end", joined(lines)[:-1])
    ends = [("cr", "\r"), ("crlf", "\r\n"), ("lfcr", "\n\r"), ("crcrlf", "\r\r\n"), ("rs", "\x1e")]
    for name, end in ends:
        yield case(f"ends of {name}", joined(lines, end))
    for name, end in ends[:3]:
        yield case(f"ends of {name}, none at last", end.join(lines).encode())
        half = len(lines) // 2
        yield case(f"first line ends by {name}", (lines[0] + end + "\n".join(lines[1:]) + "\n").encode())
        yield case(f"one line ends by {name}", ("\n".join(lines[:half]) + end + "\n".join(lines[half:])).encode())
    commas = "," * (len(header) - 1)
    for name, empty in (("blank", ""), ("spaces", "   "), ("delimiters", commas), ("tab", "\t"), ("quotes", '""')):
        for count in (1, 3):
            yield case(f"{count} lines of {name} in front", joined([empty] * count + lines))
            yield case(f"{count} lines of {name} under the header", joined([lines[0], *[empty] * count, *lines[1:]]))
            yield case(f"{count} lines of {name} at the end", joined(lines + [empty] * count))
    yield case("every second line blank", joined([part for line in lines for part in (line, "")]))
    yield case("every line indented", joined(["    " + line for line in lines]) if is_flat(table) else joined(lines))
    loose = [[*row[:-1], row[-1] + "   "] for row in rows]
    spaced = joined([line + "   " for line in lines])
    yield Polluted("file: blanks after every line", spaced, header, rows, ((header, loose),))
    yield case("padded by NULs", joined(lines) + b"\0" * 512)
    yield case("ends by ctrl-z", joined(lines) + b"\x1a")
    yield case("fenced", joined(["```csv", *lines, "```"]))
    yield case("two byte order marks", b"\xef\xbb\xbf\xef\xbb\xbf" + joined(lines))
    yield case("byte order mark, quoted", b"\xef\xbb\xbf" + joined(text_of(table, Style(always=True))))
    yield case("cut in the last record", joined(lines)) if not is_flat(table) else _cut(table, lines)
    yield from _around(table, lines)


def _cut(table: Table, lines: list[str]) -> Polluted:
    kept = table.rows[-1][:-1]
    data = joined(lines)[: -len(lines[-1].rpartition(",")[2]) - 2]
    return Polluted("file: cut in the last record", data, table.header, [*table.rows[:-1], kept])


FRONTS = {
    "title": ["Quarterly stock report"],
    "title, blank": ["Quarterly stock report", ""],
    "title, date, blank": ["Quarterly stock report", "Printed 03/05/2023 10:14", ""],
    "keys by colon": ["Report: stock", "Printed: 2023-05-03 10:14", "User: meier", ""],
    "keys by delimiter": ["Report,stock", "Printed,2023-05-03 10:14", ""],
    "keys by delimiter, no blank": ["Report,stock", "Printed,2023-05-03 10:14"],
    "quoted sentence": ['"Figures, as far as known, of all branches"', ""],
    "sentence with commas": ["Figures, as far as known, of all branches, in thousands", ""],
    "hash": ["# made by exporter 2.1", "# 2023-05-03"],
    "percent": ["% made by exporter 2.1"],
    "dashes": ["-- made by exporter 2.1", "--"],
    "sep": ["sep=,"],
    "quoted sep": ['"sep=,"'],
    "ruler": ["Stock report", "=" * 40],
    "long words": ["The figures below were collected by the branches and are provisional.", "Do not quote them.", ""],
    "xml": ["<?xml version='1.0'?>"],
    "path": ["C:\\Exports\\stock_2023.csv", ""],
    "number": ["12", ""],
    "byte count": ["84"],
}
BACKS = {
    "source": ["Source: the branches"],
    "blank, source": ["", "Source: the branches, 2023"],
    "blank, notes": ["", "* provisional", "** estimated, see the handbook"],
    "rows": ["(12 rows)"],
    "rows selected": ["", "12 rows selected."],
    "end of report": ["-- End of report --"],
    "copy mark": ["\\."],
    "printed": ["Printed on 03/05/2023 by meier"],
    "page": ["Page 1 of 1"],
    "ruler": ["=" * 40],
    "hash": ["# end"],
    "eof": ["EOF"],
}


def _around(table: Table, lines: list[str]) -> Iterator[Polluted]:
    width = len(table.header)
    padded = {f"{name}, to full width": [_filled(line, width) for line in text] for name, text in FRONTS.items()}
    for name, text in FRONTS.items():
        yield Polluted(f"file: in front {name}", joined(text + lines), table.header, table.rows)
    for name in ("title", "title, blank", "title, date, blank", "keys by colon", "keys by delimiter", "hash"):
        way = f"{name}, to full width"
        yield Polluted(f"file: in front {way}", joined(padded[way] + lines), table.header, table.rows)
    for name, text in BACKS.items():
        yield Polluted(f"file: at the end {name}", joined(lines + text), table.header, table.rows)
    for name in ("source", "blank, source", "blank, notes"):
        text = [_filled(line, width) for line in BACKS[name]]
        yield Polluted(f"file: at the end {name}, to full width", joined(lines + text), table.header, table.rows)
    below = ["", "branch,staff", "Lyon,3", "Porto,9"]
    yield Polluted("file: another table below", joined(lines + below), table.header, table.rows)
    yield Polluted("file: another table in front", joined([*below[1:], "", *lines]), table.header, table.rows)
    doubled = [*lines, "", *lines]
    yield Polluted("file: the same table again", joined(doubled), table.header, table.rows * 2)


def _filled(line: str, width: int) -> str:
    cells = f'"{line}"' if "," in line and line.count(",") != 1 and '"' not in line else line
    held = 2 if "," in line and line.count(",") == 1 else 1
    return cells + "," * (width - held)


DELIMITERS = [*";\t|:^~ !#$%&*+/=@_", "§", "¦", "¬", "\x01", "\x1f", "\x07", "\x14", "•", "，", "；", "→", "·"]
WIDER = ["||", "::", "|||", "~|~", "^|^", "|^|", ";;", ",,", "$$", "@@", "##", "->", "=>", "<>", "\t\t", "&&", "~~"]
PADDED = [", ", " ,", " , ", "; ", " ; ", " | ", "\t ", ",\t", ",  ", " : ", " - ", "|\t"]


def delimiter_ways(table: Table) -> Iterator[Polluted]:
    header, rows = table.header, table.rows
    for mark in [*DELIMITERS, *WIDER, *PADDED]:
        for always in (False, True):
            style = Style(delimiter=mark, always=always)
            way = f"delimiter: {mark!a}{', all quoted' if always else ''}"
            if always and len(mark) > 1 and mark not in ("||", "::", ", ", " | "):
                continue
            yield Polluted(way, joined(text_of(table, style)), header, rows)
    width = [max(len(row[at]) for row in (header, *rows)) for at in range(len(header))]
    if is_flat(table):
        for mark in (";", "|", "\t"):
            aligned = [
                mark.join(f"{cell:{wide}}" for cell, wide in zip(row, width, strict=True)) for row in (header, *rows)
            ]
            yield Polluted(f"delimiter: aligned by {mark!a}", joined(aligned), header, stripped(rows))
    yield from _delimiters_here_and_there(table)


def _delimiters_here_and_there(table: Table) -> Iterator[Polluted]:
    header, rows = table.header, table.rows
    lines = text_of(table)
    for mark in (";", "\t", "|", ", ", " ", ":", "||"):
        other = text_of(table, Style(delimiter=mark))
        yield Polluted(f"delimiter: {mark!a} in the header", joined([other[0], *lines[1:]]), header, rows)
        yield Polluted(f"delimiter: {mark!a} in all but the header", joined([lines[0], *other[1:]]), header, rows)
        for spot in spots(table):
            one = [*lines[: spot.at + 1], other[spot.at + 1], *lines[spot.at + 2 :]]
            yield Polluted(f"delimiter: {mark!a} in the {spot.name} record", joined(one), header, rows)
    yield Polluted("delimiter: one more at each end", joined([line + "," for line in lines]), header, rows)
    yield Polluted("delimiter: three more at each end", joined([line + ",,," for line in lines]), header, rows)
    after = [lines[0], *[line + "," for line in lines[1:]]]
    yield Polluted("delimiter: one more at the end of records", joined(after), header, rows)
    before = ["," + line for line in lines]
    yield Polluted("delimiter: one more at each start", joined(before), ["", *header], [["", *row] for row in rows])
    yield Polluted("delimiter: one more after the header", joined([lines[0] + ",", *lines[1:]]), header, rows)
    some = [line + ("," if at % 2 else "") for at, line in enumerate(lines)]
    yield Polluted("delimiter: one more now and then", joined(some), header, rows)
