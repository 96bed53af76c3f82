"""How a delimited file tells fields apart, by evidence: how alike its records are, and how much their values look
like values."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from stages.convert.kinds import NULL, TEXT, classify
from stages.convert.normal import Normal, Written, normal
from stages.convert.records import read_record

COMMON = (b",", b";", b"\t", b"|")
QUOTES = (b'"', b"'", b"`")
LINES = 200  # looked at where a file isn't plainly regular
_QUICK_LINES = 48
_PRIOR = {b",": 1.0, b";": 1.0, b"\t": 1.0, b"|": 0.97, b" ": 0.6, b":": 0.7}
_OTHER_PRIOR = 0.75
_NO_DELIMITERS = frozenset(b"\r\n\"'`._-/\\@")


class Choice(msgspec.Struct, frozen=True):
    """How a file is written, how to read it, the records of the sample read so, and how sure it is, 0 to 1."""

    written: Written
    normal: Normal
    rows: list[list[str]]
    starts: list[int]  # where in the normal text each of the rows starts; one more for where the last ends
    confidence: float


def choose(text: bytes, *, is_whole: bool) -> Choice:
    """The dialect that fits TEXT best. A record that TEXT's end cuts counts only if that's the WHOLE file."""
    quick = _quick(text, is_whole)
    if quick is not None:
        return quick
    line_end = _line_end(text)
    sample = _first_lines(text.replace(line_end, b"\n"), LINES)
    best = max(
        ((_score(sample, written), written) for written in _candidates(sample)),
        key=lambda scored: scored[0],
        default=None,
    )
    score, written = best or (0.0, Written(b","))
    return _read(text, msgspec.structs.replace(written, line_end=line_end), score, is_whole)


def _line_end(text: bytes) -> bytes:
    for mark in (b"\n", b"\r", b"\x1e"):
        if mark in text:
            return mark
    return b"\n"


def _first_lines(text: bytes, count: int) -> bytes:
    at = -1
    for _line in range(count):
        at = text.find(b"\n", at + 1)
        if at < 0:
            return text
    return text[: at + 1]


def _quick(text: bytes, is_whole: bool) -> Choice | None:
    """The dialect of a file that's plainly regular: one delimiter alone parts all of its first lines alike."""
    first = text[: text.find(b"\n") + 1]
    sample = _first_lines(text, _QUICK_LINES)
    if not first or _ODD.search(sample):
        return None
    found = [(mark, rows) for mark in COMMON if mark in first and (rows := _alike(sample, mark))]
    if len(found) != 1 or found[0][0] + b" " in first:
        return None
    delimiter, rows = found[0]
    if len(sample) < len(text) or not is_whole:
        rows = rows[:-1]
    lines = sample.split(b"\n")
    starts = [0, *itertools.accumulate(len(line) + 1 for line in lines)]
    ends = [starts[min(line, len(lines))] for line, _row in rows]
    written = Written(delimiter)
    return Choice(written, normal(written), [row for _line, row in rows], [0, *ends], 1.0) if len(rows) > 1 else None


# Other quotes, escapes and blanks around fields call for a closer look.
_ODD = re.compile(rb"(?:^|[,;\t|\n])[ ]*['`]|\\[\"',;\t|]|[,;\t|] +\"|\" +[,;\t|\n]", re.MULTILINE)


def _alike(sample: bytes, delimiter: bytes) -> list[tuple[int, list[str]]]:
    """The records of SAMPLE, each with the number of lines up to its end; none if they aren't all of one width."""
    reader = csv.reader(
        io.StringIO(sample.decode("utf-8", "replace"), newline=""), delimiter=delimiter.decode(), strict=True
    )
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            if len(row) < 2 or len(row) != len(rows[0][1] if rows else row):
                return []
            rows.append((reader.line_num, row))
    except csv.Error:
        return rows if len(rows) > 2 else []
    return rows


def _candidates(sample: bytes) -> Iterator[Written]:
    lines = [line for line in sample.split(b"\n") if line.strip()]
    quotes = [quote for quote in QUOTES if quote in sample] or [b'"']
    for delimiter in _delimiters(sample, lines):
        for quote in quotes:
            escapes = [None, b"\\"] if b"\\" + quote in sample or b"\\" + delimiter in sample else [None]
            is_padded = delimiter != b" " and sample.count(delimiter + b" ") * 2 > sample.count(delimiter)
            for escape in escapes:
                yield Written(
                    delimiter, quote, escape, is_padded=is_padded, is_collapsed=_is_collapsed(delimiter, sample)
                )
        if any(quote in sample for quote in QUOTES):
            yield Written(delimiter, None)


def _is_collapsed(delimiter: bytes, sample: bytes) -> bool:
    return delimiter == b" " and b"  " in sample


def _delimiters(sample: bytes, lines: Sequence[bytes]) -> list[bytes]:
    """The bytes that may part fields: they stand in many lines; twice in a row, if they always do."""
    present = Counter(byte for line in lines for byte in set(line))
    found = []
    for byte, count in present.items():
        mark = bytes((byte,))
        is_word = mark.isalnum() or byte >= 0x80 or byte in _NO_DELIMITERS
        if is_word or (mark not in COMMON and count * 2 < len(lines)):
            continue
        doubles = sample.count(mark * 2)
        found.append(mark * 2 if doubles and doubles * 2 == sample.count(mark) and mark != b" " else mark)
    return found or [b","]


def _rows(sample: bytes, written: Written) -> list[list[str]]:
    """SAMPLE's records as Python's reader has them: quick, and lenient enough to compare dialects by."""
    if len(written.delimiter) > 1:
        sample = sample.replace(written.delimiter, b"\x1f")
    reader = csv.reader(
        io.StringIO(sample.decode("utf-8", "replace"), newline=""),
        delimiter=written.delimiter.decode() if len(written.delimiter) == 1 else "\x1f",
        quotechar=written.quote.decode() if written.quote else None,
        quoting=csv.QUOTE_MINIMAL if written.quote else csv.QUOTE_NONE,
        escapechar=written.escape.decode() if written.escape else None,
        doublequote=written.escape is None,
        skipinitialspace=written.is_padded or written.is_collapsed,
    )
    rows: list[list[str]] = []
    try:
        rows.extend(reader)
    except csv.Error:  # a field of more than 128 KiB, a lone carriage return: what came before will do
        pass
    return rows


def _score(sample: bytes, written: Written) -> float:
    """How alike the records' widths are, times how much cells look like values."""
    rows = [row for row in _rows(sample, written) if any(cell.strip() for cell in row)]
    if not rows:
        return 0.0
    widths = Counter(map(len, rows))
    width, count = max(widths.items(), key=lambda pair: (pair[1], pair[0]))
    alike = count / len(rows)
    body = [row for row in rows if len(row) == width]
    prior = _PRIOR.get(written.delimiter, _OTHER_PRIOR) * (1.0 if written.quote == b'"' else 0.98)
    prior *= 0.9 if written.is_collapsed else 1.0
    return float(alike**1.5 * max(0.1, (width - 1) / width) * _typed_share(body) * prior)


def _typed_share(rows: Sequence[Sequence[str]]) -> float:
    """The share of cells that look like a value of their column, the first record aside."""
    body = rows[1:60] if len(rows) > 1 else rows
    shares = [sum(map(_likeness, column)) / len(column) for column in zip(*body, strict=True)]
    return 0.1 + 0.9 * sum(shares) / len(shares)


def _likeness(cell: str) -> float:
    """1 for a number, a date and the like; a little less for clean text and for nothing; 0 for what looks cut badly."""
    text = cell.strip()
    kind = classify(text)
    if kind not in (TEXT, NULL):
        return 1.0
    if not text:
        return 0.8
    if _CUT_BADLY.search(text):
        return 0.1
    return 0.9 if text == cell else 0.8


# A delimiter left in a value without a blank beside it, a quote at an end, an escape.
_CUT_BADLY = re.compile(r"[;\t|\x1f]|,(?! )|^[\"'`]|[\"'`]$|\\[\"'`]")


def _read(text: bytes, written: Written, score: float, is_whole: bool) -> Choice:
    """The first records of TEXT as WRITTEN, read exactly."""
    way = normal(written)
    plain = way.apply(_first_lines(text, LINES) if written.line_end == b"\n" else text[:65536])
    is_whole = is_whole and len(plain) >= len(way.apply(text))
    rows: list[list[str]] = []
    starts = [0]
    while starts[-1] < len(plain) and len(rows) < LINES:
        record = read_record(plain, starts[-1], way.dialect, 0)
        if record.end >= len(plain) and not is_whole and rows:
            break
        rows.append([_text(field, way) for field in record.fields])
        starts.append(record.end)
    return Choice(written, way, rows, starts, min(1.0, score))


def _text(field: bytes, way: Normal) -> str:
    text = field.decode("utf-8", "replace")
    for mark, original in way.restore:
        text = text.replace(mark, original)
    return text.strip(" ") if way.dialect.is_padded else text
