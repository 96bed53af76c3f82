"""What a block of JSON texts must hold, counted from its bytes alone: objects, lists, keys, strings and nulls.

An engine that reads the block must account for each of them. So a key that it doesn't know, or a number that it made a
text of, shows, whatever the engine says.
"""

from __future__ import annotations

import re

import msgspec
import numpy as np

from stages.convert.text.counter import Bits, Bytes, after, before, bits, bits_where, parity

_LONG = re.compile(rb"[:,\[]\s*(-?(?=[0-9.]{17})[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?)")
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")


class Tokens(msgspec.Struct, frozen=True):
    """How many of each stand outside strings: objects, lists, colons (keys), string ends, nulls. `is_sure` is False
    where a number may have more digits than a double holds, or half of a surrogate pair may stand for a character."""

    objects: int
    lists: int
    colons: int
    strings: int
    nulls: int
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
    return Tokens(
        objects=_count(array, "{", outside),
        lists=_count(array, "[", outside),
        colons=_count(array, ":", outside),
        nulls=_count(array, "n", outside),  # of the words that JSON has, only this one has an n
        strings=int(np.bitwise_count(quotes).sum()) // 2,
        is_sure=not may_be_inexact(data) and not has_halves(data),
    )


def _count(array: Bytes, mark: str, outside: Bits) -> int:
    return int(np.bitwise_count(bits(array, ord(mark)) & outside).sum())


def has_halves(data: bytes) -> bool:
    """Whether DATA may have half of a surrogate pair in it."""
    if b"\\u" not in data:
        return False
    count = data.count(b"\\ud") + data.count(b"\\uD")
    return count > 0 and count != 2 * len(_PAIR.findall(data))


def may_be_inexact(data: bytes) -> bool:
    """Whether DATA may hold a number with a point that has more digits than a double holds, and isn't written as most
    programs write a double."""
    array = np.frombuffer(data, np.uint8)
    run = bits_where(array, lambda part: ((part - 0x30) < 10) | (part == 0x2E))
    for shift in (1, 2, 4, 8):
        run &= before(run, shift)
    return bool(run.any()) and any(repr(float(match[1])).encode() != match[1] for match in _LONG.finditer(data))


def why(error: Exception, text: bytes | None = None) -> str:
    """What ERROR, a parser's, says is wrong with TEXT; with none known, with one whose brackets are all closed. Half of a
    surrogate pair near its end looks cut off to the parser."""
    said = str(error).removeprefix("JSON is malformed: ")
    is_half = "surrogate" in said or "end of hex escape" in said
    is_half = is_half or ("truncated" in said and (text is None or has_halves(text[-_NEAR:])))
    return _HALF if is_half else said


_NEAR = 16  # bytes that the other half of a pair needs, and some
_HALF = "a string has half of a surrogate pair, such as \\ud800, which stands for no character"
