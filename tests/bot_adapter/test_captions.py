"""Captions: what is a wish, and what is talk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot_adapter.captions import merge, parse, password_in
from pipeline.adapter.model import Wishes


@pytest.mark.parametrize(
    ("caption", "wishes"),
    [
        ("", Wishes()),
        ("sales of May", Wishes()),
        ("password: open sesame", Wishes(password="open sesame")),
        ("Password:open sesame  ", Wishes(password="open sesame")),
        ("Passwort： geheim", Wishes(password="geheim")),
        ("pw = `a b`", Wishes(password="a b")),
        ("password: a: b", Wishes(password="a: b")),
        ("types: text\ntable: orders\nformat: CSV", Wishes(types="text", table="orders", format="csv")),
        ("types: auto\nformat: pdf", Wishes()),
        ("my password: x is secret", Wishes()),
        ("here\n  password:  two words \nthanks", Wishes(password="two words")),
        ("password: one\npassword: two", Wishes(password="two")),
    ],
)
def test_wishes(caption: str, wishes: Wishes) -> None:
    assert parse(caption) == wishes


@given(st.text(max_size=200))
def test_any_caption_can_be_read(caption: str) -> None:
    wishes = parse(caption)
    assert wishes.types in ("", "text") and wishes.format in ("", "csv", "xlsx", "parquet")


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("swordfish", "swordfish"),
        ("  swordfish\n", "swordfish"),
        ("password: swordfish", "swordfish"),
        ("`sword fish`", "sword fish"),
        ("two\nlines", ""),
        ("/retry 5", ""),
        ("", ""),
    ],
)
def test_a_reply_as_a_password(text: str, password: str) -> None:
    assert password_in(text) == password


def test_an_uploads_wishes_come_from_all_its_captions() -> None:
    assert merge([Wishes(table="a"), Wishes(password="p", table="b")]) == Wishes(password="p", table="a")
