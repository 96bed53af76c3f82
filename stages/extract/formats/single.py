"""Compressed single files: gz, bz2, xz, lzma, zst, lz4, lz. A tar inside is opened at once: `x.tar.gz` is one archive."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from stages.extract import names, reasons
from stages.extract.blobs import Prefixed, ReadAhead, read_up_to
from stages.extract.formats import tar
from stages.extract.formats.codecs import Inflating, codec_of
from stages.extract.protocol import SMALL, Entry, Opening, Reader, Refused
from stages.extract.tools import Tool

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
        inflating = ReadAhead(tool or Inflating(Prefixed(first, opening.source), codec, opening.tick))
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
    """The bytes that the program xz makes of the archive, with as many threads as it has blocks and we have cores."""

    def __init__(self, tool: Tool, whole: bool) -> None:
        self._tool: Tool | None = tool
        self._whole = whole

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises Refused at the end where xz found damage."""
        if self._tool is None:
            return b""
        if data := self._tool.read(size):
            return data
        tool, self._tool = self._tool, None
        if tool.finish():
            detail = "its xz data breaks off"
            raise Refused(
                reasons.corrupt("its xz data doesn't decompress") if self._whole else reasons.truncated(detail)
            )
        return b""

    def close(self) -> None:
        """Ends xz."""
        if self._tool is not None:
            self._tool.close()


def _xz_in_threads(opening: Opening) -> XzTool | None:
    """xz itself for a large file at hand, since it alone decompresses blocks side by side; None where that can't be."""
    blob = opening.blob
    if blob is None or opening.split or blob.size < SMALL or shutil.which("xz") is None:
        return None
    argv = ("xz", "-dcq", "-T0", f"--memlimit-mt-decompress={XZ_MEMORY}", "--", opening.file())
    whole = blob.pread(2, blob.size - 2) == b"YZ"
    return XzTool(Tool(opening.start_tool, argv, "", opening.tick), whole)


def _stored_name(head: bytes) -> bytes:
    """The file name in a gzip header, empty where there is none."""
    if len(head) < 10 or not head[3] & 8:
        return b""
    at = 10 + (2 + int.from_bytes(head[10:12], "little") if head[3] & 4 else 0)
    name, found, _ = head[at:].partition(b"\0")
    return name if found else b""


FORMAT = Single()
