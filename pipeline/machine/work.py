"""The mutable state of open work, as the scheduler holds it, and the changes of a turn, as the ledger commits them.

Kept apart from `model`: these are not shared with stages, and they change in place.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from pipeline.model import (
    BatchState,
    JobState,
    MemberCounts,
    Options,
    Reason,
    StageName,
    TableInfo,
    Upload,
    name_prefix,
)

MSGPACK = msgspec.msgpack.Encoder()

# sqlite3 looks for an adapter of every value whose type isn't exactly int, float, str or bytearray, which takes 0.7 us
# each; members of enums become plain numbers and texts by these.
_NUMBERS = tuple(range(4))


class EventKind(enum.StrEnum):
    """What an event says happened."""

    ARRIVED = "arrived"  # the job is in the ledger
    FINISHED = "finished"  # a batch's visit to a stage ended well; seconds is the stage's working time
    CLOSED = "closed"  # extract closed a batch and went on
    RETRY = "retry"  # something passing stood in the way
    DIED = "died"  # the worker died while the batch ran
    CHARGED = "charged"  # ... and the batch was charged for it
    CRASHED = "crashed"  # a member is given up on, after three charges
    PUBLISHED = "published"  # in the library; the job is done
    FAILED = "failed"  # the job is refused, with the reason
    DUPLICATE = "duplicate"  # equal to a job that is done
    HELD = "held"  # equal to a job that runs
    RELEASED = "released"  # that job didn't do it; this one goes on by itself
    RESUBMITTED = "resubmitted"  # the same file was submitted again
    RESET = "reset"  # set back to its upload
    CANCELLED = "cancelled"  # taken back
    FORGOTTEN = "forgotten"  # taken out of the library and its targets


class Mark(msgspec.Struct, array_like=True, gc=False):
    """Where a batch was at its last death, and who was singled out since."""

    closed: int = -1
    member: int = -1
    done_bytes: int = -1
    crashed: tuple[int, ...] = ()  # members given up on
    alone: bool = False  # its members are taken singly from now on
    taken_alone: bool = False  # ... and were so already when it got to this point


NO_MARK = b""
_mark_decoder = msgspec.msgpack.Decoder(Mark)


def decode_mark(data: bytes) -> Mark:
    """The mark in a batch's row."""
    return _mark_decoder.decode(data) if data else Mark()


class Job:
    """A job that has begun and not ended, or one that has and is being forgotten."""

    __slots__ = ("batches", "ended_extract", "epoch", "failure", "forgets", "id", "options", "upload")

    def __init__(self, id: int, upload: Upload, options: Options, epoch: int = 0) -> None:
        self.id = id
        self.upload = upload
        self.options = options
        self.epoch = epoch
        self.batches: dict[int, Batch] = {}  # its open batches by their row's id, staged ones among them
        self.ended_extract = False
        self.failure: Reason | None = None
        self.forgets = False

    @property
    def is_leaving(self) -> bool:
        """Whether store needs next to no room for what is left to do: the job is refused, or is being forgotten."""
        return self.forgets or self.failure is not None


class Batch:
    """An open batch. Its fields are its ledger row's, but for those that live in memory only.

    These are: `places`, reserved in the next queue with `reserved` bytes each; `granted` and `produced`, the batches
    it may close and has closed in this attempt; `not_before`, when a retry is due; `publishes`, set while store has it
    to publish the job; `bound`, that it needs a program and found another archive's running.
    """

    __slots__ = (
        "attempt",
        "bound",
        "bytes",
        "charges",
        "checkpoint",
        "closed",
        "files",
        "granted",
        "id",
        "in_ledger",
        "job",
        "mark",
        "names",
        "not_before",
        "orphaned",
        "payload",
        "places",
        "produced",
        "publishes",
        "reserved",
        "seq",
        "stage",
        "state",
    )

    def __init__(self, id: int, job: Job, seq: int, stage: StageName) -> None:
        self.id = id
        self.job = job
        self.seq = seq
        self.stage = stage
        self.state = BatchState.QUEUED
        self.attempt = 0
        self.charges = 0
        self.orphaned = 0
        self.mark = NO_MARK
        self.bytes = 0
        self.files = 1
        self.payload = b""
        self.names: tuple[str, ...] = ()
        self.checkpoint = b""
        self.closed = 0
        self.granted = 0
        self.produced = 0
        self.places = 0
        self.reserved = 0
        self.publishes = False
        self.not_before = 0.0
        self.bound = False
        self.in_ledger = False

    @property
    def held_bytes(self) -> int:
        """What it holds in work/: nothing while it only points at the upload in the spool."""
        return self.bytes if self.names else 0

    @property
    def is_suspect(self) -> bool:
        """Whether its worker, or the supervisor, died while it ran; such a batch runs alone."""
        return self.charges > 0 or self.orphaned > 0

    @property
    def prefix(self) -> str:
        """What every name starts with that its current attempt writes in work/."""
        return name_prefix(self.job.id, self.job.epoch, self.seq, self.stage, self.attempt)

    def moved(self) -> tuple[object, ...]:
        """The part of its ledger row that changes with every step, id last."""
        return (
            _NUMBERS[self.stage],
            _NUMBERS[self.state],
            self.attempt,
            self.bytes,
            self.files,
            bytearray(self.payload),
            "\n".join(self.names) if self.names else "",
            self.id,
        )

    def judged(self) -> tuple[object, ...]:
        """The part of its ledger row that changes seldom, id last."""
        return (self.charges, self.orphaned, self.mark, self.checkpoint, self.closed, self.id)


class JobEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended."""

    job: int
    state: JobState
    at: float
    options: Options
    reason: Reason | None = None
    duplicate_of: int | None = None
    result_path: str | None = None
    members: MemberCounts | None = None
    rejected_records: int = 0
    tables: tuple[TableInfo, ...] = ()
    tables_file: str = ""  # a name in work/ that holds the tables, where they are many

    @property
    def is_plain(self) -> bool:
        """Whether the job is done with nothing to say of it, and had no password that is to be wiped."""
        return self.state is JobState.DONE and self.reason is None and self.options.password is None


class Equal(NamedTuple):
    """A job that has the same bytes and options as another; `result_path` is relative to the library."""

    job: int
    state: JobState
    path: str
    result_path: str | None


class Changes:
    """What one turn of the supervisor's loop has decided, to be committed in one transaction."""

    __slots__ = (
        "deleted_jobs",
        "digests",
        "dirty",
        "ends",
        "events",
        "failures",
        "forgets",
        "gone",
        "held",
        "judged",
        "obsolete",
        "resets",
        "unlink",
    )

    def __init__(self) -> None:
        self.dirty: dict[int, Batch] = {}
        self.judged: dict[int, Batch] = {}  # those of them whose charges, mark or checkpoint changed
        self.gone: list[int] = []  # batch rows to delete
        self.events: list[tuple[int, float, int, int | None, str, int, float, str]] = []
        self.digests: list[tuple[str, int, int]] = []  # sha256, size, job
        self.failures: list[tuple[int, Reason]] = []  # jobs that are refused but not yet ended
        self.forgets: list[int] = []  # ended jobs that are being forgotten from now on
        self.held: list[tuple[int, int | None]] = []  # job, the job it waits for (None: waiting by itself again)
        self.resets: list[int] = []  # jobs set back to their upload
        self.deleted_jobs: list[int] = []  # rows merged into an earlier job
        self.ends: list[JobEnd] = []
        self.obsolete: list[str] = []  # folders in the library that a retried failure left
        self.unlink: list[str] = []  # names in work/ that nobody owns once this is committed

    def __bool__(self) -> bool:
        return bool(
            self.dirty
            or self.gone
            or self.events
            or self.ends
            or self.held
            or self.resets
            or self.deleted_jobs
            or self.digests
            or self.failures
            or self.forgets
            or self.unlink
            or self.obsolete
        )

    def event(
        self,
        job: int,
        at: float,
        what: EventKind,
        *,
        seq: int = 0,
        stage: StageName | None = None,
        attempt: int = 0,
        seconds: float = 0.0,
        detail: str = "",
    ) -> None:
        """Adds an event; they are numbered when they are committed."""
        number = None if stage is None else _NUMBERS[stage]
        self.events.append((job, at, seq, number, what._value_, attempt, seconds, detail))

    def visit(self, batch: Batch, at: float, what: EventKind, *, seconds: float = 0.0, detail: str = "") -> None:
        """Adds an event about BATCH at the stage where it is."""
        self.events.append(
            (batch.job.id, at, batch.seq, _NUMBERS[batch.stage], what._value_, batch.attempt, seconds, detail)
        )

    def delete(self, batches: Iterable[Batch]) -> None:
        """Takes BATCHES out of the ledger, and what they own out of work/."""
        for batch in batches:
            self.dirty.pop(batch.id, None)
            self.judged.pop(batch.id, None)
            self.unlink.extend(batch.names)
            if batch.in_ledger:
                self.gone.append(batch.id)
