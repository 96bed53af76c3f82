"""Full disks, on a real small file system: paused with the figures, resumed by itself, nothing lost or half published."""

from __future__ import annotations

import os
import random
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline.cli import STAGES
from pipeline.config import MIB, BatchSize, Config, Disk, Queue
from pipeline.machine.process import config_for, process
from pipeline.model import Code, JobState, Options
from pipeline.snapshot import Snapshot

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
SIZE = 64 * MIB
MIN_FREE = 16 * MIB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 64 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def config_on(disk: Path) -> Config:
    return msgspec.structs.replace(
        config_for(disk / "out"),
        disk=Disk(min_free=MIN_FREE),
        queue=Queue(bytes=8 * MIB),
        batch=BatchSize(bytes=2 * MIB),
    )


def small_csv(path: Path) -> Path:
    path.write_text("a,b\n" + "\n".join(f"{number},{number}" for number in range(500)))
    return path


def archive_of_noise(path: Path, size: int) -> Path:
    """A zip of SIZE bytes that neither zip nor Parquet can make smaller: its members are kept as they are."""
    rng = random.Random(path.name)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(size // MIB):
            archive.writestr(f"{number}.bin", b"\0" + rng.randbytes(MIB - 1))
    return path


def published(library: Path) -> list[Path]:
    return sorted(path.parent for path in library.glob("2*/*/manifest.json"))


def test_pauses_and_resumes_by_itself(small_disk: Path, tmp_path: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(SIZE - MIN_FREE))
    sentences: list[str] = []

    def watch(snapshot: Snapshot) -> None:
        sentences.append(snapshot.paused)
        if snapshot.paused and len(sentences) > 4:
            filler.unlink(missing_ok=True)

    result = process([small_csv(tmp_path / "a.csv")], config_on(small_disk), STAGES, Options(), observer=watch)
    assert [job.state for job in result.summary.jobs] == [JobState.DONE]
    paused = next(sentence for sentence in sentences if sentence)
    assert re.fullmatch(r"disk: \S+ \S+ free, \S+ \S+ short of disk.min_free", paused)


def test_a_job_that_can_never_fit_fails_and_the_others_go_on(small_disk: Path, tmp_path: Path) -> None:
    large = archive_of_noise(tmp_path / "large.zip", SIZE)
    result = process([large, small_csv(tmp_path / "a.csv")], config_on(small_disk), STAGES, Options())
    states = {job.name: job for job in result.summary.jobs}
    assert states["a.csv"].state is JobState.DONE
    reason = states["large.zip"].reason
    assert reason is not None
    assert reason.code is Code.TOO_LARGE
    assert "disk.min_free" in reason.text
    assert len(published(small_disk / "out")) == 2
    assert list(config_on(small_disk).paths.work.iterdir()) == []


def test_the_larger_one_gives_way_and_both_end(small_disk: Path, tmp_path: Path) -> None:
    """Two archives that fit one after the other, though not unpacked side by side."""
    drops = [archive_of_noise(tmp_path / f"{name}.zip", 20 * MIB) for name in ("one", "two")]
    filler = small_disk / "filler"
    filler.write_bytes(bytes(SIZE - MIN_FREE - 30 * MIB))
    ended: list[str] = []

    def make_room(_: Snapshot) -> None:
        if published(small_disk / "out"):
            filler.unlink(missing_ok=True)

    result = process(
        drops,
        config_on(small_disk),
        STAGES,
        Options(),
        observer=make_room,
        on_ended=lambda job: ended.append(job.job.upload.name),
    )
    assert [job.state for job in result.summary.jobs] == [JobState.DONE] * 2
    assert [job.members.kept for job in result.summary.jobs] == [20, 20]


def test_the_ledger_itself_finds_no_room(small_disk: Path, tmp_path: Path) -> None:
    config = msgspec.structs.replace(config_on(small_disk), disk=Disk(min_free=0))
    filler = small_disk / "filler"
    seen: list[str] = []

    def watch(snapshot: Snapshot) -> None:
        if not filler.exists() and not seen:
            fill(filler)
        elif snapshot.paused:
            seen.append(snapshot.paused)
            filler.unlink(missing_ok=True)

    drops = [small_csv(tmp_path / f"{number}.csv") for number in range(200)]
    for number, drop in enumerate(drops):
        drop.write_text(drop.read_text() + f"\n{number},{number}")
    result = process(drops, config, STAGES, Options(), observer=watch)
    assert [job.state for job in result.summary.jobs] == [JobState.DONE] * 200
    assert len(published(small_disk / "out")) == 200


def fill(path: Path) -> None:
    """Writes to PATH until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
        except OSError:
            return
