"""JSON in every shape: what the engine reads is what the exact reader reads, and nothing is lost between them."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model import Code
from stages.convert.json_files import json_document, json_engine, json_large, json_lines, json_rows, json_split
from tests.stages.convert.conftest import Bench


def lines(*values: Any) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def test_types_of_all_lines(bench: Bench) -> None:
    done = bench.convert(
        {"a.ndjson": lines({"a": 1, "b": "2024-01-02", "c": [1]}, {"a": 2.5, "d": {"x": True}}, {"b": None, "c": []})}
    )
    assert done.types == {"a": "DOUBLE", "b": "DATE", "c": "BIGINT[]", "d": 'STRUCT("x" BOOLEAN)'}
    assert done.rows == [
        (1.0, dt.date(2024, 1, 2), [1], None),
        (2.5, None, None, {"x": True}),
        (None, None, [], None),
    ]


@pytest.mark.parametrize(
    ("values", "kind", "wanted"),
    [
        ([1, 2**63], "DECIMAL(38,0)", [Decimal(1), Decimal(2**63)]),
        ([0.1, 2**53 + 1], "VARCHAR", ["0.1", "9007199254740993"]),
        (["01234", "5"], "VARCHAR", ["01234", "5"]),
        ([1, "1"], "VARCHAR", ["1", '"1"']),
        ([True, 1], "VARCHAR", ["true", "1"]),
        ([{"x": 1}, [1]], "VARCHAR", ['{"x":1}', "[1]"]),
        ([[], {}], "VARCHAR", ["[]", "{}"]),
        ([1, None, 3], "BIGINT", [1, None, 3]),
        (["", None], "VARCHAR", ["", None]),
        (["2024-01-02T03:04:05Z"], "TIMESTAMP WITH TIME ZONE", [dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC)]),
        (["2024-01-02", "x"], "VARCHAR", ["2024-01-02", "x"]),
    ],
)
def test_values_stay_what_they_are(bench: Bench, values: list[Any], kind: str, wanted: list[Any]) -> None:
    for many in (1, 300):  # more lines than a shape is guessed from
        done = bench.convert({"a.ndjson": lines(*({"v": value} for value in values * many))})
        assert done.types == {"v": kind}
        assert [row[0] for row in done.rows] == wanted * many


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        (b'[{"a":1},\n{"a":2}]\n', 0),
        (b'[\n  {\n    "a": 1\n  },\n  {\n    "a": 2\n  }\n]\n', 0),
        (b'{"a":1},\n{"a":2},\n', 2),
        (b'\x1e{"a":1}\n\x1e{"a":2}\n', 2),
    ],
)
def test_what_only_its_name_calls_lines(bench: Bench, text: bytes, repaired: int) -> None:
    done = bench.convert({"a.ndjson": text})
    assert done.rows == [(1,), (2,)]
    assert sum(part.repaired for part in done.results.tables) == repaired


def test_text_of_keys_that_stand_twice(bench: Bench) -> None:
    done = bench.convert({"a.ndjson": b'{"a":1.5,"a":"x"}\n'}, types="text")
    assert (done.types, done.rows) == ({"a": "VARCHAR", "a_2": "VARCHAR"}, [("1.5", "x")])


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_text_is_what_was_written(bench: Bench, name: str) -> None:
    records = [b'{"a":1.50,"b":true,"c":null,"d":{"x": 1.0},"e":"2024-01-02","f":1e400,"g":""}',
               b'{"a":-0,"b":"true","c":[1, 2.0],"d":"\\u00e9","e":12345678901234567890123}']  # fmt: skip
    text = b"[" + b",\n".join(records) + b"]" if name == "a.json" else b"\n".join(records)
    done = bench.convert({name: text}, types="text")
    assert set(done.types.values()) == {"VARCHAR"}
    assert done.rows == [
        ("1.50", "true", None, '{"x": 1.0}', "2024-01-02", "1e400", ""),
        ("-0", "true", "[1, 2.0]", "é", "12345678901234567890123", None, None),
    ]


def test_exact_decimals(bench: Bench) -> None:
    done = bench.convert({"a.ndjson": b'{"v": 0.12345678901234567890}\n{"v": 1}\n'})
    assert done.rows == [(Decimal("0.12345678901234567890"),), (Decimal(1),)]


def test_bad_lines_are_rejects(bench: Bench) -> None:
    data = b'\xef\xbb\xbf{"a": 1}\n\n  \n{"a": }\r\n{"a": 2} {"a": 3}\n{"a": NaN}\n{"a": 4}'
    done = bench.convert({"a.ndjson": data})
    assert done.rows == [(1,), (4,)]
    assert [(entry["line"], entry["raw"]) for entry in done.rejects(done.part)] == [
        (4, '{"a": }'),
        (5, '{"a": 2} {"a": 3}'),
        (6, '{"a": NaN}'),
    ]
    assert all(data[entry["byte"] :].startswith(entry["raw"].encode()) for entry in done.rejects(done.part))
    assert done.part.facts["blank_lines"] == 2


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-9, 9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from((0.5, 1.0, 1e-7, 1e22, 100.25)),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
    st.sampled_from(('a "quoted" one', "back\\slash", "\\\\", ":,{}[]", "true", "1.5", "2024-01-02", "\\")),
)
nested = st.one_of(scalars, st.lists(scalars, max_size=3), st.dictionaries(st.sampled_from("xyz"), scalars, max_size=2))
objects = st.dictionaries(st.sampled_from(("a", "b", "c", 'k"ey', "d:e")), nested, max_size=4)


def as_json(value: Any) -> Any:
    """A column's value as the JSON value that it stands for."""
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else value
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items() if item is not None}
    return value


def same(found: Any, wanted: Any) -> bool:
    """Whether FOUND is WANTED, or the JSON text of it."""
    found = as_json(found)
    if isinstance(wanted, dict) and isinstance(found, dict):
        wanted = {key: value for key, value in wanted.items() if value is not None}
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(found, str) and not isinstance(wanted, str):
        return bool(json.loads(found) == wanted)
    if isinstance(found, str) and isinstance(wanted, str):
        return found == wanted or found == json.dumps(wanted, ensure_ascii=False) or json.loads(found) == wanted
    if isinstance(wanted, bool) or isinstance(found, bool):
        return found is wanted
    if isinstance(wanted, float) and isinstance(
        found, (int, Decimal)
    ):  # a decimal is what was written, a double is near it
        return float(found) == wanted
    return bool(found == wanted)


def check_rows(bench: Bench, name: str, data: bytes, values: list[dict[str, Any]]) -> None:
    done = bench.convert({name: data})
    part = done.part
    assert (part.rows, part.rejected) == (len(values), 0)
    for row, value in zip(done.frame(part).to_dicts(), values, strict=True):
        assert all(same(row.get(key), value.get(key)) for key in row.keys() | value.keys())


@settings(max_examples=250)
@given(st.lists(objects, min_size=1, max_size=8).filter(any), st.booleans())
def test_lines_are_what_was_written(values: list[dict[str, Any]], ascii_only: bool) -> None:
    data = "".join(json.dumps(value, ensure_ascii=ascii_only) + "\n" for value in values).encode()
    with tempfile.TemporaryDirectory() as home:
        check_rows(Bench(Path(home)), "a.ndjson", data, values)


@settings(max_examples=150)
@given(
    st.lists(objects.filter(bool), min_size=2, max_size=8), st.sampled_from((None, 1)), st.sampled_from((7, 64, 4096))
)
def test_large_documents_are_split_right(values: list[dict[str, Any]], indent: int | None, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as home:
        patch.setattr(json_document, "WHOLE", 0)
        patch.setattr(json_split, "PIECE", piece)
        bench = Bench(Path(home))
        check_rows(bench, "a.json", json.dumps(values, indent=indent).encode(), values)
        patch.setattr(json_large, "SMALL", 0)
        whole = {"first": values, "in\\ner": {"second": values}}
        done = bench.convert({"b.json": json.dumps(whole, indent=indent).encode()})
        assert [(part.title, part.rows) for part in done.results.tables] == [
            ("first", len(values)),
            ("in\\ner.second", len(values)),
        ]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-32-le", "cp1251"])
def test_large_documents_in_other_encodings(bench: Bench, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_document, "WHOLE", 0)
    monkeypatch.setattr(json_split, "PIECE", 401)
    words = ["Все", "люди", "рождаются", "свободными", "и", "равными", "в", "своем", "достоинстве", "и", "правах"]
    values = [{"id": number, "word": word} for number, word in enumerate(words * 9)]
    done = bench.convert({"a.json": json.dumps(values, ensure_ascii=False, indent=1).encode(codec)})
    assert done.frame(done.part).to_dicts() == values
    assert not [path for path in bench.work.iterdir() if "scratch" in path.name]


@pytest.mark.parametrize("cut", [1, 5, 30])
@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_a_cut_document_gives_nothing(bench: Bench, cut: int, whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_document, "WHOLE", whole)
    data = json.dumps([{"a": i, "b": "x"} for i in range(50)]).encode()
    done = bench.convert({"a.json": data[:-cut]})
    assert done.member.reason is not None
    assert done.member.reason.code == Code.TRUNCATED
    assert not done.results.tables


def test_documents_of_other_kinds(bench: Bench) -> None:
    done = bench.convert(
        {
            "comments.json": b'{\n// why\n"a": 1, /* and */ "b": "http://x", }',
            "several.json": b'{"a": 1}\n{"a": 2}\n',
            "pretty.json": b'{\n "a": 1\n}\n{\n "a": 2\n}\n',
            "geo.geojson": json.dumps(
                {
                    "type": "FeatureCollection",
                    "features": [
                        {
                            "type": "Feature",
                            "properties": {"name": "x"},
                            "geometry": {"type": "Point", "coordinates": [1, 2]},
                        }
                    ],
                }
            ).encode(),
            "scalars.json": b"[1, 2, null]",
            "lists.json": b'{"users": [{"id": 1}], "tags": [{"t": "x"}, {"t": "y"}], "total": 3}',
        }
    )
    by_source = {(part.source, part.title): done.frame(part).to_dicts() for part in done.results.tables}
    assert by_source["comments.json", ""] == [{"a": 1, "b": "http://x"}]
    assert by_source["several.json", ""] == [{"a": 1}, {"a": 2}]
    assert by_source["pretty.json", ""] == [{"a": 1}, {"a": 2}]
    assert by_source["geo.geojson", ""] == [{"name": "x", "geometry": {"type": "Point", "coordinates": [1, 2]}}]
    assert by_source["scalars.json", ""] == [{"value": 1}, {"value": 2}, {"value": None}]
    assert by_source["lists.json", "users"] == [{"id": 1}]
    assert by_source["lists.json", "tags"] == [{"t": "x"}, {"t": "y"}]
    assert by_source["lists.json", "document"] == [{"total": 3}]


TRAPS = [
    ({"a": 1}, b'{"a": 1.5}'),
    ({"a": 1}, b'{"a": "5"}'),
    ({"a": 1}, b'{"a": true}'),
    ({"a": "x"}, b'{"a": 5}'),
    ({"a": "x"}, b'{"a": {"b": 1}}'),
    ({"a": True}, b'{"a": 1}'),
    ({"a": 1}, b'{"a": 1, "b": 2}'),
    ({"a": {"x": 1}}, b'{"a": {"x": 1, "y": 2}}'),
    ({"a": 0.5}, b'{"a": 9007199254740993}'),
    ({"a": 0.5}, b'{"a": 0.12345678901234567890}'),
    ({"a": 1}, b"[1]"),
    ({"a": 1}, b"null"),
    ({"a": 1}, b'{"a": 1e2}'),
    ({"a": [1]}, b'{"a": [1.5]}'),
    ({"a": 1, "b": "x"}, b'{"a": "12", "b": 7}'),  # the sums of both are as they were
    ({"a": True, "b": "x"}, b'{"a": "true", "b": false}'),
    ({"a": "x"}, b'{"a": ["x"]}'),
    ({"a": "x", "b": 1}, b'{"a": 5, "b": 1, "c": 2}'),
    ({"a": 1}, b'{"a": 1, "a": 2}'),
    ({"a": "x"}, b'{"a": "\\ud800"}'),
    ({"a": 0.5}, b'{"a": 1e-400}'),
]


@pytest.mark.parametrize(("good", "trap"), TRAPS)
def test_the_engine_s_leniency_is_caught(good: dict[str, Any], trap: bytes) -> None:
    """An engine reads most of these without a word: rounded, cast, cut or left out."""
    table = {key: json_rows.shape_of([value], is_top=True) for key, value in good.items()}
    texts = [json.dumps(good).encode()] * 3
    assert json_engine.read(json_rows.joined(texts), table) is not None
    assert json_engine.read(json_rows.joined([*texts, trap]), table) is None


def test_many_lines_with_known_bad_ones(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "CHUNK", 50_000)
    data, wanted, rejects = b"", [], []
    for number in range(20_000):
        if number % 7 == 3:
            raw = f'{{"id": {number}, "bad'
            rejects.append((number + 1, len(data), raw))
        else:
            raw = json.dumps({"id": number, "text": f"Größe\n{number}", "half": number / 2})
            wanted.append((number, f"Größe\n{number}", number / 2))
        data += raw.encode() + b"\n"
    done = bench.convert({"a.ndjson": data})
    assert done.rows == wanted
    assert [(entry["line"], entry["byte"], entry["raw"]) for entry in done.rejects(done.part)] == rejects
    assert all(entry["record"] == entry["line"] for entry in done.rejects(done.part))


def test_strings_and_numbers_that_trade_places_are_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a block further on, where no shape is learned any more, and in each of many."""
    monkeypatch.setattr(json_lines, "CHUNK", 20_000)
    values: list[dict[str, Any]] = [{"n": number, "t": f"x{number}"} for number in range(8_000)]
    values[5_000] = {"n": "12", "t": 7}
    done = bench.convert({"a.ndjson": lines(*values)})
    assert done.types == {"n": "VARCHAR", "t": "VARCHAR"}
    assert done.rows[5_000] == ('"12"', "7")
    assert done.rows[4_999] == ("4999", '"x4999"')


@pytest.mark.parametrize(
    ("first", "second"),
    [("0.5", "9007199254740993"), ("9007199254740993", "0.5"), ("0.5", "0.12345678901234567"), ("1e-20", str(2**70))],
)
def test_numbers_of_two_blocks_stay_exact(
    bench: Bench, first: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "CHUNK", 4_000)
    texts = [first] * 1_000 + [second] * 1_000
    done = bench.convert({"a.ndjson": "".join(f'{{"a":{text}}}\n' for text in texts).encode()})
    assert [Decimal(str(row[0])) for row in done.rows] == [Decimal(text) for text in texts]
