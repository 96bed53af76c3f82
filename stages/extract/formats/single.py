"""Compressed single files: gz, bz2, xz, lzma, zst, lz4. A tar inside is opened at once, as `x.tar.gz` is one archive."""

from __future__ import annotations

import bz2
import lzma
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import lz4.frame
from isal import igzip_lib

from stages.extract import names, reasons
from stages.extract.blobs import Prefixed, ReadAhead, read_up_to
from stages.extract.formats import tar
from stages.extract.protocol import Entry, Opening, Reader, Refused, Source

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FEED = 1 << 17  # compressed bytes handed to a decompressor at a time
HEAD = 36 << 10  # what is inflated to see whether a tar is inside
MAX_WINDOW = 1 << 27  # zstd and lzma may ask for a history of this many bytes, 128 MiB, and no more


class Decompressor(Protocol):
    """What the standard library's decompressors have in common; ours all fit it."""

    @property
    def eof(self) -> bool:
        """The stream has ended."""
        ...

    @property
    def needs_input(self) -> bool:
        """Nothing more comes out before something is put in."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What was put in beyond the stream's end."""
        ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """What comes out for DATA, at most MAX_LENGTH bytes."""
        ...


class Inflating:
    """SOURCE decompressed: one stream after the other, as `gzip` and `xz` do; bytes that start none end it."""

    def __init__(self, source: Source, codec: Codec) -> None:
        self._source = source
        self._codec = codec
        self._stream = codec.make()
        self._waiting = b""
        self._begun = False

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises Refused where the data is damaged or ends early."""
        while True:
            if self._stream.eof and not self._another():
                return b""
            try:
                data = self._stream.decompress(self._feed(), size)
            except Refused:
                raise
            except Exception as error:  # each library has its own: zlib.error, OSError, LZMAError, RuntimeError
                raise Refused(reasons.corrupt(f"its {self._codec.title} data doesn't decompress")) from error
            if data:
                return data

    def _feed(self) -> bytes:
        if not self._stream.needs_input:
            return b""
        data, self._waiting = self._waiting or self._source.read(FEED), b""
        if not data:
            raise Refused(reasons.truncated(f"its {self._codec.title} data breaks off"))
        return data

    def _another(self) -> bool:
        """Whether a further stream follows the one that has ended; starts on it."""
        left = self._stream.unused_data or b""  # lz4 says None
        if len(left) < 16:
            left += read_up_to(self._source, FEED)
        while left and not left.strip(b"\0"):  # padding, as tapes and xz have it
            left = self._source.read(FEED)
        left = left.lstrip(b"\0") if self._codec.padded else left
        if not self._codec.starts(left):
            return False
        self._stream, self._waiting = self._codec.make(), left
        return True


@dataclass(frozen=True, slots=True)
class Codec:
    """One way to compress: how its streams START and what decompresses them."""

    title: str
    starts: Callable[[bytes], bool]
    make: Callable[[], Decompressor]
    padded: bool = True


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
        inflating = ReadAhead(Inflating(Prefixed(first, opening.source), codec))
        try:
            head = read_up_to(inflating, HEAD)
        except BaseException:
            inflating.close()
            raise
        if tar.FORMAT.matches(head):
            return tar.TarReader(opening.count(Prefixed(head, inflating)), counted=True, below=inflating)
        stored, notes = names.decode(_stored_name(first)) if codec.title == "gzip" else ("", ())
        return SingleReader(names.inner(opening.name, stored), inflating, head, notes)


def codec_of(head: bytes) -> Codec | None:
    """The codec whose stream starts with HEAD."""
    return next((codec for codec in CODECS if codec.starts(head)), None)


def _stored_name(head: bytes) -> bytes:
    """The file name in a gzip header, empty where there is none."""
    if len(head) < 10 or not head[3] & 8:
        return b""
    at = 10 + (2 + int.from_bytes(head[10:12], "little") if head[3] & 4 else 0)
    name, found, _ = head[at:].partition(b"\0")
    return name if found else b""


def _gzip() -> Decompressor:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _xz() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_WINDOW + (16 << 20))


def _lzma() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MAX_WINDOW + (16 << 20))


def zstandard() -> Decompressor:
    """For one frame."""
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MAX_WINDOW.bit_length() - 1})


def _starts_gzip(head: bytes) -> bool:
    return head[:3] == b"\x1f\x8b\x08" and len(head) >= 4 and head[3] < 0x20


def _starts_bz2(head: bytes) -> bool:
    return head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90") and head[3] in b"123456789"


def _starts_xz(head: bytes) -> bool:
    return head[:6] == b"\xfd7zXZ\0"


def _starts_lzma(head: bytes) -> bool:
    """LZMA alone has no magic: usual properties, a dictionary size as encoders make it, a believable length."""
    if len(head) < 18 or head[0] != 0x5D or head[13]:
        return False
    dictionary, length = struct.unpack_from("<LQ", head, 1)
    usual = any(dictionary in (1 << n, 3 << (n - 1)) for n in range(12, 31))
    return usual and (length == 2**64 - 1 or 0 < length < 1 << 38)


def _starts_zstd(head: bytes) -> bool:
    return head[:4] == b"\x28\xb5\x2f\xfd" or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50)


def _starts_lz4(head: bytes) -> bool:
    return head[:4] == b"\x04\x22\x4d\x18"


CODECS = (
    Codec("gzip", _starts_gzip, _gzip),
    Codec("bzip2", _starts_bz2, bz2.BZ2Decompressor),
    Codec("xz", _starts_xz, _xz),
    Codec("zstd", _starts_zstd, zstandard),
    Codec("lz4", _starts_lz4, lz4.frame.LZ4FrameDecompressor),
    Codec("lzma", _starts_lzma, _lzma),
)
FORMAT = Single()
