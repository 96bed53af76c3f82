"""A desk without a worker process behind it, and a job run through the stage as the worker would."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import pytest

from pipeline.config import BatchSize, Config, Extract, Paths
from pipeline.model import Closed, Done, Options, Outcome, Output, Reject, StageName, Task, ToolProcess, Upload, Volume
from stages.extract import build
from stages.handover import FileList, Member, Place, unpack


class FakeDesk:
    """Keeps what the stage tells; tools are started as plain children."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.library = work
        self.told: list[tuple[int, int]] = []
        self.tool: subprocess.Popen[bytes] | None = None

    def progress(self, member: int, done_bytes: int) -> None:
        self.told.append((member, done_bytes))

    def start_tool(
        self, argv: Sequence[str], *, cwd: Path | None = None, stdin: int | IO[bytes] | None = None, **_: object
    ) -> ToolProcess:
        """As the worker's: from the main thread, and one at a time."""
        assert threading.current_thread() is threading.main_thread()
        assert self.tool is None or self.tool.returncode is not None
        self.tool = subprocess.Popen(argv, cwd=cwd, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return cast(ToolProcess, self.tool)


@dataclass
class Job:
    """What came of one job: its outcome, its batches in order, and every member with its bytes (None if rejected)."""

    outcome: Outcome
    desk: FakeDesk
    outputs: list[Output] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    contents: dict[int, bytes | None] = field(default_factory=dict)

    @property
    def code(self) -> str | None:
        """The reason's code where the whole job was rejected."""
        return str(self.outcome.reason.code) if isinstance(self.outcome, Reject) else None

    def good(self) -> dict[str, bytes]:
        """Path to bytes of what was taken."""
        return {m.path: cast(bytes, self.contents[m.number]) for m in self.members if m.reason is None}

    def bad(self) -> dict[str, str]:
        """Path to code of what wasn't."""
        return {m.path: str(m.reason.code) for m in self.members if m.reason is not None}

    def table(self) -> list[tuple[Any, ...]]:
        """All that must be equal between an undisturbed run and any other."""
        return [(m.number, m.path, m.size, m.sha256, m.reason, m.notes, self.contents[m.number]) for m in self.members]


def upload_of(path: Path, *others: Path) -> Upload:
    """PATH, and OTHERS that came with it, as intake hands them on."""
    status = path.stat()
    parts = tuple(
        Volume(path=str(one), size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino, device=seen.st_dev)
        for one, seen in ((one, one.stat()) for one in others)
    )
    return Upload(
        path=str(path),
        name=path.name,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
        device=status.st_dev,
        sha256="of-intake",
        parts=parts,
    )


def bytes_of(place: Place, work: Path) -> bytes:
    """What lies at PLACE."""
    with open(work / place.file, "rb") as file:
        file.seek(place.offset)
        return file.read(place.length)


class Runner:
    """Runs jobs in a folder of their own, with the limits that a test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.attempt = 0

    def config(self, batch: dict[str, int] | None = None, **limits: float) -> Config:
        """A configuration with LIMITS for extract and BATCH for the batches."""
        return Config(
            paths=Paths(state=str(self.folder), library=str(self.folder)),
            batch=BatchSize(**(batch or {})),
            extract=msgspec.structs.replace(Extract(), **limits),
        )

    def __call__(
        self,
        path: Path,
        *others: Path,
        batch: dict[str, int] | None = None,
        abandon_every: int = 0,
        crashed: tuple[int, ...] = (),
        alone: bool = False,
        password: str | None = None,
        **limits: float,
    ) -> Job:
        """The job that PATH gives. With ABANDON_EVERY k the generator is thrown away after every k-th batch and the
        next one goes on from its checkpoint, as after a kill."""
        desk = self.desk()
        outputs: list[Output] = []
        checkpoint = b""
        while True:
            task = self.task(
                path,
                *others,
                options=Options(password=password),
                checkpoint=checkpoint,
                next_seq=len(outputs) + 1,
                crashed=crashed,
                alone=alone,
            )
            generator = build(self.config(batch, **limits)).run(task, desk)
            outcome, closed = _drive(generator, abandon_every)
            outputs += [one.output for one in closed]
            if outcome is not None:
                break
            checkpoint = closed[-1].checkpoint
        if isinstance(outcome, Done) and outcome.output is not None:
            outputs.append(outcome.output)
        return self._job(outcome, desk, outputs)

    def desk(self) -> FakeDesk:
        """A desk whose work/ is this folder's."""
        return FakeDesk(self.work)

    def task(self, path: Path, *others: Path, **more: Any) -> Task:
        """The next attempt at PATH."""
        self.attempt += 1
        values: dict[str, Any] = {"options": Options(), "payload": b""} | more
        return Task(
            job=1,
            epoch=0,
            batch=1,
            seq=0,
            stage=StageName.EXTRACT,
            attempt=self.attempt,
            upload=upload_of(path, *others),
            **values,
        )

    @staticmethod
    def outcome(generator: Any) -> Any:
        """How GENERATOR ends."""
        return _drive(generator, 0)[0]

    def _job(self, outcome: Outcome, desk: FakeDesk, outputs: list[Output]) -> Job:
        job = Job(outcome, desk, outputs)
        for output in outputs:
            members = unpack(output.payload, FileList, self.work).members
            assert output.files == len(members) and output.bytes == sum(m.size for m in members)
            files = {m.place.file for m in members if m.place is not None and not os.path.isabs(m.place.file)}
            assert files <= set(output.names)
            job.members += members
            for member in members:
                assert (member.place is None) == (member.reason is not None)
                job.contents[member.number] = bytes_of(member.place, self.work) if member.place else None
        assert [m.number for m in job.members] == list(range(len(job.members)))
        return job

    def left_over(self, job: Job) -> set[str]:
        """What lies in work/ and belongs to no batch."""
        return set(os.listdir(self.work)) - {name for output in job.outputs for name in output.names}


def _drive(generator: Any, abandon_every: int) -> tuple[Outcome | None, list[Closed]]:
    closed: list[Closed] = []
    while True:
        try:
            closed.append(next(generator))
        except StopIteration as end:
            return cast(Outcome, end.value), closed
        if abandon_every and len(closed) == abandon_every:
            generator.close()
            return None, closed


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Runs a job."""
    return Runner(tmp_path)
