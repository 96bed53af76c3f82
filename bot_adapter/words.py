"""Sizes, times and names as people read them on a phone; text that is safe inside Telegram's HTML. Pure."""

from __future__ import annotations

import html
import unicodedata
from typing import Final

NAME_LENGTH: Final = 60
_KEEP: Final = "\u200c\u200d"  # joiners, which some scripts and emoji need
_UNITS: Final = ("bytes", "KB", "MB", "GB", "TB")


def size(count: float) -> str:
    """COUNT bytes in the units and steps that Telegram's own apps show."""
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 or count >= 100 else f"{count:.1f} {_UNITS[unit]}"


def span(seconds: float) -> str:
    """How long something takes or took: `0.4 s`, `12 s`, `3 min`, `2 h 05 min`, `3 days`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // (24 * 60)} days"


def count(number: float, one: str, many: str = "") -> str:
    """NUMBER with its noun: `1 row`, `12,345 rows`."""
    return f"{number:,.0f} {one if number == 1 else many or one + 's'}"


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `11th`."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def plain(text: str, length: int = NAME_LENGTH) -> str:
    """TEXT on one line without control and direction characters, its middle left out where it's over LENGTH."""
    kept = "".join(
        char if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or char in _KEEP else " "
        for char in text
    )
    kept = " ".join(kept.split())
    if len(kept) <= length:
        return kept
    tail = min(12, length // 3)
    return f"{kept[: length - tail - 1]}…{kept[-tail:]}"


def safe(text: str, length: int = NAME_LENGTH) -> str:
    """TEXT as it may stand in Telegram's HTML, on one line."""
    return html.escape(plain(text, length), quote=False)


def bold(text: str, length: int = NAME_LENGTH) -> str:
    """TEXT, made safe, in bold."""
    return f"<b>{safe(text, length) or '-'}</b>"


def sentence(text: str, length: int = 400) -> str:
    """TEXT, made safe, with a full stop at its end."""
    shown = safe(text, length)
    return shown if not shown or shown.endswith((".", "!", "?", "…", ":", "<b>", "</code>")) else shown + "."
