"""The scheduler with what people may do to it: hold it, drain it, cancel a job, run one again or have it forgotten. Pure
like the rest of it.

A cancel loses to a publication that has begun. What a cancelled batch still reports is thrown away and charged to
nobody, since it is no longer in anybody's hands.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final

import msgspec

from pipeline.config import INCOMING, Config
from pipeline.machine.dispatcher import Sends
from pipeline.machine.scheduler import Ended, Scheduler
from pipeline.machine.work import Batch, Changes, EventKind, Job, JobEnd
from pipeline.model import BatchState, Done, JobState, Reason, StageName

_FORGET_AGAIN_S: Final = 600.0  # after what shouldn't have come in the way of forgetting a job


class Halt(enum.StrEnum):
    """Whether the operator holds the pipeline."""

    NONE = ""  # it works
    PAUSED = "paused"  # no batch is handed out; those that run finish
    DRAINING = "draining"  # no job is begun; those that have begun finish


class SteeredScheduler(Scheduler):
    """A scheduler that can be held, and whose jobs can be cancelled and run again."""

    def __init__(self, config: Config, next_batch: int) -> None:
        super().__init__(config, next_batch)
        self.halt = Halt.NONE
        self.is_followed = False  # whether somebody takes what is `told`
        self.told: list[tuple[int, float, int, int | None, str, int, float, str]] = []  # events committed since
        self._untold: list[tuple[int, float, int, int | None, str, int, float, str]] = []
        self._cancelled: dict[int, int] = {}  # jobs that were cancelled before they were admitted, in which epoch

    def reconfigure(self, config: Config) -> None:
        """Takes CONFIG's queues and batches into account from now on."""
        self._config = self._dispatcher.config = config
        for state in self.stages:
            state.queue.limits = config.queue

    @property
    def wanted_jobs(self) -> int:
        """How many more jobs intake's queue takes; none while halted."""
        return 0 if self.halt else super().wanted_jobs

    @property
    def drained(self) -> bool:
        """Whether every job that had begun has ended since draining began."""
        return self.halt is Halt.DRAINING and self.idle

    def decide(self) -> Sends:
        """What to hand out now; while paused, only that cancelled batches be dropped."""
        if self.halt is Halt.PAUSED:
            drops, self._drops = self._drops, []
            return drops
        return super().decide()

    def take_changes(self) -> Changes:
        """The changes since the last call, whose events are `told` once the next are taken: they are committed then."""
        changes = super().take_changes()
        if self.is_followed:
            self.told += self._untold
            self._untold = changes.events
        return changes

    def cancel(self, job: Job, now: float) -> bool:
        """Takes JOB, unfinished, back. False where its publication has begun: then it ends as it would have."""
        mine = self.jobs.get(job.id)
        if any(ended.job.id == job.id for ended in self.ended):
            return False
        if mine is not None:
            if self._publication_begun(mine):
                return False
            self._drop(mine)
            job = mine
        else:
            self._stop_waiting(job)
        self._changes.ends.append(JobEnd(job=job.id, state=JobState.CANCELLED, at=now, options=job.options))
        self._changes.event(job.id, now, EventKind.CANCELLED)
        self.ended.append(Ended(job, JobState.CANCELLED, None))
        self._let_go(job, JobState.CANCELLED, now)
        self._heirs.pop(job.id, None)
        return True

    def _publication_begun(self, job: Job) -> bool:
        """Whether store may have renamed JOB already; after a restart only the attempt tells that it was about to."""
        return any(
            batch.publishes
            or (batch.stage is StageName.STORE and batch.attempt > 0 and self._dispatcher._is_last(batch))
            for batch in job.batches.values()
        )

    def _drop(self, job: Job) -> None:
        self._withdraw(job, but=None)
        for batch in list(self._dispatcher.refusals):
            if batch.job is job:
                self._dispatcher.refusals.remove(batch)
        self._forget(job)
        self._changes.obsolete.append(f"{INCOMING}/{job.id}")

    def _stop_waiting(self, job: Job) -> None:
        """JOB isn't open: it waits for an equal one, or in the ledger for its turn."""
        for first, waiting in list(self._held.items()):
            left = [other for other in waiting if other.id != job.id]
            if len(left) < len(waiting):
                self._held[first] = left
                if not left:
                    del self._held[first]
                return
        self._cancelled[job.id] = job.epoch

    def admit(self, jobs: Iterable[Job]) -> None:
        """Jobs that haven't begun get in line for intake, but for those that were cancelled since they were loaded; one
        that runs again since then has another epoch."""
        super().admit([job for job in jobs if job.epoch > self._cancelled.get(job.id, -1)])

    def retry(self, job: Job, result: str | None, now: float) -> bool:
        """JOB, which has ended, runs again from its upload, and what it published as RESULT (relative to the library) goes.
        False where it runs already."""
        if job.id in self.jobs:
            return False
        self._changes.resets.append(job.id)
        if result:
            self._changes.obsolete.append(result)
        self._changes.event(job.id, now, EventKind.RESET, detail="run again by the operator")
        job.upload = msgspec.structs.replace(job.upload, sha256="")  # an equal file may pass intake before it does
        job.epoch += 1
        job.failure = None
        self.admit([job])
        return True

    # Forgetting

    def forget(self, job: Job, now: float) -> bool:
        """JOB, which has ended, is taken out of the library and its targets by store. False where it runs already."""
        if job.id in self.jobs:
            return False
        job.forgets, job.failure, job.ended_extract = True, None, True
        job.epoch += 1  # so that its attempts are no earlier one's namesakes
        self.jobs[job.id] = job
        self._changes.forgets.append(job.id)
        batch = self._new_batch(job, 0, StageName.STORE)
        self._changes.dirty[batch.id] = batch
        self._dispatcher.refusals.append(batch)
        return True

    def _stored(self, batch: Batch, outcome: Done, now: float, busy_s: float) -> None:
        if not batch.job.forgets:
            super()._stored(batch, outcome, now, busy_s)
            return
        job = batch.job
        self._forget(job)
        self._changes.ends.append(JobEnd(job=job.id, state=JobState.FORGOTTEN, at=now, options=job.options))
        self._changes.event(job.id, now, EventKind.FORGOTTEN, stage=StageName.STORE, seconds=busy_s)
        self.ended.append(Ended(job, JobState.FORGOTTEN, None))

    def _reject(self, batch: Batch, reason: Reason) -> None:
        """A job that is being forgotten has ended before: whatever came in the way, it is tried again later."""
        if not batch.job.forgets:
            super()._reject(batch, reason)
            return
        batch.charges, batch.orphaned, batch.mark = 0, 0, b""
        batch.state, batch.not_before = BatchState.QUEUED, self.clock + _FORGET_AGAIN_S
        self._retries_at.append(batch.not_before)
        self._changes.dirty[batch.id] = self._changes.judged[batch.id] = batch
        if batch not in self._dispatcher.refusals:
            self._dispatcher.refusals.append(batch)
