"""The ways to compress: how each stream starts, what decompresses it, and a source that does."""

from __future__ import annotations

import bz2
import lzma
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import lz4.frame
from isal import igzip_lib, isal_zlib

from stages.extract import reasons
from stages.extract.blobs import read_up_to
from stages.extract.protocol import Refused, Source

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FEED = 1 << 18  # compressed bytes handed to a decompressor at a time
MAX_WINDOW = 1 << 27  # a stream may ask for a history of this many bytes, 128 MiB, and no more
_TOO_WIDE = reasons.unsupported(
    f"unpacking it needs more memory than the {MAX_WINDOW >> 20} MiB allowed for its history",
    "Pack it with a usual level (not `--ultra` or `--long`) and send it again.",
)


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

    def __init__(self, source: Source, codec: Codec, tick: Callable[[], None]) -> None:
        self._source = source
        self._codec = codec
        self._tick = tick
        self._stream = codec.make()
        self._waiting = b""

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
                wide = isinstance(error, MemoryError) or "memory" in str(error).lower()
                damaged = reasons.corrupt(f"its {self._codec.title} data doesn't decompress")
                raise Refused(_TOO_WIDE if wide else damaged) from error
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
        self._tick()  # a file of countless empty streams gives no byte that would be counted
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


def codec_of(head: bytes) -> Codec | None:
    """The codec whose stream starts with HEAD."""
    if head[:1] in _FIRST or (len(head) > 13 and not head[13]):  # most files end here, and all members come by
        return next((codec for codec in CODECS if codec.starts(head)), None)
    return None


def _gzip() -> Decompressor:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _xz() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_WINDOW + (16 << 20))


def _lzma() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MAX_WINDOW + (16 << 20))


def zstandard() -> Decompressor:
    """For one frame."""
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MAX_WINDOW.bit_length() - 1})


class Lzip:
    """lzip: a header that gives the dictionary's size, raw LZMA that says where it ends, a trailer with sums."""

    def __init__(self) -> None:
        self._stream: lzma.LZMADecompressor | None = None
        self._head = b""
        self._crc = self._size = 0
        self._trailer = b""
        self._ended = False
        self.unused_data = b""
        self.eof = False

    @property
    def needs_input(self) -> bool:
        """Nothing more comes out before something is put in."""
        return self._stream is None or self._ended or self._stream.needs_input

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """What comes out for DATA."""
        if self._stream is None:
            self._head += data
            if len(self._head) < 6:
                return b""
            bits = self._head[5]
            size = (1 << (bits & 31)) - ((1 << (bits & 31)) // 16) * (bits >> 5)
            if size > MAX_WINDOW:
                raise Refused(_TOO_WIDE)
            coder = {"id": lzma.FILTER_LZMA1, "dict_size": size, "lc": 3, "lp": 0, "pb": 2}
            self._stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[coder])
            data = self._head[6:]
        if self._ended:
            self._end(data)
            return b""
        made = self._stream.decompress(data, max_length)
        self._crc, self._size = isal_zlib.crc32(made, self._crc), self._size + len(made)
        self._ended = self._stream.eof
        if self._ended:
            self._end(self._stream.unused_data)
        return made

    def _end(self, data: bytes) -> None:
        self._trailer += data
        if len(self._trailer) < 20:
            return
        crc, size = struct.unpack_from("<LQ", self._trailer)
        if (crc, size) != (self._crc, self._size):
            raise lzma.LZMAError("the trailer doesn't fit")
        self.eof, self.unused_data = True, self._trailer[20:]


def _starts_lzip(head: bytes) -> bool:
    return head[:5] == b"LZIP\1" and len(head) > 5 and 12 <= head[5] & 31 <= 29


def _starts_gzip(head: bytes) -> bool:
    return head[:3] == b"\x1f\x8b\x08" and len(head) >= 4 and head[3] < 0x20


def _starts_bz2(head: bytes) -> bool:
    return head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90") and head[3] in b"123456789"


def _starts_xz(head: bytes) -> bool:
    return head[:6] == b"\xfd7zXZ\0"


def _starts_lzma(head: bytes) -> bool:
    """LZMA alone has no magic: usual properties, a dictionary size as encoders make it, a believable length."""
    if len(head) < 18 or head[0] >= 225 or head[0] % 9 + head[0] // 9 % 5 > 4 or head[13]:
        return False
    dictionary, length = struct.unpack_from("<LQ", head, 1)
    usual = any(dictionary in (1 << n, 3 << (n - 1)) for n in range(12, 31))
    if not usual or not (length == 2**64 - 1 or 0 < length < 1 << 38):
        return False
    try:
        return bool(_lzma().decompress(head[: 1 << 12], 16))
    except lzma.LZMAError:
        return head[0] == 0x5D  # the usual properties: one that is damaged


def _starts_zstd(head: bytes) -> bool:
    return head[:4] == b"\x28\xb5\x2f\xfd" or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50)


def _starts_lz4(head: bytes) -> bool:
    return head[:4] == b"\x04\x22\x4d\x18"


_FIRST = frozenset((b"\x1f", b"B", b"\xfd", b"\x28", b"\x04", b"L", *(bytes([0x50 + n]) for n in range(16))))
XZ = Codec("xz", _starts_xz, _xz)
CODECS = (
    Codec("gzip", _starts_gzip, _gzip),
    Codec("bzip2", _starts_bz2, bz2.BZ2Decompressor),
    XZ,
    Codec("zstd", _starts_zstd, zstandard),
    Codec("lz4", _starts_lz4, lz4.frame.LZ4FrameDecompressor),
    Codec("lzip", _starts_lzip, Lzip),
    Codec("lzma", _starts_lzma, _lzma),
)
