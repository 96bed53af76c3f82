"""What the ledger knows of jobs, for people: lists, one job in full, its story. Read-only, beside a daemon or without."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pipeline.errors import LedgerDamaged, NoLedger
from pipeline.model import BatchState, JobState, MemberCounts, Reason, StageName
from pipeline.snapshot import RecentJob

_BUSY_TIMEOUT_S = 2.0
_LOOK_BACK = 200  # jobs, among which the ones that ended last are looked for
_RUNNING = "(SELECT count(*) FROM batch WHERE batch.job = job.id)"
_LINE = (
    f"job.id, name, CASE WHEN state = 'waiting' AND {_RUNNING} THEN 'running' ELSE state END, size, arrived_at, ended_at,"
    " reason, duplicate_of, members, rejected_records,"
    " (SELECT count(*) FROM tables WHERE tables.job = job.id),"
    " (SELECT coalesce(sum(rows), 0) FROM tables WHERE tables.job = job.id)"
)
_reason = msgspec.json.Decoder(Reason)
_members = msgspec.json.Decoder(MemberCounts)


class JobLine(msgspec.Struct, frozen=True, kw_only=True):
    """A job as `list --json` prints it. Times are Unix seconds, sizes bytes; `rejected` counts records and members."""

    job: int
    name: str
    state: JobState
    size: int
    arrived_at: float
    ended_at: float | None
    tables: int
    rows: int
    rejected: int
    duplicate_of: int | None
    reason: Reason | None


class BatchLine(msgspec.Struct, frozen=True, kw_only=True):
    """An open batch of a job; `charges` are deaths of its worker that it is blamed for."""

    batch: int
    seq: int
    stage: str
    state: str
    attempt: int
    charges: int
    bytes: int
    files: int


class JobPlaces(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job came from and where its parts are; `result` is relative to the library."""

    source: str
    path: str
    sha256: str
    result: str | None
    epoch: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a job, as `logs --json` prints it. `seconds` is working time that ended with it."""

    at: float
    what: str
    stage: str
    seq: int
    attempt: int
    seconds: float
    detail: str


@contextlib.contextmanager
def reading(ledger: Path) -> Iterator[sqlite3.Connection]:
    """A read-only view of LEDGER. Raises NoLedger, LedgerDamaged."""
    if not ledger.exists():
        raise NoLedger(path=ledger)
    try:
        uri = f"{ledger.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S)) as db:
            yield db
    except sqlite3.DatabaseError as error:
        raise LedgerDamaged(path=ledger, detail=error) from error


def counts(db: sqlite3.Connection) -> dict[JobState, int]:
    """How many jobs are in each state."""
    found = {JobState(state): count for state, count in db.execute("SELECT state, count(*) FROM job GROUP BY state")}
    running = int(db.execute("SELECT count(DISTINCT job) FROM batch").fetchone()[0])
    if running:
        found[JobState.RUNNING] = running
        found[JobState.WAITING] = max(0, found.get(JobState.WAITING, 0) - running)
    return found


def jobs(db: sqlite3.Connection, states: Sequence[JobState], limit: int) -> list[JobLine]:
    """The newest LIMIT jobs in STATES (none: in any), newest first."""
    wanted = {"waiting" if state is JobState.RUNNING else str(state) for state in states}
    where = f"WHERE state IN ({', '.join('?' * len(wanted))})" if wanted else ""
    rows = db.execute(f"SELECT {_LINE} FROM job {where} ORDER BY job.id DESC", tuple(wanted))
    found = (_line(row) for row in rows)
    chosen = (line for line in found if not states or line.state in states)
    return [line for line, _ in zip(chosen, range(limit), strict=False)]


def job(db: sqlite3.Connection, id: int) -> JobLine | None:
    """The job ID."""
    row = db.execute(f"SELECT {_LINE} FROM job WHERE job.id = ?", (id,)).fetchone()
    return _line(row) if row else None


def places(db: sqlite3.Connection, id: int) -> JobPlaces:
    """Where the job ID is; it exists."""
    source, path, sha256, result, epoch = db.execute(
        "SELECT source, path, sha256, result_path, epoch FROM job WHERE id = ?", (id,)
    ).fetchone()
    return JobPlaces(source=source, path=path, sha256=sha256 or "", result=result, epoch=epoch)


def source_of(ledger: Path, id: int) -> str:
    """Where the job ID came from, `file:<path>#...` or `tg:<chat>:<message>`; empty where LEDGER isn't or doesn't know."""
    if not ledger.exists():
        return ""
    with reading(ledger) as db:
        row = db.execute("SELECT source FROM job WHERE id = ?", (id,)).fetchone()
    return str(row[0]) if row else ""


def batches(db: sqlite3.Connection, id: int) -> list[BatchLine]:
    """The open batches of the job ID."""
    rows = db.execute(
        "SELECT id, seq, stage, state, attempt, charges, bytes, files FROM batch WHERE job = ? ORDER BY seq", (id,)
    )
    return [
        BatchLine(
            batch=batch,
            seq=seq,
            stage=StageName(stage).title,
            state=BatchState(state).name.lower(),
            attempt=attempt,
            charges=charges,
            bytes=size,
            files=files,
        )
        for batch, seq, stage, state, attempt, charges, size, files in rows
    ]


def events(db: sqlite3.Connection, id: int) -> list[Event]:
    """What happened to the job ID, in order."""
    rows = db.execute(
        "SELECT at, what, stage, seq, attempt, seconds, detail FROM event WHERE job = ? ORDER BY id", (id,)
    )
    return [
        Event(
            at=at,
            what=what,
            stage=StageName(stage).title if stage is not None else "",
            seq=seq,
            attempt=attempt,
            seconds=seconds,
            detail=detail,
        )
        for at, what, stage, seq, attempt, seconds, detail in rows
    ]


def recent(db: sqlite3.Connection, limit: int) -> list[RecentJob]:
    """The LIMIT jobs that ended last, newest first; looked for among the newest jobs."""
    rows = db.execute(f"SELECT {_LINE} FROM job ORDER BY job.id DESC LIMIT {_LOOK_BACK}").fetchall()
    ended = [line for line in map(_line, rows) if line.ended_at is not None]
    ended.sort(key=lambda line: line.ended_at or 0.0, reverse=True)
    return [as_recent(line) for line in ended[:limit]]


def as_recent(line: JobLine) -> RecentJob:
    """LINE, of a job that has ended, as the live view shows it."""
    ended_at = line.ended_at or line.arrived_at
    return RecentJob(
        job=line.job,
        name=line.name,
        state=line.state,
        ended_at=ended_at,
        seconds=max(0.0, ended_at - line.arrived_at),
        tables=line.tables,
        rows=line.rows,
        rejected=line.rejected,
        reason=line.reason,
    )


def _line(row: Sequence[Any]) -> JobLine:
    id, name, state, size, arrived_at, ended_at, reason, duplicate_of, members, rejected, tables, rows = row
    rejected_members = _members.decode(members).rejected if members else 0
    return JobLine(
        job=id,
        name=name,
        state=JobState(state),
        size=size,
        arrived_at=arrived_at,
        ended_at=ended_at,
        tables=tables,
        rows=rows,
        rejected=rejected + rejected_members,
        duplicate_of=duplicate_of,
        reason=_reason.decode(reason) if reason else None,
    )
