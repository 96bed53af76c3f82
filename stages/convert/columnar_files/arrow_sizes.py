"""What the batches of an Arrow file or stream say of their sizes, read from their metadata before one is unpacked.

A batch's buffers are compressed one by one, and each begins with the size it says it has unpacked. The layout is that of
Arrow's columnar format ("IPC"), whose metadata are flatbuffers; only what is needed of them is read here. What doesn't
look as it should is passed over: the library says better what's wrong with it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import msgspec

from stages.convert.source import Source

_MOST_METADATA = 64 * 1024 * 1024  # bytes
_DICTIONARY, _RECORDS = 2, 3  # kinds of messages
_CONTINUES = 0xFFFFFFFF
_MAGIC = b"ARROW1"
_BLOCK = 24  # bytes of a batch's place in a file's footer
_BUFFER = 16  # bytes of a buffer's place in a batch


class BatchSize(msgspec.Struct, frozen=True):
    """A batch's rows, its bytes in the file, and the bytes its buffers say they have unpacked: 0 if none is compressed. A
    dictionary has the number by which columns know it, and may be more of an earlier one instead of another."""

    rows: int
    packed: int
    unpacked: int
    dictionary: int | None = None
    is_more: bool = False


def held(batches: Iterable[BatchSize]) -> Iterator[BatchSize]:
    """BATCHES, each with the bytes of the dictionaries that are held beside it."""
    known: dict[int, BatchSize] = {}
    packed = unpacked = 0
    for batch in batches:
        if batch.dictionary is not None:
            before = known.get(batch.dictionary)
            if before is not None and not batch.is_more:
                packed -= before.packed
                unpacked -= before.unpacked
                before = None
            more = BatchSize(batch.rows, batch.packed, batch.unpacked)
            known[batch.dictionary] = more if before is None else _sum(before, more)
            packed += batch.packed
            unpacked += batch.unpacked
            yield BatchSize(batch.rows, packed, unpacked)
        else:
            yield BatchSize(batch.rows, packed + batch.packed, unpacked + batch.unpacked)


def _sum(one: BatchSize, other: BatchSize) -> BatchSize:
    return BatchSize(one.rows + other.rows, one.packed + other.packed, one.unpacked + other.unpacked)


class _Table:
    """A table of a flatbuffer: each of its fields lies somewhere else, or nowhere."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self._at = at
        self._names = at - self._number("<i", at)

    def _number(self, kind: str, at: int) -> int:
        if at < 0:
            raise struct.error
        return int(struct.unpack_from(kind, self.data, at)[0])

    def place(self, field: int) -> int:
        """Where FIELD lies; 0 where the table hasn't got it."""
        entry = 4 + 2 * field
        if entry >= self._number("<H", self._names):
            return 0
        offset = self._number("<H", self._names + entry)
        return self._at + offset if offset else 0

    def number(self, field: int, kind: str = "<q") -> int:
        """FIELD as a number of KIND, 0 by default."""
        at = self.place(field)
        return self._number(kind, at) if at else 0

    def table(self, field: int) -> _Table | None:
        """FIELD as a table."""
        at = self.place(field)
        return _Table(self.data, at + self._number("<I", at)) if at else None

    def vector(self, field: int) -> tuple[int, int]:
        """Where FIELD's elements begin, and how many there are."""
        at = self.place(field)
        if not at:
            return 0, 0
        at += self._number("<I", at)
        return at + 4, self._number("<I", at)


def _root(data: bytes) -> _Table:
    return _Table(data, int(struct.unpack_from("<I", data)[0]))


def sizes(source: Source) -> Iterator[BatchSize]:
    """The batches of SOURCE, a file of Arrow's or a stream, dictionaries among them, as far as they can be read."""
    try:
        yield from _of_file(source) if source.read(0, 6) == _MAGIC else _of_stream(source)
    except (struct.error, OverflowError):
        return


def _read(source: Source, at: int, size: int) -> bytes:
    if at < 0:
        raise struct.error
    return source.read(at, size)


def _of_file(source: Source) -> Iterator[BatchSize]:
    end = source.length - len(_MAGIC) - 4
    (length,) = struct.unpack("<i", _read(source, end, 4))
    if not 0 < length <= min(end, _MOST_METADATA):
        return
    footer = _root(source.read(end - length, length))
    for field in (2, 3):  # dictionaries, and batches
        start, count = footer.vector(field)
        for number in range(count):
            (at,) = struct.unpack_from("<q", footer.data, start + number * _BLOCK)
            found, _next = _message(source, at)
            if found is not None:
                yield found


def _of_stream(source: Source) -> Iterator[BatchSize]:
    at = 0
    while at < source.length:
        found, at = _message(source, at)
        if found is not None:
            yield found


def _message(source: Source, at: int) -> tuple[BatchSize | None, int]:
    """The batch whose message is AT, if it's one, and where the next message is."""
    (length,) = struct.unpack("<I", _read(source, at, 4))
    at += 4
    if length == _CONTINUES:
        (length,) = struct.unpack("<I", source.read(at, 4))
        at += 4
    if not length:
        return None, at
    if length > _MOST_METADATA:
        raise struct.error
    message = _root(source.read(at, length))
    at += length
    header, size = message.table(2), message.number(3)
    if size < 0:
        raise struct.error
    kind = message.number(1, "<B")
    batch = header.table(1) if header is not None and kind == _DICTIONARY else header
    found = _batch(source, at, batch, size) if batch is not None and kind in (_DICTIONARY, _RECORDS) else None
    if found is not None and header is not None and kind == _DICTIONARY:
        found = msgspec.structs.replace(found, dictionary=header.number(0), is_more=bool(header.number(2, "<B")))
    return found, at + size


def _batch(source: Source, at: int, batch: _Table, size: int) -> BatchSize:
    """The sizes of BATCH, whose buffers lie in SIZE bytes from AT on."""
    unpacked = 0
    if batch.place(3):
        start, count = batch.vector(2)
        for number in range(count):
            offset, length = struct.unpack_from("<qq", batch.data, start + number * _BUFFER)
            if length >= 8 and 0 <= offset <= size:
                (said,) = struct.unpack("<q", source.read(at + offset, 8))
                unpacked += max(said, 0)
    return BatchSize(batch.number(0), size, unpacked)
