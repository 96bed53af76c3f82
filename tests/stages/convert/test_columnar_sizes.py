"""Arrow files that unpack to more than they look, and batches that are taken in pieces."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from pipeline.model import Code
from stages.convert.columnar_files import arrow_sizes, columnar, parquet_sizes
from stages.convert.sheet import Sheet
from stages.convert.source import Source
from tests.stages.convert.conftest import Bench


def written(table: Any, kind: str, codec: str | None = "zstd", most: int | None = None) -> bytes:
    data = io.BytesIO()
    make = ipc.new_file if kind == "file" else ipc.new_stream
    with make(data, table.schema, options=ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table, most)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_small_file_with_a_huge_batch_is_refused(
    bench: Bench, kind: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "_MUCH_UNPACKED", 100_000)
    monkeypatch.setattr(columnar, "_RATIO", 100)
    zeros = written(pa.table({"a": np.zeros(200_000, np.int64)}), kind, codec)
    words = written(
        pa.table({"a": pa.array([0] * 9), "b": pa.array(["x" * 100_000] * 9).dictionary_encode()}), kind, codec
    )
    for data in (zeros, words):
        reason = bench.convert({"a.arrow": data}).member.reason
        assert reason is not None
        assert reason.code == Code.TOO_LARGE
    many = written(pa.table({"a": np.zeros(200_000, np.int64)}), kind, codec, 1000)
    mixed = written(pa.table({"a": np.random.default_rng(1).integers(0, 1 << 60, 20_000)}), kind, codec)
    for data in (many, mixed):
        assert bench.convert({"a.arrow": data}).member.outcome == "converted"
    monkeypatch.setattr(columnar, "_LARGEST_BATCH", 100_000)
    assert bench.convert({"a.arrow": mixed}).member.outcome == "rejected"


@pytest.mark.parametrize("kind", ["dictionary", "view"])
def test_a_text_that_is_stored_once_for_many_rows(bench: Bench, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def repeated(text: str, rows: int) -> bytes:
        if kind == "dictionary":
            return written(pa.table({"a": pa.array([text, None] * rows).dictionary_encode()}), "file")
        view = b"".join(np.array([len(text), 0x78787878, 0, 0], np.int32).tobytes() for _ in range(rows))
        buffers = [None, pa.py_buffer(view), pa.py_buffer(text.encode())]
        return written(pa.table({"a": pa.Array.from_buffers(pa.binary_view(), rows, buffers)}), "file")

    written_frames: list[pl.DataFrame] = []
    write = Sheet.write
    monkeypatch.setattr(Sheet, "write", lambda sheet, frame: (written_frames.append(frame), write(sheet, frame))[1])
    monkeypatch.setattr(columnar, "_PIECE_BYTES", 100_000)
    done = bench.convert({"a.arrow": repeated("x" * 10_000, 2000)})
    texts = done.frame(done.part)["a"].drop_nulls()
    assert len(texts) == 2000 and set(texts.to_list()) <= {"x" * 10_000, b"x" * 10_000}
    assert max(frame["a"].drop_nulls().len() for frame in written_frames) == 9
    written_frames.clear()
    monkeypatch.setattr(columnar, "_PIECE_BYTES", 5_000)  # less than one of them
    done = bench.convert({"a.arrow": repeated("x" * 10_000, 20)})
    assert len(done.frame(done.part)["a"].drop_nulls()) == 20
    assert max(frame["a"].drop_nulls().len() for frame in written_frames) == 1
    monkeypatch.setattr(columnar, "_MOST_REPEATED", 1_000_000)
    reason = bench.convert({"a.arrow": repeated("x" * 10_000, 2000)}).member.reason
    assert reason is not None
    assert reason.code == Code.TOO_LARGE
    assert bench.convert({"a.arrow": repeated("x" * 10_000, 50)}).member.outcome == "converted"
    assert bench.convert({"a.arrow": repeated("x" * 20, 4000)}).member.outcome == "converted"


def test_rows_of_nothing_are_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(pa.table({"a": pa.nulls(5000)}), "file")
    assert bench.convert({"a.arrow": data}).part.rows == 5000
    monkeypatch.setattr(columnar, "_MOST_ROWS", 4000)
    assert bench.convert({"a.arrow": data}).member.outcome == "rejected"


TABLE = pa.table(
    {
        "dictionary": pa.array(["a", None, "b", "a", "c"]).dictionary_encode(),
        "list": pa.array([[1], [], None, [2, None], [3, 4, 5]]),
        "struct": pa.array([{"x": 1, "y": ["a"]}, None, {"x": 3, "y": None}, {"x": None, "y": []}, {"x": 5, "y": ["b", None]}]),
        "map": pa.array([[("k", 1)], [], None, [("l", None), ("m", 2)], [("n", 3)]], pa.map_(pa.string(), pa.int32())),
        "view": pa.array(["a", "long enough to lie elsewhere", None, "", "b"], pa.string_view()),
        "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2, 5], pa.int32()), pa.array(["x", None])),
        "nothing": pa.nulls(5),
        "bits": pa.array([True, None, False, True, False]),
        "listed": pa.array([[["a"], []], None, [], [None], [["b", "c"]]]),
        "half": pa.array([1.5, None, 2.5, 0.0, -1.0], pa.float16()),
    }
)  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("types", ["auto", "text"])
def test_a_batch_in_pieces_is_the_batch(bench: Bench, kind: str, types: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(TABLE, kind)
    whole = bench.convert({"a.arrow": data}, types=types)
    assert whole.part.rows == 5
    for rows in (1, 2, 3):
        monkeypatch.setattr(columnar, "_ROWS", rows)
        pieces = bench.convert({"a.arrow": data}, types=types)
        assert (pieces.types, pieces.rows) == (whole.types, whole.rows)
    assert whole.frame(whole.part)["runs"].to_list() == ["x", "x", None, None, None]
    assert whole.frame(whole.part)["view"].to_list() == TABLE["view"].to_pylist()


def test_metadata_that_mean_nothing_are_left_to_the_library(bench: Bench) -> None:
    data = written(TABLE, "file")
    chance = np.random.default_rng(3)
    for _turn in range(60):
        damaged = bytearray(data)
        for at in chance.integers(8, len(data), 4):
            damaged[at] = chance.integers(0, 256)
        done = bench.convert({"a.arrow": bytes(damaged)})
        reason = done.member.reason
        assert reason is None or reason.code in (Code.CORRUPT, Code.UNSUPPORTED, Code.TOO_LARGE, Code.EMPTY), reason


def test_a_text_that_a_parquet_file_has_once_for_many_rows_is_refused_before_it_is_written_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """283 bytes, and 5 GB once they're unpacked."""
    monkeypatch.setattr(columnar, "_MOST_REPEATED", 2**30)
    data = io.BytesIO()
    parquet.write_table(
        pa.table({"a": pa.DictionaryArray.from_arrays([0] * 5000, ["x" * 1_000_000])}),
        data,
        store_schema=False,
        compression="zstd",
    )
    assert len(data.getvalue()) < 2_000
    done = bench.convert({"a.parquet": data.getvalue()})
    assert done.member.reason is not None and done.member.reason.code == Code.TOO_LARGE


def test_texts_of_a_parquet_file_that_may_be_repeated_are_read_as_they_are(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["x" * 50, None, "Größe", ""] * 500 + [f"other {number}" for number in range(500)]
    table = pa.table(
        {"a": texts, "b": [text and text.encode() for text in texts], "n": range(2500), "l": [[text] for text in texts]}
    )
    data = io.BytesIO()
    parquet.write_table(table, data, row_group_size=700)
    plain = bench.convert({"a.parquet": data.getvalue()})
    monkeypatch.setattr(parquet_sizes, "GROUP_BYTES", 0)
    apart = bench.convert({"a.parquet": data.getvalue()})
    assert apart.rows == plain.rows == list(zip(*table.to_pydict().values(), strict=True))
    assert apart.types == plain.types


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_dictionaries_are_held_together(bench: Bench, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is small enough, and all of them would take many GB."""
    monkeypatch.setattr(columnar, "_MUCH_UNPACKED", 500_000)
    monkeypatch.setattr(columnar, "_RATIO", 10)
    few = {f"c{number}": pa.array(["x" * 100_000]).dictionary_encode() for number in range(4)}
    many = {f"c{number}": pa.array(["x" * 100_000]).dictionary_encode() for number in range(6)}
    assert bench.convert({"a.arrow": written(pa.table(few), kind)}).part.rows == 1
    reason = bench.convert({"a.arrow": written(pa.table(many), kind)}).member.reason
    assert reason is not None
    assert reason.code == Code.TOO_LARGE


def test_a_dictionary_takes_the_place_of_an_earlier_one() -> None:
    def sizes(is_more: bool) -> list[int]:
        one = arrow_sizes.BatchSize(1, 10, 100, 7, is_more)
        other = arrow_sizes.BatchSize(1, 10, 1000, 8)
        rows = arrow_sizes.BatchSize(5, 20, 50)
        return [batch.unpacked for batch in arrow_sizes.held([one, other, rows, one, rows, one, rows])]

    assert sizes(False) == [100, 1100, 1150, 1100, 1150, 1100, 1150]
    assert sizes(True) == [100, 1100, 1150, 1200, 1250, 1300, 1350]


def test_dictionaries_of_streams_are_told_apart(tmp_path: Path) -> None:
    schema = pa.schema([("d", pa.dictionary(pa.int32(), pa.string()))])
    for deltas in (True, False):
        data = io.BytesIO()
        with ipc.new_stream(data, schema, options=ipc.IpcWriteOptions(emit_dictionary_deltas=deltas)) as writer:
            for words in (["a", "b"], ["a", "b", "c"]):
                array = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(words))
                writer.write_batch(pa.record_batch([array], schema=schema))
        path = tmp_path / "a"
        path.write_bytes(data.getvalue())
        with path.open("rb") as file:
            found = list(arrow_sizes.sizes(Source(file.fileno(), 0, len(data.getvalue()), "a")))
        assert [(batch.rows, batch.dictionary, batch.is_more) for batch in found] == [
            (2, 0, False),
            (2, None, False),
            (1 if deltas else 3, 0, deltas),
            (2, None, False),
        ]


def test_seconds_that_are_too_many_are_called_that(bench: Bench) -> None:
    """The file isn't damaged."""
    data = written(pa.table({"a": pa.array([10**18], pa.timestamp("s"))}), "file")
    reason = bench.convert({"a.arrow": data}).member.reason
    assert reason is not None
    assert reason.code == Code.UNSUPPORTED
