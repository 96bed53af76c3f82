"""External programs as a worker runs them: one process group each, holding the stage's lock, dying with the worker."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from pipeline.processes import process_tools

if TYPE_CHECKING:
    import psutil

MARK: Final = "STAMPMILL_STAGE"  # environment variable by which a tool's descendants are known, whatever they close
_LAST_WORDS_BYTES: Final = 4096
_TERM_GRACE_S: Final = 2.0


class Tool:
    """A running program. It is alone: what it leaves behind when it ends is ended with it.

    A program that dies by a signal we didn't send takes the worker along: one rule (charges.charge) then judges whether
    the file did it or somebody outside.
    """

    def __init__(self, popen: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._popen = popen
        self._errors = errors
        self._killed = False
        self.pid = popen.pid
        self.stdout = popen.stdout

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs or hasn't been waited for."""
        return self._popen.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end and returns its exit code. Raises subprocess.TimeoutExpired."""
        code = self._popen.wait(timeout)
        self._end_descendants()
        if code < 0 and not self._killed:
            signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
            os.kill(os.getpid(), -code)
        return code

    def terminate(self) -> int:
        """Asks it to end, insists after two seconds, and returns its exit code."""
        self._killed = True
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_TERM_GRACE_S)
        self.kill()
        return self.wait()

    def kill(self) -> None:
        """Ends it and everything it started, at once. `wait` is still to be called."""
        self._killed = True
        self._signal(signal.SIGKILL)
        self._end_descendants()

    def memory_bytes(self) -> int:
        """What it and everything it started hold in memory."""
        import psutil  # where a tool runs; most workers never start one

        total = 0
        for process in self._family():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def last_words(self) -> str:
        """The end of what it said on stderr."""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _LAST_WORDS_BYTES))
        return self._errors.read().decode(errors="replace").strip()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _family(self) -> list[psutil.Process]:
        """It and all else below this worker: only one program runs at a time, and orphans come to us (a subreaper)."""
        import psutil

        return list(psutil.Process().children(recursive=True))

    def _end_descendants(self) -> None:
        import psutil

        left = [process for process in self._family() if process.pid != self.pid or self._killed]
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs([process for process in left if process.pid != self.pid], timeout=5)


def start(
    argv: Sequence[str],
    *,
    mark: str,
    locks: Sequence[int],
    cwd: Path | None = None,
    stdin: int | IO[bytes] | None = None,
    merge_output: bool = False,
) -> Tool:
    """Starts ARGV with stdout piped. Its stderr goes to a nameless file, so that flooding it blocks nobody.

    Raises OSError when the program can't be started. To be called from the worker's main thread: the parent-death
    signal fires when the thread that started it ends.
    """
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the Tool
    parent = os.getpid()
    popen = subprocess.Popen(
        argv,
        cwd=cwd,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merge_output else errors,
        pass_fds=tuple(locks),
        process_group=0,
        env={**os.environ, MARK: mark, **({"TMPDIR": str(cwd)} if cwd else {})},
        preexec_fn=lambda: process_tools.die_with_parent(parent),  # noqa: PLW1509 - main thread, one ctypes call
    )
    return Tool(popen, errors)


def marked(marks: Collection[str]) -> list[int]:
    """The processes of this user, zombies not counted, that were started with one of MARKS in their environment."""
    wanted = {f"{MARK}={mark}".encode() for mark in marks}
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if wanted.intersection((process / "environ").read_bytes().split(b"\0")):
                found.append(int(process.name))
        except OSError:
            continue
    return found
