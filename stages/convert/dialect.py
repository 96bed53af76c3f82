"""How a delimited file tells fields apart: at a glance where that's plain, else by the best of all candidates."""

from __future__ import annotations

import csv
import io
import itertools
import re

import msgspec

from stages.convert.dialect_score import COMMON, candidates, score
from stages.convert.normal import Normal, Written, normal
from stages.convert.records import read_record

LINES = 200  # looked at where a file isn't plainly regular
_QUICK_LINES = 48


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
    sample = first_lines(text.replace(line_end, b"\n"), LINES)
    is_doubled = sample.count(b"\r\r\n") * 2 > sample.count(b"\n")
    if is_doubled:
        sample = sample.replace(b"\r\r\n", b"\r\n")
    hint = _HINT.match(sample)
    if hint:
        written = Written(hint[1], line_end=line_end, has_double_returns=is_doubled)
        return _read(text, written, 1.0, is_whole)
    best = max(((score(sample, written), written) for written in candidates(sample)), key=lambda scored: scored[0])
    written = msgspec.structs.replace(best[1], line_end=line_end, has_double_returns=is_doubled)
    return _read(text, written, best[0], is_whole)


_HINT = re.compile(rb'\A"?sep=(.)"?[,;\t]*\r?\n')  # a spreadsheet's own word for the delimiter


def _line_end(text: bytes) -> bytes:
    for mark in (b"\n", b"\r", b"\x1e"):
        if mark in text:
            return mark
    return b"\n"


def first_lines(text: bytes, count: int) -> bytes:
    """The first COUNT lines of TEXT."""
    at = -1
    for _line in range(count):
        at = text.find(b"\n", at + 1)
        if at < 0:
            return text
    return text[: at + 1]


def _quick(text: bytes, is_whole: bool) -> Choice | None:
    """The dialect of a file that's plainly regular: one delimiter alone parts all of its first lines alike."""
    first = text[: text.find(b"\n") + 1]
    sample = first_lines(text, _QUICK_LINES)
    if not first or _HINT.match(text) or _ODD.search(sample) or _COMPOUND.search(first):
        return None
    found = [(mark, rows) for mark in COMMON if mark in first and (rows := _alike(sample, mark))]
    if len(found) != 1 or found[0][0] + b" " in first or b" " + found[0][0] in first:
        return None
    delimiter, rows = found[0]
    if len(sample) < len(text) or not is_whole:
        rows = rows[:-1]
    lines = sample.split(b"\n")
    starts = [0, *itertools.accumulate(len(line) + 1 for line in lines)]
    ends = [starts[min(line, len(lines))] for line, _row in rows]
    written = Written(delimiter)
    return Choice(written, normal(written), [row for _line, row in rows], [0, *ends], 1.0) if len(rows) > 1 else None


# Other quotes, escapes and blanks around fields call for a closer look, and so do delimiters of more than one byte.
_ODD = re.compile(
    rb"(?:^|[,;\t|\n])[ ]*['`]|\\[\"',;\t|]|[,;\t|] +\"|\" +[,;\t|\n]|^[+|][-=+|: ]{3,}|\r\r", re.MULTILINE
)
_COMPOUND = re.compile(rb"\t\t|[,;\t|][,;|~#*^&<>=!+:%$@]|[~#*^&<>=!+:%$@][,;\t|]")


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


def _read(text: bytes, written: Written, confidence: float, is_whole: bool) -> Choice:
    """The first records of TEXT as WRITTEN, read exactly."""
    way = normal(written)
    part = first_lines(text, LINES) if written.line_end == b"\n" else text[:65536]
    plain = way.apply(part)
    is_whole = is_whole and len(part) == len(text)
    rows: list[list[str]] = []
    starts = [0]
    while starts[-1] < len(plain) and len(rows) < LINES:
        record = read_record(plain, starts[-1], way.dialect, 0)
        if record.end >= len(plain) and not is_whole and rows:
            break
        rows.append([_text(field, way) for field in record.fields])
        starts.append(record.end)
    return Choice(written, way, rows, starts, min(1.0, confidence))


def _text(field: bytes, way: Normal) -> str:
    text = field.decode("utf-8", "replace")
    for mark, original in way.restore:
        text = text.replace(mark, original)
    return text.strip(" ") if way.dialect.is_padded else text
