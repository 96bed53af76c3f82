"""CSVs written from a model with known bad records: every cell and every reject is compared with the model."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.convert.text import blocks, delimited
from tests.stages.convert.conftest import Bench, Converted

pytestmark = pytest.mark.usefixtures("either_way")

NAMES = ("id", "note", "amount", "day")
TEXTS = (
    "plain",
    "two words",
    "com,ma",
    'quo"te',
    "new\nline",
    "crlf\r\nx",
    "Größe",
    "東京",
    " lead",
    "trail ",
    "'",
    "x" * 40,
    "1",
    "",
)


class Good(NamedTuple):
    fields: tuple[str, ...]


class Bad(NamedTuple):
    """A line that is no record of the table, written as it stands."""

    raw: str
    why: str


Model = list[Good | Bad]


def quoted(text: str, delimiter: str) -> str:
    special = any(mark in text for mark in (delimiter, '"', "\n", "\r"))
    return '"' + text.replace('"', '""') + '"' if special else text


def written(
    model: Model, delimiter: str, end: str, *, last_end: bool = True
) -> tuple[bytes, list[tuple[int, int, str]]]:
    """The file, and the rejects it must give: line, byte, raw."""
    data, line, rejects = "", 1, []
    rows: Model = [Good(NAMES), *model]
    for index, row in enumerate(rows):
        text = row.raw if isinstance(row, Bad) else delimiter.join(quoted(field, delimiter) for field in row.fields)
        if isinstance(row, Bad):
            rejects.append((line, len(data.encode()), row.raw))
        data += text + (end if last_end or index < len(rows) - 1 else "")
        line = 1 + data.count("\n")
    return data.encode(), rejects


def check(done: Converted, model: Model, rejects: list[tuple[int, int, str]]) -> None:
    part = done.part
    good = [tuple(field or None for field in row.fields) for row in model if isinstance(row, Good)]
    assert done.frame(part).rows() == good
    assert [(entry["line"], entry["byte"], entry["raw"]) for entry in done.rejects(part)] == rejects
    assert all(entry["reason"] for entry in done.rejects(part))
    assert [entry["record"] for entry in done.rejects(part)] == [
        number for number, row in enumerate(model, 1) if isinstance(row, Bad)
    ]
    assert part.read == len(model)


records = st.tuples(
    st.integers(0, 10**6).map(str), st.sampled_from(TEXTS), st.sampled_from(("1.50", "2.25", "")), st.just("2024-01-05")
).map(Good)
bad_records = st.sampled_from(
    (
        Bad("1,2,3,4,5", "too many"),
        Bad("1;2;3;4;5", "too many"),
        Bad("a,b,c,d,e,f,g", "too many"),
    )
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(records, min_size=4, max_size=30),
    st.lists(st.tuples(st.integers(0, 30), st.integers(5, 9)), max_size=10),
    st.sampled_from((",", ";", "\t", "|")),
    st.sampled_from(("\n", "\r\n")),
    st.booleans(),
)
def test_every_cell_and_every_reject_is_the_model_s(
    good: list[Good], bad: list[tuple[int, int]], delimiter: str, end: str, last_end: bool
) -> None:
    model: Model = list(good)
    for position, width in bad[: max(0, len(good) // 3)]:
        model.insert(min(position, len(model)), Bad(delimiter.join("x" * width), "too many"))
    data, rejects = written(model, delimiter, end, last_end=last_end)
    with tempfile.TemporaryDirectory() as home:
        check(Bench(Path(home)).csv(data, types="text"), model, rejects)


@pytest.mark.parametrize("every", [2, 3, 10, 1000])
def test_a_hundred_thousand_records_in_small_chunks(bench: Bench, every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunk borders fall anywhere: within quotes, line ends and bad records."""
    monkeypatch.setattr(delimited, "CHUNK", 100_003)
    monkeypatch.setattr(blocks, "SLOW_START", 1024)
    chance = random.Random(every)
    model: Model = []
    for number in range(100_000):
        if number % every == 1:
            model.append(Bad(f"{number},too,many,fields,here", "too many"))
        else:
            model.append(Good((str(number), chance.choice(TEXTS), f"{number / 4:.2f}", "2024-01-05")))
    data, rejects = fast_written(model)
    check(bench.csv(data, types="text"), model, rejects)


def fast_written(model: Model) -> tuple[bytes, list[tuple[int, int, str]]]:
    parts, line, byte, rejects = [",".join(NAMES) + "\n"], 2, len(",".join(NAMES)) + 1, []
    for row in model:
        if isinstance(row, Bad):
            rejects.append((line, byte, row.raw))
        text = row.raw if isinstance(row, Bad) else ",".join(quoted(field, ",") for field in row.fields)
        parts.append(text + "\n")
        line += parts[-1].count("\n")
        byte += len(parts[-1].encode())
    return "".join(parts).encode(), rejects


def test_a_short_record_doesn_t_make_up_for_a_long_one(bench: Bench) -> None:
    """The sum of delimiters is right, and only the engine or a look at each record tells."""
    done = bench.csv(b"a,b,c\n1,2,3\n4,5,6,7\n8,9\n10,11,12\n")
    assert done.rows == [(1, 2, 3), (8, 9, None), (10, 11, 12)]
    assert (done.part.read, done.part.rejected, done.part.repaired) == (4, 1, 1)
    assert done.rejects(done.part)[0]["line"] == 3
    body = b"1,2,3\n" * 20
    files = {f"x{number}.csv": b"a,b,c\n" + body + (b"4,5,6,7\n8,9\n" if number == 7 else b"") for number in range(20)}
    grouped = bench.convert(files)
    assert (grouped.part.read, grouped.part.rows, grouped.part.rejected) == (402, 401, 1)
    (reject,) = grouped.rejects(grouped.part)
    assert (reject["file"], reject["record"]) == ("x7.csv", 21)
    assert grouped.frame(grouped.part).filter(pl.col("_file") == "x7.csv").height == 21
