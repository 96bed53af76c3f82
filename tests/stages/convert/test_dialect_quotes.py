"""Quotes that aren't one byte: such as “ ” and « », and two where one is usual."""

from __future__ import annotations

import pytest

from stages.convert.text import delimited
from stages.convert.text.normal import Written, normal
from tests.stages.convert.conftest import Bench, Converted

PAIRS = ["“”", "„“", "„”", "«»", "»«", "‘’", "‚‘", "‹›", "「」", "´´", "＂＂"]


def table(done: Converted) -> tuple[list[str], list[tuple[str | None, ...]]]:
    return [column.name for column in done.part.columns], done.rows


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("mark", [",", ";", "\t", "||", ", "])
def test_all_cells_in_them(bench: Bench, pair: str, mark: str) -> None:
    rows = [["id", "town"], ["1", f"Berlin{mark}Mitte"], ["2", ""], ["3", 'the "Hague"'], ["4", "two\nlines"]]
    text = "".join(mark.join(pair[0] + cell + pair[1] for cell in row) + "\n" for row in rows)
    done = bench.csv(text.encode(), types="text")
    assert done.part.rejected == 0
    assert table(done) == (rows[0], [(number, town or None) for number, town in rows[1:]])
    assert done.part.facts["quote"] == pair[0]


@pytest.mark.parametrize("pair", PAIRS)
def test_only_cells_that_need_them(bench: Bench, pair: str) -> None:
    def quoted(text: str) -> str:
        return pair[0] + text + pair[1]

    lines = ["id,town,n", f"1,{quoted('Berlin, Mitte')},5", "2,Lyon,6", f"3,{quoted('Porto, Sé')},7", "4,Gent,8"]
    done = bench.csv("\n".join([*lines, ""]).encode(), types="text")
    towns = ["Berlin, Mitte", "Lyon", "Porto, Sé", "Gent"]
    assert table(done) == (
        ["id", "town", "n"],
        [(str(n), town, str(n + 4)) for n, town in enumerate(towns, 1)],
    )


@pytest.mark.parametrize("pair", PAIRS)
def test_they_are_content_where_nothing_needs_them(bench: Bench, pair: str) -> None:
    titles = [pair[0] + title + pair[1] for title in ("A Tale", "Emma", "Dune")]
    lines = ["id,title", *[f"{n},{title}" for n, title in enumerate(titles)]]
    done = bench.csv("\n".join([*lines, ""]).encode(), types="text")
    assert [row[1] for row in done.rows] == titles


def test_those_in_values_stay(bench: Bench) -> None:
    lines = ["“id”,“said”", *["“1”,“x”"] * 20, "2,he said “no”", "“3”,“the “so, so” one”", "“4”,an “a” of “b”"]
    done = bench.csv("\n".join([*lines, ""]).encode(), types="text")
    assert done.rows[20:] == [("2", "he said “no”"), ("3", "the “so, so” one"), ("4", "an “a” of “b”")]


def test_across_pieces(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "CHUNK", 64)
    rows = [(str(n), f"line one of {n},\nand “more” of\nit") for n in range(50)]
    text = "".join(f"“{number}”;“{words}”\n" for number, words in [("id", "words"), *rows])
    done = bench.csv(text.encode(), types="text")
    assert (table(done), done.part.rejected) == ((["id", "words"], rows), 0)


def test_typed_as_without_them(bench: Bench) -> None:
    done = bench.csv("“id”,“when”\n“1”,“2023-01-02”\n“2”,“”\n".encode())
    assert done.types == {"id": "BIGINT", "when": "DATE"}


@pytest.mark.parametrize("line", ["4,“so” he said", "“so” he, said “no”", "a,“b", "b”,a"])
def test_what_is_put_in_is_taken_out(line: str) -> None:
    way = normal(Written(b",", "“".encode(), closing="”".encode()))
    found = way.apply(line.encode()).decode()
    assert found != line
    for mark, text in way.restore:
        found = found.replace(mark, text)
    assert found == line


def test_stand_ins_in_the_text(bench: Bench) -> None:
    done = bench.csv("“id”,“a”\n“1”,“\x1f,\x1e”\n“2”,“\x1d,\x1c”\n".encode(), types="text")
    assert done.rows == [("1", "\x1f,\x1e"), ("2", "\x1d,\x1c")]


def test_two_around_all(bench: Bench) -> None:
    done = bench.csv(b'""id"";""name""\n""1"";""A;b""\n""2"";""say """"x"""" so""\n""3"";""""\n""4"";""c\nd""\n')
    assert done.part.rejected == 0
    assert table(done)[0] == ["id", "name"]
    assert [row[1] for row in done.rows] == ["A;b", 'say "x" so', None, "c\nd"]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (b'id,name\n"",""\n"","a"\n"","b"\n', [(None, None), (None, "a"), (None, "b")]),
        (b'id,said\n1,""Yes\n2,""No\n3,a\n', [("1", '""Yes'), ("2", '""No'), ("3", "a")]),
        (b'id,name\n1,"""Emma"""\n2,"""Dune"""\n', [("1", '"Emma"'), ("2", '"Dune"')]),
    ],
)
def test_two_of_other_kinds(bench: Bench, text: bytes, rows: list[tuple[str | None, ...]]) -> None:
    assert bench.csv(text, types="text").rows == rows


@pytest.mark.parametrize("mark", ["'", "`"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("places", [(4,), (4, 9, 20)])
def test_a_few_values_in_apostrophes_keep_them(
    bench: Bench, mark: str, delimiter: str, places: tuple[int, ...]
) -> None:
    """No other field has them, so they're part of the values."""
    rows = [(str(n), f"{mark}q{mark}" if n in places else f"name{n}", f"{n}.5") for n in range(30)]
    done = bench.csv("".join(delimiter.join(row) + "\n" for row in [("id", "name", "v"), *rows]).encode(), types="text")
    assert table(done) == (["id", "name", "v"], rows)


@pytest.mark.parametrize("quoted", ["'a, b'", "'a, it''s b'"])
def test_one_value_in_apostrophes_that_needs_them(bench: Bench, quoted: str) -> None:
    rows = [(str(n), quoted if n == 4 else f"name{n}", f"{n}.5") for n in range(30)]
    done = bench.csv("".join(",".join(row) + "\n" for row in [("id", "name", "v"), *rows]).encode(), types="text")
    assert done.rows[4] == ("4", quoted[1:-1].replace("''", "'"), "4.5")


@pytest.mark.parametrize("mark", ["'", "`"])
@pytest.mark.parametrize("shape", ["a record", "a column", "half a column"])
def test_apostrophes_that_quote(bench: Bench, mark: str, shape: str) -> None:
    def is_quoted(row: int, column: int) -> bool:
        return row == 7 if shape == "a record" else column == 1 and (shape == "a column" or row % 2 == 0)

    rows = [(str(n), f"name{n}", f"{n}.5") for n in range(30)]
    lines = [
        ",".join(f"{mark}{cell}{mark}" if is_quoted(n, at) else cell for at, cell in enumerate(row)) + "\n"
        for n, row in enumerate(rows)
    ]
    done = bench.csv("".join(["id,name,v\n", *lines]).encode(), types="text")
    assert table(done) == (["id", "name", "v"], rows)
