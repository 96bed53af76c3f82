"""The ledger: the SQLite database that is the only truth about jobs, batches and events.

One writer, the supervisor, with WAL, synchronous=FULL and one transaction a loop turn; any number of readers.
FULL because a simulated power cut loses nothing under it, and up to a quarter of the commits under NORMAL.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.errors import DiskFailing, LedgerDamaged, LedgerLocked, LedgerNewer, StateUnwritable
from pipeline.machine.ledger_schema import MIGRATIONS, migrate
from pipeline.machine.work import MSGPACK, Batch, Changes, Equal, EventKind, Job, JobEnd
from pipeline.model import BatchState, JobState, Options, Reason, StageName, TableInfo, Upload, Volume

BUSY_TIMEOUT_S = 10.0  # how long another program may hold the ledger before we give up
_INSERT_BATCH = (
    "INSERT INTO batch (stage, state, attempt, bytes, files, payload, names, id, job, seq)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_MOVE_BATCH = (
    "UPDATE batch SET stage = ?, state = ?, attempt = ?, bytes = ?, files = ?, payload = ?, names = ? WHERE id = ?"
)
_JUDGE_BATCH = "UPDATE batch SET charges = ?, orphaned = ?, mark = ?, checkpoint = ?, closed = ? WHERE id = ?"
_END_JOB = (
    "UPDATE job SET state = ?, reason = ?, duplicate_of = ?, ended_at = ?, result_path = ?, members = ?,"
    " rejected_records = ?, options = ? WHERE id = ?"
)
_END_DONE = (  # most ends are this, and NULLs in the statement cost less than bound ones
    "UPDATE job SET state = 'done', reason = NULL, duplicate_of = NULL, ended_at = ?, result_path = ?, members = ?,"
    " rejected_records = ? WHERE id = ?"
)
_JOB_COLUMNS = (
    "job.id, path, name, size, mtime_ns, inode, device, sha256, arrived_at, options, epoch, reason, parts,"
    " job.state = 'forgetting'"
)
_options = msgspec.msgpack.Decoder(Options)
_parts = msgspec.msgpack.Decoder(tuple[tuple[Volume, ...], str])
_reason = msgspec.json.Decoder(Reason)
_tables = msgspec.json.Decoder(tuple[TableInfo, ...])
_json = msgspec.json.Encoder()


_EVENT_IDS: Final = 100_000  # reserved at a time, since looking for the last one would read all events


class LedgerFull(Exception):
    """There is no space for the ledger to grow."""


def _explain(path: Path, error: sqlite3.DatabaseError) -> Exception:
    """The error that says what SQLite's means for us."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return LedgerFull(str(error))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return LedgerLocked(path=path, detail=error)
    if name.startswith(("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return DiskFailing(path=path, detail=error)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return LedgerDamaged(path=path, detail=error)
    return error


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _explain(path, error) from error


class Ledger:
    """The one writer. Opening it creates or migrates the database; every method is one transaction.

    All raise LedgerFull where there's no space: nothing was written then, and the same call may be made again. They
    raise DiskFailing, LedgerLocked, LedgerDamaged, none of which is to be tried again.
    """

    def __init__(self, path: Path, work: Path, *, synchronous: str = "FULL") -> None:
        self.path = path
        self._work = work
        self._db = _open(path, synchronous)
        self._next_event = self._event_ids_end = 1 + self._reserved_event_ids()
        self.next_batch = 1 + self._query("SELECT coalesce(max(id), 0) FROM batch")[0][0]

    def _reserved_event_ids(self) -> int:
        reserved = self._meta("event_ids", "")
        return int(reserved or self._query("SELECT coalesce(max(id), 0) FROM event")[0][0])

    def _query(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with _explained(self.path):
            return self._db.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable when it ends."""
        db = self._db
        with _explained(self.path):
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a full disk has rolled it back already
                    db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Closes the database; a WAL left behind by a kill is taken up by the next open."""
        self._db.close()

    def boot_id(self) -> str:
        """The kernel's boot id when this ledger was last worked on; empty for a new one."""
        return self._meta("boot_id", "")

    def set_boot_id(self, boot_id: str) -> None:
        """Notes the boot that intermediate output in work/ belongs to."""
        with self._transaction():
            self._set_meta("boot_id", boot_id)

    def _meta(self, key: str, otherwise: str) -> str:
        rows = self._query("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else otherwise

    def _set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def submit(self, uploads: Iterable[tuple[str, Upload, Options]]) -> list[int]:
        """Adds jobs (source, upload, options) that aren't there yet; returns the ids, known ones included."""
        with self._transaction():
            return [self._submit_one(source, upload, options) for source, upload, options in uploads]

    def _submit_one(self, source: str, upload: Upload, options: Options) -> int:
        known = self._db.execute("SELECT id FROM job WHERE source = ?", (source,)).fetchone()
        if known:
            return int(known[0])
        cursor = self._db.execute(
            "INSERT INTO job (source, name, path, size, mtime_ns, inode, device, options, state, arrived_at, parts)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?)",
            (
                source,
                upload.name,
                upload.path,
                upload.size,
                upload.mtime_ns,
                upload.inode,
                upload.device,
                MSGPACK.encode(options),
                upload.arrived_at,
                MSGPACK.encode((upload.parts, upload.missing)) if upload.parts or upload.missing else None,
            ),
        )
        job = cursor.lastrowid
        assert job is not None
        self._insert_events([(job, upload.arrived_at, 0, None, EventKind.ARRIVED, 0, 0.0, source)])
        return job

    def unfinished_at(self, path: str, options: Options) -> list[tuple[int, int, int]]:
        """Unfinished jobs (id, size, mtime_ns) that were submitted from PATH with these OPTIONS."""
        return self._query(
            "SELECT id, size, mtime_ns FROM job WHERE path = ? AND state IN ('waiting', 'held') AND options = ?",
            (path, MSGPACK.encode(options)),
        )

    def waiting(self, after: int, limit: int) -> list[Job]:
        """Up to LIMIT unfinished jobs past id AFTER, oldest first; those that have begun are among them."""
        rows = self._query(
            f"SELECT {_JOB_COLUMNS} FROM job WHERE state = 'waiting' AND id > ? ORDER BY id LIMIT ?", (after, limit)
        )
        return [_job(row) for row in rows]

    def open_batches(self) -> list[Batch]:
        """All batches of jobs that have begun, with their jobs, by job and seq."""
        jobs: dict[int, Job] = {}
        batches = []
        rows = self._query(
            f"SELECT {_JOB_COLUMNS}, batch.id, seq, stage, batch.state, attempt, charges, orphaned, mark, bytes, files,"
            " payload, names, checkpoint, closed FROM batch JOIN job ON job.id = batch.job ORDER BY batch.job, seq"
        )
        for row in rows:
            job = jobs.setdefault(row[0], _job(row[:14]))
            batches.append(_batch(job, row[14:]))
        return batches

    def find_equal(self, sha256: str, options: Options, but: int) -> Equal | None:
        """The best job other than BUT with these bytes and OPTIONS: a done one, else one that is running or failed.

        A password is no part of the comparison with a job that took everything; it is with any other.
        """
        rows = self._query(
            "SELECT id, state, path, result_path, options, rejected_records, members FROM job WHERE sha256 = ?"
            " AND id <> ? AND state IN ('waiting', 'done', 'failed') ORDER BY state = 'done' DESC, id",
            (sha256, but),
        )
        for id, state, path, result_path, its_options, rejected, members in rows:
            wanted = options
            if state == JobState.DONE and not rejected and '"rejected":0' in members:
                wanted = msgspec.structs.replace(options, password=None)
            if its_options == MSGPACK.encode(wanted):
                return Equal(id, JobState(state), path, result_path)
        return None

    def job(self, id: int) -> tuple[Job, JobState, str | None] | None:
        """The job ID, its state, and where it was published, relative to the library."""
        rows = self._query(f"SELECT {_JOB_COLUMNS}, state, result_path FROM job WHERE id = ?", (id,))
        return (_job(rows[0][:-2]), JobState(rows[0][-2]), rows[0][-1]) if rows else None

    def ended_at(self, source: str) -> float | None:
        """When the job from SOURCE ended; None where it hasn't, infinity where there is none."""
        rows = self._query("SELECT ended_at FROM job WHERE source = ?", (source,))
        return rows[0][0] if rows else math.inf

    def is_forgotten(self, source: str) -> bool:
        """Whether the job from SOURCE is forgotten."""
        return bool(self._query("SELECT 1 FROM job WHERE source = ? AND state = 'forgotten'", (source,)))

    def halt(self) -> str:
        """How the operator holds the pipeline, as `set_halt` noted it; empty where it works."""
        return self._meta("halt", "")

    def set_halt(self, halt: str) -> None:
        """Notes how the operator holds the pipeline, which outlives the daemon."""
        with self._transaction():
            self._set_meta("halt", halt)

    def hold_none(self) -> None:
        """Lets every held job wait by itself again: at a start, nobody runs whom they could wait for."""
        with self._transaction() as db:
            db.execute("UPDATE job SET state = 'waiting', duplicate_of = NULL WHERE state = 'held'")

    def unfinished(self) -> int:
        """How many jobs wait, have begun, or are being forgotten; held ones not counted."""
        counts = (f"(SELECT count(*) FROM job WHERE state = '{state}')" for state in ("waiting", "forgetting"))
        return int(self._query(f"SELECT {' + '.join(counts)}")[0][0])

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state; `waiting` includes those that have begun. Reads all of them."""
        return dict(self._query("SELECT state, count(*) FROM job GROUP BY state"))

    def result_path(self, job: int) -> str | None:
        """Where JOB was published, relative to the library."""
        rows = self._query("SELECT result_path FROM job WHERE id = ?", (job,))
        return rows[0][0] if rows else None

    def commit(self, changes: Changes) -> None:
        """Makes CHANGES durable in one transaction. Nothing that depends on them may be sent before this returns."""
        with self._transaction():
            self._write(changes)
        for batch in changes.dirty.values():
            batch.in_ledger = True

    def _write(self, changes: Changes) -> None:
        db = self._db
        dirty = changes.dirty.values()
        new = [(*batch.moved(), batch.job.id, batch.seq) for batch in dirty if not batch.in_ledger]
        known = [batch.moved() for batch in dirty if batch.in_ledger]
        if new:
            db.executemany(_INSERT_BATCH, new)
        if known:
            db.executemany(_MOVE_BATCH, known)
        if changes.judged:
            db.executemany(_JUDGE_BATCH, [batch.judged() for batch in changes.judged.values()])
        if changes.gone:
            db.executemany("DELETE FROM batch WHERE id = ?", [(id,) for id in changes.gone])
        if changes.digests:
            db.executemany("UPDATE job SET sha256 = ?, size = ? WHERE id = ?", changes.digests)
        for job, other in changes.held:
            state = JobState.WAITING if other is None else JobState.HELD
            db.execute("UPDATE job SET state = ?, duplicate_of = ? WHERE id = ?", (state, other, job))
        if changes.ends:
            self._end(changes.ends)
        if changes.events:
            self._insert_events(changes.events)
        self._write_rare(changes)

    def _write_rare(self, changes: Changes) -> None:
        db = self._db
        for job, reason in changes.failures:
            db.execute("UPDATE job SET reason = ? WHERE id = ?", (_json.encode(reason).decode(), job))
        for job in changes.forgets:
            db.execute("UPDATE job SET state = 'forgetting', epoch = epoch + 1 WHERE id = ?", (job,))
        for job in changes.resets:
            db.execute("DELETE FROM batch WHERE job = ?", (job,))
            db.execute("DELETE FROM tables WHERE job = ?", (job,))
            db.execute(
                "UPDATE job SET state = 'waiting', epoch = epoch + 1, reason = NULL, result_path = NULL,"
                " ended_at = NULL, members = NULL, sha256 = NULL WHERE id = ?",
                (job,),
            )
        for job in changes.deleted_jobs:
            db.execute("DELETE FROM event WHERE job = ?", (job,))
            db.execute("DELETE FROM job WHERE id = ?", (job,))

    def _end(self, ends: Sequence[JobEnd]) -> None:
        plain = [end for end in ends if end.is_plain]
        self._db.executemany(_END_DONE, [_done_row(end) for end in plain])
        if len(plain) < len(ends):
            self._db.executemany(_END_JOB, [_end_row(end) for end in ends if not end.is_plain])
        for end in ends:
            if end.state is JobState.FORGOTTEN:
                self._wipe(end.job)
            tables = end.tables
            if end.tables_file:
                tables = _tables.decode((self._work / end.tables_file).read_bytes())
            if tables:
                self._db.executemany(
                    "INSERT INTO tables VALUES (?, ?, ?, ?, ?, ?, ?)", [_table_row(end.job, table) for table in tables]
                )

    def _wipe(self, job: int) -> None:
        """Leaves nothing of what JOB held: its tables, its bytes' hash, and what was shown of them in a chat."""
        self._db.execute("DELETE FROM tables WHERE job = ?", (job,))
        self._db.execute("UPDATE job SET sha256 = NULL WHERE id = ?", (job,))
        self._db.execute(
            "UPDATE outbox SET facts = x'' WHERE state <> 'waiting'"
            " AND upload IN (SELECT id FROM telegram_upload WHERE job = ?)",
            (job,),
        )

    def _insert_events(self, events: Sequence[tuple[int, float, int, int | None, str, int, float, str]]) -> None:
        first = self._next_event
        if first + len(events) > self._event_ids_end:
            self._event_ids_end = first + len(events) + _EVENT_IDS
            self._set_meta("event_ids", str(self._event_ids_end))
        self._db.executemany(
            "INSERT INTO event (id, job, at, seq, stage, what, attempt, seconds, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(first + number, *event) for number, event in enumerate(events)],
        )
        self._next_event = first + len(events)


def _open(path: Path, synchronous: str) -> sqlite3.Connection:
    with _explained(path):
        found = _schema_of(path)
    if found > len(MIGRATIONS):
        raise LedgerNewer(path=path, found=found, known=len(MIGRATIONS))
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
    except sqlite3.OperationalError as error:
        raise StateUnwritable(path=path.parent, detail=error) from error
    try:
        with _explained(path):
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {synchronous}")
            db.execute("PRAGMA wal_autocheckpoint = 4000")
            db.execute("PRAGMA secure_delete = FAST")  # options hold passwords until their job ends
            db.execute("PRAGMA cache_size = -16384")
            if found < len(MIGRATIONS):
                migrate(db, found)
    except BaseException:
        db.close()
        raise
    return db


def _schema_of(path: Path) -> int:
    """The schema's number, 0 for a new ledger. Reads only, so that what is refused is left as it is.

    Raises LedgerDamaged, and sqlite3.DatabaseError for what can't be read.
    """
    if not path.exists() or not path.stat().st_size:
        return 0
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        found = int(db.execute("PRAGMA user_version").fetchone()[0])
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if not found and tables:
            raise LedgerDamaged(path=path, detail="it is another program's database")
        for table in tables:
            db.execute(f'SELECT * FROM "{table}" LIMIT 1').fetchall()
    return found


def _job(row: Sequence[Any]) -> Job:
    id, path, name, size, mtime_ns, inode, device, sha256, arrived_at, options, epoch, reason, others, forgets = row
    parts, missing = _parts.decode(others) if others else ((), "")
    upload = Upload(
        path=path,
        name=name,
        size=size,
        mtime_ns=mtime_ns,
        inode=inode,
        device=device,
        sha256=sha256 or "",
        arrived_at=arrived_at,
        parts=parts,
        missing=missing,
    )
    job = Job(id, upload, _options.decode(options), epoch)
    job.failure = _reason.decode(reason) if reason and not forgets else None
    job.forgets = bool(forgets)
    return job


def _batch(job: Job, row: Sequence[Any]) -> Batch:
    batch = Batch(row[0], job, row[1], StageName(row[2]))
    batch.state = BatchState(row[3])
    batch.attempt, batch.charges, batch.orphaned, batch.mark, batch.bytes, batch.files, batch.payload = row[4:11]
    batch.names = tuple(row[11].split("\n")) if row[11] else ()
    batch.checkpoint, batch.closed = row[12:14]
    batch.in_ledger = True
    job.batches[batch.id] = batch
    if batch.seq == 0 and batch.stage > StageName.EXTRACT:
        job.ended_extract = True
    return batch


def _done_row(end: JobEnd) -> tuple[object, ...]:
    return (end.at, end.result_path, _json.encode(end.members).decode(), end.rejected_records, end.job)


def _end_row(end: JobEnd) -> tuple[object, ...]:
    return (
        end.state,
        _json.encode(end.reason).decode() if end.reason else None,
        end.duplicate_of,
        end.at,
        end.result_path,
        _json.encode(end.members).decode() if end.members else None,
        end.rejected_records,
        _without_password(end.options),
        end.job,
    )


def _without_password(options: Options) -> bytes:
    if options.password is not None:
        options = msgspec.structs.replace(options, password=None)
    return MSGPACK.encode(options)


def _table_row(job: int, table: TableInfo) -> tuple[object, ...]:
    columns = _json.encode(table.columns).decode()
    return (job, table.name, table.path, table.source, table.rows, table.rejected, columns)
