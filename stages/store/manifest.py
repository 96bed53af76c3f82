"""manifest.json: the record of a published job, one per job folder. Members and tables stand one a line.

    schema    version of this layout, 1
    software  what wrote it, `stampmill 0.1.0`
    job       the job's number
    upload    name, size (bytes), sha256 (hex, empty where it was never read), arrived_at (ISO 8601, UTC)
    state     "done", or "failed" where nothing was taken
    reason    why not, or why not all of it (of the first member that was rejected): code, text, next_step; else null
    counts    members: total = converted + kept + rejected; tables; rows, read, rejected and repaired records of all
              tables together, where read = rows + rejected and the repaired are among the rows
    tables    sorted as their members are:
        name      its name in SQL, and of its folder beside the manifest
        source    the member it came from; the folder or archive that holds them where it came from several
        title     what tells it from the other tables of that member (a sheet's name), or ""
        rows, read, rejected, repaired
        columns   name and type, in DuckDB's words
        facts     what was decided about the source (dialect, encoding, header, ...), with the evidence
        parts     file (in the table's folder), its size and sha256, source, rows, read, rejected, repaired, and
                  `facts` where they are not those of the table
        rejects   "rejects.ndjson" where there are any, else ""; rejects_sha256 is that file's
    members   sorted by number:
        number    depth-first position in the job
        path      `outer.zip!/inner.tar!/a.csv`
        outcome   "converted", "kept" or "rejected"
        size, sha256
        reason    of a rejected one, else null
        notes     what else is to be said of it
        place     where its bytes lie, relative to the manifest, or ""

Nothing in it depends on when or in how many attempts it was written: equal input gives equal bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from pipeline import __version__
from pipeline.model import Column, MemberCounts, Published, Reason, TableInfo, Task
from stages.handover import TablePart
from stages.store import files
from stages.store.tables import Plan

SCHEMA = 1
NAME = "manifest.json"
FLUSH_BYTES = 1024 * 1024


class UploadEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The upload as it arrived."""

    name: str
    size: int
    sha256: str
    arrived_at: str


class PartEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One Parquet file of a table."""

    file: str
    size: int
    sha256: str
    source: str
    rows: int
    read: int
    rejected: int
    repaired: int
    facts: dict[str, Any] | None = None


class TableEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One table."""

    name: str
    source: str
    title: str
    rows: int
    read: int
    rejected: int
    repaired: int
    columns: tuple[Column, ...]
    facts: dict[str, Any]
    parts: tuple[PartEntry, ...]
    rejects: str
    rejects_sha256: str = ""


class MemberEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One member and what became of it."""

    number: int
    path: str
    outcome: str
    size: int
    sha256: str
    reason: Reason | None
    notes: tuple[str, ...]
    place: str


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of a job."""

    members: MemberCounts = MemberCounts()
    tables: int = 0
    rows: int = 0
    read: int = 0
    rejected: int = 0
    repaired: int = 0


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest without its members and tables."""

    schema: int
    software: str
    job: int
    upload: UploadEntry
    state: Literal["done", "failed"]
    reason: Reason | None
    counts: Counts

    def is_of(self, other: Head) -> bool:
        """Whether both belong to one job of one ledger."""
        return self.job == other.job and self.upload == other.upload

    def ends_like(self, other: Head) -> bool:
        """Whether both tell of the same end: the same refusal of the whole upload, or a publication of its members."""
        if other.state == "failed":
            return self.state == other.state and self.reason == other.reason
        return self.state == "done" or self.counts.members.total > 0


class Whole(Head, frozen=True, kw_only=True):
    """A manifest as read back; its members, which may be many, are left out."""

    tables: tuple[TableEntry, ...]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Whole)


def head(task: Task, counts: Counts) -> Head:
    """The head of the manifest of TASK's job."""
    upload = task.upload
    return Head(
        schema=SCHEMA,
        software=f"stampmill {__version__}",
        job=task.job,
        upload=UploadEntry(
            name=upload.name,
            size=upload.total_size,
            sha256=upload.sha256,
            arrived_at=datetime.fromtimestamp(upload.arrived_at, UTC).isoformat(),
        ),
        state="failed" if task.failure else "done",
        reason=task.failure,
        counts=counts,
    )


def counts(members: MemberCounts, tables: Sequence[TableEntry]) -> Counts:
    """The sums over TABLES."""
    return Counts(
        members=members,
        tables=len(tables),
        rows=sum(table.rows for table in tables),
        read=sum(table.read for table in tables),
        rejected=sum(table.rejected for table in tables),
        repaired=sum(table.repaired for table in tables),
    )


def table(plan: Plan, rejects: str, digests: Mapping[str, files.Digest]) -> TableEntry:
    """The entry of the table made after PLAN; REJECTS names the file of its rejects, if there are any. DIGESTS are those
    of all the job's tables' files, by their paths in its folder."""
    parts = [piece.part for piece in plan.pieces]
    facts = parts[0].facts
    return TableEntry(
        name=plan.name,
        source=plan.source,
        title=parts[0].title,
        rows=sum(part.rows for part in parts),
        read=sum(part.read for part in parts),
        rejected=sum(part.rejected for part in parts),
        repaired=sum(part.repaired for part in parts),
        columns=plan.columns,
        facts=facts,
        parts=tuple(
            _part(part_file(number), part, facts, digests[f"{plan.name}/{part_file(number)}"])
            for number, part in enumerate(parts)
        ),
        rejects=rejects,
        rejects_sha256=digests[f"{plan.name}/{rejects}"].sha256 if rejects else "",
    )


def _part(file: str, part: TablePart, facts: dict[str, Any], digest: files.Digest) -> PartEntry:
    return PartEntry(
        file=file,
        size=digest.size,
        sha256=digest.sha256,
        source=part.source,
        rows=part.rows,
        read=part.read,
        rejected=part.rejected,
        repaired=part.repaired,
        facts=None if part.facts == facts else part.facts,
    )


def part_file(number: int) -> str:
    """The name of a table's part NUMBER."""
    return f"part-{number:05}.parquet"


def write(path: str, top: Head, tables: Iterable[TableEntry], members: Iterable[MemberEntry]) -> None:
    """Writes the manifest to PATH. Members are taken one by one, there may be a million."""
    fd = files.create(path)
    try:
        buffer = bytearray(b"{\n")
        for field in top.__struct_fields__:
            buffer += b"%s: %s,\n" % (_encoder.encode(field), _encoder.encode(getattr(top, field)))
        _write_list(fd, buffer, b'"tables"', tables)
        buffer += b",\n"
        _write_list(fd, buffer, b'"members"', members)
        buffer += b"\n}\n"
        files.write(fd, buffer)
    finally:
        os.close(fd)


def _write_list(fd: int, buffer: bytearray, name: bytes, entries: Iterable[msgspec.Struct]) -> None:
    """Appends the list to BUFFER, which is written out whenever it has grown large."""
    buffer += name + b": ["
    joint = b"\n"
    for entry in entries:
        buffer += joint
        buffer += _encoder.encode(entry)
        joint = b",\n"
        if len(buffer) > FLUSH_BYTES:
            files.write(fd, buffer)
            buffer.clear()
    buffer += b"]" if joint == b"\n" else b"\n]"


def read(path: str) -> Whole | None:
    """The manifest at PATH; None where there is none, or something else."""
    try:
        with open(path, "rb") as file:
            return _decoder.decode(file.read())
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def finding(folder: str, counts: Counts, tables: Iterable[TableEntry], reason: Reason | None) -> Published:
    """What store says of the job published at FOLDER, with all its tables."""
    return Published(
        path=folder,
        members=counts.members,
        reason=reason,
        rejected_records=counts.rejected,
        tables=tuple(
            TableInfo(
                name=table.name,
                path=f"{folder}/{table.name}",
                source=table.source,
                rows=table.rows,
                rejected=table.rejected,
                columns=table.columns,
            )
            for table in tables
        ),
    )
