"""The ledger's rows in memory, as its schema describes them: what the real one is compared with, and what stands in for
it where the scheduler is tried without a disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import msgspec

from pipeline.machine.work import Batch, Changes, Equal, Job
from pipeline.model import BatchState, JobState, Options, Reason, StageName, TableInfo, Upload

Data = bytes  # a name that BatchRow's own field `bytes` doesn't hide
Event = tuple[int, float, int, int | None, str, int, float, str]


@dataclasses.dataclass
class JobRow:
    source: str
    upload: Upload
    options: Options
    state: JobState = JobState.WAITING
    epoch: int = 0
    reason: Reason | None = None
    other: int | None = None  # duplicate_of
    result_path: str | None = None
    rejected: int = 0  # members and records
    tables: tuple[TableInfo, ...] = ()


@dataclasses.dataclass(frozen=True)
class BatchRow:
    job: int
    seq: int
    stage: StageName
    state: BatchState
    attempt: int
    bytes: int
    files: int
    payload: Data
    names: tuple[str, ...]
    charges: int = 0
    orphaned: int = 0
    mark: Data = b""
    checkpoint: Data = b""
    closed: int = 0


class Rows:
    """Applies Changes as one transaction would, and complains where rows and changes contradict each other."""

    def __init__(self) -> None:
        self.jobs: dict[int, JobRow] = {}
        self.batches: dict[int, BatchRow] = {}
        self.events: list[Event] = []
        self._last_job = 0

    @property
    def next_batch(self) -> int:
        return max(self.batches, default=0) + 1

    def submit(self, uploads: Iterable[tuple[str, Upload, Options]]) -> list[int]:
        return [self._submit_one(*one) for one in uploads]

    def _submit_one(self, source: str, upload: Upload, options: Options) -> int:
        for id, row in self.jobs.items():
            if row.source == source:
                return id
        self._last_job += 1
        self.jobs[self._last_job] = JobRow(source, upload, options)
        self.events.append((self._last_job, upload.arrived_at, 0, None, "arrived", 0, 0.0, source))
        return self._last_job

    def waiting(self) -> list[int]:
        return sorted(id for id, row in self.jobs.items() if row.state is JobState.WAITING)

    def job(self, id: int) -> Job:
        row = self.jobs[id]
        job = Job(id, row.upload, row.options, row.epoch)
        job.forgets = row.state is JobState.FORGETTING
        job.failure = None if job.forgets else row.reason
        return job

    def open_batches(self) -> list[Batch]:
        """Fresh objects, as a ledger that was just opened gives them."""
        jobs: dict[int, Job] = {}
        batches = []
        for id, row in sorted(self.batches.items(), key=lambda one: (one[1].job, one[1].seq)):
            job = jobs.setdefault(row.job, self.job(row.job))
            batch = Batch(id, job, row.seq, row.stage)
            for field in dataclasses.fields(row):
                if field.name not in ("job", "seq", "stage"):
                    setattr(batch, field.name, getattr(row, field.name))
            batch.in_ledger = True
            job.batches[id] = batch
            job.ended_extract |= row.seq == 0 and row.stage > StageName.EXTRACT
            batches.append(batch)
        return batches

    def find_equal(self, sha256: str, options: Options, but: int) -> Equal | None:
        found = [
            Equal(id, row.state, row.upload.path, row.result_path)
            for id, row in sorted(self.jobs.items())
            if id != but and row.upload.sha256 == sha256 and self._answers(row, options)
        ]
        return min(found, key=lambda equal: (equal.state is not JobState.DONE, equal.job), default=None)

    @staticmethod
    def _answers(row: JobRow, options: Options) -> bool:
        """Whether the job of ROW may answer for one with OPTIONS; the password counts unless everything was taken."""
        if row.state not in (JobState.WAITING, JobState.DONE, JobState.FAILED):
            return False
        if row.state is JobState.DONE and not row.rejected:
            options = msgspec.structs.replace(options, password=None)
        return row.options == options

    def hold_none(self) -> None:
        for row in self.jobs.values():
            if row.state is JobState.HELD:
                row.state, row.other = JobState.WAITING, None

    def commit(self, changes: Changes) -> None:
        for batch in changes.dirty.values():
            assert batch.in_ledger == (batch.id in self.batches), f"batch {batch.id} lies about its row"
            assert batch.id not in changes.gone
            self._move(batch)
        for batch in changes.judged.values():
            self._judge(batch)
        for id in changes.gone:
            del self.batches[id]
        for sha256, size, job in changes.digests:
            row = self.jobs[job]
            row.upload = msgspec.structs.replace(row.upload, sha256=sha256, size=size)
        for job, other in changes.held:
            self.jobs[job].state = JobState.WAITING if other is None else JobState.HELD
            self.jobs[job].other = other
        self._end(changes)
        self.events.extend(changes.events)
        self._rare(changes)
        for batch in changes.dirty.values():
            batch.in_ledger = True

    def _move(self, batch: Batch) -> None:
        known = self.batches.get(batch.id)
        judged = (known.charges, known.orphaned, known.mark, known.checkpoint, known.closed) if known else ()
        self.batches[batch.id] = BatchRow(
            batch.job.id,
            batch.seq,
            batch.stage,
            batch.state,
            batch.attempt,
            batch.bytes,
            batch.files,
            batch.payload,
            batch.names,
            *judged,
        )

    def _judge(self, batch: Batch) -> None:
        self.batches[batch.id] = dataclasses.replace(
            self.batches[batch.id],
            charges=batch.charges,
            orphaned=batch.orphaned,
            mark=batch.mark,
            checkpoint=batch.checkpoint,
            closed=batch.closed,
        )

    def _end(self, changes: Changes) -> None:
        for end in changes.ends:
            row = self.jobs[end.job]
            before = (JobState.FORGETTING,) if end.state is JobState.FORGOTTEN else (JobState.WAITING, JobState.HELD)
            assert row.state in before, f"job {end.job} ends twice"
            if end.state is JobState.FORGOTTEN:
                row.upload = msgspec.structs.replace(row.upload, sha256="")
            row.state, row.reason, row.other, row.result_path = end.state, end.reason, end.duplicate_of, end.result_path
            row.options = msgspec.structs.replace(end.options, password=None)
            row.tables = end.tables
            row.rejected = end.rejected_records + (end.members.rejected if end.members else 0)

    def _rare(self, changes: Changes) -> None:
        for job, reason in changes.failures:
            self.jobs[job].reason = reason
        for job in changes.forgets:
            assert self.jobs[job].state not in (JobState.WAITING, JobState.HELD), "forgotten before its end"
            self.jobs[job].state = JobState.FORGETTING
            self.jobs[job].epoch += 1
        for job in changes.resets:
            self.batches = {id: row for id, row in self.batches.items() if row.job != job}
            row = self.jobs[job]
            row.state, row.reason, row.result_path, row.tables = JobState.WAITING, None, None, ()
            row.upload = msgspec.structs.replace(row.upload, sha256="")
            row.epoch += 1
        for job in changes.deleted_jobs:
            del self.jobs[job]
            self.events = [event for event in self.events if event[0] != job]
