"""Which parts make which table, and what it is called. Decides only; reads nothing.

A part is a table of its own unless its facts name a `group`: parts of one group become one table as far as they can
have one schema without losing anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from pipeline.model import Column
from stages.handover import Results, TablePart
from stages.store.names import TableNames, common_source

GROUP = "group"  # the fact that tells which parts belong together


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A table part as store has it: its INDEX in batch SEQ, and whether it was staged or still lies in work/."""

    seq: int
    index: int
    staged: bool
    part: TablePart


class Field(msgspec.Struct, frozen=True):
    """A column's name, its type in DuckDB's words and in Arrow's; a column of nulls alone fits every type."""

    name: str
    words: str
    type: Any
    null: bool


Shape = tuple[Field, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A table to be made. A piece whose fields differ from SHAPE must be rewritten; without a shape they are equal."""

    name: str
    source: str
    pieces: tuple[Piece, ...]
    columns: tuple[Column, ...]
    shape: Shape | None = None


class Engine(msgspec.Struct, frozen=True):
    """What has to be asked of Parquet files where the parts of a group don't look alike at once."""

    shape: Callable[[Piece], Shape]
    merge: Callable[[Shape, Shape], Shape | None]


class _Table:
    """A table that still grows."""

    def __init__(self, piece: Piece, shape: Shape | None) -> None:
        self.pieces = [piece]
        self.shape = shape

    def plan(self, names: TableNames) -> Plan:
        sources = [piece.part.source for piece in self.pieces]
        first = self.pieces[0].part
        alike = all(piece.part.columns == first.columns for piece in self.pieces)
        shape = None if alike else self.shape
        return Plan(
            name=names.take(sources, first.title),
            source=common_source(sources) or sources[0],
            pieces=tuple(self.pieces),
            columns=tuple(Column(name=field.name, type=field.words) for field in shape) if shape else first.columns,
            shape=shape,
        )


def ordered(seq: int, results: Results, staged: bool) -> list[Piece]:
    """The parts of a batch in the order of their members, whatever order convert made them in."""
    numbers = {member.path: member.number for member in reversed(results.members)}
    pieces = [Piece(seq=seq, index=index, staged=staged, part=part) for index, part in enumerate(results.tables)]
    return sorted(pieces, key=lambda piece: (numbers.get(piece.part.source, -1), piece.index))


def plan(pieces: Sequence[Piece], engine: Engine) -> list[Plan]:
    """The tables of a job, in the order of their first parts."""
    groups: dict[object, list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(_key(piece), []).append(piece)
    tables = [table for group in groups.values() for table in _split(group, engine)]
    places = {(piece.seq, piece.index): place for place, piece in enumerate(pieces)}
    tables.sort(key=lambda table: places[table.pieces[0].seq, table.pieces[0].index])
    names = TableNames()
    return [table.plan(names) for table in tables]


def _key(piece: Piece) -> object:
    group = piece.part.facts.get(GROUP)
    return (piece.seq, piece.index) if group is None else msgspec.json.encode(group)


def _split(group: Sequence[Piece], engine: Engine) -> Iterable[_Table]:
    """As few tables as the schemas of GROUP allow; each part joins the first one that it fits."""
    alike = all(piece.part.columns == group[0].part.columns for piece in group)
    tables: list[_Table] = []
    for piece in group:
        shape = None if alike else engine.shape(piece)
        for table in tables:
            merged = None if shape is None or table.shape is None else engine.merge(table.shape, shape)
            if alike or merged is not None:
                table.pieces.append(piece)
                table.shape = merged
                break
        else:
            tables.append(_Table(piece, shape))
    return tables
