"""What a caption asks for: `password: ...`, `types: text`, `table: name`, `format: csv`. Pure.

A line that begins with one of these words and a colon is a wish; all other text is a remark and left alone.
"""

from __future__ import annotations

import re
from typing import Final

from pipeline.adapter.model import Wishes

FORMATS: Final = ("csv", "xlsx", "parquet")
_WISH = re.compile(r"\s*(password|passwort|pass|pw|types?|table|format)\s*[:=\uff1a]\s*(.*?)\s*$", re.IGNORECASE)
_NAMES: Final = {"passwort": "password", "pass": "password", "pw": "password", "type": "types"}
_LONGEST: Final = 1024  # characters of a value; a caption is no longer


def parse(caption: str) -> Wishes:
    """The wishes in CAPTION. What isn't understood is no wish; of two of one kind the last one counts."""
    found: dict[str, str] = {}
    for line in caption.splitlines():
        if match := _WISH.match(line):
            word = match[1].lower()
            found[_NAMES.get(word, word)] = match[2][:_LONGEST]
    return Wishes(
        password=_bare(found.get("password", "")),
        types="text" if found.get("types", "").lower() == "text" else "",
        table=found.get("table", "")[:64],
        format=found.get("format", "").lower() if found.get("format", "").lower() in FORMATS else "",
    )


def password_in(text: str) -> str:
    """The password that TEXT, a reply to an answer that asks for one, holds: after `password:`, else all of one line."""
    wished = parse(text).password
    if wished:
        return wished
    text = text.strip()
    return "" if "\n" in text or text.startswith("/") else _bare(text[:_LONGEST])


def merge(wishes: list[Wishes]) -> Wishes:
    """The wishes of an upload of several messages: whichever is said anywhere, the first one first."""
    return Wishes(
        password=next((one.password for one in wishes if one.password), ""),
        types=next((one.types for one in wishes if one.types), ""),
        table=next((one.table for one in wishes if one.table), ""),
        format=next((one.format for one in wishes if one.format), ""),
    )


def _bare(password: str) -> str:
    """PASSWORD without the quotes or backticks that phones and chat apps put around words."""
    for mark in ("```", "`"):
        if len(password) > 2 * len(mark) and password.startswith(mark) and password.endswith(mark):
            return password[len(mark) : -len(mark)]
    return password
