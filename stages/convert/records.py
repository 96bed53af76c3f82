"""The exact reader: one record at a time from text of any quoting, for what the fast count can't vouch for."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec


class Dialect(msgspec.Struct, frozen=True):
    """How fields are told apart: single bytes. `quote` is None where no byte quotes."""

    delimiter: bytes
    quote: bytes | None = b'"'


class Record(msgspec.Struct):
    """One record: its fields, where it ends (after its line end), whether its quoting was as it should be, and
    whether it opens a quote that it doesn't close."""

    fields: list[bytes]
    end: int
    is_regular: bool
    is_open: bool = False


@lru_cache(maxsize=64)
def _patterns(dialect: Dialect) -> tuple[re.Pattern[bytes], re.Pattern[bytes], re.Pattern[bytes]]:
    """A field followed by its border: by the rules; with stray quotes inside its line; with quotes as plain bytes."""
    delimiter = re.escape(dialect.delimiter)
    border = rb"(" + delimiter + rb"|\r?\n|\r?\Z)"
    plain = rb"([^" + delimiter + rb"\n]*?)" + border
    literal = re.compile(plain)
    if dialect.quote is None:
        return literal, literal, literal
    quote = re.escape(dialect.quote)
    strict = re.compile(quote + rb"((?:[^" + quote + rb"]|" + quote * 2 + rb")*+)" + quote + border + rb"|" + plain)
    lenient = re.compile(quote + rb"([^\n]*?)" + quote + border + rb"|" + plain)
    return strict, lenient, literal


def read_record(text: bytes, start: int, dialect: Dialect, width: int) -> Record:
    """The record of TEXT at START, read in the way that gives WIDTH fields: by the rules, else with stray quotes
    taken as they stand. WIDTH 0 takes what the rules say."""
    strict, lenient, literal = _patterns(dialect)
    by_rules = _read(text, start, strict, dialect)
    if by_rules.is_regular and (width == 0 or len(by_rules.fields) == width):
        return by_rules
    for pattern in (lenient, literal):
        other = _read(text, start, pattern, dialect)
        if len(other.fields) == width and not _has_open_quote(other.fields, dialect):
            return Record(other.fields, other.end, False)
    spans_lines = by_rules.end > _line_end(text, start)
    if by_rules.is_regular and not spans_lines:
        return by_rules
    fields = _read(text, start, lenient, dialect).fields
    return Record(fields, _line_end(text, start), False, _has_open_quote(fields, dialect))


def _has_open_quote(fields: list[bytes], dialect: Dialect) -> bool:
    """Whether a field opens a quote that it doesn't close."""
    quote = dialect.quote
    return quote is not None and any(field.startswith(quote) and field.count(quote) % 2 for field in fields)


def _line_end(text: bytes, start: int) -> int:
    found = text.find(b"\n", start)
    return found + 1 if found >= 0 else len(text)


def _read(text: bytes, start: int, pattern: re.Pattern[bytes], dialect: Dialect) -> Record:
    fields: list[bytes] = []
    quote = dialect.quote
    is_regular = True
    position = start
    while True:
        found = pattern.match(text, position)
        assert found is not None, "the plain alternative matches anything"
        quoted = found.lastindex == 2 and found.re.groups == 4
        value, border = (found[1], found[2]) if quoted or found.re.groups == 2 else (found[3], found[4])
        if quoted and quote is not None:
            value = value.replace(quote * 2, quote)
        elif quote is not None and quote in value:
            is_regular = False
        fields.append(value)
        position = found.end()
        if border != dialect.delimiter:
            return Record(fields, position, is_regular)


def write_record(fields: list[bytes], dialect: Dialect) -> bytes:
    """FIELDS as one regular record of DIALECT, with its line end."""
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
