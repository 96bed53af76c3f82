"""One run of a configured program: its limits, its log, and what its exit code means."""

from __future__ import annotations

import os
import select
import shutil
import time
from pathlib import Path
from typing import Final

from pipeline.config import Command
from pipeline.model import Code, Desk, Reason, Reject, Retry, ToolProcess

_POLL_S: Final = 0.05
_CHUNK: Final = 64 * 1024
_RETRY_S: Final = 10.0
LOG_NAME: Final = "program.log"


def run(command: Command, desk: Desk, folder: Path, values: dict[str, str]) -> Retry | Reject | None:
    """Runs COMMAND in FOLDER with VALUES in place of its placeholders; None when it did its work.

    Waits first until no other stampmill on this host runs it. A death by a signal that isn't ours ends this process
    too (see ToolProcess).
    """
    argv = [_fill(word, values) for word in command.argv]
    program = shutil.which(argv[0])
    if program is None:
        return _refuse(Code.TOOL_FAILED, f"The program {argv[0]} isn't there or can't be run.")
    with desk.alone(Path(program)):
        try:
            tool = desk.start_tool([program, *argv[1:]], cwd=folder, merge_output=True)
        except OSError as error:
            return _refuse(Code.TOOL_FAILED, f"The program {argv[0]} can't be started: {error.strerror}.")
        over = _watch(tool, command, desk, folder / LOG_NAME)
        if over is not None:
            tool.terminate()
            return over
        return _meaning(tool.wait(), command, folder / LOG_NAME)


def _fill(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace("{" + name + "}", value)
    return word


def _watch(tool: ToolProcess, command: Command, desk: Desk, log: Path) -> Reject | None:
    """Takes what TOOL prints until it ends; a Reject when it goes over a limit."""
    assert tool.stdout is not None
    deadline = time.monotonic() + command.wall_s
    room, turns = command.log_bytes, 0
    with log.open("wb") as file:
        while os.waitid(os.P_PID, tool.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            turns += 1
            desk.progress(-1, turns)  # it is the program's own limits that count, not the worker's
            readable, _, _ = select.select([tool.stdout], [], [], _POLL_S)
            if readable:
                chunk = os.read(tool.stdout.fileno(), _CHUNK)
                file.write(chunk[:room])
                room -= min(room, len(chunk))
                if not chunk:
                    time.sleep(_POLL_S)  # it closed its output but lives: nothing to wait for but its end
            if time.monotonic() > deadline:
                return _refuse(Code.TIMEOUT, f"The program took longer than {command.wall_s:.0f} s (command.wall_s).")
            if tool.memory_bytes() > command.memory_bytes:
                text = f"The program took more than {command.memory_bytes} bytes of memory (command.memory_bytes)."
                return _refuse(Code.TOO_LARGE, text)
        _drain(tool, file.fileno(), room)
    return None


def _drain(tool: ToolProcess, log: int, room: int) -> None:
    """What is left in the pipe, as far as ROOM goes and without waiting: a descendant may still hold it open."""
    assert tool.stdout is not None
    while room > 0 and select.select([tool.stdout], [], [], 0)[0]:
        chunk = os.read(tool.stdout.fileno(), min(room, _CHUNK))
        if not chunk:
            return
        os.write(log, chunk)
        room -= len(chunk)


def _meaning(code: int, command: Command, log: Path) -> Retry | Reject | None:
    word = command.exit_codes.get(code, Code.TOOL_FAILED)
    if word == "done":
        return None
    if word == "retry":
        return Retry(after_s=_RETRY_S, text=f"the program asked to be tried again (exit code {code})")
    said = log.read_bytes()[-300:].decode(errors="replace").strip().rsplit("\n", 1)[-1]
    words = f' Its last words: "{said}".' if said else ""
    return _refuse(Code(word), f"The program refused it with exit code {code}.{words}")


def _refuse(code: Code, text: str) -> Reject:
    next_step = "Ask the operator, who finds the program's output in the job's log, or send the file differently."
    return Reject(reason=Reason(code=code, text=text, next_step=next_step))
