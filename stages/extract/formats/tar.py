"""tar: v7, ustar, GNU and pax, sparse files included. Read as a stream, or in any order where the archive is a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from stages.extract import names, reasons
from stages.extract.blobs import BlobSource, ReadAhead
from stages.extract.formats.tar_header import BLOCK, Header, Pax, parse_header, parse_pax, plausible
from stages.extract.formats.tar_sparse import SparseSource, old_map
from stages.extract.protocol import CHUNK, Entry, Kind, Opening, Reader, Refused, Source

MAX_EXTENDED = 1 << 20  # a long name or a set of pax records larger than this is damage, or worse
PEEK = 1 << 15  # read at a time where members are fetched on their own
SPECIALS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a character device", b"4": "a block device", b"6": "a pipe",
}  # fmt: skip
NO_DATA = frozenset((*SPECIALS, b"5"))
EXTENDED = frozenset((b"L", b"K", b"x", b"X", b"g"))
SKIPPED = frozenset((b"V", b"N", b"A", b"E", b"I", b"D"))  # labels, old long names, ACLs, inodes, directory dumps
_GAP = "(damaged part)"


class Cursor:
    """SOURCE with a buffer and a position."""

    def __init__(self, source: Source, chunk: int = CHUNK) -> None:
        self._source = source
        self._chunk = chunk
        self._data = b""
        self._at = 0
        self.offset = 0

    def some(self, size: int) -> bytes:
        """Between 1 and SIZE bytes, none at the end."""
        if self._at >= len(self._data):
            self._data, self._at = self._source.read(max(self._chunk, min(size, CHUNK))), 0
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        self.offset += len(data)
        return data

    def take(self, size: int) -> bytes:
        """SIZE bytes, fewer only at the end."""
        data = self.some(size)
        while len(data) < size and (more := self.some(size - len(data))):
            data += more
        return data

    def skip(self, size: int) -> None:
        """Passes over SIZE bytes, or to the end."""
        here = min(size, len(self._data) - self._at)
        self._at += here
        self.offset += here
        size -= here
        if isinstance(self._source, BlobSource):
            self.offset += self._source.skip(size)
            return
        while size and (data := self.some(min(size, CHUNK))):
            size -= len(data)


class Body:
    """The SIZE bytes of a member, taken from READ."""

    def __init__(self, read: Callable[[int], bytes], size: int) -> None:
        self._read = read
        self._left = size

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises Refused where the archive ends early."""
        if not self._left:
            return b""
        data = self._read(min(size, self._left))
        if not data:
            raise Refused(reasons.truncated("the archive breaks off within this file"))
        self._left -= len(data)
        return data


@dataclass(slots=True)
class TarReader:
    """An open tar. `below` is the thread that inflates it, `blob_source` the archive where it can be read in any order."""

    source: Source
    counted: bool = False
    below: ReadAhead | None = None
    blob_source: BlobSource | None = None
    _pax_global: Pax = field(default_factory=Pax)

    @property
    def random(self) -> bool:
        """Whether members can be fetched in any order."""
        return self.blob_source is not None

    def close(self) -> None:
        """Ends the thread below."""
        if self.below is not None:
            self.below.close()

    def entries(self, start: int) -> Iterator[Entry]:
        """The entries from START on. Raises Refused where the archive ends early."""
        cursor = Cursor(self.source, PEEK if self.random else CHUNK)
        for index, (header, pax) in enumerate(self._headers(cursor)):
            if header is None:
                if index >= start:
                    yield Entry(index, _GAP, reason=reasons.corrupt("a header in it doesn't add up"))
                continue
            size = header.size if pax.size is None else pax.size
            end = cursor.offset + (0 if header.type in NO_DATA else size)
            if index >= start:
                yield self._entry(index, header, pax, cursor, size)
            _pass(cursor, end)

    def _headers(self, cursor: Cursor) -> Iterator[tuple[Header | None, Pax]]:
        """Each member's header with the extended ones that came before it; None for a part that can't be read."""
        pax = self._pax_global.copy()
        lost = awaited = False
        while (block := cursor.take(BLOCK)) and block.strip(b"\0"):
            if len(block) < BLOCK:
                raise Refused(reasons.truncated("the archive breaks off between two files"))
            header = parse_header(block)
            if header is None:
                if not lost:
                    yield None, pax
                lost = True
                continue
            lost = False
            awaited = self._extends(header, cursor, pax)
            if not awaited:
                if header.type == b"S":
                    pax.sparse = old_map(header, cursor.take)
                yield header, pax
                pax = self._pax_global.copy()
        if awaited and not block:
            raise Refused(reasons.truncated("the archive breaks off before the file that its last header speaks of"))

    def _extends(self, header: Header, cursor: Cursor, pax: Pax) -> bool:
        """Whether HEADER only speaks of the next member; what it says is taken up into PAX."""
        if header.type in SKIPPED:
            cursor.skip(header.size + -header.size % BLOCK)
            return True
        if header.type not in EXTENDED:
            return False
        if header.size > MAX_EXTENDED:
            raise Refused(reasons.corrupt("a member's name is longer than names can be"))
        data = cursor.take(header.size)
        if len(data) < header.size:
            raise Refused(reasons.truncated("the archive breaks off within a member's name"))
        cursor.skip(-header.size % BLOCK)
        if header.type == b"L":
            pax.name = data.split(b"\0", 1)[0]
        elif header.type != b"K":
            parse_pax(data, pax)
            if header.type == b"g":
                parse_pax(data, self._pax_global)
        return True

    def _entry(self, index: int, header: Header, pax: Pax, cursor: Cursor, size: int) -> Entry:
        name, notes = names.decode(pax.name or header.name)
        if header.type == b"5" or (header.type == b"\0" and name.endswith("/")):
            return Entry(index, name, kind=Kind.FOLDER)
        if header.type in SPECIALS:
            return Entry(index, name, kind=Kind.SPECIAL, reason=reasons.unsafe(SPECIALS[header.type]), notes=notes)
        if header.type == b"M":
            reason = reasons.unsupported("it goes on from another volume", "Send all volumes joined into one file.")
            return Entry(index, name, reason=reason, notes=notes)
        read = cursor.some if self.blob_source is None else None
        offset, sparse = cursor.offset, pax.sparse

        def open_() -> Source:
            body = Body(read or self._region(offset, size).read, size)
            return SparseSource(body, sparse) if sparse else body

        return Entry(index, name, open_, size=sparse.size if sparse else size, notes=notes)

    def _region(self, offset: int, size: int) -> BlobSource:
        assert self.blob_source is not None
        return self.blob_source.region(offset, size)


def _pass(cursor: Cursor, end: int) -> None:
    """To the next header. That a member's own bytes break off before END is said where they are read."""
    cursor.skip(end - cursor.offset)
    if cursor.offset < end:
        return
    cursor.skip(-end % BLOCK)
    if cursor.offset % BLOCK:
        raise Refused(reasons.truncated("the archive breaks off right behind this file"))


@dataclass(frozen=True, slots=True)
class Tar:
    """The family."""

    title: str = "tar"
    seeks: bool = False

    def matches(self, head: bytes) -> bool:
        """By the first header's checksum."""
        return plausible(head)

    def open(self, opening: Opening) -> Reader:
        """A reader over the blob where there is one, else over the stream."""
        if opening.blob is None:
            return TarReader(opening.source)
        source = BlobSource(opening.blob)
        return TarReader(source, blob_source=source)


FORMAT = Tar()
