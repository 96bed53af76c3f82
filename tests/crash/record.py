"""What a run left, read back as a stranger would: the ledger's word on each upload, and every byte in the library.

Two runs over the same uploads have equal records, whatever happened on the way.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FINAL = ("done", "failed", "duplicate", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A row of the ledger's job table, with its tables' (name, path, rows, rejected)."""

    id: int
    path: str
    state: str
    reason: str
    duplicate_of: int | None
    result_path: str
    members: dict[str, int] | None
    rejected_records: int
    tables: tuple[tuple[str, str, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A published folder: its `manifest` without times and job numbers, and a digest of each other file's content."""

    job: int
    upload: str
    sha256: str
    manifest: dict[str, Any]
    digests: dict[str, str]


@dataclass(kw_only=True)
class Record:
    """All of a library, and what is wrong with it in itself."""

    jobs: dict[str, list[Job]] = field(default_factory=dict)  # by the upload's path
    folders: dict[str, Folder] = field(default_factory=dict)  # by their path in the library
    problems: list[str] = field(default_factory=list)


def read(library: Path) -> Record:
    """The record of LIBRARY, with its ledger in `.stampmill`."""
    record = Record()
    for job in read_jobs(library / ".stampmill" / "ledger.sqlite"):
        record.jobs.setdefault(job.path, []).append(job)
    for folder in published(library):
        name = str(folder.relative_to(library))
        with noting(record.problems, name):
            record.folders[name] = read_folder(folder)
    return record


@contextlib.contextmanager
def noting(problems: list[str], where: str) -> Iterator[None]:
    """Turns what is raised within into a line of PROBLEMS."""
    try:
        yield
    except Exception as error:
        problems.append(f"{where}: {type(error).__name__}: {error}")


def published(library: Path) -> list[Path]:
    """All job folders that a reader of LIBRARY sees."""
    return sorted(path for path in library.glob("[0-9][0-9][0-9][0-9]-[0-9][0-9]/*") if path.is_dir())


def read_jobs(ledger: Path) -> list[Job]:
    """The jobs of LEDGER, by number."""
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        tables: dict[int, list[tuple[str, str, int, int]]] = {}
        for job, *table in database.execute("SELECT job, name, path, rows, rejected FROM tables ORDER BY job, name"):
            tables.setdefault(job, []).append(tuple(table))
        rows = database.execute(
            "SELECT id, path, state, reason, duplicate_of, result_path, members, rejected_records FROM job ORDER BY id"
        )
        return [
            Job(
                id=id,
                path=path,
                state=state,
                reason=json.loads(reason)["code"] if reason else "",
                duplicate_of=duplicate_of,
                result_path=result_path or "",
                members=json.loads(members) if members else None,
                rejected_records=rejected,
                tables=tuple(tables.get(id, ())),
            )
            for id, path, state, reason, duplicate_of, result_path, members, rejected in rows
        ]


def read_folder(folder: Path) -> Folder:
    """A published folder, all of it read. Raises AssertionError where its manifest isn't the truth about it."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"manifest.json"}
    told: dict[str, str] = {}
    for table in manifest["tables"]:
        assert table["read"] == table["rows"] + table["rejected"], f"{table['name']} doesn't add up"
        rows = 0
        for part in table["parts"]:
            name = f"{table['name']}/{part['file']}"
            told[name], count = _parquet(folder / name)
            assert count == part["rows"], f"{name} has {count} rows and not {part['rows']}"
            rows += count
        assert rows == table["rows"], f"{table['name']} has {rows} rows and not {table['rows']}"
        if table["rejects"]:
            name = f"{table['name']}/{table['rejects']}"
            told[name] = _sha256(folder / name)
            lines = (folder / name).read_bytes().count(b"\n")
            assert lines == table["rejected"], f"{name} has {lines} lines and not {table['rejected']}"
    for member in manifest["members"]:
        if member["place"]:
            told[member["place"]] = _sha256(folder / member["place"])
            assert told[member["place"]] == member["sha256"] or not member["sha256"], f"{member['place']} differs"
    assert present == set(told), f"files beside the manifest: {sorted(present ^ set(told))}"
    _check_counts(manifest)
    return Folder(
        job=manifest.pop("job"),
        upload=manifest["upload"]["name"],
        sha256=manifest["upload"]["sha256"],
        manifest=_timeless(manifest),
        digests=told,
    )


def _check_counts(manifest: dict[str, Any]) -> None:
    outcomes = [member["outcome"] for member in manifest["members"]]
    counts = manifest["counts"]["members"]
    for outcome in ("converted", "kept", "rejected"):
        assert counts[outcome] == outcomes.count(outcome), (
            f"{counts[outcome]} {outcome}, listed {outcomes.count(outcome)}"
        )
    assert counts["total"] == len(outcomes)
    numbers = [member["number"] for member in manifest["members"]]
    assert len(set(numbers)) == len(numbers), "a member stands there twice"


def _timeless(manifest: dict[str, Any]) -> dict[str, Any]:
    del manifest["upload"]["arrived_at"]
    return manifest


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _parquet(path: Path) -> tuple[str, int]:
    """A digest of the content of the Parquet file at PATH, and its rows."""
    return _content(path.read_bytes())


@functools.lru_cache(maxsize=20_000)
def _content(data: bytes) -> tuple[str, int]:
    import io

    import pyarrow.parquet

    table = pyarrow.parquet.read_table(io.BytesIO(data))
    digest = hashlib.sha256(repr([(field.name, str(field.type)) for field in table.schema]).encode())
    for column in table.columns:
        digest.update(repr(column.to_pylist()).encode())
    return digest.hexdigest(), table.num_rows


def leftovers(library: Path) -> list[str]:
    """What lies in work/ and .incoming, which nobody owns once all jobs have ended."""
    folders = (library / ".stampmill" / "work", library / ".incoming")
    return [str(folder / name) for folder in folders if folder.is_dir() for name in sorted(os.listdir(folder))]
