"""The ledger against rows in memory, whatever is committed, reopened or killed; and how it opens what it's given."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.errors import DiskFailing, LedgerDamaged, LedgerLocked, LedgerNewer, StampmillError, StateUnwritable
from pipeline.machine import ledger_schema
from pipeline.machine.ledger import Ledger, LedgerFull
from pipeline.machine.work import Batch, Changes, EventKind, JobEnd
from pipeline.model import (
    BatchState,
    Code,
    Column,
    JobState,
    MemberCounts,
    Options,
    Reason,
    StageName,
    TableInfo,
    Upload,
    Volume,
)
from tests.pipeline.rows import Rows

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # thousands of syncs say nothing more than one
SHAS = ("aa" * 32, "bb" * 32)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
blobs = st.binary(max_size=20)
names = st.lists(st.from_regex(r"[0-9]{1,3}-[0-9]-convert-[0-9](-[a-z]{1,4}){0,2}", fullmatch=True), max_size=3)
reasons = st.builds(Reason, code=st.sampled_from(Code), text=texts, next_step=texts)
options = st.builds(
    Options, password=st.sampled_from([None, None, "open sesame"]), types=st.sampled_from(["auto", "text"])
)
uploads = st.builds(
    Upload,
    path=st.sampled_from(["/in/a.csv", "/in/b.zip", "/in/ü 'x'.zip"]),
    name=texts,
    size=st.integers(0, 2**60),
    mtime_ns=st.integers(0, 2**62),
    inode=st.integers(0, 2**62),
    device=st.integers(0, 2**31),
    arrived_at=st.floats(0, 2e9),
)
members = st.builds(
    MemberCounts, total=st.just(3), converted=st.integers(0, 2), kept=st.just(0), rejected=st.integers(0, 10)
)
columns = st.tuples(st.builds(Column, name=texts, type=st.sampled_from(["BIGINT", "DECIMAL(18,2)"])))


@st.composite
def tables(draw: st.DrawFn) -> tuple[TableInfo, ...]:
    found = draw(st.sets(texts, max_size=3))
    one = {name: draw(st.integers(0, 2**40)) for name in sorted(found)}
    return tuple(
        TableInfo(name=name, path=f"p/{name}", source="s!/a", rows=rows, rejected=rows % 7, columns=draw(columns))
        for name, rows in one.items()
    )


def dump(path: Path) -> dict[str, list[Any]]:
    """All rows, as another program reads them."""
    with closing(sqlite3.connect(path)) as db:
        return {
            "job": db.execute(
                "SELECT id, source, name, path, size, sha256, options, state, epoch, reason, duplicate_of, result_path"
                " FROM job ORDER BY id"
            ).fetchall(),
            "batch": db.execute(
                "SELECT id, job, seq, stage, state, attempt, bytes, files, payload, names, charges, orphaned, mark,"
                " checkpoint, closed FROM batch ORDER BY id"
            ).fetchall(),
            "event": db.execute(
                "SELECT job, at, seq, stage, what, attempt, seconds, detail FROM event ORDER BY id"
            ).fetchall(),
            "tables": db.execute("SELECT * FROM tables ORDER BY job, name").fetchall(),
        }


def expected(rows: Rows) -> dict[str, list[Any]]:
    """What `dump` is to find."""

    def json(value: Any) -> str | None:
        return msgspec.json.encode(value).decode() if value is not None else None

    return {
        "job": [
            (
                id,
                row.source,
                row.upload.name,
                row.upload.path,
                row.upload.size,
                row.upload.sha256 or None,
                msgspec.msgpack.encode(row.options),
                row.state,
                row.epoch,
                json(row.reason),
                row.other,
                row.result_path,
            )
            for id, row in sorted(rows.jobs.items())
        ],
        "batch": [
            (
                id,
                row.job,
                row.seq,
                row.stage,
                row.state,
                row.attempt,
                row.bytes,
                row.files,
                row.payload,
                "\n".join(row.names),
                row.charges,
                row.orphaned,
                row.mark,
                row.checkpoint,
                row.closed,
            )
            for id, row in sorted(rows.batches.items())
        ],
        "event": rows.events,
        "tables": [
            (id, table.name, table.path, table.source, table.rows, table.rejected, json(table.columns))
            for id, row in sorted(rows.jobs.items())
            for table in sorted(row.tables, key=lambda table: table.name.encode())
        ],
    }


def contents(batches: list[Batch]) -> list[tuple[Any, ...]]:
    """Batches and their jobs, so that they compare."""
    return [
        (*batch.moved(), *batch.judged(), batch.seq, batch.job.id, batch.job.epoch, batch.job.upload,
         batch.job.options, batch.job.failure, batch.job.forgets, batch.job.ended_extract, sorted(batch.job.batches), batch.in_ledger)
        for batch in batches
    ]  # fmt: skip


class LedgerMachine(RuleBasedStateMachine):
    """Commits of all kinds, reopened, killed or failing half-way at any point."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-", dir=MEMORY))
        self.path = self.folder / "ledger.sqlite"
        self.ledger = Ledger(self.path, self.folder)
        self.rows = Rows()
        self.batches: dict[int, Batch] = {}
        self.next_batch = 1

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            shutil.rmtree(self.folder)

    def _reopen(self) -> None:
        self.ledger = Ledger(self.path, self.folder)
        assert self.ledger.next_batch == self.rows.next_batch
        self.batches = {batch.id: batch for batch in self.ledger.open_batches()}

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self._reopen()

    @rule()
    def kill(self) -> None:
        """What a kill -9 leaves: the files as they are, the WAL not yet taken up."""
        copy = Path(tempfile.mkdtemp(prefix="ledger-", dir=MEMORY))
        shutil.copytree(self.folder, copy, dirs_exist_ok=True)
        self.ledger.close()
        shutil.rmtree(self.folder)
        self.folder, self.path = copy, copy / "ledger.sqlite"
        (self.folder / "ledger.sqlite-shm").unlink()  # shared memory isn't part of what is durable
        self._reopen()

    @rule(one=st.tuples(st.integers(0, 12), uploads, options), two=st.tuples(st.integers(0, 12), uploads, options))
    def submit(self, one: tuple[int, Upload, Options], two: tuple[int, Upload, Options]) -> None:
        new = [(f"file:{number}", upload, wishes) for number, upload, wishes in (one, two)]
        assert self.ledger.submit(new) == self.rows.submit(new)

    def _commit(self, changes: Changes) -> None:
        self.rows.commit(changes)
        for batch in changes.dirty.values():
            batch.in_ledger = batch.id in self.before
        self.ledger.commit(changes)
        assert all(batch.in_ledger for batch in changes.dirty.values())
        self.batches = {id: batch for id, batch in self.batches.items() if id in self.rows.batches}

    def _changes(self) -> Changes:
        self.before = set(self.rows.batches)
        return Changes()

    def _fill(self, data: st.DataObject, batch: Batch) -> None:
        batch.stage = data.draw(st.sampled_from(StageName))
        batch.state = data.draw(st.sampled_from(BatchState))
        batch.attempt = data.draw(st.integers(0, 99))
        batch.bytes, batch.files = data.draw(st.integers(0, 2**50)), data.draw(st.integers(0, 1000))
        batch.payload, batch.names = data.draw(blobs), tuple(data.draw(names))

    @precondition(lambda self: self.rows.waiting())
    @rule(data=st.data(), count=st.integers(1, 3))
    def move_batches(self, data: st.DataObject, count: int) -> None:
        changes = self._changes()
        for _ in range(count):
            known = data.draw(st.sampled_from([0, *sorted(self.batches)]))
            if known:
                batch = self.batches[known]
            else:
                job = self.rows.job(data.draw(st.sampled_from(self.rows.waiting())))
                self.next_batch = max(self.next_batch, self.rows.next_batch) + 1
                seq = data.draw(st.integers(0, 5).map(lambda seq: seq * 100)) + self.next_batch
                batch = self.batches[self.next_batch] = Batch(self.next_batch, job, seq, StageName.INTAKE)
            self._fill(data, batch)
            changes.dirty[batch.id] = batch
            what = data.draw(st.sampled_from([EventKind.FINISHED, EventKind.RETRY, EventKind.DIED]))
            changes.visit(batch, 5.5, what, seconds=0.25, detail=data.draw(texts))
            if data.draw(st.booleans()):
                batch.charges, batch.orphaned = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 5))
                batch.mark, batch.checkpoint = data.draw(blobs), data.draw(blobs)
                batch.closed = data.draw(st.integers(0, 9))
                changes.judged[batch.id] = batch
        self._commit(changes)

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def delete_a_batch(self, data: st.DataObject) -> None:
        changes = self._changes()
        batch = self.batches[data.draw(st.sampled_from(sorted(self.batches)))]
        changes.delete([batch])
        assert changes.gone == [batch.id]
        assert changes.unlink == list(batch.names)
        self._commit(changes)

    @precondition(lambda self: self.rows.waiting())
    @rule(data=st.data(), sha256=st.sampled_from(SHAS), size=st.integers(0, 2**50))
    def learn_a_digest(self, data: st.DataObject, sha256: str, size: int) -> None:
        changes = self._changes()
        changes.digests.append((sha256, size, data.draw(st.sampled_from(self.rows.waiting()))))
        self._commit(changes)

    @precondition(lambda self: self.rows.waiting())
    @rule(data=st.data(), reason=reasons)
    def refuse(self, data: st.DataObject, reason: Reason) -> None:
        changes = self._changes()
        changes.failures.append((data.draw(st.sampled_from(self.rows.waiting())), reason))
        self._commit(changes)

    @precondition(lambda self: self.rows.waiting())
    @rule(data=st.data())
    def hold_and_let_go(self, data: st.DataObject) -> None:
        changes = self._changes()
        job = data.draw(st.sampled_from(sorted(self.rows.jobs)))
        if self.rows.jobs[job].state in (JobState.WAITING, JobState.HELD):
            changes.held.append((job, data.draw(st.sampled_from([None, *self.rows.jobs]))))
            self._commit(changes)

    def _end(self, data: st.DataObject, job: int) -> JobEnd:
        state = data.draw(st.sampled_from([JobState.DONE, JobState.FAILED, JobState.DUPLICATE]))
        found, in_file, tables_file = data.draw(tables()), data.draw(st.booleans()), ""
        if found and in_file:
            tables_file = f"{job}-tables"
            (self.folder / tables_file).write_bytes(msgspec.json.encode(found))
        return JobEnd(
            job=job,
            state=state,
            at=7.0,
            options=self.rows.jobs[job].options,
            reason=data.draw(reasons) if state is JobState.FAILED else None,
            duplicate_of=data.draw(st.sampled_from(sorted(self.rows.jobs))) if state is JobState.DUPLICATE else None,
            result_path=data.draw(st.one_of(st.none(), texts)),
            members=data.draw(members),
            rejected_records=data.draw(st.integers(0, 1)),
            tables=() if tables_file else found,
            tables_file=tables_file,
        )

    @precondition(lambda self: self.rows.waiting())
    @rule(data=st.data())
    def end_a_job(self, data: st.DataObject) -> None:
        changes = self._changes()
        job = data.draw(st.sampled_from(self.rows.waiting()))
        end = self._end(data, job)
        changes.delete([batch for batch in self.batches.values() if batch.job.id == job])
        changes.event(job, 7.0, EventKind.PUBLISHED, detail=end.result_path or "")
        changes.ends.append(end)
        if end.tables_file:
            shown = msgspec.structs.replace(
                end,
                tables=msgspec.json.decode((self.folder / end.tables_file).read_bytes(), type=tuple[TableInfo, ...]),
            )
            self._apply(changes, [shown])
        else:
            self._commit(changes)

    def _apply(self, changes: Changes, ends: list[JobEnd]) -> None:
        """Commits CHANGES; the rows in memory don't read files, so they are told what is in them."""
        real, changes.ends = changes.ends, ends
        self.rows.commit(changes)
        changes.ends = real
        self.ledger.commit(changes)
        self.batches = {id: batch for id, batch in self.batches.items() if id in self.rows.batches}

    def _ended(self, *states: JobState) -> list[int]:
        busy = {row.job for row in self.rows.batches.values()}
        return [id for id, row in self.rows.jobs.items() if row.state in states and id not in busy]

    @rule(data=st.data())
    def begin_to_forget(self, data: st.DataObject) -> None:
        ended = self._ended(JobState.DONE, JobState.FAILED, JobState.DUPLICATE)
        if ended:
            changes = self._changes()
            changes.forgets.append(data.draw(st.sampled_from(ended)))
            self._commit(changes)

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        leaving = self._ended(JobState.FORGETTING)
        if leaving:
            changes = self._changes()
            job = data.draw(st.sampled_from(leaving))
            wishes = self.rows.jobs[job].options
            changes.ends.append(JobEnd(job=job, state=JobState.FORGOTTEN, at=8.5, options=wishes))
            changes.event(job, 8.5, EventKind.FORGOTTEN)
            self._commit(changes)

    @precondition(lambda self: self.rows.jobs)
    @rule(data=st.data())
    def reset(self, data: st.DataObject) -> None:
        changes = self._changes()
        job = data.draw(st.sampled_from(sorted(self.rows.jobs)))
        changes.resets.append(job)
        changes.event(job, 8.0, EventKind.RESET)
        self._commit(changes)

    @precondition(lambda self: self.rows.jobs)
    @rule(data=st.data())
    def merge_a_job(self, data: st.DataObject) -> None:
        """Only jobs without batches and tables are ever merged into another."""
        free = [id for id, row in self.rows.jobs.items() if not row.tables]
        free = [id for id in free if all(row.job != id for row in self.rows.batches.values())]
        if free:
            changes = self._changes()
            changes.deleted_jobs.append(data.draw(st.sampled_from(free)))
            self._commit(changes)

    @precondition(lambda self: self.rows.waiting())
    @rule(data=st.data())
    def fail_to_commit(self, data: st.DataObject) -> None:
        """A commit that fails half-way leaves nothing behind, and the ledger goes on."""
        changes = self._changes()
        job = data.draw(st.sampled_from(self.rows.waiting()))
        changes.event(job, 9.0, EventKind.PUBLISHED)
        changes.digests.append((SHAS[0], 1, job))
        changes.gone.extend(self.batches)
        changes.ends.append(
            JobEnd(job=job, state=JobState.DONE, at=9.0, options=Options(), tables_file="never-written")
        )
        with pytest.raises(FileNotFoundError):
            self.ledger.commit(changes)

    @rule()
    def hold_none(self) -> None:
        self.ledger.hold_none()
        self.rows.hold_none()

    @rule(sha256=st.sampled_from(SHAS), wishes=options, but=st.integers(1, 6))
    def find_equal(self, sha256: str, wishes: Options, but: int) -> None:
        assert self.ledger.find_equal(sha256, wishes, but) == self.rows.find_equal(sha256, wishes, but)

    @invariant()
    def rows_are_what_was_committed(self) -> None:
        if not hasattr(self, "ledger"):
            return
        assert dump(self.path) == expected(self.rows)
        assert contents(self.ledger.open_batches()) == contents(self.rows.open_batches())

    @invariant()
    def questions_are_answered_from_them(self) -> None:
        if not hasattr(self, "ledger"):
            return
        waiting = self.rows.waiting()
        assert [job.id for job in self.ledger.waiting(after=0, limit=2)] == waiting[:2]
        assert [job.id for job in self.ledger.waiting(after=2, limit=99)] == [id for id in waiting if id > 2]
        jobs = self.rows.jobs
        states = [row.state for row in jobs.values()]
        assert self.ledger.unfinished() == sum(state in (JobState.WAITING, JobState.FORGETTING) for state in states)
        assert self.ledger.counts() == {state: states.count(state) for state in set(states)}
        for path, wishes in itertools.product(("/in/a.csv", "/in/b.zip"), (Options(), Options(types="text"))):
            found = sorted(
                (id, row.upload.size, row.upload.mtime_ns)
                for id, row in jobs.items()
                if (row.upload.path, row.options) == (path, wishes) and row.state in (JobState.WAITING, JobState.HELD)
            )
            assert sorted(self.ledger.unfinished_at(path, wishes)) == found
        assert all(self.ledger.result_path(id) == row.result_path for id, row in jobs.items())


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=30)


# Opening


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def open_ledger(folder: Path) -> Ledger:
    return Ledger(folder / "ledger.sqlite", folder)


@pytest.fixture
def ledger(folder: Path) -> Iterator[Ledger]:
    with closing(open_ledger(folder)) as opened:
        yield opened


UPLOAD = Upload(path="/in/a.csv", name="a.csv", size=3, mtime_ns=1, inode=2, device=3, arrived_at=4.0)


def test_every_commit_is_synced(ledger: Ledger) -> None:
    db = ledger._db
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA main.synchronous").fetchone() == (2,)


def test_an_upload_in_several_files_is_kept_whole(ledger: Ledger) -> None:
    part = Volume(path="/in/a.r00", size=1, mtime_ns=2, inode=3, device=4)
    whole = msgspec.structs.replace(UPLOAD, path="/in/a.rar", parts=(part,), missing="a.r01")
    ledger.submit([("file:1", whole, Options()), ("file:2", UPLOAD, Options())])
    assert [job.upload for job in ledger.waiting(0, 9)] == [whole, UPLOAD]
    changes = Changes()
    for job in ledger.waiting(0, 9):
        changes.dirty[job.id] = Batch(job.id, job, 0, StageName.INTAKE)
    ledger.commit(changes)
    assert [batch.job.upload for batch in ledger.open_batches()] == [whole, UPLOAD]


def test_it_is_readable_while_it_is_written(ledger: Ledger, folder: Path) -> None:
    (job,) = ledger.submit([("file:1", UPLOAD, Options())])
    with closing(sqlite3.connect(f"file:{folder}/ledger.sqlite?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM job").fetchone() == (1,)
        changes = Changes()
        changes.event(job, 1.0, EventKind.RETRY)
        ledger.commit(changes)
        assert reader.execute("SELECT count(*) FROM event").fetchone() == (1,)


def test_the_password_goes_when_the_job_ends(ledger: Ledger, folder: Path) -> None:
    secret = Options(password="tiramisu-42")
    (job,) = ledger.submit([("file:1", UPLOAD, secret)])
    assert ledger.waiting(0, 1)[0].options == secret
    changes = Changes()
    changes.ends.append(JobEnd(job=job, state=JobState.DONE, at=1.0, options=secret, members=MemberCounts(rejected=1)))
    ledger.commit(changes)
    assert b"tiramisu" not in b"".join(bytes(row[0]) for row in ledger._db.execute("SELECT options FROM job"))


def test_a_start_needs_no_look_at_all_events(ledger: Ledger, folder: Path) -> None:
    ledger.submit([(f"file:{number}", UPLOAD, Options()) for number in range(3)])
    (last,) = ledger._db.execute("SELECT max(id) FROM event").fetchone()
    (reserved,) = ledger._db.execute("SELECT value FROM meta WHERE key = 'event_ids'").fetchone()
    assert int(reserved) >= last == 3
    ledger.close()
    with closing(open_ledger(folder)) as again:
        again.submit([("file:9", UPLOAD, Options())])
        (newest,) = again._db.execute("SELECT max(id) FROM event").fetchone()
        assert newest > int(reserved)


def test_the_boot_id_is_kept(ledger: Ledger, folder: Path) -> None:
    assert ledger.boot_id() == ""
    ledger.set_boot_id("one")
    ledger.set_boot_id("two")
    ledger.close()
    with closing(open_ledger(folder)) as again:
        assert again.boot_id() == "two"


def test_an_older_schema_is_brought_up_in_one_transaction(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(open_ledger(folder)) as old:
        old.submit([("file:1", UPLOAD, Options())])
        before = old._db.execute("PRAGMA user_version").fetchone()[0]
    step = (
        "CREATE TABLE extra (a TEXT);\nINSERT INTO extra\n  SELECT name FROM job;\n"
        "ALTER TABLE job ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue; green';\n"
    )
    broken = "CREATE TABLE more (a TEXT);\nINSERT INTO nowhere VALUES (1);\n"
    released = ledger_schema.MIGRATIONS

    def know(*migrations: str) -> None:
        for module in ("pipeline.machine.ledger", "pipeline.machine.ledger_schema"):
            monkeypatch.setattr(f"{module}.MIGRATIONS", (*released, *migrations))

    know(step, broken)
    with pytest.raises((StampmillError, sqlite3.Error)):
        open_ledger(folder)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == before
        assert not db.execute("SELECT name FROM sqlite_master WHERE name IN ('extra', 'more')").fetchall()
    know(step)
    with closing(open_ledger(folder)) as new:
        assert new._db.execute("SELECT a FROM extra").fetchall() == [("a.csv",)]
        assert new._db.execute("SELECT colour FROM job").fetchall() == [("blue; green",)]
        assert new._db.execute("PRAGMA user_version").fetchone()[0] == before + 1
        assert [job.upload for job in new.waiting(0, 9)] == [UPLOAD]


def files(folder: Path) -> dict[str, bytes]:
    """What is in the ledger: SQLite makes an empty WAL and its index even for a reader."""
    return {
        path.name: data for path in folder.iterdir() if path.suffix != ".sqlite-shm" and (data := path.read_bytes())
    }


def test_a_newer_schema_is_refused_and_left_alone(folder: Path) -> None:
    open_ledger(folder).close()
    known = len(ledger_schema.MIGRATIONS)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        db.execute(f"PRAGMA user_version = {known + 1}")
    before = files(folder)
    with pytest.raises(LedgerNewer, match=rf"schema {known + 1}, this one knows up to {known}.*Upgrade"):
        open_ledger(folder)
    assert files(folder) == before


def damage(kind: str, path: Path) -> None:
    """Makes the ledger at PATH one that can't be read."""
    data = bytearray(path.read_bytes())
    if kind == "text":
        data = bytearray(b"this is not a database\n" * 400)
    elif kind == "header":
        data[:16] = bytes(16)
    elif kind == "schema page":
        data[100:4096] = b"\xff" * 3996
    elif kind == "table page":
        data[4096:] = b"\xee" * (len(data) - 4096)
    elif kind == "cut":
        del data[4096 + 1000 :]
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["text", "header", "schema page", "table page", "cut"])
def test_a_damaged_ledger_is_refused_and_left_alone(folder: Path, kind: str) -> None:
    with closing(open_ledger(folder)) as one:
        one.submit([(f"file:{number}", UPLOAD, Options()) for number in range(200)])
    damage(kind, folder / "ledger.sqlite")
    before = files(folder)
    with pytest.raises(LedgerDamaged, match="Nothing was changed"):
        open_ledger(folder)
    assert files(folder) == before


def test_a_database_of_another_program_is_refused_and_left_alone(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        db.execute("CREATE TABLE photos (a TEXT)")
    before = files(folder)
    with pytest.raises(LedgerDamaged):
        open_ledger(folder)
    assert files(folder) == before


def test_an_empty_file_becomes_a_ledger(folder: Path) -> None:
    (folder / "ledger.sqlite").touch()
    with closing(open_ledger(folder)) as one:
        assert one.submit([("file:1", UPLOAD, Options())]) == [1]


def test_a_folder_that_is_not_there_is_said_to_be_unwritable(folder: Path) -> None:
    with pytest.raises((StateUnwritable, DiskFailing)):
        open_ledger(folder / "gone")


def test_a_locked_ledger_is_said_to_be_locked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(open_ledger(folder)) as one, closing(sqlite3.connect(folder / "ledger.sqlite")) as other:
        one._db.execute("PRAGMA busy_timeout = 1")
        other.execute("BEGIN IMMEDIATE")
        changes = Changes()
        changes.event(1, 1.0, EventKind.RETRY)
        with pytest.raises(LedgerLocked, match="locked by another program"):
            one.commit(changes)
        with pytest.raises(LedgerLocked):
            one.submit([("file:1", UPLOAD, Options())])
        other.execute("ROLLBACK")
        one.commit(changes)


def test_a_full_ledger_loses_nothing_and_may_be_asked_again(ledger: Ledger) -> None:
    (job,) = ledger.submit([("file:1", UPLOAD, Options())])
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    batch = Batch(ledger.next_batch, ledger.waiting(0, 1)[0], 0, StageName.EXTRACT)
    batch.payload = bytes(100_000)
    changes = Changes()
    changes.dirty[batch.id] = batch
    changes.event(job, 1.0, EventKind.RETRY)
    for _ in range(2):
        with pytest.raises(LedgerFull):
            ledger.commit(changes)
        assert not batch.in_ledger
        assert not ledger.open_batches()
    ledger._db.execute(f"PRAGMA max_page_count = {pages * 100}")
    ledger.commit(changes)
    assert [one.payload for one in ledger.open_batches()] == [batch.payload]


def test_a_full_ledger_takes_no_job_half(ledger: Ledger) -> None:
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    new = [(f"file:{number}", msgspec.structs.replace(UPLOAD, name="n" * 3000), Options()) for number in range(9)]
    with pytest.raises(LedgerFull):
        ledger.submit(new)
    assert ledger.waiting(0, 99) == []
    ledger._db.execute(f"PRAGMA max_page_count = {pages * 100}")
    assert ledger.submit(new) == list(range(1, 10))
