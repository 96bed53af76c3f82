"""Cuts the power: a run is recorded, and what a disk would hold after a cut at any of its calls is looked at."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import jobs, record, shim
from tests.crash.bench import Bench
from tests.crash.disk import Disk, Tree
from tests.crash.record import FINAL, Record
from tests.crash.shim import Event, Op


@dataclass(kw_only=True)
class Told:
    """What had been said to senders before the cut: whose uploads were taken, and whose jobs had ended."""

    submitted: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)

    def hear(self, note: str) -> None:
        """The next note of a recording."""
        kind, _, path = note.partition(" ")
        (self.submitted if kind == "submitted" else self.ended).add(path)


@dataclass(kw_only=True)
class Cut:
    """The moment after call NUMBER of a recording."""

    number: int
    event: Event
    disk: Disk
    told: Told


class Recording(Bench):
    """A run of UPLOADS in FOLDER, undisturbed, with every file-system call of it."""

    def __init__(self, folder: Path, uploads: Sequence[jobs.Upload]) -> None:
        super().__init__(folder, uploads)
        library = self.library("whole")
        library.mkdir()
        self._root = os.stat(library).st_ino
        self.good = self.finish("whole", environment=shim.environment(library, log=folder / "calls"))
        self.events = list(shim.read_log(folder / "calls"))

    def cuts(self) -> Iterator[Cut]:
        """The moments after each call, in order. A Cut is to be used before the next one is asked for."""
        disk, told = Disk(self._root), Told()
        for number, event in enumerate(self.events):
            disk.apply(event)
            if event.op is Op.NOTE:
                told.hear(os.fsdecode(event.data))
            yield Cut(number=number, event=event, disk=disk, told=told)


def trees(cut: Cut, chance: random.Random) -> Iterator[tuple[str, Tree]]:
    """What the disk may hold after CUT."""
    yield "promised", cut.disk.strict()
    yield "names without contents", cut.disk.names_only()
    yield "everything", cut.disk.everything()
    yield "some of it", cut.disk.by_chance(chance)


def look(library: Path, told: Told, good: Record) -> list[str]:
    """What is wrong with LIBRARY after a cut, by what had been TOLD until then. Changes nothing but what SQLite recovers."""
    problems: list[str] = []
    ledger = library / ".stampmill" / "ledger.sqlite"
    found: dict[str, list[record.Job]] = {}
    with record.noting(problems, "ledger"):
        for job in record.read_jobs(ledger) if _recovered(ledger) else ():
            found.setdefault(job.path, []).append(job)
    problems.extend(f"{path} was taken, and is gone" for path in sorted(told.submitted - found.keys()))
    folders = {}
    for folder in record.published(library):
        name = str(folder.relative_to(library))
        with record.noting(problems, f"{name} is visible and not whole"):
            folders[name] = record.read_folder(folder)
            if folders[name] not in good.folders.values():
                problems.append(f"{name} is not what the undisturbed run made of {folders[name].upload}")
    for path in sorted(told.ended & found.keys()):
        problems.extend(_ended_well(found[path], folders, good.jobs[path]))
    return problems


def _recovered(ledger: Path) -> bool:
    """Lets SQLite take up what it had in hand at the cut; whether there are jobs in LEDGER then."""
    if not ledger.exists():
        return False
    with contextlib.closing(sqlite3.connect(ledger)) as database:
        return bool(database.execute("SELECT 1 FROM sqlite_master WHERE name = 'job'").fetchall())


def _ended_well(
    jobs: Sequence[record.Job], folders: dict[str, record.Folder], good: Sequence[record.Job]
) -> Iterator[str]:
    for job in jobs:
        if job.state not in FINAL or job.state != good[0].state:
            yield f"{job.path} had ended, and is {job.state} again"
        elif job.result_path and job.result_path not in folders:
            yield f"{job.path} had ended, and {job.result_path} isn't readable"
        elif job.tables != good[0].tables:
            yield f"{job.path} had ended, and its tables are others"
