"""How a delimited file tells fields apart: at a glance where that's plain, else by the best of all candidates."""

from __future__ import annotations

import csv
import io
import itertools
import re

import msgspec

from stages.convert.text.dialect_marks import COMMON, PAIRS, candidates
from stages.convert.text.dialect_score import best_of
from stages.convert.text.dialect_told import Told, begins_by_telling, headed, told
from stages.convert.text.normal import Normal, Written, fitting, normal
from stages.convert.text.other_hands import parted_header, usual_width
from stages.convert.text.records import Dialect, Record, read_record

LINES = 200  # looked at where a file isn't plainly regular,
_LONG = 256 * 1024  # and no more than these bytes of them, each candidate being tried on all,
_FEW = 3  # unless that would leave fewer lines
_QUICK_LINES = 48
_ENOUGH = 20  # regular records before one that isn't


class Choice(msgspec.Struct, frozen=True):
    """How a file is written, how to read it, the records of the sample read so, and how sure it is, 0 to 1."""

    written: Written
    normal: Normal
    rows: list[list[str]]
    starts: list[int]  # where in the normal text each of the rows starts; one more for where the last ends
    confidence: float
    names_at: int = -1  # the row that names the columns, where the file says so itself


def choose(text: bytes, *, is_whole: bool) -> Choice:
    """The dialect that fits TEXT best. A record that TEXT's end cuts counts only if that's the WHOLE file."""
    quick = _quick(text, is_whole)
    if quick is not None:
        return quick
    lines = _lines(text)
    said = told(first_lines(fitting(msgspec.structs.replace(lines, is_indented=False), text)[1], LINES))
    if said is not None:
        return _read_as_told(text, said, lines, is_whole)
    sample = _sample(fitting(lines, text)[1])
    hint = _HINT.match(sample)
    if hint:
        return _read(text, msgspec.structs.replace(lines, delimiter=hint[1]), 1.0, is_whole)
    confidence, written = best_of(sample, candidates(sample))
    changes = {name: getattr(lines, name) for name in _OF_LINES}
    return _read(text, msgspec.structs.replace(written, **changes), confidence, is_whole)


_HINT = re.compile(rb'\A"?sep=(.)"?[,;\t]*\r?\n')  # a spreadsheet's own word for the delimiter


_OF_LINES = ("line_end", "has_double_returns", "has_returns_first", "is_indented")


def _lines(text: bytes) -> Written:
    """How TEXT's lines begin and end, apart from those in quotes."""
    bare = _ENCLOSED.sub(b"", text) if _ALONE.search(text) else text
    line_end = next((mark for mark in (b"\n", b"\r", b"\x1e") if mark in bare), b"\n")
    if line_end != b"\n":
        return Written(b",", line_end=line_end)
    feeds = bare.count(b"\n")
    top = first_lines(bare, _QUICK_LINES).splitlines()
    return Written(
        b",",
        has_double_returns=bare.count(b"\r\r\n") * 2 > feeds,
        has_returns_first=feeds > 1 and bare.count(b"\n\r") >= feeds - 1 and b"\r\n" not in bare,
        is_indented=len(top) > 1 and all(line.startswith(b"  ") for line in top if line),
    )


_ALONE = re.compile(rb"\r(?!\n)|\x1e")
_ENCLOSED = re.compile(rb'"[^"]*"')


def _sample(text: bytes) -> bytes:
    """What candidates are tried on: the first lines of TEXT."""
    part = first_lines(text, LINES)
    if len(part) <= _LONG:
        return part
    return max(part[: part.rfind(b"\n", 0, _LONG) + 1], first_lines(part, _FEW), key=len)


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
    if not first or _HINT.match(text) or begins_by_telling(text) or _ODD.search(sample):
        return None
    second = text[len(first) : text.find(b"\n", len(first)) + 1] or first  # what parts names parts values too
    if _COMPOUND.search(first) and _COMPOUND.search(second):
        return None
    if _ALONE.search(first) and _lines(text).line_end != b"\n":
        return None
    found = [(mark, rows) for mark in COMMON if mark in first and (rows := _alike(sample, mark))]
    if (
        len(found) != 1
        or first.startswith(b"  ")
        or any(part in first and part in second for part in _blanks(found[0][0]))
    ):
        return None
    if any(sample.count(part) * 2 > sample.count(found[0][0]) for part in _blanks(found[0][0])):
        return None
    delimiter, rows = found[0]
    if len(sample) < len(text) or not is_whole:
        rows = rows[:-1]
    lines = sample.split(b"\n")
    starts = [0, *itertools.accumulate(len(line) + 1 for line in lines)]
    ends = [starts[min(line, len(lines))] for line, _row in rows]
    written = Written(delimiter)
    return Choice(written, normal(written), [row for _line, row in rows], [0, *ends], 1.0) if len(rows) > 1 else None


def _blanks(mark: bytes) -> tuple[bytes, bytes]:
    return mark + b" ", b" " + mark


# Other quotes, escapes and blanks around fields call for a closer look, and so do delimiters of more than one byte.
_ODD = re.compile(
    rb"(?:^|[,;\t|\n])[ ]*(?:['`]|"
    + b"|".join(sorted({opening for opening, _closing in PAIRS}))
    + rb")|\\[\"',;\t|]|[,;\t|] +\"|\" +[,;\t|\n]|^[+|][-=+|: ]{3,}|\r\r",
    re.MULTILINE,
)
_COMPOUND = re.compile(rb"\t\t|[,;|]\t|[,;\t|][,;|~#*^&<>=!+:%$@}]|[~#*^&<>=!+:%$@{][,;\t|]")


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
    except csv.Error as error:
        return rows if len(rows) > (2 if "end of data" in str(error) else _ENOUGH) else []
    return rows


def _read_as_told(text: bytes, said: Told, lines: Written, is_whole: bool) -> Choice:
    """The first records of TEXT, whose LINES end so, in the way that it SAID."""
    ends = {name: getattr(lines, name) for name in _OF_LINES if name != "is_indented"}
    found = _read(text, msgspec.structs.replace(said.written, **ends), 1.0, is_whole, is_told=True)
    rows, names_at = said.headed(found.rows)
    return msgspec.structs.replace(found, rows=rows, names_at=names_at)


def _read(text: bytes, written: Written, confidence: float, is_whole: bool, *, is_told: bool = False) -> Choice:
    """The first records of TEXT as WRITTEN, read exactly."""
    part = first_lines(text, LINES) if written.line_end == b"\n" else text[:65536]
    way, plain = fitting(written, part)
    is_cut = len(part) < len(text) or not is_whole
    records = _records(plain, way.dialect, 0, is_cut=is_cut)
    width = usual_width([record.fields for record in records])
    if not all(record.is_regular for record in records):
        records = _records(plain, way.dialect, width, is_cut=is_cut)
    rows = [[_text(field, way) for field in record.fields] for record in records]
    starts = [0, *[record.end for record in records]]
    if is_told:
        return Choice(written, way, rows, starts, confidence)
    rows, names_at = headed(part, written, rows)
    if names_at < 0:
        rows = parted_header(rows, [plain[start:end] for start, end in itertools.pairwise(starts)], way.dialect)
    return Choice(written, way, rows, starts, min(1.0, confidence), names_at)


def _records(plain: bytes, dialect: Dialect, width: int, *, is_cut: bool) -> list[Record]:
    """The first records of normal PLAIN, read by the rules or so that WIDTH fields come out; where PLAIN IS_CUT its
    last one doesn't count."""
    records: list[Record] = []
    at = 0
    while at < len(plain) and len(records) < LINES:
        record = read_record(plain, at, dialect, width)
        if record.end >= len(plain) and is_cut and records:
            break
        records.append(record)
        at = record.end
    return records


def _text(field: bytes, way: Normal) -> str:
    text = field.decode("utf-8", "replace")
    for mark, original in way.restore:
        text = text.replace(mark, original)
    return text.strip(" ") if way.dialect.is_padded else text
