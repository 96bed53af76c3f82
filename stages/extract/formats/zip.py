"""zip: its table of contents read by us, its entries inflated in any order and from several threads."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.model import Reason
from stages.extract import names, reasons
from stages.extract.blobs import BlobSource, MemoryBlob, NearBy
from stages.extract.formats import sevenzip, zip_directory, zip_entry, zip_salvage
from stages.extract.formats.zip_directory import ENCRYPTED, LOCAL, UTF8, Directory, Extents, Record
from stages.extract.formats.zip_entry import UNIX, Checked, entry_name, refusal, unpacked
from stages.extract.protocol import Blob, Entry, Kind, Opening, Reader, Refused, Running, Source
from stages.extract.split import Listed, SplitReader
from stages.extract.tools import missing

DOCUMENTS = frozenset((b"[Content_Types].xml", b"_rels/.rels", b"META-INF/MANIFEST.MF", b"AndroidManifest.xml",
                       b"Index/Document.iwa"))  # fmt: skip
SEEN = 1000  # entries looked at to know a document by its parts


@dataclass(slots=True)
class ZipReader:
    """An open zip."""

    blob: Blob
    directory: Directory
    encoding: str | None
    given: bool
    random: bool = True
    counted: bool = False

    def close(self) -> None:
        """Nothing is held."""

    def entries(self, start: int) -> Iterator[Entry]:
        """The entries from START on, as the table of contents has them."""
        for index, record in enumerate(zip_directory.records(self.blob, self.directory, start), start):
            yield self._entry(index, record)

    def _entry(self, index: int, record: Record) -> Entry:
        entry = entry_of(index, record, self.encoding)
        if entry.kind is Kind.FILE:
            entry.reason = refusal(record, self.given)
            entry.open = None if entry.reason else lambda: self._open(record)
        return entry

    def _open(self, record: Record) -> Source:
        raw = self.blob.pread(LOCAL.size, record.offset) if record.offset >= 0 else b""
        if len(raw) < LOCAL.size or raw[:4] != b"PK\3\4":
            where = "ends before it" if record.offset >= self.blob.size else "doesn't have it where it should be"
            raise Refused((reasons.truncated if "ends" in where else reasons.corrupt)(f"the archive {where}"))
        name_length, extra_length = LOCAL.unpack(raw)[-2:]
        packed = BlobSource(self.blob, record.offset + LOCAL.size + name_length + extra_length, record.packed)
        return Checked(unpacked(record.method, packed), record.size, record.crc)


def entry_of(index: int, record: Record, encoding: str | None) -> Entry:
    """RECORD as an entry, yet without its bytes."""
    name, notes = entry_name(record, encoding)
    if name.endswith("/") and not record.size:
        return Entry(index, name, kind=Kind.FOLDER)
    mode = record.attributes >> 16 if record.system in UNIX else 0
    piped = stat.S_ISFIFO(mode) and record.size > 0  # what was packed out of a pipe keeps the pipe's mode
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR) and not piped:
        what = "a symbolic link" if stat.S_ISLNK(mode) else "a device or pipe"
        return Entry(index, name, kind=Kind.SPECIAL, size=record.size, reason=reasons.unsafe(what), notes=notes)
    return Entry(index, name, size=record.size, notes=notes)


@dataclass(frozen=True, slots=True)
class ZipArchive:
    """A zip for the program 7zz, since entries in it need that; the list is ours."""

    opening: Opening
    path: str
    blob: Blob
    directory: Directory
    encoding: str | None

    @property
    def given(self) -> bool:
        """The job has a password."""
        return self.opening.options.password is not None

    def members(self) -> Iterator[Listed]:
        """The table of contents, in its order, which is also that of 7zz's stream."""
        for record in zip_directory.records(self.blob, self.directory):
            entry = entry_of(-1, record, self.encoding)
            one = Listed(
                entry.name, entry.name.encode(), record.size, zip_entry.crc_of(record), entry.kind, notes=entry.notes
            )
            one.encrypted = bool(record.flags & ENCRYPTED)
            one.reason = entry.reason or zip_entry.unknown(record)
            one.present = entry.kind is not Kind.FOLDER and zip_entry.unknown(record) is None
            yield one

    def unpack(self, without: str | None, aside: Callable[[], None]) -> Running:
        """`7zz x -so`."""
        return sevenzip.SevenArchive(self.opening, self.path, "zip", "zip").unpack(without, aside)

    def failed(self, code: int) -> Reason | None:
        """Every entry is held against its checksum, or 7zz has held it against its seal and says so by 2."""
        return reasons.corrupt("the program that unpacks it reports errors in it") if code > 1 else None


@dataclass(frozen=True, slots=True)
class Zip:
    """The family."""

    title: str = "zip"
    seeks: bool = True

    def matches(self, head: bytes) -> bool:
        """By a local header, an empty archive's end record, or the marks of a split one."""
        return head[:4] in (b"PK\3\4", b"PK\5\6", b"PK\6\6") or head[:8] in (b"PK\7\x08PK\3\4", b"PK00PK\3\4")

    def open(self, opening: Opening) -> Reader | None:
        """A reader; None for documents that are zips inside. Raises Refused for overlapping entries."""
        blob, given = opening.blob, opening.options.password is not None
        assert blob is not None
        if _is_document_by_head(blob):
            return None
        directory = zip_directory.find(blob)
        if directory is not None and directory.volumes:
            return _volumes(opening)
        if directory is None:
            return zip_salvage.SalvageReader(blob, given)
        found = _survey(blob, directory, given)
        if found.document:
            return None
        found.extents.check(blob.size)
        encoding = names.guess(found.odd_names) if found.odd_names else None
        if found.needs_tool and missing("7zz", "it") is None:
            return SplitReader(ZipArchive(opening, opening.file(), blob, directory, encoding), opening.scratch)
        return ZipReader(blob if isinstance(blob, MemoryBlob) else NearBy(blob), directory, encoding, given)


def _volumes(opening: Opening) -> Reader:
    """A zip in several parts, of which this is the last: 7zz reads them where the first lies beside it."""
    path = opening.file()
    stem = path[:-2] if path[-2:].isalpha() else path  # `.Z01` follows `.ZIP`
    number = 1
    while os.path.isfile(part := f"{stem}{number:02}"):
        opening.read_more(os.stat(part).st_size)
        number += 1
    if number == 1:
        raise Refused(reasons.missing_volume("this is the last part of several, and the first isn't with it"))
    if reason := missing("7zz", "a zip in several parts"):
        raise Refused(reason)
    return SplitReader(sevenzip.SevenArchive(opening, path, "zip", "zip"), opening.scratch)


@dataclass(slots=True)
class _Survey:
    """What a look at the whole table of contents gave."""

    extents: Extents
    odd_names: list[bytes]
    document: bool = False
    needs_tool: bool = False


def _survey(blob: Blob, directory: Directory, given: bool) -> _Survey:
    found = _Survey(Extents(), [])
    try:
        for count, record in enumerate(zip_directory.records(blob, directory)):
            if count < SEEN and record.name in DOCUMENTS:
                found.document = True
                return found
            found.extents.add(record)
            if not record.name.isascii() and not record.flags & UTF8 and len(found.odd_names) < SEEN:
                found.odd_names += [record.name] if not _is_utf8(record.name) else []
            found.needs_tool = found.needs_tool or zip_entry.needs_tool(record, given)
    except Refused:
        pass  # said in its place when the entries are read
    return found


def _is_document_by_head(blob: Blob) -> bool:
    """A document's first entry tells, even where the rest is lost."""
    head = blob.pread(LOCAL.size + 128, 0)
    if len(head) < LOCAL.size or head[:4] != b"PK\3\4":
        return False
    fields = LOCAL.unpack_from(head)
    name = head[LOCAL.size : LOCAL.size + fields[9]]
    if name == b"mimetype" and fields[3] == 0:
        return head[LOCAL.size + fields[9] + fields[10] :].startswith(b"application/")
    return name in DOCUMENTS or name == b"META-INF/"


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


FORMAT = Zip()
