"""What a block of JSON texts must hold, counted from its bytes alone: keys, strings, words and fractions.

An engine that reads the block must account for each of them. So a key that it doesn't know, a number that it made a
text of, or a fraction that it rounded shows, whatever the engine says.
"""

from __future__ import annotations

import re

import msgspec
import numpy as np

from stages.convert.counter import Bits, Bytes, Positions, after, before, bits, bits_where, parity, positions

_LONG = re.compile(rb"[:,\[]\s*-?(?=[0-9.]{17})[0-9]+\.[0-9]")
_COUNTED = "{[:,tfneE"
_CODES = tuple(map(ord, _COUNTED))
_STRIP = 64 * 1024
_MOST_EXPONENTS = 20_000  # in a block; each is looked at by itself


class Tokens(msgspec.Struct, frozen=True):
    """How many of each stand outside strings: objects, lists, colons (keys), commas, string ends, true or false, null;
    numbers with a point or an exponent, and those of them that end in a point and zeros. `is_sure` is False where there
    is too much to count, or a number with more digits than a double holds."""

    objects: int
    lists: int
    colons: int
    commas: int
    strings: int
    booleans: int
    nulls: int
    fractions: int
    whole_fractions: int
    is_sure: bool


def count_tokens(data: bytes) -> Tokens:
    """The tokens of DATA, which is JSON texts one after another."""
    array = np.frombuffer(data, np.uint8)
    escapes = bits(array, 0x5C)
    if (escapes & after(escapes)).any():  # which of many in a row escapes is for a slower way to tell
        array = np.frombuffer(data.replace(b"\\\\", b"__"), np.uint8)
        escapes = bits(array, 0x5C)
    quotes = bits(array, 0x22) & ~after(escapes)
    outside = ~parity(quotes)
    counts, points = _count_outside(array, outside)
    booleans = counts["t"] + counts["f"]
    exponents = counts["e"] + counts["E"]
    is_sure = exponents - booleans <= _MOST_EXPONENTS  # both words have one e
    bare = 0
    if is_sure and exponents != booleans:
        found = bits_where(array, lambda part: (part | 0x20) == ord("e")) & outside
        bare = _bare_exponents(array, positions(found, len(array)))
    return Tokens(
        objects=counts["{"],
        lists=counts["["],
        colons=counts[":"],
        commas=counts[","],
        strings=int(np.bitwise_count(quotes).sum()) // 2,
        booleans=booleans,
        nulls=counts["n"],
        fractions=len(points) + bare,
        whole_fractions=_whole(array, points),
        is_sure=is_sure and not may_be_inexact(data),
    )


def _count_outside(array: Bytes, outside: Bits) -> tuple[dict[str, int], Positions]:
    """How often each of _COUNTED stands OUTSIDE of strings, and where points do; strip by strip, to stay in the
    cache."""
    counts = [0] * len(_COUNTED)
    points = []
    for start in range(0, array.size, _STRIP):
        strip = array[start : start + _STRIP]
        mask = outside[start // 64 : start // 64 + _STRIP // 64 + 1].view(np.uint8)
        strip = strip * np.unpackbits(mask, bitorder="little", count=strip.size)
        for index, byte in enumerate(_CODES):
            counts[index] += int(np.count_nonzero(strip == byte))
        points.append(np.flatnonzero(strip == 0x2E) + start)
    found = np.concatenate(points) if points else np.zeros(0, np.int64)
    return dict(zip(_COUNTED, counts, strict=True)), found


def _bare_exponents(array: Bytes, found: Positions) -> int:
    """How many of the letters at FOUND are the exponent of a number without a point."""
    found = found[(array[found - 1] - 0x30) < 10]  # the words' letters follow letters
    count = 0
    for end in found.tolist():
        start = end - 1
        while 0x30 <= array[start] <= 0x39:
            start -= 1
        count += array[start] != 0x2E
    return count


def _whole(array: Bytes, points: Positions) -> int:
    """After how many of POINTS only zeros come. (An exponent after them makes another number of it: not one of these.)"""
    at = points + 1
    at = at[at < len(array)]
    at = at[array[at] == 0x30]
    whole = 0
    while len(at):
        at = at + 1
        at = at[at < len(array)]
        follows = array[at]
        is_digit = (follows - 0x30) < 10
        whole += int(np.count_nonzero(~is_digit & ((follows | 0x20) != ord("e"))))
        at = at[follows == 0x30]
    return whole


def may_be_inexact(data: bytes) -> bool:
    """Whether DATA may hold a number with a point that has more digits than a double holds."""
    array = np.frombuffer(data, np.uint8)
    run = bits_where(array, lambda part: ((part - 0x30) < 10) | (part == 0x2E))
    for shift in (1, 2, 4, 8):
        run &= before(run, shift)
    return bool(run.any()) and _LONG.search(data) is not None
