"""A member's bytes, wherever they lie. Files are opened once a batch, since many members share a pack file."""

from __future__ import annotations

import os
from pathlib import Path

from stages.handover import Place


class Files:
    """The open files of one batch; `close` them all at its end."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._open: dict[str, int] = {}

    def descriptor(self, name: str) -> int:
        """A descriptor of NAME (relative to work/, or absolute); OSError where it can't be opened."""
        if name not in self._open:
            self._open[name] = os.open(self._work / name, os.O_RDONLY | os.O_CLOEXEC)
        return self._open[name]

    def close(self) -> None:
        """Closes every file."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


class Source:
    """LENGTH bytes at OFFSET of an open file; positions count from the member's own first byte."""

    def __init__(self, descriptor: int, offset: int, length: int, path: str) -> None:
        self.descriptor = descriptor
        self.offset = offset
        self.length = length
        self.path = path

    def read(self, at: int, size: int) -> bytes:
        """Up to SIZE bytes at AT; fewer only at the member's end, or where the file was cut short meanwhile."""
        size = min(size, self.length - at)
        if size <= 0:
            return b""
        data = os.pread(self.descriptor, size, self.offset + at)
        if len(data) == size or not data:
            return data
        return data + self.read(at + len(data), size - len(data))


def open_source(files: Files, place: Place, path: str) -> Source:
    """The bytes at PLACE; PATH is the member's readable name."""
    return Source(files.descriptor(place.file), place.offset, place.length, path)
