"""Keys that are null wherever they stand: they have a column, in files of any size."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stages.convert.json_files import json_document, json_engine, json_keys, json_lines, json_rows, json_split
from tests.stages.convert.conftest import Bench

EARLY: dict[str, Any] = {"a": 1, "s": {"x": 1}, "l": [{"y": "t"}]}
LATE: list[dict[str, Any]] = [
    {"a": 2, "z": None}, {"a": None, "z": None}, {"z": None}, {"s": {"x": 2, "z": None}}, {"s": {"z": None}},
    {"l": [{"y": None}, None, {"z": None}]}, {"l": [{"z": None, "y": "u"}], "a": None}, {"": None}, {'q"': None}, {"é": None},
]  # fmt: skip


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_a_key_that_is_only_ever_null_has_a_column(
    bench: Bench, name: str, late: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [EARLY] * 40 + [late] + [EARLY] * 40
    text = json.dumps(values) if name == "a.json" else "\n".join(map(json.dumps, values))
    small = bench.convert({"a.json": json.dumps(values).encode()})
    monkeypatch.setattr(json_document, "WHOLE", 0)
    monkeypatch.setattr(json_split, "PIECE", 300)
    monkeypatch.setattr(json_lines, "CHUNK", 300)
    large = bench.convert({name: text.encode()})
    assert (large.types, large.rows) == (small.types, small.rows)
    assert len(large.types) == len({*EARLY, *late})
    assert ("z" in str(late)) == ("z" in str(large.types))


TEXTS: list[tuple[list[bytes], bool]] = [
    ([b'{"a":1}', b"{}", b'{"s":null,"l":null,"a":null}'], True),
    ([b'{"l":[{"y":"t"},null,{"y":null}]}', b'{"l":[]}'], True),
    ([b'{"s":{"x":null}}', b'{"s":{}}', b'{"l":[null,{}]}'], True),
    ([b'{"a":1}', b'{"z":null}'], False),
    ([b'{"a":1}', b'{"a":null,"z":null}'], False),
    ([b'{"s":{"z":null}}'], False),
    ([b'{"l":[{"z":null}]}', b'{"a":1}'], False),
    ([b'{"a":1,"a":null}'], False),
    ([b'{"a":null,"a":null}'], False),
]


@pytest.mark.parametrize(("texts", "is_known"), TEXTS)
def test_the_engine_takes_no_key_that_it_was_not_told_of(texts: list[bytes], is_known: bool) -> None:
    shapes = {key: json_rows.shape_of([value], is_top=True) for key, value in EARLY.items()}
    assert (json_engine.read(json_rows.joined(texts), shapes) is not None) == is_known


def test_keys_are_counted_at_every_level() -> None:
    value = {"a": [[{"b": 1, "c": [{"d": None}]}, None], None, []], "e": {"f": {"g": None}}, "h": None}
    shapes = {key: json_rows.shape_of([part], is_top=True) for key, part in value.items()}
    assert json_keys.count(json.dumps(value).encode(), shapes) == 8
    assert json_keys.count(b'{"a":[[{"x":1,"c":[{"d":2,"y":3}]}]],"e":{"f":null,"z":1},"i":null}', shapes) == 5
    assert json_keys.count(b'{"a":1}', shapes) == -1
