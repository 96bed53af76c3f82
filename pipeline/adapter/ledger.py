"""The ledger's tables of what came by Telegram and what is to be said there: their statements, and nothing else.

Its own connection to the ledger, within the one process that writes it. Deleted content is overwritten, since
captions hold passwords.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from pipeline.adapter.model import (
    Facts,
    Message,
    OpenUpload,
    Say,
    UploadState,
    Wishes,
    pack_facts,
    unpack_facts,
)
from pipeline.adapter.spool import path_of
from pipeline.model import JobState

BUSY_TIMEOUT_S: Final = 10.0
_CHANNELS_BELOW: Final = -1_000_000_000_000  # marked ids of channels, whose messages are numbered by themselves
_OPEN: Final = "('open', 'twin', 'job')"
_MESSAGE: Final = "chat, message, sender, at, document, size, name, part, wishes, fetched"
_ENDED_JOBS: Final = "('done', 'failed', 'duplicate', 'cancelled', 'forgotten')"
_encoder = msgspec.msgpack.Encoder()
_wishes = msgspec.msgpack.Decoder(Wishes)


class Full(Exception):
    """The disk has no room for the ledger: nothing was written, and the same may be tried again."""


class EndedJob(NamedTuple):
    """An upload whose job has ended, and what is needed to answer it. `job` is the one with the tables."""

    upload: int
    own_job: int
    job: int
    state: JobState
    seen_before: bool


class Twin(NamedTuple):
    """Another upload of the same document with the same wishes."""

    upload: int
    state: UploadState
    job: int
    job_state: JobState | None
    result_path: str


class Answered(NamedTuple):
    """The upload that a message of ours (or of the uploader's) is about."""

    upload: int
    job: int


class AdapterLedger:
    """Reads and writes between `turn`s, each of which is one durable transaction."""

    def __init__(self, path: Path, spool: Path) -> None:
        self._spool = spool
        self.db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("PRAGMA secure_delete = ON")
        self.wiped = False  # a password was wiped since the WAL was last emptied

    def close(self) -> None:
        """Closes the connection."""
        self.db.close()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """One transaction, durable when it ends. Raises Full, with nothing written."""
        db = self.db
        try:
            db.execute("BEGIN IMMEDIATE")
            yield
            db.execute("COMMIT")
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorname.startswith("SQLITE_FULL"):
                raise Full(str(error)) from error
            raise

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        return self.db.execute(sql, values).fetchall()

    # Chats

    def looked(self) -> dict[int, int]:
        """How far each chat has been looked at."""
        return dict(self._rows("SELECT chat, looked FROM telegram_chat"))

    def set_looked(self, chat: int, message: int) -> None:
        """Every message of CHAT up to MESSAGE has been reported."""
        self.db.execute(
            "INSERT INTO telegram_chat VALUES (?, ?) ON CONFLICT DO UPDATE SET looked = max(looked, excluded.looked)",
            (chat, message),
        )

    # Uploads and their messages

    def open_uploads(self) -> list[OpenUpload]:
        """All that haven't ended, the oldest first."""
        rows = self._rows(f"SELECT id FROM telegram_upload WHERE state IN {_OPEN} ORDER BY id")
        return [upload for (id,) in rows if (upload := self.upload(id)) is not None]

    def upload(self, id: int) -> OpenUpload | None:
        """The upload ID with its messages, ended or not; a password from a reply takes the place of a caption's."""
        rows = self._rows("SELECT chat, series, state, job, attempt, password FROM telegram_upload WHERE id = ?", (id,))
        if not rows:
            return None
        chat, series, state, job, attempt, password = rows[0]
        found = self._rows(f"SELECT {_MESSAGE} FROM telegram_message WHERE upload = ? ORDER BY part, message", (id,))
        messages = tuple(
            msgspec.structs.replace(message, path=str(path_of(self._spool, id, attempt, message)))
            for message in (_message(row, series, password) for row in found)
        )
        return OpenUpload(
            id=id,
            chat=chat,
            series=series,
            state=UploadState(state),
            messages=messages,
            job=job or 0,
            attempt=attempt,
        )

    def arrive(self, message: Message) -> set[int]:
        """MESSAGE is there, new or edited. Returns the uploads that changed, new ones among them: none where it's known
        as it is, or its job has begun."""
        known = self._rows(
            "SELECT upload, document, series, state FROM telegram_message JOIN telegram_upload ON id = upload"
            " WHERE telegram_message.chat = ? AND message = ?",
            (message.chat, message.message),
        )
        if not known:
            return {self._attach(message)}
        upload, document, series, state = known[0]
        if state not in (UploadState.OPEN, UploadState.TWIN):
            return set()
        if (document, series) != (message.document, message.series):
            self._detach(message.chat, message.message, upload)
            return {upload, self._attach(message)}
        changed = self.db.execute(
            "UPDATE telegram_message SET name = ?1, part = ?2, wishes = ?3 WHERE chat = ?4 AND message = ?5"
            " AND (name, part, wishes) IS NOT (?1, ?2, ?3)",
            (message.name, message.part, _encoder.encode(message.wishes), message.chat, message.message),
        )
        if changed.rowcount and state == UploadState.TWIN:
            self.set_state(upload, UploadState.OPEN)  # with other wishes it's no twin
        return {upload} if changed.rowcount else set()

    def _attach(self, message: Message) -> int:
        """Adds MESSAGE to the open upload of its series that lacks its part, else to a new one; returns that."""
        rows = self._rows(
            "SELECT id FROM telegram_upload WHERE chat = ? AND series = ? AND state = 'open' AND NOT EXISTS"
            " (SELECT 1 FROM telegram_message WHERE upload = id AND part = ?) ORDER BY id LIMIT 1",
            (message.chat, message.series, message.part),
        )
        upload = int(rows[0][0]) if rows else self._new_upload(message)
        values = (message.chat, message.message, upload, message.sender, message.at, message.document, message.size)
        self.db.execute(
            "INSERT INTO telegram_message (chat, message, upload, sender, at, document, size, name, part, wishes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, message.name, message.part, _encoder.encode(message.wishes)),
        )
        return upload

    def _new_upload(self, message: Message) -> int:
        cursor = self.db.execute(
            "INSERT INTO telegram_upload (chat, series, state, arrived_at) VALUES (?, ?, 'open', ?)",
            (message.chat, message.series, time.time()),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _detach(self, chat: int, message: int, upload: int) -> None:
        """Takes a message out of UPLOAD, which is withdrawn when it was its last one."""
        self.db.execute("DELETE FROM telegram_message WHERE chat = ? AND message = ?", (chat, message))
        if not self._rows("SELECT 1 FROM telegram_message WHERE upload = ? LIMIT 1", (upload,)):
            self.end(upload, UploadState.WITHDRAWN)

    def about(self, chat: int, messages: Iterable[int]) -> list[tuple[int, int, int, UploadState]]:
        """The messages (chat, message, upload, the upload's state) that MESSAGES of CHAT are; 0 for whichever chats
        share one numbering."""
        found = []
        for message in messages:
            rows = self._rows(
                "SELECT m.chat, message, upload, state FROM telegram_message m JOIN telegram_upload ON id = upload"
                f" WHERE message = ? AND (m.chat = ? OR (? = 0 AND m.chat > {_CHANNELS_BELOW}))",
                (message, chat, chat),
            )
            found += [(one, number, upload, UploadState(state)) for one, number, upload, state in rows]
        return found

    def remove(self, chat: int, message: int, upload: int) -> None:
        """The uploader has deleted a MESSAGE of UPLOAD, whose job hasn't begun."""
        self._detach(chat, message, upload)

    def set_fetched(self, upload: int, message: int) -> None:
        """The file of MESSAGE lies complete in the spool."""
        self.db.execute("UPDATE telegram_message SET fetched = 1 WHERE upload = ? AND message = ?", (upload, message))

    def set_unfetched(self, upload: int) -> None:
        """None of UPLOAD's files is in the spool any more."""
        self.db.execute("UPDATE telegram_message SET fetched = 0 WHERE upload = ?", (upload,))

    def set_state(self, upload: int, state: UploadState, *, job: int = 0, twin: int = 0, seen: bool = False) -> None:
        """UPLOAD goes on, as JOB or with its TWIN; SEEN where JOB is an earlier upload's."""
        self.db.execute(
            "UPDATE telegram_upload SET state = ?, job = ?, twin = ?, seen_before = ? WHERE id = ?",
            (state, job or None, twin or None, seen, upload),
        )

    def end(self, upload: int, state: UploadState) -> None:
        """UPLOAD has ended; its passwords are wiped."""
        self.db.execute(
            "UPDATE telegram_upload SET state = ?, twin = NULL, password = '', ended_at = ? WHERE id = ?",
            (state, time.time(), upload),
        )
        self._wipe(upload)

    def _wipe(self, upload: int) -> None:
        self.wiped = True
        rows = self._rows("SELECT chat, message, wishes FROM telegram_message WHERE upload = ?", (upload,))
        for chat, message, wishes in rows:
            kept = msgspec.structs.replace(_wishes.decode(wishes), password="")
            self.db.execute(
                "UPDATE telegram_message SET wishes = ? WHERE chat = ? AND message = ?",
                (_encoder.encode(kept), chat, message),
            )

    def empty_log(self) -> bool:
        """Takes what was wiped out of the WAL too. False where a reader is in the way: try again later."""
        busy = self._rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]
        self.wiped = self.wiped and bool(busy)
        return not busy

    def try_again(self, upload: int, password: str, job: int = 0) -> None:
        """UPLOAD, which has ended, begins anew with its files and PASSWORD; as JOB, where that runs again already."""
        self.db.execute(
            "UPDATE telegram_upload SET state = ?, attempt = attempt + 1, job = ?, seen_before = 0, password = ?,"
            " arrived_at = ?, ended_at = NULL WHERE id = ?",
            (UploadState.JOB if job else UploadState.OPEN, job or None, password, time.time(), upload),
        )
        if not job:
            self.set_unfetched(upload)

    def set_password(self, upload: int, password: str) -> None:
        """UPLOAD's password, in place of its captions'."""
        self.db.execute("UPDATE telegram_upload SET password = ? WHERE id = ?", (password, upload))

    def wants_password(self, job: int) -> bool:
        """Whether JOB, or a member of it, wasn't taken for want of the right password."""
        rows = self._rows('SELECT 1 FROM job WHERE id = ? AND reason LIKE \'%"code":"encrypted"%\'', (job,))
        return bool(rows)

    # Twins

    def twins(self, message: Message) -> list[Twin]:
        """Other uploads of just MESSAGE's document with equal wishes, begun before it, the newest first."""
        rows = self._rows(
            "SELECT u.id, u.state, u.job, j.id, j.state, j.result_path, m.wishes FROM telegram_message m"
            " JOIN telegram_upload u ON u.id = m.upload"
            " LEFT JOIN job i ON i.id = u.job LEFT JOIN job j ON j.id = coalesce(i.duplicate_of, i.id)"
            " WHERE m.document = ? AND m.size = ? AND (m.chat, m.message) <> (?, ?) AND u.state <> 'withdrawn'"
            " AND (SELECT count(*) FROM telegram_message n WHERE n.upload = u.id) = 1 ORDER BY u.id DESC",
            (message.document, message.size, message.chat, message.message),
        )
        wanted = msgspec.structs.replace(message.wishes, format="")
        return [
            Twin(id, UploadState(state), real or job or 0, JobState(job_state) if job_state else None, path or "")
            for id, state, job, real, job_state, path, wishes in rows
            if msgspec.structs.replace(_wishes.decode(wishes), format="") == wanted
        ]

    def waiting_for_twins(self) -> list[tuple[int, int, JobState | None]]:
        """Uploads whose twin has ended: the upload, the twin's job (0: none) and that job's state."""
        rows = self._rows(
            "SELECT u.id, coalesce(i.duplicate_of, i.id), j.state FROM telegram_upload u"
            " JOIN telegram_upload t ON t.id = u.twin"
            " LEFT JOIN job i ON i.id = t.job LEFT JOIN job j ON j.id = coalesce(i.duplicate_of, i.id)"
            f" WHERE u.state = 'twin' AND t.state NOT IN {_OPEN}"
        )
        return [(id, job or 0, JobState(state) if state else None) for id, job, state in rows]

    # Jobs

    def ended_jobs(self) -> list[EndedJob]:
        """Uploads whose job has ended and that aren't answered."""
        rows = self._rows(
            "SELECT u.id, j.id, coalesce(j.duplicate_of, j.id), j.state, u.seen_before FROM telegram_upload u"
            f" JOIN job j ON j.id = u.job WHERE u.state = 'job' AND j.state IN {_ENDED_JOBS} ORDER BY u.id"
        )
        return [EndedJob(id, own, job, JobState(state), bool(seen)) for id, own, job, state, seen in rows]

    def orphaned_jobs(self) -> list[tuple[int, int]]:
        """Uploads (upload, job) whose job isn't in the ledger any more, being merged into an equal one."""
        return self._rows(
            "SELECT u.id, u.job FROM telegram_upload u LEFT JOIN job j ON j.id = u.job"
            " WHERE u.state = 'job' AND j.id IS NULL"
        )

    def job_at(self, source: str) -> int:
        """The job that was submitted as SOURCE, or 0."""
        rows = self._rows("SELECT id FROM job WHERE source = ?", (source,))
        return int(rows[0][0]) if rows else 0

    def arrived_at(self, upload: int) -> float:
        """When UPLOAD was first heard of, or was begun anew."""
        return float(self._rows("SELECT arrived_at FROM telegram_upload WHERE id = ?", (upload,))[0][0])

    def ended_at(self, upload: int) -> float | None:
        """When UPLOAD ended: None where it hasn't, 0 where there is no such upload."""
        rows = self._rows("SELECT ended_at FROM telegram_upload WHERE id = ?", (upload,))
        return rows[0][0] if rows else 0.0

    def name_of(self, job: int) -> str:
        """What JOB's upload is called."""
        rows = self._rows("SELECT name FROM job WHERE id = ?", (job,))
        return str(rows[0][0]) if rows else ""

    def uploads_of(self, job: int) -> int:
        """How many uploads JOB is the answer to."""
        return int(self._rows("SELECT count(*) FROM telegram_upload WHERE job = ?", (job,))[0][0])

    def of_job(self, chat: int, job: int) -> int:
        """The newest upload of CHAT that is JOB, or 0: other chats' jobs are nobody's business."""
        rows = self._rows("SELECT max(id) FROM telegram_upload WHERE chat = ? AND job = ?", (chat, job))
        return int(rows[0][0] or 0)

    def about_reply(self, chat: int, message: int) -> int:
        """The upload that MESSAGE of CHAT, ours or its uploader's, is about, or 0."""
        rows = self._rows(
            "SELECT upload FROM outbox WHERE chat = ? AND message = ? AND upload > 0"
            " UNION ALL SELECT upload FROM telegram_message WHERE chat = ? AND message = ?",
            (chat, message, chat, message),
        )
        return int(rows[0][0]) if rows else 0

    # The outbox

    def say(self, once: str, chat: int, reply_to: int, upload: int, facts: Facts) -> bool:
        """Puts FACTS into the outbox, unless ONCE is in it already: then False."""
        cursor = self.db.execute(
            "INSERT INTO outbox (once, random_id, chat, reply_to, upload, facts, state, at)"
            " VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?) ON CONFLICT DO NOTHING",
            (once, secrets.randbits(63) or 1, chat, reply_to, upload, pack_facts(facts), time.time()),
        )
        return bool(cursor.rowcount)

    def drop_late(self) -> None:
        """Status messages that were never seen to be sent, of uploads that are answered by now."""
        self.db.execute(
            "UPDATE outbox SET state = 'dropped' WHERE state = 'waiting' AND once LIKE 'status:%' AND upload IN"
            f" (SELECT id FROM telegram_upload WHERE state NOT IN {_OPEN})"
        )

    def drop(self, once: str) -> None:
        """Nothing is to be sent after all."""
        self.db.execute("UPDATE outbox SET state = 'dropped' WHERE once = ? AND state = 'waiting'", (once,))

    def has_said(self, once: str) -> bool:
        """Whether ONCE is in the outbox."""
        return bool(self._rows("SELECT 1 FROM outbox WHERE once = ?", (once,)))

    def unsaid(self, after: int = 0) -> list[Say]:
        """What is to be sent past item AFTER, the oldest first."""
        rows = self._rows(
            "SELECT id, random_id, chat, reply_to, upload, facts, message FROM outbox WHERE state = 'waiting'"
            " AND id > ? ORDER BY id",
            (after,),
        )
        return [_say(row) for row in rows]

    def standing(self) -> list[Say]:
        """The status messages of open uploads that are in their chats and may be edited."""
        rows = self._rows(
            "SELECT o.id, random_id, o.chat, reply_to, upload, facts, message FROM telegram_upload u"
            " JOIN outbox o ON o.once = 'status:' || u.id || ':' || u.attempt"
            f" WHERE u.state IN {_OPEN} AND o.state = 'sent' AND message > 0"
        )
        return [_say(row) for row in rows]

    def set_sent(self, item: int, message: int) -> None:
        """ITEM is in its chat."""
        self.db.execute(
            "UPDATE outbox SET state = 'sent', message = ? WHERE id = ? AND state = 'waiting'", (message, item)
        )

    def set_undeliverable(self, item: int, words: str) -> None:
        """ITEM can never be sent."""
        self.db.execute(
            "UPDATE outbox SET state = 'undeliverable', words = ? WHERE id = ? AND state = 'waiting'", (words, item)
        )

    def undeliverable(self) -> int:
        """How many answers could not be delivered."""
        return int(self._rows("SELECT count(*) FROM outbox WHERE state = 'undeliverable'")[0][0])


def _message(row: Sequence[Any], series: str, password: str) -> Message:
    chat, message, sender, at, document, size, name, part, wishes, fetched = row
    wanted = _wishes.decode(wishes)
    if password:
        wanted = msgspec.structs.replace(wanted, password=password)
    return Message(
        chat=chat,
        message=message,
        sender=sender,
        at=at,
        document=document,
        size=size,
        name=name,
        series=series,
        part=part,
        wishes=wanted,
        fetched=bool(fetched),
    )


def _say(row: Sequence[Any]) -> Say:
    item, random_id, chat, reply_to, upload, facts, message = row
    return Say(item, random_id, chat, reply_to, upload, unpack_facts(facts), message)
