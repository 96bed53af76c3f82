"""One entry of a zip: its name, whether it can be read, and its bytes, unpacked and checked."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable

from isal import igzip_lib, isal_zlib

from pipeline.model import Reason
from stages.extract import names, reasons
from stages.extract.formats import zip_directory
from stages.extract.formats.codecs import FEED, MAX_WINDOW, Decompressor, zstandard
from stages.extract.formats.zip_directory import ENCRYPTED, UTF8, Record
from stages.extract.protocol import Refused, Source
from stages.extract.tools import missing

WINDOWS, UNIX = (0, 10, 11, 14), (3, 19)  # systems an entry was made on, as the format numbers them


class ZipLzma:
    """LZMA as zip has it: a version, the coder's properties, then a raw stream."""

    def __init__(self) -> None:
        self._stream: lzma.LZMADecompressor | None = None
        self._head = b""
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        """The stream has ended, which it doesn't always say."""
        return self._stream is not None and self._stream.eof

    @property
    def needs_input(self) -> bool:
        """Nothing more comes out before something is put in."""
        return self._stream is None or self._stream.needs_input

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """What comes out for DATA."""
        if self._stream is not None:
            return self._stream.decompress(data, max_length)
        self._head += data
        if len(self._head) < 9:
            return b""
        size = int.from_bytes(self._head[2:4], "little")
        bits, dictionary = self._head[4], int.from_bytes(self._head[5:9], "little")
        if size != 5 or bits >= 225 or dictionary > MAX_WINDOW:
            raise lzma.LZMAError
        coder = {"id": lzma.FILTER_LZMA1, "dict_size": dictionary}
        coder |= {"lc": bits % 9, "lp": bits // 9 % 5, "pb": bits // 45}
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[coder])
        return self._stream.decompress(self._head[9:], max_length)


METHODS: dict[int, Callable[[], Decompressor]] = {
    8: lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE),
    12: bz2.BZ2Decompressor,
    14: ZipLzma,
    93: zstandard,
    95: lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
}
OTHERS = {1: "shrink", 6: "implode", 9: "deflate64", 98: "ppmd", 99: "AES"}  # which 7zz opens


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
                return b""  # not all streams say that they end; whether this one should have is told by its size
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
    return Stored(packed) if method == 0 else Inflated(packed, METHODS[method]())


def refusal(record: Record, given: bool) -> Reason | None:
    """Why RECORD can't be opened by us alone; GIVEN tells whether the job has a password."""
    if record.flags & ENCRYPTED:
        return missing("7zz", "an encrypted zip") if given else reasons.encrypted(False)
    if record.method and record.method not in METHODS:
        return unknown(record) or missing("7zz", f"the zip method {OTHERS[record.method]}")
    return None


def needs_tool(record: Record, given: bool) -> bool:
    """Whether 7zz opens RECORD and we can't."""
    if record.flags & ENCRYPTED:
        return given
    return record.method in OTHERS


def unknown(record: Record) -> Reason | None:
    """Why nobody opens RECORD."""
    if record.method == 0 or record.method in METHODS or record.method in OTHERS:
        return None
    return reasons.unsupported(f"it is packed by zip method {record.method}")


def crc_of(record: Record) -> int | None:
    """The checksum, where there is one: AES entries of the second kind have a seal of their own instead."""
    sealed = record.method == 99 and zip_directory.extra_field(record.extra, 0x9901)[:2] == b"\2\0"
    return None if sealed else record.crc


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
    return None if record.flags & UTF8 or b"up" not in record.extra else zip_directory.unicode_name(record)
