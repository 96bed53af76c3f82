"""Taking up what whoever ran before left behind: locks, orphans, files that the ledger doesn't name."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from pipeline.config import INCOMING, Config
from pipeline.errors import AlreadyRunning, NetworkFilesystem, StateUnwritable
from pipeline.machine.ledger import Ledger
from pipeline.machine.work import Batch, Changes, EventKind
from pipeline.model import StageName
from pipeline.processes import process_tools, tools

_ORPHAN_WAIT_S = 5.0


def prepare(config: Config) -> int:
    """Makes the state directory and takes its lock, whose descriptor it returns; it holds as long as we live.

    Raises StateUnwritable, NetworkFilesystem, AlreadyRunning.
    """
    state = Path(config.paths.state)
    try:
        _make_durably(Path(config.paths.library), 0o777)
        _make_durably(state, 0o700)
        for name in ("work", "locks", "run", "log", "code"):
            (state / name).mkdir(mode=0o700, exist_ok=True)
        kind = process_tools.filesystem_of(state)
        if process_tools.is_network_filesystem(kind):
            raise NetworkFilesystem(state=state, kind=kind)
        lock = process_tools.open_lock(state / "lock")
    except OSError as error:
        raise StateUnwritable(path=error.filename or state, detail=error.strerror) from error
    if not process_tools.try_lock(lock):
        owner = os.pread(lock, 32, 0).decode(errors="replace").strip()
        os.close(lock)
        pid = int(owner) if owner.isdigit() else 0
        raise AlreadyRunning(state=state, pid=pid or "unknown", command=process_tools.command_of(pid))
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _make_durably(folder: Path, mode: int) -> None:
    """Makes FOLDER and what is missing above it, each name synced: what lies in it is only as durable as its name."""
    if folder.is_dir():
        return
    _make_durably(folder.parent, 0o777)
    folder.mkdir(mode, exist_ok=True)
    descriptor = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def end_orphans(config: Config, stages: Sequence[StageName]) -> list[int]:
    """Ends every process that is left of STAGES (an orphaned worker, or a tool that outlived it); returns their ids.

    Only the supervisor calls this, for stages without a live worker: whoever holds their locks or carries their marks
    then is an orphan. The mark finds those that have closed the lock's descriptor.
    """
    paths = [Path(config.paths.state) / "locks" / f"{stage.title}.lock" for stage in stages]
    marks = {process_tools.stage_mark(config.paths.state, stage.title) for stage in stages}
    ended: list[int] = []
    deadline = time.monotonic() + _ORPHAN_WAIT_S
    while time.monotonic() < deadline:
        left = tools.marked(marks)
        for path in paths:
            if not _is_free(path):
                left += process_tools.holders(path)
        if not left:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                ended.append(pid)
        time.sleep(0.005)  # a killed process's locks go when the kernel has torn it down, which nothing announces
    return ended


def _is_free(lock: Path) -> bool:
    descriptor = process_tools.open_lock(lock)
    free = process_tools.try_lock(descriptor)
    os.close(descriptor)
    return free


def forget_after_reboot(config: Config, ledger: Ledger) -> list[int]:
    """After a reboot nothing unpublished can be trusted: every job that had begun starts again from its upload."""
    boot_id = process_tools.boot_id()
    before = ledger.boot_id()
    reset: list[int] = []
    if before not in ("", boot_id):
        changes = Changes()
        reset = sorted({batch.job.id for batch in ledger.open_batches() if not batch.job.forgets})
        library = Path(config.paths.library)
        for job in reset:
            for folder in published_folders(library, job):
                remove(folder)
            remove(library / INCOMING / str(job))
            changes.event(job, time.time(), EventKind.RESET, detail="the host was restarted")
        changes.resets.extend(reset)
        if changes:
            ledger.commit(changes)
    if before != boot_id:
        ledger.set_boot_id(boot_id)
    return reset


def published_folders(library: Path, job: int) -> list[Path]:
    """The folders in LIBRARY whose manifest says that they are JOB's."""
    return [folder for folder in library.glob(f"[0-9]*-[0-9]*/{job}-*") if _job_of(folder) == job]


def _job_of(folder: Path) -> int | None:
    try:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    return manifest.get("job") if isinstance(manifest, dict) else None


def sweep(config: Config, owned: Iterable[Batch], in_hand: Iterable[Batch], jobs: Iterable[int]) -> int:
    """Deletes from work/ what no OWNED batch names and no attempt IN_HAND may be writing, and from .incoming the jobs
    that aren't open. Returns how many entries went."""
    names = {name.split("/", 1)[0] for batch in owned for name in batch.names}
    prefixes = tuple(prefix for batch in in_hand for prefix in (f"{batch.prefix}-", f"{batch.prefix}."))
    gone = 0
    for entry in os.listdir(config.paths.work):
        if entry not in names and not entry.startswith(prefixes):
            remove(config.paths.work / entry)
            gone += 1
    incoming = Path(config.paths.library) / INCOMING
    open_jobs = {str(job) for job in jobs}
    if incoming.is_dir():
        for entry in os.listdir(incoming):
            if entry not in open_jobs:
                remove(incoming / entry)
                gone += 1
    return gone


def discard(library: Path, folder: str) -> None:
    """Deletes a job's FOLDER of LIBRARY, published or not, at once as a reader sees it. It may be gone already."""
    path = library / folder
    if path.parent.name != INCOMING:
        aside = library / INCOMING / f"{path.name}-old"  # a name that a start sweeps away
        remove(aside)
        aside.parent.mkdir(exist_ok=True)
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return
        path = aside
    remove(path)


def remove(path: Path) -> None:
    """Deletes a file or folder that nobody names any more. It may be gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        shutil.rmtree(path, ignore_errors=True)
