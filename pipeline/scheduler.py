"""Decides what happens next: state in, orders and changes out. No process, no clock, no disk.

The supervisor tells it what was heard (`closed`, `finished`, `died`, ...), asks it to `decide`, commits `take_changes()`
and only then sends the orders.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from pipeline.config import MIB, Config
from pipeline.messages import BatchClosed, Dispatch, Drop, Finished, Grant, Order
from pipeline.model import BatchState, Done, JobState, Output, Published, Reason, Reject, Retry, StageName, Taken, Task
from pipeline.queues import Queue
from pipeline.work import Batch, Changes, Equal, EventKind, Job, JobEnd, decode_mark

MAX_WINDOW: Final = 16  # batches a worker holds, the one it works on included
MIN_WINDOW: Final = 2
WINDOW_S: Final = 0.05  # of work that a worker holds, where batches are short
_FREE_RATIO_BYTES: Final = MIB  # what extract.max_ratio doesn't count

Sends = list[tuple[StageName, Order]]


class StageState:
    """What the scheduler knows of a stage: its queue, what its worker has in hand, and how fast it is."""

    def __init__(self, name: StageName, config: Config) -> None:
        self.name = name
        self.queue = Queue(config.queue)
        self.in_hand: dict[int, Batch] = {}
        self.ready = False
        self.mean_s = 0.01  # running mean of a batch's working time
        self.busy_s = 0.0
        self.finished = 0
        self.rejected = 0

    @property
    def window(self) -> int:
        """How many batches its worker may hold: the shorter they are the more, so that it never waits for us."""
        return max(MIN_WINDOW, min(MAX_WINDOW, int(WINDOW_S / max(self.mean_s, 1e-9))))

    def worked(self, busy_s: float) -> None:
        """A batch took BUSY_S."""
        self.finished += 1
        self.busy_s += busy_s
        self.mean_s += (busy_s - self.mean_s) * 0.2


class Ended(NamedTuple):
    """A job that ended in this turn, for whoever follows along."""

    job: Job
    state: JobState
    reason: Reason | None


class Scheduler:
    """The state of all open work, and the decisions about it."""

    def __init__(self, config: Config, next_batch: int) -> None:
        self._config = config
        self._next_batch = next_batch
        self.stages = tuple(StageState(name, config) for name in StageName)
        self.jobs: dict[int, Job] = {}
        self.aliases: dict[int, int] = {}  # submitted again: the job that answers for it
        self.ended: list[Ended] = []
        self.paused = ""  # why nothing is dispatched
        self.clock = 0.0  # monotonic seconds, set by the supervisor at each turn
        self._refusals: deque[Batch] = deque()  # jobs to be published with nothing but their reason
        self._digests: dict[str, Job] = {}
        self._held: dict[int, list[Job]] = {}
        self._drops: Sends = []
        self._changes = Changes()
        self._routes: dict[StageName, Callable[[Batch, Done, float], None]] = {
            StageName.EXTRACT: self._extracted,
            StageName.CONVERT: self._converted,
            StageName.STORE: self._stored,
        }

    # What comes in

    @property
    def wanted_jobs(self) -> int:
        """How many more jobs intake's queue takes."""
        queue = self.stages[StageName.INTAKE].queue
        return max(0, self._config.queue.batches - len(queue))

    def next_retry(self) -> float | None:
        """When (on `clock`) the next batch that waits out a retry is due."""
        due = [batch.not_before for state in self.stages for batch in state.queue if batch.not_before > self.clock]
        return min(due, default=None)

    @property
    def idle(self) -> bool:
        """Whether nothing is open."""
        return not self.jobs

    def admit(self, jobs: Iterable[Job]) -> None:
        """Jobs that haven't begun get in line for intake."""
        for job in jobs:
            self.jobs[job.id] = job
            self.stages[StageName.INTAKE].queue.push(self._new_batch(job, 0, StageName.INTAKE))

    def restore(self, batches: Iterable[Batch]) -> None:
        """Open work from the ledger, as it was left by whoever ran before. Everything dispatched is queued again."""
        for batch in batches:
            job = batch.job
            self.jobs[job.id] = job
            if job.upload.sha256:
                self._digests.setdefault(job.upload.sha256, job)
            if batch.state == BatchState.DISPATCHED:
                batch.state = BatchState.QUEUED
                self._changes.dirty[batch.id] = batch
            if batch.state == BatchState.QUEUED and job.failure is None:
                self.stages[batch.stage].queue.push(batch)
        for job in self.jobs.values():
            if job.failure:
                self._refuse(next(iter(job.batches.values())), job.failure)
            else:
                self._publish_if_staged(job)

    def worker_ready(self, stage: StageName) -> None:
        """The stage's worker can take batches."""
        self.stages[stage].ready = True

    def closed(self, report: BatchClosed, now: float) -> None:
        """Extract closed a batch and goes on."""
        stage = self.stages[StageName.EXTRACT]
        batch = stage.in_hand.get(report.batch)
        if batch is None or batch.attempt != report.attempt:
            self._changes.unlink.extend(report.closed.output.names)
            return
        stage.busy_s += report.busy_s
        self._release(batch, 1)
        batch.produced += 1
        batch.closed = report.seq
        batch.checkpoint = report.closed.checkpoint
        batch.charges = 0
        self._changes.dirty[batch.id] = batch
        part = self._new_batch(batch.job, report.seq, StageName.CONVERT)
        self._queue(part, report.closed.output)
        self._changes.event(
            batch.job.id,
            now,
            EventKind.CLOSED,
            seq=report.seq,
            stage=StageName.EXTRACT,
            attempt=batch.attempt,
            seconds=report.busy_s,
            detail=f"files={part.files} bytes={part.bytes}",
        )

    def finished(self, stage: StageName, report: Finished, now: float, equal: Equal | None = None) -> None:
        """A batch's work at STAGE ended. EQUAL is the ended job that intake's finding equals, if any."""
        state = self.stages[stage]
        batch = state.in_hand.get(report.batch)
        outcome = report.outcome
        if batch is None or batch.attempt != report.attempt:
            if isinstance(outcome, Done) and outcome.output:
                self._changes.unlink.extend(outcome.output.names)
            return
        del state.in_hand[report.batch]
        self._release(batch, batch.places)
        state.worked(report.busy_s)
        if isinstance(outcome, Done):
            self._visit_over(batch, report)
            if stage is StageName.INTAKE:
                self._taken(batch, outcome, now, equal)
            else:
                self._routes[stage](batch, outcome, now)
        elif isinstance(outcome, Retry):
            self._retry(batch, outcome, now)
        else:
            state.rejected += 1
            self._reject(batch, outcome, now)

    def died(self, stage: StageName) -> list[Batch]:
        """STAGE's worker is dead and reaped: what it had in hand is queued again, in order. Returns those batches."""
        state = self.stages[stage]
        state.ready = False
        lost = list(state.in_hand.values())
        state.in_hand.clear()
        for batch in reversed(lost):
            self._release(batch, batch.places)
            batch.state = BatchState.QUEUED
            self._changes.dirty[batch.id] = batch
            if batch.job.failure and batch.publishes:
                self._refusals.appendleft(batch)
            else:
                state.queue.push(batch, front=True)
        return lost

    def crashed(self, batch: Batch, reason: Reason, now: float) -> None:
        """BATCH, which waits, is given up on as a whole, and its job with it."""
        if batch.job.failure is None:
            self.stages[batch.stage].queue.remove_job(batch.job.id)
            self._reject(batch, Reject(reason=reason), now)

    def touch(self, batch: Batch) -> None:
        """BATCH's row has changed (charges, mark)."""
        self._changes.dirty[batch.id] = batch

    # What goes out

    def take_changes(self) -> Changes:
        """The changes since the last call, to be committed before anything that `decide` returned is sent."""
        changes, self._changes = self._changes, Changes()
        return changes

    @property
    def changes(self) -> Changes:
        """The changes so far in this turn."""
        return self._changes

    def decide(self) -> Sends:
        """What to hand out now; downstream first, so that room made there is seen upstream in the same turn."""
        sends, self._drops = self._drops, []
        if self.paused:
            return sends
        for state in reversed(self.stages):
            if state.ready:
                self._dispatch(state, sends)
        self._grant(sends)
        return sends

    def _dispatch(self, state: StageState, sends: Sends) -> None:
        if state.name is StageName.STORE:
            while self._refusals and len(state.in_hand) < state.window:
                self._hand_out(state, self._refusals.popleft(), sends)
        skipped = 0
        while len(state.queue) > skipped and self._window_open(state):
            batch = state.queue.peek()
            if batch is None or not self._may_start(state, batch):
                return
            if batch.not_before > self.clock:
                state.queue.rotate()
                skipped += 1
                continue
            self._hand_out(state, state.queue.pop(), sends)

    @staticmethod
    def _window_open(state: StageState) -> bool:
        if len(state.in_hand) >= state.window:
            return False
        return not any(batch.charges or batch.orphaned for batch in state.in_hand.values())

    def _may_start(self, state: StageState, batch: Batch) -> bool:
        in_hand = len(state.in_hand)
        if in_hand and (batch.charges or batch.orphaned):
            return False  # a suspect runs alone
        if in_hand >= MIN_WINDOW:
            held = sum(other.held_bytes for other in state.in_hand.values())
            if held + batch.held_bytes > self._config.batch.bytes:
                return False
        if state.name is StageName.STORE:
            return True
        if state.name is StageName.INTAKE and len(self._refusals) >= self._config.queue.batches:
            return False
        return self.stages[state.name + 1].queue.has_room(self._expected_bytes(batch))

    def _expected_bytes(self, batch: Batch) -> int:
        """The bytes in work/ that a place for BATCH's next output is reserved with."""
        if batch.stage is StageName.INTAKE:
            return 0
        if batch.stage is StageName.EXTRACT:
            most = max(_FREE_RATIO_BYTES, batch.job.upload.size * self._config.extract.max_ratio)
            return min(self._config.batch.bytes, most)
        return min(self._config.batch.bytes, batch.bytes)

    def _hand_out(self, state: StageState, batch: Batch, sends: Sends) -> None:
        batch.state = BatchState.DISPATCHED
        batch.attempt += 1
        batch.produced = 0
        batch.granted = 1
        if state.name is not StageName.STORE:
            batch.reserved = self._expected_bytes(batch)
            batch.places = 1
            self.stages[state.name + 1].queue.reserve(batch.job.id, batch.reserved)
        else:
            batch.publishes = batch.job.failure is not None or self._is_last(batch)
        state.in_hand[batch.id] = batch
        self._changes.dirty[batch.id] = batch
        sends.append((state.name, Dispatch(_task(batch), batch.granted)))

    @staticmethod
    def _is_last(batch: Batch) -> bool:
        job = batch.job
        if not job.ended_extract:
            return False
        return all(other is batch or other.state is BatchState.STAGED for other in job.batches.values())

    def _grant(self, sends: Sends) -> None:
        """Lets the running extract begin one batch ahead of what it has closed, while convert's queue has room."""
        extract, queue = self.stages[StageName.EXTRACT], self.stages[StageName.CONVERT].queue
        batch = next(iter(extract.in_hand.values()), None)
        if batch is None or batch.granted > batch.produced + 1:
            return
        empty = len(queue) + queue.reserved == 0
        if not empty and not (queue.has_room(batch.reserved) and queue.share_left(batch.job.id)):
            return
        queue.reserve(batch.job.id, batch.reserved)
        batch.places += 1
        batch.granted += 1
        sends.append((StageName.EXTRACT, Grant(batch.id, batch.attempt, batch.granted)))

    # What a finished visit leads to

    def _visit_over(self, batch: Batch, report: Finished) -> None:
        self._changes.event(
            batch.job.id,
            report.started_at,
            EventKind.FINISHED,
            seq=batch.seq,
            stage=batch.stage,
            attempt=batch.attempt,
            seconds=report.busy_s,
        )
        batch.charges = 0
        batch.orphaned = 0
        batch.mark = b""
        batch.attempt = 0

    def _taken(self, batch: Batch, outcome: Done, now: float, equal: Equal | None) -> None:
        job = batch.job
        if isinstance(outcome.finding, Taken) and not self._is_original(job, outcome.finding, now, equal):
            return
        self._advance(batch, outcome.output, StageName.EXTRACT)

    def _is_original(self, job: Job, finding: Taken, now: float, equal: Equal | None) -> bool:
        """Whether JOB goes on by itself; otherwise its end, or whom it waits for, has been noted."""
        first = self._digests.get(finding.sha256)
        if first is not None and first is not job and first.options == job.options:
            self._hold(job, first, now)
            return False
        if equal is not None and equal.state is JobState.DONE:
            self._answer_with(job, equal.job, equal.path, now)
            return False
        if equal is not None and equal.state is JobState.FAILED and equal.path == job.upload.path:
            self._changes.event(job.id, now, EventKind.RESUBMITTED, detail=f"in place of failed job {equal.job}")
            self._changes.deleted_jobs.append(equal.job)
            if equal.result_path:
                self._changes.obsolete.append(equal.result_path)
        self._digests.setdefault(finding.sha256, job)
        job.upload = msgspec.structs.replace(job.upload, sha256=finding.sha256)
        self._changes.digests.append((finding.sha256, finding.size, job.id))
        return True

    def _hold(self, job: Job, first: Job, now: float) -> None:
        self._held.setdefault(first.id, []).append(job)
        self._forget(job)
        self._changes.held.append((job.id, first.id))
        self._changes.event(job.id, now, EventKind.HELD, detail=f"equals job {first.id}, which is running")

    def _answer_with(self, job: Job, first: int, first_path: str, now: float) -> None:
        """JOB equals the done job FIRST: the same file submitted again is that job, another file a duplicate of it."""
        self._forget(job)
        if job.upload.path == first_path:
            self.aliases[job.id] = first
            self._changes.deleted_jobs.append(job.id)
            self._changes.event(first, now, EventKind.RESUBMITTED)
            self.ended.append(Ended(job, JobState.DONE, None))
            return
        self._changes.ends.append(
            JobEnd(job=job.id, state=JobState.DUPLICATE, at=now, options=job.options, duplicate_of=first)
        )
        self._changes.event(job.id, now, EventKind.DUPLICATE, detail=f"of job {first}")
        self.ended.append(Ended(job, JobState.DUPLICATE, None))

    def _advance(self, batch: Batch, output: Output | None, stage: StageName) -> None:
        batch.stage = stage
        self._queue(batch, output or Output(files=0))

    def _queue(self, batch: Batch, output: Output) -> None:
        """BATCH, now with OUTPUT, waits at its stage; what it owned in work/ and OUTPUT doesn't name goes."""
        if batch.names:
            kept = set(output.names)
            self._changes.unlink.extend(name for name in batch.names if name not in kept)
        batch.payload, batch.names, batch.bytes, batch.files = output.payload, output.names, output.bytes, output.files
        batch.state = BatchState.QUEUED
        self._changes.dirty[batch.id] = batch
        self.stages[batch.stage].queue.push(batch)

    def _extracted(self, batch: Batch, outcome: Done, now: float) -> None:
        """The upload's own batch goes on as the job's last one, and by that says that extract has ended."""
        batch.job.ended_extract = True
        batch.checkpoint = b""
        self._advance(batch, outcome.output, StageName.CONVERT)

    def _converted(self, batch: Batch, outcome: Done, now: float) -> None:
        self._advance(batch, outcome.output, StageName.STORE)

    def _stored(self, batch: Batch, outcome: Done, now: float) -> None:
        if batch.publishes:
            assert isinstance(outcome.finding, Published)
            self._published(batch.job, outcome.finding, now)
            return
        batch.state = BatchState.STAGED
        batch.payload = b""
        self._changes.unlink.extend(batch.names)
        batch.names = ()
        self._changes.dirty[batch.id] = batch
        self._publish_if_staged(batch.job)

    def _publish_if_staged(self, job: Job) -> None:
        """Where the last batches were staged side by side, none of them could publish: one more, empty, does."""
        if job.ended_extract and all(batch.state is BatchState.STAGED for batch in job.batches.values()):
            seq = 1 + max(batch.seq for batch in job.batches.values())
            self._queue(self._new_batch(job, seq, StageName.STORE), Output(files=0))

    def _published(self, job: Job, finding: Published, now: float) -> None:
        state = JobState.FAILED if job.failure else JobState.DONE
        self._forget(job)
        self._changes.ends.append(
            JobEnd(
                job=job.id,
                state=state,
                at=now,
                options=job.options,
                reason=job.failure,
                result_path=finding.path,
                members=finding.members,
                rejected_records=finding.rejected_records,
                tables=finding.tables,
                tables_file=finding.tables_file,
            )
        )
        if finding.tables_file:
            self._changes.unlink.append(finding.tables_file)
        kind = EventKind.FAILED if job.failure else EventKind.PUBLISHED
        self._changes.event(job.id, now, kind, detail=job.failure.code if job.failure else finding.path)
        self.ended.append(Ended(job, state, job.failure))
        self._let_go(job, state, now)

    def _let_go(self, first: Job, state: JobState, now: float) -> None:
        """Jobs that waited for FIRST end as it did, or go on by themselves."""
        for job in self._held.pop(first.id, ()):
            if state is JobState.DONE:
                self._answer_with(job, first.id, first.upload.path, now)
            else:
                self._changes.held.append((job.id, None))
                self._changes.event(job.id, now, EventKind.RELEASED, detail=f"job {first.id} {state}")
                self.admit([job])

    def _retry(self, batch: Batch, outcome: Retry, now: float) -> None:
        batch.state = BatchState.QUEUED
        batch.not_before = self.clock + outcome.after_s
        self._changes.dirty[batch.id] = batch
        self._changes.event(
            batch.job.id,
            now,
            EventKind.RETRY,
            seq=batch.seq,
            stage=batch.stage,
            attempt=batch.attempt,
            detail=outcome.text,
        )
        if batch.job.failure:
            self._refusals.appendleft(batch)
        else:
            self.stages[batch.stage].queue.push(batch, front=True)

    def _reject(self, batch: Batch, outcome: Reject, now: float) -> None:
        """The whole job is refused: its other batches are dropped, this one carries the reason to store."""
        job = batch.job
        job.failure = outcome.reason
        self._changes.failures.append((job.id, outcome.reason))
        self._refuse(batch, outcome.reason)

    def _refuse(self, batch: Batch, reason: Reason) -> None:
        job = batch.job
        for state in self.stages:
            state.queue.remove_job(job.id)
            for other in [other for other in state.in_hand.values() if other.job is job and other is not batch]:
                del state.in_hand[other.id]
                self._release(other, other.places)
                self._drops.append((state.name, Drop(other.id, other.attempt)))
        self._changes.delete([other for other in job.batches.values() if other is not batch])
        job.batches = {batch.id: batch}
        self._changes.unlink.extend(batch.names)
        batch.stage, batch.state = StageName.STORE, BatchState.QUEUED
        batch.payload, batch.names, batch.bytes, batch.checkpoint = b"", (), 0, b""
        batch.not_before = 0.0
        self._changes.dirty[batch.id] = batch
        self._refusals.append(batch)

    # Bookkeeping

    def _new_batch(self, job: Job, seq: int, stage: StageName) -> Batch:
        batch = Batch(self._next_batch, job, seq, stage)
        self._next_batch += 1
        job.batches[batch.id] = batch
        return batch

    def _release(self, batch: Batch, places: int) -> None:
        if places:
            queue = self.stages[batch.stage + 1].queue
            queue.release(batch.job.id, batch.reserved * places, places)
            batch.places -= places

    def _forget(self, job: Job) -> None:
        self._changes.delete(job.batches.values())
        job.batches = {}
        self.jobs.pop(job.id, None)
        if self._digests.get(job.upload.sha256) is job:
            del self._digests[job.upload.sha256]


def _task(batch: Batch) -> Task:
    job = batch.job
    return Task(
        job=job.id,
        batch=batch.id,
        seq=batch.seq,
        attempt=batch.attempt,
        payload=batch.payload,
        upload=job.upload,
        options=job.options,
        checkpoint=batch.checkpoint,
        next_seq=batch.closed + 1,
        publish=batch.publishes,
        failure=job.failure,
        crashed=decode_mark(batch.mark).crashed if batch.mark else (),
        alone=batch.charges > 1,
        prefix=batch.prefix,
    )
