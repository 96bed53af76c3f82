"""The process that is killed: runs the pipeline over uploads, as `stampmill process` does.

Called with the file of a Spec; called again with the same one, it goes on where it was.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from pipeline.config import MIB, BatchSize, Config, Disk, Queue, Worker
from pipeline.errors import StampmillError
from pipeline.machine.process import config_for, process
from pipeline.machine.scheduler import Ended
from pipeline.machine.supervisor import Supervisor
from pipeline.model import Options, StageName, Upload
from pipeline.processes import process_tools, workers
from tests.crash import shim

MODULES: Final = {stage: f"tests.crash.wrapped.{stage.title}" for stage in StageName}


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """A run: UPLOADS into the library INTO. Ended jobs are noted in the file ACKNOWLEDGED, one line each, as soon as
    somebody could have been told. `boot_id` stands in for the kernel's."""

    into: str
    uploads: tuple[str, ...]
    acknowledged: str
    batch_files: int = 8
    batch_bytes: int = 128 * 1024
    queue_batches: int = 6
    queue_bytes: int = 256 * MIB
    min_free: int = 256 * MIB  # of disk
    max_backoff_s: float = 0.05
    boot_id: str = ""


def config_of(spec: Spec) -> Config:
    """SPEC's configuration: small batches and queues, so that small uploads meet every bound."""
    return msgspec.structs.replace(
        config_for(Path(spec.into)),
        batch=BatchSize(files=spec.batch_files, bytes=spec.batch_bytes),
        queue=Queue(batches=spec.queue_batches, bytes=spec.queue_bytes),
        disk=Disk(min_free=spec.min_free),
        worker=Worker(sandbox=False),  # the shim in each process writes to a recording outside of work/
    )


def known(ledger: Path) -> set[str]:
    """The paths that were submitted by an earlier run and made it into the ledger."""
    if not ledger.exists():
        return set()
    # Recovery is not for us to do, unless SQLite reads nothing before it.
    mode = "rw" if ledger.with_name(f"{ledger.name}-journal").exists() else "ro"
    database = sqlite3.connect(f"file:{ledger}?mode={mode}", uri=True, timeout=10.0)
    try:
        return {path for (path,) in database.execute("SELECT path FROM job")}
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):  # killed before the tables were made
            raise
        return set()
    finally:
        database.close()


def note_submissions() -> None:
    """Has the recording say which uploads are taken for good, as soon as their sender could be told."""
    submit = Supervisor.submit

    def noted(self: Supervisor, uploads: Iterable[tuple[str, Upload, Options]]) -> list[int]:
        taken = list(uploads)
        ids = submit(self, taken)
        for _, upload, _ in taken:
            shim.note(f"submitted {upload.path}")
        return ids

    Supervisor.submit = noted  # type: ignore[method-assign]


def run(spec: Spec) -> None:
    """Submits what isn't known yet and runs until all jobs have ended."""
    config = config_of(spec)
    note_submissions()
    workers._MAX_BACKOFF_S = spec.max_backoff_s  # type: ignore[misc] # a campaign's thousand deaths are no reason to wait
    if spec.boot_id:
        process_tools.boot_id = lambda: spec.boot_id
    descriptor = os.open(spec.acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def note(ended: Ended) -> None:
        shim.note(f"ended {ended.job.upload.path}")
        os.write(descriptor, f"{ended.job.id} {ended.state} {ended.job.upload.path}\n".encode())

    before = known(config.paths.ledger)
    fresh = [Path(path) for path in spec.uploads if path not in before]
    process(fresh, config, MODULES, Options(), on_ended=note)


def main() -> int:
    """Runs the Spec in the file that is named; a stampmill error is one line and status 1, as for the command."""
    spec = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Spec)
    shim.name_process("supervisor")
    try:
        run(spec)
    except StampmillError as error:
        sys.stderr.write(f"{type(error).__name__}: {error.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
