"""The supervisor with real workers: who may run, what signals do, and how work goes on after any of it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from pipeline.config import Worker
from pipeline.errors import AlreadyRunning, DiskFailing, LedgerDamaged, StageUnstable
from pipeline.machine.ledger import Ledger
from pipeline.machine.process import Result, config_for, process
from pipeline.machine.supervisor import Supervisor
from pipeline.model import Code, JobState, Options, StageName
from pipeline.processes import process_tools
from tests.integration.small_driver import MODULES
from tests.integration.small_stage import name_of

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60


class House:
    """A folder of uploads, and the library that they go to."""

    def __init__(self, folder: Path) -> None:
        self.drops = folder / "drops"
        self.drops.mkdir()
        self.into = folder / "out"
        worker = Worker(sandbox=False)  # the small stages write beside the uploads
        self.config = msgspec.structs.replace(config_for(self.into), worker=worker)

    def drop(self, *words: str, number: int = 0) -> Path:
        path = self.drops / f"{number}{name_of(*words)}"
        path.write_text(path.name)
        return path

    def hold(self, *words: str, number: int = 0) -> tuple[Path, Path]:
        """An upload at whose gate a stage will wait."""
        path = self.drop(*words, number=number)
        gate = path.with_name(f"{path.name}.gate")
        os.mkfifo(gate)
        return path, gate

    def run(self, *paths: Path) -> Result:
        return process(paths, self.config, MODULES, Options())

    @contextmanager
    def driver(self, *paths: Path) -> Iterator[subprocess.Popen[str]]:
        """A run in a process of its own."""
        driver = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.small_driver", self.into, *paths],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        with driver:
            try:
                yield driver
            finally:
                driver.kill()

    def story(self) -> Counter[str]:
        """How often each event happened."""
        with closing(sqlite3.connect(self.config.paths.ledger)) as db:
            return Counter(what for (what,) in db.execute("SELECT what FROM event"))

    def row(self, column: str) -> list[object]:
        with closing(sqlite3.connect(self.config.paths.ledger)) as db:
            return [value for (value,) in db.execute(f"SELECT {column} FROM job ORDER BY id")]

    def published(self) -> list[str]:
        return sorted(path.name for path in self.into.glob("2026-01/*"))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def states(result: Result) -> list[JobState]:
    return [job.state for job in result.summary.jobs]


def test_jobs_go_all_the_way_and_leave_nothing_behind(house: House) -> None:
    result = house.run(house.drop(number=1), house.drop("stream", number=2))
    assert states(result) == [JobState.DONE, JobState.DONE]
    assert house.published() == ["1-small", "2-small"]
    assert {path.read_text() for path in (house.into / "2026-01/2-small").iterdir()} >= {"table"}
    assert len(list((house.into / "2026-01/2-small").iterdir())) >= 3
    assert list(house.config.paths.work.iterdir()) == []
    assert not result.interrupted


# One at a time


def test_a_second_supervisor_is_refused_and_told_by_whom(house: House) -> None:
    path, gate = house.hold("convert-hold")
    with house.driver(path) as driver, gate.open("wb"):
        with pytest.raises(AlreadyRunning, match=rf"in use by process {driver.pid} \(.*small_driver") as refused:
            house.run(path)
        assert refused.value.exit_code == 1
        with house.driver(path) as second:
            _, said = second.communicate(timeout=WAIT_S)
        assert second.returncode == 1
        assert f"in use by process {driver.pid} " in said


def test_nor_may_there_be_two_in_one_process(house: House) -> None:
    with (
        Supervisor(house.config, MODULES),
        pytest.raises(AlreadyRunning, match=f"process {os.getpid()} "),
        Supervisor(house.config, MODULES),
    ):
        pass


def test_a_start_that_fails_leaves_nothing_locked(house: House) -> None:
    house.run(house.drop())
    ledger = house.config.paths.ledger
    good = ledger.read_bytes()
    ledger.write_bytes(b"no database\n" * 500)
    with pytest.raises(LedgerDamaged):
        house.run(house.drop())
    ledger.write_bytes(good)
    assert states(house.run(house.drop())) == [JobState.DONE]


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_the_running_batch_finish_and_the_next_run_goes_on(house: House, number: int) -> None:
    path, gate = house.hold("convert-hold", number=1)
    other = house.drop(number=2)
    with house.driver(path, other) as driver:
        with gate.open("wb"):
            driver.send_signal(number)
        driver.communicate(timeout=WAIT_S)
    assert driver.returncode == 130
    story = house.story()
    assert story["died"] == 0
    gate.unlink()
    assert states(house.run(path, other)) == [JobState.DONE, JobState.DONE]
    with closing(sqlite3.connect(house.config.paths.ledger)) as db:
        visits = db.execute(
            "SELECT count(*) FROM event JOIN job ON job.id = event.job WHERE stage = ? AND what = 'finished'"
            " AND path = ?",
            (StageName.CONVERT, str(path)),
        ).fetchone()
    assert visits == (1,), "what finished before the end was not done again"


@pytest.mark.parametrize(
    "signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT), (signal.SIGQUIT,)]
)
def test_asked_twice_it_stops_at_once_and_nothing_is_lost(house: House, signals: tuple[int, ...]) -> None:
    path, gate = house.hold("convert-hold")
    with house.driver(path) as driver, gate.open("wb"):  # which never lets go while the driver lives
        for first in signals[:-1]:
            idle = os.pidfd_open(worker_of(driver.pid, "intake"))
            driver.send_signal(first)
            assert select.select([idle], [], [], WAIT_S)[0], "who has nothing to finish ends at the first signal"
            os.close(idle)
        driver.send_signal(signals[-1])
        driver.communicate(timeout=WAIT_S)
    assert driver.returncode == 130
    assert house.story()["charged"] == 0, "a stop is nobody's fault"
    gate.unlink()
    assert states(house.run(path)) == [JobState.DONE]


def test_signals_are_given_back(house: House) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    house.run(house.drop())
    assert {number: signal.getsignal(number) for number in before} == before


# Deaths


def test_a_worker_that_is_killed_is_replaced_and_its_batch_done_again(house: House) -> None:
    path, gate = house.hold("convert-hold")
    with house.driver(path) as driver:
        with gate.open("wb"):
            os.kill(worker_of(driver.pid, "convert"), signal.SIGKILL)
            gate.unlink()
        out, _ = driver.communicate(timeout=WAIT_S)
    assert (driver.returncode, out) == (0, "done\n")
    assert house.story()["died"] == 1


def worker_of(pid: int, stage: str) -> int:
    return next(
        child for child in process_tools.descendants(pid) if process_tools.command_of(child) == f"stampmill: {stage}"
    )


def test_a_supervisor_that_is_killed_takes_its_workers_along_and_the_next_goes_on(house: House) -> None:
    path, gate = house.hold("convert-hold", "stream")
    with house.driver(path) as driver, gate.open("wb"):
        workers = process_tools.descendants(driver.pid)
        assert len(workers) >= 4
        driver.kill()
        driver.wait()
        gate.unlink()
    result = house.run(path)
    assert states(result) == [JobState.DONE]
    assert not any(process_tools.command_of(pid).startswith("stampmill:") for pid in workers)
    assert house.published() == ["1-small"]
    assert list(house.config.paths.work.iterdir()) == []


def test_a_batch_that_keeps_killing_its_worker_ends_its_job_and_the_others_go_on(house: House) -> None:
    result = house.run(house.drop("intake-memory", number=1), house.drop(number=2))
    first, second = result.summary.jobs
    assert first.state is JobState.FAILED
    assert first.reason is not None
    assert first.reason.code is Code.CRASHED
    assert second.state is JobState.DONE
    assert house.story()["died"] == 3


def test_a_refusal_that_keeps_killing_store_ends_its_job_too(house: House) -> None:
    first, second = house.run(house.drop("convert-raise", "store-memory", number=1), house.drop(number=2)).summary.jobs
    assert first.state is JobState.FAILED
    assert first.reason is not None
    assert first.reason.code is Code.INTERNAL
    assert second.state is JobState.DONE
    assert house.published() == ["2-small"]
    assert house.story()["died"] == 3


def test_a_stage_that_never_starts_ends_the_run_with_its_last_words(house: House) -> None:
    modules = {**MODULES, StageName.STORE: "tests.integration.no_such_stage"}
    with pytest.raises(StageUnstable, match=r"store worker died .* without a batch to blame.*store\.log"):
        process([house.drop()], house.config, modules, Options())
    assert states(house.run(house.drop())) == [JobState.DONE]


def test_a_bug_in_a_stage_is_logged_and_the_others_go_on(house: House) -> None:
    first, second = house.run(house.drop("convert-raise", number=1), house.drop(number=2)).summary.jobs
    assert first.reason is not None
    assert first.reason.code is Code.INTERNAL
    assert second.state is JobState.DONE
    log = (Path(house.config.paths.state) / "log" / "convert.log").read_text()
    assert "RuntimeError: a bug, made for the test" in log
    assert "Traceback" in log


# The disk


@pytest.mark.parametrize("stage", ["intake", "extract", "convert", "store"])
def test_no_space_at_any_stage_is_waited_out(house: House, stage: str) -> None:
    assert states(house.run(house.drop(f"{stage}-enospc-once", "stream"))) == [JobState.DONE]
    story = house.story()
    assert story["retry"] >= 1
    assert story["died"] == story["failed"] == 0
    assert list(house.config.paths.work.iterdir()) == []


def test_a_failing_disk_stops_the_run(house: House) -> None:
    with pytest.raises(DiskFailing, match="/somewhere"):
        house.run(house.drop("convert-eio"))


# Reboots


def interrupted(house: House, path: Path, gate: Path) -> None:
    """A run that was cut short while convert had the job's first batch."""
    with house.driver(path) as driver, gate.open("wb"):
        driver.kill()
        driver.wait()
        gate.unlink()


def boot_anew(house: House) -> None:
    with closing(Ledger(house.config.paths.ledger, house.config.paths.work)) as ledger:
        assert ledger.boot_id() == process_tools.boot_id()
        ledger.set_boot_id("11111111-another-boot")


def test_after_a_reboot_what_isnt_published_starts_again_from_its_upload(house: House) -> None:
    path, gate = house.hold("convert-hold", "stream", number=1)
    house.run(house.drop(number=2))
    interrupted(house, path, gate)
    boot_anew(house)
    for name in house.config.paths.work.iterdir():
        name.write_bytes(b"")  # as a file system leaves what was never synced
    staged = house.into / ".incoming" / "2"
    staged.mkdir(parents=True, exist_ok=True)
    (staged / "99").write_text("staged before the power cut")
    assert states(house.run(path)) == [JobState.DONE]
    assert house.row("epoch") == [0, 1]
    assert house.story()["reset"] == 1
    assert house.published() == ["1-small", "2-small"]
    assert not (house.into / "2026-01/2-small/99").exists()
    assert [(house.into / "2026-01/2-small" / seq).read_text() for seq in "012"] == ["table"] * 3


def test_without_a_reboot_it_goes_on_where_it_was(house: House) -> None:
    path, gate = house.hold("convert-hold", "stream")
    interrupted(house, path, gate)
    assert states(house.run(path)) == [JobState.DONE]
    assert house.row("epoch") == [0]
    assert house.story()["reset"] == 0


# Equal files and what is done already


def test_a_done_job_is_reported_again_and_not_redone(house: House) -> None:
    path = house.drop()
    first, second = house.run(path), house.run(path)
    assert [job.job for job in second.summary.jobs] == [job.job for job in first.summary.jobs]
    assert states(second) == [JobState.DONE]
    assert house.published() == ["1-small"]
    assert house.story()["published"] == 1


def test_a_done_job_whose_result_is_gone_is_done_again(house: House) -> None:
    path = house.drop()
    house.run(path)
    shutil.rmtree(house.into / "2026-01")
    assert states(house.run(path)) == [JobState.DONE]
    assert len(house.published()) == 1


def test_snapshots_tell_of_the_run(house: House) -> None:
    seen = []

    def note(snapshot: object) -> None:
        seen.append(msgspec.json.encode(snapshot))

    process([house.drop()], house.config, MODULES, Options(), observer=note)
    assert seen


def test_everybody_is_awaited_at_the_end(house: House) -> None:
    before = set(process_tools.descendants(os.getpid()))
    house.run(house.drop())
    left = set(process_tools.descendants(os.getpid())) - before
    assert not [pid for pid in left if process_tools.command_of(pid).startswith("stampmill:")]
