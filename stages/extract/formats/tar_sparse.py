"""Sparse files in tar: the maps of where their data lies, and the data with its holes filled by zeros."""

from __future__ import annotations

from collections.abc import Callable

from stages.extract import reasons
from stages.extract.formats.tar_header import BLOCK, Header, Sparse, number
from stages.extract.protocol import CHUNK, Refused, Source

MAX_EXTENTS = 1_000_000
_ZEROS = bytes(CHUNK)
_DAMAGED = reasons.corrupt("a sparse file's map in it doesn't add up")


def old_map(header: Header, take: Callable[[int], bytes]) -> Sparse:
    """The map of an old GNU sparse file: four extents in its header, the others in blocks after it."""
    sparse = Sparse(size=header.real_size)
    _extents(header.sparse_map, sparse)
    more = header.more_map
    while more:
        block = take(BLOCK)
        if len(block) < BLOCK or len(sparse.extents) > MAX_EXTENTS:
            raise Refused(reasons.truncated("the archive breaks off within a sparse file's map"))
        _extents(block[:504], sparse)
        more = bool(block[504])
    return sparse


def _extents(raw: bytes, sparse: Sparse) -> None:
    for at in range(0, len(raw), 24):
        if not raw[at]:
            return
        offset, length = number(raw[at : at + 12]), number(raw[at + 12 : at + 24])
        if offset is None or length is None:
            raise Refused(_DAMAGED)
        sparse.extents.append((offset, length))


class SparseSource:
    """A sparse file's bytes, its data read in turn from BODY."""

    def __init__(self, body: Source, sparse: Sparse) -> None:
        self._body = body
        self._sparse = sparse
        self._at = 0
        self._next = 0
        self._mapped = not sparse.in_data

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises Refused where map and data disagree."""
        if not self._mapped:
            self._read_map()
        if self._at >= self._sparse.size:
            return b""
        start, length = self._extent()
        if self._at < start:
            data = _ZEROS[: min(size, start - self._at, CHUNK)]
        else:
            data = self._body.read(min(size, start + length - self._at))
            if not data:
                raise Refused(_DAMAGED)
        self._at += len(data)
        return data

    def _extent(self) -> tuple[int, int]:
        """The extent that holds or follows the position; one of no length at the file's end."""
        extents = self._sparse.extents
        while self._next < len(extents):
            start, length = extents[self._next]
            if start + length > self._sparse.size:
                raise Refused(_DAMAGED)
            if self._at < start + length:
                if self._next and start < sum(extents[self._next - 1]):
                    raise Refused(_DAMAGED)
                return start, length
            self._next += 1
        return self._sparse.size, 0

    def _read_map(self) -> None:
        """Pax 1.0: decimal numbers, a line each, in blocks before the data: how many extents, then offset, length."""
        self._mapped = True
        lines = _Lines(self._body)
        count = lines.number()
        if count > MAX_EXTENTS:
            raise Refused(_DAMAGED)
        self._sparse.extents = [(lines.number(), lines.number()) for _ in range(count)]


class _Lines:
    """Numbers, one a line, from whole blocks of BODY."""

    def __init__(self, body: Source) -> None:
        self._body = body
        self._data = b""

    def number(self) -> int:
        """The next one."""
        while b"\n" not in self._data:
            block = self._block()
            if not block or len(self._data) > BLOCK:
                raise Refused(_DAMAGED)
            self._data += block
        line, _, self._data = self._data.partition(b"\n")
        if not line.isdigit() or len(line) > 20:
            raise Refused(_DAMAGED)
        return int(line)

    def _block(self) -> bytes:
        block = self._body.read(BLOCK)
        while len(block) < BLOCK and (more := self._body.read(BLOCK - len(block))):
            block += more
        return block
