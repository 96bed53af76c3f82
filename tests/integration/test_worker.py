"""One real worker process, heard and told over its socket. Everything is awaited; nothing is timed."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from pipeline.config import Config, Worker
from pipeline.machine import recovery
from pipeline.machine.process import config_for
from pipeline.model import Code, Done, Options, Reject, Retry, StageName, Task, Upload
from pipeline.processes import process_tools
from pipeline.processes.blackbox import Entry
from pipeline.processes.messages import BatchClosed, DiskFailed, Dispatch, Drop, Finished, Grant, Ready, Report, Stop
from pipeline.processes.workers import LocalWorker
from tests.integration.small_stage import gate_of, name_of

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 10.0
Kind = TypeVar("Kind", bound=Report)
CONVERT, EXTRACT = StageName.CONVERT, StageName.EXTRACT


class Bench:
    """Workers, and what they say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        worker = Worker(sandbox=False)  # the small stages write beside the uploads
        self.config: Config = msgspec.structs.replace(config_for(folder / "out"), worker=worker)
        self.lock = recovery.prepare(self.config)
        self.selector = selectors.DefaultSelector()
        self.workers: list[LocalWorker] = []
        self.heard: list[Report] = []
        self.batches = 0

    def start(self, stage: StageName = CONVERT, module: str = "tests.integration.small_stage") -> LocalWorker:
        worker = LocalWorker(stage, module, self.config, self.selector)
        worker.start()
        self.workers.append(worker)
        return worker

    def ready(self, stage: StageName = CONVERT) -> LocalWorker:
        worker = self.start(stage)
        self.report(Ready)
        return worker

    def task(self, *words: str, stage: StageName = CONVERT) -> Task:
        self.batches += 1
        path = str(self.folder / f"upload{self.batches}")
        upload = Upload(path=path, name=name_of(*words), size=1, mtime_ns=0, inode=0, device=0)
        return Task(
            job=self.batches,
            epoch=0,
            batch=self.batches,
            seq=0,
            stage=stage,
            attempt=1,
            payload=b"",
            upload=upload,
            options=Options(),
        )

    def send(self, worker: LocalWorker, *tasks: Task) -> None:
        worker.send([Dispatch(task, 1) for task in tasks])

    def report(self, kind: type[Kind]) -> Kind:
        """The next report of KIND; those before it are let go."""
        self.wait(lambda: any(isinstance(one, kind) for one in self.heard))
        while True:
            one = self.heard.pop(0)
            if isinstance(one, kind):
                return one

    def wait(self, until: Callable[[], bool]) -> None:
        """Hears what the workers say until UNTIL says so."""
        deadline = time.monotonic() + WAIT_S
        while not until():
            assert time.monotonic() < deadline, "waited in vain"
            for key, _ in self.selector.select(1.0):
                self.heard.extend(key.data.receive())

    def death(self, worker: LocalWorker) -> tuple[int, Entry]:
        """Waits for the worker's death, which must come as an event, and buries it."""
        self.wait(worker.is_dead)
        self.heard.extend(worker.receive())
        return worker.bury()

    def close(self) -> None:
        for worker in self.workers:
            if worker.pid is not None:
                worker.kill("the end of the test")
                self.wait(worker.is_dead)
                worker.bury()
        self.selector.close()
        os.close(self.lock)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def waits_for_a_lock(pid: int) -> bool:
    """Whether the kernel has PID in line for a lock."""
    return any("->" in line and f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines())


def poll(until: Callable[[], bool]) -> None:
    """Waits for what the kernel announces to nobody."""
    deadline = time.monotonic() + WAIT_S
    while not until():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def log_of(worker: LocalWorker) -> str:
    return worker.log.read_text()


def test_it_says_who_it_is_and_works(bench: Bench) -> None:
    worker = bench.start()
    assert bench.report(Ready).pid == worker.pid
    assert worker.pid is not None
    assert process_tools.command_of(worker.pid) == "stampmill: convert"
    task = bench.task()
    bench.send(worker, task)
    finished = bench.report(Finished)
    assert (finished.batch, finished.attempt) == (task.batch, task.attempt)
    assert isinstance(finished.outcome, Done)
    assert finished.outcome.output is not None
    assert finished.outcome.output.names == (f"{task.prefix}-table",)
    assert (bench.config.paths.work / f"{task.prefix}-table").exists()


def test_there_is_one_of_a_stage_whoever_starts_a_second(bench: Bench) -> None:
    first = bench.ready()
    second = bench.start()
    poll(lambda: waits_for_a_lock(second.pid or 0))
    assert not any(isinstance(report, Ready) for report in bench.heard)
    first.kill("to let the other in")
    bench.death(first)
    assert bench.report(Ready).pid == second.pid


def test_stages_dont_wait_for_each_other(bench: Bench) -> None:
    bench.ready(CONVERT)
    bench.ready(EXTRACT)


def test_a_death_is_an_event_and_says_what_ran(bench: Bench) -> None:
    worker = bench.ready()
    task = bench.task("convert-die")
    bench.send(worker, bench.task(), task, bench.task())
    exit_code, entry = bench.death(worker)
    assert exit_code == -signal.SIGSEGV
    assert (entry.batch, entry.attempt, entry.member, entry.done_bytes) == (task.batch, 1, 3, 30)


def large(task: Task) -> Task:
    """TASK, as if its batch held so much that nobody would expect it to be short."""
    return msgspec.structs.replace(task, bytes=1 << 20)


def test_a_finished_batch_is_told_though_a_long_one_follows(bench: Bench) -> None:
    worker = bench.ready()
    short, long = bench.task(), large(bench.task("convert-hold"))
    os.mkfifo(gate_of(long.upload))
    bench.send(worker, short, long)
    with gate_of(long.upload).open("wb"):
        assert bench.report(Finished).batch == short.batch
    assert bench.report(Finished).batch == long.batch


def test_it_ends_with_its_supervisors_socket(bench: Bench) -> None:
    worker = bench.ready()
    worker._close_channel()
    exit_code, entry = bench.death(worker)
    assert (exit_code, entry.batch) == (0, 0)


def test_it_dies_with_its_supervisor(tmp_path: Path) -> None:
    script = """
import selectors, sys
from pathlib import Path
from pipeline.machine import recovery
from pipeline.model import StageName
from pipeline.machine.process import config_for
from pipeline.processes.workers import LocalWorker

if __name__ == "__main__":
    config = config_for(Path(sys.argv[1]))
    lock = recovery.prepare(config)
    worker = LocalWorker(StageName.CONVERT, "tests.integration.small_stage", config, selectors.DefaultSelector())
    worker.start()
    while not worker.receive():
        worker._selector.select()
    print(worker.pid, flush=True)
    sys.stdin.read()
"""
    (tmp_path / "supervisor.py").write_text(script)
    with subprocess.Popen(
        [sys.executable, tmp_path / "supervisor.py", tmp_path / "out"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        descriptor = os.pidfd_open(pid)
        supervisor.kill()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            assert selector.select(WAIT_S), "it lives on"
        os.close(descriptor)


def test_what_libraries_print_goes_to_the_log(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    worker = bench.ready()
    bench.send(worker, bench.task("convert-print"))
    bench.report(Finished)
    worker.send([Stop()])
    bench.death(worker)
    assert "printed by a library\n" in log_of(worker)
    assert "written to stderr by a library\n" in log_of(worker)
    assert capfd.readouterr() == ("", "")


def test_a_bug_is_a_reject_with_its_traceback_and_the_next_batch_goes_on(bench: Bench) -> None:
    worker = bench.ready()
    bench.send(worker, bench.task("convert-raise"), bench.task())
    finished = bench.report(Finished)
    assert isinstance(finished.outcome, Reject)
    assert finished.outcome.reason.code is Code.INTERNAL
    assert "RuntimeError: a bug, made for the test" in finished.outcome.reason.text
    assert "Traceback" in finished.trouble
    assert isinstance(bench.report(Finished).outcome, Done)


def test_a_bug_with_much_to_say_fits_a_message(bench: Bench) -> None:
    worker = bench.ready()
    bench.send(worker, bench.task("convert-raise-long"))
    finished = bench.report(Finished)
    assert isinstance(finished.outcome, Reject)
    assert finished.outcome.reason.code is Code.INTERNAL
    assert len(finished.outcome.reason.text) <= 500


def test_no_memory_is_a_death(bench: Bench) -> None:
    worker = bench.ready()
    task = bench.task("convert-memory")
    bench.send(worker, task)
    exit_code, entry = bench.death(worker)
    assert exit_code == 1
    assert entry.batch == task.batch
    assert "MemoryError" in log_of(worker)


def test_no_space_is_tried_again_later(bench: Bench) -> None:
    worker = bench.ready()
    task = bench.task("convert-enospc-once")
    bench.send(worker, task)
    outcome = bench.report(Finished).outcome
    assert isinstance(outcome, Retry)
    assert outcome.needs_bytes > 0
    assert outcome.after_s > 0
    bench.send(worker, task)
    assert isinstance(bench.report(Finished).outcome, Done)


def test_a_failing_disk_is_said(bench: Bench) -> None:
    worker = bench.ready()
    bench.send(worker, bench.task("convert-eio"))
    assert bench.report(DiskFailed) == DiskFailed("/somewhere", os.strerror(5))


def test_extract_closes_no_more_batches_than_it_was_granted(bench: Bench) -> None:
    worker = bench.ready(EXTRACT)
    task = bench.task("stream", stage=EXTRACT)
    bench.send(worker, task)
    closed = bench.report(BatchClosed)
    assert (closed.seq, closed.closed.checkpoint) == (1, b"1")
    assert worker.pid is not None
    for stale in (Grant(task.batch, 2, 9), Grant(task.batch + 1, 1, 9), Grant(task.batch, 1, 1)):
        worker.send([stale])
    poll(lambda: state_of(worker.pid or 0) == "S")
    assert not (bench.config.paths.work / f"{task.prefix}-part1").exists()
    worker.send([Grant(task.batch, 1, 2)])
    assert bench.report(BatchClosed).seq == 2
    worker.send([Grant(task.batch, 1, 3)])
    assert isinstance(bench.report(Finished).outcome, Done)


def test_a_restarted_extract_goes_on_from_its_checkpoint(bench: Bench) -> None:
    worker = bench.ready(EXTRACT)
    first = bench.task("stream", stage=EXTRACT)
    again = Task(
        **{field: getattr(first, field) for field in first.__struct_fields__} | {"checkpoint": b"1", "next_seq": 2}
    )
    bench.send(worker, again)
    closed = bench.report(BatchClosed)
    assert (closed.seq, closed.closed.output.payload) == (2, b"part1")


def test_what_isnt_wanted_any_more_is_stopped_where_it_is(bench: Bench) -> None:
    worker = bench.ready(EXTRACT)
    running, waiting, last = (bench.task("stream", stage=EXTRACT), *(bench.task(stage=EXTRACT) for _ in range(2)))
    bench.send(worker, running, waiting, last)
    bench.report(BatchClosed)
    worker.send([Drop(waiting.batch, 1), Drop(running.batch, 1)])
    assert bench.report(Finished).batch == last.batch
    assert Path(f"{running.upload.path}.dropped").exists(), "its stage was told"
    assert not (bench.config.paths.work / f"{waiting.prefix}-last").exists()


def test_told_to_stop_it_finishes_what_it_has_in_hand_and_no_more(bench: Bench) -> None:
    worker = bench.ready()
    task, later = bench.task("convert-hold"), large(bench.task())
    gate = gate_of(task.upload)
    os.mkfifo(gate)
    bench.send(worker, task, later)
    with gate.open("wb"):
        worker.send([Stop()])
    assert bench.report(Finished).batch == task.batch
    exit_code, entry = bench.death(worker)
    assert (exit_code, entry.batch) == (0, 0)
    assert not (bench.config.paths.work / f"{later.prefix}-table").exists()


def test_ctrl_c_is_the_supervisors_affair(bench: Bench) -> None:
    worker = bench.ready()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGINT)
    bench.send(worker, bench.task())
    assert isinstance(bench.report(Finished).outcome, Done)


def test_a_stage_that_cant_be_loaded_says_why_in_the_log(bench: Bench) -> None:
    worker = bench.start(module="tests.integration.no_such_stage")
    exit_code, entry = bench.death(worker)
    assert (exit_code, entry.batch) == (1, 0)
    assert "No module named 'tests.integration.no_such_stage'" in log_of(worker)
