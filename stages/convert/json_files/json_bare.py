"""JSON as people write it by hand, made into JSON: comments and commas before a closing bracket become blanks.

Every other byte stays where it is, so what a parser says of a byte's position is true of the file as it came. Texts are
taken piece by piece, and no more than a piece is held.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, NamedTuple

import numpy as np

from stages.convert.text.counter import Bits, Bytes, Positions, after, bits, bits_where, parity, positions

_BLANK = 0x20
_SEPARATOR = 0x1E  # RFC 7464 puts it before each value
_SLASH, _STAR, _COMMA = b"/"[0], b"*"[0], b","[0]
_ENDS = {_SLASH: b"\n", _STAR: b"*/"}
_BEFORE_NOTHING = b"[{,:"  # after one of these a comma has no value before it, and isn't forgiven


class Passed(NamedTuple):
    """What became blanks, and isn't JSON: how many comments, commas and marks between values."""

    comments: int
    commas: int
    marks: int


def write(pieces: Iterable[bytes], file: IO[bytes]) -> Passed:
    """Writes PIECES of a text, which is UTF-8 and has no byte order mark, to FILE as JSON of the same length. A comment
    that has no end stays as it is."""
    bare = _Bare(file)
    for piece in pieces:
        bare.take(piece)
    return bare.finish()


class _Bare:
    """The text up to some byte: what of it is passed over, and what is open there."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._at = file.tell()  # where the next byte goes
        self._rest = b""  # what may belong to the byte after it
        self._is_inside = False  # a string
        self._end = b""  # of the comment that is open
        self._begun = 0  # where that comment is
        self._last = (0, 0)  # the last two bytes that aren't blank
        self._last_at = 0
        self._comments = self._commas = self._marks = 0

    def take(self, piece: bytes) -> None:
        """Goes on with PIECE."""
        text = self._rest + piece
        if (len(text) - len(text.rstrip(b"\\"))) & 1:
            self._rest, text = text[-1:], text[:-1]
        else:
            self._rest = b""
        self._put(text)

    def finish(self) -> Passed:
        """What was passed over. A comment that is open is put back as its first bytes, which no JSON has."""
        rest, self._rest = self._rest, b""
        self._put(rest)
        self._write(np.frombuffer(self._rest, np.uint8))
        if self._end == b"*/":
            self._file.seek(self._begun)
            self._file.write(b"/*")
        self._file.seek(self._at)
        return Passed(self._comments, self._commas, self._marks)

    def _put(self, text: bytes) -> None:
        if not text:
            return
        array = np.frombuffer(bytearray(text), np.uint8)
        self._blank_comments(text, array)
        if self._may_go_on(array, text):
            self._rest, array = text[-1:] + self._rest, array[:-1]
        quotes = _quotes(array)
        strings = parity(quotes)
        outside = strings if self._is_inside else ~strings
        self._is_inside ^= bool(int(np.bitwise_count(quotes).sum()) & 1)
        marks = positions(bits(array, _SEPARATOR) & outside, len(array))
        array[marks] = _BLANK
        self._marks += len(marks)
        self._blank_commas(array, outside)
        self._write(array)

    def _may_go_on(self, array: Bytes, text: bytes) -> bool:
        """Whether the last byte of TEXT may begin a comment, or end one, together with the byte after it."""
        if self._end:
            return self._end == b"*/" and text.endswith(b"*") and self._at + len(text) > self._begun + 2
        return bool(array[-1] == _SLASH)

    def _write(self, array: Bytes) -> None:
        self._file.write(array.tobytes())
        self._at += len(array)

    def _blank_comments(self, text: bytes, array: Bytes) -> None:
        start = self._blank_to_end(text, array, 0) if self._end else 0
        begins = _begins(array)
        if not begins.size or self._end:
            return
        quotes = positions(_quotes(array), len(array))
        counts = np.searchsorted(quotes, begins)
        base = int(np.searchsorted(quotes, start)) - self._is_inside  # quotes before here are of no string
        for begin, count in zip(begins.tolist(), counts.tolist(), strict=True):
            if begin < start or (count - base) & 1:
                continue
            self._comments += 1
            self._end, self._begun = _ENDS[int(array[begin + 1])], self._at + begin
            array[begin : begin + 2] = _BLANK
            start = self._blank_to_end(text, array, begin + 2)
            base += int(np.searchsorted(quotes, start)) - count
            if self._end:
                return

    def _blank_to_end(self, text: bytes, array: Bytes, start: int) -> int:
        """Blanks ARRAY, which is TEXT, from START up to the end of the comment that is open; gives where that is."""
        found = text.find(self._end, start)
        if found < 0:
            array[start:] = _BLANK
            return len(text)
        stop = found + len(self._end) if self._end == b"*/" else found
        array[start:stop] = _BLANK
        self._end = b""
        return stop

    def _blank_commas(self, array: Bytes, outside: Bits) -> None:
        inked = np.flatnonzero(array > _BLANK)
        if not inked.size:
            return
        bytes_ = np.concatenate([np.array(self._last, np.uint8), array[inked]])
        at = np.concatenate([np.array([0, self._last_at]), self._at + inked])
        closes = positions(bits_where(array, lambda part: (part == 0x5D) | (part == 0x7D)) & outside, len(array))
        before = np.searchsorted(inked, closes) + 1  # of the bytes that aren't blank, the one before each
        is_idle = (bytes_[before] == _COMMA) & ~np.isin(bytes_[before - 1], list(_BEFORE_NOTHING))
        for place in at[before[is_idle]].tolist():
            self._commas += 1
            if place >= self._at:
                array[place - self._at] = _BLANK
            else:
                self._file.seek(place)
                self._file.write(b" ")
                self._file.seek(self._at)
        self._last, self._last_at = (int(bytes_[-2]), int(bytes_[-1])), int(at[-1])


def _quotes(array: Bytes) -> Bits:
    """Bits of the quotes of ARRAY that open or close a string; it starts with no half of an escape."""
    escapes = bits(array, 0x5C)
    if (escapes & after(escapes)).any():
        array = np.frombuffer(array.tobytes().replace(b"\\\\", b"__"), np.uint8)
        escapes = bits(array, 0x5C)
    return bits(array, 0x22) & ~after(escapes)


def _begins(array: Bytes) -> Positions:
    """Where a comment may begin."""
    seconds = (array[1:] == _SLASH) | (array[1:] == _STAR)
    return np.flatnonzero((array[:-1] == _SLASH) & seconds)
