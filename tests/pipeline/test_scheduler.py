"""The scheduler alone, no process, clock or disk: whatever happens in whatever order, its promises hold.

`Mill` plays everyone around it: workers that obey orders, the ledger's rows, and the supervisor's turn. A crash at any
point is: throw the scheduler away and make a new one from the rows.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter, deque
from collections.abc import Iterator
from typing import Final, NamedTuple

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.config import INCOMING, MIB, BatchSize, Command, Config, Extract, Paths
from pipeline.config import Queue as Limits
from pipeline.machine import charges
from pipeline.machine.charges import Death, Verdict
from pipeline.machine.queues import Queue
from pipeline.machine.stage_state import MIN_WINDOW
from pipeline.machine.steering import Halt, SteeredScheduler
from pipeline.machine.turns import MAX_OPEN, may_overtake
from pipeline.machine.work import Batch, Changes, Equal
from pipeline.model import (
    BatchState,
    Closed,
    Code,
    Done,
    JobState,
    MemberCounts,
    Options,
    Outcome,
    Output,
    Published,
    Reason,
    Reject,
    Retry,
    StageName,
    Taken,
    Task,
    Upload,
)
from pipeline.processes.blackbox import Entry
from pipeline.processes.messages import BatchClosed, Bound, Dispatch, Drop, Finished, Grant, Order, Report
from tests.pipeline.rows import Rows

INTAKE, EXTRACT, CONVERT, STORE = StageName
BAD: Final = Reason(code=Code.CORRUPT, text="It is damaged.", next_step="Send it again.")
SMALL: Final = 20_000  # extract expects 4 MB of such an upload
BUSY_S: Final = (0.0001, 0.008, 0.03, 1.0)  # windows of 16, 6, 2 and 2 batches


class Recipe(NamedTuple):
    """What a file holds: equal files have equal recipes."""

    size: int
    parts: tuple[int, ...] = ()  # bytes of the batches that extract closes before its last
    last: int | None = SMALL  # bytes of the last one; None when nothing more comes
    refused_by: StageName | None = None
    refused_seq: int = 0
    passes_on: bool = False  # a plain file: its batch points at the upload and owns nothing in work/
    program_at: int = -1  # the batch from which on extract needs a program for it

    @property
    def labels(self) -> set[bytes]:
        """What must be in the published job."""
        return {b"part%d" % number for number in range(len(self.parts))} | (
            {b"last"} if self.last is not None else set()
        )


class WatchedQueue(Queue):
    """A queue that no place may be reserved in unless the bounds allow it."""

    def reserve(self, job: int, size: int) -> None:
        used = self.batches + self.reserved
        within = used < self.limits.batches and self.bytes + self.reserved_bytes + size <= self.limits.bytes
        assert used == 0 or within, "a place over the bounds"
        super().reserve(job, size)

    @property
    def used(self) -> int:
        return self.batches + self.reserved

    @property
    def used_bytes(self) -> int:
        return self.bytes + self.reserved_bytes


class Work:
    """A batch that a worker works on."""

    def __init__(self, order: Dispatch, done: int) -> None:
        self.task = order.task
        self.granted = order.granted
        self.closed = 0
        self.done = done  # parts behind it, the ones of earlier attempts included


class FakeWorker:
    """Obeys orders as pipeline.processes.worker does; `sent` are reports that the supervisor hasn't received yet."""

    def __init__(self, mill: Mill, stage: StageName) -> None:
        self.mill = mill
        self.stage = stage
        self.up = False
        self.inbox: deque[Order] = deque()
        self.waiting: deque[Dispatch] = deque()
        self.open: list[Work] = []
        self.running: Work | None = None  # of these, the one that had the last turn
        self.sent: deque[Report] = deque()

    def held(self) -> Iterator[int]:
        """The batches it has, or will have when it looks at its inbox."""
        yield from (work.task.batch for work in self.open)
        yield from (order.task.batch for order in self.waiting)
        yield from (order.task.batch for order in self.inbox if isinstance(order, Dispatch))

    def die(self) -> None:
        self.up = False
        self.inbox.clear()
        self.waiting.clear()
        self.open.clear()
        self.running = None

    def obey(self) -> None:
        while self.inbox:
            order = self.inbox.popleft()
            if isinstance(order, Dispatch):
                self.waiting.append(order)
            elif isinstance(order, Grant):
                self._granted(order)
            elif isinstance(order, Drop):
                self._drop(order)

    def _granted(self, order: Grant) -> None:
        for work in self.open:
            if (work.task.batch, work.task.attempt) == (order.batch, order.attempt):
                work.granted = max(work.granted, order.granted)

    def _drop(self, order: Drop) -> None:
        unwanted = (order.batch, order.attempt)
        for work in [one for one in self.open if (one.task.batch, one.task.attempt) == unwanted]:
            self._close(work)
        self.waiting = deque(one for one in self.waiting if (one.task.batch, one.task.attempt) != unwanted)

    def step(self, *, retries: bool, busy_s: float) -> bool:
        """Begins or goes on until the batch closes one or ends. False when there's nothing that it may do."""
        if not self.up:
            return False
        running = self.running = self._next()
        if running is None:
            return False
        if retries:
            self._finish(Retry(after_s=2.0, text="no space left", needs_bytes=1), busy_s)
        elif self.stage is EXTRACT:
            self._extract(running, busy_s)
        else:
            self._finish(self._outcome(running.task), busy_s)
        return True

    def _next(self) -> Work | None:
        """Who has the next turn: one that may go between the archives that are open, or of these the one that had fewest."""
        if not self.open:
            return self._begin(self.waiting.popleft()) if self.waiting else None
        sizes = [work.task.upload.size for work in self.open]
        for order in self.waiting:
            if may_overtake(order.task.upload.size, sizes):
                self.waiting.remove(order)
                return self._begin(order)
        return min((work for work in self.open if work.closed < work.granted), key=lambda one: one.closed, default=None)

    def _close(self, work: Work) -> None:
        self.open.remove(work)
        if self.running is work:
            self.running = None

    def _begin(self, order: Dispatch) -> Work:
        task = order.task
        assert task.stage is self.stage
        done = int(task.checkpoint) if task.checkpoint else 0
        if self.stage is EXTRACT:
            assert task.next_seq == done + 1, "the checkpoint and the next batch's number belong together"
        work = self.running = Work(order, done)
        self.open.append(work)
        assert len(self.open) <= (MAX_OPEN + 1 if self.stage is EXTRACT else 1)
        return work

    def _has_program(self, work: Work) -> bool:
        program_at = self._recipe(work.task).program_at
        return 0 <= program_at <= work.done

    def _finish(self, outcome: Outcome, busy_s: float) -> None:
        assert self.running is not None
        task = self.running.task
        self._close(self.running)
        self.sent.append(Finished(task.batch, task.attempt, outcome, 1.0, busy_s))

    def _recipe(self, task: Task) -> Recipe:
        return self.mill.recipe_of(task.upload)

    def _extract(self, running: Work, busy_s: float) -> None:
        task, recipe = running.task, self._recipe(running.task)
        seq = running.done + 1
        others = [one for one in self.open if one is not running]
        if self._has_program(running) and any(map(self._has_program, others)):
            self._close(running)
            self.sent.append(Bound(task.batch, task.attempt))
        elif recipe.refused_by is EXTRACT and running.done >= min(recipe.refused_seq, len(recipe.parts)):
            self._finish(Reject(reason=BAD), busy_s)
        elif running.done < len(recipe.parts):
            output = self._output(task, b"part%d" % running.done, recipe.parts[running.done], f"-{seq}")
            running.closed += 1
            running.done += 1
            closed = Closed(output=output, checkpoint=b"%d" % running.done)
            self.sent.append(BatchClosed(task.batch, task.attempt, seq, closed, busy_s))
        elif recipe.last is None:
            self._finish(Done(), busy_s)
        elif recipe.passes_on:
            self._finish(Done(output=Output(payload=b"last", bytes=recipe.size)), busy_s)
        else:
            self._finish(Done(output=self._output(task, b"last", recipe.last, "-last")), busy_s)

    def _output(self, task: Task, label: bytes, size: int, suffix: str, *, also: tuple[str, ...] = ()) -> Output:
        name = f"{task.prefix}{suffix}"
        self.mill.make_file(name)
        return Output(payload=label, names=(name, *also), bytes=size)

    def _outcome(self, task: Task) -> Outcome:
        recipe = self._recipe(task)
        if task.failure is None and not task.forget and recipe.refused_by is self.stage:
            seqs = 1 + len(recipe.parts) if self.stage is not INTAKE else 1
            if task.seq == recipe.refused_seq % seqs:
                return Reject(reason=BAD)
        if self.stage is INTAKE and task.failure is None and task.upload.path in self.mill.changed_paths:
            return Reject(reason=BAD)
        if self.stage is INTAKE:
            return Done(output=Output(bytes=recipe.size), finding=Taken(sha256=task.upload.name, size=recipe.size))
        if self.stage is CONVERT:
            kept = self.mill.rows.batches[task.batch].names[:1] if task.seq % 2 else ()
            return Done(output=self._output(task, task.payload, 2 * SMALL, "-table", also=kept))
        return self._store(task)

    def _store(self, task: Task) -> Outcome:
        if task.forget:
            if task.attempt == 1 and task.job % 3 == 0:
                return Reject(reason=BAD)  # a bug of ours, say
            assert task.publish and task.failure is None
            self.mill.published.pop(task.job, None)
            self.mill.incoming.pop(task.job, None)
            return Done()
        parts = self.mill.incoming.setdefault(task.job, {})
        if task.failure is None:
            parts[task.seq] = task.payload
        if not task.publish:
            return Done()
        return Done(finding=self.mill.publish(task, parts))


class Mill:
    """Everyone around the scheduler."""

    def __init__(self, limits: Limits, recipes: list[Recipe]) -> None:
        self.config = Config(paths=Paths(state="/state", library="/library"), queue=limits, batch=BatchSize())
        self.recipes = recipes
        self.rows = Rows()
        self.arrivals = 0
        self.clock = 0.0
        self.files: set[str] = set()  # in work/
        self.reported: set[str] = set()  # of them, those that the scheduler has heard of
        self.unlinked: Counter[str] = Counter()
        self.late: set[str] = set()  # named by a report on a batch that was withdrawn meanwhile
        self.incoming: dict[int, dict[int, bytes]] = {}  # the library's .incoming, by job
        self.published: dict[int, tuple[str, set[bytes]]] = {}  # the library: what each job's folder holds
        self.prefixes: set[str] = set()
        self.given_up: set[int] = set()
        self.changed_paths: set[str] = set()  # files that are no more what they were when they were submitted
        self.paused_before = 0
        self.halt = Halt.NONE
        self.cancelled: set[int] = set()
        self.run_again: set[int] = set()
        self.forgotten: set[int] = set()
        self.workers: list[FakeWorker] = []
        self.start()

    # What workers do

    def recipe_of(self, upload: Upload) -> Recipe:
        return self.recipes[int(upload.name)]

    def make_file(self, name: str) -> None:
        assert name not in self.files, "two attempts write under one name"
        self.files.add(name)

    def publish(self, task: Task, parts: dict[int, bytes]) -> Published:
        recipe = self.recipe_of(task.upload)
        if task.failure is None:
            others = [row for row in self.rows.batches.values() if row.job == task.job and row.seq != task.seq]
            assert all(row.state is BatchState.STAGED for row in others), "published with a batch under way"
            assert {label for label in parts.values() if label} == recipe.labels, "published, but not whole"
            assert recipe.refused_by is None
        self.published[task.job] = ("failed" if task.failure else "done", set(parts.values()))
        tables = ""
        if task.job % 2:
            tables = f"{task.prefix}-tables"
            self.make_file(tables)
        return Published(path=f"2026-01/{task.job}", members=MemberCounts(), tables_file=tables)

    # What the supervisor does

    def start(self) -> None:
        """A supervisor starts on what the ledger says; whoever ran before is gone."""
        boxes = {worker.stage: worker.running for worker in self.workers}
        self.workers = [FakeWorker(self, stage) for stage in StageName]
        self.rows.hold_none()
        self.scheduler = SteeredScheduler(self.config, self.rows.next_batch)
        self.scheduler.clock = self.clock
        self.scheduler.halt = self.halt
        for state in self.scheduler.stages:
            state.queue.__class__ = WatchedQueue
        batches = self.rows.open_batches()
        dispatched = {(one.id, one.attempt): one for one in batches if one.state is BatchState.DISPATCHED}
        self.scheduler.restore(batches)
        for stage, work in boxes.items():
            ran = dispatched.get((work.task.batch, work.task.attempt)) if work else None
            if ran is not None and ran.stage is stage:
                self.judge(ran, charges.orphan(ran, Entry(1, ran.id, ran.attempt, -1, 0, 0.0)))
        self.backlog = [self.rows.job(id) for id in self.rows.waiting() if id not in self.scheduler.jobs]
        self.commit()
        self.sweep()

    def arrive(self, content: int, path: int, options: Options) -> None:
        self.arrivals += 1
        upload = Upload(
            path=f"/in/{path}", name=str(content), size=self.recipes[content].size, mtime_ns=0, inode=0, device=0
        )
        self.backlog.extend(map(self.rows.job, self.rows.submit([(f"file:{self.arrivals}", upload, options)])))

    def queue(self, stage: StageName) -> WatchedQueue:
        queue = self.scheduler.stages[stage].queue
        assert isinstance(queue, WatchedQueue)
        return queue

    def hear(self, stage: StageName, most: int = 1000) -> int:
        """The scheduler is told what STAGE's worker sent; returns how many reports it were."""
        sent = self.workers[stage].sent
        heard = min(most, len(sent))
        for _ in range(heard):
            report = sent.popleft()
            before = [(self.queue(other).used, self.queue(other).used_bytes) for other in StageName]
            excess = self._handle(stage, report)
            for other, (used, size) in zip(StageName, before, strict=True):
                retried = isinstance(report, Finished) and isinstance(report.outcome, Retry)
                returns = other is stage and (retried or isinstance(report, BatchClosed | Bound))
                lets_go = other is INTAKE and stage in (INTAKE, STORE)
                publisher = other is STORE and stage is STORE
                if not returns and not lets_go:
                    assert self.queue(other).used <= used + publisher, "more came than a place was reserved for"
                    assert self.queue(other).used_bytes <= size + excess
        return heard

    def _handle(self, stage: StageName, report: Report) -> int:
        """Tells the scheduler; returns by how much the report's output is larger than what was expected of it."""
        scheduler = self.scheduler
        if isinstance(report, BatchClosed):
            batch = scheduler.stages[stage].in_hand.get(report.batch)
            self._heard_of(report.closed.output.names)
            scheduler.closed(report, 2.0)
            return max(0, report.closed.output.bytes - (batch.reserved if batch else 0))
        if isinstance(report, Bound):
            scheduler.bound(report)
            return 0
        assert isinstance(report, Finished)
        batch = scheduler.stages[stage].in_hand.get(report.batch)
        outcome = report.outcome
        output = outcome.output if isinstance(outcome, Done) else None
        if output:
            self._heard_of(output.names)
            if batch is None:  # late: what it passes on of its input went with the batch
                self.late.update(output.names)
        if isinstance(outcome, Done) and isinstance(outcome.finding, Published) and batch:
            self._heard_of((outcome.finding.tables_file,) if outcome.finding.tables_file else ())
        scheduler.finished(stage, report, 2.0, self._equal(batch, outcome))
        return max(0, output.bytes - (batch.reserved if batch else 0)) if output else 0

    def _heard_of(self, names: tuple[str, ...]) -> None:
        self.reported.update(name for name in names if name in self.files)

    def _equal(self, batch: Batch | None, outcome: Outcome) -> Equal | None:
        if batch is None or not isinstance(outcome, Done) or not isinstance(outcome.finding, Taken):
            return None
        return self.rows.find_equal(outcome.finding.sha256, batch.job.options, batch.job.id)

    def kill(self, stage: StageName, death: Death, member: int, *, lost: int) -> None:
        """STAGE's worker dies, and the last LOST of its reports with it. The supervisor buries it."""
        worker = self.workers[stage]
        running = worker.running.task if worker.running else None
        for _ in range(min(lost, len(worker.sent))):
            worker.sent.pop()
        worker.die()
        self.hear(stage)
        batches = self.scheduler.died(stage)
        ran = next(
            (one for one in batches if running and (one.id, one.attempt) == (running.batch, running.attempt)), None
        )
        if ran is not None:
            self.judge(ran, charges.charge(ran, Entry(1, ran.id, ran.attempt, member, 0, 0.0), death))
        self.turn()
        self.sweep()

    def judge(self, batch: Batch, verdict: Verdict) -> None:
        self.scheduler.touch(batch)
        if verdict is Verdict.WHOLE:
            self.given_up.add(batch.job.id)
            self.scheduler.give_up(batch, BAD, 2.0)

    def turn(self) -> int:
        """Decide, commit, send; returns how many jobs were looked at and how many orders went out."""
        scheduler = self.scheduler
        scheduler.clock = self.clock
        scheduler.first_allowed = self.paused_before
        wanted = scheduler.wanted_jobs
        jobs, self.backlog = self.backlog[:wanted], self.backlog[wanted:]
        scheduler.admit(jobs)
        before = [dict(state.in_hand) for state in scheduler.stages]
        sends = scheduler.decide()
        self._check_windows(before)
        assert not (self.halt and jobs), "a job is begun though nobody wants any"
        assert self.halt is not Halt.PAUSED or all(isinstance(order, Drop) for _, order in sends), "work while paused"
        self.commit()
        for stage, order in sends:
            if isinstance(order, Dispatch):
                self._check_dispatch(stage, order.task)
            if self.workers[stage].up:
                self.workers[stage].inbox.append(order)
        return len(sends) + len(jobs)

    def _check_windows(self, before: list[dict[int, Batch]]) -> None:
        for state, had in zip(self.scheduler.stages, before, strict=True):
            new = state.in_hand.keys() - had.keys()
            if not new:
                continue
            assert state.ready
            refusals = all(state.in_hand[id].job.is_leaving for id in new)  # these make room, whatever the disk
            assert state.name >= self.paused_before or refusals, "work handed out for which there's no disk"
            assert len(state.in_hand) <= state.window + (MAX_OPEN if state.readers else 0)
            if state.readers:  # all the others wait
                sizes = [batch.job.upload.size for batch in state.readers]
                assert all(may_overtake(state.in_hand[id].job.upload.size, sizes) for id in new)
            assert len(state.in_hand) <= MIN_WINDOW or state.in_hand_bytes <= self.config.batch.bytes
            if any(batch.is_suspect for batch in state.in_hand.values()):
                assert len(state.in_hand) == 1, "a suspect runs alone"
            assert all(state.in_hand[id].not_before <= self.clock for id in new), "a retry before its time"

    def _check_dispatch(self, stage: StageName, task: Task) -> None:
        assert task.stage is stage
        given_up = {order.batch for order in self.workers[stage].inbox if isinstance(order, Drop)}  # obeyed before this
        others = [other for worker in self.workers if worker.up for other in worker.held()]
        assert task.batch not in others or task.batch in given_up, "one batch at two workers"
        row = self.rows.batches.get(task.batch)
        if stage is INTAKE:
            assert row is None or row.attempt == task.attempt
            return
        assert row is not None, "sent, but not committed"
        assert (row.stage, row.state, row.attempt) == (stage, BatchState.DISPATCHED, task.attempt)
        assert task.prefix not in self.prefixes, "two attempts of one name"
        self.prefixes.add(task.prefix)
        if task.publish and task.failure is None and not task.forget:
            siblings = [other for other in self.rows.batches.values() if other.job == task.job]
            assert any(other.seq == 0 and other.stage is STORE for other in siblings), "published before extract's end"
            assert all(other is row or other.state is BatchState.STAGED for other in siblings)

    def commit(self) -> None:
        changes = self.scheduler.take_changes()
        self.rows.commit(changes)
        self.scheduler.ended.clear()
        owners = Counter(name for row in self.rows.batches.values() for name in row.names)
        assert all(count == 1 for count in owners.values()), "a name with two owners"
        self._unlink(changes, owners)
        assert owners.keys() <= self.files, "the ledger names what isn't there"

    def _unlink(self, changes: Changes, owners: Counter[str]) -> None:
        for name in changes.unlink:
            self.unlinked[name] += 1
            assert name not in owners, "deleted, but somebody's"
            self.files.discard(name)
            self.reported.discard(name)
        twice = [name for name in changes.unlink if self.unlinked[name] > 1 and name not in self.late]
        assert not twice
        for path in changes.obsolete:
            held = self.incoming if path.startswith(INCOMING) else self.published
            held.pop(int(path.rpartition("/")[2]), None)

    def sweep(self) -> None:
        """What recovery.sweep does."""
        named = {name for row in self.rows.batches.values() for name in row.names}
        prefixes = tuple(f"{batch.prefix}-" for state in self.scheduler.stages for batch in state.in_hand.values())
        self.files = {name for name in self.files if name in named or name.startswith(prefixes)}
        self.reported &= self.files
        self.incoming = {job: parts for job, parts in self.incoming.items() if job in self.scheduler.jobs}

    # What the operator does

    def hold(self, halt: Halt) -> None:
        self.halt = self.scheduler.halt = halt

    def cancel(self, id: int) -> bool:
        mine = [task for worker in self.workers if worker.up for task in self._held_tasks(worker) if task.job == id]
        publishing = any(task.publish for task in mine) or id in self.published
        done = self.scheduler.cancel(self.rows.job(id), 2.0)
        assert not (done and publishing), "cancelled, though its publication may have happened"
        if done:
            self.cancelled.add(id)
        self.turn()
        assert not done or self.rows.jobs[id].state is JobState.CANCELLED
        return done

    @staticmethod
    def _held_tasks(worker: FakeWorker) -> Iterator[Task]:
        if worker.running:
            yield worker.running.task
        yield from (order.task for order in worker.waiting)
        yield from (order.task for order in worker.inbox if isinstance(order, Dispatch))

    def retry(self, id: int) -> None:
        self.run_again.add(id)
        self.cancelled.discard(id)
        result = self.rows.jobs[id].result_path
        assert self.scheduler.retry(self.rows.job(id), result, 2.0)
        assert not self.scheduler.retry(self.rows.job(id), result, 2.0), "it runs already"
        self.turn()

    def forget(self, id: int) -> None:
        self.forgotten.add(id)
        self.cancelled.discard(id)
        assert self.scheduler.forget(self.rows.job(id), 2.0)
        assert not self.scheduler.forget(self.rows.job(id), 2.0), "it is being forgotten already"
        self.turn()

    # All of it, in order

    def round(self, *, retries: bool = False, busy_s: float = 0.01) -> bool:
        """One orderly round; False when nobody had anything to do."""
        busy = False
        for worker in self.workers:
            if not worker.up:
                worker.up = busy = True
                self.scheduler.worker_ready(worker.stage)
            worker.obey()
            busy |= worker.step(retries=retries, busy_s=busy_s)
            busy |= self.hear(worker.stage) > 0
        return self.turn() > 0 or busy

    def settle(self) -> None:
        """All workers work from here on: everything must end."""
        self.paused_before = 0
        self.hold(Halt.NONE)
        for _ in range(5000):
            busy = self.round()
            if not busy and self.scheduler.idle and not self.backlog:
                break
            if not busy:
                due = self.scheduler.next_retry()
                assert due is not None, "a standstill"
                self.clock = due
        else:
            pytest.fail("work without end")
        self.check_ends()

    def check_ends(self) -> None:
        for state in self.scheduler.stages:
            queue = state.queue
            assert (queue.batches, queue.bytes, queue.reserved, queue.reserved_bytes) == (0, 0, 0, 0)
            assert not state.in_hand and state.in_hand_bytes == 0 and state.suspects == 0
        assert not self.rows.batches
        assert not self.reported, "left in work/ for ever"
        done: Counter[tuple[str, Options]] = Counter()
        for id, row in self.rows.jobs.items():
            assert (row.state is JobState.CANCELLED) == (id in self.cancelled), f"job {id} is {row.state}"
            assert (row.state is JobState.FORGOTTEN) == (id in self.forgotten), f"job {id} is {row.state}"
            recipe = self.recipe_of(row.upload)
            if row.state is JobState.DONE:
                done[row.upload.name, row.options] += 1
                assert self.published[id][0] == "done"
            elif row.state is JobState.FAILED:
                assert recipe.refused_by is not None or id in self.given_up or row.upload.path in self.changed_paths
                assert row.result_path is None or self.published[id][0] == "failed"
                assert row.result_path or id in self.given_up, "refused, and its uploader finds no manifest"
            elif row.state is JobState.DUPLICATE:
                assert row.other is not None
                assert row.other in self.run_again | self.forgotten or self.rows.jobs[row.other].state is JobState.DONE
                assert id not in self.published
            else:
                assert row.state in (JobState.CANCELLED, JobState.FORGOTTEN)
                assert id not in self.published
                assert id not in self.incoming
        assert all(count == 1 for count in done.values()), "equal files done twice"


sizes = st.sampled_from([10, SMALL, 400_000, 50 * MIB])
part_sizes = st.sampled_from([0, SMALL, 10 * MIB, 64 * MIB, 64 * MIB, 100 * MIB, 300 * MIB])


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    parts = tuple(draw(st.lists(part_sizes, max_size=6)))
    refused_by = draw(st.sampled_from([None, None, None, None, *StageName]))
    return Recipe(
        size=draw(sizes),
        parts=parts,
        last=draw(st.one_of(st.none(), part_sizes)),
        refused_by=refused_by,
        refused_seq=draw(st.integers(0, 6)) if refused_by else 0,
        passes_on=not parts and draw(st.booleans()),
        program_at=draw(st.integers(-1, 3)),
    )


bounds = st.builds(
    Limits, batches=st.sampled_from([1, 2, 3, 4, 16]), bytes=st.sampled_from([64 * MIB, 128 * MIB, 256 * MIB])
)
stages = st.sampled_from(StageName)
deaths = st.sampled_from([Death(-9), Death(-9), Death(-11), Death(1), Death(-9, ours="over its memory limit")])


class SchedulerMachine(RuleBasedStateMachine):
    """Jobs arrive, workers work, retry, refuse and die, the supervisor dies: in any order."""

    @initialize(limits=bounds, contents=st.lists(recipes(), min_size=1, max_size=5))
    def begin(self, limits: Limits, contents: list[Recipe]) -> None:
        self.mill = Mill(limits, contents)

    @rule(data=st.data(), count=st.integers(1, 12))
    def arrive(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            content = data.draw(st.integers(0, len(self.mill.recipes) - 1))
            types = data.draw(st.sampled_from(["auto", "auto", "auto", "text"]))
            self.mill.arrive(content, data.draw(st.integers(0, 8)), Options(types=types))

    @rule(rounds=st.integers(1, 12), busy_s=st.sampled_from(BUSY_S))
    def work(self, rounds: int, busy_s: float) -> None:
        for _ in range(rounds):
            self.mill.round(busy_s=busy_s)

    @rule(stage=stages)
    def start_worker(self, stage: StageName) -> None:
        worker = self.mill.workers[stage]
        if not worker.up:
            worker.up = True
            self.mill.scheduler.worker_ready(stage)

    @rule(stage=stages, steps=st.integers(1, 4), obeys=st.booleans(), busy_s=st.sampled_from(BUSY_S))
    def step(self, stage: StageName, steps: int, obeys: bool, busy_s: float) -> None:
        worker = self.mill.workers[stage]
        if obeys:
            worker.obey()
        for _ in range(steps):
            worker.step(retries=False, busy_s=busy_s)

    @rule(stage=stages)
    def retry(self, stage: StageName) -> None:
        self.mill.workers[stage].obey()
        self.mill.workers[stage].step(retries=True, busy_s=0.001)

    @rule(stage=stages, most=st.integers(1, 5))
    def hear(self, stage: StageName, most: int) -> None:
        self.mill.hear(stage, most)

    @rule()
    def turn(self) -> None:
        self.mill.turn()

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0]))
    def tick(self, seconds: float) -> None:
        self.mill.clock += seconds

    @rule(path=st.integers(0, 8))
    def change_a_file(self, path: int) -> None:
        self.mill.changed_paths.add(f"/in/{path}")

    @rule(first=st.sampled_from([0, 0, 0, CONVERT, STORE + 1]))
    def change_the_disk(self, first: int) -> None:
        self.mill.paused_before = first

    @rule(stage=stages, death=deaths, member=st.integers(-1, 1), lost=st.integers(0, 2))
    def kill_a_worker(self, stage: StageName, death: Death, member: int, lost: int) -> None:
        if self.mill.workers[stage].up:
            self.mill.kill(stage, death, member, lost=lost)

    @precondition(lambda self: self.mill.scheduler.jobs and not self.mill.scheduler.is_working)
    @rule(data=st.data())
    def set_back(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.mill.scheduler.jobs)))
        if not self.mill.scheduler.jobs[job].is_leaving:
            self.mill.scheduler.set_back(self.mill.scheduler.jobs[job], 2.0, "no space")
            self.mill.turn()

    @precondition(lambda self: self.mill.rows.waiting())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        unfinished = (JobState.WAITING, JobState.HELD)
        ids = [id for id, row in self.mill.rows.jobs.items() if row.state in unfinished]
        self.mill.cancel(data.draw(st.sampled_from(ids)))

    @rule(data=st.data())
    def run_again(self, data: st.DataObject) -> None:
        final = (JobState.DONE, JobState.FAILED, JobState.DUPLICATE, JobState.CANCELLED)
        told = {ended.job.id for ended in self.mill.scheduler.ended}
        ids = [id for id, row in self.mill.rows.jobs.items() if row.state in final and id not in told]
        if ids:
            self.mill.retry(data.draw(st.sampled_from(ids)))

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        final = (JobState.DONE, JobState.DONE, JobState.FAILED, JobState.DUPLICATE, JobState.CANCELLED)
        told = {ended.job.id for ended in self.mill.scheduler.ended}
        ids = [id for id, row in self.mill.rows.jobs.items() if row.state in final and id not in told]
        if ids:
            self.mill.forget(data.draw(st.sampled_from(ids)))

    @rule(halt=st.sampled_from(Halt))
    def hold(self, halt: Halt) -> None:
        self.mill.hold(halt)

    @rule()
    def kill_the_supervisor(self) -> None:
        self.mill.start()

    @precondition(lambda self: self.mill.arrivals)
    @rule()
    def settle(self) -> None:
        self.mill.settle()

    @invariant()
    def every_batch_has_one_place(self) -> None:
        if not hasattr(self, "mill"):
            return
        scheduler = self.mill.scheduler
        found: Counter[int] = Counter(batch.id for batch in scheduler._dispatcher.refusals)
        for state in scheduler.stages:
            found.update(batch.id for batch in state.queue)
            found.update(state.in_hand.keys())
            assert all(batch.stage is state.name for batch in (*state.queue, *state.in_hand.values()))
        staged = [
            batch.id
            for job in scheduler.jobs.values()
            for batch in job.batches.values()
            if batch.state is BatchState.STAGED
        ]
        found.update(staged)
        open_batches = {id for job in scheduler.jobs.values() for id in job.batches}
        assert found.keys() == open_batches
        assert all(count == 1 for count in found.values())

    @invariant()
    def what_is_counted_is_there(self) -> None:
        if not hasattr(self, "mill"):
            return
        for state in self.mill.scheduler.stages:
            queue = state.queue
            waiting = list(queue)
            assert (queue.batches, queue.bytes) == (len(waiting), sum(batch.held_bytes for batch in waiting))
            assert state.in_hand_bytes == sum(batch.held_bytes for batch in state.in_hand.values())
            assert state.suspects == sum(batch.is_suspect for batch in state.in_hand.values())
        for state, following in itertools.pairwise(self.mill.scheduler.stages):
            places = [batch.places for batch in state.in_hand.values()]
            sizes = [batch.places * batch.reserved for batch in state.in_hand.values()]
            assert (following.queue.reserved, following.queue.reserved_bytes) == (sum(places), sum(sizes))

    @invariant()
    def equal_files_go_one_at_a_time(self) -> None:
        if hasattr(self, "mill"):
            jobs = [job for job in self.mill.scheduler.jobs.values() if not job.forgets]
            begun = Counter((job.upload.sha256, job.options) for job in jobs if job.upload.sha256)
            assert all(count == 1 for count in begun.values())

    def teardown(self) -> None:
        if hasattr(self, "mill") and sys.exc_info()[0] is None:
            self.mill.settle()


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(max_examples=2 * settings().max_examples, stateful_step_count=40)


# What once looked like standstills, or did go wrong


def mill(*recipes: Recipe, batches: int = 16, max_bytes: int = 256 * MIB) -> Mill:
    """A mill whose workers are up."""
    made = Mill(Limits(batches=batches, bytes=max_bytes), list(recipes))
    made.round()
    return made


def states(mill: Mill) -> list[JobState]:
    return [row.state for _, row in sorted(mill.rows.jobs.items())]


def widen_windows(mill: Mill, content: int) -> None:
    """Workers get many batches ahead once these have been short."""
    mill.arrive(content, 100, Options())
    while not mill.scheduler.idle or mill.backlog:
        mill.round(busy_s=0.0001)
    for state in mill.scheduler.stages:
        for _ in range(30):
            state.worked(0.0001)
        assert state.window == 16


@pytest.mark.parametrize("batches", [1, 2, 6, 16])
@pytest.mark.parametrize("size", [SMALL, 400_000])
def test_an_archive_is_not_starved_by_those_that_wait_behind_it(batches: int, size: int) -> None:
    parts = (10 * MIB, 64 * MIB, 64 * MIB, 1 * MIB, 64 * MIB)
    one = mill(Recipe(size=10), *(Recipe(size=size + number, parts=parts) for number in range(20)), batches=batches)
    widen_windows(one, 0)
    for content in range(1, 21):
        one.arrive(content, content, Options())
    one.settle()
    assert set(states(one)) == {JobState.DONE}


def test_a_job_of_more_batches_than_a_queue_holds_ends() -> None:
    one = mill(Recipe(size=50 * MIB, parts=(64 * MIB,) * 50), batches=3)
    one.arrive(0, 0, Options())
    one.settle()
    assert states(one) == [JobState.DONE]


def test_a_member_larger_than_a_queue_goes_through_it() -> None:
    one = mill(Recipe(size=50 * MIB, parts=(300 * MIB, 300 * MIB), last=1000 * MIB), max_bytes=64 * MIB)
    one.arrive(0, 0, Options())
    one.settle()
    assert states(one) == [JobState.DONE]


@pytest.mark.parametrize("parts", [(), (SMALL,), (SMALL,) * 3])
def test_an_archive_whose_last_batch_has_no_member_is_published(parts: tuple[int, ...]) -> None:
    one = mill(Recipe(size=SMALL, parts=parts, last=None))
    one.arrive(0, 0, Options())
    one.settle()
    assert states(one) == [JobState.DONE]


def until_published(mill: Mill) -> None:
    """Goes on until store's worker has said that it published, and nobody has heard it yet."""
    store = mill.workers[STORE]
    for _ in range(50):
        for worker in mill.workers:
            worker.obey()
            worker.step(retries=False, busy_s=0.01)
            if any(
                isinstance(one, Finished) and isinstance(one.outcome, Done) and one.outcome.finding
                for one in store.sent
            ):
                return
            mill.hear(worker.stage)
        mill.turn()
    pytest.fail("never published")


def until_unheard(mill: Mill, stage: StageName) -> None:
    """Goes on until STAGE's worker has reported something that nobody has heard yet."""
    for _ in range(50):
        for worker in mill.workers:
            worker.obey()
            worker.step(retries=False, busy_s=0.01)
            if worker.stage is stage and worker.sent:
                return
            mill.hear(worker.stage)
        mill.turn()
    pytest.fail("never reported")


@pytest.mark.parametrize(("path", "state"), [(1, [JobState.DONE, JobState.DUPLICATE]), (0, [JobState.DONE])])
def test_an_equal_file_that_comes_in_the_turn_of_its_twins_end(path: int, state: list[JobState]) -> None:
    one = mill(Recipe(size=SMALL))
    one.arrive(0, 0, Options())
    until_published(one)
    one.arrive(0, path, Options())
    one.turn()
    one.workers[INTAKE].obey()
    one.workers[INTAKE].step(retries=False, busy_s=0.01)
    one.hear(STORE)
    one.hear(INTAKE)
    one.turn()
    one.settle()
    assert states(one) == state


def test_equal_files_are_told_apart_by_their_options() -> None:
    one = mill(Recipe(size=SMALL))
    for path, types in enumerate(("auto", "text", "auto", "text")):
        one.arrive(0, path, Options(types=types))
    one.settle()
    assert states(one) == [JobState.DONE, JobState.DONE, JobState.DUPLICATE, JobState.DUPLICATE]


def test_files_equal_to_one_that_fails_are_tried_one_at_a_time() -> None:
    one = mill(Recipe(size=SMALL, refused_by=CONVERT), batches=4)
    for path in range(40):
        one.arrive(0, path, Options())
    one.settle()
    assert states(one) == [JobState.FAILED] * 40
    visits = sum(event[3:5] == (INTAKE, "finished") for event in one.rows.events)
    assert visits <= 80, "each is read when it comes and when its turn has come, and not once for each that fails"


def test_who_waits_for_a_file_that_changes_meanwhile_is_not_answered_with_it() -> None:
    one = mill(Recipe(size=SMALL, refused_by=STORE), Recipe(size=SMALL))
    for path in range(4):
        one.arrive(0, path, Options())
    while one.rows.jobs[4].state is not JobState.HELD:
        one.round()
    heir = one.scheduler._held[1][0]
    heir.upload = one.rows.jobs[2].upload = msgspec.structs.replace(
        heir.upload, name="1"
    )  # the other content, in the same file
    one.settle()
    assert states(one) == [JobState.FAILED, JobState.DONE, JobState.FAILED, JobState.FAILED]


def test_a_refusal_waits_for_its_retry_too() -> None:
    one = mill(Recipe(size=SMALL, refused_by=INTAKE))
    one.arrive(0, 0, Options())
    while not one.workers[STORE].inbox:
        one.round()
    one.workers[STORE].obey()
    one.workers[STORE].step(retries=True, busy_s=0.01)
    one.hear(STORE)
    assert one.turn() == 0
    due = one.scheduler.next_retry()
    assert due is not None
    one.clock = due
    assert one.turn() == 1
    one.settle()


def test_a_job_that_was_given_up_is_a_suspect_no_more() -> None:
    one = mill(Recipe(size=SMALL))
    one.arrive(0, 0, Options())
    for _ in range(3):
        while one.workers[CONVERT].running is None and not one.workers[CONVERT].waiting:
            one.round()
            one.workers[CONVERT].obey()
        one.workers[CONVERT]._begin(one.workers[CONVERT].waiting.popleft())
        one.kill(CONVERT, Death(-11), -1, lost=0)
    (batch,) = one.scheduler.jobs[1].batches.values()
    assert batch.stage is STORE and not batch.is_suspect
    one.settle()
    assert states(one) == [JobState.FAILED]


def test_a_refusal_that_keeps_killing_store_ends_without_a_folder() -> None:
    one = mill(Recipe(size=SMALL, refused_by=CONVERT))
    for path in range(2):
        one.arrive(0, path, Options())
    for _ in range(3):
        while one.workers[STORE].running is None and not one.workers[STORE].waiting:
            one.round()
            one.workers[STORE].obey()
        one.workers[STORE]._begin(one.workers[STORE].waiting.popleft())
        one.kill(STORE, Death(-11), -1, lost=0)
    first = one.rows.jobs[1]
    assert (first.state, first.reason, first.result_path) == (JobState.FAILED, BAD, None)
    one.settle()
    assert states(one) == [JobState.FAILED] * 2
    assert 1 not in one.published and 2 in one.published


def test_an_equal_file_that_overtakes_one_that_was_set_back_is_the_only_one_done() -> None:
    one = mill(Recipe(size=SMALL))
    one.arrive(0, 0, Options())
    while not one.scheduler.jobs or not one.scheduler.jobs[1].upload.sha256:
        one.round()
    one.arrive(0, 1, Options())
    one.turn()
    one.scheduler.set_back(one.scheduler.jobs[1], 2.0, "no space")
    one.turn()
    intake = one.workers[INTAKE]
    intake.obey()
    intake.step(retries=False, busy_s=0.01)
    one.hear(INTAKE)
    one.turn()
    assert one.scheduler.jobs[2].upload.sha256
    one.kill(INTAKE, Death(-11), -1, lost=0)
    one.start()
    one.settle()
    assert sorted(states(one)) == [JobState.DONE, JobState.DUPLICATE]


# What the operator does


def test_a_cancel_loses_to_a_publication_that_has_begun() -> None:
    one = mill(Recipe(size=SMALL))
    one.arrive(0, 0, Options())
    until_published(one)
    assert not one.cancel(1)
    one.settle()
    assert states(one) == [JobState.DONE]


def test_it_loses_too_where_the_supervisor_died_in_between() -> None:
    one = mill(Recipe(size=SMALL))
    one.arrive(0, 0, Options())
    until_published(one)
    one.start()
    assert not one.cancel(1)
    one.settle()
    assert states(one) == [JobState.DONE]


def test_what_a_cancelled_batch_still_reports_is_thrown_away_and_charged_to_nobody() -> None:
    one = mill(Recipe(size=SMALL, parts=(SMALL,) * 3), Recipe(size=SMALL))
    one.arrive(0, 0, Options())
    one.arrive(1, 1, Options())
    until_unheard(one, EXTRACT)
    assert one.cancel(1)
    one.kill(EXTRACT, Death(-11), 0, lost=0)
    assert all(not batch.is_suspect for job in one.scheduler.jobs.values() for batch in job.batches.values())
    one.settle()
    assert states(one) == [JobState.CANCELLED, JobState.DONE]


def test_those_that_waited_for_a_cancelled_job_go_on() -> None:
    one = mill(Recipe(size=SMALL, parts=(SMALL,) * 3))
    for path in range(3):
        one.arrive(0, path, Options())
    while one.rows.jobs[3].state is not JobState.HELD:
        one.round()
    assert one.cancel(2), "one that waits itself"
    assert one.cancel(1)
    one.settle()
    assert states(one) == [JobState.CANCELLED, JobState.CANCELLED, JobState.DONE]


def test_a_job_is_cancelled_before_its_turn_has_come() -> None:
    one = mill(Recipe(size=SMALL))
    one.arrive(0, 0, Options())
    one.scheduler.cancel(one.rows.job(1), 2.0)
    one.cancelled.add(1)
    one.turn()
    one.settle()
    assert states(one) == [JobState.CANCELLED]


def test_draining_lets_what_has_begun_end_and_begins_nothing() -> None:
    one = mill(Recipe(size=SMALL, parts=(SMALL,) * 3), Recipe(size=SMALL))
    one.arrive(0, 0, Options())
    one.round()
    one.hold(Halt.DRAINING)
    assert not one.scheduler.drained
    one.arrive(1, 1, Options())
    for _ in range(100):
        one.round()
    assert states(one) == [JobState.DONE, JobState.WAITING]
    assert one.scheduler.drained
    one.settle()
    assert states(one) == [JobState.DONE, JobState.DONE]


def test_queues_of_a_new_configuration_hold_from_now_on() -> None:
    one = mill(Recipe(size=SMALL), batches=2)
    assert one.scheduler.wanted_jobs == 2
    one.scheduler.reconfigure(Config(paths=one.config.paths, queue=Limits(batches=5, bytes=64 * MIB)))
    assert one.scheduler.wanted_jobs == 5
    assert all(state.queue.limits.batches == 5 for state in one.scheduler.stages)


def ends(mill: Mill) -> list[int]:
    """The jobs in the order in which they end."""
    seen: list[int] = []
    for _ in range(3000):
        busy = mill.round()
        seen += [id for id, row in mill.rows.jobs.items() if row.state is JobState.DONE and id not in seen]
        if not busy and mill.scheduler.idle and not mill.backlog:
            return seen
    pytest.fail("work without end")


LARGE: Final = Recipe(size=4000 * MIB, parts=(64 * MIB,) * 60)


def begin_large(mill: Mill, *others: int) -> None:
    """The content 0 is being extracted, and OTHERS arrive."""
    mill.arrive(0, 0, Options())
    while len(mill.scheduler.stages[EXTRACT].readers) == 0:
        mill.round()
    for number, content in enumerate(others, 1):
        mill.arrive(content, number, Options())


@pytest.mark.parametrize("batches", [2, 3, 16])
def test_a_small_file_is_done_long_before_an_archive_that_came_first(batches: int) -> None:
    one = mill(LARGE, Recipe(size=SMALL, passes_on=True), batches=batches)
    begin_large(one, 1)
    assert ends(one) == [2, 1]


def test_large_ones_go_one_after_the_other_and_dont_keep_the_small_waiting() -> None:
    large = [LARGE, LARGE._replace(size=LARGE.size - 1), LARGE._replace(size=500 * MIB, parts=(64 * MIB,) * 10)]
    one = mill(*large, *(Recipe(size=SMALL + number, passes_on=True) for number in range(3)))
    begin_large(one, 1, 2, 3, 4, 5)
    assert ends(one) == [4, 5, 6, 3, 1, 2]


def test_a_third_archive_is_put_back_with_what_it_has_done() -> None:
    medium = Recipe(size=500 * MIB, parts=(64 * MIB,) * 20)
    small = Recipe(size=MIB, parts=(64 * MIB,) * 3)
    one = mill(LARGE, medium, small)
    begin_large(one, 1, 2)
    most = 0
    while not one.scheduler.idle or one.backlog:
        one.round()
        most = max(most, len(one.scheduler.stages[EXTRACT].readers))
    assert most == MAX_OPEN
    assert states(one) == [JobState.DONE] * 3


def test_what_needs_a_program_waits_for_an_archive_whose_program_runs() -> None:
    one = mill(LARGE._replace(program_at=0), Recipe(size=SMALL, program_at=0), Recipe(size=SMALL + 1, passes_on=True))
    begin_large(one, 1, 2)
    assert ends(one) == [3, 1, 2]


def test_a_configured_program_is_never_overtaken() -> None:
    one = mill(LARGE, Recipe(size=SMALL, passes_on=True))
    command = Command(argv=("unpack",))
    one.scheduler._dispatcher.config = msgspec.structs.replace(one.config, extract=Extract(command=command))
    begin_large(one, 1)
    while not one.scheduler.jobs[1].ended_extract:
        one.round()
        assert len(one.scheduler.stages[EXTRACT].in_hand) <= 1
