"""Which encoding a file's text is in, and its bytes as UTF-8."""

from __future__ import annotations

import codecs
import threading
from collections.abc import Iterator

import msgspec
import polars as pl

from stages.convert.source import Source
from stages.convert.text import legacy

HEAD = 256 * 1024
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
