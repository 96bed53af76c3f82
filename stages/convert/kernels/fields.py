"""Values, each where it stands in a block of text, as typed columns: just what the text says, or none at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from stages.convert.kernels.compiled import Kernel, Kernels
from stages.convert.values.columns import BOOLEANS, fit_all
from stages.convert.values.kinds import DATE, TEXT, Kind

MOST_BYTES = 2**31 - 1  # of a block, whose places are numbers of 32 bits
_CLOCK = "%H:%M:%S"
_NUMBERS = ("integer", "double")
_BY_CASTS = (*_NUMBERS, "date", "timestamp", "timestamptz")  # what casts make of texts, and patterns prove
_local = threading.local()

Places = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


class Fields(msgspec.Struct):
    """Where the values of DATA are, a row for each column: their first byte, -1 for null, and how many there are, less one
    and negative where some stand for others (escapes, or doubled quotes)."""

    data: bytes
    starts: Places
    sizes: Places
    is_json: bool = False

    @property
    def rows(self) -> int:
        """How many values a column has."""
        return int(self.starts.shape[1])

    @property
    def bytes(self) -> npt.NDArray[np.uint8]:
        """The same data."""
        return np.frombuffer(self.data, np.uint8)

    def nulls(self) -> list[int]:
        """How many of each column are null."""
        return [int(np.count_nonzero(column < 0)) for column in self.starts]


def room(columns: int, rows: int) -> tuple[Places, Places]:
    """Room for `starts` and `sizes`. A thread has it once, and again when it asks the next time: fresh memory costs as
    much as what is written to it."""
    memory = getattr(_local, "memory", None)
    if memory is None or memory.size < 2 * columns * rows:
        memory = _local.memory = np.empty(2 * columns * rows, np.int32)
    found = memory[: 2 * columns * rows].reshape(2, columns, rows)
    return found[0], found[1]


def read(kernels: Kernels, fields: Fields, kinds: Sequence[Kind]) -> list[pl.Series] | None:
    """The columns of FIELDS, which are JSON's, as their KINDS; None where a value isn't what its kind says."""
    columns = Columns(kernels, fields)
    found = [columns.typed(index, kind) for index, kind in enumerate(kinds)]
    left = [index for index, column in enumerate(found) if column is None]
    if any(kinds[index].name not in _BY_CASTS for index in left):
        return None
    texts = [columns.numbers(index) if kinds[index].name in _NUMBERS else columns.texts(index) for index in left]
    if any(text is None for text in texts):
        return None
    frame = pl.DataFrame([text.alias(str(index)) for index, text in zip(left, texts, strict=True) if text is not None])
    for index, column in zip(left, fit_all(frame, [kinds[index] for index in left]), strict=True):
        found[index] = column
    return [column for column in found if column is not None] if all(column is not None for column in found) else None


class _Capsule:
    """An Arrow array by Arrow's protocol alone: for pyarrow's own, Polars loads pyarrow.compute, which takes 0.1 s."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """The array's two capsules."""
        schema, array = self._array.__arrow_c_array__(requested_schema)
        return schema, array


def column_of(dtype: Any, nulls: Flags, values: Any, *more: Any) -> pl.Series:
    """A column of DTYPE, which is Arrow's, of the VALUES that aren't NULLS; MORE are buffers of its texts."""
    import pyarrow as pa

    valid = pa.py_buffer(np.packbits(~nulls, bitorder="little")) if nulls.any() else None
    return pl.Series(_Capsule(pa.Array.from_buffers(dtype, len(nulls), [valid, pa.py_buffer(values), *more])))


class Columns:
    """The columns of a block of fields."""

    def __init__(self, kernels: Kernels, fields: Fields) -> None:
        self._kernels = kernels
        self._fields = fields
        self._bytes = fields.bytes
        self._arena = np.empty(len(fields.data), np.uint8)  # for texts that aren't written as they are
        self._used = 0

    def typed(self, index: int, kind: Kind) -> pl.Series | None:
        """A column as KIND, which is settled, where a kernel can tell."""
        if kind == TEXT:
            return self.texts(index)
        return _READERS[kind.name](self, index, kind) if kind.name in _READERS else None

    def numbers(self, index: int) -> pl.Series | None:
        """JSON's numbers as texts, of which a cast can tell the rest; None where one begins as none does in JSON."""
        is_one = self._kernels.are_numbers(self._bytes, self._fields.starts[index], self._fields.sizes[index])
        return self.texts(index) if is_one else None

    def texts(self, index: int) -> pl.Series | None:
        """A column as texts; None where an escape means nothing."""
        import pyarrow as pa

        fields = self._fields
        views = np.empty(2 * fields.rows, np.uint64)
        starts, sizes = fields.starts[index], fields.sizes[index]
        used = self._kernels.texts(self._bytes, starts, sizes, fields.is_json, views, self._arena, self._used)
        if used < 0:
            return None
        self._used = used
        texts = [pa.py_buffer(fields.data), pa.py_buffer(self._arena)]
        return self._column(index, pa.string_view(), views, *texts)

    def integers(self, index: int, _: Kind) -> pl.Series | None:
        """A column of integers."""
        import pyarrow as pa

        numbers = np.empty(self._fields.rows, np.int64)
        return self._read(index, self._kernels.integers, numbers, pa.int64())

    def doubles(self, index: int, _: Kind) -> pl.Series | None:
        """A column of doubles, of few digits each."""
        import pyarrow as pa

        numbers = np.empty(self._fields.rows, np.float64)
        return self._read(index, self._kernels.doubles, numbers, pa.float64(), self._fields.is_json)

    def dates(self, index: int, kind: Kind) -> pl.Series | None:
        """A column of ISO's dates."""
        import pyarrow as pa

        if kind != DATE:
            return None
        return self._read(index, self._kernels.dates, np.empty(self._fields.rows, np.int32), pa.date32())

    def stamps(self, index: int, kind: Kind) -> pl.Series | None:
        """A column of ISO's times."""
        import pyarrow as pa

        form = kind.form.removesuffix("Z")
        has_fraction, has_zone = form.endswith("%.f"), form != kind.form
        gap, clock = form[len(DATE.form) : len(DATE.form) + 1], form[len(DATE.form) + 1 :].removesuffix("%.f")
        if form[: len(DATE.form)] != DATE.form or clock != _CLOCK:
            return None
        micros = np.empty(self._fields.rows, np.int64)
        of_zone = pa.timestamp("us", "UTC" if has_zone else None)
        return self._read(index, self._kernels.stamps, micros, of_zone, ord(gap), has_fraction, has_zone)

    def booleans(self, index: int, kind: Kind) -> pl.Series | None:
        """A column of words for true and false, which JSON has in lower case only."""
        import pyarrow as pa

        flags = np.empty(self._fields.rows, np.uint8)
        form = list(BOOLEANS).index(kind.form or "lower")
        column = self._read(index, self._kernels.booleans, flags, pa.uint8(), form)
        return column.cast(pl.Boolean) if column is not None else None

    def nothing(self, index: int, _: Kind) -> pl.Series | None:
        """A column of nulls."""
        rows = self._fields.rows
        return None if (self._fields.starts[index] >= 0).any() else pl.repeat(None, rows, dtype=pl.String, eager=True)

    def _read(self, index: int, kernel: Kernel, values: Any, dtype: Any, *more: Any) -> pl.Series | None:
        starts, sizes = self._fields.starts[index], self._fields.sizes[index]
        if kernel(self._bytes, starts, sizes, *more, values) != self._fields.rows:
            return None
        return self._column(index, dtype, values)

    def _column(self, index: int, dtype: Any, values: Any, *more: Any) -> pl.Series:
        return column_of(dtype, self._fields.starts[index] < 0, values, *more)


_READERS: dict[str, Callable[[Columns, int, Kind], pl.Series | None]] = {
    "integer": Columns.integers,
    "double": Columns.doubles,
    "boolean": Columns.booleans,
    "null": Columns.nothing,
    "date": Columns.dates,
    "timestamp": Columns.stamps,
    "timestamptz": Columns.stamps,
}
