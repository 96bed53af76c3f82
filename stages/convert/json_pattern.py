"""Lines of JSON that are all written after one pattern, taken apart by where their quotes are.

What programs write by the million has the same keys in the same order on each line. Then what stands between two values
is known to the byte, and is compared to the byte; values lie between. Every byte of a block is a part of the pattern or
of a value, else the block isn't taken, and a parser reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from stages.convert import json_marks
from stages.convert.columns import fit_all
from stages.convert.forms import Words
from stages.convert.kinds import TEXT, Kind
from stages.convert.shapes import TIMES, Shape

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Offsets = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

_STRIP = 128 * 1024  # bytes looked at in one go, so that what's in between stays in the cache
_INLINE = 12  # bytes of a text that Arrow holds beside its length
_QUOTE, _SPACE, _FEED, _BACKSLASH, _MINUS, _U, _N, _E = (np.uint8(ord(mark)) for mark in '" \n\\-une')
_NO_BYTE = np.zeros(1, np.uint8)
_ZERO, _TEN = np.uint8(0x30), np.uint8(10)
_HALF = np.uint64(32)
_ONES, _TOPS, _BACKSLASHES = (np.uint64(0x0101010101010101 * byte) for byte in (0x01, 0x80, 0x5C))
_KEY = re.compile(rb'[ \t]*"([^"\\\x00-\x1f]*)"[ \t]*:[ \t]*')
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|[-0-9.eE+]+|true|false|null')
_AFTER = re.compile(rb"[ \t]*([,}])")
_MASKS = [np.uint64((1 << 8 * count) - 1) for count in range(9)]
_FIRST = np.array([(1 << 8 * min(size, 4)) - 1 << 32 for size in range(_INLINE + 2)], np.uint64)
_REST = np.array([(1 << 8 * max(size - 4, 0)) - 1 for size in range(_INLINE + 1)] + [0], np.uint64)
_WORDS = {word: np.uint64(int.from_bytes(word[:4], "little")) for word in (b"null", b"true", b"false")}
_RARE = 0.25  # the share of texts with escapes up to which they are rather picked out


class Slot(msgspec.Struct, frozen=True):
    """Where a value stands: the keys that lead to it, and the bytes between the value before it, or the line's start, and
    itself."""

    path: tuple[str, ...]
    literal: bytes


class Pattern(msgspec.Struct, frozen=True):
    """How a line is written: its values in their order, and the bytes after the last one."""

    slots: tuple[Slot, ...]
    tail: bytes


def find(line: bytes) -> Pattern | None:
    """How LINE is written, its end included; None where that's no object of scalars and objects, or a key in it is
    written with an escape or twice."""
    slots: list[Slot] = []
    start = line.find(b"{")
    if start < 0 or line[:start].strip(b" \t"):
        return None
    rest = _take_object(line, start + 1, 0, (), slots)
    if rest is None or line[rest[0] :] not in (b"\n", b"\r\n"):
        return None
    return Pattern(tuple(slots), line[rest[1] :])


def _take_object(line: bytes, at: int, before: int, path: tuple[str, ...], slots: list[Slot]) -> tuple[int, int] | None:
    """Adds the slots of the object whose brace ends at AT, BEFORE being where the value before it ended; gives where the
    object ends, and where its last value did."""
    seen: set[bytes] = set()
    while True:
        key = _KEY.match(line, at)
        if key is None or key[1] in seen:
            return None
        seen.add(key[1])
        inner = (*path, key[1].decode())
        if line[key.end() : key.end() + 1] == b"{":
            found = _take_object(line, key.end() + 1, before, inner, slots)
            if found is None:
                return None
            at, before = found
        else:
            value = _VALUE.match(line, key.end())
            if value is None:
                return None
            slots.append(Slot(inner, line[before : key.end()]))
            at = before = value.end()
        after = _AFTER.match(line, at)
        if after is None:
            return None
        at = after.end()
        if after[1] == b"}":
            return at, before


Columns = dict[str, pl.Series]


class _Span(msgspec.Struct):
    """Where the values of a slot are, one a line: from `starts` on, `sizes` bytes long; `nulls` tells which are null."""

    starts: Positions
    sizes: Positions
    nulls: Flags | None = None


class _Text:
    """A block of lines, each with its end, and what its bytes show at a glance."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(self.data)
        self.bytes = np.frombuffer(self.data, np.uint8)
        self._words: Words = np.ndarray((max(0, self.size - 7),), "<u8", self.data, strides=(1,))
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

    def words(self, at: Positions) -> Words:
        """The eight bytes from each of the positions AT on, which ascend; zeros are what's behind the end."""
        last = self.size - 8
        near = int(np.searchsorted(at, last, "right")) if last >= 0 else 0
        if near == len(at):
            return self._words[at]
        ends = [int.from_bytes(self.data[place : place + 8], "little") for place in at[near:].tolist()]
        return np.concatenate([self._words[at[:near]], np.array(ends, np.uint64)])

    def holds(self, literal: bytes, at: Positions) -> bool:
        """Whether LITERAL stands at each of the positions AT."""
        if int(at.min()) < 0 or int(at.max()) + len(literal) > self.size:
            return False
        rest = len(literal)
        while rest > 1:
            count, begin = min(8, rest), max(0, rest - 8)
            found = self.words(at + begin if begin else at)
            if count < 8:
                found &= _MASKS[count]
            if not (found == np.uint64(int.from_bytes(literal[begin : begin + count], "little"))).all():
                return False
            rest -= 8
        return rest < 1 or bool((self.bytes[at] == np.uint8(literal[0])).all())


def read(data: bytes, count: int, shapes: dict[str, Shape]) -> Columns | None:
    """The columns of DATA, which is COUNT lines of UTF-8, none of them blank; None unless all are written after one
    pattern, and SHAPES hold their values."""
    data = data if data.endswith(b"\n") else data + b"\n"
    pattern = find(data[: data.find(b"\n") + 1])
    if pattern is None:
        return None
    wanted = dict(_leaves(shapes, ()))
    if wanted.keys() != {slot.path for slot in pattern.slots} or not all(map(_is_plain, wanted.values())):
        return None
    kinds = [wanted[slot.path] for slot in pattern.slots]
    text = _Text(data)
    spans = _spans(text, count, pattern, kinds)
    if spans is None:
        return None
    found = _typed(text, spans, kinds)
    if found is None:
        return None
    columns = dict(zip([slot.path for slot in pattern.slots], found, strict=True))
    return {key: _column((key,), shape, columns) for key, shape in shapes.items()}


def _leaves(shapes: dict[str, Shape], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Kind]]:
    """The kind of each scalar that SHAPES have, by the keys that lead to it."""
    for key, shape in shapes.items():
        if shape.fields:
            yield from _leaves(dict(shape.fields), (*path, key))
        else:
            yield (*path, key), shape.kind


def _is_plain(kind: Kind) -> bool:
    return _is_text(kind) or kind.name in ("integer", "double", "boolean", "null")


def _is_text(kind: Kind) -> bool:
    return kind == TEXT or kind.name in TIMES


def _spans(text: _Text, count: int, pattern: Pattern, kinds: list[Kind]) -> list[_Span] | None:
    """Where the values of each slot are; None where a line isn't written so."""
    line_end = len(pattern.tail) - len(pattern.tail.rstrip(b"\r\n"))
    tabs = sum(slot.literal.count(b"\t") for slot in pattern.slots) + pattern.tail.count(b"\t")
    if text.controls != count * (line_end + tabs):
        return None
    each = sum(slot.literal.count(b'"') + 2 * _is_text(kind) for slot, kind in zip(pattern.slots, kinds, strict=True))
    if len(text.quotes) == count * each:
        return _even_spans(text, text.quotes.reshape(count, each), pattern, kinds)
    return _uneven_spans(text, count, pattern, kinds)


def _even_spans(text: _Text, quotes: Offsets, pattern: Pattern, kinds: list[Kind]) -> list[_Span] | None:
    """The same where no text is null: each line has the same quotes."""
    spans: list[_Span] = []
    lines = quotes[:, 0].astype(np.int64) - pattern.slots[0].literal.find(b'"')
    nexts = np.append(lines[1:], text.size)
    at, index, mark = lines, 0, b""
    literals = [slot.literal for slot in pattern.slots] + [pattern.tail]
    for slot, kind in enumerate(kinds):
        closing, mark = mark, b'"' if _is_text(kind) else b""
        at = at + len(closing)  # which is known to be there
        literal = literals[slot] + mark
        if not text.holds(literal, at):
            return None
        starts = at + len(literal)
        index += len(closing) + literal.count(b'"')
        if mark:
            at = quotes[:, index].astype(np.int64)
        elif slot + 1 < len(kinds):
            at = quotes[:, index].astype(np.int64) - literals[slot + 1].find(b'"')
        else:
            at = nexts - len(pattern.tail)
        spans.append(_Span(starts, at - starts))
    at = at + len(mark)
    if not text.holds(pattern.tail, at) or not (at + len(pattern.tail) == nexts).all():
        return None
    return spans


def _uneven_spans(text: _Text, count: int, pattern: Pattern, kinds: list[Kind]) -> list[_Span] | None:
    """The same where some texts are null, and have no quotes."""
    ends = np.flatnonzero(text.bytes == _FEED) + 1
    if len(ends) != count:
        return None
    quotes = np.append(text.quotes, (text.size, text.size))  # so that there's always one more
    lines = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    literals = [slot.literal for slot in pattern.slots] + [pattern.tail]
    last = len(quotes) - 1
    spans: list[_Span] = []
    at, index = lines, np.searchsorted(quotes, lines)
    for slot, kind in enumerate(kinds):
        literal = literals[slot]
        if (at[1:] <= at[:-1]).any() or not text.holds(literal, at):
            return None
        starts = at + len(literal)
        index = index + literal.count(b'"')
        if _is_text(kind):
            is_there = quotes[np.minimum(index, last)] == starts
            if not (is_there | (text.words(starts) & _MASKS[4] == _WORDS[b"null"])).all():
                return None
            closing = np.where(is_there, quotes[np.minimum(index + 1, last)], starts + 4)
            at = closing + is_there
            starts = starts + is_there
            spans.append(_Span(starts, np.where(is_there, closing - starts, 0), ~is_there))
            index = index + 2 * is_there
            continue
        if slot + 1 < len(kinds):
            at = quotes[np.minimum(index, last)] - literals[slot + 1].find(b'"')
        else:
            at = ends - len(pattern.tail)
        spans.append(_Span(starts, at - starts))
    return spans if (at + len(pattern.tail) == ends).all() and text.holds(pattern.tail, at) else None


def _typed(text: _Text, spans: list[_Span], kinds: list[Kind]) -> list[pl.Series] | None:
    """The values at SPANS as their KINDS; None where one isn't what its kind says."""
    columns: list[pl.Series] = []
    for span, kind in zip(spans, kinds, strict=True):
        column = _READERS[kind.name](text, span) if int(span.sizes.min()) >= 0 else None
        if column is None:
            return None
        columns.append(column)
    cast = [index for index, kind in enumerate(kinds) if kind.name in _CAST]
    frame = pl.DataFrame([columns[index].alias(str(index)) for index in cast])
    for index, column in zip(cast, fit_all(frame, [kinds[index] for index in cast]), strict=True):
        if column is None:
            return None
        columns[index] = column
    return columns


def _views(text: _Text, span: _Span) -> Words:
    """The texts at SPAN as Arrow has them: two words each, of which the first holds the size and four bytes, the second
    the next eight where there are no more than that, or else where the text is."""
    sizes = span.sizes
    views = np.empty((len(sizes), 2), np.uint64)
    short = np.minimum(sizes, _INLINE + 1)
    views[:, 0] = ((text.words(span.starts) << _HALF) & _FIRST[short]) | sizes.view(np.uint64)
    is_long = sizes > _INLINE
    if is_long.all():
        views[:, 1] = span.starts.view(np.uint64) << _HALF
        return views
    views[:, 1] = text.words(span.starts + 4) & _REST[short]
    if is_long.any():
        views[is_long, 1] = span.starts[is_long].view(np.uint64) << _HALF
    return views


def _series(text: _Text, span: _Span, views: Words | None = None) -> pl.Series:
    """The texts at SPAN, which stay where they are."""
    import pyarrow as pa

    views = _views(text, span) if views is None else views
    valid = None if span.nulls is None else pa.py_buffer(np.packbits(~span.nulls, bitorder="little"))
    buffers = [valid, pa.py_buffer(views), pa.py_buffer(text.data)]
    found = pl.from_arrow(pa.Array.from_buffers(pa.string_view(), len(views), buffers))
    assert isinstance(found, pl.Series)
    return found


def _texts(text: _Text, span: _Span) -> pl.Series | None:
    """The texts at SPAN as JSON means them; None where an escape means nothing."""
    views = _views(text, span)
    column = _series(text, span, views)
    if not text.has_escapes or (int(span.sizes.max()) <= _INLINE and not _has_backslash(views)):
        return column
    escaped = column.str.contains("\\", literal=True)
    count = int(escaped.sum())
    if not count:
        return column
    if text.has_codes and json_marks.has_halves(text.data):
        return None
    try:
        if count > len(column) * _RARE:
            return _unescaped(column)
        return column.scatter(escaped.arg_true(), _unescaped(column.filter(escaped)))
    except pl.exceptions.PolarsError:
        return None


def _has_backslash(views: Words) -> bool:
    """Whether one is in texts that VIEWS hold to the last byte."""
    return any(
        bool((((word ^ _BACKSLASHES) - _ONES) & ~(word ^ _BACKSLASHES) & _TOPS).any())
        for word in (views[:, 0] >> _HALF, views[:, 1])
    )


def _unescaped(column: pl.Series) -> pl.Series:
    return pl.select((pl.lit('"') + pl.lit(column) + pl.lit('"')).str.json_decode(pl.String)).to_series()


def _null_words(text: _Text, span: _Span) -> Flags:
    found: Flags = ((text.words(span.starts) & _MASKS[4]) == _WORDS[b"null"]) & (span.sizes == 4)
    return found


def _nulls(text: _Text, span: _Span) -> pl.Series | None:
    are_null = _null_words(text, span).all()
    return pl.repeat(None, len(span.sizes), dtype=pl.String, eager=True) if are_null else None


def _booleans(text: _Text, span: _Span) -> pl.Series | None:
    words = text.words(span.starts) & _MASKS[4]
    yes = (words == _WORDS[b"true"]) & (span.sizes == 4)
    no = (words == _WORDS[b"false"]) & (span.sizes == 5)
    no &= text.bytes[np.minimum(span.starts + 4, text.size - 1)] == _E
    known = yes | no
    column = pl.Series(yes)
    if known.all():
        return column
    if not (known | _null_words(text, span)).all():
        return None
    return pl.select(pl.when(pl.lit(pl.Series(known))).then(pl.lit(column))).to_series()


def _integers(text: _Text, span: _Span) -> pl.Series | None:
    """The integers at SPAN as texts; that they are written as JSON has them is for a cast to find out."""
    span = _with_nulls(text, span, text.bytes[span.starts] == _N)
    return _series(text, span)


def _doubles(text: _Text, span: _Span) -> pl.Series | None:
    """The numbers at SPAN as texts; None where one begins as no number in JSON does. The rest is for a cast."""
    first = text.bytes[span.starts]
    signs = first == _MINUS
    starts = span.starts
    if signs.any():
        starts = starts + signs
        first = text.bytes[starts]
    odd = (first - _ZERO >= _TEN) | ((first == _ZERO) & (text.bytes[starts + 1] - _ZERO < _TEN))
    span = _with_nulls(text, span, odd)
    return None if span.nulls is not None and (odd & ~span.nulls).any() else _series(text, span)


def _with_nulls(text: _Text, span: _Span, candidates: Flags) -> _Span:
    """SPAN with what is the word null among CANDIDATES, if there are any."""
    if not candidates.any():
        return span
    nulls = candidates & _null_words(text, span)
    return _Span(span.starts, np.where(nulls, 0, span.sizes), nulls)


_CAST = ("integer", "double", *TIMES)
_READERS: dict[str, Callable[[_Text, _Span], pl.Series | None]] = {
    "integer": _integers,
    "double": _doubles,
    "boolean": _booleans,
    "null": _nulls,
    "text": _texts,
    **dict.fromkeys(TIMES, _series),
}


def _column(path: tuple[str, ...], shape: Shape, columns: dict[tuple[str, ...], pl.Series]) -> pl.Series:
    """The column of SHAPE at PATH, put together from COLUMNS of scalars."""
    if not shape.fields:
        return columns[path]
    return pl.DataFrame([_column((*path, key), field, columns).alias(key) for key, field in shape.fields]).to_struct()
