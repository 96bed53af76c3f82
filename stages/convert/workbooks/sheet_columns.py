"""Columns of a sheet of the pieces that kernels read: one type where all cells are of one kind, else texts as people read
them, the same as for a sheet that's read cell by cell."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from stages.convert.kernels.compiled import Kernels
from stages.convert.kernels.fields import Columns, Fields, column_of
from stages.convert.kernels.sheet_codes import (
    BOOLEAN,
    BOOLEANS,
    CLOCK,
    CLOCKS,
    DAY,
    ERROR,
    MOMENTS,
    NOTHING,
    NUMBER,
    NUMBERS,
    SHARED,
    TEXT,
    TEXTS,
    bits,
)
from stages.convert.workbooks.cells import as_text
from stages.convert.workbooks.sheet_days import MILLISECONDS
from stages.convert.workbooks.sheet_frame import Odd

_FROM_1904 = 1462  # what a number of days that counts from 1900 is more than one that counts from 1904
_EPOCH = 25_569  # the number of 1970's first day
_LEAP = 60  # before the day of that number, which never was, days have one less
_LAST = 2_958_466  # the first number after the year 9999
_BEGIN = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - a spreadsheet's times have no zone

Codes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int32]


class ColumnPart(msgspec.Struct):
    """A part of a column: which codes it has, as bits, the codes, which cells are null; and the values of numbers, texts as
    Arrow's views (two numbers each) and booleans, if it has such."""

    bits: int
    codes: Codes
    nulls: npt.NDArray[np.bool_]
    numbers: Numbers | None
    views: npt.NDArray[np.uint64] | None
    flags: npt.NDArray[np.uint8] | None


class Values:
    """The values of a piece, which FIELDS and CODES tell; texts are copied into a buffer with the number BUFFER."""

    def __init__(self, kernels: Kernels, fields: Fields, codes: Codes, strings: Any, buffer: int) -> None:
        self._kernels = kernels
        self._fields = fields
        self._codes = codes
        self._strings = strings
        self._buffer = buffer
        self._arena = np.empty(len(fields.data), np.uint8)
        self._used = 0
        self.errors = 0  # so far

    def arena(self) -> npt.NDArray[np.uint8]:
        """The buffer, as far as it's used."""
        return self._arena[: self._used].copy()

    def part(self, index: int, seen: int) -> ColumnPart:
        """Those of a column, which has the codes SEEN. Raises Odd."""
        codes, starts = self._codes[index], self._fields.starts[index]
        if seen & bits(ERROR):
            is_error = codes == ERROR
            self.errors += int(np.count_nonzero(is_error))
            starts[is_error] = -1
        if seen & ~(NOTHING | NUMBERS | MOMENTS | TEXTS | BOOLEANS):
            raise Odd
        views = self._texts(index) if seen & TEXTS else None
        flags = self._booleans(index) if seen & BOOLEANS else None
        nulls = starts < 0
        if views is not None and not np.any(_are_texts(codes) & ~nulls):  # empty ones, which are none
            seen, views = seen & ~TEXTS, None
        if seen & (TEXTS | BOOLEANS) and seen & (NUMBERS | MOMENTS):  # which only are looked for from here on
            starts[_are_texts(codes) | (codes == BOOLEAN)] = -1
        numbers = self._numbers(index) if seen & (NUMBERS | MOMENTS) else None
        return ColumnPart(seen, codes, nulls, numbers, views, flags)

    def _numbers(self, index: int) -> Numbers:
        fields = self._fields
        numbers = np.empty(fields.rows, np.float64)
        places = fields.starts[index], fields.sizes[index]
        if self._kernels.doubles(fields.bytes, *places, fields.is_json, numbers) == fields.rows:
            return numbers
        texts = Columns(self._kernels, fields).numbers(index)
        if texts is None:
            raise Odd
        found = texts.cast(pl.Float64, strict=False)
        if found.null_count() != texts.null_count():
            raise Odd
        return found.to_numpy()

    def _texts(self, index: int) -> npt.NDArray[np.uint64]:
        fields = self._fields
        views = np.empty(2 * fields.rows, np.uint64)
        places = self._codes[index], fields.starts[index], fields.sizes[index]
        more = self._strings, self._buffer, views, self._arena, self._used
        self._used = self._kernels.sheet_texts(fields.bytes, *places, *more)
        if self._used < 0:
            raise Odd
        return views

    def _booleans(self, index: int) -> npt.NDArray[np.uint8]:
        fields = self._fields
        flags = np.empty(fields.rows, np.uint8)
        places = self._codes[index], fields.starts[index], fields.sizes[index]
        if self._kernels.sheet_booleans(fields.bytes, *places, flags) != fields.rows:
            raise Odd
        return flags


def joined(parts: Sequence[ColumnPart], rows: int, buffers: Sequence[Any], *, is_1904: bool) -> pl.Series:
    """The column that PARTS are, whose texts lie in BUFFERS, its first ROWS: numbers as doubles, days and times as
    milliseconds, times of day as nanoseconds, texts, booleans; texts too where kinds differ. Raises Odd."""
    import pyarrow as pa

    kind = 0
    for part in parts:
        kind |= part.bits & ~NOTHING
    if not kind:
        return pl.repeat(None, rows, dtype=pl.Null, eager=True)
    nulls = np.concatenate([part.nulls for part in parts])[:rows]
    if kind & ~TEXTS == 0:
        views = np.concatenate([_or_zeros(part.views, 2 * len(part.codes), np.uint64) for part in parts])
        return column_of(pa.string_view(), nulls, views[: 2 * rows], *map(pa.py_buffer, buffers))
    if kind == BOOLEANS:
        flags = np.concatenate([_or_zeros(part.flags, len(part.codes), np.uint8) for part in parts])
        return column_of(pa.uint8(), nulls, flags[:rows]).cast(pl.Boolean)
    if kind & ~MOMENTS and kind != NUMBERS:
        return pl.concat([_as_texts(part, buffers, is_1904=is_1904) for part in parts])[:rows]
    numbers = np.concatenate([_or_zeros(part.numbers, len(part.codes), np.float64) for part in parts])[:rows]
    if kind == NUMBERS:
        return column_of(pa.float64(), nulls, numbers)
    if kind == CLOCKS and (numbers[~nulls] < 1).any():
        return column_of(pa.time64("ns"), nulls, _clocks(numbers, nulls))
    return column_of(pa.timestamp("ms"), nulls, _moments(numbers, nulls, is_1904=is_1904))


def _are_texts(codes: Codes) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (codes == SHARED) | (codes == TEXT)
    return found


def _or_zeros(values: Any, size: int, dtype: Any) -> Any:
    return np.zeros(size, dtype) if values is None else values


def _as_texts(part: ColumnPart, buffers: Sequence[Any], *, is_1904: bool) -> pl.Series:
    """PART's cells as people read them."""
    import pyarrow as pa

    texts = np.full(len(part.codes), None, object)
    if part.views is not None:
        nulls = part.nulls | ~_are_texts(part.codes)
        found = column_of(pa.string_view(), nulls, part.views, *map(pa.py_buffer, buffers))
        texts = np.array(found.to_list(), object)
    for code, values in _others(part, is_1904=is_1904):
        texts[part.codes == code] = [as_text(value) for value in values]
    return pl.Series(texts.tolist(), dtype=pl.String)


def _others(part: ColumnPart, *, is_1904: bool) -> Iterator[tuple[int, Iterable[Any]]]:
    """The values of PART that are no texts, by code. Raises Odd."""
    if part.flags is not None:
        yield BOOLEAN, (bool(flag) for flag in part.flags[part.codes == BOOLEAN])
    if part.numbers is None:
        return
    yield NUMBER, part.numbers[part.codes == NUMBER].tolist()
    for code in (DAY, CLOCK):
        numbers = part.numbers[part.codes == code]
        if code == CLOCK and (numbers < 1).any():
            yield (
                code,
                [(_BEGIN + dt.timedelta(microseconds=nanos // 1000)).time() for nanos in _clocks(numbers).tolist()],
            )
        else:
            moments = _moments(numbers, is_1904=is_1904).tolist()
            yield code, [_BEGIN + dt.timedelta(milliseconds=moment) for moment in moments]


def _moments(numbers: Numbers, nulls: Any = False, *, is_1904: bool) -> npt.NDArray[np.int64]:
    """The milliseconds since 1970 of NUMBERS of days, as the engine has them."""
    numbers = np.where(nulls, _EPOCH, numbers)
    if not ((numbers >= 1) & (numbers < _LAST)).all():
        raise Odd
    numbers = numbers + is_1904 * _FROM_1904
    return _milliseconds(np.where(numbers < _LEAP, numbers + 1, numbers)) - _EPOCH * MILLISECONDS


def _clocks(numbers: Numbers, nulls: Any = False) -> npt.NDArray[np.int64]:
    """The nanoseconds since midnight of NUMBERS that are parts of a day."""
    numbers = np.where(nulls, 0, numbers)
    if not ((numbers >= 0) & (numbers < 1)).all():
        raise Odd
    found = _milliseconds(numbers)
    if not (found < MILLISECONDS).all():
        raise Odd
    return found * 1_000_000


def _milliseconds(days: Numbers) -> npt.NDArray[np.int64]:
    numbers = days * MILLISECONDS
    whole = np.trunc(numbers)
    return (whole + (numbers - whole >= 0.5)).astype(np.int64)
