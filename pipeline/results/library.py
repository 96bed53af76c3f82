"""What lies in a library: the folders of published jobs, and what their manifests tell.

    <yyyy-mm>/<job>-<name>/manifest.json     every member, every table, every count
                          /<table>/part-*.parquet, rejects.ndjson
                          /kept/, /rejected/

`stages.store.manifest` writes the manifests and describes each field; here they are read, those of earlier releases too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from pipeline.model import Column, MemberCounts, Reason, TableInfo

MANIFEST = "manifest.json"

_MONTH = re.compile(r"\d{4}-\d{2}")
_JOB = re.compile(r"(\d+)-")
_PART = re.compile(r"part-\d+\.parquet")


class UploadEntry(msgspec.Struct, frozen=True):
    """The upload: its size in bytes, and when it arrived in ISO 8601, UTC."""

    name: str
    size: int
    sha256: str
    arrived_at: str


class PartEntry(msgspec.Struct, frozen=True):
    """A Parquet file of a table. An earlier release recorded no size and no hash (-1, "")."""

    file: str
    source: str
    rows: int
    read: int
    rejected: int
    repaired: int = 0
    size: int = -1
    sha256: str = ""
    facts: dict[str, Any] | None = None


class TableEntry(msgspec.Struct, frozen=True):
    """A table: read = rows + rejected."""

    name: str
    source: str
    rows: int
    rejected: int
    columns: tuple[Column, ...]
    title: str = ""
    read: int = 0
    repaired: int = 0
    facts: dict[str, Any] = {}
    parts: tuple[PartEntry, ...] = ()
    rejects: str = ""
    rejects_sha256: str = ""


class MemberEntry(msgspec.Struct, frozen=True):
    """A member and what became of it; `place` is where its bytes lie in the job's folder, if they do."""

    number: int
    path: str
    outcome: str
    size: int
    sha256: str
    reason: Reason | None = None
    notes: tuple[str, ...] = ()
    place: str = ""


class Counts(msgspec.Struct, frozen=True):
    """The sums of a job."""

    members: MemberCounts = MemberCounts()
    tables: int = 0
    rows: int = 0
    read: int = 0
    rejected: int = 0
    repaired: int = 0


class Manifest(msgspec.Struct, frozen=True):
    """A job's manifest, but for its members, which may be a million."""

    job: int
    upload: UploadEntry
    state: str
    tables: tuple[TableEntry, ...]
    software: str = ""
    reason: Reason | None = None
    counts: Counts = Counts()


class _Members(msgspec.Struct, frozen=True):
    members: tuple[MemberEntry, ...]


_manifest = msgspec.json.Decoder(Manifest)
_members = msgspec.json.Decoder(_Members)


def jobs(library: Path) -> Iterator[str]:
    """The job folders, relative to LIBRARY, the oldest first. Raises OSError where there's no library."""
    for month in sorted(months(library)):
        found = [(int(match[1]), name) for name in os.listdir(library / month) if (match := _JOB.match(name))]
        for _, name in sorted(found):
            yield f"{month}/{name}"


def months(library: Path) -> list[str]:
    """The folders that hold jobs, relative to LIBRARY."""
    return list(filter(_MONTH.fullmatch, os.listdir(library)))


def number(folder: str) -> int:
    """The number of the job whose FOLDER, or folder in it, that is."""
    return int(folder.split("/")[1].partition("-")[0])


def manifest(library: Path, folder: str) -> Manifest | None:
    """The manifest in FOLDER; None where it is gone meanwhile, or is no job's. Raises OSError if it can't be read."""
    try:
        return _manifest.decode((library / folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def members(library: Path, folder: str) -> tuple[MemberEntry, ...]:
    """The members of the job in FOLDER, by number. Raises OSError and msgspec.DecodeError."""
    return _members.decode((library / folder / MANIFEST).read_bytes()).members


def parts(library: Path, table: str) -> list[str]:
    """The full paths of the Parquet files in the folder TABLE, relative to LIBRARY, which may not be a table."""
    try:
        names = os.listdir(library / table)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [f"{library}/{table}/{name}" for name in sorted(names) if _PART.fullmatch(name)]


def info(folder: str, table: TableEntry) -> TableInfo:
    """TABLE of the job in FOLDER, as it is told of elsewhere."""
    return TableInfo(
        name=table.name,
        path=f"{folder}/{table.name}",
        source=table.source,
        rows=table.rows,
        rejected=table.rejected,
        columns=table.columns,
    )
