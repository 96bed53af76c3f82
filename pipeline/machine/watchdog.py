"""Finds workers that are stuck, stopped or too large. What it kills dies a death like any other: charged, replaced."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import psutil

from pipeline.config import Config
from pipeline.machine.scheduler import Scheduler
from pipeline.machine.stage_state import StageState
from pipeline.processes import process_tools
from pipeline.processes.blackbox import Entry
from pipeline.processes.workers import LocalWorker

_MOST_PASSED_S: Final = 3.0  # that one look may count: a supervisor that was itself held up blames nobody for it
_STOPPED_S: Final = 5.0  # a process stopped by a signal (SIGSTOP, a debugger) for longer is replaced


class _Watch:
    """What is known of one worker's batch."""

    def __init__(self) -> None:
        self.entry: Entry | None = None
        self.worked_s = 0.0  # on this batch, waiting not counted
        self.still_s = 0.0  # of that, since the last progress
        self.stopped_s = 0.0


class Sizes(NamedTuple):
    """A worker's memory, its tools' included, in bytes."""

    rss: int
    peak: int


class Watchdog:
    """Looked at about once a second; waiting (for a grant, for the disk) counts against no limit."""

    def __init__(self, config: Config) -> None:
        self.limits = config.worker
        self._watches: dict[int, _Watch] = {}
        self._looked_at = time.monotonic()
        self.sizes: dict[int, Sizes] = {}

    def look(self, workers: list[LocalWorker], scheduler: Scheduler) -> None:
        """Kills the workers that are over a limit, saying why."""
        now = time.monotonic()
        passed, self._looked_at = min(now - self._looked_at, _MOST_PASSED_S), now
        alive = {worker.pid: worker for worker in workers if worker.pid is not None}
        self._watches = {pid: self._watches.get(pid) or _Watch() for pid in alive}
        self.sizes = {pid: self._measure(pid) for pid in alive}
        for pid, worker in alive.items():
            why = self._verdict(self._watches[pid], pid, worker, scheduler.stages[worker.stage], passed)
            if why and not worker.killed_for:
                worker.kill(why)

    def _verdict(self, watch: _Watch, pid: int, worker: LocalWorker, state: StageState, passed: float) -> str:
        entry = worker.black_box.read()
        self._update(watch, entry, state, passed)
        watch.stopped_s = watch.stopped_s + passed if _is_stopped(pid) else 0.0
        limits = self.limits
        size = self.sizes.get(pid, Sizes(0, 0)).rss
        if size > limits.memory_bytes:
            return f"over its memory limit ({size} bytes, worker.memory_bytes is {limits.memory_bytes})"
        if watch.stopped_s > _STOPPED_S:
            return f"stopped by a signal for {watch.stopped_s:.0f} s"
        if watch.still_s > limits.no_progress_s:
            return f"no progress for {watch.still_s:.0f} s (worker.no_progress_s is {limits.no_progress_s:.0f})"
        if watch.worked_s > limits.wall_s:
            return f"over its time limit ({watch.worked_s:.0f} s, worker.wall_s is {limits.wall_s:.0f})"
        return ""

    @staticmethod
    def _update(watch: _Watch, entry: Entry, state: StageState, passed: float) -> None:
        before = watch.entry
        watch.entry = entry
        if before is None or (before.batch, before.attempt) != (entry.batch, entry.attempt):
            watch.worked_s = watch.still_s = 0.0
            return
        batch = state.in_hand.get(entry.batch)
        waits = not state.in_hand or (batch is not None and state.waits(batch))
        if waits:
            watch.still_s = 0.0
            return
        watch.worked_s += passed
        watch.still_s = watch.still_s + passed if before == entry else 0.0

    def _measure(self, pid: int) -> Sizes:
        rss = 0
        for member in (pid, *process_tools.descendants(pid)):
            try:
                rss += psutil.Process(member).memory_info().rss
            except psutil.Error:
                continue
        return Sizes(rss, max(rss, self.sizes.get(pid, Sizes(0, 0)).peak))


def _is_stopped(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP))
    except psutil.Error:
        return False
