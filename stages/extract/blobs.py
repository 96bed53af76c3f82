"""Bytes in order and in any order: what formats read from."""

from __future__ import annotations

import errno
import os
import queue
import threading
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from stages.extract import reasons
from stages.extract.protocol import CHUNK, Blob, Refused, Source


@dataclass(frozen=True, slots=True)
class FileBlob:
    """A file on disk by its descriptor, which someone else closes."""

    fd: int
    size: int

    def pread(self, size: int, offset: int, /) -> bytes:
        """SIZE bytes at OFFSET. EIO escapes as it is; any other error is the file's own fault."""
        try:
            data = os.pread(self.fd, size, offset)
            if len(data) < size and offset + len(data) < self.size:
                data = self._rest(data, size, offset)
        except OSError as error:
            if error.errno == errno.EIO:
                raise
            raise Refused(reasons.unreadable(error.strerror or str(error))) from error
        return data

    def _rest(self, data: bytes, size: int, offset: int) -> bytes:
        while len(data) < size and (more := os.pread(self.fd, size - len(data), offset + len(data))):
            data += more
        return data


@dataclass(frozen=True, slots=True)
class MemoryBlob:
    """Bytes at hand."""

    data: bytes

    @property
    def size(self) -> int:
        """Its length."""
        return len(self.data)

    def pread(self, size: int, offset: int, /) -> bytes:
        """SIZE bytes at OFFSET."""
        return self.data[offset : offset + size]


@dataclass(frozen=True, slots=True)
class JoinedBlob:
    """PARTS one after the other: a file that was cut in pieces."""

    parts: tuple[FileBlob, ...]

    @property
    def size(self) -> int:
        """Its length."""
        return sum(part.size for part in self.parts)

    def pread(self, size: int, offset: int, /) -> bytes:
        """SIZE bytes at OFFSET."""
        data = b""
        for part in self.parts:
            if offset < part.size and len(data) < size:
                data += part.pread(min(size - len(data), part.size - offset), offset)
                offset = part.size
            offset -= part.size
        return data


class NearBy:
    """BLOB for those who read small pieces that lie one behind the other: what follows a piece is read along with it.
    Each thread has a window of its own."""

    WINDOW = 1 << 18
    NEAR = 1 << 16  # from the end of a piece to the begin of the next

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._mine = threading.local()

    @property
    def size(self) -> int:
        """Its length."""
        return self._blob.size

    def pread(self, size: int, offset: int, /) -> bytes:
        """SIZE bytes at OFFSET."""
        window: tuple[int, bytes, int] = getattr(self._mine, "window", (0, b"", 0))
        begin, data, last = window
        at = offset - begin
        if at >= 0 and at + size <= len(data):
            self._mine.window = begin, data, offset + size
            return data[at : at + size]
        if size >= self.WINDOW or not 0 <= offset - last <= self.NEAR:
            self._mine.window = begin, data, offset + size
            return self._blob.pread(size, offset)
        data = self._blob.pread(self.WINDOW, offset)
        self._mine.window = offset, data, offset + size
        return data[:size]


class BlobSource:
    """LENGTH bytes of BLOB from OFFSET on, in order; ends early where the blob does."""

    __slots__ = ("_blob", "_end", "_offset")

    def __init__(self, blob: Blob, offset: int = 0, length: int | None = None) -> None:
        self._blob = blob
        self._offset = offset
        self._end = blob.size if length is None else min(blob.size, offset + length)

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        data = self._blob.pread(min(size, self._end - self._offset), self._offset) if self._offset < self._end else b""
        self._offset += len(data)
        return data

    def skip(self, size: int) -> int:
        """Passes over SIZE bytes, or to the end; how many there were."""
        size = min(size, self._end - self._offset)
        self._offset += size
        return size

    def region(self, offset: int, length: int) -> BlobSource:
        """Another source over LENGTH bytes of the blob at OFFSET."""
        return BlobSource(self._blob, offset, length)


class Prefixed:
    """HEAD, which was read to see what this is, then the rest of SOURCE."""

    __slots__ = ("_head", "_source")

    def __init__(self, head: bytes, source: Source) -> None:
        self._head = head
        self._source = source

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        if not self._head:
            return self._source.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data


def read_up_to(source: Source, size: int) -> bytes:
    """SIZE bytes of SOURCE, fewer only at its end."""
    data = source.read(size)
    if len(data) == size or not data:
        return data
    parts, have = [data], len(data)
    while have < size and (data := source.read(size - have)):
        parts.append(data)
        have += len(data)
    return b"".join(parts)


@runtime_checkable
class Closable(Protocol):
    """Something that holds what must be let go."""

    def close(self) -> None:
        """Lets go."""
        ...


class ReadAhead:
    """SOURCE read by a thread of its own, so that inflating overlaps with what is done with the bytes.

    The thread starts only when the source has given its first CHUNK: most are shorter. It never does unless THREADED.
    """

    DEPTH = 3  # chunks that may wait

    def __init__(self, source: Source, threaded: bool = True) -> None:
        self._source = source
        self._threaded = threaded
        self._left = b""
        self._given = 0
        self._queue: queue.Queue[bytes | BaseException] = queue.Queue(self.DEPTH)
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._end: bytes | BaseException | None = None

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        if not self._left:
            self._left = self._next()
        if len(self._left) <= size:
            data, self._left = self._left, b""
            return data
        data, self._left = self._left[:size], self._left[size:]
        return data

    def _next(self) -> bytes:
        if self._thread is None:
            if self._given < CHUNK or not self._threaded:
                data = self._source.read(CHUNK)
                self._given += len(data)
                return data
            self._thread = threading.Thread(target=self._pump, daemon=True)
            self._thread.start()
        if self._end is None:
            item = self._queue.get()
            if isinstance(item, bytes) and item:
                return item
            self._end = item
        if isinstance(self._end, BaseException):
            raise self._end
        return b""

    def _pump(self) -> None:
        while not self._stop.is_set():
            item: bytes | BaseException
            try:
                item = self._source.read(CHUNK)
            except BaseException as error:  # noqa: BLE001 - handed to the reading thread, which raises it
                item = error
            self._queue.put(item)
            if not item or isinstance(item, BaseException):
                return

    def close(self) -> None:
        """Ends the thread and waits for it; then closes the source, where that can be done."""
        self._stop.set()
        while self._thread is not None and self._thread.is_alive():
            try:
                self._queue.get(timeout=0.01)
            except queue.Empty:
                self._thread.join(0.01)
        if isinstance(self._source, Closable):
            self._source.close()
