"""What disk the library and the state directory take, by what it is for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pipeline.config import INCOMING, Paths
from pipeline.results import library


class JobUsage(msgspec.Struct, frozen=True, kw_only=True):
    """A published job: the bytes on disk of its tables and of everything else in its folder."""

    job: int
    path: str
    tables: int
    other: int


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes on disk. `unpublished` is what running jobs have staged in the library, `spool` are the uploads, `work` is
    intermediate; `free` is what the library's file system has left."""

    library: int
    unpublished: int
    spool: int
    work: int
    ledger: int
    logs: int
    free: int
    jobs: tuple[JobUsage, ...]


def measure(paths: Paths) -> Usage:
    """What PATHS hold now. Raises OSError where there is no library."""
    root, state = Path(paths.library), Path(paths.state)
    jobs = tuple(_job(root, folder) for folder in library.jobs(root))
    free = os.statvfs(root)
    return Usage(
        library=sum(job.tables + job.other for job in jobs),
        unpublished=_size(root / INCOMING),
        spool=_size(state / "spool"),
        work=_size(paths.work),
        ledger=sum(_size(path) for path in state.glob(f"{paths.ledger.name}*")),
        logs=_size(state / "log"),
        free=free.f_bavail * free.f_frsize,
        jobs=jobs,
    )


def _job(root: Path, folder: str) -> JobUsage:
    tables = other = 0
    for path, size in _files(root / folder):
        if path.endswith(".parquet") and not path.startswith(("kept/", "rejected/")):
            tables += size
        else:
            other += size
    return JobUsage(job=library.number(folder), path=folder, tables=tables, other=other)


def _size(path: Path) -> int:
    return sum(size for _, size in _files(path))


def _files(path: Path) -> Iterator[tuple[str, int]]:
    """The files at and below PATH, relative to it, with the bytes they take on disk."""
    if not path.is_dir():
        yield from [("", path.lstat().st_blocks * 512)] if path.exists() else []
        return
    for at, _, names in os.walk(path):
        for name in names:
            try:
                status = os.lstat(f"{at}/{name}")
            except FileNotFoundError:
                continue  # gone meanwhile
            yield os.path.relpath(f"{at}/{name}", path), status.st_blocks * 512
