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

from stages.convert.values.byte_rows import Bytes, Rows, Words
from stages.convert.values.kinds import Kind

LEAST = 1_000  # rows from which on it's worth it
_DAY, _CLOCK, _SECONDS = "%Y-%m-%d", "%H:%M:%S", 19  # bytes up to the seconds, those included
_DATE_WIDTH, _MOST_FRACTION = 10, 6

Numbers = npt.NDArray[np.int64]


def read(column: pl.Series, kind: Kind) -> pl.Series | None:
    """COLUMN's texts as KIND, a date or a timestamp; None where they aren't all ISO's, equally wide, or not all days and
    times that there are."""
    texts = column.drop_nulls() if column.null_count() else column
    width = len(texts[0].encode()) if len(texts) else 0
    if not is_iso(kind, width):
        return None
    parts = texts.cast(pl.Binary).bin.reinterpret(dtype=pl.Array(pl.UInt8, width), endianness="little")
    if parts.null_count():
        return None
    moments = read_rows(Rows(parts.explode().to_numpy(), width), width, kind)
    return None if moments is None else spread(moments, column.is_not_null()).alias(column.name)


def read_rows(rows: Rows, width: int, kind: Kind) -> pl.Series | None:
    """The same of texts of WIDTH bytes, which stand in ROWS; their KIND is ISO's."""
    moments = _days(rows) if kind.name == "date" else _micros(rows, width, kind)
    return None if moments is None else pl.Series(moments).cast(_dtype(kind))


def spread(moments: pl.Series, is_there: pl.Series) -> pl.Series:
    """MOMENTS at the places where IS_THERE is set, nulls at the others."""
    if len(moments) == len(is_there):
        return moments
    nothing = pl.repeat(None, len(is_there), dtype=moments.dtype, eager=True)
    return nothing.scatter(is_there.arg_true(), moments)


def is_iso(kind: Kind, width: int) -> bool:
    """Whether texts of WIDTH bytes may be KIND as ISO writes it, and are nothing else."""
    if kind.null:
        return False
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


def _days(rows: Rows) -> Numbers | None:
    """The days since 1970 that ROWS begin with."""
    date = _digits(rows.word(0), "9999-99-")
    tens, ones = (rows.byte(at) - np.uint8(0x30) for at in (8, 9))
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


def _micros(rows: Rows, width: int, kind: Kind) -> Numbers | None:
    """The microseconds since 1970 that texts of WIDTH bytes in ROWS say."""
    clock = _digits(rows.word(_SECONDS - 8), "99:99:99")
    days = _days(rows)
    if clock is None or days is None or not _are(rows.byte(_DATE_WIDTH), kind.form[len(_DAY)]):
        return None
    pairs = clock * np.uint64(10) + (clock >> np.uint64(8))
    hours, minutes, seconds = (_pair(pairs, at) for at in (0, 3, 6))
    if (hours > 23).any() or (minutes > 59).any() or (seconds > 59).any():
        return None
    micros: Numbers = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000_000
    is_zoned = kind.form.endswith("Z")
    if is_zoned and not _are(rows.byte(width - 1), "Z"):
        return None
    places = width - _SECONDS - 1 - is_zoned
    if places > 0:
        if not _are(rows.byte(_SECONDS), "."):
            return None
        for place in range(places):
            digits = rows.byte(_SECONDS + 1 + place) - np.uint8(0x30)
            if (digits > 9).any():
                return None
            micros += digits * np.int64(10 ** (_MOST_FRACTION - 1 - place))
    return micros


def _are(marks: Bytes, mark: str) -> bool:
    return bool((marks == np.uint8(ord(mark))).all())


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
