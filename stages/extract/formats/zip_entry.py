"""One entry of a zip: its name, whether it can be read, and its bytes, unpacked and checked."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable

from isal import igzip_lib, isal_zlib

from pipeline.model import Reason
from stages.extract import names, reasons
from stages.extract.formats import zip_directory
from stages.extract.formats.single import FEED, Decompressor, zstandard
from stages.extract.formats.zip_directory import ENCRYPTED, UTF8, Record
from stages.extract.protocol import Refused, Source

WINDOWS, UNIX = (0, 10, 11, 14), (3, 19)  # systems an entry was made on, as the format numbers them
METHODS: dict[int, tuple[str, Callable[[], Decompressor]]] = {
    8: ("deflate", lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)),
    12: ("bzip2", bz2.BZ2Decompressor),
    93: ("zstd", zstandard),
    95: ("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)),
}
OTHERS = {1: "shrink", 2: "reduce", 6: "implode", 9: "deflate64", 14: "lzma", 97: "wavpack", 98: "ppmd", 99: "AES"}


class Stored:
    """PACKED as it is; the counterpart of Inflated for entries that aren't compressed."""

    def __init__(self, packed: Source) -> None:
        self.read = packed.read


class Inflated:
    """PACKED decompressed by STREAM."""

    def __init__(self, packed: Source, stream: Decompressor) -> None:
        self._packed = packed
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        stream = self._stream
        while not stream.eof:
            fed = b""
            if stream.needs_input and not (fed := self._packed.read(FEED)):
                raise Refused(reasons.truncated("its packed data breaks off"))
            try:
                data = stream.decompress(fed, size)
            except Exception as error:  # each library has its own
                raise Refused(reasons.corrupt("its packed data doesn't decompress")) from error
            if data:
                return data
        return b""


class Checked:
    """SOURCE held against the SIZE and CRC that the archive claims for it."""

    def __init__(self, source: Source, size: int, crc: int) -> None:
        self._source = source
        self._left = size
        self._wanted = crc
        self._crc = 0

    def read(self, size: int, /) -> bytes:
        """The next bytes; one more than claimed is already damage. Raises Refused at the end where the sum is wrong."""
        data = self._source.read(min(size, self._left + 1))
        if data:
            self._crc = isal_zlib.crc32(data, self._crc)
            self._left -= len(data)
            if self._left < 0:
                raise Refused(reasons.corrupt("it is longer than its archive says"))
        elif self._left:
            raise Refused(reasons.truncated("it is shorter than its archive says"))
        elif self._crc != self._wanted:
            raise Refused(reasons.corrupt("its checksum doesn't match"))
        return data


def unpacked(method: int, packed: Source) -> Source:
    """PACKED as METHOD (one that can be read) unpacks it."""
    return Stored(packed) if method == 0 else Inflated(packed, METHODS[method][1]())


def refusal(record: Record, given: bool) -> Reason | None:
    """Why RECORD can't be opened; GIVEN tells whether the job has a password."""
    if record.flags & ENCRYPTED:
        return reasons.encrypted(given)
    if record.method and record.method not in METHODS:
        return reasons.unsupported(f"zip method {OTHERS.get(record.method, record.method)}")
    return None


def entry_name(record: Record, encoding: str | None) -> tuple[str, tuple[str, ...]]:
    """The entry's name and what is to be noted about it: by the UTF-8 flag, the Unicode field, or as UTF-8 or a guess."""
    if (name := unicode_name_of(record)) is not None:
        notes: tuple[str, ...] = ()
    else:
        name, notes = names.decode(record.name, encoding)
    if record.system in WINDOWS and "\\" in name:
        name = name.replace("\\", "/")
    return name, notes


def unicode_name_of(record: Record) -> str | None:
    """The Unicode field's name, sought only where the plain one isn't UTF-8 by its flag."""
    return None if record.flags & UTF8 or not record.extra else zip_directory.unicode_name(record)
