"""What makes a real stage die, or run a tool, when it comes to a member whose name asks for it (see tests.crash.jobs)."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

from pipeline.model import Closed, Desk, Outcome, Stage, Task
from stages.handover import FileList, Results, unpack
from tests.crash import shim

TOOL_FOLDER: Final = "STAMPMILL_TEST_TOOLS"  # the variable that names a folder with a tool for each stage
TOOL_SECONDS: Final = "STAMPMILL_TEST_TOOL_S"  # the variable that says how long a tool takes
_TOOL_S: Final = "0.3"
_TOOL_TRIES: Final = 200


class Wrapped:
    """INNER, the stage called TITLE, with the trouble that members' names ask for."""

    def __init__(self, title: str, inner: Stage) -> None:
        shim.name_process(title)
        self._title = title
        self._inner = inner
        self._pattern = re.compile(rf"(poison|tool)-{title}-([A-Za-z]+)?")
        if title == "extract":
            _watch_entries(self._meet)
        self._desk: Desk | None = None

    def run(self, task: Task, desk: Desk) -> Generator[Closed, None, Outcome]:
        """Runs the inner stage; whatever it is about to work on is looked at first."""
        self._desk = desk
        watched: Any = _WatchedDesk(desk, self._members(task, desk), self._meet)
        return (yield from self._inner.run(task, watched))

    def _members(self, task: Task, desk: Desk) -> dict[int, str]:
        """The names of the task's members by number, but for those that are not to be touched any more."""
        if self._title == "convert":
            members = {member.number: member.path for member in unpack(task.payload, FileList, desk.work).members}
        elif self._title == "store" and task.payload:
            members = {member.number: member.path for member in unpack(task.payload, Results, desk.work).members}
        elif self._title == "intake":
            members = {0: task.upload.name}
        else:
            members = {}
        return {number: name for number, name in members.items() if number not in task.crashed}

    def _meet(self, name: str) -> None:
        """The stage is about to work on the member NAME."""
        found = self._pattern.search(name.rsplit("/", 1)[-1])
        if found and found[1] == "poison":
            die(found[2])
        elif found and self._desk is not None:
            run_tool(self._desk, self._title)


class _WatchedDesk:
    """INNER, with MEET called before each of MEMBERS (names by number), once."""

    def __init__(self, inner: Desk, members: dict[int, str], meet: Callable[[str], None]) -> None:
        self._inner = inner
        self._members = members
        self._meet = meet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def progress(self, member: int, done_bytes: int) -> None:
        """Notes progress, then lets trouble come."""
        self._inner.progress(member, done_bytes)
        name = self._members.pop(member, None)
        if name is not None:
            self._meet(name)


def _watch_entries(meet: Callable[[str], None]) -> None:
    """Extract opens members ahead of what it reports, in threads: a damaged one strikes there, so MEET is called there."""
    from stages.extract.take import Taker

    take = Taker.take

    def watched(self: Taker, entry: Any, *args: Any, **kwargs: Any) -> Any:
        meet(os.fsdecode(entry.name))
        return take(self, entry, *args, **kwargs)

    Taker.take = watched  # type: ignore[method-assign]


def die(how: str) -> None:
    """Ends this process as a bug in a parser would."""
    if how == "MEMORY":
        raise MemoryError
    if how == "EXIT":
        os._exit(7)
    os.kill(os.getpid(), signal.Signals[f"SIG{how}"])
    signal.pause()


def make_tools(folder: Path) -> None:
    """Puts a program for each stage into FOLDER; its name in the process table says whose it is."""
    for stage in ("extract", "convert"):
        (folder / f"stampmill-tool-{stage}").symlink_to("/bin/sleep")


def run_tool(desk: Desk, stage: str) -> None:
    """Runs STAGE's tool, with a process of its own below it; again, where somebody killed that one. (The death of the
    tool itself takes this worker along.)"""
    seconds = os.environ.get(TOOL_SECONDS, _TOOL_S)
    program = f"{os.environ[TOOL_FOLDER]}/stampmill-tool-{stage}"
    code = 1
    for _ in range(_TOOL_TRIES):
        tool = desk.start_tool(["/bin/sh", "-c", f'"$0" {seconds} & wait $!', program])
        code = tool.wait()
        if tool.stdout is not None:
            tool.stdout.close()
        if code == 0:
            return
    raise AssertionError(f"the tool ended with {code} {_TOOL_TRIES} times")
