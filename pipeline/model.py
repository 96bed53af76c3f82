"""The frozen values that every room shares, and the protocol a stage fulfils. Nothing here does I/O.

Sizes are bytes, times are seconds (`_s`) or Unix time in seconds (`_at`), unless a name says otherwise.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Protocol

import msgspec


class StageName(enum.IntEnum):
    """The four stages, in the order a batch takes them."""

    INTAKE = 0  # hashes the upload and learns whether it may go on
    EXTRACT = 1  # turns the upload into batches of plain files
    CONVERT = 2  # turns a batch's files into typed tables
    STORE = 3  # stages the tables and publishes the job

    @property
    def title(self) -> str:
        """The stage's name as people read it, `extract` for EXTRACT."""
        return _TITLES[self]


_TITLES = tuple(name.lower() for name in StageName.__members__)


class JobState(enum.StrEnum):
    """Where a job stands; `done`, `failed`, `duplicate`, `cancelled` and `forgotten` are final."""

    WAITING = "waiting"  # in the ledger, not begun
    RUNNING = "running"  # at least one of its batches has been dispatched
    HELD = "held"  # equal to a job that is still running; decided when that one ends
    DONE = "done"  # published
    FAILED = "failed"  # published with a reason and no table
    DUPLICATE = "duplicate"  # equal bytes and options as a job that is done
    CANCELLED = "cancelled"  # taken back by its uploader or the operator
    FORGETTING = "forgetting"  # ended, and being taken out of the library and its targets
    FORGOTTEN = "forgotten"  # taken out: nothing of what it held is left but its name and its story

    @property
    def is_final(self) -> bool:
        """Whether a job in this state has ended, and nothing is done about it."""
        return self not in (JobState.WAITING, JobState.RUNNING, JobState.HELD, JobState.FORGETTING)


class BatchState(enum.IntEnum):
    """Where a batch stands within its stage."""

    QUEUED = 0  # waits in its stage's queue
    DISPATCHED = 1  # handed to its stage's worker
    STAGED = 2  # its parts lie in the library's .incoming, waiting for the job's other batches


class Code(enum.StrEnum):
    """Why an input could not be taken, or not wholly."""

    EMPTY = "empty"  # not one byte in it
    UNREADABLE = "unreadable"  # it can't be opened or read
    CHANGED = "changed"  # it changed while it was being worked on
    CORRUPT = "corrupt"  # damaged, or not what it says it is
    TRUNCATED = "truncated"  # it ends before it should
    ENCRYPTED = "encrypted"  # needs a password that is missing or wrong
    UNSUPPORTED = "unsupported"  # a format or feature that isn't read (here, or without a tool)
    UNSAFE = "unsafe"  # a link, device or the like: recorded, never made
    TOO_LARGE = "too_large"  # over a limit of size or number
    TOO_DEEP = "too_deep"  # nested deeper than the limit
    BOMB = "bomb"  # grows out of proportion, or its parts overlap
    TIMEOUT = "timeout"  # took longer than the limit
    MALFORMED = "malformed"  # a record that doesn't fit its table's structure
    CRASHED = "crashed"  # the program that worked on it died, three times
    MISSING_VOLUME = "missing_volume"  # a part of a split archive never came
    TOOL_FAILED = "tool_failed"  # a configured external program refused it
    INTERNAL = "internal"  # a bug of ours; the traceback is in the job's log


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why something wasn't taken: CODE for programs, TEXT and NEXT_STEP for the uploader."""

    code: Code
    text: str
    next_step: str


class Options(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What an uploader asked for with a job. The password is wiped from the ledger when the job ends."""

    password: str | None = None
    types: str = "auto"  # "auto" or "text": every column as it was written


class Volume(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A further part of an upload that came in several files, as it was when it was taken in."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    device: int

    @classmethod
    def seen(cls, path: str, status: os.stat_result) -> Volume:
        """The file at PATH, which has STATUS now."""
        return cls(
            path=path, size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino, device=status.st_dev
        )


class Upload(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One submitted file as it was when it was taken in.

    `path` is absolute; device, inode, size and mtime_ns tell whether it has changed since. `sha256` (hex) is
    empty until intake has read it. `name` is what people call it, never used as a path.

    Of a split archive it is the part by which it is opened; `parts` are the others in their order, beside it under the
    names they were made with, and `missing` names one that never came, for which the job is refused.
    """

    path: str
    name: str
    size: int
    mtime_ns: int
    inode: int
    device: int
    sha256: str = ""
    arrived_at: float = 0.0
    parts: tuple[Volume, ...] = ()
    missing: str = ""

    @classmethod
    def of(cls, files: Iterable[Volume], *, name: str, arrived_at: float, missing: str = "") -> Upload:
        """The upload that FILES are, the one that it is opened by first."""
        first, *others = files
        return cls(
            path=first.path,
            name=name,
            size=first.size,
            mtime_ns=first.mtime_ns,
            inode=first.inode,
            device=first.device,
            arrived_at=arrived_at,
            parts=tuple(others),
            missing=missing,
        )

    @property
    def files(self) -> tuple[Upload | Volume, ...]:
        """All its files, the one that it is opened by first."""
        return (self, *self.parts)

    @property
    def paths(self) -> tuple[str, ...]:
        """Where they are."""
        return tuple(file.path for file in self.files)

    @property
    def total_size(self) -> int:
        """Of all its files together."""
        return self.size if not self.parts else self.size + sum(part.size for part in self.parts)


Payload = bytes  # a name that Output's own field `bytes` doesn't hide when annotations are resolved


class Output(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What a stage hands to the next one: an opaque PAYLOAD for it, and what it costs.

    `names` are all entries of work/ (files or folders, relative) that the payload refers to: they live exactly as
    long as the ledger's batch row names them. `bytes` and `files` are what the batch counts for in the next queue.
    """

    payload: Payload = b""
    names: tuple[str, ...] = ()
    bytes: int = 0
    files: int = 1


class Closed(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A batch that extract closes while it goes on. `checkpoint` is where a restart goes on after this batch."""

    output: Output
    checkpoint: bytes


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column as published: `type` in DuckDB's words (BIGINT, DOUBLE, VARCHAR, DATE, DECIMAL(18,2), ...)."""

    name: str
    type: str


class TableInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A published table: `path` is its folder below the library's root, `source` the member it came from."""

    name: str
    path: str
    source: str
    rows: int
    rejected: int
    columns: tuple[Column, ...]


class MemberCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a job's members; total = converted + kept + rejected."""

    total: int = 0
    converted: int = 0
    kept: int = 0
    rejected: int = 0

    @property
    def none_taken(self) -> bool:
        """Whether there were members, and every one of them was rejected."""
        return self.rejected > 0 and self.converted + self.kept == 0


class Taken(msgspec.Struct, frozen=True, kw_only=True, tag="taken"):
    """Intake's finding: the upload's hash, with which the ledger finds duplicates."""

    sha256: str
    size: int


class Published(msgspec.Struct, frozen=True, kw_only=True, tag="published"):
    """Store's finding: the job is in the library at PATH (relative to its root). `tables_file` (a name in work/)
    holds the tables as JSON where they are too many for a message; `tables` is empty then. `reason` is why the job was
    refused, or else why the first of its members that weren't taken wasn't."""

    path: str
    members: MemberCounts
    reason: Reason | None = None
    rejected_records: int = 0
    tables: tuple[TableInfo, ...] = ()
    tables_file: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=True):
    """The batch's work at this stage is finished; `output` goes on to the next one.

    From extract, `output` is the job's last batch, or None when nothing more (or nothing at all) is to be converted.
    """

    output: Output | None = None
    finding: Taken | Published | None = None


class Retry(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=True):
    """Something passing stood in the way (a busy disk, a lock); try again after a while. Charged to nobody."""

    after_s: float
    text: str
    needs_bytes: int = 0  # of disk, where the lack of it is why


class Reject(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=True):
    """The input's fault: the whole job ends with this reason. A single bad member is no Reject: it's listed."""

    reason: Reason


Outcome = Done | Retry | Reject


class Task(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One batch as handed to a worker.

    `prefix` starts every name in work/ that this attempt may write. `checkpoint` is the last committed one of an
    extract that goes on after a restart, `next_seq` the number of the next batch it closes (seq 0 is the upload's
    own). `publish` asks store to publish the job with this batch; `failure` to publish just that reason; `forget` to take
    out again what was published.
    `crashed` names member numbers that are to be rejected as `crashed` unread; `alone` asks to take members singly.
    `bytes` is what the batch holds.
    """

    job: int
    epoch: int
    batch: int
    seq: int
    stage: StageName
    attempt: int
    payload: Payload
    upload: Upload
    options: Options
    checkpoint: Payload = b""
    next_seq: int = 1
    publish: bool = False
    failure: Reason | None = None
    forget: bool = False
    crashed: tuple[int, ...] = ()
    alone: bool = False
    bytes: int = 0

    @property
    def prefix(self) -> str:
        """What every name starts with that this attempt writes in work/, such as `12-3-convert-1`."""
        return name_prefix(self.job, self.epoch, self.seq, self.stage, self.attempt)


def name_prefix(job: int, epoch: int, seq: int, stage: StageName, attempt: int) -> str:
    """The prefix of an attempt's names in work/: no two attempts share one."""
    again = f".{epoch}" if epoch else ""
    return f"{job}{again}-{seq}-{stage.title}-{attempt}"


class Desk(Protocol):
    """What a stage finds in the process that runs it, and all that it may use of it."""

    @property
    def work(self) -> Path:
        """The folder work/; names in an Output are relative to it."""
        ...

    @property
    def library(self) -> Path:
        """The library's root. Only store writes there."""
        ...

    def progress(self, member: int, done_bytes: int) -> None:
        """Notes that MEMBER (its number) is being worked on and DONE_BYTES of the batch are done; costs a microsecond."""
        ...

    def start_tool(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        stdin: int | IO[bytes] | None = None,
        merge_output: bool = False,
    ) -> ToolProcess:
        """Starts an external program that holds this stage's lock and dies with this process. stdout is piped, stderr
        kept for `last_words`, or with MERGE_OUTPUT piped too. Raises OSError when it can't be started."""
        ...

    def alone(self, program: Path) -> AbstractContextManager[None]:
        """Waits until no other stampmill on this host runs PROGRAM, and keeps it so; tools started within hold that
        lock too. For programs that can't bear a second copy of themselves."""
        ...


class ToolProcess(Protocol):
    """A running external program. One that dies by a signal which we didn't send takes the worker along in `wait`:
    whether its input did it or somebody outside is then judged as for any death."""

    @property
    def pid(self) -> int:
        """Its process id, and its group's."""
        ...

    @property
    def stdout(self) -> IO[bytes] | None:
        """The pipe that it writes to."""
        ...

    @property
    def returncode(self) -> int | None:
        """None until it has been waited for."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end and returns its exit code. Raises subprocess.TimeoutExpired."""
        ...

    def terminate(self) -> int:
        """Asks it to end, insists, and returns its exit code."""
        ...

    def kill(self) -> None:
        """Ends it and all that it started, at once; `wait` is still to be called."""
        ...

    def memory_bytes(self) -> int:
        """What it and all that it started hold in memory."""
        ...

    def last_words(self) -> str:
        """The end of what it said on stderr."""
        ...


class Stage(Protocol):
    """What is done to a batch. One instance lives in one worker process, made by `build(config)` of its module."""

    def run(self, task: Task, desk: Desk) -> Generator[Closed, None, Outcome]:
        """Works on TASK. Only extract yields, a Closed for each batch that isn't its last; the worker may wait long
        between two of them. OSError (ENOSPC, EIO) may escape: the worker knows what to make of it."""
        ...
