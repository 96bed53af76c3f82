"""JSON documents: one that is streamed gives the tables of one that is held, and nothing in it is lost or taken as right."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Convert
from pipeline.model import Code
from stages.convert.json_files import json_document, json_large, json_split
from tests.stages.convert.conftest import Bench, Converted

FEATURES = [
    *({"type": "Feature", "id": i, "properties": {"id": -i, "p": None, "feature_id": 9}, "geometry": {"type": "Point", "coordinates": [i, 0.5]}} for i in range(20)),
    {"type": "Feature", "properties": None, "geometry": None},
    {"type": "Feature", "properties": [1], "bbox": [1, 2]},
    {"type": "Feature", "properties": {}},
    {"type": "other", "x": 1}, 7, None,
]  # fmt: skip
VALUES: dict[str, Any] = {
    "lists": [[i, i + 1, "x"] for i in range(50)],
    "numbers": list(range(100)),
    "kinds of numbers": [1, 0.5, 10**30, -(10**40), 2**63, 1e308, 5e-324],
    "texts": ["a", "", None, 'é\n"q" [,{\\'] * 9,
    "mixed": [1, {"a": 1}, {"value": 3, "a": 2}, [1], None, "x"] * 9,
    "empty": [[], {}, "", 0, False, None],
    "records": [{"a": i, "b": str(i)} for i in range(60)],
    "lists under keys": {
        "meta": {"x": 1},
        "items": [{"i": i} for i in range(60)],
        "n": 3,
        "m": [1, 2],
        "e": [],
        "f": {},
    },
    "objects by id": {f"id{i}": {"a": i, "b": {"c": i}, "key": 2} if i % 3 else i for i in range(60)},
    "features": {"type": "FeatureCollection", "name": "n", "crs": {"x": 1}, "features": FEATURES, "r": [{"q": 1}]},
    "no features": {"type": "FeatureCollection", "features": "x"},
    "names": {"a.b": 1, "a": {"b": 2}, "document": [{"a": 1}], 'caf\u00e9 "q"\\': [{"x": 1}]},
    "deep": [json.loads("[" * 40 + "1" + "]" * 40)] * 3,
}
TEXTS = [
    '{"a":[{"x":1}],"a":[{"x":2}],"b":1,"b":2}',
    '[{"a":1,"a":2},{"a":3}]',
    '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"a":1,"a":2},"id":1,"id":2},'
    '{"type":"Feature","properties":{"a":3},"id":1,"geometry":{"type":"P","type":"Q"}}]}',
    '{"type":"Feature\\u0043ollection","features":[{"type":"Feat\\u0075re","properties":{"a":1},"geometry":null}]}',
    ' \n\t[ \n 1 ,\n 2 , \r\n "a\\nb" ] \n ', "[1,2,3,]", '{"a":1,}', "[]", "{}", '{"a":[]}',
    "[1,2}", '{"a":1]', "[,]", "[1,,2]", "{,}", '{"a":1,,"b":2}', '{"a":1:2}', "[1] x", '{"a" "b":1}', "{1:2}", '{"a":1}}',
    "[1 2]", '[{"a":1} {"a":2}]', '{"k":{"a":1]}', "[1,2", '{"a":{"b":1}', '["\\ud800"]',
]  # fmt: skip


def tables(done: Converted) -> list[Any]:
    found = [(part.title, part.columns, done.frame(part).rows()) for part in done.results.tables]
    return [*found, done.member.outcome, done.member.reason and done.member.reason.code]


def in_parts(patch: pytest.MonkeyPatch, piece: int) -> None:
    patch.setattr(json_document, "WHOLE", 0)
    patch.setattr(json_split, "PIECE", piece)


@pytest.mark.parametrize(
    "text", [*(json.dumps(value, indent=indent) for value in VALUES.values() for indent in (None, 1)), *TEXTS]
)
def test_a_large_document_is_read_as_a_small_one(bench: Bench, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tables(bench.convert({"a.json": text.encode()}))
    in_parts(monkeypatch, 61)
    assert tables(bench.convert({"a.json": text.encode()})) == small


scalars = st.sampled_from([None, True, 0, -1, 2**53 + 1, 10**25, 0.5, 1e300, "", "a", "2024-01-02", '\\"[{,:', "é\n"])
keys = st.sampled_from(["a", "b", "key", "value", "id", "features", "type", "a.b", "é", ""])
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4))
features = st.fixed_dictionaries(
    {"type": st.just("Feature"), "properties": st.dictionaries(keys, scalars, max_size=3) | scalars},
    optional={"id": scalars, "geometry": anything, "feature_id": scalars},
)
collections = st.fixed_dictionaries(
    {"type": st.just("FeatureCollection"), "features": st.lists(features | anything, max_size=5)},
    optional={"a": anything},
)
documents = st.lists(anything, max_size=6) | st.dictionaries(keys, anything, max_size=5) | collections


@settings(max_examples=60, deadline=None, derandomize=True)
@given(documents, st.sampled_from((None, 1)), st.sampled_from((1, 13, 400)), st.sampled_from(("auto", "text")))
def test_any_large_document_is_read_as_a_small_one(value: Any, indent: int | None, piece: int, types: str) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False).encode()
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as home:
        bench = Bench(Path(home))
        small = tables(bench.convert({"a.json": text}, types=types))
        in_parts(patch, piece)
        assert tables(bench.convert({"a.json": text}, types=types)) == small


def test_an_object_of_too_many_objects_has_a_row_for_each(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.config = type(bench.config)(paths=bench.config.paths, convert=Convert(max_columns=40))
    value = {f"id{i}": {"a": i, "key": 2, "b": {"c": i}} if i % 3 else {} for i in range(60)}
    text = json.dumps(value, indent=1).encode()
    small = bench.convert({"a.json": text})
    assert small.frame(small.part).columns == ["key", "a", "key_2", "b"]
    assert small.rows[:2] == [("id0", None, None, None), ("id1", 1, 2, {"c": 1})]
    in_parts(monkeypatch, 61)
    assert tables(bench.convert({"a.json": text})) == tables(small)
    others = bench.convert(
        {"a.json": json.dumps({**value, "x": 1}).encode(), "b.json": json.dumps([*value] * 2).encode()}
    )
    assert [member.reason and member.reason.code for member in others.results.members] == [Code.TOO_LARGE, None]


def test_an_object_too_large_for_a_row_has_a_row_for_each_value(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    in_parts(monkeypatch, 61)
    monkeypatch.setattr(json_large, "WIDEST", 500)
    value = {"a": {"x": 1, "key": 2}, "b": 3, "c": ["x" * 500]}
    done = bench.convert({"a.json": json.dumps(value).encode()})
    assert done.frame(done.part).to_dicts() == [
        {"key": "a", "x": 1, "key_2": 2, "value": None},
        {"key": "b", "x": None, "key_2": None, "value": "3"},
        {"key": "c", "x": None, "key_2": None, "value": json.dumps(value["c"])},
    ]


def test_large_values_are_tables_or_taken_apart(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    in_parts(monkeypatch, 61)
    monkeypatch.setattr(json_large, "SMALL", 100)
    value = {
        "n": list(range(60)),
        "o": {"x": 1, "y": [{"i": i} for i in range(50)]},
        "o.x": 2,
        "o.y": [{"z": 1}],
        "t": "x" * 200,
    }
    done = bench.convert({"a.json": json.dumps(value).encode()})
    found = {part.title: done.frame(part).to_dicts() for part in done.results.tables}
    assert found == {
        "n": [{"value": i} for i in range(60)],
        "o.y": [{"i": i} for i in range(50)],
        "o.y_2": [{"z": 1}],
        "document": [{"o.x": 1, "o.x_2": 2, "t": "x" * 200}],
    }  # fmt: skip


def test_a_value_that_is_too_large_is_said_to_be(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    in_parts(monkeypatch, 61)
    monkeypatch.setattr(json_split, "LARGEST", 300)
    monkeypatch.setattr(json_large, "SMALL", 100)
    for text in (json.dumps([list(range(200))]), json.dumps({"a": 1, "b": [["x" * 500]]})):
        reason = bench.convert({"a.json": text.encode()}).member.reason
        assert reason is not None
        assert reason.code == Code.TOO_LARGE


@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_a_stray_byte_in_utf8_is_mended_and_counted(bench: Bench, whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_document, "WHOLE", whole)
    text = '[{"name":"José","note":"it"},{"name":"b","note":"it§s"}]'.encode().replace("§".encode(), b"\x92")
    done = bench.convert({"a.json": text})
    assert done.rows == [("José", "it"), ("b", "it’s")]
    assert "utf-8" in done.member.notes[0]
    assert done.part.repaired == (1 if whole else 0)  # which of its records that were isn't known of a large one


@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_ascii_at_first_and_another_encoding_later(bench: Bench, whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_document, "WHOLE", whole)
    words = ["люди", "рождаются", "свободными", "достоинстве"] * 9
    values = [*({"id": i, "word": "plain"} for i in range(4000)), *({"id": 0, "word": word} for word in words)]
    done = bench.convert({"a.json": json.dumps(values, ensure_ascii=False).encode("cp1251")})
    assert done.frame(done.part).to_dicts() == values
    assert done.part.facts["encoding"] == "cp1251"


@pytest.mark.parametrize(
    "text", ['{"a":"\\ud800"}', '[{"a":"\\ud800 and more text"}]', '["\\udc00"]', '[{"a":"x"},{"a":"\\ud83d"}]']
)
@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_half_of_a_surrogate_pair_is_called_that(
    bench: Bench, text: str, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_document, "WHOLE", whole)
    reason = bench.convert({"a.json": text.encode()}).member.reason
    assert reason is not None
    assert reason.code == Code.CORRUPT
    assert "surrogate" in reason.text


@pytest.mark.parametrize(
    "text", ['{"a":1}{"a":2}', '\x1e{"a":1}\n\x1e{"a":2}', '// why\n{"a":1}\n/* and */ {"a":2}', '[{"a":1},\n{"a":2},]']
)
def test_several_values_and_comments(bench: Bench, text: str) -> None:
    assert bench.convert({"a.json": text.encode()}).rows == [(1,), (2,)]


@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_room_that_was_never_tables(bench: Bench, whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_document, "WHOLE", whole)
    assert bench.convert({"a.json": b'[{"a":1}]\n' + b"\0" * 9}).rows == [(1,)]
    assert bench.convert({"a.json": b'[{"a":1}]\0x'}).member.outcome == "rejected"


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-16", "utf-32", "utf-8-sig"])
def test_short_ones_in_unicode(bench: Bench, codec: str) -> None:
    assert bench.convert({"a.json": '{"a":1}'.encode(codec)}).rows == [(1,)]


SEVERAL = [
    '{"a":1}{"a":2}', '\x1e{"a":1}\n\x1e{"a":"}\\\\"}\n', '{\n "a": 1\n}\n{\n "a": [2]\n}\n', '[1,2][{"a":1}] {"b":2}', "[][]",
    '{"a":1}x{"a":2}', '{"a":1}{"a":2', '{"a":1},{"a":2}', '{"a":1} 2', '{"a":1}{"a":2}]', '{"a":1}{"a":NaN}', '{"a":1}[2}',
    '\x1e{"a":1}', '{"a":1}{"a":2,"a":3}', '[{"a":1}][{"a":2}]',
]  # fmt: skip


@pytest.mark.parametrize("text", SEVERAL)
def test_large_ones_of_several_values(bench: Bench, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tables(bench.convert({"a.json": text.encode()}))
    for piece in (1, 5, 61):
        in_parts(monkeypatch, piece)
        large = tables(bench.convert({"a.json": text.encode()}))
        assert large[:-1] == small[:-1]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('\x1e1\n\x1e2\n', [1, 2]), ('\x1e"a"\x1enull\x1e"b"', ["a", None, "b"]), ("\x1e\x1e7\n\x1e", [7]), ("\x1e[1]\n\x1e[2,3]\n", [[1], [2, 3]]),
        ('\x1e1,2\n\x1e3', None), ("\x1e1\n\x1etru", None), ('\x1e1 2\n', None), ('1\x1e2', None), ('\x1e"a\x1eb"', None),
        ('\x1e{"a":1},{"a":2}\n\x1e{"a":3}', None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("whole", [0, 1 << 24])
@pytest.mark.parametrize("piece", [1, 61])
def test_sequences_of_any_values(
    bench: Bench, text: str, values: list[Any] | None, whole: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_document, "WHOLE", whole)
    monkeypatch.setattr(json_split, "PIECE", piece)
    done = bench.convert({"a.json": text.encode(), "b.json-seq": text.encode()})
    if values is None:
        assert [member.outcome for member in done.results.members] == ["rejected"] * 2
    else:
        assert [done.frame(part)["value"].to_list() for part in done.results.tables] == [values] * 2


def test_several_values_are_each_valid(bench: Bench) -> None:
    assert bench.convert({"a.json": b'{"a":1}{"a":NaN}'}).member.outcome == "rejected"
    done = bench.convert({"a.json": b'{"a":1}{"a":2,"a":3}'})
    assert done.rows == [(1, None), (2, 3)]


def test_numbers_of_features_are_what_was_written(bench: Bench) -> None:
    text = b'{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"a":1.50},"geometry":[2.0]}]}'
    assert bench.convert({"a.geojson": text}, types="text").rows == [("1.50", "[2.0]")]


@pytest.mark.parametrize("whole", [0, 1 << 24])
def test_a_value_of_too_many_parts_is_refused(bench: Bench, whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_document, "WHOLE", whole)
    monkeypatch.setattr(json_large, "_CHEAP", 1000)
    monkeypatch.setattr(json_large, "_DEAREST", 400_000)
    assert bench.convert({"a.json": json.dumps([["x" * 20_000], [1] * 900]).encode()}).part.rows == 2
    for value in ([[1] * 5000], {"a": [1] * 5000}, [[[]] * 3000]):
        reason = bench.convert({"a.json": json.dumps(value).encode()}).member.reason
        assert reason is not None
        assert (reason.code, "parts" in reason.text) == (Code.TOO_LARGE, True)
