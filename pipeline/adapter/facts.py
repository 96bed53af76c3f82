"""What there is to say in a chat about jobs, read from the ledger. Nothing of another chat's is ever among it."""

from __future__ import annotations

import sqlite3
import time
from typing import Any, Final

import msgspec

from pipeline.adapter.ledger import EndedJob
from pipeline.adapter.model import TABLES_TOLD, JobLine, ResultFacts, TableFacts
from pipeline.model import Code, JobState, MemberCounts, Reason

LINES: Final = 10
_reason = msgspec.json.Decoder(Reason)
_members = msgspec.json.Decoder(MemberCounts)
_BUG: Final = Reason(
    code=Code.INTERNAL,
    text="stampmill failed on it",
    next_step="The operator finds the details in the job's log. Trying again later may help.",
)


def result(
    db: sqlite3.Connection, ended: EndedJob, told_job: int, name: str, wanted: str, arrived_at: float
) -> ResultFacts:
    """What came of an upload called NAME that came at ARRIVED_AT, and is to be sent back as WANTED (csv, ...). TOLD_JOB
    is its own job, which an equal earlier one may have answered."""
    row = db.execute("SELECT state, reason, members, rejected_records FROM job WHERE id = ?", (ended.job,)).fetchone()
    state, reason, members, rejected = row or (ended.state, None, None, 0)
    count, rows = db.execute(
        "SELECT count(*), coalesce(sum(rows), 0) FROM tables WHERE job = ?", (ended.job,)
    ).fetchone()
    return ResultFacts(
        job=told_job,
        name=name,
        state=JobState(state) if ended.state is JobState.DUPLICATE else ended.state,
        reason=_told(_reason.decode(reason)) if reason else None,
        tables=_tables(db, ended.job),
        table_count=count,
        rows=rows,
        rejected_records=rejected,
        members=_members.decode(members) if members else MemberCounts(),
        seconds=max(0.0, time.time() - arrived_at),
        seen_before=ended.seen_before or told_job != ended.job,
        format=wanted,
    )


def _told(reason: Reason) -> Reason:
    """REASON as an uploader may hear it: a bug's own words may quote anything, and are the operator's."""
    return _BUG if reason.code is Code.INTERNAL else reason


def _tables(db: sqlite3.Connection, job: int) -> tuple[TableFacts, ...]:
    rows = db.execute(
        "SELECT name, rows, rejected, json_array_length(columns), path, source FROM tables WHERE job = ?"
        " ORDER BY rows DESC, name LIMIT ?",
        (job, TABLES_TOLD),
    )
    return tuple(
        TableFacts(name=name, rows=count, rejected=rejected, columns=columns, path=path, source=source[:200])
        for name, count, rejected, columns, path, source in rows
    )


def published(db: sqlite3.Connection, job: int) -> int:
    """The job whose folder in the library holds what came of JOB, or 0."""
    row = db.execute(
        "SELECT j.id FROM job i JOIN job j ON j.id = coalesce(i.duplicate_of, i.id)"
        " WHERE i.id = ? AND j.result_path <> ''",
        (job,),
    ).fetchone()
    return int(row[0]) if row else 0


def recent(db: sqlite3.Connection, chat: int) -> tuple[JobLine, ...]:
    """The last uploads of CHAT, the newest first."""
    rows = db.execute(
        "SELECT u.id, u.state, coalesce(u.job, 0), u.arrived_at, j.state, j.name,"
        " (SELECT sum(rows) FROM tables t WHERE t.job = coalesce(j.duplicate_of, j.id))"
        " FROM telegram_upload u LEFT JOIN job j ON j.id = u.job WHERE u.chat = ? ORDER BY u.id DESC LIMIT ?",
        (chat, LINES),
    ).fetchall()
    return tuple(
        JobLine(job=job, name=name or _first_name(db, upload), words=_state(state, job_state), at=at, rows=count or 0)
        for upload, state, job, at, job_state, name, count in rows
    )


def _first_name(db: sqlite3.Connection, upload: int) -> str:
    row: Any = db.execute(
        "SELECT name FROM telegram_message WHERE upload = ? ORDER BY part, message LIMIT 1", (upload,)
    ).fetchone()
    return row[0] if row and row[0] else "a file"


def _state(upload: str, job: str | None) -> str:
    if upload == "answered" and job is None:
        return "refused"
    return {"open": "downloading", "twin": "waiting for an equal file", "withdrawn": "withdrawn"}.get(
        upload, job or "in line"
    )


def stats(db: sqlite3.Connection, chat: int) -> dict[str, float]:
    """Counts over all that CHAT has ever sent."""
    uploads, done, failed, open_ = db.execute(
        "SELECT count(*), coalesce(sum(j.state IN ('done', 'duplicate')), 0), coalesce(sum(j.state = 'failed'), 0),"
        " coalesce(sum(u.state IN ('open', 'twin', 'job')), 0)"
        " FROM telegram_upload u LEFT JOIN job j ON j.id = u.job WHERE u.chat = ?",
        (chat,),
    ).fetchone()
    size = db.execute("SELECT coalesce(sum(size), 0) FROM telegram_message WHERE chat = ?", (chat,)).fetchone()[0]
    tables, rows, rejected = db.execute(
        "SELECT count(*), coalesce(sum(rows), 0), coalesce(sum(rejected), 0) FROM tables WHERE job IN"
        " (SELECT coalesce(j.duplicate_of, j.id) FROM telegram_upload u JOIN job j ON j.id = u.job WHERE u.chat = ?)",
        (chat,),
    ).fetchone()
    return {
        "uploads": uploads,
        "done": done,
        "failed": failed,
        "open": open_,
        "bytes": size,
        "tables": tables,
        "rows": rows,
        "rejected": rejected,
    }


def waiting_jobs(db: sqlite3.Connection, limit: int = 1000) -> list[int]:
    """Jobs that have no batch yet, in the order they will begin."""
    rows = db.execute(
        "SELECT id FROM job WHERE state = 'waiting' AND NOT EXISTS (SELECT 1 FROM batch WHERE batch.job = job.id)"
        " ORDER BY id LIMIT ?",
        (limit,),
    )
    return [id for (id,) in rows]
