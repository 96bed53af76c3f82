"""An archive far larger than the queues: work/ stays within the bounds, and convert doesn't wait for extract's end."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from pipeline.cli import STAGES
from pipeline.config import MIB, BatchSize, Queue
from pipeline.machine.process import config_for, process
from pipeline.model import JobState, Options, StageName

QUEUE_BYTES = 4 * MIB
BATCH_BYTES = MIB
TIMES = 20  # the archive's content to the queue's byte bound
MEMBER_BYTES = 200_000


def make_archive(path: Path) -> int:
    """A zip of CSVs with QUEUE_BYTES * TIMES bytes in all; returns the number of members."""
    rng = random.Random(1)
    members = QUEUE_BYTES * TIMES // MEMBER_BYTES + 1
    lines = [f"{number},{rng.random()},{rng.randbytes(30).hex()}" for number in range(MEMBER_BYTES // 80)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for member in range(members):
            body = "\n".join((f"id_{member},value,text", *lines))
            archive.writestr(f"part-{member:04}.csv", body.ljust(MEMBER_BYTES, "\n"))
    return members


@contextmanager
def watched(folder: Path) -> Iterator[list[int]]:
    """The sizes that FOLDER had, in bytes, as a thread that keeps looking sees them."""
    sizes: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            files = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
            sizes.append(sum(map(size_of, files)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield sizes
    finally:
        over.set()
        thread.join()


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_work_is_bounded_and_stages_overlap(tmp_path: Path) -> None:
    archive = tmp_path / "large.zip"
    members = make_archive(archive)
    config = msgspec.structs.replace(
        config_for(tmp_path / "out"), queue=Queue(bytes=QUEUE_BYTES), batch=BatchSize(bytes=BATCH_BYTES)
    )
    with watched(config.paths.work) as sizes:
        result = process([archive], config, STAGES, Options())
    (job,) = result.summary.jobs
    assert job.state is JobState.DONE
    assert job.members.converted == members
    in_hand = 1 + 2 + 2  # batches: extract writes one, convert and store hold two each
    bound = 2 * QUEUE_BYTES + in_hand * (BATCH_BYTES + MEMBER_BYTES)
    assert QUEUE_BYTES < max(sizes) <= bound
    assert list(config.paths.work.iterdir()) == []
    with closing(sqlite3.connect(config.paths.ledger)) as ledger:
        query = "SELECT min(at), max(at + seconds) FROM event WHERE stage = ? AND what IN ('closed', 'finished')"
        convert_began, _ = ledger.execute(query, (StageName.CONVERT,)).fetchone()
        _, extract_ended = ledger.execute(query, (StageName.EXTRACT,)).fetchone()
    assert convert_began < extract_ended
