"""How near to the clean table a spoilt file was read: precision and recall of header, records and cells, as a sum of 10.

One point for a table at all, and three each (precision, recall, F1) for header cells, records and cells, all taken as
multisets; a record counts if all of its cells are right.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from stages.convert.values.header import unique_names
from tests.stages.convert.conftest import Bench
from tests.stages.convert.pollution import Polluted


class Read(NamedTuple):
    """What was read of a file: its header (None: there is none) and records; no records where it was no table."""

    header: list[str] | None
    rows: list[list[str]]
    is_table: bool = True


def read_all(spoilt: Iterable[Polluted]) -> list[tuple[Polluted, Read]]:
    """Each of SPOILT and what convert makes of it, as text, told nothing but a name that ends in .csv."""
    with tempfile.TemporaryDirectory() as home:
        bench = Bench(Path(home))
        return [(file, _read(bench, file)) for file in spoilt]


def _read(bench: Bench, file: Polluted) -> Read:
    done = bench.csv(file.data, types="text")
    if not done.results.tables:
        return Read(None, [], is_table=False)
    part = max(done.results.tables, key=lambda table: table.rows)
    names = [column.name for column in part.columns]
    rows = [[cell or "" for cell in row] for row in done.frame(part).rows()]
    return Read(names if part.facts["has_header"] else None, rows)


def score(wanted: Polluted, found: Read) -> float:
    """0 to 10, by the reading of WANTED that FOUND comes nearest to."""
    readings = [(wanted.header, wanted.rows), *wanted.also]
    return max(_score(header, rows, found) for header, rows in readings) if found.is_table else 0.0


def _score(names: list[str] | None, rows: list[list[str]], found: Read) -> float:
    width = max((len(row) for row in rows), default=0)
    header = _three(_names(names), _names(found.header))
    records = _three(map(tuple, _even(rows, width)), map(tuple, _even(found.rows, width)))
    cells = _three(_cells(rows), _cells(found.rows))
    return 1 + header + records + cells


def _names(header: list[str] | None) -> Iterable[str]:
    """The names that say something, as they're told apart: an unnamed column gets one of ours."""
    names = unique_names(header) if header is not None else ["(none)"]
    return [name for name in names if not name.startswith("column_")]


def _even(rows: list[list[str]], width: int) -> Iterable[list[str]]:
    for row in rows:
        filled = max((index for index, cell in enumerate(row, 1) if cell), default=0)
        yield row[: max(filled, width)] + [""] * (width - len(row))


def _cells(rows: list[list[str]]) -> Iterable[str]:
    return (cell for row in rows for cell in row if cell)


def _three(wanted: Iterable[Hashable], found: Iterable[Hashable]) -> float:
    """Precision, recall and F1 of FOUND, summed."""
    right: Counter[Any] = Counter(wanted)
    given: Counter[Any] = Counter(found)
    common = (right & given).total()
    precision = common / given.total() if given else float(not right)
    recall = common / right.total() if right else float(not given)
    mean = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return precision + recall + mean
