"""Takes one entry's bytes: small ones into memory, large ones into a file, with their hash; archives are noticed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.model import Reason
from stages.extract import reasons
from stages.extract.batch import Files, write_all
from stages.extract.blobs import FileBlob, MemoryBlob, read_up_to
from stages.extract.detect import HEAD, PROGRAMS, detect_behind, format_of
from stages.extract.protocol import CHUNK, SMALL, Entry, Format, Refused, Source


@dataclass(slots=True)
class Taken:
    """An entry's bytes: `data`, or the file `file`, or (for an archive that is best read as a stream) neither but its
    `head` and the `source` of the rest. `produced` counts bytes for the budget."""

    size: int = 0
    sha256: str = ""
    data: bytes | None = None
    file: str = ""
    format: Format | None = None
    head: bytes = b""
    source: Source | None = None
    reason: Reason | None = None
    produced: int = 0


class Taker:
    """Takes entries, from whichever thread; `hashers` compute hashes beside it."""

    def __init__(self, files: Files, max_bytes: int, hashers: ThreadPoolExecutor) -> None:
        self.files = files
        self._max_bytes = max_bytes
        self._hashers = hashers

    def take(self, entry: Entry, seq: int, spend: Callable[[int], None], keep_source: bool) -> Taken:
        """ENTRY's bytes, each of them told to SPEND; large ones in a file named for batch SEQ. With KEEP_SOURCE an
        archive's stream is left open where it stands."""
        taken = Taken()

        def count(size: int) -> None:
            taken.produced += size
            spend(size)

        try:
            assert entry.open is not None
            self._take(taken, entry.open(), seq, count, keep_source)
        except Refused as refused:
            taken.reason = refused.reason
        return taken

    def _take(self, taken: Taken, source: Source, seq: int, count: Callable[[int], None], keep_source: bool) -> None:
        first = read_up_to(source, SMALL)
        if len(first) > self._max_bytes:
            raise Refused(reasons.member_bytes(len(first), self._max_bytes))
        taken.format = format_of(first[:HEAD])
        if len(first) < SMALL:
            count(len(first))
            taken.data, taken.size, taken.sha256 = first, len(first), hashlib.sha256(first).hexdigest()
            if taken.format is None and first.startswith(PROGRAMS):
                taken.format = detect_behind(MemoryBlob(first))
        elif taken.format is not None and not taken.format.seeks:
            taken.head, taken.source = (first, source) if keep_source else (b"", None)
        else:
            count(len(first))
            self._to_file(taken, first, source, seq, count)
            if taken.format is None and first.startswith(PROGRAMS):
                with open(self.files.work / taken.file, "rb") as file:
                    taken.format = detect_behind(FileBlob(file.fileno(), taken.size))

    def _to_file(self, taken: Taken, first: bytes, source: Source, seq: int, count: Callable[[int], None]) -> None:
        name, fd = self.files.create(seq)
        try:
            digest, taken.size = hashlib.sha256(), 0
            hashed: Future[None] | None = None
            data = first
            while data:
                taken.size += len(data)
                if taken.size > self._max_bytes:
                    raise Refused(reasons.member_bytes(taken.size, self._max_bytes))
                if hashed is not None:
                    hashed.result()
                hashed = self._hashers.submit(digest.update, data)
                write_all(fd, data)
                if data := source.read(CHUNK):
                    count(len(data))
            if hashed is not None:
                hashed.result()
        except BaseException:
            self.files.remove(name)
            raise
        finally:
            os.close(fd)
        taken.file, taken.sha256 = name, digest.hexdigest()
