"""Where the values of lines are that are written after one pattern: by their quotes, with every byte between compared."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from stages.convert.byte_rows import MASKS, Rows

Positions = npt.NDArray[np.int64]
Offsets = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

NULL_WORD = np.uint64(int.from_bytes(b"null", "little"))
_STRIP = 128 * 1024  # bytes looked at in one go, so that what's in between stays in the cache
_QUOTE, _SPACE, _FEED, _BACKSLASH, _U = (np.uint8(ord(mark)) for mark in '" \n\\u')
_NO_BYTE = np.zeros(1, np.uint8)


class Look(msgspec.Struct, frozen=True):
    """What is to be seen of a slot's values: whether they stand in quotes, and how many of their first bytes."""

    is_text: bool
    size: int


class Span(msgspec.Struct):
    """The values of a slot, one a line: from `starts` on, `sizes` bytes long; `rows` are their first bytes, and more where
    they are shorter. `nulls` are those that have no quotes where others have."""

    starts: Positions
    sizes: Positions
    rows: Rows
    nulls: Flags | None = None

    def null_words(self) -> Flags:
        """Which of them are the word null."""
        found: Flags = (self.rows.word(0) & MASKS[4] == NULL_WORD) & (self.sizes == 4)
        return found


class Literals(msgspec.Struct, frozen=True):
    """The bytes before each value of a line, from the value before it on, and those behind the last one."""

    before: tuple[bytes, ...]
    tail: bytes

    @property
    def controls(self) -> int:
        """How many control characters they have."""
        return sum(byte < 0x20 for literal in (*self.before, self.tail) for byte in literal)


class Text:
    """A block of lines, each with its end, and what its bytes show at a glance."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(self.data)
        self.bytes = np.frombuffer(self.data, np.uint8)
        self.has_escapes = b"\\" in data
        self.has_codes = False  # escapes that name a character by its number
        self.controls = 0  # characters, line ends among them
        self.quotes = self._scan()  # where they are that begin or end a text

    def _scan(self) -> Offsets:
        array = self.bytes
        found: list[Offsets] = []
        for start in range(0, self.size, _STRIP):
            part = array[start : start + _STRIP]
            self.controls += int(np.count_nonzero(part < _SPACE))
            flags = part == _QUOTE
            if self.has_escapes:
                before = array[start - 1 : start + part.size - 1] if start else np.concatenate([_NO_BYTE, part[:-1]])
                escaped = before == _BACKSLASH
                if (escaped & (part == _BACKSLASH)).any():  # which of many in a row escapes is for a slower way to tell
                    return self._scan_pairs()
                self.has_codes = self.has_codes or bool((escaped & (part == _U)).any())
                np.greater(flags, escaped, out=flags)
            found.append((np.flatnonzero(flags) + start).astype(np.int32))
        return np.concatenate(found)

    def _scan_pairs(self) -> Offsets:
        """The same where some backslashes escape others."""
        array = np.frombuffer(self.data.replace(b"\\\\", b"__"), np.uint8)
        self.controls = int(np.count_nonzero(array < _SPACE))
        self.has_codes = True
        flags = array == _QUOTE
        flags[1:] &= array[:-1] != _BACKSLASH
        return np.flatnonzero(flags).astype(np.int32)

    def rows(self, at: Positions, literal: bytes, size: int, start: int) -> Rows | None:
        """For each of the positions AT, which ascend, the bytes from there on: LITERAL, up to START, and SIZE more; zeros
        are what's behind the end. None unless LITERAL stands at each."""
        if int(at[0]) < 0:
            return None
        width = -(-(start + size) // 8) * 8
        last = self.size - width
        near = int(np.searchsorted(at, last, "right")) if last >= 0 else 0
        # One copy of many bytes costs no more than one of eight, which are no number at such a place.
        pieces = np.ndarray((max(0, last + 1),), f"V{width}", self.data, strides=(1,))[at[:near]]
        data = pieces.view(np.uint8)
        if near < len(at):
            ends = [self.data[place : place + width].ljust(width, b"\0") for place in at[near:].tolist()]
            data = np.concatenate([data, np.frombuffer(b"".join(ends), np.uint8)])
        rows = Rows(data, width, start)
        return rows if rows.begin_with(literal) else None


def find(text: Text, count: int, literals: Literals, looks: Sequence[Look]) -> list[Span] | None:
    """Where the values are of TEXT's lines, COUNT of them; None where one isn't written as LITERALS say."""
    if text.controls != count * literals.controls:
        return None
    each = sum(before.count(b'"') for before in literals.before) + 2 * sum(look.is_text for look in looks)
    if len(text.quotes) == count * each:
        return _even(text, text.quotes.reshape(count, each), literals, looks)
    return _uneven(text, count, literals, looks)


def _even(text: Text, quotes: Offsets, literals: Literals, looks: Sequence[Look]) -> list[Span] | None:
    """The same where no text is null: each line has the same quotes."""
    spans: list[Span] = []
    lines = quotes[:, 0].astype(np.int64) - literals.before[0].find(b'"')
    nexts = np.append(lines[1:], text.size)
    at, index, mark = lines, 0, b""
    for slot, (literal, look) in enumerate(zip(literals.before, looks, strict=True)):
        index += len(mark)  # the quote that closes the value before is known to be there
        at, mark = at + len(mark), b'"' if look.is_text else b""
        rows = text.rows(at, literal + mark, look.size, len(literal + mark))
        if rows is None:
            return None
        starts = at + len(literal + mark)
        index += (literal + mark).count(b'"')
        if mark:
            at = quotes[:, index].astype(np.int64)
        elif slot + 1 < len(looks):
            at = quotes[:, index].astype(np.int64) - literals.before[slot + 1].find(b'"')
        else:
            at = nexts - len(literals.tail)
        if (at < starts).any():
            return None
        spans.append(Span(starts, at - starts, rows))
    at = at + len(mark)
    if not (at + len(literals.tail) == nexts).all() or text.rows(at, literals.tail, 0, len(literals.tail)) is None:
        return None
    return spans


def _uneven(text: Text, count: int, literals: Literals, looks: Sequence[Look]) -> list[Span] | None:
    """The same where some texts are null, and have no quotes."""
    ends = np.flatnonzero(text.bytes == _FEED) + 1
    if len(ends) != count:
        return None
    quotes = np.append(text.quotes, (text.size, text.size)).astype(np.int64)  # so that there's always one more
    last = len(quotes) - 1
    spans: list[Span] = []
    at = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    index = np.searchsorted(quotes, at)
    for slot, (literal, look) in enumerate(zip(literals.before, looks, strict=True)):
        rows = text.rows(at, literal, look.size, len(literal) + look.is_text)
        if rows is None:
            return None
        starts = at + len(literal)
        index = index + literal.count(b'"')
        nulls: Flags | None = None
        if look.is_text:
            nulls = quotes[np.minimum(index, last)] != starts
            if not (~nulls | (rows.word(-1) & MASKS[4] == NULL_WORD)).all():
                return None
            starts = starts + ~nulls
            stops = np.where(nulls, starts, quotes[np.minimum(index + 1, last)])
            at = stops + np.where(nulls, 4, 1)
            index = index + 2 * ~nulls
        else:
            after = literals.before[slot + 1] if slot + 1 < len(looks) else b""
            stops = quotes[np.minimum(index, last)] - after.find(b'"') if after else ends - len(literals.tail)
            at = stops
        if (stops < starts).any() or (at[1:] <= at[:-1]).any():
            return None
        spans.append(Span(starts, stops - starts, rows, nulls))
    is_whole = (at + len(literals.tail) == ends).all()
    return spans if is_whole and text.rows(at, literals.tail, 0, len(literals.tail)) is not None else None
