"""The exact reader: one record at a time from text of any quoting, for what the fast count can't vouch for."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec


class Dialect(msgspec.Struct, frozen=True):
    """How fields are told apart: single bytes. `quote` is None where no byte quotes; `is_padded` says that blanks may
    stand before a quote."""

    delimiter: bytes
    quote: bytes | None = b'"'
    is_padded: bool = False


class Record(msgspec.Struct):
    """One record: its fields, where it ends (after its line end), whether its quoting was as it should be, and
    whether it opens a quote that it doesn't close."""

    fields: list[bytes]
    end: int
    is_regular: bool
    is_open: bool = False


class _Patterns(msgspec.Struct, frozen=True):
    """A field and its border, quoted or plain: by the rules; with stray quotes within a line; with no quotes at all."""

    strict: re.Pattern[bytes]
    lenient: re.Pattern[bytes]
    literal: re.Pattern[bytes]


@lru_cache(maxsize=64)
def _patterns(dialect: Dialect) -> _Patterns:
    delimiter = re.escape(dialect.delimiter)
    border = rb"(?P<border>" + delimiter + rb"|\r?\n|\r?\Z)"
    plain = rb"(?P<plain>[^" + delimiter + rb"\n]*?)" + border
    literal = re.compile(plain)
    if dialect.quote is None:
        return _Patterns(literal, literal, literal)
    quote, pad = re.escape(dialect.quote), rb"[ ]*" if dialect.is_padded else rb""
    inner = rb"(?P<quoted>(?:[^" + quote + rb"]|" + quote * 2 + rb")*+)"
    after = border.replace(b"<border>", b"<after>")
    strict = re.compile(pad + quote + inner + quote + pad + after + rb"|" + plain)
    lenient = re.compile(pad + quote + rb"(?P<quoted>[^\n]*?)" + quote + pad + after + rb"|" + plain)
    return _Patterns(strict, lenient, literal)


def read_record(text: bytes, start: int, dialect: Dialect, width: int) -> Record:
    """The record of TEXT at START, read in the way that gives WIDTH fields: by the rules, else with stray quotes
    taken as they stand. WIDTH 0 takes what the rules say."""
    line_end = _line_end(text, start)
    if dialect.quote is None or text.find(dialect.quote, start, line_end) < 0:
        line = text[start:line_end].removesuffix(b"\n").removesuffix(b"\r")
        return Record(line.split(dialect.delimiter), line_end, True)
    patterns = _patterns(dialect)
    by_rules = _read(text, start, patterns.strict, dialect)
    if by_rules.is_regular and width in (0, len(by_rules.fields)):
        return by_rules
    lenient = _read(text, start, patterns.lenient, dialect)
    for other in (lenient, _read(text, start, patterns.literal, dialect)) if width else ():
        if len(other.fields) == width and not _has_open_quote(other.fields, dialect):
            return Record(other.fields, other.end, False)
    if by_rules.is_regular and (by_rules.end <= line_end or not _swallows(text, line_end, dialect, width)):
        return by_rules
    return Record(lenient.fields, line_end, False, _has_open_quote(lenient.fields, dialect))


def _swallows(text: bytes, start: int, dialect: Dialect, width: int) -> bool:
    """Whether the line at START, which a quote opened before it encloses, is a good record by itself."""
    record = _read(text, start, _patterns(dialect).strict, dialect)
    return record.is_regular and len(record.fields) == width and record.end == _line_end(text, start)


def _has_open_quote(fields: list[bytes], dialect: Dialect) -> bool:
    """Whether a field opens a quote that it doesn't close."""
    quote = dialect.quote
    return quote is not None and any(field.startswith(quote) and field.count(quote) % 2 for field in fields)


def _line_end(text: bytes, start: int) -> int:
    found = text.find(b"\n", start)
    return found + 1 if found >= 0 else len(text)


def _read(text: bytes, start: int, pattern: re.Pattern[bytes], dialect: Dialect) -> Record:
    fields: list[bytes] = []
    quote, patterns = dialect.quote, _patterns(dialect)
    is_regular = True
    position, border = start, dialect.delimiter
    stop = -1
    while border == dialect.delimiter:
        if stop < position:
            stop = text.find(b"\n", position)
            stop = stop if stop >= 0 else len(text)
        near = text.find(quote, position, stop) if quote and pattern is not patterns.literal else -1
        if near < 0:  # nothing on this line needs a closer look
            rest = text[position:stop].removesuffix(b"\r")
            is_regular = is_regular and (quote is None or quote not in rest)
            return Record(fields + rest.split(dialect.delimiter), min(stop + 1, len(text)), is_regular)
        plain_end = text.rfind(dialect.delimiter, position, near)
        if plain_end >= 0:
            fields += text[position:plain_end].split(dialect.delimiter)
            position = plain_end + 1
        if text[position:near].strip(b" " if dialect.is_padded else b""):  # a quote within a field that it doesn't open
            end = text.find(dialect.delimiter, near, stop)
            is_regular = False
            if end < 0:
                fields.append(text[position:stop].removesuffix(b"\r"))
                return Record(fields, min(stop + 1, len(text)), is_regular)
            fields.append(text[position:end])
            position = end + 1
            continue
        found = pattern.match(text, position)
        assert found is not None, "the plain alternative matches anything"
        if found.lastgroup == "border":
            value, border = found["plain"], found["border"]
            if pattern is patterns.lenient and quote and value.startswith(quote):
                pattern = patterns.literal  # no quote closes on this line any more
            is_regular = is_regular and (quote is None or quote not in value)
        else:
            value, border = found["quoted"], found["after"]
            value = value.replace(quote * 2, quote) if quote else value
        fields.append(value)
        position = found.end()
    return Record(fields, position, is_regular)


def write_record(fields: list[bytes], dialect: Dialect) -> bytes:
    """FIELDS as one regular record of DIALECT, with its line end. Without a quote they can't hold what parts them."""
    quote = dialect.quote
    if quote is None:
        return dialect.delimiter.join(fields) + b"\n"
    special = (quote, dialect.delimiter, b"\n", b"\r")
    return (
        dialect.delimiter.join(
            quote + field.replace(quote, quote * 2) + quote if any(mark in field for mark in special) else field
            for field in fields
        )
        + b"\n"
    )
