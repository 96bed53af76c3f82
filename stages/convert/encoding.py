"""Which encoding a file's text is in, and its bytes as UTF-8 text in chunks that end where lines end."""

from __future__ import annotations

import codecs
import threading
from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from stages.convert import legacy
from stages.convert.source import Source

HEAD = 256 * 1024
LONGEST_LINE = 128 * 1024 * 1024
_TAIL = 32 * 1024  # bytes at a chunk's end in which a line mostly ends
_PIECE = 4 * 1024 * 1024  # bytes that are looked at together
_MUCH = 256 * 1024  # bytes that stay in the cache
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Encoding(msgspec.Struct, frozen=True):
    """`codec` in Python's words, the length of the byte order mark, and how sure this is, 0 to 1."""

    codec: str
    bom: int = 0
    confidence: float = 1.0
    is_proven: bool = True  # False where only ASCII was seen, which most encodings share


class Misjudged(Exception):
    """What follows is in another ENCODING than the first bytes, all ASCII, suggested."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__(encoding.codec)
        self.encoding = encoding


class LineTooLong(Exception):
    """A line is longer than is held at once."""


def detect(head: bytes, *, is_whole: bool) -> Encoding | None:
    """The encoding of a text that starts with HEAD, or None where it's no text."""
    for bom, codec in _BOMS:
        if head.startswith(bom):
            return Encoding(codec, len(bom))
    if b"\0" in head:
        found = _by_zeros(head)
        if found is not None or not _has_few_zeros(head.rstrip(b"\0")):
            return found
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, is_whole)
    except UnicodeDecodeError:
        return None if _is_binary(head) else _mostly_utf8(head) or _legacy(head)
    return Encoding("utf-8", is_proven=not head.isascii())


_ZEROS = 50  # bytes of text for each that is zero, or more: what is left of a crash, or stands for an empty cell
_SOME = 3  # of them, or one a line, in a text that is short and has no other control characters


def _has_few_zeros(head: bytes) -> bool:
    zeros = head.count(0)
    if zeros * _ZEROS <= len(head):
        return True
    is_plain = len(head.translate(None, _CONTROLS)) == len(head) and b"\0\0" not in head
    return is_plain and zeros <= max(min(_SOME, len(head) // 8), head.count(b"\n"))


def _by_zeros(head: bytes) -> Encoding | None:
    """UTF-16 and UTF-32 without a mark show by where their zero bytes are."""
    for codec, top in (("utf-32-le", 3), ("utf-32-be", 0)):
        if not any(head[top::4][: len(head) // 4]) and _is_utf32(head[: len(head) // 4 * 4], codec):
            return Encoding(codec, confidence=0.9)
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > len(head) // 8 and (even < odd // 8 or odd * 2 == len(head) > even * 50) and _is_utf16(head, "utf-16-le"):
        return Encoding("utf-16-le", confidence=0.9)
    if even > len(head) // 8 and (odd < even // 8 or even * 2 == len(head) > odd * 50) and _is_utf16(head, "utf-16-be"):
        return Encoding("utf-16-be", confidence=0.9)
    return None


def _is_utf16(head: bytes, codec: str) -> bool:
    """Whether HEAD is text in CODEC: numbers of two bytes would be control characters too."""
    text = head.decode(codec, "replace")
    return sum(map(_is_control, text)) * 50 <= len(text)


def _is_utf32(head: bytes, codec: str) -> bool:
    """Whether HEAD is text in CODEC: numbers of four bytes would be control characters, or rare ones."""
    try:
        text = head.decode(codec)
    except UnicodeDecodeError:
        return False
    return (
        len(text) >= 8 and sum(map(_is_control, text)) * 200 <= len(text) and sum(map(_is_rare, text)) * 2 < len(text)
    )


def _is_control(character: str) -> bool:
    return character < " " and character not in "\t\n\r\x1b\x1f"


def _is_rare(character: str) -> bool:
    return character > "\uffff"


def _mostly_utf8(head: bytes) -> Encoding | None:
    """UTF-8 where nearly all that isn't ASCII is valid, or most lines that could tell are: no other encoding's text is,
    but by rare chance."""
    lines = [line for line in head.split(b"\n") if not line.isascii()]
    valid = sum(map(is_utf8, lines))
    if valid * 2 > len(lines):
        return Encoding("utf-8", confidence=round(valid / len(lines), 2))
    before = _met.count
    text = head.decode("utf-8", "stampmill.marked")
    strays = _met.count - before
    characters = len(text) - len(text.encode("ascii", "ignore")) - strays
    is_likely = characters >= _NEARLY_ALL * strays or characters >= strays == 1
    return Encoding("utf-8", confidence=round(characters / (characters + strays), 2)) if is_likely else None


_NEARLY_ALL = 2  # characters for each byte that is none


def _is_binary(head: bytes) -> bool:
    return len(head) - len(head.translate(None, _CONTROLS)) > len(head) // 200


def _legacy(head: bytes) -> Encoding:
    found = legacy.guess(head)
    return Encoding(found.codec, confidence=found.confidence)


_CONTROLS = bytes((*range(1, 9), *range(14, 27), *range(28, 31)))


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
        line += chunk.ends if chunk.ends >= 0 else count(text, line_end)
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


def count(text: bytes, mark: bytes) -> int:
    """How often MARK is in TEXT."""
    if len(mark) > 1:
        return text.count(mark)
    array = np.frombuffer(text, np.uint8)  # some times as fast
    strips = (array[start : start + _MUCH] for start in range(0, array.size, _MUCH))
    return sum(int(np.count_nonzero(strip == mark[0])) for strip in strips)


def _last_line_end(raw: bytes, mark: bytes) -> int:
    """The position after the last MARK in RAW, which is made of units of MARK's size; 0 where there is none."""
    found = raw.rfind(mark)
    while found >= 0 and found % len(mark):
        found = raw.rfind(mark, 0, found + len(mark) - 1)
    return found + len(mark) if found >= 0 else 0


def to_utf8(raw: bytes, codec: str) -> bytes:
    """RAW as UTF-8; a stray byte that has no meaning in CODEC is read as cp1252 or Latin-1 would."""
    if codec == "utf-8":
        return raw if is_utf8(raw) else raw.decode("utf-8", "stampmill.stray").encode()
    return raw.decode(codec, "stampmill.stray").encode("utf-8", "replace")


def is_utf8(raw: bytes) -> bool:
    """Whether RAW is valid UTF-8."""
    if raw.isascii():
        return True
    if len(raw) > _MUCH:
        return _is_much_utf8(raw)
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_much_utf8(raw: bytes) -> bool:
    """The same by an engine, some times as fast, in pieces that stay in the cache."""
    start = 0
    while start < len(raw):
        end = min(start + _MUCH, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80 and end - start > _MUCH - 4:  # within a character
            end -= 1
        try:
            pl.Series([raw[start:end]], dtype=pl.Binary).cast(pl.String)
        except pl.exceptions.PolarsError:
            return False
        start = end
    return True


class _Met(threading.local):
    """How many stray bytes a thread has met."""

    count = 0


_met = _Met()


def _stray(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    _met.count += 1
    if error.encoding.lower().startswith(("utf-16", "utf-32")):
        return "\ufffd", error.end
    byte = error.object[error.start : error.start + 1]
    try:
        return byte.decode("cp1252"), error.start + 1
    except UnicodeDecodeError:
        return byte.decode("latin-1"), error.start + 1


def _marked(error: UnicodeError) -> tuple[str, int]:
    return "\ufdd0", _stray(error)[1]  # what no text has


codecs.register_error("stampmill.stray", _stray)
codecs.register_error("stampmill.marked", _marked)


def marked(raw: bytes, codec: str) -> bytes:
    """RAW as UTF-8, with a character that no text has for what `to_utf8` would read as another encoding's."""
    return raw.decode(codec, "stampmill.marked").encode("utf-8", "replace")


def rewritten(source: Source, encoding: Encoding, size: int) -> Iterator[tuple[bytes, int]]:
    """SOURCE as UTF-8, about SIZE bytes at a time, each with how many stray bytes are in it."""
    decoder = codecs.getincrementaldecoder(encoding.codec)("stampmill.stray")
    at = encoding.bom
    while piece := source.read(at, size):
        at += len(piece)
        before = _met.count
        text = decoder.decode(piece, at >= source.length).encode("utf-8", "replace")
        yield text, _met.count - before


def stray_piece(source: Source, encoding: Encoding) -> bytes:
    """The first piece of SOURCE, UTF-8 as it's thought to be, that isn't; nothing where all of it is."""
    rest, at = b"", encoding.bom
    while piece := source.read(at, _PIECE):
        at += len(piece)
        piece = rest + piece
        end = _whole_characters(piece)
        if not is_utf8(piece[:end]):
            return piece
        rest = piece[end:]
    return b"" if is_utf8(rest) else rest


def _whole_characters(piece: bytes) -> int:
    """Where the last character of PIECE begins, if it has several bytes and may not be whole; else the end."""
    for back in range(1, min(4, len(piece)) + 1):
        if piece[-back] >= 0xC0:
            return len(piece) - back
    return len(piece)


def stray_lines(raw: bytes, codec: str) -> int:
    """How many lines of RAW hold bytes that have no meaning in CODEC."""
    if codec == "utf-8" and is_utf8(raw):
        return 0
    try:
        raw.decode(codec)
    except UnicodeDecodeError:
        if codec.startswith(("utf-16", "utf-32")):
            return 1
        return sum(1 for line in raw.split(b"\n") if not _is_valid(line, codec))
    return 0


def _is_valid(line: bytes, codec: str) -> bool:
    try:
        line.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def check_guess(raw: bytes, encoding: Encoding) -> None:
    """Raises Misjudged where ENCODING was guessed from ASCII alone and RAW, further on, says otherwise."""
    if encoding.is_proven or encoding.codec != "utf-8" or raw.isascii():
        return
    if is_utf8(raw):
        return
    text = b"\n".join(line for line in raw.split(b"\n") if not line.isascii())[:HEAD] + b"\n"
    if _mostly_utf8(text) is None:
        found = legacy.guess(text)
        raise Misjudged(Encoding(found.codec, 0, found.confidence))
