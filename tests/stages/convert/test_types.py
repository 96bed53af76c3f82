"""Types never change a value: whatever a column holds, each value can be read back out of the typed one."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.convert.values.columns import fit, typed
from stages.convert.values.kinds import NULL, TEXT, classify, join, join_all, settle, sql_type
from tests.stages.convert.conftest import Bench


def kind_of(*values: str | None) -> str:
    frame = pl.DataFrame({"0": pl.Series(values, dtype=pl.String)})
    return sql_type(settle(typed(frame, [NULL]).kinds[0]))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["1", "2", None], "BIGINT"),
        (["0", "-5", "9223372036854775807"], "BIGINT"),
        (["01234", "99999"], "VARCHAR"),
        (["1", "-0"], "VARCHAR"),
        (["+49 30", "+49 40"], "VARCHAR"),
        (["+5", "+6"], "VARCHAR"),
        (["1_000", "2"], "VARCHAR"),
        (["9223372036854775808", "1"], "DECIMAL(38,0)"),
        (["1" * 39, "1"], "VARCHAR"),
        (["1.5", "2"], "DOUBLE"),
        (["0.1", "-.5"], "DOUBLE"),
        (["01.5", "2.5"], "VARCHAR"),
        (["1.", "2.5"], "VARCHAR"),
        (["1.2345678901234567", "1"], "DOUBLE"),  # the shortest text of that double
        (["1.23456789012345678901", "1"], "DECIMAL(38,20)"),
        (["0.10000000000000000001", "12345"], "DECIMAL(38,20)"),
        (["12345678901234567.5", "0.25"], "DECIMAL(38,2)"),
        (["1e+05", "1.5"], "DOUBLE"),
        (["12E4", "3E10"], "VARCHAR"),
        (["1.5E3", "2"], "DOUBLE"),
        (["5e-6", "0.25"], "DOUBLE"),  # as Rust and JavaScript write it
        (["1.0E-5", "2.5"], "DOUBLE"),  # as Java does
        (["5e6", "0.25"], "VARCHAR"),
        (["nan", "1.5", "-inf"], "DOUBLE"),
        (["nan", "inf"], "VARCHAR"),
        (["1,5", "2,25"], "DOUBLE"),
        (["1.234,5", "7"], "DOUBLE"),
        (["1,234", "2,345"], "VARCHAR"),  # thousands or decimals: nothing tells
        (["1,234.5", "2,345"], "DOUBLE"),
        (["1,234,567", "89"], "DOUBLE"),
        (["1,5", "2.5"], "VARCHAR"),
        (["2024-01-31", "2024-02-29"], "DATE"),
        (["2024-01-31", "2023-02-29"], "VARCHAR"),
        (["2024- 1-05", "2024-01-05"], "VARCHAR"),
        (["2024/01/31"], "DATE"),
        (["31.01.2024", "1.2.2024"], "DATE"),
        (["31/01/2024", "01/02/2024"], "DATE"),
        (["01/31/2024", "01/02/2024"], "DATE"),
        (["01/02/2024", "03/04/2024"], "VARCHAR"),  # day or month first: nothing tells
        (["31/01/2024", "01/31/2024"], "VARCHAR"),
        (["31.12.99"], "VARCHAR"),
        (["2024-01-31 10:11:12", "2024-01-31 10:11:12.5"], "TIMESTAMP"),
        (["2024-01-31T10:11", "2024-01-31T10:12"], "TIMESTAMP"),
        (["2024-01-31 10:11:12", "2024-01-31T10:11:12"], "VARCHAR"),
        (["2024-01-31 10:11:60"], "VARCHAR"),
        (["2024-01-31 10:11:12.1234567"], "VARCHAR"),  # nanoseconds: Spark reads none
        (["2024-01-31T10:11:12Z", "2024-01-31T10:11:12+02:00"], "TIMESTAMP WITH TIME ZONE"),
        (["2024-01-31T10:11:12Z", "2024-01-31T10:11:12"], "VARCHAR"),
        (["10:11:12", "23:59:59"], "TIME_NS"),
        (["10:11:12", "25:00:00"], "VARCHAR"),
        (["true", "false"], "BOOLEAN"),
        (["True", "False"], "BOOLEAN"),
        (["true", "FALSE"], "VARCHAR"),
        (["1", "NULL"], "BIGINT"),
        (["1", "NULL", None], "VARCHAR"),  # two ways to say "no value" are two things
        (["1", "NULL", "NA"], "VARCHAR"),
        (["NULL", "x"], "VARCHAR"),
        ([None, None], "VARCHAR"),
        (["x", "1"], "VARCHAR"),
    ],
)
def test_a_column_s_type(values: list[str | None], wanted: str) -> None:
    assert kind_of(*values) == wanted
    assert kind_of(*reversed(values)) == wanted


def read_back(value: Any, text: str) -> bool:
    """Whether VALUE says what TEXT says."""
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, int):
        return str(value) == text
    if isinstance(value, float):
        plain = (
            text
            if text.count(",") == 0
            else text.replace(".", "").replace(",", ".")
            if text.rfind(",") > text.rfind(".") and text.count(",") == 1
            else text.replace(",", "")
        )
        return repr(value) == repr(float(plain)) if not math.isfinite(value) else Decimal(repr(value)) == Decimal(plain)
    if isinstance(value, Decimal):
        return value == Decimal(text)
    if isinstance(value, dt.datetime):
        return value == dt.datetime.fromisoformat(text)
    if isinstance(value, dt.date):
        return value.isoformat() in {text, text.replace("/", "-")} or sorted(
            map(int, text.replace("/", ".").replace("-", ".").split("."))
        ) == sorted((value.day, value.month, value.year))
    if isinstance(value, dt.time):
        return value == dt.time.fromisoformat(text)
    return bool(value == text)


digits = st.text("0123456789", min_size=1, max_size=22)
numbers = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str),
    st.tuples(
        st.sampled_from(("", "-", "+", " ")),
        digits,
        st.sampled_from(("", ".", ",", "e", "E+")),
        st.one_of(st.just(""), digits),
    ).map("".join),
)
moments = st.one_of(
    st.dates().map(str),
    st.dates(dt.date(1900, 1, 1)).map(lambda day: f"{day.day:02d}/{day.month:02d}/{day.year}"),
    st.dates(dt.date(1900, 1, 1)).map(lambda day: f"{day.month}.{day.day}.{day.year}"),
    st.datetimes(dt.datetime(1900, 1, 1)).map(lambda when: when.isoformat(" ")),
    st.datetimes(dt.datetime(1900, 1, 1), timezones=st.just(dt.UTC)).map(lambda when: when.isoformat()),
    st.times().map(str),
    st.from_regex(r"[0-9]{1,4}[-/ .][ 0-9]{1,2}[-/ .][0-9]{1,4}( [0-9]{2}:[0-9]{2}(:[0-9]{2})?)?", fullmatch=True),
)
words = st.sampled_from(("true", "false", "TRUE", "NULL", "NA", "", "nan", "x", "1,234", "-", "1e5", "0x1f", "１２"))
columns = st.one_of(
    *(st.lists(st.one_of(one, st.just("")), min_size=1, max_size=12) for one in (numbers, moments, words)),
    st.lists(st.one_of(numbers, moments, words), min_size=1, max_size=12),
)


@settings(max_examples=1500)
@given(columns)
def test_every_value_can_be_read_back(texts: list[str]) -> None:
    frame = pl.DataFrame({"0": pl.Series([text or None for text in texts], dtype=pl.String)})
    result = typed(frame, [NULL])
    kind = settle(result.kinds[0])
    for text, value in zip(texts, result.columns[0].to_list(), strict=True):
        if value is None:
            assert text in ("", kind.null)
        else:
            assert read_back(value, text), (kind, text, value)
    assert not kind.null or "" not in texts


@settings(max_examples=300)
@given(columns, columns)
@example(["0"], ["0.0", "10.00000000000000"])
def test_kinds_join_in_any_order(one: list[str], other: list[str]) -> None:
    assert join(join_all(one), join_all(other)) == join(join_all(other), join_all(one))
    both = join_all(one + other)
    assert both == join_all(other + one)
    assert join(both, classify("no value of any kind")) == TEXT


@settings(max_examples=500)
@given(columns)
def test_what_a_kind_holds_can_be_cast(texts: list[str]) -> None:
    """The patterns that classify and the ones that doubt agree, or a column would fall back to text in silence."""
    kind = settle(join_all(texts))
    if kind == TEXT or kind.name in ("date", "timestamp", "timestamptz", "time", "decimal"):
        return  # dates that no calendar has look like dates
    if any(sum(map(str.isdigit, text)) > 15 for text in texts):
        return  # more than a double holds exactly: a misfit by design
    assert fit(pl.Series([text or None for text in texts], dtype=pl.String), kind) is not None or kind.null


def test_a_late_misfit_widens_its_column(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.convert.text import delimited

    monkeypatch.setattr(delimited, "CHUNK", 4096)
    rows = [f"{i},{i},2024-01-{i % 28 + 1:02d},{i}" for i in range(5000)]
    rows[4000] = "4000,1.5,not a date,99999999999999999999"
    done = bench.csv(("a,b,c,d\n" + "\n".join(rows) + "\n").encode())
    assert done.types == {"a": "BIGINT", "b": "DOUBLE", "c": "VARCHAR", "d": "DECIMAL(38,0)"}
    assert done.rows[4000] == (4000, 1.5, "not a date", Decimal(99999999999999999999))
    assert done.rows[0] == (0, 0.0, "2024-01-01", Decimal(0))
    assert done.part.rejected == 0


def test_late_evidence_decides_day_and_month(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.convert.text import delimited

    monkeypatch.setattr(delimited, "CHUNK", 1000)
    rows = [f"{i},0{i % 9 + 1}/0{i % 8 + 1}/2024" for i in range(500)] + ["500,31/01/2024"]
    done = bench.csv(("a,b\n" + "\n".join(rows) + "\n").encode())
    assert done.types["b"] == "DATE"
    assert done.rows[500][1] == dt.date(2024, 1, 31)
    assert done.rows[1][1] == dt.date(2024, 2, 2)


def test_text_only(bench: Bench) -> None:
    done = bench.csv(b"a,b\n1,2024-01-01\n2,\n", types="text")
    assert done.rows == [("1", "2024-01-01"), ("2", None)]
    assert set(done.types.values()) == {"VARCHAR"}


def test_numbers_of_thousands_of_digits_are_text(bench: Bench) -> None:
    long = "9" * 5000
    assert bench.csv(f"a,b\n1,{long}\n2,3\n".encode()).rows == [(1, long), (2, "3")]


NUMBERS = ["0", "-5", "12.50", "-0.25", ".5", "100", "99999999999"]
ODD_NUMBERS = [
    "+1",
    "01",
    "-01.5",
    "1.",
    "1e5",
    "inf",
    "NaN",
    "00",
    "1_000",
    " 1",
    "1 ",
    "0x10",
    "-",
    "1.5.2",
    "1e-400",
]


@pytest.mark.parametrize("odd", ODD_NUMBERS)
def test_no_number_is_changed_in_a_long_column(bench: Bench, odd: str) -> None:
    """So many rows that numbers are judged by their bytes."""
    numbers = NUMBERS * 3_000
    numbers[17_777] = odd
    whole = ["7", "-12", "100"] * 7_000
    whole[17_777] = odd
    done = bench.csv(("a,b\n" + "\n".join(map(",".join, zip(numbers, whole, strict=True))) + "\n").encode())
    for name, texts in (("a", numbers), ("b", whole)):
        found = done.frame(done.part)[name]
        if found.dtype == pl.String:
            assert found.to_list() == texts
        else:
            assert odd in ("1e5", "inf", "NaN")  # as programs write doubles
            assert found.to_list() == pytest.approx([float(text) for text in texts], nan_ok=True, rel=0)
