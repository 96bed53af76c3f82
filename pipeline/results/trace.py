"""The way back from a row: to the part of its table, the member and record it came from, the upload, and the message."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec

from pipeline.errors import UsageError
from pipeline.results import catalogue, library, story

FILE_COLUMN = "_file"  # where files share a table: the member that a row is of


class _Reject(msgspec.Struct, frozen=True):
    record: int = 0
    file: str = ""


_reject = msgspec.json.Decoder(_Reject)


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a row came from. All counts begin at 1.

    `record` is the row's place among the records of `member`, blank lines and headers not counted; of which `rejected` were
    left out. Where an earlier release didn't number those, it is the place among those that were taken. `source` is where
    the upload came from: `file:<path>#...` or `tg:<chat>:<message>`; empty without a ledger.
    """

    table: str
    row: int
    values: dict[str, Any]
    part: str
    part_row: int
    member: str
    record: int
    rejected: int
    job: int
    upload: library.UploadEntry
    source: str


def trace(root: Path, ledger: Path, table: str, row: int) -> Trace:
    """Where ROW (from 1) of TABLE in the library ROOT came from. Raises UsageError where there is no such row."""
    folder, entry, manifest = _find(root, table)
    if not 1 <= row <= entry.rows:
        raise UsageError(problem=f"{table} has the rows 1 to {entry.rows}; there is no row {row}.")
    part, part_row = _part_of(entry, row)
    file = f"{folder}/{entry.name}/{part.file}"
    values = _values(root, file, part_row)
    member = str(values.get(FILE_COLUMN) or part.source)
    taken = _taken(root, file, member, part_row) if FILE_COLUMN in values else part_row
    left_out = _left_out(root / folder, entry, part, member)
    return Trace(
        table=table,
        row=row,
        values=values,
        part=file,
        part_row=part_row,
        member=member,
        record=_passing(taken, left_out),
        rejected=len(left_out),
        job=manifest.job,
        upload=manifest.upload,
        source=story.source_of(ledger, manifest.job),
    )


def _find(root: Path, table: str) -> tuple[str, library.TableEntry, library.Manifest]:
    """The folder of the job that has TABLE, its entry, and the job's manifest."""
    found = catalogue.locate(root, table)
    if not found:
        raise UsageError(problem=f"There is no table {table}; `stampmill tables` lists those there are.")
    if len(found) > 1:
        raise UsageError(
            problem=f"{table} is in several jobs. Say which one: {', '.join(catalogue.views(root, table, found))}."
        )
    folder, _, name = found[0].rpartition("/")
    manifest = library.manifest(root, folder)
    entry = next((one for one in manifest.tables if one.name == name), None) if manifest else None
    if manifest is None or entry is None or not entry.parts:
        raise UsageError(problem=f"{found[0]} was taken out of the library meanwhile.")
    return folder, entry, manifest


def _part_of(entry: library.TableEntry, row: int) -> tuple[library.PartEntry, int]:
    for part in entry.parts:
        if row <= part.rows:
            return part, row
        row -= part.rows
    raise AssertionError("the parts have fewer rows than their table")


def _values(root: Path, file: str, row: int) -> dict[str, Any]:
    path = str(root.resolve() / file).replace("'", "''")
    answer = catalogue.query(root, f"SELECT * FROM read_parquet('{path}') LIMIT 1 OFFSET {row - 1}")
    return dict(zip(answer.columns, answer.rows[0], strict=True))


def _left_out(folder: Path, entry: library.TableEntry, part: library.PartEntry, member: str) -> list[int]:
    """The numbers of MEMBER's records that are rejects, of those in PART; 0 where they weren't numbered. In the rejects'
    file of the table they lie in the order of the parts."""
    if not part.rejected:
        return []
    before = sum(other.rejected for other in entry.parts[: entry.parts.index(part)])
    with (folder / entry.name / entry.rejects).open("rb") as file:
        lines = map(_reject.decode, itertools.islice(file, before, before + part.rejected))
        return [line.record for line in lines if line.file in ("", member)]


def _passing(taken: int, left_out: list[int]) -> int:
    """The number of the TAKEN-th record, of all but those LEFT_OUT, among all records."""
    for number in sorted(left_out):
        if 0 < number <= taken:
            taken += 1
    return taken


def _taken(root: Path, file: str, member: str, row: int) -> int:
    """How many of the first ROW rows of FILE are of MEMBER: the rows of a file lie together."""
    path, name = (text.replace("'", "''") for text in (str(root.resolve() / file), member))
    first = f"(SELECT {FILE_COLUMN} FROM read_parquet('{path}') LIMIT {row})"
    return int(catalogue.query(root, f"SELECT count(*) FROM {first} WHERE {FILE_COLUMN} = '{name}'").rows[0][0])
