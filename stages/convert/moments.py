"""ISO dates and times read from their bytes, a column in one go: eight bytes are one number, and numbers are reckoned
with side by side.

An engine's reader of any pattern takes five times as long. It stays the one to say what a text means that isn't
written just so: here that's never an error, but None.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.convert.kinds import Kind

LEAST = 1_000  # rows from which on it's worth it
_DAY, _CLOCK, _SECONDS = "%Y-%m-%d", "%H:%M:%S", 19  # bytes up to the seconds, those included
_DATE_WIDTH, _MOST_FRACTION = 10, 6

Words = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


def read(column: pl.Series, kind: Kind) -> pl.Series | None:
    """COLUMN's texts as KIND, a date or a timestamp; None where they aren't all ISO's, equally wide, or not all days and
    times that there are."""
    texts = column.drop_nulls() if column.null_count() else column
    width = len(texts[0].encode()) if len(texts) else 0
    if kind.null or not _is_iso(kind, width):
        return None
    parts = texts.cast(pl.Binary).bin.reinterpret(dtype=pl.Array(pl.UInt8, width), endianness="little")
    if parts.null_count():
        return None
    table = parts.explode().to_numpy()
    moments = _days(table, width) if kind.name == "date" else _micros(table, width, kind)
    if moments is None:
        return None
    return _spread(pl.Series(column.name, moments), column).cast(_dtype(kind))


def _is_iso(kind: Kind, width: int) -> bool:
    if kind.name == "date":
        return kind.form == _DAY and width == _DATE_WIDTH
    day, gap, clock = kind.form[: len(_DAY)], kind.form[len(_DAY) : len(_DAY) + 1], kind.form[len(_DAY) + 1 :]
    is_zoned = clock.endswith("Z")
    clock = clock.removesuffix("Z")
    fraction = width - _SECONDS - is_zoned
    if clock.endswith("%.f"):
        clock, fraction = clock.removesuffix("%.f"), fraction - 1
        return (day, clock) == (_DAY, _CLOCK) and gap in (" ", "T") and 1 <= fraction <= _MOST_FRACTION
    return (day, clock) == (_DAY, _CLOCK) and gap in (" ", "T") and fraction == 0


def _dtype(kind: Kind) -> Any:
    if kind.name == "date":
        return pl.Date()
    return pl.Datetime("us", "UTC" if kind.name == "timestamptz" else None)


def _spread(moments: pl.Series, column: pl.Series) -> pl.Series:
    """MOMENTS where COLUMN has texts, null where it has none."""
    if len(moments) == len(column):
        return moments
    is_there = column.is_not_null()
    nothing = pl.repeat(None, len(column), dtype=moments.dtype, eager=True).alias(column.name)
    return nothing.scatter(is_there.arg_true(), moments)


def _days(table: npt.NDArray[np.uint8], width: int) -> Numbers | None:
    """The days since 1970 that texts of WIDTH bytes begin with."""
    date = _digits(_word(table, width, 0), "9999-99-")
    tens, ones = (table[at::width] - np.uint8(0x30) for at in (8, 9))
    if date is None or (tens > 9).any() or (ones > 9).any():
        return None
    pairs = date * np.uint64(10) + (date >> np.uint64(8))  # each digit with the next one as a number of two
    century, year, month = (_pair(pairs, at) for at in (0, 2, 5))
    day = tens.astype(np.int64) * 10 + ones
    months = century * 1200 + year * 12 + month - 1
    if (month - 1 > 11).any() or (month < 1).any() or (months < 12).any() or (day < 1).any():
        return None
    first = _first_days()
    days: Numbers = first[months] + day - 1
    return days if (days < first[months + 1]).all() else None


def _micros(table: npt.NDArray[np.uint8], width: int, kind: Kind) -> Numbers | None:
    """The microseconds since 1970 that texts of WIDTH bytes say."""
    gap = kind.form[len(_DAY)]
    clock = _digits(_word(table, width, _SECONDS - 8), "99:99:99")
    days = _days(table, width)
    if clock is None or days is None or not _are(table[_DATE_WIDTH::width], gap):
        return None
    pairs = clock * np.uint64(10) + (clock >> np.uint64(8))
    hours, minutes, seconds = (_pair(pairs, at) for at in (0, 3, 6))
    if (hours > 23).any() or (minutes > 59).any() or (seconds > 59).any():
        return None
    micros: Numbers = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000_000
    is_zoned = kind.form.endswith("Z")
    if is_zoned and not _are(table[width - 1 :: width], "Z"):
        return None
    places = width - _SECONDS - 1 - is_zoned
    if places > 0:
        if not _are(table[_SECONDS::width], "."):
            return None
        for place in range(places):
            digits = table[_SECONDS + 1 + place :: width] - np.uint8(0x30)
            if (digits > 9).any():
                return None
            micros += digits * np.int64(10 ** (_MOST_FRACTION - 1 - place))
    return micros


def _are(marks: npt.NDArray[np.uint8], mark: str) -> bool:
    return bool((marks == np.uint8(ord(mark))).all())


def _word(table: npt.NDArray[np.uint8], width: int, at: int) -> Words:
    """The eight bytes from AT on of each text, the first of them the lowest."""
    view: Words = np.ndarray((len(table) // width,), "<u8", table, at, (width,))
    return view.copy()


def _digits(words: Words, form: str) -> Words | None:
    """The digits of WORDS, each in its byte, and zero in what FORM has no 9 for; None where a byte is no such thing."""
    marks, ones, highs, sixes = _masks(form)
    found = words ^ marks
    bad = (found | (found + sixes)) & highs | found & ~ones
    return None if bad.any() else found


@lru_cache(maxsize=8)
def _masks(form: str) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """For FORM: its bytes with 0 for each 9, and of the places of a 9 all bits, the high ones, and 6."""

    def word(digit: int, other: str | None = None) -> np.uint64:
        return np.uint64(int.from_bytes(bytes(digit if mark == "9" else ord(other or mark) for mark in form), "little"))

    return word(0x30), word(0xFF, "\0"), word(0xF0, "\0"), word(0x06, "\0")


def _pair(pairs: Words, at: int) -> Numbers:
    return ((pairs >> np.uint64(8 * at)) & np.uint64(0xFF)).view(np.int64)


@lru_cache(maxsize=1)
def _first_days() -> npt.NDArray[np.int64]:
    """The day since 1970 that each month of the years 0 to 9999, and one more, begins with."""
    months = np.arange("0000-01", "10000-02", dtype="datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64)
