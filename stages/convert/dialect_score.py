"""Candidates for how a delimited file is written, and how well each explains a sample: by how alike its records are,
how much their values look like values, and how much of the quotes it accounts for."""

from __future__ import annotations

import csv
import io
import math
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
_LOOK = 30  # lines in which cells are as wide as those above them
_DISCOUNT = 0.8  # how much less a line above the table counts
_SINGLE = 0.25  # what one column counts, where many count (width - 1) / width
_ONLY_REPEATED = frozenset(b"@")  # too common by itself
_BESIDE = frozenset(bytes((code,)) for code in b"|~#*^&<>=!+:%$;,\t@-")  # what delimiters of several bytes are made of
_NO_DELIMITERS = frozenset(b"\r\n\"'`._-/\\@()[]{}")


def candidates(sample: bytes) -> Iterator[Written]:
    """Every way in which SAMPLE, whose lines end in line feeds, may be written."""
    lines = [line for line in sample.split(b"\n") if line.strip()]
    yield from _in_quotes([line.rstrip(b"\r") for line in lines])
    present = [quote for quote in QUOTES if quote in sample]
    bars = sum(b"|" in line for line in lines)
    is_boxed = bars * 2 > len(lines) and sum(map(bool, map(BOX.match, lines))) in (1, 2, 3)
    for delimiter in (b"|",) if is_boxed else _delimiters(sample, lines):
        is_padded = delimiter != b" " and _is_padded(sample, delimiter)
        is_collapsed = delimiter == b" " and b"  " in sample
        for quote in (None, *present) if present else (b'"',):
            is_escaped = any(b"\\" + mark in sample for mark in (quote, delimiter) if mark)
            escapes = (None, b"\\") if is_escaped else (None,)
            for escape in escapes:
                yield Written(
                    delimiter,
                    quote,
                    escape,
                    is_padded=is_padded or is_boxed,
                    is_collapsed=is_collapsed,
                    is_boxed=is_boxed,
                )


def _is_padded(sample: bytes, delimiter: bytes) -> bool:
    """Whether blanks stand before most delimiters, or after them, or wherever delimiters aren't below each other."""
    sample = _ENCLOSED.sub(b'""', sample)
    most = sample.count(delimiter)
    if sample.count(delimiter + b" ") * 2 > most or sample.count(b" " + delimiter) * 2 > most:
        return True
    if b" " + delimiter not in sample:
        return False
    lines = [line.decode("utf-8", "replace") for line in sample.split(b"\n")[:_LOOK] if line.strip()]
    mark = delimiter.decode()
    places = {tuple(index for index in range(len(line)) if line.startswith(mark, index)) for line in lines}
    return len(lines) > 2 and len(places) == 1


def _in_quotes(lines: Sequence[bytes]) -> Iterator[Written]:
    """Each line in quotes, with two delimiters or more in each, or one without a blank, all alike: one column of text
    hardly looks so."""
    if len(lines) < 3 or not all(map(WRAPPED.fullmatch, lines)):
        return
    for mark in COMMON:
        counts = {line.count(mark) for line in lines}
        least = 2 if any(mark + b" " in line for line in lines) else 1
        if len(counts) == 1 and min(counts) >= least:
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
        elif byte in _ONLY_REPEATED and count * 2 >= len(lines) and _repeats(mark, sample) > 1:
            found.append(mark * _repeats(mark, sample))
    return list(dict.fromkeys(found))


def _extended(mark: bytes, sample: bytes, lines: Sequence[bytes]) -> list[bytes]:
    """MARK, or what it's always part of, such as `||` and `<|>`; both where it's only mostly part of it."""
    times = _repeats(mark, sample) if mark != b" " else 1
    if times > 1:
        return [mark * times]
    if mark != b" " and sum(mark * 2 in line for line in lines) * 5 >= len(lines) * 4:
        return [mark, mark * 2]
    return _surrounded(mark, sample)


def _repeats(mark: bytes, sample: bytes) -> int:
    """How often MARK stands in a row wherever it stands, where cells may be empty."""
    return math.gcd(*map(len, re.findall(b"(?:" + re.escape(mark) + b")+", sample)))


def _surrounded(mark: bytes, sample: bytes) -> list[bytes]:
    """MARK with the marks that stand before and after it; and by itself where that isn't always so."""
    whole = mark
    for _turn in range(3):
        places = [found.start() for found in re.finditer(re.escape(whole), sample)]
        sides = [Counter(sample[i : i + 1] for i in (place + step for place in places) if i >= 0).most_common(1)
                 for step in (-1, len(whole))]  # fmt: skip
        before, after = (
            side[0][0] if side and side[0][0] in _BESIDE and side[0][1] * 5 >= len(places) * 4 else b""
            for side in sides
        )
        if not (before or after) or whole in (before, after):
            break
        whole = before + whole + after
    if whole == mark:
        return [mark]
    return [whole] if sample.count(whole) == sample.count(mark) else [whole, mark]


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
    above = next(index for index, row in enumerate(rows) if len(row) == width)  # notes above the table say little
    alike = float((count / (len(rows) - _DISCOUNT * min(above, len(body) / 3))) ** 1.5) * max(
        _SINGLE, (width - 1) / width
    )
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


_ENCLOSED = re.compile(rb'"[^"]*"')
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
