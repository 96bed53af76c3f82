"""A file's bytes as UTF-8 text in chunks that end where lines end, and where a place of the text lies in the file."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from stages.convert.source import Source
from stages.convert.text.encoding import Encoding, check_guess, stray_lines, to_utf8

LONGEST_LINE = 128 * 1024 * 1024
_TAIL = 32 * 1024  # bytes at a chunk's end in which a line mostly ends
_STRIP = 256 * 1024  # bytes that stay in the cache


class LineTooLong(Exception):
    """A line is longer than is held at once."""


class Chunk(msgspec.Struct):
    """Some whole lines (the last may lack its end at the source's end): `text` is UTF-8, `raw` the source's bytes.

    `at` is raw's position in the source, `line` the number of its first line.
    """

    text: bytes
    raw: bytes
    at: int
    line: int
    is_last: bool
    codec: str = "utf-8"
    line_end: bytes = b"\n"  # what ends lines in raw; in text it's always a line feed, once it's normal
    strays: int = 0  # lines with bytes that have no meaning in the encoding
    ends: int = -1  # how many lines of text have an end, once that's known

    def tail(self, start: int, lines: Lines) -> Chunk:
        """What's left from START of text on, which is a line's start."""
        line, byte = lines.locate(start)
        return Chunk(self.text[start:], self.raw[byte - self.at :], byte, line, self.is_last, self.codec, self.line_end)

    def joined(self, after: Chunk) -> Chunk:
        """This chunk and the one that follows, as one."""
        text = self.text + after.text
        raw = text if self.raw is self.text and after.raw is after.text else self.raw + after.raw
        return Chunk(text, raw, self.at, self.line, after.is_last, self.codec, self.line_end, after.strays)


class Lines:
    """The lines of a chunk, to find a place of its text in the source. Text and raw have the same lines."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._text_ends: npt.NDArray[np.int64] | None = None
        self._raw_starts: npt.NDArray[np.int64] | None = None

    def locate(self, position: int) -> tuple[int, int]:
        """The line number and byte position in the source of a line that starts at POSITION of text."""
        chunk = self._chunk
        if position == 0:
            return chunk.line, chunk.at
        if self._text_ends is None:
            self._text_ends = np.flatnonzero(np.frombuffer(chunk.text, np.uint8) == 0x0A)
        lines = int(np.searchsorted(self._text_ends, position))
        if chunk.raw is chunk.text:
            return chunk.line + lines, chunk.at + position
        if self._raw_starts is None:
            self._raw_starts = np.append(
                _raw_line_ends(chunk.raw, chunk.line_end.decode().encode(chunk.codec)), len(chunk.raw)
            )
        return chunk.line + lines, chunk.at + (int(self._raw_starts[lines - 1]) if lines else 0)

    def raw(self, start: int, end: int) -> bytes:
        """The source's bytes of the lines from START up to END of text, without the last line end."""
        chunk = self._chunk
        first = self.locate(start)[1] - chunk.at
        last = len(chunk.raw) if end >= len(chunk.text) else self.locate(end)[1] - chunk.at
        return _strip(chunk.raw[first:last], chunk)


def _strip(raw: bytes, chunk: Chunk) -> bytes:
    """RAW, of CHUNK, without the line end at its end."""
    return raw.removesuffix(chunk.line_end.decode().encode(chunk.codec)).removesuffix("\r".encode(chunk.codec))


def _raw_line_ends(raw: bytes, mark: bytes) -> npt.NDArray[np.int64]:
    """The positions right after each MARK, in units of whose size RAW is made."""
    units = np.frombuffer(raw, f"V{len(mark)}", count=len(raw) // len(mark)).view(f"u{len(mark)}")
    wanted = np.frombuffer(mark, f"u{len(mark)}")[0]
    return (np.flatnonzero(units == wanted) + 1) * len(mark)


def chunks(source: Source, encoding: Encoding, size: int, line_end: bytes = b"\n") -> Iterator[Chunk]:
    """SOURCE in chunks of about SIZE raw bytes, cut after a LINE_END. At least one chunk, even if empty.
    Raises Misjudged and LineTooLong."""
    at, line = encoding.bom, 1
    mark = line_end.decode().encode(encoding.codec)
    while True:
        wanted = _whole_lines(source, at, size, mark)
        raw = source.read(at, wanted)
        is_last = at + len(raw) >= source.length or len(raw) < wanted
        check_guess(raw, encoding)
        text = to_utf8(raw, encoding.codec)
        if is_last and text.endswith(b"\0"):  # room that was made and never filled
            text = text.rstrip(b"\0")
        strays = 0 if encoding.codec == "utf-8" and text is raw else stray_lines(raw, encoding.codec)
        chunk = Chunk(text, raw, at, line, is_last, encoding.codec, line_end, strays)
        yield chunk
        if is_last:
            return
        line += chunk.ends if chunk.ends >= 0 else count_ends(text, line_end)
        at += len(raw)


def _whole_lines(source: Source, at: int, size: int, mark: bytes) -> int:
    """How many bytes from AT on, SIZE or fewer, hold whole lines that end in MARK; more where a line is longer. So they
    can be read in one piece, and none is copied. Raises LineTooLong."""
    step = size
    while at + size < source.length:
        for back in (_TAIL, step):
            start = max(0, size - back) // len(mark) * len(mark)
            end = _last_line_end(source.read(at + start, size - start), mark)
            if end:
                return start + end
        if size > LONGEST_LINE:
            raise LineTooLong
        size += step
    return max(0, source.length - at)


def count_ends(text: bytes, mark: bytes) -> int:
    """How often MARK, which ends lines, is in TEXT."""
    if len(mark) > 1:
        return text.count(mark)
    array = np.frombuffer(text, np.uint8)  # some times as fast
    strips = (array[start : start + _STRIP] for start in range(0, array.size, _STRIP))
    return sum(int(np.count_nonzero(strip == mark[0])) for strip in strips)


def _last_line_end(raw: bytes, mark: bytes) -> int:
    """The position after the last MARK in RAW, which is made of units of MARK's size; 0 where there is none."""
    found = raw.rfind(mark)
    while found >= 0 and found % len(mark):
        found = raw.rfind(mark, 0, found + len(mark) - 1)
    return found + len(mark) if found >= 0 else 0
