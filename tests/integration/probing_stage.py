"""A stage that tries what a taken-over one would: everything that its sandbox should keep from it, and what it should not.

What came of each attempt goes into the output's payload, as JSON: `ok`, or the name of the error.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec

from pipeline.config import Config
from pipeline.model import Closed, Desk, Done, Outcome, Output, Task


class Probing:
    """Extract or convert."""

    def __init__(self, config: Config) -> None:
        self._state = Path(config.paths.state)

    def run(self, task: Task, desk: Desk) -> Generator[Closed, None, Outcome]:
        """Tries everything."""
        yield from ()
        upload, tried = Path(task.upload.path), dict[str, str]()
        for title, attempt in {
            **_should_work(upload, desk, self._state),
            **_reading(desk, self._state, upload),
            **_reaching(desk),
            **_writing(desk, upload, self._state),
        }.items():
            tried[title] = _outcome(attempt)
        return Done(output=Output(payload=msgspec.json.encode(tried)))


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


def _should_work(upload: Path, desk: Desk, state: Path) -> dict[str, Callable[[], object]]:
    def thread() -> None:
        one = threading.Thread(target=lambda: None)
        one.start()
        one.join()

    return {
        "may read the upload": upload.read_bytes,
        "may write in work": lambda: (desk.work / "made").write_bytes(b"x"),
        "may rename in work": lambda: (desk.work / "made").rename(desk.work / "renamed"),
        "may delete in work": (desk.work / "renamed").unlink,
        "may use a temporary file": lambda: tempfile.TemporaryFile().close(),
        "may use a named temporary file": lambda: tempfile.NamedTemporaryFile().close(),
        "may throw output away": lambda: Path(os.devnull).write_bytes(b"x"),
        "may run a tool": lambda: _run(desk, "true"),
        "may read the kernel's words": lambda: Path("/proc/self/status").read_bytes(),
        "may start a thread": thread,
        "may read machine code": (state / "code" / "kernel.o").read_bytes,
    }


def _reading(desk: Desk, state: Path, upload: Path) -> dict[str, Callable[[], object]]:
    secrets = ("telegram/account.session", "config.toml", "ledger.sqlite", "lock")
    return {
        **{f"read {name}": (state / name).read_bytes for name in secrets},
        "read with a tool": lambda: (
            None if _run(desk, "grep", "-q", "secret", str(state / "config.toml")) == 0 else _refuse()
        ),
        "read the library": (state.parent / "result").read_bytes,
        "list the state directory": lambda: os.listdir(state),
        "read another's file": (upload.parent.parent / "private").read_bytes,
        "read the supervisor's memory": lambda: Path(f"/proc/{os.getppid()}/mem").open("rb"),
        "read the supervisor's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "read through the supervisor": lambda: Path(f"/proc/{os.getppid()}/root{state}/config.toml").read_bytes(),
    }


def _writing(desk: Desk, upload: Path, state: Path) -> dict[str, Callable[[], object]]:
    outside = upload.parent.parent / "outside"
    return {
        "write outside": lambda: outside.write_bytes(b"x"),
        "write in the library": lambda: (state.parent / "planted").write_bytes(b"x"),
        "write beside work": lambda: (state / "run" / "planted").write_bytes(b"x"),
        "write machine code": lambda: (state / "code" / "kernel.o").write_bytes(b"x"),
        "make machine code": lambda: (state / "code" / "other.o").write_bytes(b"x"),
        "write the upload": lambda: upload.open("r+b"),
        "empty the upload": lambda: os.truncate(upload, 0),
        "empty the upload by reading": lambda: os.close(os.open(upload, os.O_RDONLY | os.O_TRUNC)),
        "link the upload": lambda: (desk.work / "linked").hardlink_to(upload),
        "make a link outside": lambda: outside.symlink_to("/etc/passwd"),
        "make a folder outside": outside.mkdir,
        "make a pipe": lambda: os.mkfifo(desk.work / "pipe"),
        "make a device": lambda: os.mknod(desk.work / "device", 0o600 | 0o020000, os.makedev(1, 3)),
        "change rights": lambda: upload.chmod(0o777),
        "change rights of an open file": lambda: os.fchmod(os.open(upload, os.O_RDONLY), 0o777),
        "change the owner": lambda: os.chown(upload, os.getuid(), os.getgid()),
        "change the time": lambda: os.utime(upload),
        "set an attribute": lambda: os.setxattr(upload, "user.x", b"x"),
        "write with a tool": lambda: None if _run(desk, "touch", str(outside)) == 0 else _refuse(),
        "rename the upload": lambda: upload.rename(desk.work / "stolen"),
        "delete the upload": upload.unlink,
    }


def _reaching(desk: Desk) -> dict[str, Callable[[], object]]:
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: object) -> None:
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)

    return {
        "open a socket": lambda: socket.socket(socket.AF_INET),
        "open a local socket": lambda: socket.socket(socket.AF_UNIX),
        "ask the kernel by netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "open a socket with a tool": lambda: (
            None if _run(desk, *_PYTHON, "import socket; socket.socket()") == 0 else _refuse()
        ),
        "make a namespace": lambda: call("unshare", 0x10000000),
        "trace the supervisor": lambda: call("ptrace", 16, os.getppid(), None, None),
        "mount": lambda: call("mount", b"none", b"/proc", b"tmpfs", 0, None),
        "use io_uring": lambda: call("syscall", 425, 1, None),
    }


_PYTHON = (os.environ.get("PROBING_PYTHON", "python3"), "-c")


def _run(desk: Desk, *argv: str) -> int:
    tool = desk.start_tool(argv)
    assert tool.stdout is not None
    tool.stdout.close()
    return tool.wait()


def _refuse() -> None:
    raise PermissionError(errno.EACCES, "the tool couldn't")


def build(config: Config) -> Probing:
    """As every stage module has it."""
    return Probing(config)
