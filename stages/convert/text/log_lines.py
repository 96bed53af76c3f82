"""Logs and plain text: a row a line, with the fields of known log formats apart.

A line that doesn't begin an entry, as of a stack trace, belongs to the entry before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from stages.convert import reasons
from stages.convert.family import Bench, Head, Refused
from stages.convert.source import Source
from stages.convert.text import encoding
from stages.convert.text.chunks import chunks
from stages.convert.text.encoding import Encoding
from stages.convert.text.text_rows import TextRow, write_rows

CHUNK = 4 * 1024 * 1024
_SUFFIXES = (".log", ".txt", ".text", ".out", ".err")
_LOOK = 200  # lines by which a format is known
_KNOWN = 0.8  # the share of them that begin an entry, or more
_FEW = 0.3  # the same where what doesn't begin one is indented
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_LEVEL = r"TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL|SEVERE"


class Format(msgspec.Struct, frozen=True):
    """A log format: how its entries look, with a named group for each column."""

    name: str
    entry: re.Pattern[str]

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.entry.groupindex)


def _format(name: str, pattern: str) -> Format:
    return Format(name, re.compile(pattern, re.DOTALL))


_REQUEST = r'"(?P<method>[A-Z]+) (?P<path>\S+)(?: (?P<protocol>[^"]+))?" (?P<status>\d{3}) (?P<bytes>\d+|-)'
FORMATS = (
    _format(
        "combined access log",
        rf'(?P<host>\S+) (?P<ident>\S+) (?P<user>\S+) \[(?P<time>[^\]]+)\] {_REQUEST} "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"(?P<rest>.*)',
    ),
    _format(
        "common access log", rf"(?P<host>\S+) (?P<ident>\S+) (?P<user>\S+) \[(?P<time>[^\]]+)\] {_REQUEST}(?P<rest>.*)"
    ),
    _format(
        "syslog (RFC 5424)",
        rf"<(?P<priority>\d{{1,3}})>1 (?P<time>{_ISO}|-) (?P<host>\S+) (?P<app>\S+) (?P<process>\S+) (?P<id>\S+) (?P<message>.*)",
    ),
    _format(
        "syslog",
        rf"(?:<(?P<priority>\d{{1,3}})>)?(?P<time>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d|{_ISO}) (?P<host>[\w.-]+)"
        r" (?P<app>[^\s:\[]+)(?:\[(?P<process>\d+)\])?: (?P<message>.*)",
    ),
    _format(
        "time, level and message",
        rf"\[?(?P<time>{_ISO})\]?[ \t|:-]*\[?(?P<level>{_LEVEL})\]?[ \t|:-]+(?P<message>.*)",
    ),
    _format(
        "time, origin, level and message",
        rf"\[?(?P<time>{_ISO})\]?[ \t|:-]+(?P<origin>\[?[\w.:/-]+\]?)[ \t|:-]+\[?(?P<level>{_LEVEL})\]?[ \t|:-]+(?P<message>.*)",
    ),
    _format("level, origin and message", rf"(?P<level>{_LEVEL}):(?P<origin>[\w.]+):(?P<message>.*)"),
    _format("time and message", rf"\[?(?P<time>{_ISO})\]?[ \t|:-]+(?P<message>.*)"),
)


class LogLines:
    """The family of logs and plain text."""

    name = "lines"

    def sniff(self, head: Head) -> float:
        """By its name, where the bytes are text; text that is a table comes before it."""
        if head.suffix not in _SUFFIXES or encoding.detect(head.data, is_whole=head.is_whole) is None:
            return 0.0
        return 0.6 if head.suffix == ".log" or _known(head) else 0.3

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes one table: of entries where the format is known, else of lines."""
        found = encoding.detect(head.data, is_whole=head.is_whole)
        if found is None:
            raise Refused(reasons.corrupt("its name says text, but its bytes aren't"))
        try:
            _write(source, head, found, bench)
        except encoding.Misjudged as misjudged:
            bench.clear()
            _write(source, head, misjudged.encoding, bench)


def _write(source: Source, head: Head, found: Encoding, bench: Bench) -> None:
    known = _known(head)
    if known is None:
        _write_lines(source, found, bench)
    else:
        _write_entries(known, source, found, bench)


def _known(head: Head) -> Format | None:
    """The format of HEAD's lines."""
    found = encoding.detect(head.data, is_whole=head.is_whole)
    text = encoding.to_utf8(head.data, found.codec if found else "utf-8").decode("utf-8", "replace")
    lines = [line for line in text.split("\n")[: _LOOK + 1] if line.strip()]
    lines = lines[: max(1, len(lines) - (not head.is_whole))]
    for known in FORMATS:
        begun = [bool(known.entry.fullmatch(line.rstrip("\r"))) for line in lines]
        share = sum(begun) / max(1, len(lines))
        loose = [line for line, begins in zip(lines, begun, strict=True) if not begins]
        if begun[:1] == [True] and (share >= _KNOWN or (share >= _FEW and all(_continues(line) for line in loose))):
            return known
    return None


def _continues(line: str) -> bool:
    """Whether LINE looks like a part of the entry before it."""
    return line[:1] in " \t" or re.match(r"(?:Caused by|Traceback|[\w.]+(?:Error|Exception)\b)", line) is not None


def _lines(source: Source, found: Encoding, bench: Bench) -> Iterator[str]:
    """The lines of SOURCE, without their ends."""
    for chunk in chunks(source, found, CHUNK):
        lines = chunk.text.decode("utf-8", "replace").split("\n")
        if lines and not lines[-1]:
            lines.pop()
        for line in lines:
            yield line.removesuffix("\r")
        bench.progress(chunk.at + len(chunk.raw))


def _write_lines(source: Source, found: Encoding, bench: Bench) -> None:
    counted = _line_count(source, found)
    if not counted:
        raise Refused(reasons.no_records("it has no text"))

    def rows() -> Iterator[TextRow]:
        for number, line in enumerate(_lines(source, found, bench), 1):
            yield (str(number), line)

    facts = {"encoding": found.codec, "format": "lines"}
    write_rows(["line", "text"], rows, counted, bench, facts=facts)


def _line_count(source: Source, found: Encoding) -> int:
    """How many lines there are, by the line ends in the source's bytes."""
    mark = "\n".encode(found.codec)
    count, at, last = 0, found.bom, b""
    step = CHUNK - CHUNK % 4
    while piece := source.read(at, step):
        at += len(piece)
        last = piece
        units = [piece[i : i + len(mark)] for i in range(0, len(piece), len(mark))] if len(mark) > 1 else None
        count += units.count(mark) if units is not None else piece.count(mark)
    return count + bool(last and not last.endswith(mark))


def _write_entries(known: Format, source: Source, found: Encoding, bench: Bench) -> None:
    """Makes a table of the entries; what stands before the first one is an entry of its own, with nothing apart."""
    text_column = known.columns.index("message") if "message" in known.columns else len(known.columns) - 1
    entry = known.entry.fullmatch
    counted = sum(
        1 for number, line in enumerate(_lines(source, found, bench)) if entry(line) or (number == 0 and line)
    )

    def rows() -> Iterator[TextRow]:
        current: list[str | None] = []
        first, more = 0, []
        for number, line in enumerate(_lines(source, found, bench), 1):
            match = entry(line)
            if match is None and current:
                more.append(line)
                continue
            if current:
                yield _entry(current, more, first, text_column)
            more, first = [], number
            current = (
                list(match.groups())
                if match
                else [None] * text_column + [line] + [None] * (len(known.columns) - text_column - 1)
            )
        if current:
            yield _entry(current, more, first, text_column)

    facts = {"encoding": found.codec, "format": known.name}
    write_rows(["line", *known.columns], rows, counted, bench, facts=facts)


def _entry(fields: list[str | None], more: list[str], line: int, text_column: int) -> TextRow:
    """An entry's columns, with the lines that follow it put to its text."""
    if more:
        fields = [*fields]
        fields[text_column] = "\n".join([fields[text_column] or "", *more]).rstrip("\n")
    return (str(line), *fields)
