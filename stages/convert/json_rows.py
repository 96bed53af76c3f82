"""Rows of JSON values made into a table: the shape is found over all of them, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import polars as pl

from pipeline.model import Column
from stages.convert.account import RejectedRecord
from stages.convert.family import Context
from stages.convert.header import unique_names
from stages.convert.shapes import NOTHING, Shape, column, exact_number, shape_of, sql
from stages.convert.sheet import Sheet
from stages.handover import TablePart

decode = msgspec.json.Decoder(float_hook=exact_number).decode


class RowBlock(msgspec.Struct):
    """Some records: the values that were read, and those that were rejected."""

    values: list[Any]
    read: int
    rejects: list[RejectedRecord] = []
    blank: int = 0


Blocks = Callable[[], Iterator[RowBlock]]


class RowTable:
    """A table of the records that BLOCKS gives, anew each time it's called. Records that aren't objects get one
    column, `value`."""

    def __init__(self, blocks: Blocks, source: str, context: Context, title: str = "") -> None:
        self._blocks = blocks
        self._sheet = Sheet(context.drawer, source, title)
        self._shapes: dict[str, Shape] = {}

    def read(self, facts: dict[str, Any]) -> TablePart | None:
        """The table, or None where there's no record."""
        while True:
            written, read, blank = self._pass()
            if written == self._shapes:
                break
            self._sheet.restart()
        if not read:
            self._sheet.discard()
            return None
        self._sheet.facts = {**facts, "blank_lines": blank}
        names = unique_names(list(written))
        columns = [Column(name=name, type=sql(shape)) for name, shape in zip(names, written.values(), strict=True)]
        return self._sheet.finish(read, columns)

    def _pass(self) -> tuple[dict[str, Shape], int, int]:
        written: dict[str, Shape] | None = None
        read = blank = 0
        is_writing = True
        for block in self._blocks():
            read += block.read
            blank += block.blank
            for reject in block.rejects:
                self._sheet.reject(reject)
            columns = self._columns(block.values)
            for name, values in columns.items():
                self._shapes[name] = shape_of(values, self._shapes.get(name, NOTHING), is_top=True)
            written = written if written is not None else dict(self._shapes)
            is_writing = is_writing and written == self._shapes
            if is_writing and written:
                self._sheet.write(self._frame(columns, len(block.values)))
        return written or {}, read, blank

    def _columns(self, values: Sequence[Any]) -> dict[str, list[Any]]:
        if not all(type(value) is dict for value in values):
            values = [value if type(value) is dict else {"value": value} for value in values]
        names: dict[str, None] = dict.fromkeys(self._shapes)
        for value in values:
            if value.keys() != names.keys():
                names.update(dict.fromkeys(value))
        return {name: [value.get(name) for value in values] for name in names}

    def _frame(self, columns: dict[str, list[Any]], height: int) -> pl.DataFrame:
        names = unique_names(list(self._shapes))
        nothing = [None] * height
        return pl.DataFrame(
            [
                column(name, columns.get(key, nothing), shape)
                for name, (key, shape) in zip(names, self._shapes.items(), strict=True)
            ]
        )
