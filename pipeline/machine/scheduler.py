"""Decides what happens next: state in, orders and changes out. No process, no clock, no disk.

The supervisor tells it what was heard (`closed`, `finished`, `died`, ...), asks it to `decide`, commits `take_changes()`
and only then sends the orders.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from pipeline.config import INCOMING, Config
from pipeline.machine.dispatcher import Dispatcher, Sends
from pipeline.machine.stage_state import MIN_WINDOW, StageState
from pipeline.machine.work import Batch, Changes, Equal, EventKind, Job, JobEnd
from pipeline.model import BatchState, Done, JobState, Options, Output, Published, Reason, Retry, StageName, Taken
from pipeline.processes.messages import BatchClosed, Bound, Drop, Finished

_SHORT_S: Final = 0.0005  # batches shorter than this are worth committing together


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
        for state, following in itertools.pairwise(self.stages):
            state.next_queue = following.queue
        self.jobs: dict[int, Job] = {}
        self.aliases: dict[int, int] = {}  # submitted again: the job that answers for it
        self.ended: list[Ended] = []
        self.paused = ""  # why not all stages are given work
        self.first_allowed: int = StageName.INTAKE  # stages before this one are given none
        self.clock = 0.0  # monotonic seconds, set by the supervisor at each turn
        self._dispatcher = Dispatcher(config, self.stages)
        self._originals: dict[tuple[str, Options], Job] = {}  # that have passed intake, by bytes and options
        self._just_ended: dict[tuple[str, Options], Equal] = {}  # of those, the ones the ledger doesn't say it of yet
        self._held: dict[int, list[Job]] = {}  # jobs that wait for the one of this id, whose equals they are
        self._heirs: dict[int, str] = {}  # jobs that others waited with, and the bytes they did it for
        self._drops: Sends = []
        self._retries_at: list[float] = []
        self._changes = Changes()

    # What comes in

    @property
    def wanted_jobs(self) -> int:
        """How many more jobs intake's queue takes."""
        queue = self.stages[StageName.INTAKE].queue
        return max(0, self._config.queue.batches - len(queue))

    def next_retry(self) -> float | None:
        """When (on `clock`) the next batch that waits out a retry is due."""
        self._retries_at = [at for at in self._retries_at if at > self.clock]
        return min(self._retries_at, default=None)

    @property
    def expects_more(self) -> bool:
        """Whether more than one stage is in the middle of a handful of very short batches."""
        short = sum(1 for state in self.stages if len(state.in_hand) > MIN_WINDOW and state.mean_s < _SHORT_S)
        return short > 1

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
            if job.upload.sha256 and not job.forgets:
                self._originals.setdefault((job.upload.sha256, job.options), job)
            if batch.state == BatchState.DISPATCHED:
                batch.state = BatchState.QUEUED
                self._changes.dirty[batch.id] = batch
            if batch.state == BatchState.QUEUED and not job.is_leaving:
                self.stages[batch.stage].queue.push(batch)
        for job in self.jobs.values():
            if job.forgets:
                self._dispatcher.refusals.extend(job.batches.values())
            elif job.failure:
                self._refuse(next(iter(job.batches.values())))
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
        self._free_places(batch, 1)
        batch.produced += 1
        batch.closed = report.seq
        batch.checkpoint = report.closed.checkpoint
        self._changes.judged[batch.id] = batch
        part = self._new_batch(batch.job, report.seq, StageName.CONVERT)
        self._queue(part, report.closed.output)
        detail = f"seq={part.seq} files={part.files} bytes={part.bytes}"
        self._changes.visit(batch, now, EventKind.CLOSED, seconds=report.busy_s, detail=detail)
        self._drops += self._dispatcher.closed(batch, self._changes)

    def bound(self, report: Bound) -> None:
        """Extract found that a batch needs a program while another archive's is running: it waits for its turn."""
        self._dispatcher.bound(report, self._changes)

    def finished(self, stage: StageName, report: Finished, now: float, equal: Equal | None = None) -> None:
        """A batch's work at STAGE ended. EQUAL is the ended job that intake's finding equals, if any."""
        state = self.stages[stage]
        batch = state.in_hand.get(report.batch)
        outcome = report.outcome
        if batch is None or batch.attempt != report.attempt:
            if isinstance(outcome, Done) and outcome.output:
                self._changes.unlink.extend(outcome.output.names)
            return
        state.give(batch)
        if batch.places:
            self._free_places(batch, batch.places)
        state.worked(report.busy_s)
        if isinstance(outcome, Done):
            if not batch.publishes:
                self._visit_over(batch, report)
            if stage is StageName.INTAKE:
                self._taken(batch, outcome, now, equal)
            elif stage is StageName.EXTRACT:
                self._extracted(batch, outcome)
            elif stage is StageName.CONVERT:
                self._advance(batch, outcome.output, StageName.STORE)
            else:
                self._stored(batch, outcome, now, report.busy_s)
        elif isinstance(outcome, Retry):
            self._retry(batch, outcome, now)
        else:
            state.rejected += 1
            self._reject(batch, outcome.reason)

    def died(self, stage: StageName) -> list[Batch]:
        """STAGE's worker is dead and reaped: what it had in hand is queued again, in order. Returns those batches."""
        state = self.stages[stage]
        state.ready = False
        lost = list(state.in_hand.values())
        for batch in reversed(lost):
            state.give(batch)
            self._free_places(batch, batch.places)
            batch.state = BatchState.QUEUED
            self._changes.dirty[batch.id] = batch
            if batch.job.is_leaving and batch.publishes:
                self._dispatcher.refusals.appendleft(batch)
            else:
                state.queue.push(batch, front=True)
        return lost

    def give_up(self, batch: Batch, reason: Reason, now: float) -> None:
        """The job of BATCH, which waits, is refused for REASON; where that is so already and can't be published either,
        it ends with its first reason and no folder in the library."""
        if batch.job.failure is None:
            self._reject(batch, reason)
        else:
            self._end_unpublished(batch, now)

    def set_back(self, job: Job, now: float, detail: str) -> None:
        """JOB starts again from its upload, after those that wait."""
        self._withdraw(job, but=None)
        self._forget(job)
        self._changes.obsolete.append(f"{INCOMING}/{job.id}")
        self._changes.resets.append(job.id)
        self._changes.event(job.id, now, EventKind.RESET, detail=detail)
        if job.id in self._held:
            self._heirs.setdefault(job.id, job.upload.sha256)
        job.upload = msgspec.structs.replace(
            job.upload, sha256=""
        )  # an equal file may pass intake before it does again
        job.epoch += 1
        job.ended_extract = False
        self.admit([job])

    @property
    def is_working(self) -> bool:
        """Whether any worker can go on with what it has in hand; an extract that waits for a place can't."""
        return any(state.is_working for state in self.stages)

    def touch(self, batch: Batch) -> None:
        """BATCH's charges or mark have changed."""
        self._changes.judged[batch.id] = batch

    # What goes out

    def take_changes(self) -> Changes:
        """The changes since the last call, to be committed before anything that `decide` returned is sent."""
        changes, self._changes = self._changes, Changes()
        self._just_ended.clear()
        return changes

    @property
    def changes(self) -> Changes:
        """The changes so far in this turn."""
        return self._changes

    def decide(self) -> Sends:
        """What to hand out now; downstream first, so that room made there is seen upstream in the same turn."""
        drops, self._drops = self._drops, []
        return drops + self._dispatcher.decide(self.clock, self.first_allowed, self._changes)

    # What a finished visit leads to

    def _visit_over(self, batch: Batch, report: Finished) -> None:
        self._changes.visit(batch, report.started_at, EventKind.FINISHED, seconds=report.busy_s)
        batch.attempt = 0
        if batch.charges or batch.orphaned or batch.mark:
            batch.charges, batch.orphaned, batch.mark = 0, 0, b""
            self._changes.judged[batch.id] = batch

    def _taken(self, batch: Batch, outcome: Done, now: float, equal: Equal | None) -> None:
        job = batch.job
        if isinstance(outcome.finding, Taken) and not self._is_original(job, outcome.finding, now, equal):
            return
        self._advance(batch, outcome.output, StageName.EXTRACT)

    def _is_original(self, job: Job, finding: Taken, now: float, equal: Equal | None) -> bool:
        """Whether JOB goes on by itself; otherwise its end, or whom it waits for, has been noted."""
        key = (finding.sha256, job.options)
        if self._heirs.pop(job.id, finding.sha256) != finding.sha256:
            self._release(self._held.pop(job.id, []), f"job {job.id} turned out to be another", now)
        first = self._originals.get(key)
        if first is not None and first is not job:
            self._hold(job, first, now)
            return False
        equal = self._just_ended.get(key, equal)
        if equal is not None and equal.state is JobState.DONE:
            self._answer_with(job, equal.job, equal.path, now)
            return False
        if equal is not None and equal.state is JobState.FAILED and equal.path == job.upload.path:
            self._changes.event(job.id, now, EventKind.RESUBMITTED, detail=f"in place of failed job {equal.job}")
            self._changes.deleted_jobs.append(equal.job)
            if equal.result_path:
                self._changes.obsolete.append(equal.result_path)
        self._originals[key] = job
        job.upload = msgspec.structs.replace(job.upload, sha256=finding.sha256)
        self._changes.digests.append((finding.sha256, finding.size, job.id))
        return True

    def _hold(self, job: Job, first: Job, now: float) -> None:
        self._held.setdefault(first.id, []).extend((job, *self._held.pop(job.id, ())))
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
        else:
            end = JobEnd(job=job.id, state=JobState.DUPLICATE, at=now, options=job.options, duplicate_of=first)
            self._changes.ends.append(end)
            self._changes.event(job.id, now, EventKind.DUPLICATE, detail=f"of job {first}")
            self.ended.append(Ended(job, JobState.DUPLICATE, None))
        for waiting in self._held.pop(job.id, ()):
            self._answer_with(waiting, first, first_path, now)

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

    def _extracted(self, batch: Batch, outcome: Done) -> None:
        """The upload's own batch goes on as the job's last one, and by that says that extract has ended."""
        batch.job.ended_extract = True
        if batch.checkpoint:
            batch.checkpoint = b""
            self._changes.judged[batch.id] = batch
        self._advance(batch, outcome.output, StageName.CONVERT)

    def _stored(self, batch: Batch, outcome: Done, now: float, busy_s: float) -> None:
        if batch.publishes:
            assert isinstance(outcome.finding, Published)
            self._published(batch.job, outcome.finding, now, busy_s)
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

    def _published(self, job: Job, finding: Published, now: float, busy_s: float) -> None:
        state = JobState.FAILED if job.failure or finding.members.none_taken else JobState.DONE
        reason = job.failure or finding.reason
        self._forget(job)
        self._changes.ends.append(
            JobEnd(
                job=job.id,
                state=state,
                at=now,
                options=job.options,
                reason=reason,
                result_path=finding.path,
                members=finding.members,
                rejected_records=finding.rejected_records,
                tables=finding.tables,
                tables_file=finding.tables_file,
            )
        )
        if finding.tables_file:
            self._changes.unlink.append(finding.tables_file)
        kind = EventKind.FAILED if state is JobState.FAILED else EventKind.PUBLISHED
        detail = reason.code if reason and state is JobState.FAILED else finding.path
        self._changes.event(job.id, now, kind, stage=StageName.STORE, seconds=busy_s, detail=detail)
        self.ended.append(Ended(job, state, reason))
        self._just_ended[job.upload.sha256, job.options] = Equal(job.id, state, job.upload.path, finding.path)
        self._let_go(job, state, now)

    def _end_unpublished(self, batch: Batch, now: float) -> None:
        job = batch.job
        self._dispatcher.refusals.remove(batch)
        self._forget(job)
        self._changes.obsolete.append(f"{INCOMING}/{job.id}")
        self._changes.ends.append(
            JobEnd(job=job.id, state=JobState.FAILED, at=now, options=job.options, reason=job.failure)
        )
        self._changes.event(job.id, now, EventKind.FAILED, detail="its reason couldn't be published")
        self.ended.append(Ended(job, JobState.FAILED, job.failure))
        self._let_go(job, JobState.FAILED, now)

    def _let_go(self, first: Job, state: JobState, now: float) -> None:
        """Jobs that waited for FIRST end as it did; or the next of them is tried, and the others wait for that one."""
        waiting = self._held.pop(first.id, [])
        if state is JobState.DONE:
            for job in waiting:
                self._answer_with(job, first.id, first.upload.path, now)
        elif waiting:
            heir, *others = waiting
            if others:
                self._held[heir.id] = others
                self._heirs[heir.id] = self._heirs.pop(first.id, first.upload.sha256)
            self._release([heir], f"job {first.id} {state}", now)

    def _release(self, jobs: Iterable[Job], detail: str, now: float) -> None:
        """JOBS, which were held, go on by themselves."""
        for job in jobs:
            self._changes.held.append((job.id, None))
            self._changes.event(job.id, now, EventKind.RELEASED, detail=detail)
            self.admit([job])

    def _retry(self, batch: Batch, outcome: Retry, now: float) -> None:
        batch.state = BatchState.QUEUED
        batch.not_before = self.clock + outcome.after_s
        self._retries_at.append(batch.not_before)
        self._changes.dirty[batch.id] = batch
        self._changes.visit(batch, now, EventKind.RETRY, detail=outcome.text)
        if batch.job.is_leaving:
            self._dispatcher.refusals.appendleft(batch)
        else:
            self.stages[batch.stage].queue.push(batch, front=True)

    def _reject(self, batch: Batch, reason: Reason) -> None:
        """The whole job is refused: its other batches are dropped, this one carries the reason to store."""
        batch.job.failure = reason
        self._changes.failures.append((batch.job.id, reason))
        self._refuse(batch)

    def _refuse(self, batch: Batch) -> None:
        job = batch.job
        self._withdraw(job, but=batch)
        self._changes.delete([other for other in job.batches.values() if other is not batch])
        job.batches = {batch.id: batch}
        self._changes.unlink.extend(batch.names)
        self._changes.obsolete.append(f"{INCOMING}/{job.id}")
        batch.stage, batch.state = StageName.STORE, BatchState.QUEUED
        batch.payload, batch.names, batch.bytes, batch.checkpoint = b"", (), 0, b""
        batch.charges, batch.orphaned, batch.mark = 0, 0, b""  # nothing of what it was charged for is left in it
        batch.not_before = 0.0
        self._changes.dirty[batch.id] = batch
        self._changes.judged[batch.id] = batch
        self._dispatcher.refusals.append(batch)

    # Bookkeeping

    def _withdraw(self, job: Job, but: Batch | None) -> None:
        """Takes JOB's batches out of the queues and, BUT one, out of the workers' hands."""
        for state in self.stages:
            state.queue.remove_job(job.id)
            for batch in [batch for batch in state.in_hand.values() if batch.job is job and batch is not but]:
                state.give(batch)
                self._free_places(batch, batch.places)
                self._drops.append((state.name, Drop(batch.id, batch.attempt)))

    def _new_batch(self, job: Job, seq: int, stage: StageName) -> Batch:
        batch = Batch(self._next_batch, job, seq, stage)
        self._next_batch += 1
        job.batches[batch.id] = batch
        return batch

    def _free_places(self, batch: Batch, places: int) -> None:
        if places:
            self.stages[batch.stage].next_queue.release(batch.job.id, batch.reserved * places, places)
            batch.places -= places

    def _forget(self, job: Job) -> None:
        self._changes.delete(job.batches.values())
        job.batches = {}
        self.jobs.pop(job.id, None)
        key = (job.upload.sha256, job.options)
        if self._originals.get(key) is job:
            del self._originals[key]
