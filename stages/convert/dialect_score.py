"""Candidates for how a delimited file is written, and how well each explains a sample: by how alike its records are,
how much their values look like values, and how much of the quotes it accounts for."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from stages.convert.kinds import NULL, TEXT, classify
from stages.convert.normal import BOX, WRAPPED, StandInTaken, Written, normal
from stages.convert.records import Dialect

COMMON = (b",", b";", b"\t", b"|")
QUOTES = (b'"', b"'", b"`")
_PRIOR = {b",": 1.0, b";": 1.0, b"\t": 1.0, b"|": 0.97, b" ": 0.6, b":": 0.7, b"=": 0.4, b"&": 0.5, b"%": 0.4}
_OTHER_PRIOR = 0.75
_SINGLE = 0.25  # what one column counts, where many count (width - 1) / width
_NO_DELIMITERS = frozenset(b"\r\n\"'`._-/\\@()[]{}")


def candidates(sample: bytes) -> Iterator[Written]:
    """Every way in which SAMPLE, whose lines end in line feeds, may be written."""
    lines = [line for line in sample.split(b"\n") if line.strip()]
    yield from _in_quotes([line.rstrip(b"\r") for line in lines])
    present = [quote for quote in QUOTES if quote in sample]
    bars = sum(b"|" in line for line in lines)
    is_boxed = bars * 2 > len(lines) and sum(map(bool, map(BOX.match, lines))) in (1, 2, 3)
    for delimiter in (b"|",) if is_boxed else _delimiters(sample, lines):
        is_padded = delimiter != b" " and sample.count(delimiter + b" ") * 2 > sample.count(delimiter)
        is_collapsed = delimiter == b" " and b"  " in sample
        for quote in (None, *present) if present else (b'"',):
            escapes = (None, b"\\") if quote and b"\\" + quote in sample else (None,)
            for escape in escapes:
                yield Written(
                    delimiter,
                    quote,
                    escape,
                    is_padded=is_padded or is_boxed,
                    is_collapsed=is_collapsed,
                    is_boxed=is_boxed,
                )


def _in_quotes(lines: Sequence[bytes]) -> Iterator[Written]:
    """Each line in quotes, with two delimiters or more in each, all alike: one column of text hardly looks so."""
    if len(lines) < 3 or not all(map(WRAPPED.fullmatch, lines)):
        return
    for mark in COMMON:
        counts = {line.count(mark) for line in lines}
        if len(counts) == 1 and min(counts) >= 2:
            yield Written(mark, b'"', is_wrapped=True)


def _delimiters(sample: bytes, lines: Sequence[bytes]) -> list[bytes]:
    """What may part fields: bytes that stand in many lines, with what always stands beside them."""
    present = Counter(byte for line in lines for byte in set(line))
    found = [b","]
    for byte, count in present.items():
        mark = bytes((byte,))
        is_word = mark.isalnum() or byte >= 0x80 or byte in _NO_DELIMITERS
        if not is_word and (mark in COMMON or count * 2 >= len(lines)):
            found += _extended(mark, sample, lines)
    return list(dict.fromkeys(found))


def _extended(mark: bytes, sample: bytes, lines: Sequence[bytes]) -> list[bytes]:
    """MARK, or what it's always part of, such as `||` and `~|~`; both where it's only mostly part of it."""
    doubles = sample.count(mark * 2)
    if mark != b" " and doubles:
        if doubles * 2 == sample.count(mark):
            return [mark * 2]
        if sum(mark * 2 in line for line in lines) * 5 >= len(lines) * 4:
            return [mark, mark * 2]
    for other in set(sample) & set(b"|~#*^&<>=!+:%$"):
        around = bytes((other,))
        if around != mark and sample.count(around + mark + around) == sample.count(mark):
            return [around + mark + around]
    return [mark]


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
    except csv.Error:  # a field of more than 128 KiB, a lone carriage return: what came before will do
        pass
    return rows


def score(sample: bytes, written: Written) -> float:
    """How well WRITTEN explains SAMPLE, about 0 to 1."""
    way = normal(written)
    try:
        rows = [row for row in _rows(way.apply(sample), way.dialect) if any(cell.strip() for cell in row)]
    except StandInTaken:
        return 0.0
    if not rows:
        return 0.0
    widths = Counter(map(len, rows))
    width, count = max(widths.items(), key=lambda pair: (pair[1], pair[0]))
    body = [row for row in rows if len(row) == width]
    alike = float((count / len(rows)) ** 1.5) * max(_SINGLE, (width - 1) / width)
    if width > 1 and len(rows[0]) == 1:
        alike *= 0.75  # the first line knows nothing of it
    return float(alike * _typed_share(body) * _prior(sample, written, width) * (0.4 + 0.6 * _quoting(sample, written)))


def _prior(sample: bytes, written: Written, width: int) -> float:
    """How likely WRITTEN is before its records are looked at."""
    prior = _PRIOR.get(written.delimiter, _OTHER_PRIOR if len(written.delimiter) == 1 else 1.0)
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
    if written.quote is not None:
        return _wrapped_share(sample, written.delimiter, written.quote, written.escape)
    return 1 - max(_wrapped_share(sample, written.delimiter, quote, None) for quote in QUOTES if quote in sample)


@lru_cache(maxsize=64)
def _wrapped(delimiter: bytes, quote: bytes, escape: bytes | None) -> re.Pattern[bytes]:
    """A field in quotes; only double quotes enclose line ends."""
    mark, inner = re.escape(quote), rb"[^" + quote + rb"]" if quote == b'"' else rb"[^\n" + quote + rb"]"
    if escape:
        inner = re.escape(escape) + rb".|" + inner
    edge = re.escape(delimiter)
    body = rb"(?:((?:" + inner + rb"|" + mark * 2 + rb")*+)|[^\n]*?)"  # by the rules, or with stray quotes in it
    return re.compile(
        rb"(?:^|(?<=" + edge + rb")) *" + mark + body + mark + rb" *(?=" + edge + rb"|\r?$)", re.MULTILINE
    )


def _wrapped_share(sample: bytes, delimiter: bytes, quote: bytes, escape: bytes | None) -> float:
    """The share of the QUOTE bytes of SAMPLE that wrap fields, or are doubled or escaped within them."""
    total = sample.count(quote)
    if not total:
        return 1.0
    fields: list[bytes] = _wrapped(delimiter, quote, escape).findall(sample)
    return sum(2 + field.count(quote) for field in fields) / total


def _typed_share(rows: Sequence[Sequence[str]]) -> float:
    """The share of cells that look like a value, the first record aside."""
    body = rows[1:60] if len(rows) > 1 else rows
    cells = [cell for row in body for cell in row]
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
