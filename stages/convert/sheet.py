"""A table as it's being written: one Parquet file, its rejects beside it, and the account of both.

The first frame waits; a table that has only one is written at once, a longer one streams through a thread, so that
encoding goes on while the next block is read.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from pipeline.model import Column
from stages.convert.account import RejectedRecord, check
from stages.convert.ahead import Line
from stages.convert.drawer import Drawer
from stages.handover import TablePart

LEVEL = 1  # of zstd: twice as fast as 3 for 4 % more bytes
ROW_GROUP = 256 * 1024  # half the memory of 512, for 2 % more bytes
_WAITING = 1  # frames between reading and writing


class TooManyRows(Exception):
    """A table has more rows than it may."""


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
    """One Parquet file at PATH, written frame by frame with one schema."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: pl.DataFrame | None = None
        self._stream: _Stream | None = None
        self.rows = 0

    def write(self, frame: pl.DataFrame) -> None:
        """Adds FRAME's rows; OSError where the disk refuses."""
        self.rows += frame.height
        if self._stream is not None:
            self._stream.put(frame)
        elif self._first is None:
            self._first = frame
        else:
            self._stream = _Stream(self._path, self._first.schema)
            self._stream.put(self._first)
            self._stream.put(frame)
            self._first = None

    def close(self) -> None:
        """Finishes the file."""
        if self._stream is not None:
            self._stream.close()
        elif self._first is not None:
            try:
                self._first.write_parquet(self._path, compression_level=LEVEL, row_group_size=ROW_GROUP)
            except (OSError, pl.exceptions.PolarsError) as error:
                raise error if isinstance(error, OSError) and error.errno else as_os_error(error) from error

    def discard(self) -> None:
        """Ends without a file."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()
        self._path.unlink(missing_ok=True)


class _Stream:
    """A thread in which the engine pulls frames and writes them."""

    def __init__(self, path: Path, schema: Any) -> None:
        self._line: Line[pl.DataFrame] = Line(_WAITING)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(path, schema), name="parquet", daemon=True)
        self._thread.start()

    def _run(self, path: Path, schema: Any) -> None:
        try:
            frames = register_io_source(lambda *_: self._pull(), schema=schema)
            frames.sink_parquet(path, compression_level=LEVEL, row_group_size=ROW_GROUP)
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


class Sheet:
    """One table in the making: rows, rejects, and what was decided about its source."""

    def __init__(self, drawer: Drawer, source: str, title: str = "", most_rows: int = 0) -> None:
        self._drawer = drawer
        self._most_rows = most_rows
        self._source = source
        self._title = title
        self._name = drawer.new()
        self._file = ParquetFile(drawer.work / self._name)
        self._rejects_name = ""
        self._rejects: list[bytes] = []
        self.rejected = 0
        self.repaired = 0
        self.facts: dict[str, Any] = {}
        self.part: TablePart | None = None  # once it's finished

    def write(self, frame: pl.DataFrame) -> None:
        """Adds rows; every frame has the same schema. Raises TooManyRows."""
        if self._most_rows and self._file.rows + frame.height > self._most_rows:
            raise TooManyRows
        self._file.write(frame)

    @property
    def rows(self) -> int:
        """How many rows it has so far."""
        return self._file.rows

    def reject(self, record: RejectedRecord) -> None:
        """Keeps a record that can't be a row."""
        self.rejected += 1
        self._rejects.append(record.as_json())
        if len(self._rejects) >= 10_000:
            self._flush_rejects()

    def _flush_rejects(self) -> None:
        if not self._rejects:
            return
        self._rejects_name = self._rejects_name or self._drawer.new(".rejects.ndjson")
        with (self._drawer.work / self._rejects_name).open("ab") as file:
            file.writelines(self._rejects)
        self._rejects.clear()

    def restart(self) -> None:
        """Throws the rows and rejects away, for another scan of the same source."""
        self._file.discard()
        self._file = ParquetFile(self._drawer.work / self._name)
        self._rejects.clear()
        if self._rejects_name:
            (self._drawer.work / self._rejects_name).unlink()
            self._rejects_name = ""
        self.rejected = self.repaired = 0

    def discard(self) -> None:
        """Ends without a table."""
        self.restart()

    def finish(self, read: int, columns: Sequence[Column]) -> TablePart:
        """Closes the files and proves the account: AccountWrong unless READ is rows and rejects together."""
        check(self._source, read, self._file.rows, self.rejected)
        self._file.close()
        self._flush_rejects()
        self.part = TablePart(
            source=self._source,
            title=self._title,
            file=self._name,
            rows=self._file.rows,
            read=read,
            rejected=self.rejected,
            repaired=self.repaired,
            rejects_file=self._rejects_name,
            columns=tuple(columns),
            facts=self.facts,
        )
        return self.part
