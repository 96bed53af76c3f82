"""Text of any dialect made into text that engines read: one byte between fields, quotes doubled, lines as they were.

Only what's within a line changes, never where lines end, so that a line of the normal text is that line of the source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from stages.convert import reasons
from stages.convert.family import Refused
from stages.convert.text.records import Dialect

# What to replace, and by what: bytes, or whatever a pattern finds.
Step = tuple[bytes, bytes] | tuple[re.Pattern[bytes], bytes | Callable[[re.Match[bytes]], bytes]]

# Control characters that text hardly holds, to stand for what an engine would misread.
_STAND_INS = tuple(bytes((code,)) for code in (0x1F, 0x1E, 0x1D, 0x1C, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0E, 0x0F, 0x10))


class StandInTaken(Exception):
    """The text holds a character that was to stand for another one; choose again, without it."""

    def __init__(self, mark: bytes) -> None:
        super().__init__(mark)
        self.mark = mark


class ColumnsChange(Refused):
    """A line further down says that what follows it has other columns."""

    def __init__(self) -> None:
        what = "lines further down have other columns than the ones above, as another #Fields line says"
        super().__init__(reasons.unsupported(what, "Split it before each such line and send the parts."))


class Written(msgspec.Struct, frozen=True):
    """How a file is written: any delimiter, a quote or none, an escape, what ends its lines.

    `is_padded` says that blanks around a field aren't part of it, `is_collapsed` that many blanks are one delimiter,
    `is_boxed` that rules are drawn between records, and bars perhaps around them, as on a screen.
    """

    delimiter: bytes
    quote: bytes | None = b'"'
    escape: bytes | None = None
    line_end: bytes = b"\n"
    is_padded: bool = False
    is_collapsed: bool = False
    is_boxed: bool = False
    is_wrapped: bool = False  # each line stands in quotes, its own quotes doubled
    has_double_returns: bool = (
        False  # lines end in two carriage returns and a line feed, as when text mode is applied twice
    )
    has_returns_first: bool = False  # lines end in a line feed and a carriage return
    is_indented: bool = False  # all lines begin with the same blanks
    closing: bytes = b""  # what closes a field that `quote` opens, where that isn't one byte that does both
    is_doubled: bool = False  # each quote is written twice
    is_drawn: bool = False  # rules and bars are those of box drawing
    columns: tuple[int, ...] = ()  # where columns of fixed width start, in characters,
    gap: int = 1  # and how many blanks stand before each of them at least
    names: bytes = b""  # the comment that names the columns, where lines that begin with a # are comments


class Normal(msgspec.Struct, frozen=True):
    """The way from a file as written to an engine's `dialect`: replacements in order, and what to put back into values
    afterwards."""

    dialect: Dialect
    steps: tuple[Step, ...] = ()
    restore: tuple[tuple[str, str], ...] = ()
    stand_ins: tuple[bytes, ...] = ()
    is_collapsed: bool = False
    is_boxed: bool = False
    is_wrapped: bool = False
    has_returns_first: bool = False
    is_indented: bool = False

    def apply(self, text: bytes) -> bytes:
        """TEXT as the engine's dialect has it. Raises StandInTaken, and Refused where its columns change."""
        for mark in self.stand_ins:
            if mark in text:
                raise StandInTaken(mark)
        if self.has_returns_first:
            text = text.replace(b"\n\r", b"\n").removeprefix(b"\r")
        for step in self.steps:
            text = text.replace(*step) if isinstance(step[0], bytes) else step[0].sub(step[1], text)
        if self.is_indented:
            text = _INDENT.sub(b"", text)
        if self.is_collapsed:
            text = _MANY.sub(b" ", _EDGES.sub(b"", text))
        if self.is_wrapped:
            text = WRAPPED.sub(unwrapped, text)
        if self.is_boxed:
            text = _BARS.sub(b"", BOX.sub(b"", text))
        return text


# A rule between records: +----+----+, |---|:--:|, ----+----. It becomes a blank line.
BOX = re.compile(rb"^(?=[-+|:= ]*?(?:-{3}|={3}))[-+|:= ]++(?=\r?$)", re.MULTILINE)
_BARS = re.compile(rb"^\|[ ]?|[ ]?\|(?=\r?$)", re.MULTILINE)
WRAPPED = re.compile(rb'^"((?:[^"\r\n]|"")*)"(?=\r?$)', re.MULTILINE)
_EDGES = re.compile(rb"^ +|(?<! ) ++(?=\r?$)", re.MULTILINE)
_INDENT = re.compile(rb"^ +", re.MULTILINE)
_MANY = re.compile(rb" {2,}")


# The same as it's drawn on a screen, ┌──┬──┐ or ├──┼──┤: of the characters for that, but for upright bars.
_UPRIGHT = "│┃┆┇┊┋╎╏║"
DRAWN_BAR = re.compile("|".join(_UPRIGHT).encode())
DRAWN_RULE = re.compile(
    rb"^(?=[^\r\n]*(?:\xe2\x94[\x80\x81]|\xe2\x95\x90))(?: |(?!"
    + DRAWN_BAR.pattern
    + rb")\xe2[\x94\x95][\x80-\xbf])++(?=\r?$)",
    re.MULTILINE,
)
RULER = re.compile(rb"[ ]*(?:-+|=+)(?:[ ]+(?:-+|=+))+[ ]*\r?")  # under the names of columns of fixed width
_LINE = re.compile(rb"^[^\r\n]+", re.MULTILINE)
_COMMENT = re.compile(rb"^#[^\r\n]*", re.MULTILINE)
_NAMING = re.compile(rb"#fields\b", re.IGNORECASE)


def normal(written: Written, taken: frozenset[bytes] = frozenset()) -> Normal:
    """How to read a file that is WRITTEN so; TAKEN are characters that can't stand for others."""
    free = iter(mark for mark in _STAND_INS if mark not in taken and mark != written.delimiter)
    steps: list[Step] = []
    swaps: list[tuple[bytes, bytes]] = []  # a stand-in, and what it stands for in a value
    if written.line_end != b"\n":
        swaps.append((next(free), b"\n"))  # a line feed is within a field, then
        steps += [(b"\n", swaps[-1][0]), (written.line_end, b"\n")]
    if written.has_double_returns:
        steps.append((b"\r\r\n", b"\r\n"))
    if written.escape:
        for mark in (written.escape, written.quote, written.delimiter):
            if mark is not None and mark not in (swap[1] for swap in swaps):
                swaps.append((next(free), mark))
                steps.append((written.escape + mark, swaps[-1][0]))
    if written.is_doubled and written.quote:
        steps.append((written.quote * 2, written.quote))
    if written.names:
        steps.append((_COMMENT, _without_comment(written.names)))
    marks = _Marks(free, steps, swaps)
    delimiter = marks.of_columns(written) or marks.of_delimiter(written)
    quote = marks.of_quotes(written, delimiter) if written.closing else written.quote
    restore = tuple((mark.decode(), text.decode()) for mark, text in (*marks.pairs, *swaps))
    return Normal(
        Dialect(delimiter, quote, written.is_padded),
        tuple(steps),
        restore,
        tuple(mark for mark, _text in swaps) + marks.more,
        written.is_collapsed,
        written.is_boxed,
        written.is_wrapped,
        written.has_returns_first,
        written.is_indented,
    )


def fitting(written: Written, text: bytes) -> tuple[Normal, bytes]:
    """How to read a file that is WRITTEN so, with no stand-in that TEXT holds; and TEXT as that has it."""
    taken: frozenset[bytes] = frozenset()
    while True:
        way = normal(written, taken)
        try:
            return way, way.apply(text)
        except StandInTaken as clash:
            taken |= {clash.mark}


def unwrapped(line: re.Match[bytes]) -> bytes:
    """What a LINE in quotes has in them."""
    return line[1].replace(b'""', b'"')


class _Marks:
    """Single bytes for what takes more than one, with the steps that put them in and the swaps that take them out."""

    def __init__(self, free: Iterator[bytes], steps: list[Step], swaps: list[tuple[bytes, bytes]]) -> None:
        self._free = free
        self._steps = steps
        self._swaps = swaps
        self.pairs: list[tuple[bytes, bytes]] = []  # taken out before all others
        self.more: tuple[bytes, ...] = ()  # stand-ins that no value holds

    def of_columns(self, written: Written) -> bytes | None:
        """What parts columns of fixed width; None where there are none."""
        if not written.columns:
            return None
        mark = next(self._free)
        self.more += (mark,)
        self._steps.append((_LINE, _cut(written.columns, written.gap, mark)))
        return mark

    def of_delimiter(self, written: Written) -> bytes:
        """The delimiter, or what stands for it."""
        if len(written.delimiter) == 1:
            return written.delimiter
        mark = next(self._free)
        self._swaps.append((mark, written.delimiter))
        if written.is_drawn:
            edges = re.compile(rb"^%b ?| ?%b(?=\r?$)" % (mark, mark), re.MULTILINE)
            self._steps += [(DRAWN_RULE, b""), (DRAWN_BAR, mark), (edges, b"")]
        else:
            self._steps.append((written.delimiter, mark))
        return mark

    def of_quotes(self, written: Written, delimiter: bytes) -> bytes:
        """A quote for fields that are opened and closed by marks of their own. They count only at a field's borders,
        and each leaves a sign beside the quote, so that one that isn't a quote after all is put back as it was."""
        assert written.quote is not None, "what has a closing quote has an opening one"
        quote, opened, closed = next(self._free), next(self._free), next(self._free)
        self.more += (quote, opened, closed)
        blanks = b"" if delimiter == b" " else b" *"
        start = re.compile(
            rb"(^|(?<=%b))(%b)%b" % (re.escape(delimiter), blanks, re.escape(written.quote)), re.MULTILINE
        )
        end = re.compile(rb"%b(?= *(?:%b|\r?$))" % (re.escape(written.closing), re.escape(delimiter)), re.MULTILINE)
        self._steps += [(start, rb"\2" + quote + opened), (end, closed + quote)]
        self._steps.append((quote + opened + closed + quote, quote * 2))  # an empty one
        self.pairs += [
            (quote + opened, written.quote),
            (closed + quote, written.closing),
            (opened, b""),
            (closed, b""),
            (quote * 2, written.quote + written.closing),
        ]
        return quote


def _without_comment(names: bytes) -> Callable[[re.Match[bytes]], bytes]:
    """What takes comments out. Another one that names columns would give what follows another meaning."""

    def blank(line: re.Match[bytes]) -> bytes:
        if line[0] != names and _NAMING.match(line[0]):
            raise ColumnsChange
        return b""

    return blank


def _cut(columns: tuple[int, ...], gap: int, mark: bytes) -> Callable[[re.Match[bytes]], bytes]:
    """What cuts lines where COLUMNS start, and puts MARK there. A line that doesn't leave GAP blanks before each of
    them gets more fields than there are columns, unless blanks tell as many apart."""
    bounds = [*zip(columns, (*columns[1:], None), strict=True)]
    borders = columns[1:]

    def cut(line: re.Match[bytes]) -> bytes:
        if RULER.fullmatch(line[0]) or not line[0].strip():
            return b""
        text = line[0].decode("utf-8", "surrogateescape")
        cells = [text[start:end].strip(" ") for start, end in bounds]
        if any(text[border - gap : border].strip(" ") for border in borders) or text[: columns[0]].strip(" "):
            cells = _GAP.split(text.strip(" "))
            if len(cells) != len(columns):
                cells = [*[""] * len(columns), text]
        return mark.join(cell.encode("utf-8", "surrogateescape") for cell in cells)

    return cut


_GAP = re.compile(r" {2,}")
