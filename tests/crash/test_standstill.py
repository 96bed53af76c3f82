"""Scenarios in which everybody could wait for somebody else: each of them comes to its end."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import KIB, MIB
from tests.crash import jobs
from tests.crash.bench import Bench
from tests.crash.jobs import Upload, make_tar, make_zip, rows
from tests.crash.record import Record

pytestmark = pytest.mark.slow


def csvs(count: int, size: int = 3, seed: int = 1) -> jobs.Files:
    chance = random.Random(seed)
    return [(f"part{part}.csv", rows(part, size, chance)) for part in range(count)]


def manifest_of(record: Record, name: str) -> dict[str, Any]:
    (folder,) = [folder for folder in record.folders.values() if folder.upload == name]
    return folder.manifest


def finish(folder: Path, uploads: list[Upload], **options: object) -> Record:
    record = Bench(folder / "bench", uploads).finish("run", **options)
    assert record.problems == []
    return record


@pytest.mark.parametrize("queue_batches", [1, 2, 6])
def test_a_job_of_more_batches_than_a_queue_holds(tmp_path: Path, queue_batches: int) -> None:
    uploads = [Upload(name=f"long{n}.zip", data=make_zip(csvs(25, seed=n))) for n in range(3)]
    record = finish(tmp_path, uploads, queue_batches=queue_batches, batch_files=1)
    for upload in uploads:
        assert manifest_of(record, upload.name)["counts"]["members"]["converted"] == 25


def test_a_small_job_behind_many_long_ones(tmp_path: Path) -> None:
    """Extract has more in hand than convert's queue has places, and the one that runs needs another place."""
    uploads = [Upload(name=f"{n}.csv", data=rows(n, 2, random.Random(n))) for n in range(20)]
    uploads.insert(1, Upload(name="long.zip", data=make_zip(csvs(20))))
    record = finish(tmp_path, uploads, queue_batches=3, batch_files=1)
    assert len(record.folders) == 21


def test_a_member_larger_than_the_queues_bytes(tmp_path: Path) -> None:
    members = [*csvs(3), ("large.csv", rows(7, 40_000, random.Random(7))), *csvs(3, seed=2)]
    members = [(f"{number}-{name}", data) for number, (name, data) in enumerate(members)]
    assert max(len(data) for _, data in members) > 600 * KIB
    uploads = [Upload(name="a.zip", data=make_zip(members)), Upload(name="b.tar", data=make_tar(members))]
    record = finish(tmp_path, uploads, queue_bytes=64 * KIB, batch_bytes=32 * KIB, batch_files=2)
    for upload in uploads:
        assert manifest_of(record, upload.name)["counts"]["members"]["converted"] == 7


@pytest.mark.parametrize(
    ("name", "members", "converted"),
    [
        ("nothing", [], None),
        ("folders", [("a/", b""), ("b/", b"")], None),
        ("even", csvs(8), 8),
        ("trailing", [*csvs(8), ("end/", b""), ("end/more/", b"")], 8),
        ("hollow", [*csvs(8), ("none.zip", make_zip([]))], 8),
        ("only-hollow", [("none.zip", make_zip([])), ("none.tar", make_tar([]))], 0),
    ],
)
def test_an_archive_without_a_member_or_without_one_in_its_last_batch(
    tmp_path: Path, name: str, members: jobs.Files, converted: int | None
) -> None:
    record = finish(tmp_path, [Upload(name=f"{name}.zip", data=make_zip(members))], batch_files=4)
    ((job,),) = record.jobs.values()
    if converted is None:
        assert (job.state, job.reason) == ("failed", "empty")
    elif converted:
        assert manifest_of(record, f"{name}.zip")["counts"]["members"]["converted"] == converted


def test_many_refused_jobs_through_a_queue_of_one(tmp_path: Path) -> None:
    uploads = [Upload(name=f"{n}.zip", data=b"PK\x03\x04%d" % n + bytes(100)) for n in range(30)]
    uploads.append(Upload(name="good.csv", data=rows(1, 2, random.Random(1))))
    record = finish(tmp_path, uploads, queue_batches=1)
    states = [job.state for found in record.jobs.values() for job in found]
    assert len(states) == 31 and "waiting" not in states
    assert manifest_of(record, "good.csv")["counts"]["rows"] == 2


def test_copies_of_a_job_that_is_at_work(tmp_path: Path) -> None:
    data = make_zip(csvs(12))
    uploads = [Upload(name=f"{n}.zip", data=data) for n in range(12)]
    record = finish(tmp_path, uploads, queue_batches=1, batch_files=1)
    states = sorted(job.state for found in record.jobs.values() for job in found)
    assert states == ["done", *["duplicate"] * 11]


@pytest.mark.needs("7zz")
def test_a_tool_whose_pipe_is_full_while_convert_is_behind(tmp_path: Path) -> None:
    """7zz writes to a pipe that nobody reads as long as convert's one place is taken; others wait meanwhile."""
    source = tmp_path / "members"
    source.mkdir()
    for name, data in csvs(12, size=8_000):
        (source / name).write_bytes(data)
    archive = tmp_path / "a.7z"
    subprocess.run(["7zz", "a", "-bd", str(archive), "."], cwd=source, check=True, stdout=subprocess.DEVNULL)
    uploads = [Upload(name=f"{n}.csv", data=rows(n, 2, random.Random(n))) for n in range(6)]
    uploads.insert(1, Upload(name="a.7z", data=archive.read_bytes()))
    record = finish(tmp_path, uploads, queue_batches=1, batch_files=1)
    assert manifest_of(record, "a.7z")["counts"]["members"]["converted"] == 12
    assert len(record.folders) == 7


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system can't be mounted by this user")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_filled_by_the_unpublished_part_of_one_job(tmp_path: Path, small_disk: Path) -> None:
    """It can't ever fit: it fails as too large, and the others, which were waiting for space, go on."""
    chance = random.Random(5)
    pictures = [(f"{n}.png", b"\x89PNG\r\n\x1a\n" + chance.randbytes(2 * MIB)) for n in range(16)]
    uploads = [Upload(name=f"{n}.csv", data=rows(n, 2, random.Random(n))) for n in range(4)]
    uploads.insert(1, Upload(name="large.zip", data=make_zip(pictures)))
    bench = Bench(tmp_path / "bench", uploads)
    bench.library("run").symlink_to(small_disk)
    record = bench.finish("run", min_free=4 * MIB, batch_bytes=4 * MIB)
    assert record.problems == []
    ends = {Path(path).name: (job.state, job.reason) for path, (job,) in record.jobs.items()}
    assert ends.pop("large.zip") == ("failed", "too_large")
    assert set(ends.values()) == {("done", "")}
