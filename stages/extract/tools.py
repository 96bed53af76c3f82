"""External programs that unpack: found, started, read without ever waiting in vain, and ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Protocol

from pipeline.model import Reason, ToolProcess
from stages.extract import reasons
from stages.extract.protocol import Running

PIPE_BYTES = 1 << 20  # what a pipe holds, so that the tool works on while we write
LOG_BYTES = 4096  # of a tool's words that are kept
POLL_S = 1.0

INSTALL = {"7zz": "7zip", "unrar": "unrar"}  # program to Debian's package


def missing(program: str, what: str) -> Reason | None:
    """Why WHAT can't be read where PROGRAM isn't installed; None where it is."""
    if shutil.which(program):
        return None
    package = INSTALL[program]
    extra = " (its package is in Debian's non-free section)" if program == "unrar" else ""
    return reasons.unsupported(
        f"{what} needs the program {program}, which isn't installed",
        f"Ask the operator to run `apt-get install {package}`{extra}, or pack the files as zip or tar.gz.",
    )


class StartTool(Protocol):
    """Desk.start_tool."""

    def __call__(self, argv: Sequence[str], *, stdin: int | IO[bytes] | None = None) -> ToolProcess:
        """Starts ARGV with its stdout piped."""
        ...


class Tool:
    """A running program whose stdout is read here. `tick` is called at least each second and may raise to give up."""

    def __init__(self, start: StartTool, argv: Sequence[str], secret: str, tick: Callable[[], None]) -> None:
        """Starts ARGV; SECRET goes to its stdin as one line (empty where there is none), never into ARGV."""
        self._tick = tick
        reading, writing = os.pipe()
        try:
            os.write(writing, secret.encode() + b"\n")
        finally:
            os.close(writing)
        try:
            self._process = start(argv, stdin=reading)
        finally:
            os.close(reading)
        assert self._process.stdout is not None
        self._out = self._process.stdout
        self._fd = self._out.fileno()
        with contextlib.suppress(OSError):  # a pipe of the usual size does as well
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN | select.POLLHUP)

    @property
    def over(self) -> bool:
        """It has ended and was waited for."""
        return self._process.returncode is not None

    def read(self, size: int, /) -> bytes:
        """Between 1 and SIZE bytes of its output, none at the end."""
        while not self._poll.poll(POLL_S * 1000):
            self._tick()
        return os.read(self._fd, size)

    def finish(self) -> int:
        """Waits for its end and returns its exit code; output that nobody read is an end by signal."""
        self._out.close()
        while True:
            try:
                return self._process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                self._tick()

    def close(self) -> None:
        """Ends it at once, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
        self._out.close()
        self._process.wait()


class Tools:
    """Starts one job's programs, one at a time, as the worker wants it: whoever has one running is asked to do without
    it, and starts it again when it is needed."""

    def __init__(self, start: StartTool, tick: Callable[[], None]) -> None:
        self._start = start
        self._tick = tick
        self._running: Tool | None = None
        self._aside: Callable[[], None] | None = None

    def start(self, argv: Sequence[str], secret: str = "", aside: Callable[[], None] | None = None) -> Tool:
        """Starts ARGV. ASIDE is called before the next program starts, if this one still runs, and must close it."""
        if self._running is not None and not self._running.over:
            assert self._aside is not None
            self._aside()
            assert self._running.over
        self._running, self._aside = Tool(self._start, argv, secret, self._tick), aside
        return self._running


def lines(tool: Running) -> Iterator[str]:
    """TOOL's output line by line; bytes that aren't UTF-8 come as surrogates."""
    rest = b""
    while data := tool.read(1 << 16):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "surrogateescape")
    if rest:
        yield rest.decode("utf-8", "surrogateescape")
