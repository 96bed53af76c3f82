"""Compressed single files: gz, bz2, xz, lzma, zst, lz4, lz. A tar inside is opened at once: `x.tar.gz` is one archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stages.extract import names, reasons
from stages.extract.blobs import Prefixed, ReadAhead, read_up_to
from stages.extract.formats import tar
from stages.extract.formats.codecs import Inflating, codec_of
from stages.extract.protocol import Entry, Opening, Reader, Refused

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
        inflating = ReadAhead(Inflating(Prefixed(first, opening.source), codec, opening.tick))
        try:
            head = read_up_to(inflating, HEAD)
        except BaseException:
            inflating.close()
            raise
        if tar.FORMAT.matches(head):
            return tar.TarReader(opening.count(Prefixed(head, inflating)), counted=True, below=inflating)
        stored, notes = names.decode(_stored_name(first)) if codec.title == "gzip" else ("", ())
        return SingleReader(names.inner(opening.name, stored), inflating, head, notes)


def _stored_name(head: bytes) -> bytes:
    """The file name in a gzip header, empty where there is none."""
    if len(head) < 10 or not head[3] & 8:
        return b""
    at = 10 + (2 + int.from_bytes(head[10:12], "little") if head[3] & 4 else 0)
    name, found, _ = head[at:].partition(b"\0")
    return name if found else b""


FORMAT = Single()
