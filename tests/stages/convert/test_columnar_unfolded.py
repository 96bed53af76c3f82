"""What the rows of Arrow arrays have once they're unfolded is reckoned before that's done, at every level of nesting."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pipeline.model import Code
from stages.convert.columnar_files import arrow_types, arrow_unfolded, columnar
from stages.convert.sheet import Sheet
from tests.stages.convert.conftest import Bench
from tests.stages.convert.test_columnar_sizes import TABLE, written

TEXT = "x" * 1000
ROWS = 40


def repeated() -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(ROWS, np.int8)), pa.array([TEXT]))


def listed(items: Any) -> Any:
    return pa.ListArray.from_arrays(pa.array(np.arange(len(items) + 1), pa.int32()), items)


ALL = pa.array(np.zeros(ROWS, np.int32))
NESTED: dict[str, Callable[[], tuple[Any, list[Any]]]] = {
    "a dictionary": lambda: (repeated(), [TEXT] * ROWS),
    "in lists": lambda: (listed(repeated()), [[TEXT]] * ROWS),
    "in large lists": lambda: (listed(repeated()).cast(pa.large_list(repeated().type)), [[TEXT]] * ROWS),
    "in lists of lists": lambda: (listed(listed(repeated())), [[[TEXT]]] * ROWS),
    "in lists of one size": lambda: (pa.FixedSizeListArray.from_arrays(repeated(), 1), [[TEXT]] * ROWS),
    "in structs": lambda: (pa.StructArray.from_arrays([repeated(), ALL], ["s", "n"]), [{"s": TEXT, "n": 0}] * ROWS),
    "in maps": lambda: (
        pa.MapArray.from_arrays(pa.array(np.arange(ROWS + 1), pa.int32()), ALL, repeated()),
        [[{"key": 0, "value": TEXT}]] * ROWS,
    ),
    "runs": lambda: (pa.RunEndEncodedArray.from_arrays(pa.array([ROWS], pa.int32()), pa.array([TEXT])), [TEXT] * ROWS),
    "runs in lists": lambda: (
        listed(pa.RunEndEncodedArray.from_arrays(pa.array([ROWS], pa.int32()), pa.array([TEXT]))),
        [[TEXT]] * ROWS,
    ),
    "views of a list": lambda: (
        pa.ListViewArray.from_arrays(ALL, pa.array([1] * ROWS, pa.int32()), pa.array([TEXT, TEXT])),
        [[TEXT]] * ROWS,
    ),
}


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("kind", ["file", "stream"])
def test_what_is_stored_once_is_written_in_pieces(
    bench: Bench, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    array, wanted = NESTED[name]()
    heights: list[int] = []
    write = Sheet.write
    monkeypatch.setattr(Sheet, "write", lambda sheet, frame: (heights.append(frame.height), write(sheet, frame))[1])
    monkeypatch.setattr(columnar, "_PIECE_BYTES", 5_200)
    data = written(pa.table({"a": array}), kind)
    done = bench.convert({"a.arrow": data})
    assert done.frame(done.part)["a"].to_list() == wanted
    assert max(heights) == 5
    monkeypatch.setattr(columnar, "_MOST_REPEATED", 20_000)
    monkeypatch.setattr(columnar, "_ORDINARY", 0)
    reason = bench.convert({"a.arrow": data}).member.reason
    assert reason is not None
    assert reason.code == Code.TOO_LARGE


def huge() -> dict[str, Any]:
    """Arrays of one row, which has more than any memory."""
    offsets = pa.array([0, 2**31 - 1], pa.int32())
    many = 5000
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(many, np.int8)), pa.array(["x" * 1_000_000]))
    row = pa.array([0, many], pa.int32())
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2**31 - 1], pa.int32()), pa.array(["x" * 1000]))
    return {
        "nothing": pa.ListArray.from_arrays(offsets, pa.nulls(2**31 - 1)),
        "texts": pa.ListArray.from_arrays(row, texts),
        "runs": pa.ListArray.from_arrays(offsets, runs),
        "runs of runs": pa.RunEndEncodedArray.from_arrays(
            pa.array([1], pa.int32()), pa.ListArray.from_arrays(offsets, runs)
        ),
    }


@pytest.mark.parametrize("name", huge())
def test_a_row_larger_than_memory_is_refused(bench: Bench, name: str) -> None:
    data = written(pa.table({"a": huge()[name]}), "file")
    assert len(data) < 100_000
    reason = bench.convert({"a.arrow": data}).member.reason
    assert reason is not None
    assert (reason.code, "a row of it has" in reason.text) == (Code.TOO_LARGE, True)


def test_sizes_are_those_of_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_unfolded, "_BLOCK", 2)
    batch = TABLE.to_batches()[0]
    sizes = arrow_unfolded.Unfolded(batch).sizes
    whole = sizes(0, 5)
    for start in range(5):
        for stop in range(start + 1, 6):
            assert sizes(start, stop).tolist() == whole[start:stop].tolist()
            part = batch.slice(start, stop - start)
            assert arrow_unfolded.Unfolded(part).sizes(0, stop - start).tolist() == whole[start:stop].tolist()


MORE: list[tuple[Any, list[float]]] = [
    (pa.array(["a", None, "bcd"]), [9, 8, 11]),
    (pa.array([b"a", b"", b"bcd"], pa.large_binary()), [9, 8, 11]),
    (pa.array(["a", None, "longer than twelve"], pa.string_view()), [9, 8, 26]),
    (pa.array([1, None, 3], pa.int16()), [2, 2, 2]),
    (pa.array([True, None, False]), [1, 1, 1]),
    (pa.array([decimal.Decimal(1)] * 2, pa.decimal256(50, 0)), [128, 128]),
    (pa.array(["a", "bb", "a", None]).dictionary_encode(), [9 + 8, 10 + 8, 9 + 8, 8]),
    (pa.array([[1], [], None, [2, 3]], pa.list_(pa.int32())), [12, 8, 8, 16]),
    (pa.array([[1, 2], None], pa.list_(pa.int32(), 2)), [16, 16]),
    (pa.array([{"a": 1, "b": "x"}, None], pa.struct({"a": pa.int64(), "b": pa.string()})), [25, 24]),
    (pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["x", "yy"])]), [200, 202]),
    (
        pa.UnionArray.from_dense(
            pa.array([1, 0, 1], pa.int8()), pa.array([0, 0, 0], pa.int32()), [pa.array([1]), pa.array(["xyz"])]
        ),
        [203, 200, 203],
    ),
    (pa.array([[], [None]], pa.list_(pa.null())), [8, 16]),
    (pa.array([["a"], ["bbb"], ["cc"]], pa.list_(pa.string(), 1)), [17, 19, 18]),
]  # fmt: skip


@pytest.mark.parametrize(("array", "wanted"), MORE)
def test_sizes_by_type(array: Any, wanted: list[float]) -> None:
    batch = pa.RecordBatch.from_arrays([array], ["a"])
    assert arrow_unfolded.Unfolded(batch).sizes(0, len(array)).tolist() == wanted
    assert arrow_unfolded.Unfolded(batch.slice(1)).sizes(0, len(array) - 1).tolist() == wanted[1:]


def test_a_piece_of_maps_unfolds_what_it_has_itself() -> None:
    offsets = pa.array(np.arange(ROWS + 1), pa.int32())
    maps = pa.MapArray.from_arrays(offsets, pa.array(np.arange(ROWS)), repeated())
    schema = arrow_types.portable(pa.schema([("a", maps.type)]), is_text_only=False)
    before = pa.total_allocated_bytes()
    piece = arrow_types.unfolded(pa.chunked_array([maps.slice(3, 1)]), schema.field(0).type)
    assert piece.to_pylist() == [[{"key": 3, "value": TEXT}]]
    assert pa.total_allocated_bytes() - before < 5 * len(TEXT)


def test_maps_in_pieces_are_the_maps(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [[("k", 1)], None, [], [("l", None), ("m", 2)], [("n", 3)]]
    data = written(pa.table({"a": pa.array(values, pa.map_(pa.string(), pa.int32()))}), "file")
    whole = bench.convert({"a.arrow": data})
    monkeypatch.setattr(columnar, "_PIECE_BYTES", 1)
    pieces = bench.convert({"a.arrow": data})
    assert pieces.rows == whole.rows
    assert pl.Series([row[0] for row in whole.rows]).to_list() == [
        value if value is None else [{"key": key, "value": item} for key, item in value] for value in values
    ]
