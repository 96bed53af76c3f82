"""Whether a library still holds what was published: every file of a job against the size and hash that its manifest
records, and nothing else beside them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline.results import library

_READ_BYTES = 4 * 1024 * 1024


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that isn't as it was published. `path` is relative to the library."""

    job: int
    path: str
    what: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was looked at. `unrecorded` counts files of an earlier release, of which no hash is known."""

    job: int
    path: str
    files: int
    bytes: int
    unrecorded: int
    faults: tuple[Fault, ...]


class _Recorded(NamedTuple):
    """A file as the manifest has it; a size of -1 and an empty hash aren't known."""

    path: str
    size: int
    sha256: str


def check(root: Path, jobs: Iterable[int] = ()) -> Iterator[Checked]:
    """Checks JOBS, or all there are, in the library ROOT. Raises OSError where there is no library."""
    wanted = set(jobs)
    for folder in library.jobs(root):
        job = library.number(folder)
        if not wanted or job in wanted:
            yield _check_job(root, folder, job)


def _check_job(root: Path, folder: str, job: int) -> Checked:
    faults: list[Fault] = []

    def fault(path: str, what: str) -> None:
        faults.append(Fault(job=job, path=path, what=what))

    try:
        manifest, members = library.manifest(root, folder), library.members(root, folder)
    except (OSError, msgspec.DecodeError) as error:
        fault(f"{folder}/{library.MANIFEST}", f"the manifest can't be read ({error})")
        return Checked(job=job, path=folder, files=0, bytes=0, unrecorded=0, faults=tuple(faults))
    recorded = {one.path: one for one in _recorded(folder, manifest, members)} if manifest else {}
    there = set(_files(root, folder))
    for path in sorted(there - recorded.keys() - {f"{folder}/{library.MANIFEST}"}):
        fault(path, "isn't in the manifest")
    done = 0
    for path, one in recorded.items():
        if path not in there:
            fault(path, "is missing")
            continue
        size, what = _compare(root, one)
        done += size
        if what:
            fault(path, what)
    unrecorded = sum(not one.sha256 for one in recorded.values())
    return Checked(job=job, path=folder, files=len(recorded), bytes=done, unrecorded=unrecorded, faults=tuple(faults))


def _recorded(folder: str, manifest: library.Manifest, members: Iterable[library.MemberEntry]) -> Iterator[_Recorded]:
    for table in manifest.tables:
        for part in table.parts:
            yield _Recorded(f"{folder}/{table.name}/{part.file}", part.size, part.sha256)
        if table.rejects:
            yield _Recorded(f"{folder}/{table.name}/{table.rejects}", -1, table.rejects_sha256)
    for member in members:
        if member.place:
            yield _Recorded(f"{folder}/{member.place}", member.size, member.sha256)


def _files(root: Path, folder: str) -> Iterator[str]:
    for at, _, names in os.walk(root / folder):
        for name in names:
            yield os.path.relpath(f"{at}/{name}", root)


def _compare(root: Path, recorded: _Recorded) -> tuple[int, str]:
    """The bytes of the file as it is, and what is wrong with them."""
    try:
        size, sha256 = _digest(root / recorded.path)
    except OSError as error:
        return 0, f"can't be read ({error.strerror})"
    if recorded.size not in (-1, size):
        return size, f"has {size} bytes, {recorded.size} were published"
    if recorded.sha256 not in ("", sha256):
        return size, "was altered: its hash isn't the recorded one"
    return size, ""


def _digest(path: Path) -> tuple[int, str]:
    sha256, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while data := file.read(_READ_BYTES):
            sha256.update(data)
            size += len(data)
    return size, sha256.hexdigest()
