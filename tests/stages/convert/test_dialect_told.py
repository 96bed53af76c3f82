"""Files that say themselves how they're laid out: drawn tables, dashes under names, logs, stations."""

from __future__ import annotations

import pytest

from stages.convert.text import delimited
from tests.stages.convert.conftest import Bench, Converted

HEADER = ["id", "name", "town"]
ROWS = [("ab", "Ann, Lee", "Malmö"), ("cd", None, 'the "Hague"'), (None, "Bob", None), ("ef", "'Eve'", "日本")]

DRAWN = {
    "light": """\
┌────┬──────────┬─────────────┐
│ id │   name   │    town     │
├────┼──────────┼─────────────┤
│ ab │ Ann, Lee │ Malmö       │
│ cd │          │ the "Hague" │
│    │ Bob      │             │
│ ef │ 'Eve'    │ 日本        │
└────┴──────────┴─────────────┘
""",
    "double": """\
╔════╦══════════╦═════════════╗
║ id ║ name     ║ town        ║
╠════╬══════════╬═════════════╣
║ ab ║ Ann, Lee ║ Malmö       ║
║ cd ║          ║ the "Hague" ║
║    ║ Bob      ║             ║
║ ef ║ 'Eve'    ║ 日本        ║
╚════╩══════════╩═════════════╝
""",
    "heavy head": """\
┏━━━━┳━━━━━━━━━━┳━━━━━━━━━━━━━┓
┃ id ┃ name     ┃ town        ┃
┡━━━━╇━━━━━━━━━━╇━━━━━━━━━━━━━┩
│ ab │ Ann, Lee │ Malmö       │
│ cd │          │ the "Hague" │
│    │ Bob      │             │
│ ef │ 'Eve'    │ 日本        │
└────┴──────────┴─────────────┘
""",
    "no edges": """\
 id │   name   │    town
────┼──────────┼─────────────
 ab │ Ann, Lee │ Malmö
 cd │          │ the "Hague"
    │ Bob      │
 ef │ 'Eve'    │ 日本
""",
    "types below": """\
┌────┬──────────┬─────────────┐
│ id ┆ name     ┆ town        │
│ --- ┆ ---     ┆ ---         │
│ str ┆ str     ┆ str         │
╞════╪══════════╪═════════════╡
│ ab ┆ Ann, Lee ┆ Malmö       │
│ cd ┆          ┆ the "Hague" │
│    ┆ Bob      ┆             │
│ ef ┆ 'Eve'    ┆ 日本        │
└────┴──────────┴─────────────┘
""",
    "plus and minus": """\
+----+----------+-------------+
| id |   name   |    town     |
+----+----------+-------------+
| ab | Ann, Lee | Malmö       |
| cd |          | the "Hague" |
|    | Bob      |             |
| ef | 'Eve'    | 日本        |
+----+----------+-------------+
""",
    "a grid": """\
+----+----------+-------------+
| id |   name   |    town     |
+====+==========+=============+
| ab | Ann, Lee | Malmö       |
+----+----------+-------------+
| cd |          | the "Hague" |
+----+----------+-------------+
|    | Bob      |             |
+----+----------+-------------+
| ef | 'Eve'    | 日本        |
+----+----------+-------------+
""",
    "markdown": """\
| id |   name   |    town     |
|----|:--------:|------------:|
| ab | Ann, Lee | Malmö       |
| cd |          | the "Hague" |
|    | Bob      |             |
| ef | 'Eve'    | 日本        |
""",
    "dashes": """\
id  name      town
--  --------  -----------
ab  Ann, Lee  Malmö
cd            the "Hague"
    Bob
ef  'Eve'     日本
""",
    "dashes, one blank, a title and a footer": """\
All of them

id         name     town
-- -------- -----------
ab Ann, Lee Malmö
cd          the "Hague"
   Bob
ef 'Eve'    日本
""".replace("id         name", "id name    "),
}


def names(done: Converted) -> list[str]:
    assert done.part.facts["has_header"]
    return [column.name for column in done.part.columns]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("way", DRAWN)
def test_tables_as_on_a_screen(bench: Bench, way: str, end: str) -> None:
    done = bench.csv(DRAWN[way].replace("\n", end).encode())
    assert (names(done), done.rows, done.part.rejected) == (HEADER, ROWS, 0)


@pytest.mark.parametrize("way", ["light", "no edges", "plus and minus", "dashes"])
def test_in_pieces(bench: Bench, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "CHUNK", 700)
    lines = DRAWN[way].splitlines()
    records = [line for line in lines if any(word in line for word in ("Ann", "Hague", "Bob", "Eve"))]
    at = lines.index(records[0])
    done = bench.csv("\n".join([*lines[:at], *records * 20, *lines[at + 4 :], ""]).encode())
    assert (names(done), done.rows, done.part.rejected) == (HEADER, ROWS * 20, 0)


@pytest.mark.parametrize("way", ["light", "no edges", "plus and minus", "a grid", "markdown", "dashes"])
def test_more_than_what_is_looked_at(bench: Bench, way: str) -> None:
    lines = DRAWN[way].splitlines()
    at = next(number for number, line in enumerate(lines) if "Ann" in line)
    record, rule = lines[at], lines[at + 1 : at + 2] if way == "a grid" else []
    done = bench.csv("\n".join([*lines[:at], *[record, *rule] * 300, ""]).encode())
    assert (names(done), done.rows, done.part.rejected) == (HEADER, ROWS[:1] * 300, 0)


def test_bars_are_cells_content_where_others_draw(bench: Bench) -> None:
    done = bench.csv("┌───┬───┐\n│ a │ b │\n├───┼───┤\n│ x|y │ 1 │\n│ z │ \x1f │\n└───┴───┘\n".encode())
    assert done.rows == [("x|y", "1"), ("z", "\x1f")]


def test_a_line_that_is_too_wide_for_its_columns(bench: Bench) -> None:
    lines = [
        "id  name   price",
        "--  -----  -----",
        *[f"{n}   Ann    2.5" for n in range(20)],
        "8   Carlotta  3.5",  # two blanks still tell its cells apart,
        "9   Carl van de  Vries  3.5",  # which they don't here
        "(9 rows)",
    ]
    done = bench.csv("\n".join([*lines, ""]).encode(), types="text")
    assert done.rows[20:] == [("8", "Carlotta", "3.5")]
    assert [reject["raw"] for reject in done.rejects(done.part)] == ["9   Carl van de  Vries  3.5"]
    assert done.part.facts["skipped_after_data"] == "(9 rows)"


def test_two_columns_of_words_under_dashes_in_a_csv(bench: Bench) -> None:
    done = bench.csv(b"a,b\n-- --,1\nc d,2\ne f,3\n")
    assert done.rows == [("-- --", 1), ("c d", 2), ("e f", 3)]


NETWORK = """\
#separator \\x09
#set_separator\t,
#unset_field\t-
#path\tconn
#fields\tts\tuid\thost\tnote
#types\ttime\tstring\taddr\tstring
1683108000.5\tCa\t10.0.0.1\t"a b
1683108001.5\tCb\t10.0.0.2\t(empty)
#close\t2023-05-03-11-00-00
"""
SERVER = """\
#Software: Internet Services
#Version: 1.0
#Fields: date time s-ip cs-method sc-status
2023-05-03 00:00:01 10.0.0.1 GET 200
2023-05-03 00:00:02 10.0.0.1 GET 404
#Software: Internet Services
#Date: 2023-05-03 01:00:00
#Fields: date time s-ip cs-method sc-status
2023-05-03 01:00:01 10.0.0.1 PUT 200
"""


@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
@pytest.mark.parametrize("mark", ["\t", ","])
def test_a_network_monitors_log(bench: Bench, name: str, mark: str) -> None:
    text = NETWORK.replace("\t", mark).replace("\\x09", f"\\x{ord(mark):02x}")
    done = bench.csv(text.encode(), name, types="text")
    assert names(done) == ["ts", "uid", "host", "note"]
    assert done.rows == [("1683108000.5", "Ca", "10.0.0.1", '"a b'), ("1683108001.5", "Cb", "10.0.0.2", "(empty)")]
    assert (done.part.rejected, done.part.facts["blank_lines"]) == (0, 1)
    assert done.part.facts["skipped_before_data"].splitlines()[-1] == f"#types{mark}" + mark.join(
        ["time", "string", "addr", "string"]
    )


@pytest.mark.parametrize("size", [delimited.CHUNK, 64])
@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
def test_a_web_servers_log(bench: Bench, name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "CHUNK", size)
    done = bench.csv(SERVER.encode(), name, types="text")
    assert names(done) == ["date", "time", "s-ip", "cs-method", "sc-status"]
    assert [(row[1], row[3], row[4]) for row in done.rows] == [
        ("00:00:01", "GET", "200"),
        ("00:00:02", "GET", "404"),
        ("01:00:01", "PUT", "200"),
    ]
    assert done.part.rejected == 0


def test_a_log_whose_fields_change_is_refused(bench: Bench) -> None:
    other = SERVER.replace("#Fields: date time", "#Fields: time date", 1)
    done = bench.csv(other.encode())
    assert not done.results.tables
    assert done.member.reason is not None
    assert "#Fields" in done.member.reason.text


def test_names_by_blanks_and_values_by_tabs(bench: Bench) -> None:
    done = bench.csv(
        b"#Version: 1.0\n#Fields: date edge bytes\n2023-05-03\tFRA 1\t5\n2023-05-03\tCDG\t6\n", types="text"
    )
    assert (names(done), done.rows) == (
        ["date", "edge", "bytes"],
        [("2023-05-03", "FRA 1", "5"), ("2023-05-03", "CDG", "6")],
    )


def test_quoted_agents(bench: Bench) -> None:
    done = bench.csv(b'#Fields: time agent n\n00:00:01 "Moz 5 ""x""" 5\n00:00:02 - 6\n', types="text")
    assert (names(done), done.rows) == (
        ["time", "agent", "n"],
        [("00:00:01", 'Moz 5 "x"', "5"), ("00:00:02", "-", "6")],
    )


def test_quotes_are_content_where_a_separator_is_named(bench: Bench) -> None:
    done = bench.csv(b'#separator \\x09\n#fields\ta\tb\n1\t"x"\n2\t"y"\n', types="text")
    assert (names(done), done.rows) == (["a", "b"], [("1", '"x"'), ("2", '"y"')])


PROSE = ["It was late, and no one", "had thought of a lamp; so", "they went by the stars,", "and talked of boats."]


@pytest.mark.parametrize(
    "lines",
    [
        ["The road", "--- ----", "", *PROSE * 5],  # a heading,
        ["a  road", "-  -", *PROSE * 5],  # lines that leave no blanks,
        [*PROSE * 2, "id  name", "--  ----", "1   Ann", "2   Bob", "", *PROSE * 5],  # a table in a text,
        ["all of", "them - - -", "- - - -", "", "x"],  # a line between two parts
    ],
)
def test_dashes_in_a_text(bench: Bench, lines: list[str]) -> None:
    done = bench.csv("\n".join([*lines, ""]).encode(), "a.txt", types="text")
    assert [row[1] for row in done.rows] == [line or None for line in lines]


def test_a_hash_before_an_ordinary_header(bench: Bench) -> None:
    done = bench.csv(b"#fields,b\n1,2\n#3,4\n", types="text")
    assert (names(done), done.rows) == (["#fields", "b"], [("1", "2"), ("#3", "4")])


@pytest.mark.parametrize("quote", ['"', ""])
@pytest.mark.parametrize("width", [3, 8])
def test_a_station(bench: Bench, quote: str, width: int) -> None:
    def line(*cells: str) -> str:
        return ",".join(quote + cell + quote for cell in cells)

    more = [f"c{n}" for n in range(width - 3)]
    lines = [
        line("TOA5", "CR1000", "CR1000", "1234", "Std.22", "CPU:a", "5678", "Hourly"),
        line("TIMESTAMP", "note", "temp", *more),
        line("TS", "", "deg C", *more),
        line("", "Smp", "Avg", *["Max" for _name in more]),
        *[line(f"2023-05-03 1{n}:00:00", "fine", "12.5", *more) for n in range(4)],
    ]
    done = bench.csv("\r\n".join([*lines, ""]).encode(), types="text")
    assert names(done) == ["TIMESTAMP", "note", "temp", *more]
    assert done.rows == [(f"2023-05-03 1{n}:00:00", "fine", "12.5", *more) for n in range(4)]
    assert done.part.facts["skipped_before_data"].splitlines()[1].startswith("TS")


def test_a_table_that_only_begins_like_a_stations(bench: Bench) -> None:
    done = bench.csv(b"TOA5,b\n1,2\n3,4\n5,6\n7,8\n9,0\n", types="text")
    assert (names(done), len(done.rows)) == (["TOA5", "b"], 5)


def test_control_characters_as_delimiter_and_line_end(bench: Bench) -> None:
    done = bench.csv(b"id\x1fname\x1e1\x1fAnn\x1e2\x1fBob\x1e", types="text")
    assert (names(done), done.rows) == (["id", "name"], [("1", "Ann"), ("2", "Bob")])


@pytest.mark.parametrize("name", ["u_ex240229.log", "u_ex240229.txt", "u_ex240229.csv"])
def test_a_log_that_names_its_fields_is_a_table_by_whatever_name(bench: Bench, name: str) -> None:
    lines = [
        "#Software: Microsoft Internet Information Services 10.0",
        "#Version: 1.0",
        "#Fields: date time c-ip sc-status",
    ]
    lines += [f"2024-02-29 00:00:{second:02} 10.0.0.1 {200 + second % 2}" for second in range(20)]
    done = bench.convert({name: "\r\n".join(lines).encode() + b"\r\n"})
    assert list(done.types) == ["date", "time", "c-ip", "sc-status"]
    assert done.part.rows == 20 and done.rows[1][2:] == ("10.0.0.1", 201)


def test_a_log_whose_comments_name_nothing_stays_lines(bench: Bench) -> None:
    lines = ["# started by cron", *(f"2024-02-29 00:00:{second:02} INFO beat" for second in range(20))]
    done = bench.convert({"beat.log": "\n".join(lines).encode()})
    assert done.part.rows == 21 and done.part.read == 21


def test_a_log_whose_columns_change_is_lines_and_a_note_says_why(bench: Bench) -> None:
    lines = ["#Fields: date time sc-status", *(f"2024-02-29 00:00:{second:02} 200" for second in range(20))]
    lines += ["#Fields: date sc-status", "2024-03-01 404"]
    done = bench.convert({"u_ex.log": "\n".join(lines).encode()})
    assert done.part.read == 23 and "#Fields" in done.member.notes[0]
    assert bench.convert({"u_ex.csv": "\n".join(lines).encode()}).member.outcome == "rejected"


ALIGNED = ["name          town         n", "Ann Smith     Berlin       1", "Bob           New York    22"]
ALIGNED += ["Carla Rossi   Porto        3", "Dora          Gent       412"]


def test_columns_that_only_blanks_tell_apart(bench: Bench) -> None:
    done = bench.csv("\n".join([*ALIGNED, *ALIGNED[1:] * 70, ""]).encode())
    assert [column.name for column in done.part.columns] == ["name", "town", "n"]
    assert (done.part.rows, done.part.rejected) == (284, 0)
    assert done.rows[:2] == [("Ann Smith", "Berlin", 1), ("Bob", "New York", 22)]


@pytest.mark.parametrize("wide", ["Anna Maria de Souza Lisbon     5", "Edgar Allan P Sofia        6"])
def test_a_value_that_is_wider_than_any_in_the_sample(bench: Bench, wide: str) -> None:
    """A blank within it may be where another column begins: it's no record then, and never parted there."""
    done = bench.csv("\n".join([*ALIGNED, *ALIGNED[1:] * 70, wide, ""]).encode())
    assert (done.part.rows, done.part.rejected) == (284, 1)
    assert [reject["raw"] for reject in done.rejects(done.part)] == [wide]


@pytest.mark.parametrize(
    "lines",
    [
        ["He said  that it", "was all he had", "and I  believed it", "as one does   here", "and there  now"],
        ["a;b  c", "1;2  3 4", "5;6  7 8", "1;2  3 4", "1;2  3 4", "1;2  3 4"],
    ],
)
def test_what_only_looks_aligned(bench: Bench, lines: list[str]) -> None:
    facts = bench.csv("\n".join([*lines, ""]).encode()).part.facts
    assert facts["delimiter"] == ";" if ";" in lines[0] else facts["dialect_confidence"] < 1
