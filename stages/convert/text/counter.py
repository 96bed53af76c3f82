"""Where records and fields end, counted from the bytes alone: no engine is asked.

Quotes are bits; the parity of all quotes before a byte tells whether it lies inside a quoted field. That parity is
a prefix XOR over 64-bit words, so a block is counted at memory speed. It's only true where quoting is regular: each
quote opens right after a delimiter or a record's end, or closes right before one. `irregular` is the first that
doesn't.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
_STRIP = 128 * 1024
_ONE = np.uint64(1)
_TOP = np.uint64(63)


class Marks(msgspec.Struct):
    """The marks of a block: bits of the record ends and delimiters outside quotes."""

    data: Bytes
    ends: Bits
    delimiters: Bits
    irregular: int  # position of the first irregular quote, -1 for none
    open_at_end: bool  # a quoted field is still open
    has_empty_quoted: bool = False  # there's a field of two quotes and nothing else

    @property
    def records(self) -> int:
        """How many record ends there are."""
        return int(np.bitwise_count(self.ends).sum())

    @property
    def delimiter_count(self) -> int:
        """How many delimiters there are."""
        return int(np.bitwise_count(self.delimiters).sum())


def mark(data: bytes | memoryview, delimiter: int, quote: int | None) -> Marks:
    """The marks of DATA, which starts at a record's start."""
    array = np.frombuffer(data, np.uint8)
    ends = bits(array, 0x0A)
    delimiters = bits(array, delimiter)
    if quote is None:
        return Marks(array, ends, delimiters, -1, False)
    quotes = bits(array, quote)
    if not quotes.any():
        return Marks(array, ends, delimiters, -1, False)
    inside = parity(quotes)
    irregular = _first_irregular(array, quotes, inside, ends, delimiters)
    open_at_end = bool(int(np.bitwise_count(quotes).sum()) & 1)
    outside = ~inside
    marks = Marks(array, ends & outside, delimiters & outside, irregular, open_at_end)
    marks.has_empty_quoted = _has_empty_quoted(marks, quotes & inside, quotes & outside)
    return marks


def _has_empty_quoted(marks: Marks, opens: Bits, closes: Bits) -> bool:
    """An opening quote that isn't the second of a doubled one, and a closing one right after it, with nothing to
    follow."""
    empty = opens & before(closes) & ~after(closes)
    return bool((empty & ~before(opens, 2)).any())


def bits(array: Bytes, byte: int) -> Bits:
    """One bit for each byte of ARRAY, set where it equals BYTE, and at least one more that isn't set."""
    return bits_where(array, lambda part: part == byte)


def bits_where(array: Bytes, test: Callable[[Bytes], npt.NDArray[np.bool_]]) -> Bits:
    """The same, set where TEST says so. It goes strip by strip, so that what's in between stays in the cache."""
    words = np.zeros(array.size // 64 + 1, np.uint64)
    packed = words.view(np.uint8)
    for start in range(0, array.size, _STRIP):
        part = np.packbits(test(array[start : start + _STRIP]), bitorder="little")
        packed[start // 8 : start // 8 + part.size] = part
    return words


def parity(quotes: Bits) -> Bits:
    """Set from each opening quote on to just before its closing one."""
    inside = quotes.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        inside ^= inside << np.uint64(shift)
    carry = np.bitwise_xor.accumulate(inside >> _TOP)
    inside[1:] ^= np.uint64(0) - carry[:-1]
    return inside


def after(bits: Bits) -> Bits:
    """BITS moved to the next byte."""
    moved = bits << _ONE
    moved[1:] |= bits[:-1] >> _TOP
    return moved


def before(bits: Bits, count: int = 1) -> Bits:
    """BITS moved COUNT bytes (1 to 63) towards the start."""
    moved = bits >> np.uint64(count)
    moved[:-1] |= bits[1:] << np.uint64(64 - count)
    return moved


def _first_irregular(array: Bytes, quotes: Bits, inside: Bits, ends: Bits, delimiters: Bits) -> int:
    borders = ends | delimiters
    opens = quotes & inside
    closes = quotes & ~inside
    may_open = after(borders | closes)
    may_open[0] |= _ONE
    may_close = before(borders | opens)
    size = array.size
    may_close[(size - 1) >> 6] |= _ONE << np.uint64((size - 1) & 63)
    bad = (opens & ~may_open) | (closes & ~may_close)
    if bad.any():
        bad &= ~(closes & before(_line_ends(array)))
    words = np.flatnonzero(bad)
    if not words.size:
        return -1
    word = int(bad[words[0]])
    return int(words[0]) * 64 + (word & -word).bit_length() - 1


def _line_ends(array: Bytes) -> Bits:
    """Carriage returns right before a line feed, or at the very end."""
    returns = bits(array, 0x0D)
    if not returns.any():
        return returns
    feeds = bits(array, 0x0A)
    last = array.size - 1
    feeds[(last + 1) >> 6] |= _ONE << np.uint64((last + 1) & 63)
    return returns & before(feeds)


def positions(bits: Bits, size: int) -> Positions:
    """The positions of the set BITS, below SIZE."""
    flags: Any = np.unpackbits(bits.view(np.uint8), bitorder="little", count=size)
    return np.flatnonzero(flags.view(np.bool_))  # many times faster than over numbers


def count_before(bits: Bits, end: int) -> int:
    """How many BITS are set below END."""
    word, rest = end >> 6, end & 63
    count = int(np.bitwise_count(bits[:word]).sum())
    return count + (int(bits[word]) & ((1 << rest) - 1)).bit_count()


def last_before(bits: Bits, end: int) -> int:
    """The position of the last set bit below END, -1 where there is none."""
    word, rest = end >> 6, end & 63
    part = int(bits[word]) & ((1 << rest) - 1)
    if part:
        return word * 64 + part.bit_length() - 1
    words = np.flatnonzero(bits[:word])
    return int(words[-1]) * 64 + int(bits[words[-1]]).bit_length() - 1 if words.size else -1
