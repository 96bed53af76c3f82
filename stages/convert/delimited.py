"""CSV, TSV and their kin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from pipeline.model import Column
from stages.convert import dialect, encoding, header, reasons
from stages.convert.blocks import Block, Splitter
from stages.convert.columns import guess, widen
from stages.convert.encoding import Encoding
from stages.convert.family import Context, Head, Reading
from stages.convert.kinds import NULL, TEXT, Kind, settle, sql_type
from stages.convert.records import Dialect
from stages.convert.sheet import Sheet
from stages.convert.source import Source

CHUNK = 32 * 1024 * 1024
_SUFFIXES = (".csv", ".tsv", ".tab", ".psv", ".ssv")
_MAYBE = (".txt", ".dat", ".data", ".asc", ".prn", "")


class Delimited:
    """The family of delimited text."""

    name = "delimited"

    def sniff(self, head: Head) -> float:
        """By its name, where the bytes are text."""
        if head.suffix in _SUFFIXES:
            return 0.9
        if head.suffix not in _MAYBE or encoding.detect(head.data, len(head.data) == head.size) is None:
            return 0.0
        return 0.4

    def read(self, source: Source, head: Head, context: Context) -> Reading:
        """One table, or a reason."""
        plan = _plan(source, head)
        if isinstance(plan, Reading):
            return plan
        return _Scan(plan, source, context).run()


class _Plan:
    """What was decided about a file before it's read."""

    def __init__(self, found: Encoding, choice: dialect.Choice, top: header.Header) -> None:
        self.encoding = found
        self.dialect: Dialect = choice.dialect
        self.header = top
        self.skip = choice.starts[top.skip]
        self.facts = {
            "encoding": found.codec,
            "encoding_confidence": found.confidence,
            "delimiter": choice.dialect.delimiter.decode(),
            "quote": (choice.dialect.quote or b"").decode(),
            "dialect_confidence": round(choice.confidence, 3),
            "has_header": top.is_present,
            "header_confidence": round(top.confidence, 3),
            "skipped_before_data": [delimited_line(row) for row in choice.rows[: max(0, top.skip - top.is_present)]],
        }


def delimited_line(row: Sequence[str]) -> str:
    """ROW as one readable line."""
    return "\t".join(row).strip()


def _plan(source: Source, head: Head) -> _Plan | Reading:
    is_whole = len(head.data) == head.size
    found = encoding.detect(head.data, is_whole)
    if found is None:
        return Reading(reason=reasons.corrupt("its name says a table of text, but its bytes aren't text"))
    first = next(encoding.chunks(source, found, encoding.HEAD))
    choice = dialect.choose(first.text, first.is_last)
    top = header.decide(choice.rows)
    if top.width == 0:
        return Reading(reason=reasons.no_records("it has only blank lines"))
    if head.suffix not in _SUFFIXES and (top.width < 2 or choice.confidence < 0.5):
        return Reading()
    return _Plan(found, choice, top)


class _Scan:
    """Reads the whole file, once if its first block tells the types of all, at most a few times otherwise."""

    def __init__(self, plan: _Plan, source: Source, context: Context) -> None:
        self._plan = plan
        self._source = source
        self._context = context
        self._sheet = Sheet(context.drawer, source.path)
        self._kinds: list[Kind] = [TEXT if context.is_text_only else NULL] * plan.header.width
        self._names = list(plan.header.names)

    def run(self) -> Reading:
        """The table."""
        width = self._plan.header.width
        if width > self._context.limits.max_columns:
            step = "Split it into files with fewer columns, or ask for a higher limit."
            return Reading(reason=reasons.too_large(f"{width} columns", step))
        while True:
            written, read, blank = self._pass()
            if written == [settle(kind) for kind in self._kinds]:
                break
            self._sheet.restart()
        columns = [Column(name=name, type=sql_type(kind)) for name, kind in zip(self._names, written, strict=True)]
        self._sheet.facts = {**self._plan.facts, "blank_lines": blank}
        part = self._sheet.finish(read, columns)
        notes = () if read else ("it holds a header line and no records",)
        return Reading(tables=(part,), notes=notes)

    def _pass(self) -> tuple[list[Kind], int, int]:
        """Scans the file and writes it while the kinds hold; returns the kinds as written, records read, blanks."""
        written: list[Kind] | None = None
        read = blank = 0
        is_writing = True
        for block in self._blocks():
            read += block.read
            blank += block.blank
            self._sheet.repaired += block.repaired
            for reject in block.rejects:
                self._sheet.reject(reject)
            frame = self._typed(self._engine(block))
            kinds = [settle(kind) for kind in self._kinds]
            written = written or kinds
            is_writing = is_writing and written == kinds
            if is_writing:
                self._sheet.write(frame)
        if written is None:
            written = [settle(kind) for kind in self._kinds]
            self._sheet.write(self._typed(self._engine(Block(b"", 0, 0))))
        return written, read, blank

    def _blocks(self) -> Iterator[Block]:
        splitter = Splitter(self._plan.dialect, self._plan.header.width)
        skip = self._plan.skip
        for chunk in encoding.chunks(self._source, self._plan.encoding, CHUNK):
            yield from splitter.blocks(chunk, skip)
            skip = 0
            self._context.progress(chunk.at + len(chunk.raw))

    def _engine(self, block: Block) -> pl.DataFrame:
        names = [str(index) for index in range(self._plan.header.width)]
        schema = dict.fromkeys(names, pl.String())
        if not block.rows:
            return pl.DataFrame(schema=schema)
        quote = self._plan.dialect.quote
        frame = pl.read_csv(
            block.data,
            has_header=False,
            schema=schema,
            separator=self._plan.dialect.delimiter.decode(),
            quote_char=quote.decode() if quote else None,
        )
        if frame.height != block.rows:
            raise AssertionError(f"the engine found {frame.height} rows where {block.rows} were counted")
        if quote and quote * 2 in block.data:
            frame = frame.with_columns(pl.when(pl.all() != "").then(pl.all()))
        return frame

    def _typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        typed = []
        for index, (name, column) in enumerate(zip(self._names, frame.get_columns(), strict=True)):
            kind = self._kinds[index]
            self._kinds[index], values = widen(column, guess(column) if kind == NULL else kind)
            typed.append(values.alias(name))
        return pl.DataFrame(typed)
