"""What a family of formats is: it says whether a file is its own, and makes tables of it with an exact account."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from pipeline.config import Convert
from pipeline.model import Reason
from stages.convert.drawer import Drawer
from stages.convert.sheet import Sheet
from stages.convert.source import Source
from stages.handover import TablePart


class Refused(Exception):
    """A file can't be taken, for a REASON that its uploader is told."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Head(msgspec.Struct, frozen=True):
    """What a file shows at first: its name's ending (`.csv`, lower case), its first bytes, its size in bytes."""

    suffix: str
    data: bytes
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether `data` is all of the file."""
        return len(self.data) == self.size


class Bench:
    """Where one file becomes tables: what reading it needs, and what came of it."""

    def __init__(
        self, drawer: Drawer, source: str, limits: Convert, progress: Callable[[int], None], *, is_text_only: bool
    ) -> None:
        self._drawer = drawer
        self._source = source
        self._sheets: list[Sheet] = []
        self.limits = limits
        self.progress = progress  # takes how many of the file's bytes are done
        self.is_text_only = is_text_only  # every column as it was written
        self.notes: list[str] = []  # what people should know of how it was read

    def sheet(self, title: str = "", source: str = "") -> Sheet:
        """A new table; TITLE tells the tables of one file apart. It counts once it's finished."""
        self._sheets.append(Sheet(self._drawer, source or self._source, title, self.limits.max_rows))
        return self._sheets[-1]

    def scratch(self) -> AbstractContextManager[Path]:
        """A path in work/ for a file that is gone when the context ends."""
        return self._drawer.scratch()

    @property
    def tables(self) -> list[TablePart]:
        """The finished tables, in the order in which they were begun."""
        return [sheet.part for sheet in self._sheets if sheet.part is not None]

    def clear(self) -> None:
        """Throws all tables away, the unfinished ones too."""
        for sheet in self._sheets:
            sheet.discard()
        self._sheets.clear()


class Family(Protocol):
    """One family of formats."""

    name: str

    def sniff(self, head: Head) -> float:
        """How sure it is that a file with this HEAD is its own, 0 to 1. The surest family reads the file."""
        ...

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes the tables of SOURCE on BENCH, each with its account: `Sheet.finish` takes the number of records read,
        counted apart from the engine, and raises AccountWrong unless it's rows + rejects. Without a table, the file
        is kept as it is. Raises Refused where it can't be taken."""
        ...
