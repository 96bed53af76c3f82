"""zip: its table of contents read by us, its entries inflated in any order and from several threads."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass

from stages.extract import names, reasons
from stages.extract.blobs import BlobSource
from stages.extract.formats import zip_directory, zip_salvage
from stages.extract.formats.zip_directory import LOCAL, UTF8, Directory, Record
from stages.extract.formats.zip_entry import UNIX, Checked, entry_name, refusal, unpacked
from stages.extract.protocol import Blob, Entry, Kind, Opening, Reader, Refused, Source

DOCUMENTS = frozenset((b"[Content_Types].xml", b"_rels/.rels", b"META-INF/MANIFEST.MF", b"AndroidManifest.xml",
                       b"Index/Document.iwa"))  # fmt: skip
DOCUMENT = "document"
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
        name, notes = entry_name(record, self.encoding)
        if name.endswith("/") and not record.size:
            return Entry(index, name, kind=Kind.FOLDER)
        mode = record.attributes >> 16 if record.system in UNIX else 0
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "a symbolic link" if stat.S_ISLNK(mode) else "a device or pipe"
            return Entry(index, name, kind=Kind.SPECIAL, reason=reasons.unsafe(what), notes=notes)
        if reason := refusal(record, self.given):
            return Entry(index, name, reason=reason, notes=notes)
        return Entry(index, name, lambda: self._open(record), size=record.size, notes=notes)

    def _open(self, record: Record) -> Source:
        raw = self.blob.pread(LOCAL.size, record.offset) if record.offset >= 0 else b""
        if len(raw) < LOCAL.size or raw[:4] != b"PK\3\4":
            where = "ends before it" if record.offset >= self.blob.size else "doesn't have it where it should be"
            raise Refused((reasons.truncated if "ends" in where else reasons.corrupt)(f"the archive {where}"))
        name_length, extra_length = LOCAL.unpack(raw)[-2:]
        packed = BlobSource(self.blob, record.offset + LOCAL.size + name_length + extra_length, record.packed)
        return Checked(unpacked(record.method, packed), record.size, record.crc)


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
        blob = opening.blob
        assert blob is not None
        if _is_document_by_head(blob):
            return None
        directory = zip_directory.find(blob)
        if directory is None:
            return zip_salvage.SalvageReader(blob, opening.options.password is not None)
        encoding = _survey(blob, directory)
        if encoding == DOCUMENT:
            return None
        zip_directory.check(blob, directory)
        return ZipReader(blob, directory, encoding, opening.options.password is not None)


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


def _survey(blob: Blob, directory: Directory) -> str | None:
    """DOCUMENT, or the encoding in which the names read best, None where all are UTF-8."""
    odd: list[bytes] = []
    try:
        for count, record in enumerate(zip_directory.records(blob, directory)):
            if record.name in DOCUMENTS:
                return DOCUMENT
            if not record.name.isascii() and not record.flags & UTF8:
                odd.append(record.name)
            if count >= SEEN:
                break
    except Refused:
        pass  # said in its place when the entries are read
    return names.guess(odd) if any(not _is_utf8(name) for name in odd) else None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


FORMAT = Zip()
