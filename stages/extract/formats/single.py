"""Compressed single files: gz, bz2, xz, lzma, zst, lz4, lz. A tar inside is opened at once: `x.tar.gz` is one archive."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from stages.extract import names, reasons
from stages.extract.blobs import BlobSource, Prefixed, ReadAhead, read_up_to
from stages.extract.formats import tar
from stages.extract.formats.codecs import XZ, Inflating, codec_of
from stages.extract.protocol import CHUNK, SMALL, Blob, Entry, Opening, Reader, Refused, Source

XZ_MEMORY = 160 << 20  # past this xz falls back to one thread
HEAD = 36 << 10  # what is inflated to see whether a tar is inside


@dataclass(slots=True)
class SingleReader:
    """A compressed file with one file inside."""

    name: str
    source: ReadAhead
    head: bytes
    notes: tuple[str, ...] = ()
    random: bool = False
    counted: bool = False

    def entries(self, start: int) -> Iterator[Entry]:
        """The one entry."""
        if start == 0:
            yield Entry(0, self.name, lambda: Prefixed(self.head, self.source), notes=self.notes)

    def close(self) -> None:
        """Ends the thread that reads ahead."""
        self.source.close()


@dataclass(frozen=True, slots=True)
class Single:
    """The family."""

    title: str = "compressed file"
    seeks: bool = False

    def matches(self, head: bytes) -> bool:
        """By the first bytes."""
        return codec_of(head) is not None

    def open(self, opening: Opening) -> Reader:
        """A reader of the one file inside, or of the tar inside."""
        first = read_up_to(opening.source, 512)
        codec = codec_of(first)
        if codec is None:
            raise Refused(reasons.corrupt("it no longer starts as it did"))
        tool = _xz_in_threads(opening) if codec.title == "xz" else None
        inflating = ReadAhead(tool or Inflating(Prefixed(first, opening.source), codec, opening.tick), opening.threads)
        try:
            head = read_up_to(inflating, HEAD)
        except BaseException:
            inflating.close()
            raise
        if tar.FORMAT.matches(head):
            return tar.TarReader(opening.count(Prefixed(head, inflating)), counted=True, below=inflating)
        stored, notes = names.decode(_stored_name(first)) if codec.title == "gzip" else ("", ())
        return SingleReader(names.inner(opening.name, stored), inflating, head, notes)


class XzTool:
    """The bytes that the program xz makes of the archive, which has as many threads as there are blocks and cores.

    When another program must run it is set aside: then we go on alone, from the beginning and past what it gave.
    """

    def __init__(self, opening: Opening, blob: Blob) -> None:
        self._blob = blob
        self._tick = opening.tick
        self._given = 0
        self._own: Source | None = None
        self._lock = threading.Lock()  # a thread reads ahead while another sets it aside
        argv = ("xz", "-dcq", "-T0", f"--memlimit-mt-decompress={XZ_MEMORY}", "--", opening.file())
        self._tool = opening.tools.start(argv, "", self.set_aside)

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises Refused where they are damaged."""
        with self._lock:
            data = self._own.read(size) if self._own is not None else b"" if self._tool.over else self._tool.read(size)
            self._given += len(data)
            if data or self._own is not None or self._tool.over:
                return data
            if self._tool.finish():
                whole = self._blob.pread(2, self._blob.size - 2) == b"YZ"
                broken = reasons.truncated("its xz data breaks off")
                raise Refused(reasons.corrupt("its xz data doesn't decompress") if whole else broken)
            return b""

    def set_aside(self) -> None:
        """Ends xz and goes on without it."""
        with self._lock:
            self._tool.close()
            self._own = Inflating(BlobSource(self._blob), XZ, self._tick)
            left = self._given
            while left and (data := self._own.read(min(left, CHUNK))):
                left -= len(data)

    def close(self) -> None:
        """Ends xz."""
        with self._lock:
            self._tool.close()


def _xz_in_threads(opening: Opening) -> XzTool | None:
    """xz itself for a large file at hand, since it alone decompresses blocks side by side; None where that can't be."""
    blob = opening.blob
    if blob is None or opening.split or blob.size < SMALL or shutil.which("xz") is None:
        return None
    return XzTool(opening, blob)


def _stored_name(head: bytes) -> bytes:
    """The file name in a gzip header, empty where there is none."""
    if len(head) < 10 or not head[3] & 8:
        return b""
    at = 10 + (2 + int.from_bytes(head[10:12], "little") if head[3] & 4 else 0)
    name, found, _ = head[at:].partition(b"\0")
    return name if found else b""


FORMAT = Single()
