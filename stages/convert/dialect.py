"""How a delimited file tells fields apart, by evidence: how alike its records are, and how much their values look
like values."""

from __future__ import annotations

from collections import Counter

import msgspec

from stages.convert.kinds import TEXT, classify
from stages.convert.records import Dialect, read_record

DELIMITERS = (b",", b";", b"\t", b"|", b":", b"~", b"^", b"\x1f", b"\x01", b" ")
QUOTES = (b'"', b"'")
_RECORDS = 60  # looked at for each candidate


class Choice(msgspec.Struct, frozen=True):
    """A dialect, the records of the sample read so, and how sure it is, 0 to 1."""

    dialect: Dialect
    rows: list[list[str]]
    starts: list[int]  # where each of the rows starts, one more for where the last ends
    confidence: float


def choose(text: bytes, is_whole: bool) -> Choice:
    """The dialect that fits TEXT best; a part of a record at its end counts only if it's the WHOLE file."""
    candidates = [_try(text, Dialect(mark, quote), is_whole) for mark, quote in _candidates(text)]
    return max(candidates, key=lambda choice: choice.confidence)


def _candidates(text: bytes) -> list[tuple[bytes, bytes | None]]:
    marks = [mark for mark in DELIMITERS if mark in text] or [b","]
    quotes: list[bytes | None] = [quote for quote in QUOTES if quote in text] or [b'"']
    return [(mark, quote) for mark in marks for quote in quotes]


def _try(text: bytes, dialect: Dialect, is_whole: bool) -> Choice:
    rows: list[list[str]] = []
    starts = [0]
    regular = 0
    while starts[-1] < len(text) and len(rows) < _RECORDS:
        record = read_record(text, starts[-1], dialect, 0)
        if record.end >= len(text) and not is_whole and rows:
            break
        rows.append([field.decode("utf-8", "replace") for field in record.fields])
        starts.append(record.end)
        regular += record.is_regular
    filled = [row for row in rows if row not in ([""], ["\r"])]
    return Choice(dialect, rows, starts, _score(filled, dialect) * (regular + 1) / (len(rows) + 1))


def _score(rows: list[list[str]], dialect: Dialect) -> float:
    """Alikeness of the rows' widths times the share of cells that look like values."""
    if not rows:
        return 0.0
    widths = Counter(map(len, rows))
    alike = sum(count * max(0.001, width - 1) / width for width, count in widths.items()) / len(widths) / len(rows)
    cells = [cell for row in rows[:20] for cell in row]
    typed = sum(_looks_like_value(cell) for cell in cells) / max(1, len(cells))
    bias = {b",": 1.0, b";": 1.0, b"\t": 1.0, b"|": 0.98, b":": 0.6, b" ": 0.5}.get(dialect.delimiter, 0.8)
    return alike * (0.2 + 0.8 * typed) * bias * (1.0 if dialect.quote == b'"' else 0.97)


def _looks_like_value(cell: str) -> bool:
    if classify(cell.strip()) != TEXT or not cell:
        return True
    return not any(mark in cell for mark in ',;\t|"\n') and cell == cell.strip()
