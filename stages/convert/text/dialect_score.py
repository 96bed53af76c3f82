"""How well a way in which a delimited file may be written explains a sample of it: by how alike its records are, how
much their values look like values, and how much of the quotes it accounts for."""

from __future__ import annotations

import csv
import io
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from stages.convert.text.dialect_marks import (
    COMMON,
    ENCLOSED,
    IF_STEADY,
    is_steady,
    odd_quotes,
    quote_pairs,
    usual_quotes,
)
from stages.convert.text.normal import Written, fitting
from stages.convert.text.records import Dialect, read_record
from stages.convert.values.kinds import NULL, TEXT, classify

_PRIOR = {b",": 1.0, b";": 1.0, b"\t": 1.0, b"|": 0.97, b" ": 0.6, b":": 0.7, b"=": 0.4, b"&": 0.5, b"%": 0.4}
_PRIOR |= dict.fromkeys(IF_STEADY, 0.45)
_OTHER_PRIOR = 0.75
_STEADY_PRIOR = 0.7  # of a rare one that all lines have alike, the first one too
_UNKNOWN_TO_FIRST = 0.75  # what records count where the first line has one field,
_OTHER_WIDTH = 0.92  # or more than one, but not as many,
_RARE_TO_FIRST = 0.5  # or the delimiter is a rare one, or the records might be one column's values
_LOOK = 40  # lines that are looked at one by one
_DISCOUNT = 0.8  # how much less a line above the table counts
_CELLS = 20_000  # of a few records that have more, only some are looked at
_SINGLE = 0.25  # what one column counts, where many count (width - 1) / width


def _rows(sample: bytes, dialect: Dialect) -> list[list[str]]:
    """The records of normal SAMPLE as Python's reader has them: quick, and lenient enough to compare dialects by."""
    reader = csv.reader(
        io.StringIO(sample.decode("utf-8", "replace"), newline=""),
        delimiter=dialect.delimiter.decode(),
        quotechar=dialect.quote.decode() if dialect.quote else None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        skipinitialspace=dialect.is_padded,
    )
    rows: list[list[str]] = []
    try:
        rows.extend(reader)
    except csv.Error:  # a lone carriage return: what came before will do
        pass
    if dialect.quote and sample.count(dialect.quote) % 2:
        return _rows_of_open(sample, dialect)
    return rows


def _rows_of_open(sample: bytes, dialect: Dialect) -> list[list[str]]:
    """The records where a quote is left open: by the exact reader, told the width that most lines have."""
    lines = [line for line in sample.split(b"\n") if line.strip()]
    widths = Counter(len(read_record(line, 0, dialect, 0).fields) for line in lines)
    width = max(widths.items(), key=lambda pair: (pair[1], pair[0]))[0] if widths else 0
    rows: list[list[str]] = []
    at = 0
    while at < len(sample):
        record = read_record(sample, at, dialect, width)
        rows.append([field.decode("utf-8", "replace") for field in record.fields])
        at = record.end
    return rows


def best_of(sample: bytes, ways: Iterable[Written]) -> tuple[float, Written]:
    """The score of that one of WAYS which explains SAMPLE best, the first of equals, and the way. What can't be it,
    likely as it may be, isn't looked at."""
    some = list(ways)
    most = [_prior(sample, written, 0) for written in some]
    best, at = -1.0, len(some)
    for index in sorted(range(len(some)), key=most.__getitem__, reverse=True):
        if most[index] < best:
            break
        found = score(sample, some[index], best)
        if found > best or (found == best and index < at):
            best, at = found, index
    return best, some[at]


def score(sample: bytes, written: Written, least: float = 0.0) -> float:
    """How well WRITTEN explains SAMPLE, about 0 to 1; where that is less than LEAST, it may be told at a glance, as more
    than it is but less than that."""
    explained = 0.4 + 0.6 * _quoting(sample, written)
    most = _prior(sample, written, 0) * explained
    if most < least:
        return most
    way, plain = fitting(written, sample)
    for mark, text in way.restore if written.closing else ():
        plain = plain if text else plain.replace(mark.encode(), b"")
    rows = [row for row in _rows(plain, way.dialect) if any(cell.strip() for cell in row)]
    if not rows:
        return 0.0
    widths = Counter(map(len, rows))
    width, count = max(widths.items(), key=lambda pair: (pair[1], pair[0]))
    body = [row for row in rows if len(row) == width]
    above = next(index for index, row in enumerate(rows) if len(row) == width)  # notes above the table say little
    alike = float((count / (len(rows) - _DISCOUNT * min(above, len(body) / 3))) ** 1.5) * max(
        _SINGLE, (width - 1) / width
    )
    if width > 1 and len(rows[0]) != width:
        alike *= _start(sample, written, rows, width)
    prior = _prior(sample, written, width)
    most = alike * prior * explained
    return most if most < least else float(alike * _typed_share(body) * prior * explained)


def _start(sample: bytes, written: Written, rows: Sequence[Sequence[str]], width: int) -> float:
    """How much a first line of another width than most speaks for ROWS."""
    if len(rows[0]) > 1 or _is_header_alone(sample, width):
        return _OTHER_WIDTH
    is_rare = written.delimiter not in COMMON
    return _RARE_TO_FIRST if is_rare or (width == 2 and _is_one_column(sample, written)) else _UNKNOWN_TO_FIRST


def _is_header_alone(sample: bytes, width: int) -> bool:
    """Whether the first line, and not the next, has as many of another delimiter as WIDTH needs."""
    first, second, *_rest = [*sample.lstrip().split(b"\n", 2), b"", b""]
    return any(first.count(mark) == width - 1 != second.count(mark) for mark in COMMON) and width > 2


def _is_one_column(sample: bytes, written: Written) -> bool:
    """Whether SAMPLE's lines may as well be values: sentences, names with a comma, numbers with one."""
    bare = ENCLOSED.sub(b"", sample)
    if bare.count(written.delimiter) == bare.count(written.delimiter + b" "):
        return True
    return _is_of_values(sample)


def _is_of_values(sample: bytes) -> bool:
    """Whether SAMPLE's lines, the first aside, are dates, numbers and the like as they stand."""
    lines = [line.strip() for line in sample.decode("utf-8", "replace").split("\n")[1:_LOOK] if line.strip()]
    return sum(classify(line) not in (TEXT, NULL) for line in lines) * 5 >= len(lines) * 4


def _prior(sample: bytes, written: Written, width: int) -> float:
    """How likely WRITTEN is before its records are looked at."""
    prior = _PRIOR.get(written.delimiter, _OTHER_PRIOR if len(written.delimiter) == 1 else 1.0)
    if (
        prior < _STEADY_PRIOR
        and written.delimiter in (b"%", b"&")
        and is_steady(written.delimiter, ENCLOSED.sub(b'""', sample).split(b"\n")[:_LOOK], 2)
    ):
        prior = _STEADY_PRIOR
    if width > 1 and written.delimiter in IF_STEADY and _is_of_values(sample):
        prior *= 0.3
    if width > 1 and written.delimiter in (b":", b" ") and _is_within_times(sample, written.delimiter):
        prior *= 0.3
    return prior * (1.0 if written.quote == b'"' else 0.98) * (0.9 if written.is_collapsed else 1.0)


def _is_within_times(sample: bytes, delimiter: bytes) -> bool:
    """Whether most of the delimiters stand within times of day, or between a date and a time."""
    bare = _QUOTED.sub(b"", sample)
    if delimiter == b":":
        within = sum(len(b"".join(marks)) for marks in _CLOCK.findall(bare))
        return within * 2 > bare.count(b":")
    return len(_MOMENT.findall(bare)) * 2 > bare.count(b" ")


_QUOTED = re.compile(rb'"[^"\n]*"')
_CLOCK = re.compile(rb"(?<!\d)(?:[01]\d|2[0-3])(:)[0-5]\d(?:(:)[0-5]\d)?(?!\d)")
_MOMENT = re.compile(rb"\d\d \d\d:\d\d")


def _quoting(sample: bytes, written: Written) -> float:
    """How much of the quotes in SAMPLE is explained: by fields wrapped in them or, where none quotes, by there being
    no such fields."""
    pairs = quote_pairs(sample, written.delimiter)
    if written.closing and written.quote:
        return pairs[written.quote, written.closing]
    rest = 1 - max(pairs.values(), default=0.0)
    if written.quote is not None:
        sample = sample.replace(written.quote * 2, written.quote) if written.is_doubled else sample
        return rest * _wrapped_share(sample, written.delimiter, written.quote, written.escape)
    quotes = [*usual_quotes(sample, written.delimiter), *odd_quotes(sample, written.delimiter)]
    return rest - rest * max((_wrapped_share(sample, written.delimiter, quote, None) for quote in quotes), default=0.0)


class _Wrapped(NamedTuple):
    """How a field in quotes begins, what it holds by the rules, and how it ends."""

    start: re.Pattern[bytes]
    body: re.Pattern[bytes]
    end: re.Pattern[bytes]


@lru_cache(maxsize=64)
def _wrapped(delimiter: bytes, quote: bytes, escape: bytes | None) -> _Wrapped:
    """A field in quotes; apostrophes enclose no line ends."""
    mark, edge = re.escape(quote), re.escape(delimiter)
    inner = rb"[^" + (rb"\n" if quote in (b"'", b"`") else b"") + mark + rb"]"
    if escape:
        inner = re.escape(escape) + rb".|" + inner
    before = rb"(?:^ *|(?<= ))" if delimiter == b" " else rb"(?:^|(?<=" + edge + rb")) *"
    end = mark + rb" *(?=" + edge + rb"|\r?$)"
    return _Wrapped(
        re.compile(before + mark, re.MULTILINE),
        re.compile(rb"((?:" + inner + rb"|" + mark * 2 + rb")*+)" + end, re.MULTILINE),
        re.compile(end, re.MULTILINE),
    )


@lru_cache(maxsize=128)  # asked for again where nothing quotes
def _wrapped_share(sample: bytes, delimiter: bytes, quote: bytes, escape: bytes | None) -> float:
    """The share of the QUOTE bytes of SAMPLE that wrap fields, or are doubled or escaped within them."""
    total = sample.count(quote)
    if not total:
        return 1.0
    wrapped = _wrapped(delimiter, quote, escape)
    ends: list[tuple[int, int]] | None = None
    explained = at = 0
    for start in wrapped.start.finditer(sample):
        if start.start() < at:
            continue
        body = wrapped.body.match(sample, start.end())
        if body:
            explained += 2 + body[1].count(quote)
            at = body.end()
            continue
        if ends is None:
            ends = [end.span() for end in wrapped.end.finditer(sample)]
        place, end = ends[min(bisect_left(ends, (start.end(), 0)), len(ends) - 1)] if ends else (-1, 0)
        if place >= start.end() and sample.find(b"\n", start.end(), place) < 0:  # on its line, stray quotes within it
            explained += 2
            at = end
    return explained / total


def _typed_share(rows: Sequence[Sequence[str]]) -> float:
    """The share of cells that look like a value, the first record aside."""
    body = rows[1:60] if len(rows) > 1 else rows
    cells = [cell for row in body for cell in row]
    cells = cells[:: 1 + len(cells) // _CELLS]
    return 0.1 + 0.9 * sum(map(_likeness, cells)) / len(cells)


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
    if text[0] in "\"'`" or "\n" in text:
        return 0.5
    return 0.9 if text == cell else 0.8


# A delimiter left in a value without a blank beside it, quotes at both ends, an escape.
_CUT_BADLY = re.compile(r"[;\t|\x1f]|,(?! )|^([\"'`]).*\1$|\\[\"'`]", re.DOTALL)
