"""Files at the edge of their formats, and damaged ones: the right rows, or refused with a reason; never a crash."""

from __future__ import annotations

import importlib.util
import io
import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from pipeline.model import Code
from tests.stages.convert.conftest import Bench

_FUZZ = Path(__file__).parents[3] / "scripts" / "fuzz" / "convert.py"
_spec = importlib.util.spec_from_file_location("fuzz_convert", _FUZZ)
assert _spec is not None
assert _spec.loader is not None
fuzz = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fuzz)

VALID = [
    "[]", "[1]", '["a"]', '[""]', "[null]", "[true, false]", "[-0]", "[0e1]", "[1E22]", "[1e-2]", "[123.456e78]",
    '["\\u0060\\u012a\\u12AB"]', '["\\uD801\\udc37"]', '["\\"\\\\\\/\\b\\f\\n\\r\\t"]', '["\\u0000"]', '["\x7f"]',
    '[[[[[[]]]]]]', '{"a":[]}', '{"":0}', '{"a":{"b":{"c":1}}}', '{"a":1,"A":2}', '{"a\\u0000b":1}', '" "', "42", "null",
    '[{"a":1},{"a":"x"},{"a":[1]}]', '[{"a":1},null,3]', "[12345678901234567890123456789012345678901]",
    "[0.1000000000000000055511151231257827021181583404541015625]", "[1e400]", "[1e99999999999999999999]",
    "[-9223372036854775808, 9223372036854775808]", '  [1]  \n', '["\u2028\u2029\U0010ffff"]',
]  # fmt: skip
INVALID = [
    "[1 2]", "[", "]", "{", '{"a"}', '{"a":}', "{a:1}", "{'a':1}", "[NaN]", "[Infinity]", "[+1]", "[01]", "[1.]", "[.5]",
    "[-]", "[1e]", "[0x1]", '["a]', '["\t"]', '["\\x"]', '["\\u12"]', '["\\uD800"]', "[nul]", "[True]", "[1]]", "[1]x",
    '{"a":1}}', '["a"', "[,1]", "[1,,2]", "{,}", '{"a":1 "b":2}', "\x00", "[\x00]",
]  # fmt: skip


@pytest.mark.parametrize("text", VALID)
@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_valid_json_is_read(bench: Bench, text: str, name: str) -> None:
    done = bench.convert({name: text.strip().encode() if name == "a.ndjson" else text.encode()})
    value = json.loads(text, parse_float=str, parse_int=str)
    if value == [] and name == "a.json":
        assert done.member.reason is not None
        return
    assert done.member.outcome == "converted", done.member.reason
    rows = len(value) if isinstance(value, list) and name == "a.json" else 1
    assert (done.part.rows, done.part.rejected) == (rows, 0)


@pytest.mark.parametrize("text", INVALID)
@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_invalid_json_is_refused(bench: Bench, text: str, name: str) -> None:
    done = bench.convert({name: text.encode()})
    assert done.member.outcome == "rejected"
    assert done.member.reason is not None
    assert done.member.reason.next_step
    assert not done.results.tables


def test_deep_nesting_is_no_crash(bench: Bench) -> None:
    deep = b"[" * 100_000
    done = bench.convert({"a.json": deep, "b.json": deep + b"]" * 100_000, "c.ndjson": b'{"a":' * 50_000 + b"\n"})
    assert [member.outcome for member in done.results.members] == ["rejected"] * 3


def test_one_bad_line_among_hostile_ones_is_one_reject(bench: Bench) -> None:
    good = [text.strip() for text in VALID if text.strip().startswith("{")]
    lines = [line for text in INVALID if "\x00" not in text for line in (*good, text)]
    done = bench.convert({"a.ndjson": "\n".join(lines).encode()})
    assert (done.part.rows, done.part.rejected) == (
        len(good) * len(lines) // (len(good) + 1),
        len(lines) // (len(good) + 1),
    )


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_records_without_fields_are_refused(bench: Bench, name: str) -> None:
    texts = [b"{}", b"{}"]
    done = bench.convert({name: b"[" + b",".join(texts) + b"]" if name == "a.json" else b"\n".join(texts)})
    assert done.member.reason is not None
    assert done.member.reason.code == Code.EMPTY
    mixed = bench.convert({"a.ndjson": b'{}\n{"a": 1}\n{}\n'})
    assert mixed.rows == [(None,), (1,), (None,)]


def _parquet_of_bytes(kind: Any) -> bytes:
    from pyarrow import parquet

    out = io.BytesIO()
    offsets, data = pa.py_buffer(b"\0\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xff\xfe")
    text = pa.Array.from_buffers(kind, 1, [None, offsets, data])
    parquet.write_table(pa.table({"a": text}), out)
    return out.getvalue()


def test_text_that_isn_t_utf8_in_a_parquet_file_is_refused(bench: Bench) -> None:
    done = bench.convert({"a.parquet": _parquet_of_bytes(pa.string()), "b.parquet": _parquet_of_bytes(pa.binary())})
    first, second = done.results.members
    assert first.reason is not None
    assert first.reason.code == Code.CORRUPT
    assert second.outcome == "converted"


def test_a_page_in_an_encoding_that_the_parser_lacks(bench: Bench) -> None:
    page = "<html><table><tr><th>miasto</th><th>liczba</th></tr>" + "".join(
        f"<tr><td>{word}</td><td>{number}</td></tr>" for number, word in enumerate(["Łódź", "Gdańsk", "Wrocław"] * 9)
    )
    for codec in ("cp1250", "cp852", "utf-16"):
        done = bench.convert({"a.html": page.encode(codec)})
        assert {row[0] for row in done.rows} == {"Łódź", "Gdańsk", "Wrocław"}


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_a_short_run_of_the_fuzzer(kind: str, tmp_path: Path) -> None:
    chance = random.Random(kind)
    bases = fuzz.seeds(kind)
    direct = {"sniffer": fuzz.try_sniffer, "counter": fuzz.try_counter, "lines": fuzz.try_lines}
    run = direct[kind] if kind in direct else fuzz.try_stage(kind, tmp_path)
    for base in bases:
        assert run(base) != "rejected"
    for _input in range(40):
        run(fuzz.mutated(chance, chance.choice(bases), bases))
        if kind in fuzz.PACKED:
            run(fuzz.mutated_within(chance, bases[0], []))


def test_a_frame_of_odd_names_is_readable(bench: Bench) -> None:
    done = bench.csv(b'a,A,"a""b","x\ny",,select\n1,2,3,4,5,6\n')
    assert done.frame(done.part).columns == ["a", "A_2", 'a"b', "x y", "column_5", "select"]
    assert pl.read_parquet(done.work / done.part.file).height == 1
