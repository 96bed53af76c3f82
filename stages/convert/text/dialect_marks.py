"""How a delimited file may be written: what parts its fields, what quotes them, and what escapes quotes."""

from __future__ import annotations

import csv
import itertools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import eq

from stages.convert.text.normal import BOX, WRAPPED, Written, unwrapped

COMMON = (b",", b";", b"\t", b"|")
QUOTES = (b'"', b"'", b"`")
_ODD_QUOTES = tuple(bytes((code,)) for code in b"|~^$%*")
_ENCLOSING = 0.95  # the share of such a mark that does
_ODD_ESCAPES = (b"^", b"'", b"~", b"/", b"!")
# Quotes of other hands: what opens a field, and what closes it.
PAIRS = tuple(
    (pair[0].encode(), pair[1].encode())
    for pair in ("“”", "„“", "„”", "””", "«»", "»«", "‘’", "‚‘", "‹›", "›‹", "「」", "『』", "´´", "＂＂", "þþ")
)
_LOOK = 30  # lines in which cells are as wide as those above them
_BESIDE = frozenset(
    bytes((code,)) for code in b"|~#*^&<>=!+:%$;,\t@-{}"
)  # what delimiters of several bytes are made of
_NO_DELIMITERS = frozenset(b"\r\n\"'`._-/\\@()[]{}")
IF_STEADY = (b"/", b"_", b"@", b"-", b"\\")  # common in values, so only where they stand alike in all lines
_STEADY = 0.9  # the share of lines that have as many of a mark as the first one

csv.field_size_limit(2**31 - 1)  # else a field of 128 KiB ends what is read of a file, whatever the dialect


def candidates(sample: bytes) -> Iterator[Written]:
    """Every way in which SAMPLE, whose lines end in line feeds, may be written."""
    lines = [line for line in sample.split(b"\n") if line.strip()]
    yield from _in_quotes([line.rstrip(b"\r") for line in lines])
    if _is_boxed(lines):
        is_quoted = not any(line.startswith((b"|", b" ")) for line in lines)  # what draws boxes doesn't quote
        for quote in (None, *(usual_quotes(sample, b"|") if is_quoted else ())):
            for escape in _escapes(sample, quote, b"|"):
                yield Written(b"|", quote, escape, is_padded=True, is_boxed=True)
        return
    for delimiter in _delimiters(sample, lines):
        yield from _ways(sample, delimiter)


def _ways(sample: bytes, delimiter: bytes) -> Iterator[Written]:
    """Every way in which SAMPLE may be written with DELIMITER."""
    is_padded = delimiter != b" " and _is_padded(sample, delimiter)
    if _is_doubled(sample, delimiter):
        yield Written(delimiter, is_padded=is_padded, is_doubled=True)
        return
    pairs = quote_pairs(sample, delimiter)
    for opening, closing in pairs:
        yield Written(delimiter, opening, is_padded=is_padded, closing=closing)
    is_collapsed = _collapsings(sample) if delimiter == b" " else (False,)
    quotes = [*usual_quotes(sample, delimiter), *odd_quotes(sample, delimiter)]
    for quote in (None, *quotes) if quotes or pairs else (b'"',):
        for escape in _escapes(sample, quote, delimiter):
            for way in is_collapsed:
                yield Written(delimiter, quote, escape, is_padded=is_padded, is_collapsed=way)


def _is_boxed(lines: Sequence[bytes]) -> bool:
    """Whether LINES have bars between rules: one under the header, perhaps two around all, or one under each record."""
    rules = [line for line in lines if BOX.match(line)]
    bars = sum(b"|" in line for line in lines if not BOX.match(line))
    is_grid = all(line.startswith(b"+") for line in rules)
    return bool(rules) and (len(rules) <= 3 or is_grid) and bars * 2 > len(lines) - len(rules)


def _collapsings(sample: bytes) -> tuple[bool, ...]:
    """Whether many blanks are one delimiter, where blanks are: they are if they stand below each other."""
    bare = ENCLOSED.sub(b'""', sample)
    if b"  " not in bare:
        return (False,)
    lines = [line for line in bare.split(b"\n")[:_LOOK] if line.strip()]
    gaps = [{gap.start() for gap in re.finditer(b"(?=  )", line)} for line in lines]
    return (True, False) if is_steady(b" ", lines) and not set.intersection(*gaps) else (True,)


def _escapes(sample: bytes, quote: bytes | None, delimiter: bytes) -> Iterator[bytes | None]:
    """None, and what may take a quote's or a delimiter's meaning away: a backslash, or what stands before quotes only."""
    yield None
    if b"\\" not in delimiter and any(b"\\" + mark in sample for mark in (quote, delimiter) if mark):
        yield b"\\"
    for mark in _ODD_ESCAPES if quote else ():
        before = sample.count(mark + (quote or b""))
        if before > 1 and before + 2 * sample.count(mark * 2) == sample.count(mark):
            yield mark


@lru_cache(maxsize=32)
def usual_quotes(sample: bytes, delimiter: bytes) -> list[bytes]:
    """Those of QUOTES that may enclose fields: apostrophes and the like only where that's seen. Now and then a value has
    them about it, and it must keep them."""
    return [quote for quote in QUOTES if quote in sample and (quote == b'"' or _is_seen(quote, sample, delimiter))]


def _is_seen(quote: bytes, sample: bytes, delimiter: bytes) -> bool:
    """Whether QUOTE encloses all of a record, or a field in half of the lines below the header, or what parts fields."""
    mark, edge = re.escape(quote), re.escape(delimiter)
    blanks = rb"" if delimiter == b" " else rb" *"
    field = rb"%b%b(?:[^%b\n]|%b|(?<=\\)%b)*+%b%b" % (blanks, mark, mark, mark * 2, mark, mark, blanks)
    if re.search(rb"^%b(?:%b%b)+\r?$" % (field, edge, field), sample, re.MULTILINE):
        return True
    found = re.findall(rb"(?:^|(?<=%b))%b(?=%b|\r?$)" % (edge, field, edge), sample, re.MULTILINE)
    is_much = len(found) > 1 and len(found) * 2 >= sample.count(b"\n") - 1
    return is_much or any(delimiter in text for text in found)


@lru_cache(maxsize=32)
def odd_quotes(sample: bytes, delimiter: bytes) -> list[bytes]:
    """Other marks that enclose many fields, or some, most of which hold what parts fields."""
    found = []
    for mark in _ODD_QUOTES:
        if sample.count(mark) < 4 or mark in delimiter:
            continue
        edge, quote = re.escape(delimiter), re.escape(mark)
        within = rb"((?:[^" + quote + rb"]|" + quote * 2 + rb")*+)"
        ends = rb"(?=" + edge + rb"|\r?$)"
        fields = re.findall(rb"(?:^|(?<=" + edge + rb"))" + quote + within + quote + ends, sample, re.MULTILINE)
        special = sum(delimiter in field or b"\n" in field for field in fields)
        is_much = len(fields) * 3 >= sample.count(delimiter) + sample.count(b"\n")
        is_much = is_much and (_encloses(mark, sample) or not any(b"\n" in field for field in fields))
        enclosing = sum(2 + field.count(mark) for field in fields)
        if (
            len(fields) > 1
            and enclosing >= _ENCLOSING * sample.count(mark)
            and (is_much or special * 10 >= len(fields) * 9)
        ):
            found.append(mark)
    return found


@lru_cache(maxsize=32)
def quote_pairs(sample: bytes, delimiter: bytes) -> dict[tuple[bytes, bytes], float]:
    """Quotes that open and close in their own ways, and the share of the opening ones that enclose fields: almost all
    fields, or all names in the first line, or mostly such that hold what parts fields. Else they're part of values."""
    if sample.isascii():
        return {}
    found = {}
    for opening, closing in PAIRS:
        if opening in delimiter or closing in delimiter:
            continue
        fields = _between(sample, delimiter, opening, closing) if opening in sample and closing in sample else []
        if len(fields) > 1 and _are_quotes(sample, delimiter, fields):
            found[opening, closing] = min(
                1.0, sum(1 + field.count(opening) for field in fields) / sample.count(opening)
            )
    return found


def _between(sample: bytes, delimiter: bytes, opening: bytes, closing: bytes) -> list[bytes]:
    """The fields of SAMPLE in such quotes, with them."""
    edge, blanks = re.escape(delimiter), b"" if delimiter == b" " else b" *"
    starts = re.finditer(rb"(?:^|(?<=%b))%b%b" % (edge, blanks, re.escape(opening)), sample, re.MULTILINE)
    ends = re.finditer(rb"%b(?= *(?:%b|\r?$))" % (re.escape(closing), edge), sample, re.MULTILINE)
    fields, end = [], next(ends, None)
    before = 0
    for start in starts:
        while end is not None and end.start() < start.end():
            end = next(ends, None)
        if end is not None and start.start() >= before:
            before = end.end()
            fields.append(sample[start.start() : before])
    return fields


def _are_quotes(sample: bytes, delimiter: bytes, fields: Sequence[bytes]) -> bool:
    inside = b"".join(fields)
    cells = sample.count(delimiter) - inside.count(delimiter) + sample.count(b"\n") - inside.count(b"\n")
    special = sum(delimiter in field or b"\n" in field for field in fields)
    first = sample.lstrip().split(b"\n", 1)[0].strip()
    is_header = first.count(delimiter) > 0 and first == delimiter.join(fields[: first.count(delimiter) + 1])
    return len(fields) * 10 >= cells * 9 or special * 2 >= len(fields) or is_header


def _is_doubled(sample: bytes, delimiter: bytes) -> bool:
    """Whether fields stand in two quotes on each side, with twice the quotes within them as well."""
    if b'""' not in sample:
        return False
    edge = re.escape(delimiter)
    starts = len(re.findall(rb'(?:^|(?<=%b))""(?!"|%b|\r?$)' % (edge, edge), sample, re.MULTILINE))
    ends = len(re.findall(rb'(?<!^)(?<!["\n])(?<!%b)""(?=%b|\r?$)' % (edge, edge), sample, re.MULTILINE))
    return starts > 1 and starts == ends and all(len(run) % 2 == 0 for run in re.findall(rb'"+', sample))


def _is_padded(sample: bytes, delimiter: bytes) -> bool:
    """Whether blanks stand before most delimiters, or after them, or wherever delimiters aren't below each other."""
    sample = ENCLOSED.sub(b'""', sample)
    most = sample.count(delimiter)
    if sample.count(delimiter + b" ") * 2 > most or sample.count(b" " + delimiter) * 2 > most:
        return True
    if b" " + delimiter not in sample:
        return False
    lines = [line.decode("utf-8", "replace") for line in sample.split(b"\n")[:_LOOK] if line.strip()]
    places = (_places(line, delimiter.decode()) for line in lines)
    return len(lines) > 2 and all(map(eq, places, itertools.repeat(_places(lines[0], delimiter.decode()))))


def _places(line: str, mark: str) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(mark), line)]


def _in_quotes(lines: Sequence[bytes]) -> Iterator[Written]:
    """Each line in quotes, the first one perhaps not, with two delimiters or more in each, or one without a blank, all
    alike: one column of text hardly looks so."""
    if len(lines) < 3 or not all(map(WRAPPED.fullmatch, lines[1:])):
        return
    for mark in COMMON:
        inner = [WRAPPED.sub(unwrapped, line) for line in lines]
        widths = {
            len(next(csv.reader([line.decode("utf-8", "replace")], delimiter=mark.decode()), [])) for line in inner
        }
        least = 3 if any(mark + b" " in line for line in lines) else 2
        if len(widths) == 1 and min(widths) >= least and any(mark in line for line in lines):
            yield Written(mark, b'"', is_wrapped=True)


def _delimiters(sample: bytes, lines: Sequence[bytes]) -> list[bytes]:
    """What may part fields: marks that stand in many lines, with what always stands beside them."""
    present = Counter(byte for line in lines for byte in set(line))
    bare = [line for line in ENCLOSED.sub(b'""', sample).split(b"\n") if line.strip()]
    found: list[bytes] = []
    for byte, count in present.items():
        mark = bytes((byte,))
        is_word = mark.isalnum() or byte >= 0x80 or byte in _NO_DELIMITERS
        if not is_word and (mark in COMMON or count * 2 >= len(lines)):
            found += _extended(mark, sample, bare) + _with_blanks(mark, bare)
    for mark in (*IF_STEADY, *_beyond_ascii(sample, len(lines))):
        found += _with_blanks(mark, bare) + [part for part in (mark * 2, mark) if is_steady(part, bare)][:1]
    whole = [mark for mark in found if len(mark) > 1]
    found = [b",", *found, *[mark for mark in COMMON if mark not in sample][:1]]  # one that parts nothing too
    parts = {mark for mark in found for long in whole if mark != long and _is_part(mark, long, sample)}
    parts |= {mark for common in COMMON for pair in quote_pairs(sample, common) for mark in pair}
    return list(dict.fromkeys(mark for mark in found if mark not in parts))


def is_steady(mark: bytes, lines: Sequence[bytes], least: int = 0) -> bool:
    """Whether almost all LINES have as many of MARK as the first one: LEAST or more, by default two, and of one that
    needs no proof, one."""
    counts = [line.count(mark) for line in lines]
    enough = least or (2 if mark in IF_STEADY else 1)
    return bool(counts) and counts[0] >= enough and counts.count(counts[0]) >= _STEADY * len(counts)


def _beyond_ascii(sample: bytes, lines: int) -> list[bytes]:
    """The marks of other scripts, such as a fullwidth comma or a bullet, that as many as LINES may hold."""
    if sample.isascii():
        return []
    counts = Counter(character for character in sample.decode("utf-8", "replace") if character > "\x7f")
    return [
        mark.encode() for mark, count in counts.items() if count * 2 >= lines and unicodedata.category(mark)[0] in "PS"
    ]


def _with_blanks(mark: bytes, lines: Sequence[bytes]) -> list[bytes]:
    """MARK with blanks about it, where it also stands without: `5,453.00, EUR` has two fields."""
    if mark == b" ":
        return []
    times = sum(line.count(mark) for line in lines)
    wider = (b" " + mark + b" ", mark + b"  ", mark + b" ", b" " + mark)
    steady = [long for long in wider if is_steady(long, lines, 1)]
    kept = [long for long in steady if mark in IF_STEADY or sum(line.count(long) for line in lines) != times]
    return kept[:1]


def _is_part(mark: bytes, long: bytes, sample: bytes) -> bool:
    """Whether MARK stands in SAMPLE only as part of LONG."""
    return mark in long and 0 < sample.count(mark) == sample.count(long) * long.count(mark)


def _extended(mark: bytes, sample: bytes, lines: Sequence[bytes]) -> list[bytes]:
    """MARK, or what it's always part of, such as `||` and `<|>`; both where it's only mostly part of it."""
    times = _repeats(mark, b"\n".join(lines)) if mark != b" " else 1
    if times > 1:
        return [mark * times]
    if mark != b" " and sum(mark * 2 in line for line in lines) * 5 >= len(lines) * 4:
        return [mark, mark * 2]
    return _surrounded(mark, sample)


def _repeats(mark: bytes, sample: bytes) -> int:
    """How often MARK stands in a row wherever it stands, where cells may be empty."""
    return math.gcd(*map(len, re.findall(b"(?:" + re.escape(mark) + b")+", sample))) or 1


def _encloses(mark: bytes, sample: bytes) -> bool:
    """Whether SAMPLE begins and ends with MARK, as it does where that quotes all fields."""
    return sample.startswith(mark) and sample.rstrip().endswith(mark)


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
    if len(whole) == 3 and whole[0] == whole[2] and _encloses(whole[:1], sample):
        return [whole[1:2]]
    return [whole] if sample.count(whole) == sample.count(mark) else [whole, mark]


ENCLOSED = re.compile(rb'"[^"]*"')
