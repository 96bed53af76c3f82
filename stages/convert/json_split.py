"""JSON documents too large to be held at once: where the values of an object lie, and the elements of a list, found by
counting brackets outside strings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.convert.counter import Bits, Bytes, Positions, after, bits, bits_where, parity, positions
from stages.convert.source import Source

PIECE = 16 * 1024 * 1024
LARGEST = 64 * 1024 * 1024  # bytes of one element
_KEY = 64 * 1024  # bytes before a colon that are looked at for its key
_STRING_AT_END = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*\Z', re.DOTALL)


class NotAList(Exception):
    """What was to be a list of objects is something else, or broken: the sentence says what."""


class ElementTooLarge(Exception):
    """One element is larger than is held at once."""


class CutOff(Exception):
    """The text ends within a value."""


class Value(NamedTuple):
    """A value of an object: its key, and where in the source it lies."""

    key: str
    start: int
    end: int


Flags = npt.NDArray[np.bool_]


def _table(characters: str) -> Flags:
    return np.isin(np.arange(256), [ord(character) for character in characters])


_OPENS, _CLOSES = _table("{["), _table("}]")
_BRACKETS, _MARKS = _table("{[]}"), _table("{[]}:,")


def _strings(array: Bytes) -> tuple[Bits, bool]:
    """Bits of what's within strings, if ARRAY starts outside of one, and whether it ends within one."""
    escapes = bits(array, 0x5C)
    if (escapes & after(escapes)).any():
        array = np.frombuffer(array.tobytes().replace(b"\\\\", b"__"), np.uint8)
        escapes = bits(array, 0x5C)
    quotes = bits(array, 0x22) & ~after(escapes)
    return parity(quotes), bool(int(np.bitwise_count(quotes).sum()) & 1)


def elements(source: Source, start: int, end: int) -> Iterator[tuple[list[bytes], int]]:
    """The objects of the list at START (its bracket) up to END, some at a time, with how far they reach."""
    rest, at, is_first = b"", start + 1, True
    while at < end:
        piece = source.read(at, min(PIECE, end - at))
        if not piece:
            break
        at += len(piece)
        buffer = rest + piece
        found, rest, is_done = _cut(buffer, is_first=is_first)
        if found:
            is_first = False
            yield found, at - len(rest)
        if is_done and rest.strip():
            raise NotAList("something follows its last bracket")
        if is_done:
            return
        if len(rest) > LARGEST:
            raise ElementTooLarge
    raise CutOff


def _cut(buffer: bytes, *, is_first: bool) -> tuple[list[bytes], bytes, bool]:
    """The whole objects in BUFFER, what's left after them, and whether the list ends in it."""
    array = np.frombuffer(buffer, np.uint8)
    brackets = positions(bits_where(array, lambda part: _BRACKETS[part]) & ~_strings(array)[0], len(array))
    is_open = _OPENS[array[brackets]]
    depths = np.cumsum(np.where(is_open, 1, -1))
    below = np.flatnonzero(depths < 0)
    inner = int(below[0]) if below.size else len(brackets)
    ends = brackets[:inner][depths[:inner] == 0]
    begins = brackets[:inner][(depths[:inner] == 1) & is_open[:inner]][: len(ends)]
    if len(ends):
        _check_gaps(buffer, array, begins, ends, is_first=is_first)
    found = [buffer[begin : stop + 1] for begin, stop in zip(begins.tolist(), ends.tolist(), strict=True)]
    reach = int(ends[-1]) + 1 if len(ends) else 0
    if not below.size:
        return found, buffer[reach:], False
    close = int(brackets[inner])
    if buffer[reach:close].strip():
        raise NotAList("not all of its elements are objects")
    return found, buffer[close + 1 :], True


def _check_gaps(buffer: bytes, array: Bytes, begins: Positions, ends: Positions, *, is_first: bool) -> None:
    """Raises NotAList unless all are objects, with just a comma between two and before the first of a later piece."""
    wide = np.flatnonzero((begins[1:] != ends[:-1] + 2) | (array[ends[:-1] + 1] != ord(",")))
    gaps = [buffer[int(ends[index]) + 1 : int(begins[index + 1])] for index in wide.tolist()]
    is_plain = buffer[: int(begins[0])].strip() == (b"" if is_first else b",")
    if not is_plain or any(gap.strip() != b"," for gap in gaps) or not (array[begins] == ord("{")).all():
        raise NotAList("not all of its elements are objects")


def values(source: Source, start: int, end: int) -> list[Value]:
    """The values of the object at START (its bracket) up to END. Raises CutOff."""
    outline = _Outline()
    at = start
    while at < end:
        piece = source.read(at, min(PIECE, end - at))
        if at + len(piece) == end and piece.endswith(b"\\"):
            break
        while piece.endswith(b"\\"):  # an escape goes with what it escapes
            piece = piece[:-1]
        if not piece:
            break
        outline.take(piece, at)
        if outline.end:
            if source.read(outline.end + 1, end - outline.end - 1).strip():
                raise NotAList("something follows its last bracket")
            return list(outline.named(source))
        at += len(piece)
    raise CutOff


class _Outline:
    """The colons and commas of an object's own level, found piece by piece."""

    def __init__(self) -> None:
        self._start = -1  # of its first bracket, once that was seen
        self._colons: list[int] = []
        self.commas: list[int] = []
        self._depth = 0
        self._is_inside = False
        self.end = 0  # the position of its last bracket, once that was seen

    def take(self, piece: bytes, at: int) -> None:
        """Goes on with PIECE, which is at AT."""
        self._start = at if self._start < 0 else self._start
        array = np.frombuffer(piece, np.uint8)
        strings, flips = _strings(array)
        outside = strings if self._is_inside else ~strings
        self._is_inside ^= flips
        marks = positions(bits_where(array, lambda part: _MARKS[part]) & outside, len(array))
        kinds = array[marks]
        depths = self._depth + np.cumsum(np.where(_OPENS[kinds], 1, np.where(_CLOSES[kinds], -1, 0)))
        closed = np.flatnonzero(_CLOSES[kinds] & (depths == 0))
        stop = int(closed[0]) if closed.size else len(marks)
        level = marks[:stop][depths[:stop] == 1]
        self._colons.extend((at + level[array[level] == ord(":")]).tolist())
        self.commas.extend((at + level[array[level] == ord(",")]).tolist())
        self._depth = int(depths[-1]) if depths.size else self._depth
        self.end = at + int(marks[stop]) if closed.size else 0

    def named(self, source: Source) -> Iterator[Value]:
        """The values, by the keys before their colons."""
        begins = [self._start, *self.commas]
        for begin, colon, stop in zip(begins, self._colons, [*self.commas, self.end], strict=False):
            start = max(begin + 1, colon - _KEY)
            match = _STRING_AT_END.search(source.read(start, colon - start))
            yield Value(match[1].decode("utf-8", "replace") if match else "", colon + 1, stop)


def places(source: Source, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the elements of the list of objects at START (its bracket) up to END lie. Raises CutOff."""
    outline = _Outline()
    at = start
    while at < end and not outline.end:
        piece = source.read(at, min(PIECE, end - at))
        while piece.endswith(b"\\") and at + len(piece) < end:
            piece = piece[:-1]
        if not piece:
            raise CutOff
        outline.take(piece, at)
        at += len(piece)
    if not outline.end:
        raise CutOff
    begins = [start + 1, *(comma + 1 for comma in outline.commas)]
    for begin, stop in zip(begins, [*outline.commas, outline.end], strict=True):
        head = source.read(begin, 4096)
        blanks = len(head) - len(head.lstrip())
        if begin + blanks < stop:
            yield begin + blanks, stop
