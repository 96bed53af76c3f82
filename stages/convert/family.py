"""What a family of formats is: it says whether a file is its own, and makes tables of it with an exact account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from pipeline.config import Convert
from pipeline.model import Reason
from stages.convert.drawer import Drawer
from stages.convert.source import Source
from stages.handover import TablePart


class Head(msgspec.Struct, frozen=True):
    """What a file shows at first: its name's ending (`.csv`, lower case), its first bytes, its size in bytes."""

    suffix: str
    data: bytes
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether `data` is all of the file."""
        return len(self.data) == self.size


class Context(msgspec.Struct, frozen=True):
    """What reading a member needs. `is_text_only` asks for every column as it was written; `progress` takes the
    bytes of the member that are done."""

    drawer: Drawer
    limits: Convert
    is_text_only: bool
    progress: Callable[[int], None]


class Reading(msgspec.Struct, frozen=True):
    """What a file gave: its tables, or why it's rejected, or neither, where it's no table and is kept."""

    tables: tuple[TablePart, ...] = ()
    reason: Reason | None = None
    notes: tuple[str, ...] = ()


class Family(Protocol):
    """One family of formats."""

    name: str

    def sniff(self, head: Head) -> float:
        """How sure it is that a file with this HEAD is its own, 0 to 1. The surest family reads the file."""
        ...

    def read(self, source: Source, head: Head, context: Context) -> Reading:
        """The tables of SOURCE. Each has been accounted for: read = rows + rejected, or AccountWrong is raised."""
        ...
