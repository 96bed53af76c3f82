"""Extract by a configured program: it unpacks the upload into a folder, and we make batches of what it left there."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Generator, Iterator
from pathlib import Path

import msgspec

from pipeline.config import Command, Config
from pipeline.model import Closed, Code, Desk, Done, Outcome, Output, Reason, Reject, Task
from stages.external import runner
from stages.handover import FileList, Member, Place, pack


class ExternalExtract:
    """The stage. `config.extract.command` is the program."""

    def __init__(self, config: Config) -> None:
        assert config.extract.command is not None
        self._command: Command = config.extract.command
        self._limits = config.batch

    def run(self, task: Task, desk: Desk) -> Generator[Closed, None, Outcome]:
        """Runs the program once; a restart runs it again and goes on after the files that were handed on."""
        folder = desk.work / f"{task.prefix}-program.d"
        try:
            outcome = self._unpack(task, desk, folder)
            if outcome is not None:
                return outcome
            return (yield from self._hand_on(task, desk, folder / "out"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _unpack(self, task: Task, desk: Desk, folder: Path) -> Outcome | None:
        (folder / "out").mkdir(parents=True)
        if not _unchanged(task):
            return _changed()
        values = {"input": task.upload.path, "output": str(folder / "out"), "name": task.upload.name}
        outcome = runner.run(self._command, desk, folder, values)
        if outcome is None and not _unchanged(task):
            return _changed()
        return outcome

    def _hand_on(self, task: Task, desk: Desk, out: Path) -> Generator[Closed, None, Outcome]:
        done = msgspec.msgpack.decode(task.checkpoint, type=int) if task.checkpoint else 0
        seq, members, size = task.next_seq, list[Member](), 0
        for number, path in enumerate(sorted(_entries(out), key=os.fsencode)):
            if number < done:
                continue
            if members and (len(members) >= self._limits.files or size + _size(path) > self._limits.bytes):
                checkpoint = msgspec.msgpack.encode(number)
                yield Closed(output=_output(task, desk, seq, members, size), checkpoint=checkpoint)
                seq, members, size = seq + 1, [], 0
            member = self._take(task, desk, seq, number, path, out)
            members.append(member)
            size += member.size
            desk.progress(number, size)
        return Done(output=_output(task, desk, seq, members, size) if members else None)

    @staticmethod
    def _take(task: Task, desk: Desk, seq: int, number: int, path: Path, out: Path) -> Member:
        name = f"{task.upload.name}!/{path.relative_to(out)}".encode(errors="replace").decode()
        if number in task.crashed:
            return Member(
                number=number, path=name, reason=_reason(Code.CRASHED, "Reading it ended the program thrice.")
            )
        if not stat.S_ISREG(path.lstat().st_mode):
            return Member(number=number, path=name, reason=_reason(Code.UNSAFE, "It is no plain file."))
        place = Place(f"{task.prefix}-{seq}.d/{number}", 0, _size(path))
        (desk.work / place.file).parent.mkdir(exist_ok=True)
        path.rename(desk.work / place.file)
        with (desk.work / place.file).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Member(number=number, path=name, size=place.length, sha256=digest, place=place)


def _entries(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        yield from (Path(root) / name for name in files)
        yield from (Path(root) / name for name in folders if (Path(root) / name).is_symlink())


def _size(path: Path) -> int:
    return path.lstat().st_size


def _output(task: Task, desk: Desk, seq: int, members: list[Member], size: int) -> Output:
    payload, names = pack(FileList(members=tuple(members)), desk.work, f"{task.prefix}-{seq}.list")
    folder = f"{task.prefix}-{seq}.d"
    if (desk.work / folder).exists():
        names = (*names, folder)
    return Output(payload=payload, names=names, bytes=size, files=len(members))


def _unchanged(task: Task) -> bool:
    try:
        now = os.stat(task.upload.path)
    except OSError:
        return False
    upload = task.upload
    return (now.st_size, now.st_mtime_ns, now.st_ino) == (upload.size, upload.mtime_ns, upload.inode)


def _changed() -> Reject:
    return Reject(reason=_reason(Code.CHANGED, "The file changed while it was being worked on."))


def _reason(code: Code, text: str) -> Reason:
    return Reason(code=code, text=text, next_step="Check it at its source and send it again.")


def build(config: Config) -> ExternalExtract:
    """As every stage module has it."""
    return ExternalExtract(config)
