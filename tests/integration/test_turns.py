"""A small file doesn't wait for a large archive: with one real worker, and with all of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline.cli import STAGES
from pipeline.config import MIB, BatchSize, Command, Extract, Queue
from pipeline.machine.process import config_for, find_files, uploads_of
from pipeline.machine.scheduler import Ended
from pipeline.machine.supervisor import Supervisor
from pipeline.model import Done, JobState, Options, StageName, Task
from pipeline.processes.messages import BatchClosed, Bound, Dispatch, Drop, Finished, Grant, Report
from pipeline.results.summary import summarize
from tests.integration.test_bounds import make_archive
from tests.integration.test_worker import Bench, poll, state_of
from tests.stages.extract.archives import make_tar, make_zip, rows
from tests.stages.extract.conftest import upload_of

EXTRACT = StageName.EXTRACT


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def sized(task: Task, size: int) -> Task:
    return msgspec.structs.replace(task, upload=msgspec.structs.replace(task.upload, size=size))


def next_of(bench: Bench, *kinds: type[Report]) -> Report:
    bench.wait(lambda: any(isinstance(one, kinds) for one in bench.heard))
    return bench.heard.pop(next(index for index, one in enumerate(bench.heard) if isinstance(one, kinds)))


def test_what_is_smaller_goes_between_an_archives_batches(bench: Bench) -> None:
    worker = bench.ready(EXTRACT)
    large, small = sized(bench.task("stream", stage=EXTRACT), 100 * MIB), bench.task(stage=EXTRACT)
    worker.send([Dispatch(large, 3), Dispatch(small, 1)])
    first, second, third, last = (next_of(bench, BatchClosed, Finished) for _ in range(4))
    assert isinstance(first, BatchClosed) and isinstance(second, Finished)
    assert (first.batch, second.batch) == (large.batch, small.batch)
    assert isinstance(third, BatchClosed) and third.seq == 2
    assert isinstance(last, Finished) and last.batch == large.batch


def test_what_is_as_large_waits_until_it_is_done(bench: Bench) -> None:
    worker = bench.ready(EXTRACT)
    large, other = (sized(bench.task("stream", stage=EXTRACT), size * MIB) for size in (100, 90))
    worker.send([Dispatch(large, 3), Dispatch(other, 3)])
    heard = [next_of(bench, BatchClosed, Finished) for _ in range(6)]
    assert [one.batch for one in heard] == [large.batch] * 3 + [other.batch] * 3  # type: ignore[union-attr]


def test_a_configured_program_is_not_overtaken(bench: Bench) -> None:
    bench.config = msgspec.structs.replace(bench.config, extract=Extract(command=Command(argv=("x",))))
    worker = bench.ready(EXTRACT)
    large, small = sized(bench.task("stream", stage=EXTRACT), 100 * MIB), bench.task(stage=EXTRACT)
    worker.send([Dispatch(large, 3), Dispatch(small, 1)])
    heard = [next_of(bench, BatchClosed, Finished) for _ in range(4)]
    assert [one.batch for one in heard] == [large.batch] * 3 + [small.batch]  # type: ignore[union-attr]


def test_one_that_waits_for_a_place_lets_others_work_and_is_seen_to_wait(bench: Bench) -> None:
    worker = bench.ready(EXTRACT)
    large, small = sized(bench.task("stream", stage=EXTRACT), 100 * MIB), bench.task(stage=EXTRACT)
    worker.send([Dispatch(large, 1)])
    next_of(bench, BatchClosed)
    worker.send([Dispatch(small, 1)])
    assert bench.report(Finished).batch == small.batch
    poll(lambda: state_of(worker.pid or 0) == "S")
    assert worker.black_box.read().batch == large.batch
    worker.send([Grant(large.batch, 1, 9)])
    assert bench.report(Finished).batch == large.batch


def test_one_that_was_set_aside_can_be_dropped(bench: Bench) -> None:
    worker = bench.ready(EXTRACT)
    large, small = sized(bench.task("stream", stage=EXTRACT), 100 * MIB), bench.task(stage=EXTRACT)
    worker.send([Dispatch(large, 1)])
    next_of(bench, BatchClosed)
    worker.send([Drop(large.batch, 1), Dispatch(small, 1)])
    assert bench.report(Finished).batch == small.batch
    assert Path(f"{large.upload.path}.dropped").exists(), "its stage was told"
    assert worker.black_box.read().batch == 0


@pytest.mark.needs("7zz")
@pytest.mark.parametrize("kind", ["zip", "7z"])
def test_what_needs_a_program_waits_for_another_archives_program(bench: Bench, tmp_path: Path, kind: str) -> None:
    members = {f"{number}.csv": rows(200, number) for number in range(200)}
    for name, data in members.items():
        (tmp_path / name).write_bytes(data)
    subprocess.run(["7zz", "a", "-ms=off", "large.7z", *members], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "small.zip").write_bytes(make_zip([("a.csv", rows(3))]))
    subprocess.run(["7zz", "a", "small.7z", "1.csv"], cwd=tmp_path, check=True, capture_output=True)
    bench.config = msgspec.structs.replace(bench.config, batch=BatchSize(files=20))
    worker = bench.start(EXTRACT, "stages.extract")
    large, small = (
        msgspec.structs.replace(bench.task(stage=EXTRACT), upload=upload_of(tmp_path / name))
        for name in ("large.7z", f"small.{kind}")
    )
    worker.send([Dispatch(large, 3), Dispatch(small, 1)])
    next_of(bench, BatchClosed)
    second = next_of(bench, BatchClosed, Finished, Bound)
    if kind == "7z":
        assert second == Bound(small.batch, 1)
    else:
        assert isinstance(second, Finished) and isinstance(second.outcome, Done) and second.batch == small.batch
    worker.send([Grant(large.batch, 1, 99)])
    last = bench.report(Finished)
    assert last.batch == large.batch
    assert isinstance(last.outcome, Done), last.trouble


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_small_file_is_published_while_a_large_archive_is_extracted(tmp_path: Path, kind: str) -> None:
    drops = tmp_path / "drops"
    drops.mkdir()
    if kind == "zip":
        make_archive(drops / "a-large.zip")
    else:
        members = [(f"{number}.csv", rows(4000, number)) for number in range(300)]
        (drops / "a-large.tar.gz").write_bytes(make_tar(members, "w:gz"))
    (drops / "small.csv").write_text("a,b\n1,2\n")
    config = msgspec.structs.replace(
        config_for(tmp_path / "out"), queue=Queue(bytes=4 * MIB), batch=BatchSize(bytes=MIB)
    )
    uploads = list(uploads_of(list(find_files([drops], tmp_path / "out")), tmp_path / "links"))
    with Supervisor(config, STAGES, readable=[str(drops)]) as supervisor:
        ended: list[tuple[str, bool]] = []
        stages = supervisor.scheduler.stages

        def note(one: Ended) -> None:
            ended.append((one.job.upload.name, bool(stages[EXTRACT].readers)))

        supervisor.on_ended = note
        ids = supervisor.submit([("large", uploads[0], Options())])
        supervisor.run(until=lambda: bool(stages[EXTRACT].readers))
        ids += supervisor.submit([("small", uploads[1], Options())])
        supervisor.run(until=lambda: supervisor.idle)
    assert ended == [("drops/small.csv", True), (uploads[0].name, False)]
    jobs = summarize(config.paths.ledger, ids).jobs
    assert [job.state for job in jobs] == [JobState.DONE] * 2
    assert jobs[0].members.rejected == 0
    assert list(config.paths.work.iterdir()) == []
