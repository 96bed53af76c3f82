"""Text of any dialect made into text that engines read: one byte between fields, quotes doubled, lines as they were.

Only what's within a line changes, never where lines end, so that a line of the normal text is that line of the source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from stages.convert.records import Dialect

# Control characters that text hardly holds, to stand for what an engine would misread.
_STAND_INS = tuple(bytes((code,)) for code in (0x1F, 0x1E, 0x1D, 0x1C, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0E, 0x0F, 0x10))


class StandInTaken(Exception):
    """The text holds a character that was to stand for another one; choose again, without it."""

    def __init__(self, mark: bytes) -> None:
        super().__init__(mark)
        self.mark = mark


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


class Normal(msgspec.Struct, frozen=True):
    """The way from a file as written to an engine's `dialect`: replacements in order, and what to put back into values
    afterwards."""

    dialect: Dialect
    steps: tuple[tuple[bytes, bytes], ...] = ()
    restore: tuple[tuple[str, str], ...] = ()
    stand_ins: tuple[bytes, ...] = ()
    is_collapsed: bool = False
    is_boxed: bool = False
    is_wrapped: bool = False
    has_returns_first: bool = False
    is_indented: bool = False

    def apply(self, text: bytes) -> bytes:
        """TEXT as the engine's dialect has it. Raises StandInTaken."""
        for mark in self.stand_ins:
            if mark in text:
                raise StandInTaken(mark)
        if self.has_returns_first:
            text = text.replace(b"\n\r", b"\n").removeprefix(b"\r")
        for old, new in self.steps:
            text = text.replace(old, new)
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
BOX = re.compile(rb"^[ ]*(?=[-+|:= ]*-{3})[-+|:= ]+(?=\r?$)", re.MULTILINE)
_BARS = re.compile(rb"^\|[ ]?|[ ]?\|(?=\r?$)", re.MULTILINE)
WRAPPED = re.compile(rb'^"((?:[^"\r\n]|"")*)"(?=\r?$)', re.MULTILINE)
_EDGES = re.compile(rb"^ +| +(?=\r?$)", re.MULTILINE)
_INDENT = re.compile(rb"^ +", re.MULTILINE)
_MANY = re.compile(rb" {2,}")


def normal(written: Written, taken: frozenset[bytes] = frozenset()) -> Normal:
    """How to read a file that is WRITTEN so; TAKEN are characters that can't stand for others."""
    free = iter(mark for mark in _STAND_INS if mark not in taken and mark != written.delimiter)
    steps: list[tuple[bytes, bytes]] = []
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
    delimiter = written.delimiter
    if len(delimiter) > 1:
        delimiter = _stand_in(written.delimiter, free, steps, swaps)
    restore = tuple((mark.decode(), text.decode()) for mark, text in swaps)
    dialect = Dialect(delimiter, written.quote, written.is_padded)
    return Normal(
        dialect,
        tuple(steps),
        restore,
        tuple(mark for mark, _text in swaps),
        written.is_collapsed,
        written.is_boxed,
        written.is_wrapped,
        written.has_returns_first,
        written.is_indented,
    )


def unwrapped(line: re.Match[bytes]) -> bytes:
    """What a LINE in quotes has in them."""
    return line[1].replace(b'""', b'"')


def _stand_in(
    delimiter: bytes, free: Iterator[bytes], steps: list[tuple[bytes, bytes]], swaps: list[tuple[bytes, bytes]]
) -> bytes:
    mark = next(free)
    steps.append((delimiter, mark))
    swaps.append((mark, delimiter))
    return mark
