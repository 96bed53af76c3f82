"""Blocks of delimited text made into one typed table.

The first block tells the types; where a later value doesn't fit, the rest of the source is only looked at, and it's
read again with the types that hold all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import lru_cache

import msgspec
import polars as pl

from pipeline.model import Column
from stages.convert.ahead import mapped
from stages.convert.family import Bench
from stages.convert.kernels import compiled, fields
from stages.convert.kernels.fields import Columns, Fields
from stages.convert.sheet import Sheet
from stages.convert.text.blocks import Block
from stages.convert.text.records import Dialect, read_record
from stages.convert.values.columns import Typed, typed
from stages.convert.values.kinds import NULL, TEXT, Kind, pinned_kind, settle, sql_type, with_empty

_EMPTY = [""]  # what is NULL in quotes; without them it is so anyway
_LEAST_ROWS = 500  # of a block for the kernels
PASSES = 6  # after so many, columns that still change are text
_THREADS = 3  # that parse: one of two processors would often wait for Python's lock
FILE = "_file"  # the column that tells the files of a group apart

Blocks = Callable[[], Iterator[Block]]


class CountsDiffer(Exception):
    """The records of a block aren't those that were counted."""


class Layout(msgspec.Struct, frozen=True):
    """A table's columns, and the bytes that part and quote its fields; `restore` are texts to put back into values
    from which they were taken for the engine's sake."""

    names: tuple[str, ...]
    delimiter: bytes
    quote: bytes | None
    restore: tuple[tuple[str, str], ...] = ()
    is_trimmed: bool = False
    kinds: tuple[Kind, ...] = ()  # a first idea of the columns' kinds, if there is one


class Totals(msgspec.Struct):
    """What a scan saw: records, and blank lines, which are none."""

    read: int = 0
    blank: int = 0


class _Parsed(msgspec.Struct):
    """A block, its fields as text where that was needed, and typed by the kinds that were known when that began."""

    block: Block
    frame: pl.DataFrame | None
    before: list[Kind]
    typed: Typed


class TextTable:
    """A table being made of the blocks that BLOCKS gives, anew for each scan; of many, some are worked on at once."""

    def __init__(self, layout: Layout, sheet: Sheet, blocks: Blocks, bench: Bench, *, is_large: bool = False) -> None:
        self._layout = layout
        self._sheet = sheet
        self._blocks = blocks
        self._progress = bench.progress
        self._is_large = is_large
        self._kinds = _first_kinds(layout, bench)
        self._has_files = False

    def scan(self) -> tuple[list[Column], Totals]:
        """Reads and writes everything; the sheet is left to be finished."""
        for number in range(1, PASSES + 1):
            before = self._settled()
            written, totals = self._pass()
            now = self._settled()
            if written == now:
                break
            if number == PASSES - 1:
                self._kinds = [TEXT if old != new else new for old, new in zip(before, now, strict=True)]
            self._sheet.restart()
        else:
            raise AssertionError("types that hold every value were not found")
        return self._columns(written), totals

    def null_words(self) -> dict[str, str]:
        """The words that stood for "no value", by column."""
        pairs = zip(self._layout.names, self._settled(), strict=True)
        return {name: kind.null for name, kind in pairs if kind.null}

    def _columns(self, kinds: Sequence[Kind]) -> list[Column]:
        pairs = zip(self._layout.names, kinds, strict=True)
        files = [Column(name=FILE, type="VARCHAR")] if self._has_files else []
        return [Column(name=name, type=sql_type(kind)) for name, kind in pairs] + files

    def _settled(self) -> list[Kind]:
        return [settle(kind) for kind in self._kinds]

    def _pass(self) -> tuple[list[Kind], Totals]:
        """One scan, written as long as the kinds hold; gives the kinds as written."""
        written: list[Kind] | None = None
        totals = Totals()
        is_writing = True
        with closing(self._in_order()) as found:
            for parsed in found:
                self._account(parsed.block, totals)
                if not parsed.block.rows:
                    continue
                frame = self._typed(parsed)
                now = self._settled()
                written = written or now
                is_writing = is_writing and written == now
                if is_writing:
                    self._sheet.write(frame)
        if written is None:
            written = self._settled()
            self._sheet.write(self._typed(self._parse(Block(b"", 0, 0))))
        return written, totals

    def _in_order(self) -> Generator[_Parsed, None, None]:
        """The blocks, parsed and typed as far as can be told without those before them."""
        if self._is_large:
            yield from mapped(self._blocks(), self._parse, _THREADS)
        else:
            yield from map(self._parse, self._blocks())

    def _account(self, block: Block, totals: Totals) -> None:
        before = totals.read
        totals.read += block.read
        totals.blank += block.blank
        self._sheet.repaired += block.repaired
        if block.done:
            self._progress(block.done)
        for reject in block.rejects:
            self._sheet.reject(reject if reject.file else reject.counted_on(before))

    def _parse(self, block: Block) -> _Parsed:
        before = self._kinds
        found = by_kernels(block, self._layout, before)
        if found is not None:
            return _Parsed(block, None, before, found)
        block, frame = self._parsed(block)
        return _Parsed(block, frame, before, typed(frame, before) if block.rows or not block.read else _UNTYPED)

    def _parsed(self, block: Block) -> tuple[Block, pl.DataFrame]:
        """BLOCK and its fields as text; where the engine finds other rows than were counted, each record's are."""
        try:
            return block, parse(block, self._layout)
        except CountsDiffer:
            if block.proof is None:
                raise
        return self._parsed(block.proof())

    def _typed(self, parsed: _Parsed) -> pl.DataFrame:
        """The rows of PARSED by kinds that hold them and all that came before."""
        found = parsed.typed
        if parsed.before != self._kinds:  # other blocks have told more meanwhile
            found = self._typed_again(parsed)
        if found.kinds != self._kinds:
            self._kinds = found.kinds
        columns = [column.alias(name) for column, name in zip(found.columns, self._layout.names, strict=True)]
        if parsed.block.files is not None:
            self._has_files = True
            columns.append(parsed.block.files.alias(FILE))
        return pl.DataFrame(columns)

    def _typed_again(self, parsed: _Parsed) -> Typed:
        if parsed.frame is None:
            found = by_kernels(parsed.block, self._layout, self._kinds)
            if found is not None:
                return found
            parsed.block, parsed.frame = self._parsed(parsed.block)
        return typed(parsed.frame, self._kinds)


_UNTYPED = Typed([], [])


def by_kernels(block: Block, layout: Layout, kinds: Sequence[Kind]) -> Typed | None:
    """BLOCK's fields with the narrowest types from KINDS on that change no value, taken apart by kernels and, where they can
    tell, typed by them; None where they aren't loaded, or find other rows than were counted. Then the engine has its turn.
    """
    kernels = compiled.kernels() if block.rows >= _LEAST_ROWS else None
    if kernels is None or block.frame is not None or layout.restore or layout.is_trimmed:
        return None
    if len(block.data) > fields.MOST_BYTES:
        return None
    found = Fields(block.data, *fields.room(len(kinds), block.rows))
    quote = layout.quote[0] if layout.quote else -1
    places = (len(kinds), block.rows, found.starts.ravel(), found.sizes.ravel())
    if kernels.find_in_records(found.bytes, layout.delimiter[0], quote, *places) != block.rows:
        return None
    columns = Columns(kernels, found)
    after = [with_empty(kind) if empty else kind for kind, empty in zip(kinds, found.nulls(), strict=True)]
    made = [_by_kernel(columns, index, kind) for index, kind in enumerate(after)]
    left = [index for index, column in enumerate(made) if column is None]
    if left:
        texts = [columns.texts(index) for index in left]
        frame = pl.DataFrame(
            [text.alias(str(index)) for index, text in zip(left, texts, strict=True) if text is not None]
        )
        rest = typed(frame, [after[index] for index in left])
        for index, column, kind in zip(left, rest.columns, rest.kinds, strict=True):
            made[index], after[index] = column, kind
    return Typed([column for column in made if column is not None], after)


def _by_kernel(columns: Columns, index: int, kind: Kind) -> pl.Series | None:
    """A column as KIND, if that's decided and a kernel can tell."""
    known = settle(kind)
    return columns.typed(index, known) if known != TEXT or kind == TEXT else None


def _first_kinds(layout: Layout, bench: Bench) -> list[Kind]:
    """What is known of the columns' kinds before they are read: by what's asked for, then by a first look."""
    if bench.is_text_only:
        return [TEXT] * len(layout.names)
    kinds = layout.kinds or (NULL,) * len(layout.names)
    pinned = {name.casefold(): pinned_kind(word) for name, word in bench.limits.types.items()}
    return [pinned.get(name.casefold(), kind) for name, kind in zip(layout.names, kinds, strict=True)]


@lru_cache(maxsize=64)
def _schema(width: int) -> dict[str, pl.DataType]:
    return {str(index): pl.String() for index in range(width)}


def parse(block: Block, layout: Layout) -> pl.DataFrame:
    """BLOCK's fields as text, NULL for empty ones. Columns are called "0", "1", ... Raises CountsDiffer."""
    if block.frame is not None:
        return block.frame
    if not block.rows:
        return pl.DataFrame(schema=_schema(len(layout.names)))
    frame = _by_engine(block, layout)
    if frame is None or frame.height != block.rows:
        frame = _exactly(block, layout)
    for old, new in layout.restore:
        if old.encode() in block.data:
            frame = frame.with_columns(pl.all().str.replace_all(old, new, literal=True))
    if layout.is_trimmed:
        frame = frame.with_columns(pl.all().str.strip_chars(" ").replace("", None))
    return frame


def _by_engine(block: Block, layout: Layout) -> pl.DataFrame | None:
    """BLOCK's fields as the engine finds them; None where it refuses."""
    try:
        return pl.read_csv(
            block.data,
            has_header=False,
            schema=_schema(len(layout.names)),
            separator=layout.delimiter.decode(),
            quote_char=layout.quote.decode() if layout.quote else None,
            null_values=_EMPTY if block.has_empty_quoted else None,  # it costs to look for them
        )
    except pl.exceptions.PolarsError:
        return None


def _exactly(block: Block, layout: Layout) -> pl.DataFrame:
    """The same by the exact reader, for where the engine's count isn't the one that was made apart from it."""
    dialect = Dialect(layout.delimiter, layout.quote, layout.is_trimmed)
    width = len(layout.names)
    rows: list[list[str | None]] = []
    at = 0
    while at < len(block.data):
        record = read_record(block.data, at, dialect, width)
        rows.append([field.decode("utf-8", "replace") or None for field in record.fields])
        at = record.end
    if len(rows) != block.rows or any(len(row) != width for row in rows):
        raise CountsDiffer(f"{len(rows)} records were found where {block.rows} were counted, or of other widths")
    return pl.DataFrame(rows, schema=_schema(width), orient="row")
