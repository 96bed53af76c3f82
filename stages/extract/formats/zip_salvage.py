"""A zip whose table of contents is lost, read by the headers that lie before each entry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from isal import igzip_lib, isal_zlib

from pipeline.model import Reason
from stages.extract import reasons
from stages.extract.blobs import BlobSource
from stages.extract.formats.codecs import FEED
from stages.extract.formats.zip_directory import DESCRIPTOR, ENCRYPTED, LOCAL, Record, extra_field
from stages.extract.formats.zip_entry import Checked, entry_name, refusal, unpacked
from stages.extract.protocol import CHUNK, Blob, Entry, Kind, Refused, Source

_FULL = 0xFFFFFFFF
DESCRIPTOR_MARK = b"PK\7\x08"
MAX_TRIES = 1000  # marks looked at for one stored entry


@dataclass(slots=True)
class SalvageReader:
    """What is left of a zip. Entries are read one after the other: only reading one tells where it ends."""

    blob: Blob
    given: bool
    random: bool = False
    counted: bool = False

    def close(self) -> None:
        """Nothing is held."""

    def entries(self, start: int) -> Iterator[Entry]:
        """The entries found from START on, then Refused, since what the table listed beyond them isn't known."""
        offset, index = self._find(b"PK\3\4", 0), 0
        while offset >= 0:
            record, data = self._local(offset)
            if record is None:
                offset = self._find(b"PK\3\4", offset + 4)
                continue
            streamed = self._unmeasured(record, data)
            if index >= start:
                yield self._entry(index, record, data, streamed)
            index += 1
            after = data + record.packed if streamed is None else streamed.finish()
            offset = self._find(b"PK\3\4", after)
        raise Refused(reasons.truncated("its table of contents is missing, so what follows is lost"))

    def _unmeasured(self, record: Record, data: int) -> Streamed | None:
        """What reads RECORD where its header doesn't know its size, and only its own packed bytes tell where they end."""
        if not record.flags & DESCRIPTOR or record.packed:
            return None
        if record.method == 8 and not record.flags & ENCRYPTED:
            return Streamed(self.blob, data)
        self._measure(record, data)
        return None

    def _local(self, offset: int) -> tuple[Record | None, int]:
        """The entry whose header lies at OFFSET, and where its data begins."""
        raw = self.blob.pread(LOCAL.size, offset)
        if len(raw) < LOCAL.size:
            return None, offset
        _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = LOCAL.unpack(raw)
        rest = self.blob.pread(name_length + extra_length, offset + LOCAL.size)
        if not name_length or len(rest) < name_length + extra_length or method > 99:
            return None, offset
        extra = rest[name_length:]
        if _FULL in (packed, size) and len(wide := extra_field(extra, 1)) >= 16:
            size, packed = int.from_bytes(wide[:8], "little"), int.from_bytes(wide[8:16], "little")
        data = offset + LOCAL.size + name_length + extra_length
        record = Record(rest[:name_length], flags, method, crc, packed, size, offset, 3, 0, extra)
        return record, data

    def _measure(self, record: Record, data: int) -> None:
        """Finds the descriptor behind a stored entry: 16 bytes (24 with zip64) that give the checksum and the length of
        just what lies before them. Without one the entry runs beyond the file's end, and is truncated."""
        at = data
        for _ in range(MAX_TRIES):
            if (at := self._find(DESCRIPTOR_MARK, at)) < 0:
                break
            if (found := _descriptor(self.blob, at, at - data)) is not None:
                record.crc, record.packed, record.size = found[0], at - data, found[1]
                return
            at += len(DESCRIPTOR_MARK)
        record.packed = self.blob.size - data + 1

    def _entry(self, index: int, record: Record, data: int, streamed: Streamed | None) -> Entry:
        name, notes = entry_name(record, None)
        if name.endswith("/") and not record.size:
            return Entry(index, name, kind=Kind.FOLDER)
        if reason := refusal(record, self.given):
            return Entry(index, name, reason=reason, notes=notes)
        if streamed is not None:
            return Entry(index, name, lambda: streamed, notes=notes)
        return Entry(index, name, lambda: self._open(record, data), size=record.size, notes=notes)

    def _open(self, record: Record, data: int) -> Source:
        if data + record.packed > self.blob.size:
            raise Refused(reasons.truncated("the archive breaks off within this file"))
        packed = BlobSource(self.blob, data, record.packed)
        return Checked(unpacked(record.method, packed), record.size, record.crc)

    def _find(self, mark: bytes, offset: int) -> int:
        """Where MARK next lies from OFFSET on, -1 where it doesn't."""
        while offset < self.blob.size:
            data = self.blob.pread(CHUNK, offset)
            if (at := data.find(mark)) >= 0:
                return offset + at
            if len(data) < CHUNK:
                return -1
            offset += len(data) - len(mark) + 1
        return -1


class Streamed:
    """A deflated entry of unknown length: it ends where its stream says so, and a descriptor follows."""

    def __init__(self, blob: Blob, data: int) -> None:
        self._blob = blob
        self._data = data
        self._packed = BlobSource(blob, data)
        self._stream = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
        self._fed = self._size = self._crc = 0
        self._end = -1
        self._failed: Refused | None = None

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises Refused where they are damaged or the descriptor doesn't fit."""
        if self._failed is not None:
            raise self._failed
        while not self._stream.eof:
            fed = self._packed.read(FEED) if self._stream.needs_input else b""
            if self._stream.needs_input and not fed:
                raise self._fail(reasons.truncated("the archive breaks off within this file"))
            self._fed += len(fed)
            try:
                data = self._stream.decompress(fed, size)
            except Exception as error:
                raise self._fail(reasons.corrupt("its packed data doesn't decompress")) from error
            if data:
                self._size += len(data)
                self._crc = isal_zlib.crc32(data, self._crc)
                return bytes(data)
        if self._end < 0:
            self._check()
        return b""

    def finish(self) -> int:
        """Reads what nobody took and returns the offset after the entry; where it's damaged, that of its data."""
        try:
            while self.read(CHUNK):
                pass
        except Refused:
            return self._data
        return self._end

    def _check(self) -> None:
        packed = self._fed - len(self._stream.unused_data)
        end = self._data + packed
        marked = self._blob.pread(4, end) == DESCRIPTOR_MARK
        found = _descriptor(self._blob, end if marked else end - 4, packed)
        if found is None:
            raise self._fail(reasons.corrupt("what follows its packed data doesn't fit it"))
        if found != (self._crc, self._size):
            raise self._fail(reasons.corrupt("its checksum doesn't match"))
        self._end = end

    def _fail(self, reason: Reason) -> Refused:
        self._failed = Refused(reason)
        return self._failed


def _descriptor(blob: Blob, at: int, packed: int) -> tuple[int, int] | None:
    """The checksum and size in the descriptor whose mark lies at AT, where it says that PACKED bytes lie before it."""
    raw = blob.pread(24, at)
    for width in (4, 8):
        if int.from_bytes(raw[8 : 8 + width], "little") == packed and len(raw) >= 8 + 2 * width:
            return int.from_bytes(raw[4:8], "little"), int.from_bytes(raw[8 + width : 8 + 2 * width], "little")
    return None
