"""Lines of one pattern taken apart by kernels: either every value is what JSON says, or they aren't taken."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.convert.json_files import json_pattern
from stages.convert.json_files.json_rows import decode
from stages.convert.values import moments
from stages.convert.values.kinds import DATE, Kind
from stages.convert.values.shapes import Shape, shape_of

pytestmark = pytest.mark.usefixtures("kernels")

ROWS = [
    {"id": 1, "name": "Größe", "at": {"day": "2024-02-29", "x": -0.5}, "ok": True, "none": None, "s": "a", "top": "2024-01-02"},
    {"id": -20, "name": 'say "hi"\n', "at": {"day": "1999-12-31", "x": 1e-7}, "ok": False, "none": None, "s": "", "top": "2024-01-03"},
    {"id": 9007199254740993, "name": "東京 \\ x", "at": {"day": "0001-01-01", "x": 12.25}, "ok": True, "none": None,
     "s": "more than twelve bytes", "top": "2024-01-04"},
    {"id": 0, "name": "tab\t/", "at": {"day": "2024-01-01", "x": 0.0}, "ok": None, "none": None, "s": "z", "top": "2024-01-05"},
]  # fmt: skip
WITH_NULLS = [{**row, "name": None if index % 2 else row["name"], "id": None} for index, row in enumerate(ROWS)]
WAYS = [{"separators": (",", ":")}, {}, {"ensure_ascii": False}]


def shapes(rows: list[dict[str, Any]]) -> dict[str, Shape]:
    return {key: shape_of([row[key] for row in rows], is_top=True) for key in rows[0]}


def written(rows: list[dict[str, Any]], way: dict[str, Any], line_end: str = "\n") -> bytes:
    return "".join(json.dumps(row, **way) + line_end for row in rows).encode()


def as_rows(columns: dict[str, pl.Series]) -> list[dict[str, Any]]:
    rows = pl.DataFrame([column.alias(name) for name, column in columns.items()]).to_dicts()
    return [{**row, "top": str(row["top"])} for row in rows]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("rows", [ROWS, WITH_NULLS, ROWS[:1], ROWS[:2]])
def test_values_are_what_json_says(rows: list[dict[str, Any]], way: dict[str, Any], line_end: str) -> None:
    data = written(rows, way, line_end)
    found = json_pattern.read(data, len(rows), shapes(rows))
    assert found is not None
    assert as_rows(found) == rows
    last = json_pattern.read(data.removesuffix(b"\n"), len(rows), shapes(rows))
    assert last is not None and as_rows(last) == as_rows(found)


TRAPS = [
    b'{"a":01,"b":"x"}', b'{"a":+1,"b":"x"}', b'{"a":.5,"b":"x"}', b'{"a":1.,"b":"x"}', b'{"a":nan,"b":"x"}',
    b'{"a": 1,"b":"x"}', b'{"a":1 ,"b":"x"}', b'{"a":1,"b":"x" }', b'{"a":1,"c":"x"}', b'{"a":1,"b":x}',
    b'{"a":"1","b":"x"}', b'{"a":1,"b":"\t"}', b'{"a":1,"b":"\\x"}', b'{"a":1,"b":"\\ud800"}', b'{"a":1,"b":"x"},',
    b'{"a":1,"b":"x","c":2}', b'{"b":"x","a":1}', b'{"a":[1],"b":"x"}', b'{"a":1,"b":1}', b'["a",1,"b","x"]',
    b'{"a":1,"b":"x"', b'{"a":-,"b":"x"}', b'{"a":,"b":"x"}', b'{"a":1,"b":"x\\"}', b'{"a":true,"b":"x"}', b"", b" ",
    b'{"a":1,"b":"\\ud83d\\ue000"}', b'{"a":1,"b":"\\ud83d\\u0041"}', b'{"a":1,"b":"\\udc00"}', b'{"a":1,"b":"\\u12g4"}', b'{"a":1,"b":"x\\\n"}', b'{"a":1,"b":"x\t}',
    b'{"a":nul,"b":"x"}', b'{"a":1,"b":nulL}', b'{"a":1,2,"b":"x"}', b'{"a":1,"b":"x"}{"a":1,"b":"x"}',
]  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("rest", [[b'{"a":1,"b":"y"}'], [b'{"a":1,"b":"y"}', b'{"a":2,"b":null}']])
def test_what_is_written_otherwise_is_not_taken(trap: bytes, rest: list[bytes]) -> None:
    for kind in (Kind("integer"), Kind("double")):
        wanted = {"a": Shape(kind), "b": Shape(Kind("text"))}
        assert json_pattern.read(b"\n".join(rest) + b"\n", len(rest), wanted) is not None
        for lines in ([*rest, trap], [rest[0], trap, *rest], [rest[0], trap, trap, *rest]):
            data = b"\n".join(lines) + b"\n"
            assert json_pattern.read(data, data.count(b"\n"), wanted) is None


def test_all_lines_are_read_and_no_more() -> None:
    data = written(ROWS, {})
    for count in range(len(ROWS) + 3):
        assert (json_pattern.read(data, count, shapes(ROWS)) is not None) == (count == len(ROWS))


@pytest.mark.parametrize("size", range(1, 16))
@pytest.mark.parametrize("values", [(b"1", b"2"), (b'"x"', b'"y"'), (b'"x"', b"null")])
def test_every_byte_between_values_counts(size: int, values: tuple[bytes, bytes]) -> None:
    key = b"k" * size
    kind = Shape(Kind("integer" if values[0] == b"1" else "text"))
    wanted = {"a": kind, key.decode(): kind}
    lines = [b'{"a" :%s  , "%s":%s }\n' % (value, key, value) for value in values]
    assert json_pattern.read(b"".join(lines), 2, wanted) is not None
    good = lines[1]
    held = [at for at in range(len(good) - 1) if at not in _at(good, values[1])]
    for at in held:
        for other in (b"~", b""):
            assert json_pattern.read(lines[0] + good[:at] + other + good[at + 1 :], 2, wanted) is None
    assert json_pattern.read(lines[0] + b'{"a" : , "%s":%s }\n' % (key, values[1]), 2, wanted) is None


def test_a_value_that_isn_t_there() -> None:
    wanted = {"a": Shape(Kind("integer")), "b": Shape(Kind("text"))}
    lines = b'{"a": 1 ,"b":"x"}\n{"a": 2 ,"b":%s}\n'
    for last in (b'"y"', b"null"):
        assert json_pattern.read(lines % last, 2, wanted) is not None
        assert (
            json_pattern.read(lines.replace(b" 2 ", b" ") % last, 2, wanted) is None
        )  # the blank before is the one behind


def _at(line: bytes, value: bytes) -> set[int]:
    """Where the bytes are of both VALUEs in LINE."""
    first, last = line.index(b":" + value) + 1, line.rindex(b":" + value) + 1
    return {start + at for start in (first, last) for at in range(len(value))}


def test_booleans_are_whole_words() -> None:
    wanted = {"a": Shape(Kind("boolean")), "b": Shape(Kind("boolean"))}
    for word, is_one in ((b"false", True), (b"null", True), (b"fals", False), (b"falsE", False), (b"truth", False)):
        data = b'{"a":true,"b":true}\n{"a":%s,"b":%s}\n' % (word, word)
        assert (json_pattern.read(data, 2, wanted) is not None) == is_one


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_never_change_a_value(seed: int, has_nulls: bool) -> None:
    chance = random.Random(seed)
    rows = (WITH_NULLS if has_nulls else ROWS)[: chance.choice((2, 4))]
    data = bytearray(written(rows, chance.choice(WAYS)))
    for _change in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[at] = chance.choice(b'"\\,:{}[]0159.-eEn \t\r\nu/x\x7f')
            case 1:
                del data[at]
            case 2:
                data[at:at] = chance.choice([b'"', b"\\", b",", b"0", b"null", b'""', b"\n", b"{}", b" "])
    try:
        data.decode()
    except UnicodeDecodeError:
        return  # what comes here is text
    lines = bytes(data).removesuffix(b"\n").split(b"\n")
    found = json_pattern.read(bytes(data), len(lines), shapes(rows))
    if found is not None:
        values = [decode(line) for line in lines]
        assert as_rows(found) == values


def test_a_line_that_is_no_pattern() -> None:
    for line in (
        b'{"a":[1]}\n',
        b'{"a":1,"a":2}\n',
        b"{}\n",
        b'{"a":{}}\n',
        b'{"a":{"x":1},"a":{"y":1}}\n',
        b'{"\\u0061":1}\n',
        b"1\n",
        b"\n",
        b"",
    ):
        assert json_pattern.find(line) is None


def test_moments_are_those_that_there_are() -> None:
    days = pl.date_range(dt.date(1, 1, 1), dt.date(9999, 12, 31), eager=True)
    found = moments.read(days.dt.to_string("%Y-%m-%d"), DATE)
    assert found is not None and found.dtype == pl.Date and (found == days).all()
    for bad in ("2023-02-29", "2100-02-29", "2023-13-01", "2023-00-01", "2023-01-00", "2023-04-31", "0000-01-01",
                "2023/01/01", "2023-1-001", "202a-01-01", "2023-01-3:", "2023-01-1 ", "2023-01-011"):  # fmt: skip
        assert moments.read(pl.Series(["2023-01-01", bad, "2023-01-01"]), DATE) is None


@pytest.mark.parametrize(
    ("kind", "form"),
    [("timestamp", "%Y-%m-%d %H:%M:%S"), ("timestamp", "%Y-%m-%dT%H:%M:%S%.f"), ("timestamptz", "%Y-%m-%dT%H:%M:%SZ"),
     ("timestamptz", "%Y-%m-%d %H:%M:%S%.fZ")],
)  # fmt: skip
def test_moments_of_every_form(kind: str, form: str) -> None:
    chance = random.Random(7)
    zone = dt.UTC if kind == "timestamptz" else None
    digits = 3 if ".f" in form else 0
    values = [
        dt.datetime(chance.randint(1, 9999), chance.randint(1, 12), chance.randint(1, 28), chance.randrange(24),
                    chance.randrange(60), chance.randrange(60), chance.randrange(1000) * 1000 * bool(digits), zone)
        for _value in range(500)
    ]  # fmt: skip
    texts: list[str | None] = []
    for value in values:
        text = value.replace(tzinfo=None).isoformat(form[8], "milliseconds" if digits else "seconds")
        texts.append(text + "Z" * bool(zone))
    texts[10], values[10] = None, None  # type: ignore[call-overload]
    found = moments.read(pl.Series(texts), Kind(kind, form))
    assert found is not None and found.to_list() == values
    for place, mark in ((10, "x"), (11, "2"), (14, "6"), (17, "6"), (13, "-"), (-1, "x")):
        bad = list(texts[0] or "")
        if mark == "2":
            bad[11:13] = "24"
        bad[place] = mark
        assert moments.read(pl.Series([texts[1], "".join(bad)]), Kind(kind, form)) is None
