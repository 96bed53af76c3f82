"""Small stages for tests of the machine: what they do is said by the words of the upload's name, nothing is read.

`at-<stage>-<word>` in the name has that stage do it: raise, raise-long, memory, enospc-once, eio, die, print, hold.
`stream` has extract close two batches before its last. A stage that holds waits at a gate, a fifo beside the upload:
whoever opens it for writing knows that the stage is there, and lets it go on by closing it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import signal
from collections.abc import Generator
from pathlib import Path

from pipeline.config import Config
from pipeline.model import (
    Closed,
    Desk,
    Done,
    MemberCounts,
    Outcome,
    Output,
    Published,
    StageName,
    Taken,
    Task,
    Upload,
)


def name_of(*words: str) -> str:
    """An upload's name that asks for WORDS, such as `convert-die`."""
    return "".join(f"[{word}]" for word in words)


def words_for(stage: StageName, name: str) -> list[str]:
    """What STAGE is asked to do by an upload's NAME."""
    return re.findall(rf"\[{stage.title}-([^\]]*)\]", name)


def gate_of(upload: Upload) -> Path:
    """Where a stage waits that holds."""
    return Path(f"{upload.path}.gate")


class Small:
    """All four stages: a task says which."""

    def run(self, task: Task, desk: Desk) -> Generator[Closed, None, Outcome]:
        """Does what the name says, then what the stage is there for."""
        for word in words_for(task.stage, task.upload.name):
            obey(word, task, desk)
        if task.stage is StageName.EXTRACT:
            return (yield from _extract(task, desk))
        yield from ()
        if task.stage is StageName.INTAKE:
            sha256 = hashlib.sha256(task.upload.path.encode()).hexdigest()
            return Done(output=Output(bytes=1), finding=Taken(sha256=sha256, size=task.upload.size))
        if task.stage is StageName.CONVERT:
            return Done(output=_output(task, desk, "table"))
        return _store(task, desk)


def _output(task: Task, desk: Desk, what: str) -> Output:
    name = f"{task.prefix}-{what}"
    (desk.work / name).write_text(what)
    return Output(payload=what.encode(), names=(name,), bytes=len(what))


def _extract(task: Task, desk: Desk) -> Generator[Closed, None, Outcome]:
    try:
        for part in range(int(task.checkpoint or b"0"), 2 if "[stream]" in task.upload.name else 0):
            yield Closed(output=_output(task, desk, f"part{part}"), checkpoint=b"%d" % (part + 1))
        return Done(output=_output(task, desk, "last"))
    except GeneratorExit:
        Path(f"{task.upload.path}.dropped").touch()
        raise


def _store(task: Task, desk: Desk) -> Outcome:
    staged = desk.library / ".incoming" / str(task.job)
    staged.mkdir(parents=True, exist_ok=True)
    (staged / str(task.seq)).write_bytes(task.payload)
    if not task.publish:
        return Done()
    folder = desk.library / "2026-01" / f"{task.job}-small"
    folder.parent.mkdir(exist_ok=True)
    if not folder.exists():
        staged.rename(folder)
    return Done(finding=Published(path=str(folder.relative_to(desk.library)), members=MemberCounts()))


def obey(word: str, task: Task, desk: Desk) -> None:
    """Does one thing that stages do when they go wrong, or are slow."""
    if word == "hold":
        desk.progress(3, 30)
        _wait_at(gate_of(task.upload))
    elif word == "raise":
        raise RuntimeError("a bug, made for the test")
    elif word == "raise-long":
        raise RuntimeError("x" * 200_000)
    elif word == "memory":
        raise MemoryError
    elif word == "enospc-once":
        seen = Path(f"{task.upload.path}.seen")
        if not seen.exists():
            seen.touch()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    elif word == "eio":
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/somewhere")
    elif word == "die":
        desk.progress(3, 30)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif word == "print":
        print("printed by a library")  # noqa: T201 - where it goes is what is tested
        os.write(2, b"written to stderr by a library\n")


def _wait_at(gate: Path) -> None:
    if gate.exists():
        with gate.open("rb") as opened:
            opened.read()


def build(config: Config) -> Small:
    """As every stage module has it."""
    return Small()
