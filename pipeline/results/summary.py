"""What became of jobs, read from the ledger: the contract of `--json`. Read-only, so it works beside a running daemon."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec

from pipeline.errors import ExitCode, LedgerDamaged
from pipeline.model import Column, JobState, MemberCounts, Reason, StageName, TableInfo


class StageSeconds(msgspec.Struct, frozen=True, kw_only=True):
    """Working seconds a stage spent on a job, all attempts that ended well together."""

    intake: float = 0.0
    extract: float = 0.0
    convert: float = 0.0
    store: float = 0.0


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One job as `process --json` prints it. Table paths are relative to the library."""

    job: int
    name: str
    sha256: str
    state: JobState
    duplicate_of: int | None
    reason: Reason | None
    tables: tuple[TableInfo, ...]
    members: MemberCounts
    seconds: StageSeconds

    @property
    def rejected_records(self) -> int:
        """Records that no table took."""
        return sum(table.rejected for table in self.tables)

    @property
    def is_whole(self) -> bool:
        """Whether everything in it was taken (or is, by the job it duplicates)."""
        ended_well = self.state in (JobState.DONE, JobState.DUPLICATE)
        return ended_well and not self.members.rejected and not self.rejected_records


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What `process --json` prints: one object, and nothing else."""

    jobs: tuple[JobSummary, ...]

    @property
    def exit_code(self) -> ExitCode:
        """0 when all is whole, 3 when a job failed or anything was rejected."""
        return ExitCode.OK if all(job.is_whole for job in self.jobs) else ExitCode.PARTIAL


_columns = msgspec.json.Decoder(tuple[Column, ...])
_reason = msgspec.json.Decoder(Reason)
_members = msgspec.json.Decoder(MemberCounts)


def summarize(ledger: Path, jobs: Iterable[int]) -> RunSummary:
    """The summaries of JOBS, in that order. Raises LedgerDamaged where the ledger can't be read."""
    try:
        with contextlib.closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return RunSummary(jobs=tuple(summary for job in jobs if (summary := _summary(db, job)) is not None))
    except sqlite3.DatabaseError as error:
        raise LedgerDamaged(path=ledger, detail=error) from error


def _summary(db: sqlite3.Connection, job: int) -> JobSummary | None:
    row = db.execute(
        "SELECT name, sha256, state, duplicate_of, reason, members FROM job WHERE id = ?", (job,)
    ).fetchone()
    if row is None:
        return None
    name, sha256, state, duplicate_of, reason, members = row
    return JobSummary(
        job=job,
        name=name,
        sha256=sha256 or "",
        state=JobState(state),
        duplicate_of=duplicate_of,
        reason=_reason.decode(reason) if reason else None,
        tables=_tables(db, job),
        members=_members.decode(members) if members else MemberCounts(),
        seconds=_seconds(db, job),
    )


def _tables(db: sqlite3.Connection, job: int) -> tuple[TableInfo, ...]:
    rows = db.execute(
        "SELECT name, path, source, rows, rejected, columns FROM tables WHERE job = ? ORDER BY name", (job,)
    )
    return tuple(
        TableInfo(name=name, path=path, source=source, rows=count, rejected=rejected, columns=_columns.decode(columns))
        for name, path, source, count, rejected, columns in rows
    )


def _seconds(db: sqlite3.Connection, job: int) -> StageSeconds:
    rows = db.execute(
        "SELECT stage, sum(seconds) FROM event WHERE job = ? AND stage IS NOT NULL GROUP BY stage", (job,)
    )
    return StageSeconds(**{StageName(stage).title: round(seconds, 6) for stage, seconds in rows})
