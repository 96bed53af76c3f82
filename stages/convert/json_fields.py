"""Values of JSON, each where it stands in a block of lines, as typed columns: exactly what JSON says, or none at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from stages.convert import json_marks, moments
from stages.convert.byte_rows import MASKS, Words
from stages.convert.columns import fit_all
from stages.convert.json_spans import Flags, Look, Span, Text
from stages.convert.kinds import TEXT, Kind
from stages.convert.shapes import TIMES

_INLINE = 12  # bytes of a text that Arrow holds beside its length
_STAMP = 27  # bytes of the longest timestamp
_HALF = np.uint64(32)
_ONES, _TOPS, _BACKSLASHES = (np.uint64(0x0101010101010101 * byte) for byte in (0x01, 0x80, 0x5C))
_FIRST = np.array([(1 << 8 * min(size, 4)) - 1 << 32 for size in range(_INLINE + 2)], np.uint64)
_REST = np.array([(1 << 8 * max(size - 4, 0)) - 1 for size in range(_INLINE + 1)] + [0], np.uint64)
_TRUE, _FALSE = (np.uint64(int.from_bytes(word, "little")) for word in (b"true", b"false"))
_ZERO, _MINUS, _N, _TEN = (np.uint64(byte) for byte in (0x30, 0x2D, 0x6E, 10))
_BYTE, _EIGHT = np.uint64(0xFF), np.uint64(8)
_RARE = 0.25  # the share of texts with escapes up to which they are rather picked out
_CAST = ("integer", "double", *TIMES)


def is_plain(kind: Kind) -> bool:
    """Whether values of KIND can be read here."""
    return kind.name in _READERS


def look(kind: Kind) -> Look:
    """What is to be seen of values of KIND."""
    if kind.name in TIMES:
        return Look(is_text=True, size=_STAMP)
    return Look(is_text=kind == TEXT, size=_INLINE)


def read(text: Text, spans: Sequence[Span], kinds: Sequence[Kind]) -> list[pl.Series] | None:
    """The values at SPANS as their KINDS; None where one isn't what its kind says."""
    columns: list[pl.Series] = []
    for span, kind in zip(spans, kinds, strict=True):
        column = _READERS[kind.name](text, span, kind)
        if column is None:
            return None
        columns.append(column)
    cast = [index for index, kind in enumerate(kinds) if kind.name in _CAST and columns[index].dtype == pl.String]
    frame = pl.DataFrame([columns[index].alias(str(index)) for index in cast])
    for index, column in zip(cast, fit_all(frame, [kinds[index] for index in cast]), strict=True):
        if column is None:
            return None
        columns[index] = column
    return columns


def _views(span: Span) -> Words:
    """The texts at SPAN as Arrow has them: two words each, of which the first holds the size and four bytes, the second
    the next eight where there are no more than that, or else where the text is."""
    sizes = span.sizes
    views = np.empty((len(sizes), 2), np.uint64)
    short = np.minimum(sizes, _INLINE + 1)
    views[:, 0] = ((span.rows.word(0) << _HALF) & _FIRST[short]) | sizes.view(np.uint64)
    is_long = sizes > _INLINE
    if is_long.all():
        views[:, 1] = span.starts.view(np.uint64) << _HALF
        return views
    views[:, 1] = span.rows.word(4) & _REST[short]
    if is_long.any():
        views[is_long, 1] = span.starts[is_long].view(np.uint64) << _HALF
    return views


def _series(text: Text, span: Span, views: Words) -> pl.Series:
    """The texts at SPAN, which stay where they are."""
    import pyarrow as pa

    valid = None if span.nulls is None else pa.py_buffer(np.packbits(~span.nulls, bitorder="little"))
    buffers = [valid, pa.py_buffer(views), pa.py_buffer(text.data)]
    found = pl.from_arrow(pa.Array.from_buffers(pa.string_view(), len(views), buffers))
    assert isinstance(found, pl.Series)
    return found


def _texts(text: Text, span: Span, _: Kind) -> pl.Series | None:
    """The texts at SPAN as JSON means them; None where an escape means nothing."""
    views = _views(span)
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
    for word in (views[:, 0] >> _HALF, views[:, 1]):
        zeros = word ^ _BACKSLASHES
        if ((zeros - _ONES) & ~zeros & _TOPS).any():
            return True
    return False


def _unescaped(column: pl.Series) -> pl.Series:
    return pl.select((pl.lit('"') + pl.lit(column) + pl.lit('"')).str.json_decode(pl.String)).to_series()


def _moments(text: Text, span: Span, kind: Kind) -> pl.Series | None:
    """The dates or times at SPAN, as texts yet where they aren't ISO's."""
    is_there = None if span.nulls is None else ~span.nulls
    sizes = span.sizes if is_there is None else span.sizes[is_there]
    size = int(sizes[0]) if len(sizes) else 0
    if len(sizes) >= moments.LEAST and moments.is_iso(kind, size) and (sizes == size).all():
        rows = span.rows if is_there is None else span.rows.where(is_there)
        found = moments.read_rows(rows, size, kind)
        if found is not None:
            return found if is_there is None else moments.spread(found, pl.Series(is_there))
    return _series(text, span, _views(span))


def _nulls(_text: Text, span: Span, _: Kind) -> pl.Series | None:
    are_null = span.null_words().all()
    return pl.repeat(None, len(span.sizes), dtype=pl.String, eager=True) if are_null else None


def _booleans(_text: Text, span: Span, _: Kind) -> pl.Series | None:
    words = span.rows.word(0)
    yes = (words & MASKS[4] == _TRUE) & (span.sizes == 4)
    known = yes | ((words & MASKS[5] == _FALSE) & (span.sizes == 5))
    column = pl.Series(yes)
    if known.all():
        return column
    if not (known | span.null_words()).all():
        return None
    return pl.select(pl.when(pl.lit(pl.Series(known))).then(pl.lit(column))).to_series()


def _integers(text: Text, span: Span, _: Kind) -> pl.Series | None:
    """The integers at SPAN as texts; that they are written as JSON has them is for a cast to find out."""
    span = _with_nulls(span, span.rows.word(0) & _BYTE == _N)
    return _series(text, span, _views(span))


def _doubles(text: Text, span: Span, _: Kind) -> pl.Series | None:
    """The numbers at SPAN as texts; None where one begins as no number in JSON does. The rest is for a cast."""
    words = span.rows.word(0)
    signs = words & _BYTE == _MINUS
    if signs.any():
        words = np.where(signs, words >> _EIGHT, words)
    first, second = (words & _BYTE) - _ZERO, ((words >> _EIGHT) & _BYTE) - _ZERO
    odd = (first >= _TEN) | ((first == 0) & (second < _TEN))
    span = _with_nulls(span, odd)
    if span.nulls is not None and (odd & ~span.nulls).any():
        return None
    return _series(text, span, _views(span))


def _with_nulls(span: Span, candidates: Flags) -> Span:
    """SPAN with what is the word null among CANDIDATES, if there are any."""
    if not candidates.any():
        return span
    nulls = candidates & span.null_words()
    return Span(span.starts, np.where(nulls, 0, span.sizes), span.rows, nulls)


_READERS: dict[str, Callable[[Text, Span, Kind], pl.Series | None]] = {
    "integer": _integers,
    "double": _doubles,
    "boolean": _booleans,
    "null": _nulls,
    "text": _texts,
    **dict.fromkeys(TIMES, _moments),
}
