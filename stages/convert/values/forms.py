"""Whether all of a column's texts are written in one form, seen from their bytes in one go.

A regular expression says the same, at five to ten times the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.convert.values.kinds import Kind

_PARTS = {"%Y": "9999", "%m": "99", "%d": "99", "%H": "99", "%M": "99", "%S": "59"}
_LEAST = 1_000  # rows from which on it's worth it
_MANY = 10_000  # the same for numbers, whose bytes need pyarrow to be seen

_INLINE = 12  # bytes of a text that Arrow holds beside its length
_LENGTH, _UPPER = np.uint64(0xFFFFFFFF), np.uint64(32)
_LETTERS = 0x4040404040404040  # the bit that letters have, and what numbers are written with hasn't
_ZERO, _PLUS, _MINUS, _POINT, _TEN = (np.uint8(code) for code in (0x30, 0x2B, 0x2D, 0x2E, 10))

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]


def has_form(column: pl.Series, kind: Kind) -> bool:
    """Whether all of COLUMN's texts look like KIND and are equally wide. False may also mean that it can't be told."""
    if kind.null or len(column) < _LEAST:
        return False
    if kind.name in _NUMBERS:
        return len(column) >= _MANY and all(map(_NUMBERS[kind.name], _views(column)))
    if kind.name not in ("date", "timestamp", "timestamptz", "time"):
        return False
    texts = column.drop_nulls() if column.null_count() else column
    form = _form(kind.form, len(texts[0])) if len(texts) else None
    if form is None:
        return False
    low, span = form
    parts = texts.cast(pl.Binary).bin.reinterpret(dtype=pl.Array(pl.UInt8, len(low)), endianness="little")
    if parts.null_count():
        return False
    array = parts.explode().to_numpy().reshape(len(texts), len(low))
    return bool(((array - low) <= span).all())


def _views(column: pl.Series) -> Iterator[Words]:
    """COLUMN's texts as Arrow has them, piece by piece: two words each, of which the first holds the length and four
    bytes, the second the next eight where there are no more than that."""
    texts = column.drop_nulls() if column.null_count() else column
    for piece in texts.get_chunks():
        array = piece.to_arrow(compat_level=pl.CompatLevel.newest())
        yield np.frombuffer(array.buffers()[1], np.uint64).reshape(-1, 2)[array.offset : array.offset + len(array)]


def _are_plain_integers(words: Words) -> bool:
    """Whether none of the texts begins with a plus or a zero that says nothing. That they are digits is for a cast to
    find out."""
    if not len(words):
        return True
    first, second, _third = _first_bytes(words)
    length = words[:, 0] & _LENGTH
    odd = (first == _PLUS) | ((first == _ZERO) & (length > 1)) | ((first == _MINUS) & (second == _ZERO))
    return not odd.any()


def _are_plain_doubles(words: Words) -> bool:
    """Whether none of the texts has a plus, a letter, a zero in front that says nothing, or a point at its end. That it's
    a number is for a cast to find out."""
    if not len(words):
        return True
    length = words[:, 0] & _LENGTH
    if int(length.max()) > _INLINE:
        return False
    held = int(np.bitwise_or.reduce(words[:, 0] >> _UPPER)) | int(np.bitwise_or.reduce(words[:, 1]))
    if held & _LETTERS:
        return False
    first, second, third = _first_bytes(words)
    odd = (first == _PLUS) | ((first == _ZERO) & (second - _ZERO < _TEN))
    odd |= (first == _MINUS) & (second == _ZERO) & (third - _ZERO < _TEN)
    last = np.arange(3, 16 * len(words), 16) + length.astype(np.int64)
    return not odd.any() and not (_as_bytes(words).reshape(-1)[last] == _POINT).any()


def _first_bytes(words: Words) -> tuple[Bytes, Bytes, Bytes]:
    parts = _as_bytes(words)
    return parts[:, 4], parts[:, 5], parts[:, 6]


def _as_bytes(words: Words) -> Bytes:
    return np.ascontiguousarray(words).view(np.uint8).reshape(-1, 16)


_NUMBERS: dict[str, Callable[[Words], bool]] = {"integer": _are_plain_integers, "double": _are_plain_doubles}


@lru_cache(maxsize=256)
def _form(pattern: str, width: int) -> tuple[Bytes, Bytes] | None:
    """The least byte of each place of a text of WIDTH bytes written by PATTERN, and how far above it a byte may be;
    None where there is none, or a zone that is written in several ways."""
    text = pattern
    for part, digits in _PARTS.items():
        text = text.replace(part, digits)
    fraction = width - len(text) + len("%.f")
    text = text.replace("%.f", "." + "9" * (fraction - 1) if 2 <= fraction <= 7 else "%")
    if "%" in text or "?" in text or len(text) != width:
        return None
    low = [48 if mark.isdigit() else ord(mark) for mark in text]
    span = [int(mark) if mark.isdigit() else 0 for mark in text]
    return np.array(low, np.uint8), np.array(span, np.uint8)
