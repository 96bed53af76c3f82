"""JSON with comments and commas before a closing bracket: the tables of the same JSON without them, of any size."""

from __future__ import annotations

import io
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from stages.convert.json_files import json_bare, json_document, json_split
from tests.stages.convert.conftest import Bench, Converted

VALUES: list[Any] = [
    [{"a": i, "b": "http://x//y/*", "c": None if i % 2 else [1, {"d": "*/"}]} for i in range(3)],
    {"a": 1, "b": {"c": [1, 2, {"d": "x,]"}]}, "e": "\\"},
    {"users": [{"id": 1}, {"id": 2, "n": 'q"//'}], "tags": [{"t": "é // ü"}], "total": 3},
    [1, 2.5, "x", None, [], {}, [[]]],
    ["\\\\", '\\"', "//", "/*", "*/", ",]", ",}", "/", "*", "\\/"],
    {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"a": 1}, "geometry": None}]},
]
COMMENTS = [
    "// plain\n", "//\n", "/**/", "/***/", "/* a */", '// say "hi\n', '/* " */', '// it\\"s\n', "/* // */", "// /*\n",
    "/* [{,:]} */", "//[{,:]}\n", "/*\n*\n/*/", "// ü\r\n", "/*\\*/", "// \\\n", "/*/ */", '/*"\\"*/', "// */ //\n",
]  # fmt: skip
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\[\]{}:,"\s]+')


def spoilt(value: Any, chance: random.Random) -> str:
    """VALUE as JSON with comments between its tokens, and commas before closing brackets."""
    found = []
    before = ""
    for token in TOKEN.findall(json.dumps(value, ensure_ascii=False)):
        if token in "]}" and before not in ("[", "{") and chance.random() < 0.5:
            found.append(",")
        while chance.random() < 0.25:
            found.append(chance.choice([*COMMENTS, " ", "\n"]))
        found.append(token)
        before = token
    return "".join(found) + chance.choice(["", "\n", " // end", "/* end */ \n"])


def told(done: Converted) -> list[Any]:
    found = [(part.title, part.columns, done.frame(part).rows()) for part in done.results.tables]
    reason = done.member.reason
    return [*found, done.member.outcome, done.member.notes, reason and reason.code]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("types", ["auto", "text"])
def test_it_is_what_stands_there_without_them(
    bench: Bench, value: Any, types: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    bare = told(bench.convert({"a.json": json.dumps(value).encode()}))
    for _turn in range(5):
        text = spoilt(value, chance).encode()
        monkeypatch.setattr(json_document, "WHOLE", 1 << 24)
        small = told(bench.convert({"a.json": text}, types=types))
        if types == "auto":
            assert small[:-3] == bare[:-3], text
        monkeypatch.setattr(json_document, "WHOLE", 0)
        for piece in (1, 4, 64):
            monkeypatch.setattr(json_split, "PIECE", piece)
            assert told(bench.convert({"a.json": text}, types=types)) == small, (piece, text)


ODD = [
    "[[,],1]", "[{},[ ,]]", "[1, // last\n]", "[1 /* x */, ]", "[1,/**/]", "[,]", "[ ,]", "[/**/,]", "[1,,]", "[1,,2]", "{,}", '{"a":,}', '{"a",}',
    "[1] // x", "// x\n[1]", "/* x */ [1] /* y */", "[1] /* x", "[1] /", "/", "//", "/*", "[1 // x", '["a // b]', "[1 / 2]",
    '{"a":1} // x\n{"a":2}', '{"a":1,}\n/**/{"a":2,},', "[1,\n\n // x\n\n ]", '{"a":"x\x1ey"}', "\x1e[1,]", '\x1e{"a":1,}\n\x1e{"a":2}',
    "[1,2,3,]", '{"a":1,}', '{"a":[{"b":1,},],}', '[{"a":1}, // "\n{"a":2}, // "\n]', "# x\n[1]", "[1, 2 # x\n]", "[1]]", "[1],",
    "{'a':1,}", "[1,]x", '{"a":1,}x', "[//]\n1]", "[/*]*/1]", '"x" // y', "1 // y", "// y\n1", "1,", "[]// x", "{} /* x */",
    '{"a":1, // "b":2\n"c":3}', '[{"a":"\\ud800",}]', '[{"a":1,"a":2,},]', "[1.50,]", "[1e400,]",
]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("types", ["auto", "text"])
def test_a_large_one_is_read_as_a_small_one(
    bench: Bench, text: str, types: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = told(bench.convert({"a.json": text.encode()}, types=types))
    monkeypatch.setattr(json_document, "WHOLE", 0)
    for piece in (1, 2, 61):
        monkeypatch.setattr(json_split, "PIECE", piece)
        large = told(bench.convert({"a.json": text.encode()}, types=types))
        assert large[:-1] == small[:-1], piece


@pytest.mark.parametrize(
    ("text", "rows", "count"),
    [
        ('[{"a":1}, // one\n {"a":2,}, /* two */ ]', [(1,), (2,)], ("2 comments", "2 commas")),
        ('{"a":"// no /* comment */,]"}', [("// no /* comment */,]",)], None),
        ("[1,]", [(1,)], ("passed over: 1 comma before",)),
    ],
)
@pytest.mark.parametrize("whole", [0, 1 << 24])
def test_a_note_counts_them(
    bench: Bench,
    text: str,
    rows: list[Any],
    count: tuple[str, str] | None,
    whole: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_document, "WHOLE", whole)
    done = bench.convert({"a.json": text.encode()})
    assert done.rows == rows
    assert len(done.member.notes) == (count is not None)
    assert count is None or all(words in done.member.notes[0] for words in count)
    assert not [path for path in bench.work.iterdir() if "scratch" in path.name]


def test_a_separator_within_a_text_is_no_blank(bench: Bench) -> None:
    """It would be another text."""
    assert bench.convert({"a.json": b'{"a":"x\x1ey"}'}).member.outcome == "rejected"


def test_all_other_bytes_stay_where_they_are() -> None:
    chance = random.Random(3)
    for value in VALUES * 20:
        text = spoilt(value, chance).encode()
        for piece in (1, 3, len(text)):
            file = io.BytesIO(b"before")
            file.seek(0, io.SEEK_END)
            json_bare.write((text[at : at + piece] for at in range(0, len(text), piece)), file)
            bare = file.getvalue().removeprefix(b"before")
            assert len(bare) == len(text)
            assert json.loads(bare) == value
            assert all(new in (old, 0x20) for old, new in zip(text, bare, strict=True))


def test_a_comment_without_end_is_none(tmp_path: Path) -> None:
    for text in (b"[1] /* x", b"[1] /*", b"[1] /**", b"[1, /* x */ 2] /* ] "):
        for piece in (1, 2, 50):
            with (tmp_path / "a").open("wb") as file:
                json_bare.write((text[at : at + piece] for at in range(0, len(text), piece)), file)
            assert b"/*" in (tmp_path / "a").read_bytes()


@pytest.mark.parametrize("text", ["[[,],1]", "[1,[ , ]]", '[{"a":1},{,}]', '[{"a":,}]', "[[1,,]]"])
@pytest.mark.parametrize("whole", [0, 1 << 24])
def test_a_comma_with_no_value_before_it_is_wrong(
    bench: Bench, text: str, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_document, "WHOLE", whole)
    assert bench.convert({"a.json": text.encode()}).member.outcome == "rejected"
