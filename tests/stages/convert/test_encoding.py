"""Texts of many languages in the encodings of their time, and what happens where they don't keep to one."""

from __future__ import annotations

from typing import Any

import pytest

from stages.convert.text import chunks, delimited, encoding, legacy
from tests.stages.convert.conftest import Bench

TEXTS = {
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью.",
    "uk": "Всі люди народжуються вільними і рівними у своїй гідності та правах. Вони наділені розумом і совістю.",
    "bg": "Всички хора се раждат свободни и равни по достойнство и права. Те са надарени с разум и съвест.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison, à côté de ça.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie können größer werden, für Ämter übrigens.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos; razón y conciencia, año, también.",
    "sv": "Alla människor är födda fria och lika i värde och rättigheter. De är utrustade med förnuft på så sätt.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni rozumem, żółć.",
    "cs": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. Jsou nadáni rozumem a svědomím, řeč.",
    "hu": "Minden emberi lény szabadon születik és egyenlő méltósága és joga van. Az emberek, ésszel bírván, testvérű.",
    "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler, çağrı için.",
    "zh": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "tw": "人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心，並應以兄弟關係的精神相對待。",
    "ja": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 양심을 부여받았다.",
}
CASES = [
    *(("cp1251", language) for language in ("ru", "uk", "bg")),
    *(("koi8-r", "ru"), ("cp866", "ru"), ("iso8859-5", "ru")),
    *(("cp1252", language) for language in ("fr", "de", "es", "sv")),
    *(("latin-1", language) for language in ("fr", "de", "es", "sv")),
    *(("cp1250", language) for language in ("pl", "cs", "hu")),
    *(("cp1253", "el"), ("cp1254", "tr"), ("gbk", "zh"), ("big5", "tw")),
    *(("shift-jis", "ja"), ("euc-jp", "ja"), ("euc-kr", "ko")),
]


@pytest.mark.parametrize(("codec", "language"), CASES)
def test_a_language_in_its_encoding(bench: Bench, codec: str, language: str) -> None:
    text = TEXTS[language]
    words = [word.strip(",.;") for word in text.split()] if " " in text else list(text)
    rows = [f"{number},{word}" for number, word in enumerate(words * 8)]
    data = ("id,word\n" + "\n".join(rows) + "\n").encode(codec)
    done = bench.csv(data)
    assert [f"{number},{word}" for number, word in done.rows] == rows
    assert done.part.repaired == 0
    assert done.part.facts["encoding_confidence"] >= 0.3


@pytest.mark.parametrize(
    "codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_unicode_in_every_form(bench: Bench, codec: str) -> None:
    text = "id,word\r\n1,Größe 東京 😀\r\n2,x,too,many\r\n3,ok\r\n"
    data = text.encode(codec)
    done = bench.csv(data)
    assert done.rows == [(1, "Größe 東京 😀"), (3, "ok")]
    (reject,) = done.rejects(done.part)
    raw = "2,x,too,many".encode(codec.replace("-sig", "") if codec.startswith("utf-8") else _plain(codec))
    assert reject["line"] == 3
    assert data[reject["byte"] : reject["byte"] + len(raw)] == raw


def _plain(codec: str) -> str:
    return codec if codec.endswith(("le", "be")) else f"{codec}-le"


def test_ascii_at_first_and_another_encoding_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "CHUNK", 100_000)
    ascii_rows = [f"{i},plain" for i in range(40_000)]
    rows = [*ascii_rows, *(f"{i},{word}" for i, word in enumerate(TEXTS["ru"].replace(".", "").split() * 20))]
    data = ("id,word\n" + "\n".join(rows) + "\n").encode("cp1251")
    done = bench.csv(data)
    assert [f"{number},{word}" for number, word in done.rows] == rows
    assert done.part.facts["encoding"] == "cp1251"


def test_a_stray_byte_in_utf8_is_a_repair(bench: Bench) -> None:
    data = "id,word\n1,Größe\n2,東京\n".encode() + "3,Größe\n".encode("cp1252") + "4,naïve\n".encode()
    done = bench.csv(data)
    assert done.rows == [(1, "Größe"), (2, "東京"), (3, "Größe"), (4, "naïve")]
    assert done.part.repaired == 1


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("id;name\n1;Łódź, Kraków it§s\n2;ok\n", [(1, "Łódź, Kraków it’s"), (2, "ok")]),
        ("id;name\n1;José\n2;it§s\n", [(1, "José"), (2, "it’s")]),
        ("id;name\n1;José it§s\n", [(1, "José it’s")]),
        ("id;name\n1;東京§\n2;大阪 §\n3;京都, 奈良\n", [(1, "東京’"), (2, "大阪 ’"), (3, "京都, 奈良")]),
    ],
)
def test_a_stray_byte_in_a_short_text(bench: Bench, text: str, rows: list[Any]) -> None:
    done = bench.csv(text.encode().replace("§".encode(), b"\x92"))
    assert done.rows == rows
    assert done.part.facts["encoding"] == "utf-8"
    assert done.part.repaired == sum("’" in row[1] for row in rows)


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("id;name\n1;Łódź, Kraków\n", "cp1250"),
        ("id;word\n1;страна\n2;радио\n3;сады\n", "cp866"),
        ("id;name\n1;José\n2;Größe\n", "cp1252"),
    ],
)
def test_a_short_text_that_isn_t_utf8(text: str, codec: str) -> None:
    found = encoding.detect(text.encode(codec), is_whole=True)
    assert found is not None
    assert found.codec != "utf-8"


def test_a_zero_byte_is_one_record_s_affair(bench: Bench) -> None:
    done = bench.convert({"a.ndjson": b'{"a":1}\n{"a":2\0}\n{"a":"x\0y"}\n{"a":4}\n'})
    assert done.rows == [(1,), (4,)]
    assert [entry["line"] for entry in done.rejects(done.part)] == [2, 3]
    assert all("malformed: not JSON" in entry["reason"] for entry in done.rejects(done.part))
    assert bench.csv(b'a,b\n1,x\0y\n2,"z,\0"\n').rows == [(1, "x\0y"), (2, "z,\0")]
    assert bench.csv(b"a,b\n1,\0\n2,\0\n3,\0\n4,\0\n5,\0\n").rows == [(number, "\0") for number in range(1, 6)]
    assert encoding.detect(b"ab\0\1\2cd" * 2, is_whole=True) is None


def test_a_stray_byte_far_inside_is_one_repair(bench: Bench) -> None:
    rows = [f"{i},Größe {i}" for i in range(60_000)]
    data = (
        ("id,word\n" + "\n".join(rows) + "\n")
        .encode()
        .replace("Größe 50000\n".encode(), "Größe 50000\n".encode("cp1252"))
    )
    done = bench.csv(data)
    assert [f"{number},{word}" for number, word in done.rows] == rows
    assert done.part.repaired == 1


def test_bytes_that_are_no_text() -> None:
    assert encoding.detect(bytes(range(256)) * 4, is_whole=True) is None
    numbers = b"".join(number.to_bytes(4, "little") for number in range(1000))
    found = encoding.detect(numbers, is_whole=True)
    assert found is None or not found.codec.startswith("utf-32")
    assert encoding.detect(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", is_whole=True) is None


def test_a_guess_says_how_sure_it_is() -> None:
    long = legacy.guess((TEXTS["ru"] * 10).encode("cp1251"))
    assert long.codec == "cp1251"
    assert legacy.guess(b"caf\xe9\n").codec == "cp1252"
    assert legacy.guess(b"caf\xe9\n").confidence < long.confidence


def test_a_line_longer_than_memory_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "LONGEST_LINE", 10_000)
    monkeypatch.setattr(delimited, "CHUNK", 1000)
    done = bench.csv(b"a,b\n1,2\n" + b"x" * 300_000 + b",1\n")
    assert done.member.reason is not None
    assert "line" in done.member.reason.text
