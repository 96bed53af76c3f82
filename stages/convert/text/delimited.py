"""CSV, TSV and their kin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from stages.convert import reasons
from stages.convert.ahead import ahead
from stages.convert.family import Bench, Head, Refused
from stages.convert.kernels import compiled
from stages.convert.source import Source
from stages.convert.text import dialect, dialect_told, encoding
from stages.convert.text.blocks import Block, Splitter, Wider
from stages.convert.text.chunks import Chunk, chunks
from stages.convert.text.dialect_below import below, may_hold_more
from stages.convert.text.encoding import Encoding, to_utf8
from stages.convert.text.normal import ColumnsChange, Normal, StandInTaken, Written, normal
from stages.convert.text.text_table import Layout, TextTable
from stages.convert.values import header
from stages.convert.values.kinds import NULL

CHUNK = 4 * 1024 * 1024  # larger ones fall out of the caches, and each is fresh memory again
SUFFIXES = (".csv", ".tsv", ".tab", ".psv", ".ssv")
_MAYBE = (".txt", ".dat", ".data", ".asc", ".prn", ".xls", ".xlsx", "")
_CHANGES = "its #Fields lines name other columns further down, so it's no table of columns"
_FEW_LINES = 6  # by which a dialect can be told
_SKIPPED_TEXT = 16 * 1024  # characters of skipped lines that facts hold


class Plan(msgspec.Struct, frozen=True):
    """What was decided about a file before it's read: `skip` bytes of normal text stand before the data."""

    encoding: Encoding
    written: Written
    normal: Normal
    header: header.Header
    skip: int
    facts: dict[str, Any]
    end: int = -1  # the byte of the file at which the data ends, where something else follows

    @property
    def layout(self) -> Layout:
        """The table's columns and how the engine tells fields apart."""
        way = self.normal.dialect
        return Layout(
            self.header.names, way.delimiter, way.quote, self.normal.restore, way.is_padded, self.header.kinds
        )

    def widened(self, width: int) -> Plan:
        """The same for records of WIDTH fields, the last of them without a name."""
        top = self.header
        names = header.unique_names([*top.names, *[""] * (width - top.width)])
        top = msgspec.structs.replace(top, names=names, kinds=(*top.kinds, *[NULL] * (width - len(top.kinds))))
        return msgspec.structs.replace(self, header=top, facts={**self.facts, "columns_at_first": self.header.width})


class Delimited:
    """The family of delimited text."""

    name = "delimited"

    def sniff(self, head: Head) -> float:
        """By its name, where the bytes are text."""
        if head.suffix in SUFFIXES or (head.suffix == ".log" and _names_fields(head)):
            return 0.9
        if head.suffix not in _MAYBE or encoding.detect(head.data, is_whole=head.is_whole) is None:
            return 0.0
        return 0.4

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes one table; none of a log whose columns change, unless its name says a table."""
        try:
            self._read(source, head, bench)
        except ColumnsChange:
            if head.suffix in SUFFIXES:
                raise
            bench.clear()
            bench.notes.append(_CHANGES)

    def _read(self, source: Source, head: Head, bench: Bench) -> None:
        plan = make_plan(source, head)
        if plan is None:
            return
        if plan.header.width > bench.limits.max_columns:
            raise Refused(reasons.too_many_columns(plan.header.width, bench.limits.max_columns))
        taken: frozenset[bytes] = frozenset()
        while True:
            try:
                _read(plan, source, bench)
                return
            except encoding.Misjudged as misjudged:
                bench.clear()
                found = misjudged.encoding
                facts = {**plan.facts, "encoding": found.codec, "encoding_confidence": found.confidence}
                plan = msgspec.structs.replace(plan, encoding=found, facts=facts)
            except Wider as wider:
                bench.clear()
                plan = plan.widened(wider.width)
            except StandInTaken as clash:
                bench.clear()
                taken |= {clash.mark}
                plan = msgspec.structs.replace(plan, normal=normal(plan.written, taken))


def _names_fields(head: Head) -> bool:
    """Whether a log says in a comment what its fields are called, as Zeek's and web servers' do."""
    said = dialect_told.told(head.data) if head.data.startswith(b"#") else None
    return said is not None and bool(said.names)


def make_plan(source: Source, head: Head) -> Plan | None:
    """How to read SOURCE; None where it's no table. Raises Refused."""
    found = encoding.detect(head.data, is_whole=head.is_whole)
    if found is None:
        raise Refused(reasons.corrupt("its name says a table of text, but its bytes aren't text"))
    first = _first(source, found)
    plan = _plan_of(first.text, found, is_whole=first.is_last)
    if plan is None:
        raise Refused(reasons.no_records("it has only blank lines"))
    plan = _ended(plan, source, first)
    if head.suffix not in SUFFIXES and (plan.header.width < 2 or plan.facts["dialect_confidence"] < 0.5):
        return None
    return plan


def _first(source: Source, found: Encoding) -> Chunk:
    """The first lines of SOURCE: more bytes of it where lines are so long that few would tell how records are parted."""
    size = encoding.HEAD
    first = next(chunks(source, found, size))
    while not first.is_last and size < CHUNK and not _has_lines(first.text):
        size *= 4
        first = next(chunks(source, found, size))
    return first


def _ended(plan: Plan, source: Source, first: Chunk) -> Plan:
    """PLAN for the records of SOURCE without what stands below them; FIRST are its first lines."""
    found = below(source, plan.encoding, plan.written, plan.normal, plan.header)
    if found is None:
        return plan
    if first.is_last:
        text = to_utf8(first.raw[: found.at - first.at], plan.encoding.codec)
        better = _plan_of(text, plan.encoding, is_whole=True)
        if better is None or plan.header.width not in (1, better.header.width):
            return plan  # what seems to be below it may as well be a part of it
        plan = better
    facts = {**plan.facts, "skipped_after_data": "\n".join(found.lines)[:_SKIPPED_TEXT]}
    return msgspec.structs.replace(plan, end=found.at, facts=facts)


def _has_lines(text: bytes) -> bool:
    return text.count(b"\n") >= _FEW_LINES or text.count(b"\r") >= _FEW_LINES


def make_plan_of(text: bytes) -> Plan | None:
    """How to read TEXT, which is UTF-8 or isn't planned for here."""
    found = encoding.detect(text, is_whole=True)
    if found is None or found.codec != "utf-8" or may_hold_more(text):  # each file has its own lines below its table
        return None
    return _plan_of(text, found, is_whole=True)


def _plan_of(text: bytes, found: Encoding, *, is_whole: bool) -> Plan | None:
    choice = dialect.choose(text, is_whole=is_whole)
    told = choice.names_at
    top = header.told(choice.rows, told) if told >= 0 else header.decide(choice.rows)
    if top.width == 0:
        return None
    return Plan(found, choice.written, choice.normal, top, choice.starts[top.skip], _facts(found, choice, top))


def _facts(found: Encoding, choice: dialect.Choice, top: header.Header) -> dict[str, Any]:
    written = choice.written
    facts: dict[str, Any] = {
        "encoding": found.codec,
        "encoding_confidence": found.confidence,
        "delimiter": written.delimiter.decode(),
        "quote": (written.quote or b"").decode(),
        "dialect_confidence": round(choice.confidence, 3),
        "has_header": top.is_present,
        "header_confidence": top.confidence,
    }
    if written.escape:
        facts["escape"] = written.escape.decode()
    if written.line_end != b"\n" or written.has_double_returns:
        facts["line_end"] = "\r\r\n" if written.has_double_returns else written.line_end.decode()
    if written.is_wrapped:
        facts["lines_in_quotes"] = True
    if written.is_padded or written.is_collapsed:
        facts["blanks_around_fields"] = True
    skipped = [_line(row) for row in choice.rows[: top.skip - top.is_present]]
    if any(skipped):
        facts["skipped_before_data"] = "\n".join(skipped)[:_SKIPPED_TEXT]
    return facts


def _line(row: Sequence[str]) -> str:
    return "\t".join(row).strip()


def _read(plan: Plan, source: Source, bench: Bench) -> None:
    if plan.end >= 0:
        source = Source(source.descriptor, source.offset, plan.end, source.path)
    compiled.begin(source.length)
    sheet = bench.sheet()

    def blocks() -> Iterator[Block]:
        splitter = Splitter(plan.normal.dialect, plan.header.width)
        skip = plan.skip
        for chunk in chunks(source, plan.encoding, CHUNK, plan.written.line_end):
            chunk.text = plan.normal.apply(chunk.text)
            for block in splitter.blocks(chunk, skip):
                block.repaired += chunk.strays
                block.done = chunk.at + len(chunk.raw)
                chunk.strays = 0
                yield block
            skip = 0
        splitter.check_width()

    is_large = source.length > 2 * CHUNK
    table = TextTable(plan.layout, sheet, (lambda: ahead(blocks)) if is_large else blocks, bench, is_large=is_large)
    columns, totals = table.scan()
    sheet.facts = {**plan.facts, "blank_lines": totals.blank, "null_words": table.null_words()}
    sheet.finish(totals.read, columns)
    if not totals.read:
        bench.notes.append("it holds a header line and no records")
