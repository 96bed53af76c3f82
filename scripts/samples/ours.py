"""What our extract stage makes of archives: a child process that is asked for one after the other, and watched.

    python -m scripts.samples.ours WORK

Reads lines of JSON ([path, ...], the parts of one archive), and answers each with one: how the job ended, its members,
what lies in WORK that no batch owns, and how much memory the process has had.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config import Config, Extract, Paths
from pipeline.model import Closed, Done, Options, Outcome, Output, Reject, StageName, Task, Upload, Volume
from stages.extract import build
from stages.handover import FileList, unpack

ROOT = Path(__file__).resolve().parents[2]
WALL_S = 40.0
LIMITS = Extract(max_wall_s=WALL_S, max_bytes=2 << 30)


class Desk:
    """Starts tools as plain children."""

    def __init__(self, work: Path) -> None:
        self.work = self.library = work

    def progress(self, member: int, done_bytes: int) -> None:
        """Nobody looks."""

    def start_tool(self, argv: Sequence[str], *, stdin: Any = None, **_: object) -> subprocess.Popen[bytes]:
        """ARGV as a child."""
        return subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def run(paths: Sequence[str], work: Path) -> dict[str, Any]:
    """The answer for the archive PATHS."""
    config = Config(paths=Paths(state=str(work), library=str(work)), extract=LIMITS)
    files = [Volume.seen(path, os.stat(path)) for path in paths]
    task = Task(
        job=1, epoch=0, batch=1, seq=0, stage=StageName.EXTRACT, attempt=1, payload=b"", options=Options(),
        upload=Upload.of(files, name=os.path.basename(paths[0]), arrived_at=0.0),
    )  # fmt: skip
    desk, begun = Desk(work), time.perf_counter()
    outputs: list[Output] = []
    generator = build(config).run(task, desk)  # type: ignore[arg-type]
    while True:
        try:
            closed: Closed = next(generator)
            outputs.append(closed.output)
        except StopIteration as end:
            outcome: Outcome = end.value
            break
    if isinstance(outcome, Done) and outcome.output is not None:
        outputs.append(outcome.output)
    answer = {"s": time.perf_counter() - begun, "code": None, "text": "", "members": [], "left": []}
    if isinstance(outcome, Reject):
        answer |= {"code": str(outcome.reason.code), "text": outcome.reason.text}
    answer["members"] = _members(outputs, work)
    owned = {name for output in outputs for name in output.names}
    for entry in work.iterdir():
        if entry.name not in owned or entry.is_symlink() or not entry.is_file():
            answer["left"].append(entry.name)
        entry.unlink()
    answer["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return answer


def _members(outputs: Sequence[Output], work: Path) -> list[tuple[str, int, str, str | None, str]]:
    return [
        (one.path, one.size, one.sha256, str(one.reason.code) if one.reason else None, one.reason.text if one.reason else "")
        for output in outputs
        for one in unpack(output.payload, FileList, work).members
    ]  # fmt: skip


class Ours:
    """The child, started anew after each death."""

    def __init__(self, room: Path) -> None:
        """ROOM is a folder for it; whatever it makes elsewhere below it is `strayed`."""
        self._room = room
        self._work = room / "a" / "b" / "work"
        self._child: subprocess.Popen[str] | None = None

    def ask(self, paths: Sequence[Path]) -> dict[str, Any]:
        """What becomes of the archive PATHS; `fatal` says that it crashed, hung, or wrote where it shouldn't."""
        if self._child is None:
            self._work.mkdir(parents=True, exist_ok=True)
            argv = [sys.executable, "-m", "scripts.samples.ours", str(self._work)]
            self._child = subprocess.Popen(
                argv, cwd=self._work.parent, env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(self._room)},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps([str(path) for path in paths]) + "\n")
        child.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            heard = selector.select(2 * WALL_S)
        line = child.stdout.readline() if heard else ""
        if not line:
            fatal = "hang" if not heard else f"crash {child.wait()}"
            self.close()
            return {"fatal": fatal, "code": "fatal", "text": fatal, "members": [], "left": [], "s": 0.0, "peak": 0}
        answer: dict[str, Any] = json.loads(line)
        strayed = [str(path) for path in self._room.rglob("*") if path not in (self._work, *self._work.parents)]
        if strayed or answer["left"]:
            answer["fatal"] = f"left {strayed or answer['left']}"
        return answer

    def close(self) -> None:
        """Ends the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def main() -> None:
    """Answers until there is nothing more to read."""
    work = Path(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line), work)), flush=True)


if __name__ == "__main__":
    main()
