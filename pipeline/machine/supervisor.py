"""The supervisor: one single-threaded loop (wait, reap, decide, commit, send) around the pure scheduler.

It owns the ledger and one slot a stage. Whatever happens to it, the ledger says how to go on.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pipeline.config import Config
from pipeline.errors import DiskFailing, StateUnwritable
from pipeline.machine import disk, observe, recovery
from pipeline.machine.chores import Chores
from pipeline.machine.dispatcher import Sends
from pipeline.machine.inquest import Inquest
from pipeline.machine.ledger import Ledger, LedgerFull
from pipeline.machine.scheduler import Ended
from pipeline.machine.signals import SignalInbox
from pipeline.machine.steering import SteeredScheduler
from pipeline.machine.watchdog import Watchdog
from pipeline.machine.work import Changes, Equal, Job
from pipeline.model import BatchState, Done, JobState, Options, Retry, StageName, Taken, Upload
from pipeline.processes import process_tools
from pipeline.processes.messages import (
    BatchClosed,
    Bound,
    DiskFailed,
    Finished,
    Order,
    Ready,
    Report,
    Stop,
    Unreachable,
)
from pipeline.processes.workers import WIDENED, LocalWorker, Places, make_workers
from pipeline.snapshot import Snapshot

_START_ORDER: Final = (StageName.CONVERT, StageName.EXTRACT, StageName.INTAKE, StageName.STORE)
_BACKLOG: Final = 512  # waiting jobs that one SELECT brings into memory
_HOUSEKEEPING_S: Final = 1.0
_SNAPSHOT_S: Final = 0.25
_LINGER_S: Final = 0.002  # at most, for more reports to come into the same commit
_FULL_START_S: Final = 30.0  # that a start waits for space for the ledger
_FULL_RETRY_S: Final = 0.5  # between tries to commit on a full disk

Observer = Callable[[Snapshot], None]
Listener = Callable[[int], None]  # is told which events of its file are there (EVENT_READ, EVENT_WRITE)


class Supervisor:
    """Runs the pipeline over one state directory.

    `modules` names, a stage, the module whose `build(config)` makes it. Use it as a context manager: entering takes
    the state directory's lock and recovers what was left; leaving ends the workers. With `start_early` they get ready
    while that goes on. READABLE are files and folders where uploads are to be read, beside the spool and the inbox.
    """

    def __init__(
        self,
        config: Config,
        modules: Mapping[StageName, str],
        observer: Observer | None = None,
        *,
        start_early: bool = False,
        readable: Sequence[str] = (),
    ) -> None:
        self.config = config
        self._places = Places(readable)
        self._library = Path(config.paths.library)
        self._observer = observer
        self._selector = selectors.DefaultSelector()
        self._modules = modules
        self.workers: dict[StageName, LocalWorker] = {}
        self._backlog: deque[Job] = deque()
        self._loaded_up_to = 0
        self._nothing_waiting = False
        self._sweep_due = False
        self._started = False
        self._start_early = start_early
        self._next_housekeeping = 0.0
        self._next_snapshot = 0.0
        self._started_at = time.time()
        self._tally = dict.fromkeys((JobState.DONE, JobState.FAILED, JobState.DUPLICATE), 0)
        self.chores = Chores()
        self.on_ended: Callable[[Ended], None] = lambda ended: None
        self.on_reload: Callable[[], None] | None = None  # on SIGHUP, which else stops

    # Life

    def __enter__(self) -> Supervisor:
        with contextlib.ExitStack() as stack:
            self._open(stack)
            self._resources = stack.pop_all()
        return self

    def _open(self, stack: contextlib.ExitStack) -> None:
        stack.callback(self._selector.close)
        stack.callback(os.close, recovery.prepare(self.config))
        recovery.end_orphans(self.config, list(StageName))
        self.workers = make_workers(self._modules, self.config, self._selector, self._places)
        stack.callback(self._kill_workers)
        if self._start_early:
            self.start()
        self._ledger = self._open_ledger()
        stack.callback(self._ledger.close)
        recovery.forget_after_reboot(self.config, self._ledger)
        self._ledger.hold_none()
        self.unfinished = self._ledger.unfinished()
        self.scheduler = SteeredScheduler(self.config, self._ledger.next_batch)
        self._inquest = Inquest(self.scheduler)
        self.watchdog = Watchdog(self.config)
        self._signals = SignalInbox(self._selector, reloads=lambda: self.on_reload is not None)
        stack.callback(self._signals.close)
        self._take_up()

    def _open_ledger(self) -> Ledger:
        """Opens it, as soon as there is space for that. Raises StateUnwritable where there is none for long."""
        patient_until = time.monotonic() + _FULL_START_S
        while True:
            try:
                return Ledger(self.config.paths.ledger, self.config.paths.work)
            except LedgerFull as error:
                if time.monotonic() > patient_until:
                    raise StateUnwritable(path=self.config.paths.state, detail=error) from error
                time.sleep(_FULL_RETRY_S)

    def __exit__(self, *exception: object) -> None:
        with self._resources:
            self._end_workers()
            self._sweep()

    @property
    def stopping(self) -> bool:
        """Whether a signal asked us to stop."""
        return self._signals.stops > 0

    @property
    def idle(self) -> bool:
        """Whether there is nothing left to do."""
        return self.scheduler.idle and not self._backlog and self._nothing_waiting

    @property
    def aliases(self) -> dict[int, int]:
        """Jobs of this run that were an earlier job's file submitted again, and that job."""
        return self.scheduler.aliases

    @property
    def ledger(self) -> Ledger:
        """The ledger, for the composition root's questions between turns."""
        return self._ledger

    def submit(self, uploads: Iterable[tuple[str, Upload, Options]]) -> list[int]:
        """Adds jobs (source, upload, options) to the ledger; they are durable when this returns."""
        uploads = list(uploads)
        while True:
            try:
                ids = self._ledger.submit(uploads)
            except LedgerFull as error:
                self._wait_for_space(error)
            else:
                self.unfinished += len(ids)
                self._nothing_waiting = False
                return ids

    def watch(self, file: int, events: int, listener: Listener) -> None:
        """Has the loop wait for EVENTS of FILE (a descriptor) too and tell LISTENER; 0 events ends that."""
        if file in self._selector.get_map():
            self._selector.unregister(file)
        if events:
            self._selector.register(file, events, listener)

    def worker_pid(self, stage: StageName) -> int | None:
        """The process id of STAGE's live worker."""
        return self.workers[stage].pid

    def start(self) -> None:
        """Starts the workers, unless they have been; the one that takes longest to get ready first."""
        if not self._started:
            self._started = True
            for stage in sorted(self.workers, key=_START_ORDER.index):
                self.workers[stage].start()

    def run(self, until: Callable[[], bool]) -> None:
        """Turns the loop until UNTIL says so, or a signal stops it."""
        self.start()
        process_tools.tune_garbage_collection()
        while not until() and not self.stopping:
            self.turn()
        if self.stopping:
            self._wind_down()

    # The loop

    def turn(self) -> None:
        """One turn: wait, hear, reap, decide, commit, send."""
        self._hear(self._selector.select(self._timeout()))
        linger = self.scheduler.clock + _LINGER_S
        while self.scheduler.expects_more and (left := linger - time.monotonic()) > 0:
            self._hear(self._selector.select(left))
        self.scheduler.clock = time.monotonic()
        self._reap()
        self._keep_house()
        self._admit()
        sends = self.scheduler.decide()
        self._commit()
        self._send(sends)
        self._tell()

    def _hear(self, events: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, mask in events:
            worker = key.data
            if worker is None:
                self._signals.drain()
                continue
            if not isinstance(worker, LocalWorker):
                worker(mask)
                continue
            if key.fd == worker.pidfd:
                continue  # it has died: `_reap` sees to it
            if mask & selectors.EVENT_WRITE:
                worker.flush()
            for report in worker.receive():
                self._handle(worker.stage, report)
        self._signals.decide()
        if self._signals.reloads and self.on_reload:
            self._signals.reloads = 0
            self.on_reload()

    def _handle(self, stage: StageName, report: Report) -> None:
        now = time.time()
        if isinstance(report, Finished):
            self._note_trouble(stage, report)
            equal = self._equal(report) if stage is StageName.INTAKE else None
            self.scheduler.finished(stage, report, now, equal)
            self._sweep_due = self._sweep_due or not isinstance(report.outcome, Done)
        elif isinstance(report, BatchClosed):
            self.scheduler.closed(report, now)
        elif isinstance(report, Ready):
            self.scheduler.worker_ready(stage)
        elif isinstance(report, Bound):
            self.scheduler.bound(report)
        elif isinstance(report, Unreachable):
            self._places.widen(job.upload for job in (*self.scheduler.jobs.values(), *self._backlog))
            self.workers[stage].kill(WIDENED)
        elif isinstance(report, DiskFailed):
            raise DiskFailing(path=report.path, detail=report.detail)

    def _equal(self, report: Finished) -> Equal | None:
        """The ended job that an upload equals, if its result is still there."""
        batch = self.scheduler.stages[StageName.INTAKE].in_hand.get(report.batch)
        if batch is None or not isinstance(report.outcome, Done) or not isinstance(report.outcome.finding, Taken):
            return None
        equal = self._ledger.find_equal(report.outcome.finding.sha256, batch.job.options, batch.job.id)
        if equal and equal.state is JobState.DONE and not (self._library / (equal.result_path or "?")).is_dir():
            return None
        return equal

    def _note_trouble(self, stage: StageName, report: Finished) -> None:
        if report.trouble:
            with (Path(self.config.paths.state) / "log" / f"{stage.title}.log").open("a") as log:
                log.write(f"batch {report.batch} attempt {report.attempt}:\n{report.trouble}\n")
        if isinstance(report.outcome, Retry) and report.outcome.needs_bytes:
            self._next_housekeeping = 0.0

    def _reap(self) -> None:
        for worker in self.workers.values():
            if worker.pid is None:
                if not self.stopping and self.scheduler.clock >= worker.due_at:
                    recovery.end_orphans(self.config, [worker.stage])
                    worker.start()
            elif worker.is_dead():
                for report in worker.receive():
                    self._handle(worker.stage, report)
                self._bury(worker)

    def _bury(self, worker: LocalWorker) -> None:
        why = worker.killed_for
        ran = self._inquest.bury(worker, stopping=self.stopping)
        self._sweep_due = True
        if not self.stopping and why != WIDENED:
            worker.plan_restart(blameless=not ran)

    def _admit(self) -> None:
        wanted = self.scheduler.wanted_jobs
        while wanted and not self._backlog and not self._nothing_waiting:
            jobs = self._ledger.waiting(self._loaded_up_to, _BACKLOG)
            self._nothing_waiting = not jobs
            if jobs:
                self._loaded_up_to = jobs[-1].id
            ended = {ended.job.id for ended in self.scheduler.ended}  # not yet in the ledger
            self._backlog.extend(job for job in jobs if job.id not in self.scheduler.jobs and job.id not in ended)
        if wanted and self._backlog:
            self.scheduler.admit([self._backlog.popleft() for _ in range(min(wanted, len(self._backlog)))])

    def _commit(self) -> None:
        changes = self.scheduler.take_changes()
        while changes:
            try:
                self._ledger.commit(changes)
            except LedgerFull as error:
                self._wait_for_space(error)
                continue
            self._tidy(changes)
            break
        for ended in self.scheduler.ended:
            self._tally[ended.state] = self._tally.get(ended.state, 0) + 1
            self.unfinished -= 1
            self.on_ended(ended)
        self.scheduler.ended.clear()

    def _wait_for_space(self, error: LedgerFull) -> None:
        """The ledger itself has no space left: nothing is decided until it has. Being told to stop ends the wait."""
        self.scheduler.paused = f"disk: the ledger can't grow ({error})"
        self._signals.decide()
        if self._signals.stops:
            raise DiskFailing(path=self._ledger.path, detail=error) from error
        if self._observer:
            self._observer(self.snapshot())
        time.sleep(_FULL_RETRY_S)  # free space is nothing that can be awaited

    def _tidy(self, changes: Changes) -> None:
        for name in changes.unlink:
            recovery.remove(self.config.paths.work / name)
        for path in changes.obsolete:
            recovery.discard(self._library, path)
        if self._sweep_due:
            self._sweep_due = False
            self._sweep()

    def _send(self, sends: Sends) -> None:
        if not sends:
            return
        by_stage: dict[StageName, list[Order]] = {}
        for stage, order in sends:
            by_stage.setdefault(stage, []).append(order)
        for stage, orders in by_stage.items():
            self.workers[stage].send(orders)

    # Watching

    def _timeout(self) -> float:
        now = time.monotonic()
        due = [self._next_housekeeping, self.chores.due_at]
        due.extend(worker.due_at for worker in self.workers.values() if worker.pid is None)
        if self._observer:
            due.append(self._next_snapshot)
        retry = self.scheduler.next_retry()
        if retry is not None:
            due.append(retry)
        if self.scheduler.wanted_jobs and (self._backlog or not self._nothing_waiting):
            due.append(now)
        return max(0.0, min(due) - now)

    def _keep_house(self) -> None:
        now = self.scheduler.clock
        self.chores.do(now)
        if now < self._next_housekeeping:
            return
        self._next_housekeeping = now + _HOUSEKEEPING_S
        self.watchdog.look(list(self.workers.values()), self.scheduler)
        space = disk.measure(self.config)
        self.scheduler.paused = space.words
        self.scheduler.first_allowed = space.allowance
        if space.words and not self.scheduler.is_working:
            self._relieve(space)

    def _relieve(self, space: disk.Space) -> None:
        """Nothing runs and nothing may: the job that holds most of the disk gives way, if that helps."""
        jobs = [job for job in self.scheduler.jobs.values() if not job.forgets]
        relief = disk.relief(space, [(job, disk.held_by(self.config, job)) for job in jobs])
        if relief is None:
            return
        if relief.fails:
            self.scheduler.give_up(next(iter(relief.job.batches.values())), disk.too_large(space), time.time())
        else:
            self.scheduler.set_back(relief.job, time.time(), space.words)
        self._next_housekeeping = 0.0

    def _tell(self) -> None:
        if self._observer and self.scheduler.clock >= self._next_snapshot:
            self._next_snapshot = self.scheduler.clock + _SNAPSHOT_S
            self._observer(self.snapshot())

    def snapshot(self) -> Snapshot:
        """The pipeline as it is now."""
        return observe.take(self.scheduler, self.workers, self._tally, self.unfinished, self._started_at)

    # Taking up and winding down

    def _take_up(self) -> None:
        """Open work goes on where the ledger says; what ran when the supervisor died is looked at with care."""
        batches = self._ledger.open_batches()
        dispatched = [batch for batch in batches if batch.state is BatchState.DISPATCHED]
        self.scheduler.restore(batches)
        self._inquest.look_back(self.workers.values(), dispatched)
        self._commit()
        self._sweep()

    def _sweep(self) -> None:
        jobs = self.scheduler.jobs
        owned = (batch for job in jobs.values() for batch in job.batches.values())
        in_hand = (batch for state in self.scheduler.stages for batch in state.in_hand.values())
        recovery.sweep(self.config, owned, in_hand, jobs)

    def _wind_down(self) -> None:
        """Lets the running batches finish, up to `stop_timeout_s`; a second signal stops at once."""
        deadline = time.monotonic() + self.config.stop_timeout_s
        for worker in self.workers.values():
            if self.scheduler.stages[worker.stage].in_hand:
                worker.send([Stop()])
            else:
                worker.kill("the end of the run")  # it has nothing to finish, and may still be starting
        while self._signals.stops < 2 and time.monotonic() < deadline and any(w.pid for w in self.workers.values()):
            self._hear(self._selector.select(0.05))
            self.scheduler.clock = time.monotonic()
            self._reap()
            self._commit()

    def _kill_workers(self) -> None:
        """Whatever happened, no worker outlives us."""
        for worker in self.workers.values():
            if worker.pid is not None:
                worker.kill("the end of the run")
                worker.bury()

    def _end_workers(self) -> None:
        self._signals.stops = max(1, self._signals.stops)
        for worker in self.workers.values():
            worker.kill("the end of the run")
        while any(worker.pid for worker in self.workers.values()):
            self._selector.select(0.1)
            self._reap()
        self._commit()
