"""A zip whose table of contents is lost, read by the headers that lie before each entry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stages.extract import reasons
from stages.extract.blobs import BlobSource
from stages.extract.formats.zip_directory import DESCRIPTOR, LOCAL, Record, extra_field
from stages.extract.formats.zip_entry import Checked, entry_name, refusal, unpacked
from stages.extract.protocol import CHUNK, Blob, Entry, Kind, Refused, Source

_FULL = 0xFFFFFFFF


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
            if record is not None:
                if index >= start:
                    yield self._entry(index, record, data)
                index += 1
            offset = self._find(b"PK\3\4", data + record.packed if record else offset + 4)
        raise Refused(reasons.truncated("its table of contents is missing, so what follows is lost"))

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
        if flags & DESCRIPTOR and not packed:
            self._measure(record, data)
        return record, data

    def _measure(self, record: Record, data: int) -> None:
        """Finds the descriptor behind an entry whose header doesn't know its size: 16 bytes (24 with zip64) that give
        the checksum and the length of just what lies before them."""
        at = data
        while (at := self._find(b"PK\7\x08", at)) >= 0:
            raw = self.blob.pread(24, at)
            for width in (4, 8):
                packed = int.from_bytes(raw[8 : 8 + width], "little")
                if packed == at - data:
                    record.crc = int.from_bytes(raw[4:8], "little")
                    record.packed = packed
                    record.size = int.from_bytes(raw[8 + width : 8 + 2 * width], "little")
                    return
            at += 4
        record.packed = self.blob.size - data

    def _entry(self, index: int, record: Record, data: int) -> Entry:
        name, notes = entry_name(record, None)
        if name.endswith("/") and not record.size:
            return Entry(index, name, kind=Kind.FOLDER)
        if reason := refusal(record, self.given):
            return Entry(index, name, reason=reason, notes=notes)
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
