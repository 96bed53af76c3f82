"""Builds tests/crash/shim.c and speaks with it: failpoints in, a recording of file-system calls out."""

from __future__ import annotations

import ctypes
import enum
import hashlib
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("shim.c")
_HEAD: Final = struct.Struct("<IIII QQQQQ")


class Op(enum.IntEnum):
    """What a record is about; the names are those that a failpoint uses, in lower case."""

    WRITE = 1  # DATA at OFFSET of INODE
    FSYNC = 2
    DIRSYNC = 3
    RENAME = 4  # NAME1 in PARENT1 to NAME2 in PARENT2
    LINK = 5  # likewise
    UNLINK = 6  # NAME1 in PARENT1, as all that follow
    MKDIR = 7
    RMDIR = 8
    CREATE = 9
    TRUNCATE = 10  # INODE to OFFSET bytes
    SYMLINK = 11
    SEND = 12  # the supervisor's DATA to a worker
    NOTE = 13  # DATA is what the program wished to have noted


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One recorded call."""

    op: Op
    inode: int
    parent1: int = 0
    name1: str = ""
    parent2: int = 0
    name2: str = ""
    offset: int = 0
    data: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Failpoint:
    """At its COUNTth CALL (an Op's name in lower case) on a file whose path below the library matches PATTERN, PROCESS
    dies (ACTION `kill`) or is told an error (ACTION `EIO` or `ENOSPC`), WHEN: `before` or `after` the call."""

    process: str
    call: str
    pattern: str = "*"
    count: int = 1
    when: str = "before"
    action: str = "kill"

    def __str__(self) -> str:
        return f"{self.process} {self.call} {self.pattern} {self.count} {self.when} {self.action}"


def build() -> Path:
    """The shim, compiled once for each state of its source."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"stampmill-shim-{os.getuid()}-{digest}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "shim.so"
            argv = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(made), str(SOURCE), "-ldl", "-lpthread"]
            subprocess.run(argv, check=True)
            fresh = library.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(made.read_bytes())
            fresh.rename(library)
    return library


def environment(root: Path, *, log: Path | None = None, failpoints: Path | None = None) -> dict[str, str]:
    """The variables by which a program and all that it starts run with the shim, over the library ROOT."""
    variables = {"LD_PRELOAD": str(build()), "STAMPMILL_SHIM_ROOT": str(root.resolve())}
    if log is not None:
        variables["STAMPMILL_SHIM_LOG"] = str(log)
    if failpoints is not None:
        variables["STAMPMILL_SHIM_FAIL"] = str(failpoints)
    return variables


def write_failpoints(path: Path, failpoints: Sequence[Failpoint]) -> None:
    """FAILPOINTS as the file that `environment` takes; they fire in this order."""
    path.write_text("".join(f"{failpoint}\n" for failpoint in failpoints))


def fired(path: Path, failpoints: Sequence[Failpoint]) -> list[Failpoint]:
    """Those of the FAILPOINTS written to PATH that have fired."""
    return [one for line, one in enumerate(failpoints) if Path(f"{path}.fired-{line}").exists()]


def name_process(name: str) -> None:
    """Tells the shim, where it is there, which process this is."""
    if "STAMPMILL_SHIM_ROOT" in os.environ:
        ctypes.CDLL(None).shim_name(name.encode())


def note(text: str) -> None:
    """Adds TEXT to the recording, where one is made."""
    if "STAMPMILL_SHIM_LOG" in os.environ:
        ctypes.CDLL(None).shim_note(text.encode())


def read_log(path: Path) -> Iterator[Event]:
    """The recording at PATH, in order."""
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            op, name1, name2, _, inode, parent1, parent2, offset, length = _HEAD.unpack(head)
            one, two = os.fsdecode(file.read(name1)), os.fsdecode(file.read(name2))
            data = file.read(length) if op in (Op.WRITE, Op.SYMLINK, Op.SEND, Op.NOTE) else b""
            yield Event(
                op=Op(op), inode=inode, parent1=parent1, name1=one, parent2=parent2, name2=two, offset=offset, data=data
            )
