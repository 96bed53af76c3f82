"""Kernels against the engine: the same values and kinds; and no byte looked at that isn't there."""

from __future__ import annotations

import datetime as dt
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.convert.kernels import fields
from stages.convert.kernels.compiled import Kernels
from stages.convert.kernels.fields import Fields
from stages.convert.text.blocks import Block
from stages.convert.text.text_table import Layout, by_kernels, parse
from stages.convert.values.columns import Typed, typed
from stages.convert.values.kinds import NULL, TEXT, Kind

ROOT = Path(__file__).resolve().parents[3]
ROWS = 600
often = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

numbers = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.integers(-999, 999).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9).map(str),
    st.floats(allow_nan=True).map(repr),
    st.from_regex(r"\A-?[0-9]{0,3}\.?[0-9]{0,18}([eE][+-]?[0-9]{1,3})?\Z"),
    st.sampled_from(["", "-", "0", "-0", "00", "01", "1.", ".5", "-.5", "+1", "1e5", "1E-07", "NaN", "inf", "9" * 15, "9" * 16,
                     "9" * 17, "9" * 19, "0.1234567890123456", "123456789012345.6", "000.5", "1,5", "0x10", "1_000"]),
)  # fmt: skip
days = st.builds(
    lambda year, month, day, gap, clock, fraction, zone: f"{year:04}-{month:02}-{day:02}" + (f"{gap}{clock}{fraction}{zone}" if clock else ""),
    st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32), st.sampled_from(" TX"),
    st.sampled_from(["", "00:00:00", "23:59:59", "24:00:00", "12:60:00", "12:00:60", "12:00", "1:00:00"]),
    st.sampled_from(["", ".5", ".123456", ".1234567", "."]), st.sampled_from(["", "Z", "+01:00", "z"]),
)  # fmt: skip
words = st.sampled_from(
    [
        "true",
        "false",
        "TRUE",
        "False",
        "tru",
        "falsey",
        "null",
        "x",
        "",
        "Größe",
        "twelve bytes",
        "thirteen byte",
        "東京" * 9,
    ]
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=30)
KINDS = [Kind("integer"), Kind("double"), Kind("date", "%Y-%m-%d"), Kind("boolean", "lower"), Kind("boolean", "title"), TEXT,
         Kind("timestamp", "%Y-%m-%d %H:%M:%S"), Kind("timestamp", "%Y-%m-%dT%H:%M:%S%.f"), Kind("timestamp", "%Y-%m-%d %H:%M"),
         Kind("timestamptz", "%Y-%m-%dT%H:%M:%SZ"), Kind("timestamptz", "%Y-%m-%dT%H:%M:%S%.fZ"), Kind("timestamptz", "%Y-%m-%d %H:%M:%S%z"),
         Kind("decimal", scale=3), Kind("time", "%H:%M:%S"), Kind("integer", null="NA"), NULL, Kind("date", "%d.%m.%Y"), Kind("timestamp", "%d.%m.%Y %H:%M:%S")]  # fmt: skip
GOOD = ["7", "0.25", "2024-02-29", "true", "True", "x", "2024-02-29 01:02:03", "2024-02-29T01:02:03.5", "2024-02-29 01:02",
        "2024-02-29T01:02:03Z", "2024-02-29T01:02:03.25Z", "2024-02-29 01:02:03+01:00", "1.5", "01:02:03", "NA", "", "29.02.2024", "29.02.2024 01:02:03"]  # fmt: skip


def record(cells: Sequence[str], delimiter: str, *, is_quoted: bool = False) -> str:
    marks = (delimiter, '"', "\n", "\r")
    return delimiter.join(
        '"' + cell.replace('"', '""') + '"' if is_quoted or any(mark in cell for mark in marks) else cell
        for cell in cells
    )


def layout(width: int, delimiter: str = ",") -> Layout:
    return Layout(tuple(f"c{index}" for index in range(width)), delimiter.encode(), b'"')


def by_engine(block: Block, plan: Layout, kinds: list[Kind]) -> Typed:
    return typed(parse(block, plan), kinds)


def same(one: Typed, other: Typed) -> None:
    assert one.kinds == other.kinds
    for left, right in zip(one.columns, other.columns, strict=True):
        assert left.dtype == right.dtype
        assert _as_texts(left) == _as_texts(right)


def _as_texts(column: pl.Series) -> list[str]:
    return [repr(value) for value in column.to_list()]  # NaN is no NaN's equal, and 0.0 is -0.0's


@pytest.mark.usefixtures("kernels")
@given(
    st.lists(st.sampled_from(range(len(KINDS))), min_size=1, max_size=5),
    st.lists(st.one_of(numbers, days, words, texts), min_size=1, max_size=5),
    st.sampled_from(",;\t|"),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(0, ROWS - 1),
)
@often
def test_values_and_kinds_are_the_engines(
    columns: list[int], odd: list[str], delimiter: str, is_quoted: bool, line_end: str, at: int
) -> None:
    kinds = [KINDS[index] for index in columns]
    good = record([GOOD[index] for index in columns], delimiter, is_quoted=is_quoted)
    bad = record((odd * len(columns))[: len(columns)], delimiter, is_quoted=is_quoted)
    if len(columns) == 1 and (not bad or not good):
        return  # that's a blank line, which is no record
    lines = [good] * ROWS
    for record_at in ([], [at]):
        for index in record_at:
            lines[index] = bad
        block = Block((line_end.join(lines) + line_end).encode(), ROWS, ROWS)
        found = by_kernels(block, layout(len(kinds), delimiter), kinds)
        assert found is not None
        same(found, by_engine(block, layout(len(kinds), delimiter), kinds))


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", GOOD)
def test_a_column_of_one_text_by_every_kind(kind: Kind, text: str) -> None:
    block = Block(f"{text},x\n".encode() * ROWS, ROWS, ROWS)
    found = by_kernels(block, layout(2), [kind, TEXT])
    assert found is not None
    same(found, by_engine(block, layout(2), [kind, TEXT]))


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"1", "short"), (b"1,2,3", "long"), (b'1,a"b', "a quote within"), (b'1,"a"b', "text after a quote"),
        (b'1,"a', "an open quote"), (b'"1,a', "an open quote"), (b"", "a blank line"), (b'1,"a""', "an odd quote"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("at", [0, 300, ROWS - 1])
def test_what_is_no_record_is_not_taken(bad: bytes, why: str, at: int) -> None:
    lines = [b'1,"x ""y"""'] * ROWS
    good = Block(b"\n".join(lines) + b"\n", ROWS, ROWS)
    found = by_kernels(good, layout(2), [Kind("integer"), TEXT])
    assert found is not None and found.columns[1].unique().to_list() == ['x "y"']
    lines[at] = bad
    is_blank_at_the_end = not bad and at == ROWS - 1
    for end in (b"\n", b"") if not is_blank_at_the_end else (b"\n",):
        data = b"\n".join(lines) + end
        for records in (ROWS - 1, ROWS, ROWS + 1):
            assert by_kernels(Block(data, records, records), layout(2), [Kind("integer"), TEXT]) is None, why


def test_more_or_fewer_rows_than_counted(kernels: Kernels) -> None:
    data = b"1,2\n" * ROWS
    for rows, is_right in ((ROWS, True), (ROWS - 1, False), (ROWS + 1, False)):
        found = by_kernels(Block(data, rows, rows), layout(2), [Kind("integer")] * 2)
        assert (found is not None) == is_right


def test_a_small_block_and_what_the_engine_must_restore_are_left_to_it(kernels: Kernels) -> None:
    data = b"1,2\n" * ROWS
    kinds = [Kind("integer")] * 2
    plan = layout(2)
    assert by_kernels(Block(data, ROWS, ROWS), plan, kinds) is not None
    assert by_kernels(Block(b"1,2\n" * 9, 9, 9), plan, kinds) is None
    for other in (
        Layout(plan.names, b",", b'"', restore=(("\x1f", ","),)),
        Layout(plan.names, b",", b'"', is_trimmed=True),
    ):
        assert by_kernels(Block(data, ROWS, ROWS), other, kinds) is None


def test_empty_fields_make_a_kind_that_knows_of_them(kernels: Kernels) -> None:
    block = Block(b"1,\n,x\n" * ROWS, 2 * ROWS, 2 * ROWS)
    kinds = [Kind("integer"), TEXT]
    found = by_kernels(block, layout(2), kinds)
    assert found is not None and found.kinds[0].has_empty
    same(found, by_engine(block, layout(2), kinds))
    kinds = [Kind("integer", null="NA"), TEXT]  # two ways to say nothing: text
    found = by_kernels(block, layout(2), kinds)
    assert found is not None and found.columns[0].dtype == pl.String
    same(found, by_engine(block, layout(2), kinds))


def test_a_block_too_large_for_its_places_is_left(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    block = Block(b"1,2\n" * ROWS, ROWS, ROWS)
    monkeypatch.setattr(fields, "MOST_BYTES", len(block.data))
    assert by_kernels(block, layout(2), [Kind("integer")] * 2) is not None
    monkeypatch.setattr(fields, "MOST_BYTES", len(block.data) - 1)
    assert by_kernels(block, layout(2), [Kind("integer")] * 2) is None


@given(st.lists(st.one_of(numbers, days, words), min_size=1, max_size=8))
@often
def test_numbers_are_exactly_what_their_texts_say(kernels: Kernels, values: list[str]) -> None:
    for value in values:
        data = f"{value}\n".encode()
        where = Fields(data, np.zeros((1, 1), np.int32), np.full((1, 1), len(data) - 1, np.int32))
        starts, sizes = where.starts[0], where.sizes[0]
        integers, doubles = np.zeros(1, np.int64), np.zeros(1, np.float64)
        if kernels.integers(where.bytes, starts, sizes, integers) == 1:
            assert str(integers[0]) == value
        if kernels.doubles(where.bytes, starts, sizes, 0, doubles) == 1:
            assert doubles[0] == float(value) and np.signbit(doubles[0]) == value.startswith("-")
            assert len(Decimal(value).as_tuple().digits) <= 15 or not Decimal(value)


def one_by_one(texts: list[str]) -> list[Fields]:
    return [Fields(text.encode(), np.zeros((1, 1), np.int32), np.full((1, 1), len(text), np.int32)) for text in texts]


def moment_of(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None


@pytest.mark.parametrize("year", [0, 1, 4, 100, 400, 1582, 1900, 1969, 1970, 1972, 2000, 2023, 2024, 2100, 9999])
def test_days_are_those_that_there_are(kernels: Kernels, year: int) -> None:
    texts = [f"{year:04}-{month:02}-{day:02}" for month in range(14) for day in range(33)]
    for text, field in zip(texts, one_by_one(texts), strict=True):
        day = moment_of(text)
        days = np.zeros(1, np.int32)
        assert (kernels.dates(field.bytes, field.starts[0], field.sizes[0], days) == 1) == (day is not None), text
        assert day is None or days[0] == day.toordinal() - dt.date(1970, 1, 1).toordinal()


FRACTIONS = ["", ".", ".5", ".12", ".123456", ".1234567", ".12345x", ",5"]


@pytest.mark.parametrize("zone", ["", "Z", "z", "+00"])
@pytest.mark.parametrize("gap", ["T", " ", "_"])
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_times_are_those_that_there_are(kernels: Kernels, zone: str, gap: str, fraction: str) -> None:
    clocks = [
        "00:00:00",
        "23:59:59",
        "24:00:00",
        "23:60:00",
        "23:59:60",
        "12-30-00",
        "1:30:000",
        "12:3a:00",
        "12:30:0:",
    ]
    is_well_written = gap == "T" and fraction not in FRACTIONS[1:2] + FRACTIONS[5:] and zone in ("", "Z")
    for clock in clocks:
        day = "0999-12-31" if clock == "00:00:00" else "2024-02-29"
        text = f"{day}{gap}{clock}{fraction}{zone}"
        (field,) = one_by_one([text])
        clock_says = moment_of(f"{day}T{clock}") if clock[2] == clock[5] == ":" else None
        for has_fraction in (0, 1):
            for has_zone in (0, 1):
                wanted = (
                    clock_says
                    if is_well_written and has_zone == (zone == "Z") and has_fraction >= bool(fraction)
                    else None
                )
                micros = np.zeros(1, np.int64)
                places = (field.bytes, field.starts[0], field.sizes[0], ord("T"), has_fraction, has_zone, micros)
                assert (kernels.stamps(*places) == 1) == (wanted is not None), text
                if wanted is not None:
                    since = wanted - dt.datetime(1970, 1, 1)
                    part = int(fraction[1:].ljust(6, "0")) if fraction else 0
                    assert micros[0] == since // dt.timedelta(microseconds=1) + part


@pytest.mark.parametrize("behind", [b"", b",", b"zzzzzzzzzzzzzzzz"])
def test_views_are_arrows_to_the_bit(kernels: Kernels, behind: bytes) -> None:
    """Engines compare short texts by all bytes of a view, those behind the text as well."""
    for size in range(20):
        text = b"abcdefghijklmnopqrst"[:size]
        data = np.frombuffer(b"__" + text + behind, np.uint8)
        views = np.full(2, 2**64 - 1, np.uint64)
        assert (
            kernels.texts(data, np.array([2], np.int32), np.array([size], np.int32), 0, views, np.zeros(0, np.uint8), 0)
            == 0
        )
        raw = views.tobytes()
        assert raw[:4] == size.to_bytes(4, "little")
        assert raw[4:] == (text.ljust(12, b"\0") if size <= 12 else text[:4] + bytes(4) + (2).to_bytes(4, "little"))


def test_booleans_are_whole_words_of_one_form(kernels: Kernels) -> None:
    forms = (("true", "false"), ("TRUE", "FALSE"), ("True", "False"))
    for form, (yes, no) in enumerate(forms):
        words = [
            *(word for pair in forms for word in pair),
            "tru",
            "truer",
            "fals",
            "falser",
            "t",
            "xtrue",
            "falsefalse",
        ]
        for word, field in zip(words, one_by_one(words), strict=True):
            flags = np.zeros(1, np.uint8)
            is_one = kernels.booleans(field.bytes, field.starts[0], field.sizes[0], form, flags) == 1
            assert is_one == (word in (yes, no)), word
            assert not is_one or flags[0] == (word == yes)


@given(st.integers(0, 2**32))
@often
def test_places_lie_within_the_block(kernels: Kernels, seed: int) -> None:
    """Any bytes, cut anywhere: what is found lies in them, and what comes before and behind them doesn't change it."""
    chance = random.Random(seed)
    size = chance.choice((0, 1, 7, 8, 9, 15, 16, 17, 40, 200))
    inner = bytes(chance.choice(b'"",,\n\n\\{}:1 a\xc3\xa4') for _ in range(size))
    columns, rows = chance.choice((1, 2, 3)), chance.choice((1, 2, 8))
    results = []
    for before, behind in ((b"", b""), (b'","\n' * 4, b'",\n"' * 4)):
        data = np.frombuffer(before + inner + behind, np.uint8)[len(before) : len(before) + size]
        starts, sizes = np.full((2, columns * rows), -7, np.int32)
        found = kernels.find_in_records(data, ord(","), ord('"'), columns, rows, starts, sizes)
        results.append((found, starts.tolist(), sizes.tolist()))
        if found > 0:
            for start, length in zip(starts.tolist(), sizes.tolist(), strict=True):
                whole = length if length >= 0 else -length - 1
                assert start in (-1, -7) or (start >= 0 and start + whole <= size)
    assert results[0] == results[1]


def test_no_byte_is_touched_that_isnt_theirs(made_kernels: Kernels) -> None:
    """All memory ends at a page that nobody may touch, so one byte too far ends the process, which is another one."""
    argv = [
        sys.executable,
        "-m",
        "tests.stages.convert.guarded_kernels",
        "1",
        os.environ.get("STAMPMILL_TEST_GUARDED", "6000"),
    ]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    blocks, sheets = map(int, done.stdout.split())
    assert blocks > 3000 and sheets > 1000
