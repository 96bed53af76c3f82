"""Records that are texts by name (of XML elements, log lines, mails) made into a typed table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import polars as pl

from stages.convert.account import RejectedRecord
from stages.convert.family import Bench
from stages.convert.text.blocks import Block
from stages.convert.text.text_table import Layout, TextTable
from stages.convert.values.header import unique_names

_ROWS = 20_000  # in a block

TextRow = Sequence[str | None]
Rows = Callable[[], Iterable[TextRow | RejectedRecord]]


def write_rows(
    names: Sequence[str],
    rows: Rows,
    counted: int,
    bench: Bench,
    *,
    title: str = "",
    facts: dict[str, Any] | None = None,
) -> None:
    """Makes a table with columns NAMES of what ROWS gives, anew each time it's called. COUNTED is how many records
    there are, found without the reader behind ROWS."""
    sheet = bench.sheet(title)

    def blocks() -> Iterator[Block]:
        source = iter(rows())
        while part := list(itertools.islice(source, _ROWS)):
            rejects = [row for row in part if isinstance(row, RejectedRecord)]
            good = [row for row in part if not isinstance(row, RejectedRecord)]
            yield Block(b"", len(good), len(part), rejects, frame=_frame(good, len(names)))

    layout = Layout(unique_names(names), b",", None)
    table = TextTable(layout, sheet, blocks, bench)
    columns, _totals = table.scan()
    sheet.facts = {**(facts or {}), "null_words": table.null_words()}
    sheet.finish(counted, columns)


def _frame(rows: Sequence[TextRow], width: int) -> pl.DataFrame:
    """ROWS as columns of text; what's empty is NULL."""
    columns = zip(*rows, strict=True) if rows else ([] for _column in range(width))
    return pl.DataFrame(
        [
            pl.Series(str(index), [text or None for text in column], dtype=pl.String)
            for index, column in enumerate(columns)
        ]
    )
