"""Numbers that a spreadsheet shows as days or as times of day: which of them are none.

A cell holds a day as a number, counted from the end of 1899 or from the beginning of 1904, and its format says that it's
shown as one. Of the numbers at the edges the engine makes other values: 60, shown as February 29, 1900, which never was,
becomes February 28, as 59 does; 0, shown as January 0, and what's below it become a time of day, and so does the first day
of a file that counts from 1904. Such a cell is handed to the engine without its format: what comes out then is the number
that is stored, and a note says so.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

MILLISECONDS = 24 * 60 * 60 * 1000  # of a day; the engine rounds to them
_LEAP = 60  # the day that never was
_ENDS = (2_958_466, 2_957_004)  # the first number after the year 9999: counted from 1900, from 1904
_LONGEST = 999_999_999  # days that Python's lengths of time hold
_PARTS = re.compile(
    r"\"[^\"]*\"?|[\\_*].?|(?P<length>\[(?:h+|m+|s+)\])|\[[^\]]*\]?|(?P<end>;)|(?P<half>am?/pm?)|(?P<letters>d+|m+|h+|y+|s+)",
    re.IGNORECASE | re.DOTALL,
)


class Shown(enum.Enum):
    """What a format shows a number as."""

    NUMBER = "a number"
    DAY = "a day, with or without a time"
    CLOCK = "a time of day alone"
    LENGTH = "a length of time"


_KNOWN = {
    **dict.fromkeys((14, 15, 16, 17, 22), Shown.DAY),
    **dict.fromkeys((18, 19, 20, 21, 45, 47), Shown.CLOCK),
    46: Shown.LENGTH,
    # In China, Japan and Korea; some show a time of day in one country and a day in another.
    **dict.fromkeys((*range(27, 32), 36, *range(50, 55), 57, 58), Shown.DAY),
    **dict.fromkeys((*range(32, 36), 55, 56), Shown.CLOCK),
}


def shown_by(number: int, codes: Mapping[int, str]) -> Shown:
    """What the format with NUMBER shows, where a file has CODES of its own by number."""
    own = shown_by_code(codes.get(number, ""))
    return own if own is not Shown.NUMBER else _KNOWN.get(number, own)


def shown_by_code(code: str) -> Shown:
    """What a format such as `yyyy-mm-dd` or `[h]:mm` shows; its part for numbers above 0 decides."""
    letters: list[str] = []
    for part in _PARTS.finditer(code):
        if part["end"]:
            break
        if part["length"] and not letters:
            return Shown.LENGTH
        letters += [part["letters"].lower()] if part["letters"] else ["h"] if part["half"] else []
    if not letters:
        return Shown.NUMBER
    first = {letter[0] for letter in letters}
    has_day = first & {"d", "y"} or not first & {"h", "s"} or "mmm" in "\0".join(letters)
    return Shown.DAY if has_day else Shown.CLOCK


def is_none(value: float, shown: Shown, *, is_1904: bool) -> bool:
    """Whether VALUE is no day or time of those that SHOWN speaks of, so that it's to be kept as a number."""
    if shown is Shown.NUMBER:
        return False
    if shown is Shown.LENGTH:
        return not abs(value) < _LONGEST
    if not 0 <= value < _ENDS[is_1904]:
        return True
    rounded = round(value * MILLISECONDS) / MILLISECONDS
    if value < 1:
        return shown is Shown.DAY or rounded == 1
    return rounded == _ENDS[is_1904] or (not is_1904 and _LEAP <= value < _LEAP + 1)


def note(count: int) -> str:
    """What people are told of COUNT such cells in a workbook."""
    what = "1 cell has" if count == 1 else f"{count:,} cells have"
    return f"{what} the format of a day or time and a number that is none; such numbers stay as they are stored"
