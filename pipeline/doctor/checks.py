"""Finds what is wrong on this host and says the command that mends it. Reads only; prints nothing secret."""

from __future__ import annotations

import contextlib
import enum
import importlib.metadata
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from pipeline.config import GIB, MIB, Config
from pipeline.machine.ledger_schema import MIGRATIONS
from pipeline.model import StageName
from pipeline.processes import landlock, process_tools, sandbox, seccomp


class Level(enum.StrEnum):
    """How bad a finding is."""

    PASS = "pass"  # noqa: S105 - as it should be, and no password
    WARN = "warn"  # it works, but not as well as it could
    FAIL = "fail"  # it can't work like this


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding: WHAT was looked at, what was found, and the command or step that mends it."""

    what: str
    level: Level
    found: str
    mend: str = ""


_TOOLS: Final = (
    ("7zz", "7z, iso, cab and encrypted zip archives", "sudo apt-get install 7zip"),
    ("unrar", "rar archives", "sudo apt-get install unrar   (in Debian's non-free section)"),
)
_LIBRARIES: Final = ("polars", "pyarrow", "duckdb", "isal", "msgspec", "numba", "psutil", "rich")
_RESTORE: Final = (
    "Stop stampmill, move ledger.sqlite, ledger.sqlite-wal and ledger.sqlite-shm away, and either put a backup in their"
    ' place or run: sqlite3 damaged.sqlite ".recover" | sqlite3 ledger.sqlite'
)


def examine(config: Config) -> list[Check]:
    """All checks, in the order in which one would look."""
    return [
        *_directories(config),
        *_daemon(config),
        *_ledger(config),
        *_disk(config),
        *_tools(),
        *_sandbox(config),
        *_libraries(),
    ]


def _directories(config: Config) -> Iterator[Check]:
    for what, path in (("state directory", config.paths.state), ("library", config.paths.library)):
        yield _directory(what, Path(path))
    kind = process_tools.filesystem_of(Path(config.paths.state))
    if process_tools.is_network_filesystem(kind):
        mend = "Set paths.state to a folder on a local disk."
        yield Check(what="state directory", level=Level.FAIL, found=f"it lies on {kind}", mend=mend)


def _directory(what: str, path: Path) -> Check:
    if not path.is_dir():
        return Check(what=what, level=Level.WARN, found=f"{path} isn't there yet; it is made at the first start")
    if not os.access(path, os.W_OK | os.X_OK):
        mend = f"sudo chown -R $USER {path}"
        return Check(what=what, level=Level.FAIL, found=f"{path} can't be written by this user", mend=mend)
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        mend = "sudo mount -o remount,rw the disk that it is on, after finding out why it's read-only (dmesg)"
        return Check(what=what, level=Level.FAIL, found=f"{path} is on a read-only file system", mend=mend)
    return Check(what=what, level=Level.PASS, found=str(path))


def _daemon(config: Config) -> Iterator[Check]:
    path = Path(config.paths.state) / "lock"
    if not path.exists():
        return
    try:
        descriptor = process_tools.open_lock(path)
    except OSError:
        return  # the directory's own check says why
    free = process_tools.try_lock(descriptor)
    owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    os.close(descriptor)
    found = "nothing is running" if free else f"process {owner} is running"
    yield Check(what="daemon", level=Level.PASS, found=found)


def _ledger(config: Config) -> Iterator[Check]:
    path = config.paths.ledger
    if not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)) as db:
            schema = db.execute("PRAGMA user_version").fetchone()[0]
            verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            jobs = db.execute("SELECT count(*) FROM job").fetchone()[0] if schema else 0
    except sqlite3.DatabaseError as error:
        yield Check(what="ledger", level=Level.FAIL, found=f"{path} can't be read: {error}", mend=_RESTORE)
        return
    if verdict != "ok":
        yield Check(what="ledger", level=Level.FAIL, found=f"{path} is damaged: {verdict}", mend=_RESTORE)
    elif schema > len(MIGRATIONS):
        found = f"{path} was written by a newer stampmill (schema {schema})"
        yield Check(what="ledger", level=Level.FAIL, found=found, mend="Upgrade stampmill.")
    else:
        yield Check(what="ledger", level=Level.PASS, found=f"sound, schema {schema}, {jobs} jobs")


def _disk(config: Config) -> Iterator[Check]:
    for what, name in (("state", config.paths.state), ("library", config.paths.library)):
        path = Path(name)
        while not path.exists():
            path = path.parent
        free = shutil.disk_usage(path).free
        status = os.statvfs(path)
        level = Level.PASS
        if free < config.disk.min_free + GIB:
            level = Level.FAIL if free < config.disk.min_free else Level.WARN
        mend = "" if level is Level.PASS else "Free some space, or move paths to a larger disk."
        yield Check(what=f"disk of the {what}", level=level, found=f"{free // MIB} MiB free", mend=mend)
        if status.f_files and status.f_favail < 10_000:
            found = f"{status.f_favail} inodes left"
            yield Check(what=f"disk of the {what}", level=Level.WARN, found=found, mend="Delete small files there.")


def _tools() -> Iterator[Check]:
    for name, use, mend in _TOOLS:
        path = shutil.which(name)
        if path is None:
            yield Check(
                what=name, level=Level.WARN, found=f"not installed: {use} are answered `unsupported`", mend=mend
            )
        else:
            yield Check(what=name, level=Level.PASS, found=f"{path}, {_version(path)}")


def _version(path: str) -> str:
    """The first line in which the tool PATH names itself, without arguments."""
    try:
        run = subprocess.run([path], capture_output=True, timeout=10, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "but it can't be run"
    lines = [line.strip() for line in run.stdout.decode(errors="replace").splitlines() if line.strip()]
    return lines[0][:60] if lines else "version unknown"


def _sandbox(config: Config) -> Iterator[Check]:
    """What a worker that a hostile file has taken over is kept from."""
    free = [stage.title for stage in (StageName.EXTRACT, StageName.CONVERT) if not sandbox.is_wanted(stage, config)]
    if free:
        found = f"unconfined: {' and '.join(free)}, as configured (worker.sandbox, command.sandbox)"
        yield Check(
            what="sandbox", level=Level.WARN, found=found, mend="Set worker.sandbox, and command.sandbox, to true."
        )
    here = sandbox.Confinement(wanted=True, landlock=landlock.abi(), seccomp=seccomp.available())
    if here.lacking:
        mend = 'Linux 5.13 or newer, started with "lsm=landlock,..." where its list leaves that out (cat /sys/kernel/security/lsm)'
        yield Check(what="sandbox", level=Level.WARN, found=f"this kernel lacks {here.lacking}", mend=mend)
    else:
        yield Check(what="sandbox", level=Level.PASS, found=f"Landlock (version {here.landlock}) and seccomp")


def _libraries() -> Iterator[Check]:
    versions, missing = [], []
    for name in _LIBRARIES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        mend = "Install stampmill again: uv tool install --force stampmill"
        yield Check(what="libraries", level=Level.FAIL, found=f"missing: {', '.join(missing)}", mend=mend)
    yield Check(what="libraries", level=Level.PASS, found=", ".join(versions))
