"""Files that an archive needs while it is open, and the Opening that a format gets."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import IO

from pipeline.model import Desk, Options, ToolProcess
from stages.extract.batch import Files, write_all
from stages.extract.blobs import BlobSource, JoinedBlob
from stages.extract.budget import Budget, Counted
from stages.extract.protocol import CHUNK, Blob, Opening, Source
from stages.extract.tools import Tools


class Scratch:
    """Makes files in work/ for one open archive; `close` removes them."""

    def __init__(self, files: Files, seq: int) -> None:
        self._files = files
        self._seq = seq
        self._names: list[str] = []

    def file(self) -> str:
        """The path of a new, empty file."""
        name, fd = self._files.create(self._seq, "t")
        os.close(fd)
        self._names.append(name)
        return str(self._files.work / name)

    def copy(self, blob: Blob) -> str:
        """The path of a new file with the bytes of BLOB."""
        path = self.file()
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            source = BlobSource(blob)
            while data := source.read(CHUNK):
                write_all(fd, data)
        finally:
            os.close(fd)
        return path

    def close(self) -> None:
        """Removes them all."""
        for name in self._names:
            self._files.remove(name)
        self._names.clear()


class Opener:
    """Makes what formats get to open archives with, all for one job."""

    def __init__(self, desk: Desk, options: Options, budget: Budget, spend: Callable[[int], None]) -> None:
        self._desk = desk
        self._options = options
        self._budget = budget
        self._spend = spend
        self._tools = Tools(self._start_tool, self._tick)

    def blob(self, name: str, blob: Blob, path: str | None, scratch: Scratch) -> Opening:
        """For an archive at hand, as the file PATH or in memory."""
        return self._opening(name, BlobSource(blob), blob, scratch, lambda: path or scratch.copy(blob), True)

    def stream(self, name: str, source: Source, scratch: Scratch, threads: bool) -> Opening:
        """For an archive that comes as a stream, which THREADS tells whether another thread may read."""
        return self._opening(name, source, None, scratch, _no_file, threads)

    def _opening(
        self, name: str, source: Source, blob: Blob | None, scratch: Scratch, file: Callable[[], str], threads: bool
    ) -> Opening:
        return Opening(
            name=name,
            source=source,
            blob=blob,
            options=self._options,
            count=lambda inner: Counted(inner, self._spend),
            tools=self._tools,
            file=file,
            threads=threads,
            split=isinstance(blob, JoinedBlob),
            scratch=scratch.file,
            tick=self._tick,
            read_more=self._budget.read_more,
        )

    def _start_tool(self, argv: Sequence[str], *, stdin: int | IO[bytes] | None = None) -> ToolProcess:
        process = self._desk.start_tool(argv, stdin=stdin)
        self._budget.tools.add(process.pid)
        return process

    def _tick(self) -> None:
        self._budget.check_time()
        self._spend(0)


def _no_file() -> str:
    raise AssertionError("a format that needs a file must say that it seeks")
