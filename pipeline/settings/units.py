"""Sizes and durations as people write them: "64 GiB", "30 s", "1 h 30 min". Pure."""

from __future__ import annotations

import re
from typing import Final

_BINARY: Final = ("KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL: Final = ("kB", "MB", "GB", "TB", "PB")
_SIZES: Final[dict[str, int]] = {
    "": 1,
    "b": 1,
    "byte": 1,
    "bytes": 1,
    **{unit.lower(): 1024**power for power, unit in enumerate(_BINARY, 1)},
    **{unit[0].lower(): 1024**power for power, unit in enumerate(_BINARY, 1)},  # 2G, as systemd writes it
    **{unit.lower(): 1000**power for power, unit in enumerate(_DECIMAL, 1)},
}
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_DURATIONS: Final = {
    **dict.fromkeys(("ms",), 0.001),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), _MINUTE),
    **dict.fromkeys(("h", "hour", "hours"), _HOUR),
    **dict.fromkeys(("d", "day", "days"), _DAY),
    **dict.fromkeys(("w", "week", "weeks"), 7 * _DAY),
}
_NUMBER: Final = r"(\d[\d_]*(?:\.\d+)?)"
_SIZE: Final = re.compile(rf"\s*{_NUMBER}\s*([A-Za-z]*)\s*", re.ASCII)
_PIECE: Final = re.compile(rf"\s*{_NUMBER}\s*([A-Za-z]*)\s*,?", re.ASCII)


def parse_size(text: str) -> int:
    """TEXT in bytes: "64 GiB", "1.5 GB", "2G" (binary), "4096". Raises ValueError."""
    found = _SIZE.fullmatch(text)
    factor = _SIZES.get(found[2].lower()) if found else None
    if found is None or factor is None:
        raise ValueError(f"{text!r} is no size")
    whole = found[1].replace("_", "")
    return int(whole) * factor if whole.isdigit() else round(float(whole) * factor)


def parse_duration(text: str) -> float:
    """TEXT in seconds: "30 s", "6 h", "1 h 30 min", "500 ms", "2.5". Raises ValueError."""
    total, at = 0.0, 0
    while at < len(text):
        found = _PIECE.match(text, at)
        factor = _DURATIONS.get(found[2].lower()) if found else None
        if found is None or factor is None:
            raise ValueError(f"{text!r} is no duration")
        total += float(found[1].replace("_", "")) * factor
        at = found.end()
    if not text.strip():
        raise ValueError(f"{text!r} is no duration")
    return total


def show_size(size: int) -> str:
    """SIZE bytes, exactly, in the largest unit that divides it: "64 GiB", "1000 bytes"."""
    for power in range(len(_BINARY), 0, -1):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power} {_BINARY[power - 1]}"
    return f"{size} bytes"


def show_duration(seconds: float) -> str:
    """SECONDS, exactly, in the largest unit that divides them: "6 h", "90 s"."""
    for length, unit in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= length and seconds % length == 0:
            count = int(seconds // length)
            return f"{count} {unit}" if (unit, count) != ("days", 1) else "1 day"
    return f"{int(seconds) if seconds == int(seconds) else seconds} s"


def short_size(size: float) -> str:
    """SIZE bytes in four or five characters and a unit, rounded: "1.4 GiB"."""
    for power in range(len(_BINARY), 0, -1):
        if size >= 1024**power:
            amount = size / 1024**power
            return f"{amount:.1f} {_BINARY[power - 1]}" if amount < 10 else f"{amount:.0f} {_BINARY[power - 1]}"
    return f"{size:.0f} B"


def short_duration(seconds: float) -> str:
    """SECONDS rounded to two units at most: "4 s", "3 min 20 s", "2 h 5 min", "6 days"."""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    for length, unit, below, smaller in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if whole >= length:
            rest = int(whole % length // below)
            return f"{int(whole // length)} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
