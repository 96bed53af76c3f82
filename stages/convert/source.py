"""A member's bytes, wherever they lie. Files are opened once a batch, since many members share a pack file."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

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

    @property
    def is_whole_file(self) -> bool:
        """Whether it's all of the file it lies in."""
        return self.offset == 0 and os.fstat(self.descriptor).st_size == self.length

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


class RawFile(io.RawIOBase):
    """A source as a file that libraries can read and seek in."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position of the next byte read."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to OFFSET from where WHENCE says."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Up to SIZE bytes, or all that's left."""
        left = max(0, self._source.length - self._at)
        data = self._source.read(self._at, left if size is None or size < 0 else min(size, left))
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Fills BUFFER as far as there are bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)


def native_file(source: Source) -> Any:
    """SOURCE as a file of Arrow's own. Its threads may still be reading ahead when an error has ended what they read for,
    and one that waits for Python when the process ends takes it down: so none is to call Python."""
    import pyarrow as pa

    if source.is_whole_file:
        return pa.OSFile(f"/proc/self/fd/{source.descriptor}")
    return pa.BufferReader(source.read(0, source.length))  # it lies in a pack, and so is small
