"""A convert stage for tests: keeps every member as it is, unless the member's first word tells it to misbehave."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

from pipeline.config import Config
from pipeline.model import Closed, Code, Desk, Done, Outcome, Output, Reason, Task
from stages.handover import FileList, Member, MemberResult, Results, pack, unpack

_CRASHED = Reason(code=Code.CRASHED, text="It ended its worker.", next_step="None.")


class OddConvert:
    """The stage."""

    def run(self, task: Task, desk: Desk) -> Generator[Closed, None, Outcome]:
        """Obeys the members' first words, then keeps them all."""
        yield from ()
        members = unpack(task.payload, FileList, desk.work).members
        for member in members:
            if member.number not in task.crashed:
                desk.progress(member.number, 0)
                _obey(_first_word(member, desk.work))
        results = Results(members=tuple(_result(member, task) for member in members))
        payload, names = pack(results, desk.work, f"{task.prefix}.list")
        files = [member.place.file for member in members if member.place]
        used = {file.split("/", 1)[0] for file in files if not file.startswith("/")}
        return Done(output=Output(payload=payload, names=(*names, *sorted(used)), files=len(members)))


def _first_word(member: Member, work: Path) -> str:
    assert member.place is not None
    with (work / member.place.file).open("rb") as file:
        file.seek(member.place.offset)
        words = file.read(100).split()
    return words[0].decode(errors="replace") if words else ""


def _obey(word: str) -> None:
    if word == "hang":
        time.sleep(600)
    elif word == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif word == "eat":
        hoard = []
        while True:
            hoard.append(bytearray(b"\1") * (8 << 20))
    elif word == "eio":
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/somewhere")
    elif word == "bug":
        raise RuntimeError("a bug, made for the test")


def _result(member: Member, task: Task) -> MemberResult:
    outcome = "rejected" if member.number in task.crashed else "kept"
    return MemberResult(
        number=member.number,
        path=member.path,
        outcome=outcome,
        size=member.size,
        sha256=member.sha256,
        place=member.place,
        reason=_CRASHED if outcome == "rejected" else None,
    )


def build(config: Config) -> OddConvert:
    """As every stage module has it."""
    return OddConvert()
