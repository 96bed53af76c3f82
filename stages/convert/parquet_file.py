"""One Parquet file in the making: frames go in one by one, and no more is held than a row group of them.

The first frame waits; a file that has only one is written at once, a longer one streams through a thread, so that
encoding goes on while the next block is read.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from stages.convert.ahead import Line

LEVEL = 1  # of zstd: twice as fast as 3 for 4 % more bytes
ROW_GROUP = 256 * 1024  # rows at most: half the memory of 512, for 2 % more bytes
GROUP_BYTES = 64 * 1024 * 1024  # of values in a row group; the engine holds them, and again while it encodes them
_NARROWER = 8  # times as many rows that a row group could have, for another file to be begun
_WAITING = 1  # frames between reading and writing
_VIEW, _FIXED = 16, 8  # bytes of a text beside its characters, and of another value


class WriteFailed(OSError):
    """The disk refused a Parquet file."""


def as_os_error(error: Exception) -> OSError:
    """The engine's words for a failed write as the OSError that it was."""
    text = str(error)
    for number, words in ((errno.ENOSPC, "No space left"), (errno.EFBIG, "File too large"), (errno.EDQUOT, "quota")):
        if words in text:
            return WriteFailed(number, text)
    return WriteFailed(errno.EIO, text)


class ParquetFile:
    """One Parquet file at PATH, written frame by frame with one schema.

    A row group has as many rows as the first frame's width allows. Where later rows are far wider or narrower, the file is
    ended and another begun, and all of them are put together at the end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: pl.DataFrame | None = None
        self._stream: _Stream | None = None
        self._group = 0  # rows of a row group
        self._waiting_rows = self._waiting_bytes = 0  # of the row group that's not full yet
        self._parts: list[Path] = []
        self.rows = 0

    def write(self, frame: pl.DataFrame) -> None:
        """Adds FRAME's rows; OSError where the disk refuses."""
        self.rows += frame.height
        if self._stream is None and self._first is None:
            self._first = frame
            return
        if self._first is not None:
            self._put(self._first)
            self._first = None
        self._put(frame)

    def _put(self, frame: pl.DataFrame) -> None:
        size = bytes_in(frame)
        rows = _rows_of_a_group(frame.height, size)
        is_too_wide = self._waiting_rows and self._waiting_bytes + size > 2 * GROUP_BYTES
        if self._stream is not None and (is_too_wide or rows >= _NARROWER * self._group):
            self._end_part(self._stream)
        if self._stream is None:
            self._group = rows
            self._waiting_rows = self._waiting_bytes = 0
            self._stream = _Stream(self._path, frame.schema, self._group)
        self._stream.put(frame)
        self._waiting_rows += frame.height
        self._waiting_bytes += size
        if self._waiting_rows >= self._group:
            self._waiting_rows %= self._group
            self._waiting_bytes = size * self._waiting_rows // max(1, frame.height)

    def _end_part(self, stream: _Stream) -> None:
        self._stream = None
        stream.close()
        self._parts.append(self._path.with_name(f"{self._path.name}.part{len(self._parts)}"))
        self._path.rename(self._parts[-1])

    def close(self) -> None:
        """Finishes the file."""
        try:
            if self._stream is not None and self._parts:
                self._end_part(self._stream)
                self._join()
            elif self._stream is not None:
                self._stream.close()
            elif self._first is not None:
                rows = _rows_of_a_group(self.rows, bytes_in(self._first))
                self._first.write_parquet(self._path, compression_level=LEVEL, row_group_size=rows)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise error if isinstance(error, OSError) and error.errno else as_os_error(error) from error

    def _join(self) -> None:
        """Puts the parts together, row group by row group."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._parts[0]) as first:
            schema = first.schema_arrow
        with pq.ParquetWriter(self._path, schema, compression="zstd", compression_level=LEVEL) as writer:
            for path in self._parts:
                with pq.ParquetFile(path) as part:
                    for index in range(part.num_row_groups):
                        group = part.read_row_group(index)
                        writer.write_table(group, row_group_size=max(1, group.num_rows))
                path.unlink()

    def discard(self) -> None:
        """Ends without a file."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()
        for path in (self._path, *self._parts):
            path.unlink(missing_ok=True)


def _rows_of_a_group(rows: int, size: int) -> int:
    """How many rows a row group may have, where ROWS of them have SIZE bytes."""
    return max(1, min(ROW_GROUP, rows * GROUP_BYTES // max(1, size)))


def bytes_in(frame: pl.DataFrame) -> int:
    """About how many bytes the values of FRAME take. (The engine's own estimate counts a block that texts of several
    columns lie in once for each.)"""
    return sum(map(_bytes_in, frame.get_columns()))


def _bytes_in(column: pl.Series) -> int:
    if column.dtype == pl.String:
        return _VIEW * len(column) + int(column.str.len_bytes().sum())
    if column.dtype == pl.Binary:
        return _VIEW * len(column) + int(column.bin.size().sum())
    if column.dtype.is_nested() or column.dtype == pl.Object:
        return int(column.estimated_size())
    return _FIXED * len(column)


class _Stream:
    """A thread in which the engine pulls frames and writes them, ROWS to a row group."""

    def __init__(self, path: Path, schema: Any, rows: int) -> None:
        self._line: Line[pl.DataFrame] = Line(_WAITING)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(path, schema, rows), name="parquet", daemon=True)
        self._thread.start()

    def _run(self, path: Path, schema: Any, rows: int) -> None:
        try:
            frames = register_io_source(lambda *_: self._pull(), schema=schema)
            frames.sink_parquet(path, compression_level=LEVEL, row_group_size=rows)
        except Exception as error:  # noqa: BLE001 - it's raised again where the frames come from
            self._error = error
            while self._line.take() is not None:  # so that nobody waits for room
                pass

    def _pull(self) -> Iterator[pl.DataFrame]:
        while (frame := self._line.take()) is not None:
            yield frame

    def put(self, frame: pl.DataFrame) -> None:
        """Hands FRAME over; raises what went wrong with one before."""
        self._check()
        self._line.put(frame)

    def _check(self) -> None:
        if self._error is not None:
            raise as_os_error(self._error) from self._error

    def close(self) -> None:
        """Waits until everything is written."""
        self._line.close()
        self._thread.join()
        self._check()
