"""Files that say themselves how they're laid out: rules under a header, lines that name the fields, a logger's head."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import msgspec

from stages.convert.text.normal import BOX, DRAWN_BAR, DRAWN_RULE, RULER, Written
from stages.convert.text.other_hands import usual_width
from stages.convert.values.kinds import TEXT, classify

_TOP = 30  # lines in which a ruler or the names of fields stand
_FIT = 0.8  # the share of lines that must be as the top says
_FIT_ALL = 2 / 3  # the same where what isn't the table counts as well
_STATION = 4  # header lines of a station: where it is, names, units, and what was done to the values
_LEAST_ALIGNED = 5  # lines by which columns of fixed width are seen
Rows = list[list[str]]
_SPELT = re.compile(rb"\\x([0-9a-fA-F]{2})")


class Told(msgspec.Struct, frozen=True):
    """How a file is WRITTEN, and which of its first records names the columns: those up to `data_at` are no data.
    Where the names stand in a comment, they are `names`, and `comments` are the others; without a header there is
    nothing of all that."""

    written: Written
    names_at: int = -1
    data_at: int = 0
    names: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()

    def headed(self, rows: Rows) -> tuple[Rows, int]:
        """ROWS with the names right above the data, and where they are; as they are, and -1, where the names aren't those of
        most records."""
        if not 0 <= self.names_at < self.data_at <= len(rows):
            return rows, -1
        names = list(self.names) or rows[self.names_at]
        data = [row for row in rows[self.data_at :] if any(cell.strip() for cell in row)]
        if data and usual_width(data) != len(names):
            return rows, -1
        above = [[comment] for comment in self.comments] or [
            *rows[: self.names_at],
            *rows[self.names_at + 1 : self.data_at],
        ]
        return [*above, names, *rows[self.data_at :]], len(above)


def told(sample: bytes) -> Told | None:
    """What SAMPLE, lines that end in line feeds, says of itself; None where it says nothing."""
    lines = [line.rstrip(b"\r") for line in sample.split(b"\n")]
    return _of_comments(lines) or _drawn(lines) or _ruled(lines) or _aligned(lines)


def begins_by_telling(text: bytes) -> bool:
    """Whether TEXT's first bytes may say how it's laid out, though its lines look like an ordinary table's."""
    return text.startswith((b"#", b'"TOA5",', b"TOA5,"))


def headed(sample: bytes, written: Written, rows: Rows) -> tuple[Rows, int]:
    """ROWS of SAMPLE, as WRITTEN, with the names right above the data, and where they are, if the file says so; else -1."""
    if rows and rows[0][:1] == ["TOA5"] and len(rows) > _STATION and all(classify(name) == TEXT for name in rows[1]):
        return Told(written, 1, _STATION).headed(rows)
    if not written.is_boxed:
        return rows, -1
    said = _under_rule(written, sample.split(b"\n"), BOX)
    is_by_lines = not any("\n" in cell for row in rows[: said.data_at] for cell in row)
    return said.headed(rows) if is_by_lines else (rows, -1)


def _of_comments(lines: Sequence[bytes]) -> Told | None:
    """A log whose comments name its fields, as of web servers and network monitors."""
    top = [line for line in lines[:_TOP] if line]
    if not top or not top[0].startswith(b"#"):
        return None
    above = next((at for at, line in enumerate(lines) if not line.startswith(b"#")), len(lines))
    found = next((at for at in range(above) if _NAMED.match(lines[at])), -1)
    if found < 0:
        return None
    line, rest = lines[found], lines[found][len(b"#fields") :]
    data = [line for line in lines[above:] if line and not line.startswith(b"#")]
    for mark in _separators(lines[:above], rest):
        after = rest.removeprefix(b":").removeprefix(mark).strip(b" ")
        names = after.split(mark) if mark in after else after.split()
        quote = None if lines[0].startswith(b"#separator") else _quote(data, mark)
        fit = sum(line.count(mark) == len(names) - 1 or quote is not None for line in data)
        if len(names) > 1 and fit >= _FIT * len(data):
            comments = [comment for at, comment in enumerate(lines[:above]) if at != found]
            written = Written(mark, quote, names=line)
            return Told(written, found, above, tuple(map(_text, names)), tuple(map(_text, comments)))
    return None


def _quote(data: Sequence[bytes], mark: bytes) -> bytes | None:
    """A quote where the lines of DATA, whose fields MARK parts, have it around fields, and never only before one."""
    edge = re.escape(mark)
    field = re.compile(rb'(?:^|(?<=%b))"(?:[^"]|"")*+"(?=%b|$)' % (edge, edge))
    bare = [field.sub(b"", line) for line in data]
    is_clean = not any(re.search(rb'(?:^|%b)"' % edge, line) for line in bare)
    return b'"' if is_clean and bare != data else None


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")


_NAMED = re.compile(rb"#fields[^\w]", re.IGNORECASE)


def _separators(top: Sequence[bytes], names: bytes) -> list[bytes]:
    """What may part the fields: what the TOP says, else a tab or a blank."""
    for line in top:
        word = line.removeprefix(b"#separator").strip(b" \t")
        if line.startswith(b"#separator") and word:
            return [_SPELT.sub(lambda found: bytes((int(found[1], 16),)), word)]
    return [b"\t"] if b"\t" in names.strip() else [b"\t", b" "]


def _drawn(lines: Sequence[bytes]) -> Told | None:
    """A table drawn with characters for that: ┌──┬──┐."""
    others = [line for line in lines if line and not DRAWN_RULE.fullmatch(line)]
    barred = sum(map(bool, map(DRAWN_BAR.search, others)))
    if barred * 2 <= len(others) or not any(map(DRAWN_RULE.fullmatch, lines)):
        return None
    return _under_rule(Written("│".encode(), None, is_padded=True, is_drawn=True), lines, DRAWN_RULE)


def _under_rule(written: Written, lines: Sequence[bytes], rule: re.Pattern[bytes]) -> Told:
    """The header is the one line above the first RULE that isn't the table's upper edge, or one above its types."""
    filled = [at for at, line in enumerate(lines) if line.strip()]
    rules = [at for at in filled if rule.fullmatch(lines[at].rstrip(b"\r"))]
    bars = [at for at in filled if at not in rules and _BAR.search(lines[at])]
    if rules and bars and rules[0] < bars[0]:
        rules = rules[1:]
    above = [at for at in bars if rules and at < rules[0]]
    is_header = len(above) == 1 or (len(above) > 1 and _are_types(lines[above[-1]]))
    return Told(written, above[0], rules[0] + 1) if is_header and bars[-1] > rules[0] else Told(written)


_BAR = re.compile(rb"\||" + DRAWN_BAR.pattern)
_TYPES = re.compile(
    rb"(?:[iuf]\d+|u?(?:tiny|small|big|huge)?int(?:eger)?\d*|str(?:ing)?|varchar|text|double|float\d*|bool(?:ean)?|blob"
    rb"|date|time(?:stamp|tz)?.*|datetime.*|decimal\(.*\)|list.*|struct.*|uuid|interval|cat)"
)


def _are_types(line: bytes) -> bool:
    """Whether LINE has the names of types between its bars, as some shells print them under those of columns."""
    cells = [cell.strip().lower() for cell in _BAR.split(line) if cell.strip()]
    return bool(cells) and all(map(_TYPES.fullmatch, cells))


def _ruled(lines: Sequence[bytes]) -> Told | None:
    """Columns of fixed width: a dashed line under their names tells where they are."""
    at = next((at for at, line in enumerate(lines[:_TOP]) if at and RULER.fullmatch(line)), 0)
    if not at or not lines[at - 1].strip():
        return None
    groups = [dashes.span() for dashes in re.finditer(rb"[-=]+", lines[at])]
    columns = tuple(start for start, _end in groups)
    gaps = [(end, start) for (_start, end), (start, _end) in itertools.pairwise(groups)]
    named = sum(bool(lines[at - 1][start:end].strip()) for start, end in itertools.pairwise((*columns, None)))
    if named * 2 < len(columns) or not _is_blank_at(gaps, lines[at - 1]):
        return None
    rest = [_is_blank_at(gaps, line) for line in lines[at + 1 :] if line.strip()]
    first = [_is_blank_at(gaps, line) for line in itertools.takewhile(bytes.strip, lines[at + 1 :])]
    if sum(first) < _FIT * len(first) or sum(rest) < _FIT_ALL * len(rest):
        return None
    return Told(Written(b" ", None, is_padded=True, columns=columns), at - 1, at + 1)


def _aligned(lines: Sequence[bytes]) -> Told | None:
    """Columns of fixed width that nothing but blanks tells apart: two or more of them stand below each other between
    columns in all lines, cells with a blank in them are too many for that to be a delimiter, and every column begins
    with its name."""
    filled = [line.decode("utf-8", "replace") for line in lines if line.strip()]
    if len(filled) < _LEAST_ALIGNED or any(mark in line for mark in '\t;|"' for line in filled[:2]):
        return None
    width = max(map(len, filled))
    used = "".join(
        "x" if set(cells) != {" "} else " " for cells in zip(*(line.ljust(width) for line in filled), strict=True)
    )
    columns = tuple(found.start() for found in re.finditer(r"x+(?: x+)*", used))
    if len(columns) < 2 or columns[0] > 0:
        return None
    cells = [[line[start:end].strip() for start, end in itertools.pairwise((*columns, None))] for line in filled]
    names, values = cells[0], [cell for row in cells[1:] for cell in row]
    is_full = all(names) and sum(map(bool, values)) >= _FIT * len(values)
    if not is_full or any("  " in cell for cell in values) or not any(" " in cell for cell in values):
        return None
    return Told(Written(b" ", None, is_padded=True, columns=columns, gap=2))


def _is_blank_at(gaps: Sequence[tuple[int, int]], line: bytes) -> bool:
    """Whether nothing stands in LINE where GAPS are between columns."""
    text = line.decode("utf-8", "replace")
    return not any(text[start:end].strip(" ") for start, end in gaps)
