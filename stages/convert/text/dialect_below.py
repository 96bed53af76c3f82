"""What stands below a delimited table: a count of its rows, a rule, a sum, who made it. It's no record of the table.

Only lines at the very end that have fewer fields than records do, and that say what they are, are taken for that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from stages.convert.family import Refused
from stages.convert.source import Source
from stages.convert.text.chunks import Chunk, Lines
from stages.convert.text.encoding import Encoding, to_utf8
from stages.convert.text.normal import Normal, StandInTaken, Written
from stages.convert.text.other_hands import by_another_hand
from stages.convert.values.header import Header
from stages.convert.values.kinds import NULL, TEXT, classify

_TAIL = 8 * 1024  # bytes of a file's end that are looked at,
_MOST = 12  # and lines that may stand below a table, blank ones aside
_UNIT = 4  # the most bytes that a character of an encoding of fixed width has


class Below(msgspec.Struct, frozen=True):
    """The data ends at byte `at` of the file; what's below it are `lines`."""

    at: int
    lines: list[str]


class _Tail(msgspec.Struct, frozen=True):
    """The last lines of a file, as they stand and as the table's dialect has them, and what records look like."""

    plain: list[str]
    fields: list[int]  # how many each has; 0 where it's blank
    width: int
    is_cut_by_columns: bool
    begins_typed: bool  # the first column isn't text


def below(source: Source, encoding: Encoding, written: Written, way: Normal, header: Header) -> Below | None:
    """What stands below the table in SOURCE; None where that's nothing, or it can't be told from records."""
    chunk = _last_lines(source, encoding, written.line_end)
    plain = chunk.text
    try:
        chunk.text = way.apply(plain)
    except (StandInTaken, Refused):
        return None
    tail = _tail(plain.replace(written.line_end, b"\n"), chunk.text, written, way, header)
    first = _first_below(tail) if tail.width > 1 else _count_below_column(tail)
    lines = [line for line in tail.plain[first:] if line.strip()]
    if not lines or first == 0:
        return None
    start = sum(len(line) + 1 for line in chunk.text.split(b"\n")[:first])
    return Below(Lines(chunk).locate(start)[1], lines)


def may_hold_more(text: bytes) -> bool:
    """Whether a line of TEXT looks like one of those that stand below a table."""
    return _MORE.search(text) is not None


def _last_lines(source: Source, encoding: Encoding, line_end: bytes) -> Chunk:
    """The last lines of SOURCE, those that begin in its last 8 KiB."""
    at = max(encoding.bom, encoding.bom + (source.length - _TAIL - encoding.bom) // _UNIT * _UNIT)
    raw = source.read(at, source.length - at)
    mark = line_end.decode().encode(encoding.codec)
    if at > encoding.bom:
        found = raw.find(mark)
        while found >= 0 and found % len(mark):
            found = raw.find(mark, found + 1)
        cut = found + len(mark) if found >= 0 else len(raw)
        at, raw = at + cut, raw[cut:]
    return Chunk(to_utf8(raw, encoding.codec), raw, at, 1, True, encoding.codec, line_end)


def _tail(plain: bytes, text: bytes, written: Written, way: Normal, header: Header) -> _Tail:
    lines = text.split(b"\n")
    delimiter, quote = way.dialect.delimiter, way.dialect.quote
    fields = [line.count(delimiter) + 1 if line.strip(b" \r\t\0") else 0 for line in lines]
    if quote:  # what quotes is a record's, and so is what may stand within its quotes
        fields = [
            max(count, header.width) if quote in line else count for count, line in zip(fields, lines, strict=True)
        ]
    fields = [
        header.width if count == 1 and by_another_hand(line.strip(b"\r"), way.dialect, header.width) else count
        for count, line in zip(fields, lines, strict=True)
    ]
    shown = plain.decode("utf-8", "replace").split("\n")
    shown = [line.strip("\r\0") for line in shown] if len(shown) == len(lines) else [""] * len(lines)
    begins_typed = bool(header.kinds) and header.kinds[0] not in (TEXT, NULL)
    return _Tail(shown, fields, header.width, bool(written.columns), begins_typed)


def _first_below(tail: _Tail) -> int:
    """The index of the first line that is below the table; how many there are where none is."""
    end = first = len(tail.fields)
    at = end - 1
    while at >= 0 and end - at <= 2 * _MOST:
        if tail.fields[at] and not _is_below(tail, at):
            break
        first = at if tail.fields[at] else first
        at -= 1
    return min(first, _first_note(tail, first))


def _count_below_column(tail: _Tail) -> int:
    """The same where records have one field: only a count of rows counts, below numbers or dates, or of none."""
    filled = [at for at, count in enumerate(tail.fields) if count]
    texts = [tail.plain[at].strip() for at in filled]
    if len(texts) < 2 or not _COUNT_OF_THINGS.fullmatch(texts[-1]):
        return len(tail.fields)
    above = texts[max(0, len(texts) - _MOST) : -1]
    is_typed = len(above) > 1 and all(classify(text) not in (TEXT, NULL) for text in above[1:])
    return filled[-1] if is_typed or _NONE.match(texts[-1]) else len(tail.fields)


def _is_below(tail: _Tail, at: int) -> bool:
    """Whether the line AT says of itself that it's below a table, with fewer fields than records have."""
    text = tail.plain[at].strip()
    is_short = tail.fields[at] < tail.width
    if _COUNT.fullmatch(text) and (is_short or tail.is_cut_by_columns):
        return True
    return is_short and bool(_END.fullmatch(text) or (_SUM.match(text) and tail.begins_typed))


def _first_note(tail: _Tail, end: int) -> int:
    """The index of the first of the notes above END, which is where a table is known to have ended: one field each, after
    a blank line or where a number or a date should stand."""
    if tail.width < 3:
        return end
    first = end
    for at in range(end - 1, max(-1, end - 1 - _MOST), -1):
        if tail.fields[at] > 1 or (tail.fields[at] == 1 and not _is_note(tail, tail.plain[at].strip())):
            break
        if tail.fields[at] == 1 and (tail.begins_typed or _is_apart(tail.fields, at)):
            first = at
    return first


def _is_apart(fields: Sequence[int], at: int) -> bool:
    return at > 0 and fields[at - 1] == 0


def _is_note(tail: _Tail, text: str) -> bool:
    """Whether TEXT is rather a remark than a record's first value."""
    words = 0 if _VALUE.match(text) else len(_WORD.findall(text))
    if tail.begins_typed and words > 1 and classify(text) == TEXT:
        return True
    return words > 0 and (_REMARK.match(text) is not None or words >= 5)


_THINGS = r"(?:rows?|records?|lines?|entries|items?|tuples?|Zeilen?|Datensätze|lignes?|filas?)(?:\(s\))?"
_COUNT = re.compile(
    rf"\(?\d[\d,.']* {_THINGS}(?: (?:in set|affected|selected|returned|exported|found|written|processed|fetched).*)?\)?\.?"
    rf"|(?:total|number of|count of)? ?{_THINGS}(?: count)? ?[:=] ?\d[\d,.']*|(?:total|count) ?[:=] ?\d[\d,.']*"
    r"|Time: [\d.,:]+ ?m?s?(?: \([\d:.]+\))?|[-=_*~#+|]{3,}",
    re.IGNORECASE,
)
_COUNT_OF_THINGS = re.compile(rf"\(?\d[\d,.']* {_THINGS}(?: (?:in set|affected|selected).*)?\)?\.?", re.IGNORECASE)
_NONE = re.compile(r"\(?0 ")
_MORE = re.compile(
    rb"^(?:\(?\d[\d,.']* (?:rows?|records?)\b[^\r\n]*|(?:total|count|record|row)s?\b[^\r\n]{0,20}[:=] ?\d+|[-=_*~#]{3,})\r?$"
    rb"|\n\r?\n[^\r\n,;\t|]+\r?$",  # and notes after a blank line
    re.IGNORECASE | re.MULTILINE,
)
_END = re.compile(
    r"[^\w\s]*\s?(?:end|eof|end of (?:file|report|data|list|table|export)|end ?data)\s?[^\w\s]*|\\\.|\x1a|[#*]+ .*|©.*",
    re.IGNORECASE,
)
_SUM = re.compile(
    r"(?:(?:grand |sub)?totals?|trailer|footer|sums?|summe|gesamt|insgesamt|total général)\b", re.IGNORECASE
)
_VALUE = re.compile(r"[-+.\"']?\d")  # what records begin with, however they go on
_WORD = re.compile(r"[^\W\d_]{2,}")
_REMARK = re.compile(r"[^\w\"'(+-]|(?:\w+ ){0,3}\w+:(?: |$)|\*|©")
