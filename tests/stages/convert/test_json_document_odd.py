"""Odd but valid JSON: every cell against what Python's own reader says that it is, numbers as they were written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from stages.convert.json_files import json_document, json_split
from tests.stages.convert.conftest import Bench

DEEP = 60
RECORDS = [
    f'{{"a":{"[" * DEEP}1{"]" * DEEP}}}', '{"a":' * DEEP + "1" + "}" * DEEP,
    '{"a":99999999999999999999999999999999999999},{"a":1}', '{"a":999999999999999999999999999999999999999},{"a":-1}',
    '{"a":1e400},{"a":1}', '{"a":-0}', '{"a":-0.0},{"a":0.0}', '{"a":1E+2},{"a":1e-2}', '{"a":1e-400},{"a":1}',
    '{"a":5e-324},{"a":2.5e-310}', '{"a":0e999999999}', '{"a":1.0},{"a":2}', '{"a":0.1},{"a":0.30000000000000004}',
    '{"a":0.12345678901234567},{"a":1.1}', '{"a":9007199254740993},{"a":0.5}', '{"a":18446744073709551615}',
    '{"a":9223372036854775807},{"a":-9223372036854775808}', '{"a":1234567890123456789.01},{"a":0.1}',
    '{"a":1.10},{"a":123456789012345678901.5},{"a":0.00000000000000000001}', '{"a":1e308},{"a":1.7976931348623157e308}',
    '{"a":1e23},{"a":9.5e22}', '{"a":1e5},{"a":3}', '{"a":123456789012345678},{"a":1e30}', '{"a":18446744073709551616},{"a":0.5}',
    '{"":1,"a":2}', '{" ":1,"  ":2}', '{"a":1,"a":2,"a":3}', '{"x":{"a":1,"a":"b"}},{"x":{"a":2}}', '{"x":[{"a":1,"a":2}]}',
    '{"a":1,"a":2,"a_2":3}', '{"a":1,"\\u0061":2}', '{"a":1,"A":2}', '{"a.b":1,"a":{"b":2}}', '{"a\\nb":1,"\\u0000":3,"é":5,"💩":6}',
    '{"a":[1,"x",null,{"b":1},[2]]},{"a":[]}', '{"a":1},{"a":"1"},{"a":true},{"a":null},{"a":[1]},{"a":{"b":1}}',
    '{"a":true},{"a":0}', '{"a":"null"},{"a":null},{"a":""}', '{"a":null},{"a":null}', '{"a":{}},{"a":{"b":1}},{"a":null}',
    '{"a":[]},{"a":null}', '{"a":[[],[[]],{}]}', '{"a":[null,1,null]},{"a":[]}', '{"a":[1,18446744073709551616]}',
    '{"a":[0.1,0.12345678901234567890123]}', '{"a":{"b":1e400}},{"a":{"b":1}}', '{"a":[1,2.5,9007199254740993]}',
    '{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\\u0000"}', '{"a":"\u2028\u2029\ufeff\ufffe\U0010ffff\x7f\x80\x85"}',
    '{"a":"007"},{"a":"1"}', '{"a":"NaN"},{"a":"Infinity"}', '{"a":"2024-02-30"},{"a":"x"}', '{"a":"{\\"b\\":1}"},{"a":"[1]"}',
    '{"a":"{\\"b\\":1}"},{"a":{"b":1}}', '{"a":-1.5e-7},{"a":2e-7}', '{"a":1.50},{"a":1.5}', '{"a":100000000000000000000.0}',
    " 42", '"x"', "null,1", "false", "[1,2],[3],[]", '[1,"a"],{"b":2},3,null', '{"value":1},2', "1,2.5,1e400", "[[1],[null]],[]",
    json.dumps({"a": {f"k{i}": i for i in range(300)}}), json.dumps({f"k{i}": i for i in range(1000)}),
]  # fmt: skip


def distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        name, copy = key, 2
        while name in found:
            name, copy = f"{key}_{copy}", copy + 1
        found[name] = value
    return found


def loads(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, object_pairs_hook=distinct)


def same(cell: Any, wanted: Any, *, is_json: bool) -> bool:
    """Whether CELL holds WANTED: of a nested value that has no type, its JSON."""
    if cell is None or wanted is None:
        return cell is wanted or wanted == {}
    if isinstance(cell, str) and (is_json or not isinstance(wanted, str)):
        cell = loads(cell)
    if isinstance(cell, float):
        cell = Decimal(repr(cell))
    if isinstance(cell, list) and isinstance(wanted, list):
        return len(cell) == len(wanted) and all(map(either, cell, wanted))
    if isinstance(cell, dict) and isinstance(wanted, dict):
        return all(either(cell.get(key), wanted.get(key)) for key in cell.keys() | wanted.keys())
    if isinstance(cell, str) and isinstance(wanted, Decimal):
        return Decimal(cell) == wanted  # an exponent that no number of ours has
    return isinstance(cell, bool) == isinstance(wanted, bool) and bool(cell == wanted)


def either(cell: Any, wanted: Any) -> bool:
    """The same of a value in a list or object, of which isn't known whether it's in a column of JSON."""
    if isinstance(cell, str) and isinstance(wanted, str):
        return cell == wanted or (cell[:1] == '"' and loads(cell) == wanted)
    return same(cell, wanted, is_json=False)


@pytest.mark.parametrize("records", RECORDS)
@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_every_cell_is_what_was_written(
    bench: Bench, records: str, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_document, "WHOLE", whole)
    monkeypatch.setattr(json_split, "PIECE", 50)
    wanted = [value if isinstance(value, dict) else {"value": value} for value in loads(f"[{records}]")]
    done = bench.convert({"a.json": f"[{records}]".encode()})
    frame = done.frame(done.part)
    keys = list(dict.fromkeys(key for value in wanted for key in value))
    assert (frame.height, frame.width) == (len(wanted), len(keys))
    for series, key in zip(frame.get_columns(), keys, strict=True):
        values = [value.get(key) for value in wanted]
        is_json = series.dtype == pl.String and not all(value is None or isinstance(value, str) for value in values)
        assert all(same(cell, value, is_json=is_json) for cell, value in zip(series.to_list(), values, strict=True)), (
            series
        )


def test_a_number_that_nothing_counts_is_its_digits(bench: Bench) -> None:
    digits = "7" * 5000
    done = bench.convert({"a.json": f'[{{"a":{digits}}}]'.encode()})
    assert done.rows == [(digits,)]
