"""JSON documents too large to be held at once: where the items of a list or an object lie, found by counting brackets
outside strings.

Only brackets, colons and commas are looked at. Whether what lies between them is JSON is for whoever takes it to prove:
`Items.check` does, for all of a block in one go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from stages.convert.source import Source
from stages.convert.text.counter import Bits, Bytes, Positions, after, bits, bits_where, parity, positions

PIECE = 2 * 1024 * 1024
LARGEST = 64 * 1024 * 1024  # bytes of one element
_KEY = 64 * 1024  # bytes of a key
_BLANKS = b" \t\r\n"
MARK = b"\x1e"  # RFC 7464 puts it before each value; no valid value has it
_BETWEEN = _BLANKS + MARK
_IDLE = "there's a comma before its last bracket"
_valid = msgspec.json.Decoder(msgspec.Raw).decode
_key = msgspec.json.Decoder(str).decode


class NotAList(Exception):
    """What was to be a list or an object is something else, or broken: the sentence says what."""


class SomethingFollows(NotAList):
    """A document is whole, and isn't all there is."""


class ElementTooLarge(Exception):
    """One element is larger than is held at once."""


class TooManyValues(Exception):
    """An object has more values than were asked for."""


class CutOff(Exception):
    """The text ends within a value."""


class Value(NamedTuple):
    """A value of an object: its key, and where in the source it lies."""

    key: str
    start: int
    end: int


class Items(NamedTuple):
    """Some whole items of a list or object, as they stand in `text` with `commas` between them; `reach` is how far in
    the source they go. An object's have `colons`, one each if it's valid."""

    text: bytes
    commas: Positions
    colons: Positions
    reach: int
    is_object: bool = False

    def each(self) -> Iterator[bytes]:
        """The text of each item, blanks around it left out."""
        start = 0
        for comma in [*self.commas.tolist(), len(self.text)]:
            yield self.text[start:comma].strip(_BLANKS)
            start = comma + 1

    def check(self) -> None:
        """Raises DecodeError or UnicodeDecodeError unless they are what a list, or an object, holds."""
        opens, closes = (b"{", b"}") if self.is_object else (b"[", b"]")
        _valid(b"".join((opens, self.text, closes)))
        if not self.text.isascii():
            self.text.decode()


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


def _pieces(source: Source, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The bytes from START up to END, some at a time, with where they are; an escape goes with what it escapes."""
    at = start
    while at < end:
        piece = source.read(at, min(PIECE, end - at))
        if (len(piece) - len(piece.rstrip(b"\\"))) & 1 and at + len(piece) < end:
            piece = piece[:-1] or source.read(at, 2)
        if not piece:
            return
        yield at, piece
        at += len(piece)


class _Found(NamedTuple):
    """Of the value's own level, as positions in a piece: its commas and colons, and its last bracket or -1."""

    commas: Positions
    colons: Positions
    end: int


class _Level:
    """Finds the marks of a value's own level, piece by piece; the first begins with its first bracket."""

    def __init__(self) -> None:
        self._depth = 0
        self._is_inside = False
        self._first = 0

    def take(self, piece: bytes) -> _Found:
        """Goes on with PIECE. Raises NotAList where the last bracket is none of the first one's kind."""
        self._first = self._first or piece[0]
        array = np.frombuffer(piece, np.uint8)
        strings, flips = _strings(array)
        outside = strings if self._is_inside else ~strings
        self._is_inside ^= flips
        marks = positions(bits_where(array, lambda part: _MARKS[part]) & outside, len(array))
        kinds = array[marks]
        depths = self._depth + np.cumsum(_OPENS[kinds].view(np.int8) - _CLOSES[kinds].view(np.int8), dtype=np.int64)
        closed = np.flatnonzero(_CLOSES[kinds] & (depths == 0))
        stop = int(closed[0]) if closed.size else len(marks)
        self._depth = int(depths[-1]) if depths.size else self._depth
        end = int(marks[stop]) if closed.size else -1
        if end >= 0 and piece[end] != self._first + 2:  # as brackets and braces are in ASCII
            raise NotAList("its first bracket and its last one are of different kinds")
        level = marks[:stop][depths[:stop] == 1]
        return _Found(level[array[level] == ord(",")], level[array[level] == ord(":")], end)


def items(source: Source, start: int, end: int) -> Iterator[Items]:
    """The items of the list or object at START (its bracket) up to END, some at a time. Raises
    NotAList, ElementTooLarge and CutOff."""
    level, parts = _Level(), _Parts(is_object=source.read(start, 1) == b"{")
    for at, piece in _pieces(source, start, end):
        found = level.take(piece)
        begin = 1 if at == start else 0
        if found.end >= 0:
            last = parts.last(piece, begin, found, at)
            if last is not None:
                yield last
            _check_end(source, at + found.end + 1, end)
            return
        if found.commas.size:
            yield parts.cut(piece, begin, found, at)
        else:
            parts.add(piece, begin, found)
    raise CutOff


class _Parts:
    """What of a list or object was read and not given yet."""

    def __init__(self, *, is_object: bool) -> None:
        self._is_object = is_object
        self._pieces: list[bytes] = []
        self._size = 0
        self._colons: list[Positions] = []
        self._is_begun = False

    def add(self, piece: bytes, begin: int, found: _Found) -> None:
        """Keeps PIECE from BEGIN on, in which no item ends. Raises ElementTooLarge."""
        self._colons.append(found.colons + (self._size - begin))
        self._pieces.append(piece[begin:])
        self._size += len(piece) - begin
        if self._size > LARGEST:
            raise ElementTooLarge

    def cut(self, piece: bytes, begin: int, found: _Found, at: int) -> Items:
        """All that's whole once PIECE, which is AT, has come."""
        comma = int(found.commas[-1])
        whole = self._taken(piece[begin:comma], found.commas[:-1] - begin, found.colons[found.colons < comma] - begin)
        _check_not_blank(whole.text)
        self._is_begun = True
        late = found.colons[found.colons > comma] - (comma + 1)
        self._pieces, self._size, self._colons = [piece[comma + 1 :]], len(piece) - comma - 1, [late]
        return whole._replace(reach=at + comma + 1)

    def last(self, piece: bytes, begin: int, found: _Found, at: int) -> Items | None:
        """What's left before the last bracket, which is in PIECE; None where that's nothing."""
        whole = self._taken(piece[begin : found.end], found.commas - begin, found.colons - begin)
        text, commas = whole.text, whole.commas
        if commas.size and not text[int(commas[-1]) + 1 :].strip(_BLANKS):
            raise NotAList(_IDLE)
        if not commas.size and (not text or text.isspace()):
            if self._is_begun:
                raise NotAList(_IDLE)
            return None
        _check_not_blank(text)
        return whole._replace(text=text, commas=commas, reach=at + found.end + 1)

    def _taken(self, piece: bytes, commas: Positions, colons: Positions) -> Items:
        size = self._size
        text = b"".join((*self._pieces, piece)) if size else piece
        return Items(text, commas + size, np.concatenate([*self._colons, colons + size]), 0, self._is_object)


def _check_not_blank(text: bytes) -> None:
    """Raises NotAList where TEXT, of at least one item, has nothing in it: as a list's inside it would be valid."""
    if not text or text.isspace():
        raise NotAList("there's nothing before a comma")


def _check_end(source: Source, start: int, end: int) -> None:
    """Raises NotAList unless there are only blanks from START up to END, or room that was made and never filled."""
    for _at, piece in _pieces(source, start, end):
        if piece.strip(_BLANKS + b"\0"):
            raise SomethingFollows("something follows its last bracket")


def several(source: Source, start: int) -> Iterator[tuple[list[bytes], int]]:
    """The objects and lists from START on, one after another with at most blanks or the marks of RFC 7464 between them, some
    at a time, with how far they reach. Raises NotAList, ElementTooLarge and CutOff."""
    rest, depth, is_inside = b"", 0, False
    for at, piece in _pieces(source, start, source.length):
        array = np.frombuffer(piece, np.uint8)
        strings, flips = _strings(array)
        outside = strings if is_inside else ~strings
        is_inside ^= flips
        marks = positions(bits_where(array, lambda part: _BRACKETS[part]) & outside, len(array))
        depths = depth + np.cumsum(np.where(_OPENS[array[marks]], 1, -1))
        depth = int(depths[-1]) if depths.size else depth
        if (depths < 0).any():
            raise NotAList("a bracket closes what isn't open")
        ends = (marks[(depths == 0) & _CLOSES[array[marks]]] + 1 + len(rest)).tolist()
        text = rest + piece
        found = [text[begin:end].strip(_BETWEEN) for begin, end in zip([0, *ends], ends, strict=False)]
        if not all(value.startswith((b"{", b"[")) for value in found):
            raise NotAList("something between its values is neither an object nor a list")
        rest = text[ends[-1] :] if ends else text
        if len(rest) > LARGEST:
            raise ElementTooLarge
        if found:
            yield found, at + len(piece) - len(rest)
    if rest.strip(_BETWEEN + b"\0"):
        raise CutOff if depth else NotAList("something follows its last bracket")


def sequence(source: Source, start: int) -> Iterator[tuple[list[bytes], int]]:
    """The texts from START on that the mark of RFC 7464 stands before, some at a time, with how far they reach. Raises
    ElementTooLarge."""
    rest = b""
    for at, piece in _pieces(source, start, source.length):
        *texts, rest = (rest + piece).split(MARK)
        if len(rest) > LARGEST:
            raise ElementTooLarge
        if found := list(filter(None, (text.strip(_BLANKS) for text in texts))):
            yield found, at + len(piece) - len(rest)
    if last := rest.strip(_BLANKS + b"\0"):
        yield [last], source.length


def elements(source: Source, start: int, end: int) -> Iterator[tuple[list[bytes], int]]:
    """The objects of the list at START (its bracket) up to END, some at a time, with how far they reach. Raises NotAList
    where one is something else."""
    for block in items(source, start, end):
        found = list(block.each())
        if not all(text.startswith(b"{") for text in found):
            raise NotAList("not all of its elements are objects")
        yield found, block.reach


def values(source: Source, start: int, end: int, most: int = 1 << 62) -> list[Value]:
    """The values of the object at START (its bracket) up to END. Raises NotAList, CutOff, and TooManyValues for more than
    MOST of them."""
    level = _Level()
    colons: list[int] = []
    commas: list[int] = []
    for at, piece in _pieces(source, start, end):
        found = level.take(piece)
        colons.extend((at + found.colons).tolist())
        commas.extend((at + found.commas).tolist())
        if len(colons) > most:
            raise TooManyValues
        if found.end >= 0:
            _check_end(source, at + found.end + 1, end)
            return _named(source, start, colons, commas, at + found.end)
    raise CutOff


def _named(source: Source, start: int, colons: list[int], commas: list[int], end: int) -> list[Value]:
    """The values between the object's marks, by the keys before their colons."""
    begins, stops = [start, *commas], [*commas, end]
    if not source.read(begins[-1] + 1, min(_KEY, end - begins[-1] - 1)).strip(_BLANKS):  # nothing after the last comma
        if commas:
            raise NotAList(_IDLE)
        begins, stops = [], []
    is_regular = len(begins) == len(colons) and all(
        begin < colon < stop for begin, colon, stop in zip(begins, colons, stops, strict=True)
    )
    if not is_regular:
        raise NotAList("not all values of an object have a key, a colon and a comma")
    if any(colon - begin > _KEY for begin, colon in zip(begins, colons, strict=True)):
        raise ElementTooLarge
    return [
        Value(_key(source.read(begin + 1, colon - begin - 1)), colon + 1, stop)
        for begin, colon, stop in zip(begins, colons, stops, strict=True)
    ]


def places(source: Source, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the elements of the list at START (its bracket) up to END lie. Raises NotAList and CutOff."""
    level = _Level()
    commas: list[int] = []
    for at, piece in _pieces(source, start, end):
        found = level.take(piece)
        commas.extend((at + found.commas).tolist())
        if found.end >= 0:
            break
    else:
        raise CutOff
    begins = [start + 1, *(comma + 1 for comma in commas)]
    for begin, stop in zip(begins, [*commas, at + found.end], strict=True):
        head = source.read(begin, 4096)
        blanks = len(head) - len(head.lstrip())
        if begin + blanks < stop:
            yield begin + blanks, stop
