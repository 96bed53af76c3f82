"""Records and headers that another hand wrote than the rest of their file: with another delimiter, or in quotes as a
whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stages.convert.text.records import Dialect, read_record
from stages.convert.values.header import decide

_DELIMITERS = (b",", b";", b"\t", b"|")  # that files put together from others may have as well
_BY_SIGHT = (b"||", b", ", b":", b" ")  # what a header may also have, where nothing else is one
_LONGEST_NAME = 100


def usual_width(rows: Sequence[Sequence[object]]) -> int:
    """How many fields most of ROWS have; the larger of two as common."""
    widths = Counter(map(len, rows))
    return max(widths, key=lambda width: (widths[width], width), default=0)


def by_another_hand(content: bytes, dialect: Dialect, width: int) -> list[bytes] | None:
    """The WIDTH fields of CONTENT, a record without its line end that isn't one in DIALECT; None where no other way
    parts it just right."""
    if width < 3:
        return None
    for mark in _DELIMITERS:
        if mark != dialect.delimiter and content.count(mark) >= width - 1:
            found = _parted(content, Dialect(mark, dialect.quote), width)
            if found:
                return found
    return _out_of_quotes(content, dialect, width)


def _parted(content: bytes, dialect: Dialect, width: int) -> list[bytes] | None:
    found = read_record(content, 0, dialect, width)
    is_right = len(found.fields) == width and found.is_regular and found.end == len(content)
    return found.fields if is_right else None


def _out_of_quotes(content: bytes, dialect: Dialect, width: int) -> list[bytes] | None:
    """The fields of CONTENT where it's one field in quotes that is a record itself."""
    quote = dialect.quote
    if not quote or not (content.startswith(quote) and content.endswith(quote)):
        return None
    outer = read_record(content, 0, dialect, 1)
    return _parted(outer.fields[0], dialect, width) if len(outer.fields) == 1 and outer.is_regular else None


def parted_header(rows: list[list[str]], raw: Sequence[bytes], dialect: Dialect) -> list[list[str]]:
    """ROWS, of which RAW are the texts, with the header parted that stands above the records in another way."""
    width = usual_width(rows)
    at = next((index for index, row in enumerate(rows) if len(row) == width), 0) - 1
    while at >= 0 and not any(cell.strip() for cell in rows[at]):
        at -= 1
    if at < 0 or width < 2 or (at and by_another_hand(raw[at - 1].rstrip(b"\r\n"), dialect, width)):
        return rows
    names = _names(raw[at], dialect, width, rows[at + 1 :])
    return [*rows[:at], names, *rows[at + 1 :]] if names else rows


def _names(text: bytes, dialect: Dialect, width: int, below: Sequence[Sequence[str]]) -> list[str] | None:
    """The names that TEXT has for the records BELOW."""
    content = text.rstrip(b"\r\n")
    names = _as_names(by_another_hand(content, dialect, width), width)
    if names is None and not decide(below).is_present:
        for mark in (*_DELIMITERS, *_BY_SIGHT):
            parts = content.split(mark)
            if mark != dialect.delimiter and names is None and len(parts) == width and (width > 2 or mark != b" "):
                names = _as_names(parts, width)
    return names


def _as_names(fields: Sequence[bytes] | None, width: int) -> list[str] | None:
    """FIELDS as text, if they may be names."""
    names = [field.decode("utf-8", "replace").strip(" \"'") for field in fields or ()]
    is_named = all(name and len(name) <= _LONGEST_NAME and not name[0].isdigit() for name in names)
    is_named = is_named and all(name.count("(") == name.count(")") for name in names)
    return names if is_named and len(set(names)) == width else None
