"""How many bytes the rows of an Arrow array have once nothing in it stands for something else, told before that is done.

A dictionary's value, a run's, a view's and a range of a list view's are stored once, and may be that of very many items; an
item that is nothing takes no bytes at all. So a file of some hundred bytes can hold more than any memory, at any level of
nesting. Here bytes are reckoned from offsets, lengths and indices, level by level, and no value is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.convert.columnar_files.arrow_types import is_told_apart

Bytes = npt.NDArray[Any]  # floats, which are exact up to 2^53, and don't wrap around beyond
Places = npt.NDArray[np.int64]

_BLOCK = 1 << 20  # items whose sizes are reckoned at once
_ITEM = 8  # bytes of an item beside its characters,
_OBJECT = 100  # and of one that is a Python object on the way


class Unfolded:
    """The sizes of BATCH's rows."""

    def __init__(self, batch: Any) -> None:
        self._columns = [_Column(column) for column in batch.columns]

    def sizes(self, start: int, stop: int) -> Bytes:
        """The bytes of each row from START up to STOP."""
        at = np.arange(start, stop + 1)
        found = np.zeros(stop - start)
        for column in self._columns:
            found += np.diff(column.totals(at))
        return found


class _Column:
    """One column; what is reckoned once for all of its rows is kept."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._each = _OBJECT if is_told_apart(array.type) else _ITEM
        self._kept: dict[tuple[int, ...], Bytes] = {}

    def totals(self, at: Places) -> Bytes:
        """How many bytes the items from the first place AT up to each of these, which ascend, have."""
        return self._totals(self._array, at, ())

    def _totals(self, array: Any, at: Places, path: tuple[int, ...]) -> Bytes:
        import pyarrow as pa

        kind = array.type
        if isinstance(kind, pa.BaseExtensionType):
            return self._totals(array.storage, at, path)
        items: Bytes = at - float(at[0])
        if at[0] == at[-1]:
            return items
        for is_it, reckon in _RECKONED:
            if is_it(pa.types, kind):
                return items * self._each + reckon(self, array, at, path)
        return items * (self._each if self._each == _OBJECT else _width(kind))

    def _nothing(self, array: Any, at: Places, path: tuple[int, ...]) -> Bytes:
        return np.zeros(len(at))

    def _texts(self, array: Any, at: Places, path: tuple[int, ...]) -> Bytes:
        ends: Bytes = _offsets(array)[at].astype(np.float64)
        ends -= ends[0]
        return ends

    def _list(self, array: Any, at: Places, path: tuple[int, ...]) -> Bytes:
        return self._totals(array.values, _offsets(array)[at].astype(np.int64), (*path, 0))

    def _map(self, array: Any, at: Places, path: tuple[int, ...]) -> Bytes:
        places = _offsets(array)[at].astype(np.int64)
        found = self._totals(array.values.field(0), places, (*path, 0))
        found += self._totals(array.values.field(1), places, (*path, 1))
        return found

    def _fixed_list(self, array: Any, at: Places, path: tuple[int, ...]) -> Bytes:
        return self._totals(array.values, (at + array.offset) * array.type.list_size, (*path, 0))

    def _struct(self, array: Any, at: Places, path: tuple[int, ...]) -> Bytes:
        found = np.zeros(len(at))
        for index in range(array.type.num_fields):
            found += self._totals(array.field(index), at, (*path, index))
        return found

    def _dictionary(self, array: Any, at: Places, path: tuple[int, ...]) -> Bytes:
        import pyarrow as pa

        entries = self._entries(array.dictionary, path)
        none = np.append(entries, 0.0)  # what null stands for is the last

        def sizes(start: int, stop: int) -> Bytes:
            indices = array.indices.slice(start, stop - start).cast(pa.int64())
            found: Bytes = none[indices.fill_null(len(entries)).to_numpy()]
            return found

        return _summed(at, sizes)

    def _entries(self, values: Any, path: tuple[int, ...]) -> Bytes:
        """The bytes of each of VALUES, of which an item may be any."""
        if path not in self._kept:
            self._kept[path] = np.diff(self._totals(values, np.arange(len(values) + 1), (*path, -1)))
        return self._kept[path]

    def _runs(self, array: Any, at: Places, path: tuple[int, ...]) -> Bytes:
        ends = np.asarray(array.run_ends, np.int64)
        values = self._entries(array.values, path)
        starts = np.append(0, ends[:-1])
        before = np.append(0.0, np.cumsum((ends - starts) * values))
        places = at + array.offset
        run = np.minimum(np.searchsorted(ends, places, "right"), len(ends) - 1)
        found: Bytes = before[run] + (places - starts[run]) * values[run]
        found -= found[0]
        return found

    def _views(self, array: Any, at: Places, path: tuple[int, ...]) -> Bytes:
        lengths = np.frombuffer(array.buffers()[1], np.int32)[4 * array.offset :: 4]  # what each view begins with

        def sizes(start: int, stop: int) -> Bytes:
            is_there = np.asarray(array.slice(start, stop - start).is_valid())  # else it may be anything
            return np.where(is_there, lengths[start:stop], 0).astype(np.float64)

        return _summed(at, sizes)

    def _list_views(self, array: Any, at: Places, path: tuple[int, ...]) -> Bytes:
        import pyarrow as pa

        kind = np.int64 if pa.types.is_large_list_view(array.type) else np.int32
        starts, counts = (np.frombuffer(array.buffers()[number], kind)[array.offset :] for number in (1, 2))

        def sizes(start: int, stop: int) -> Bytes:
            is_there = np.asarray(array.slice(start, stop - start).is_valid())
            begins = np.where(is_there, starts[start:stop], 0).astype(np.int64)
            return self._ranges(array.values, begins, begins + np.where(is_there, counts[start:stop], 0), (*path, 0))

        return _summed(at, sizes)

    def _ranges(self, values: Any, begins: Places, ends: Places, path: tuple[int, ...]) -> Bytes:
        """The bytes of VALUES from each of BEGINS up to the one of ENDS beside it."""
        places = np.unique(np.concatenate([begins, ends]))
        totals = self._totals(values, places, path)
        return totals[np.searchsorted(places, ends)] - totals[np.searchsorted(places, begins)]

    def _union(self, array: Any, at: Places, path: tuple[int, ...]) -> Bytes:
        codes = np.frombuffer(array.buffers()[1], np.int8)[array.offset :]
        is_dense = array.type.mode == "dense"
        offsets = np.frombuffer(array.buffers()[2], np.int32)[array.offset :] if is_dense else None

        def sizes(start: int, stop: int) -> Bytes:
            found = np.zeros(stop - start)
            for index, code in enumerate(array.type.type_codes):
                there = np.flatnonzero(codes[start:stop] == code)
                if there.size:
                    begins = (there + start if offsets is None else offsets[start:stop][there]).astype(np.int64)
                    found[there] = self._ranges(array.field(index), begins, begins + 1, (*path, index))
            return found

        return _summed(at, sizes)


_Reckoned = Callable[[_Column, Any, Places, tuple[int, ...]], Bytes]
_RECKONED: tuple[tuple[Callable[[Any, Any], bool], _Reckoned], ...] = (
    (lambda types, kind: types.is_null(kind), _Column._nothing),
    (lambda types, kind: types.is_string_view(kind) or types.is_binary_view(kind), _Column._views),
    (lambda types, kind: types.is_string(kind) or types.is_binary(kind), _Column._texts),
    (lambda types, kind: types.is_large_string(kind) or types.is_large_binary(kind), _Column._texts),
    (lambda types, kind: types.is_map(kind), _Column._map),
    (lambda types, kind: types.is_list(kind) or types.is_large_list(kind), _Column._list),
    (lambda types, kind: types.is_fixed_size_list(kind), _Column._fixed_list),
    (lambda types, kind: types.is_list_view(kind) or types.is_large_list_view(kind), _Column._list_views),
    (lambda types, kind: types.is_struct(kind), _Column._struct),
    (lambda types, kind: types.is_dictionary(kind), _Column._dictionary),
    (lambda types, kind: types.is_run_end_encoded(kind), _Column._runs),
    (lambda types, kind: types.is_union(kind), _Column._union),
)


def _width(kind: Any) -> int:
    """The bytes of a number of KIND, or of what is written for it where that is text."""
    import pyarrow as pa

    width = max(1, int(kind.bit_width) // 8)
    return 4 * width if pa.types.is_decimal(kind) else 2 * width if pa.types.is_float16(kind) else width


def _offsets(array: Any) -> npt.NDArray[Any]:
    """Where the items of ARRAY begin and the last one ends."""
    import pyarrow as pa

    is_large = any(
        is_it(array.type) for is_it in (pa.types.is_large_string, pa.types.is_large_binary, pa.types.is_large_list)
    )
    return np.frombuffer(array.buffers()[1], np.int64 if is_large else np.int32)[array.offset :]


def _summed(at: Places, sizes: Callable[[int, int], Bytes]) -> Bytes:
    """The totals of SIZES, which gives those of a part of all items, at each place AT."""
    found = np.zeros(len(at))
    total = 0.0
    for start in range(int(at[0]), int(at[-1]), _BLOCK):
        stop = min(start + _BLOCK, int(at[-1]))
        totals = total + np.append(0.0, np.cumsum(sizes(start, stop)))
        here = slice(int(np.searchsorted(at, start, "left")), int(np.searchsorted(at, stop, "right")))
        found[here] = totals[at[here] - start]
        total = float(totals[-1])
    return found
