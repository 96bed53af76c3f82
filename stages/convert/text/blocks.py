"""Chunks of text made into blocks that an engine reads without a surprise, each with its own account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from stages.convert.account import RejectedRecord
from stages.convert.text import counter
from stages.convert.text.chunks import Chunk, Lines
from stages.convert.text.other_hands import by_another_hand
from stages.convert.text.records import Dialect, Record, read_record, write_record

SLOW_START = 64 * 1024  # bytes read by the exact reader before the fast count is tried again
_SINCE = 10  # records that are wider than before for a table to be so
_FOR_GOOD = 0.98  # the share of them from there on
LONGEST_RECORD = 64 * 1024 * 1024


class Block(msgspec.Struct):
    """Regular text of `rows` records, and what the source held besides: read = rows + rejects."""

    data: bytes
    rows: int
    read: int
    rejects: list[RejectedRecord] = []
    repaired: int = 0
    blank: int = 0
    files: pl.Series | None = None  # which file each row is from, where a block holds more than one
    left_out: list[int] = []  # where the records start that are no rows
    done: int = 0  # bytes of the source that are behind it
    frame: pl.DataFrame | None = None  # the rows, where they are already columns of text
    has_empty_quoted: bool = True  # there may be fields of two quotes and nothing else
    proof: Callable[[], Block] | None = None  # the same with each record looked at, where only sums were


class Wider(Exception):
    """From some record on all have more fields, WIDTH: a table that has got columns in the course of time."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.width = width


class _Growth:
    """Whether records have got wider, once and for good."""

    def __init__(self, width: int) -> None:
        self._before = width
        self._width = 0
        self._since = 0
        self._is_over = False

    def take(self, widths: npt.NDArray[np.int64]) -> None:
        """Goes on with the records that have WIDTHS."""
        longer = np.flatnonzero(widths > self._before)
        if self._is_over or (not self._width and not longer.size):
            return
        rest = widths if self._width else widths[longer[0] :]
        self._width = self._width or int(rest[0])
        self._since += rest.size
        self._is_over = bool(np.count_nonzero(rest == self._width) < rest.size * _FOR_GOOD)

    @property
    def width(self) -> int:
        """How many fields records have at last, 0 where they are no wider."""
        return self._width if self._since >= _SINCE and not self._is_over else 0


class Splitter:
    """Cuts chunks into blocks of records with WIDTH fields."""

    def __init__(self, dialect: Dialect, width: int) -> None:
        self._dialect = dialect
        self._width = width
        self._growth = _Growth(width)
        self._carry: Chunk | None = None

    def blocks(self, chunk: Chunk, skip: int = 0, marks: counter.Marks | None = None) -> Iterator[Block]:
        """The blocks of CHUNK after its first SKIP bytes of text, what the chunk before left over included. MARKS are
        the text's where they are known and nothing is skipped."""
        if self._carry is not None:
            chunk, self._carry = self._carry.joined(chunk), None
        lines = Lines(chunk)
        at, slow = skip, SLOW_START
        while at < len(chunk.text):
            marks = marks if marks is not None and at == 0 else self._marks(chunk.text, at)
            end = self._regular_end(chunk, marks, at)
            if end > at:
                yield self._regular(chunk, lines, at, end, marks)
                at = end
            if marks.irregular < 0 and not self._is_stuck(chunk, at):
                break
            before = at
            block, at = self._exact(chunk, lines, at, slow)
            slow *= 2
            yield block
            if at == before:
                break
        if at < len(chunk.text):
            self._carry = chunk.tail(at, lines)

    def check_width(self) -> None:
        """Raises Wider where records have got so."""
        if self._growth.width:
            raise Wider(self._growth.width)

    def _marks(self, text: bytes, at: int) -> counter.Marks:
        quote = self._dialect.quote
        return counter.mark(memoryview(text)[at:], self._dialect.delimiter[0], quote[0] if quote else None)

    def _regular_end(self, chunk: Chunk, marks: counter.Marks, at: int) -> int:
        """Where the records end that the fast count can vouch for."""
        if marks.irregular < 0 and chunk.is_last and not marks.open_at_end:
            return len(chunk.text)
        limit = marks.irregular if marks.irregular >= 0 else len(chunk.text) - at
        return at + counter.last_before(marks.ends, limit) + 1

    def _is_stuck(self, chunk: Chunk, at: int) -> bool:
        """Whether a quote is open that no further chunk may close."""
        return at < len(chunk.text) and (chunk.is_last or len(chunk.text) - at > LONGEST_RECORD)

    def _regular(self, chunk: Chunk, lines: Lines, start: int, end: int, marks: counter.Marks) -> Block:
        text, width = chunk.text, self._width
        data = text if start == 0 and end == len(text) else text[start:end]
        records = counter.count_before(marks.ends, len(data)) + (not data.endswith(b"\n"))
        delimiters = counter.count_before(marks.delimiters, len(data))
        if delimiters == records * (width - 1) and not (width == 1 and _may_hold_blanks(data)):
            # A short record may make up for a long one, which the engine then refuses.
            proof = partial(self._each, lines, start, data, marks)
            self._growth.take(np.full(1, width))
            return Block(data, records, records, has_empty_quoted=marks.has_empty_quoted, proof=proof)
        return self._each(lines, start, data, marks)

    def _each(self, lines: Lines, start: int, data: bytes, marks: counter.Marks) -> Block:
        """The records of regular DATA, which lies at START of its chunk: odd ones padded, cut or rejected."""
        ends = counter.positions(marks.ends, len(data))
        if not data.endswith(b"\n"):
            ends = np.append(ends, len(data))
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
        delimiters = counter.positions(marks.delimiters, len(data))
        counts = np.diff(np.searchsorted(delimiters, ends), prepend=0)
        sizes = ends - starts
        first = np.frombuffer(data, np.uint8)[np.minimum(starts, len(data) - 1)]
        blanks = (sizes == 0) | ((sizes == 1) & (first == 0x0D))
        self._growth.take((counts + 1)[~blanks])
        edit = _Edit(lines, start, self._dialect, self._width)
        for index in np.flatnonzero(blanks | (counts != self._width - 1)).tolist():
            edit.take(data, index, int(starts[index]), int(ends[index]), int(counts[index]), bool(blanks[index]))
        return edit.block(data, len(ends))

    def _exact(self, chunk: Chunk, lines: Lines, start: int, size: int) -> tuple[Block, int]:
        """The records from START on, about SIZE bytes of them, by the exact reader; and where they end."""
        text, at = chunk.text, start
        edit = _Edit(lines, 0, self._dialect, self._width)
        read = 0
        while at < min(len(text), start + size):
            record = read_record(text, at, self._dialect, self._width)
            if record.end >= len(text) and not chunk.is_last and len(text) - at <= LONGEST_RECORD:
                break
            edit.place(record, read, at)
            read += 1
            at = record.end
        return edit.block(b"", read), at


def _may_hold_blanks(data: bytes) -> bool:
    return data.startswith((b"\n", b"\r\n")) or b"\n\n" in data or b"\n\r\n" in data


class _Edit:
    """A block in the making: regular stretches as they are, odd records padded, cut, rejected or left out."""

    def __init__(self, lines: Lines, start: int, dialect: Dialect, width: int) -> None:
        self._lines = lines
        self._start = start
        self._dialect = dialect
        self._width = width
        self._pieces: list[bytes] = []
        self._copied = 0
        self._rejects: list[RejectedRecord] = []
        self._repaired = 0
        self._blank = 0
        self._left_out: list[int] = []

    def take(self, data: bytes, index: int, start: int, end: int, delimiters: int, is_blank: bool) -> None:
        """One odd record of regular DATA, its INDEX-th (blank lines counted), from START up to its line feed at END."""
        self._pieces.append(data[self._copied : start])
        self._copied = end + 1
        delimiter, excess = self._dialect.delimiter, delimiters - (self._width - 1)
        content = data[start:end].removesuffix(b"\r")
        if is_blank:
            self._blank += 1
            self._left_out.append(self._start + start)
        elif excess < 0:
            other = self._by_another_hand(content) if delimiters * 2 < self._width - 1 else None
            self._keep(other or content + delimiter * -excess)
        elif content.endswith(delimiter * excess):
            self._keep(content[: len(content) - excess * len(delimiter)])
        else:
            why = f"{delimiters + 1} fields where {self._width} belong"
            self._reject(index, self._start + start, self._start + end + 1, why)

    def place(self, record: Record, index: int, start: int) -> None:
        """One record from the exact reader, its INDEX-th (blank lines counted), which starts at START of its chunk."""
        fields = record.fields
        if fields in ([b""], [b"\r"]):
            self._blank += 1
            return
        found = len(fields)
        while len(fields) > self._width and not fields[-1]:
            fields.pop()
        if record.is_open:
            self._reject(index, start, record.end, "a quote is opened and never closed")
        elif len(fields) > self._width:
            self._reject(index, start, record.end, f"{found} fields where {self._width} belong")
        elif found == 1 and (other := self._by_another_hand(fields[0])):
            self._keep(other)
        else:
            self._repaired += found != self._width or not record.is_regular
            fields += [b""] * (self._width - len(fields))
            self._pieces.append(write_record(fields, self._dialect))

    def _by_another_hand(self, content: bytes) -> bytes | None:
        """A record as one of the dialect, where another delimiter parts it just right or it's in quotes as a whole."""
        fields = by_another_hand(content, self._dialect, self._width)
        return write_record(fields, self._dialect).removesuffix(b"\n") if fields else None

    def _keep(self, content: bytes) -> None:
        self._repaired += 1
        self._pieces.append(content + b"\n")

    def _reject(self, index: int, start: int, end: int, reason: str) -> None:
        self._left_out.append(start)
        number = index - self._blank
        line, byte = self._lines.locate(start)
        raw = self._lines.raw(start, end)
        self._rejects.append(
            RejectedRecord(record=number, line=line, byte=byte, reason=f"malformed: {reason}", raw=raw)
        )

    def block(self, data: bytes, records: int) -> Block:
        """What came of it; RECORDS is how many were seen, blank lines included."""
        self._pieces.append(data[self._copied :])
        read = records - self._blank
        return Block(
            b"".join(self._pieces),
            rows=read - len(self._rejects),
            read=read,
            rejects=self._rejects,
            repaired=self._repaired,
            blank=self._blank,
            left_out=self._left_out,
        )
