"""A table as it's being written: one Parquet file, its rejects beside it, and the account of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from pipeline.model import Column
from stages.convert.account import RejectedRecord, check
from stages.convert.drawer import Drawer
from stages.convert.parquet_file import ParquetFile
from stages.handover import TablePart


class TooManyRows(Exception):
    """A table has more rows than it may."""


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

    def name(self, source: str, title: str) -> None:
        """Says what it's a table of, where that's known late."""
        self._source, self._title = source, title

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
