"""The ledger's schema, as the list of migrations that lead to it. A migration, once released, never changes."""

from __future__ import annotations

import sqlite3
from typing import Final

MIGRATIONS: Final[tuple[str, ...]] = (
    # 1: the first schema. `batch` holds open work only: a job's rows go when it ends, `event` keeps its story.
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE job (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source TEXT NOT NULL UNIQUE,      -- where it came from: file:<path>#<n>, tg:<chat>:<message>
        name TEXT NOT NULL,
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        device INTEGER NOT NULL,
        sha256 TEXT,
        options BLOB NOT NULL,            -- msgpack model.Options; its password is wiped when the job ends
        state TEXT NOT NULL,              -- waiting, held, done, failed, duplicate, cancelled
        reason TEXT,                      -- JSON model.Reason
        duplicate_of INTEGER,             -- the job it equals (state duplicate) or waits for (state held)
        epoch INTEGER NOT NULL DEFAULT 0, -- how often it was set back to its upload
        arrived_at REAL NOT NULL,
        ended_at REAL,
        result_path TEXT,                 -- relative to the library
        members TEXT,                     -- JSON model.MemberCounts
        rejected_records INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX job_equal ON job (sha256) WHERE sha256 IS NOT NULL;
    CREATE INDEX job_path ON job (path);
    CREATE INDEX job_waiting ON job (id) WHERE state = 'waiting'; -- few among millions, and asked for at each start
    CREATE INDEX job_held ON job (id) WHERE state = 'held';
    CREATE TABLE batch (
        id INTEGER PRIMARY KEY,
        job INTEGER NOT NULL,
        seq INTEGER NOT NULL,             -- 0 is the upload's own, which ends as the job's last batch
        stage INTEGER NOT NULL,
        state INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        charges INTEGER NOT NULL DEFAULT 0,
        orphaned INTEGER NOT NULL DEFAULT 0, -- supervisor deaths while it ran, without progress since
        mark BLOB NOT NULL DEFAULT x'',   -- progress at its last death, and the members singled out
        bytes INTEGER NOT NULL,
        files INTEGER NOT NULL,
        payload BLOB NOT NULL,
        names TEXT NOT NULL,              -- what it owns in work/, newline-separated
        checkpoint BLOB NOT NULL DEFAULT x'', -- where its extract goes on after a restart
        closed INTEGER NOT NULL DEFAULT 0 -- batches that its extract has closed
    );
    CREATE TABLE event (
        job INTEGER NOT NULL,
        id INTEGER NOT NULL,              -- order within the ledger
        at REAL NOT NULL,
        seq INTEGER NOT NULL,
        stage INTEGER,
        what TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        seconds REAL NOT NULL,            -- working time, where the event ends some
        detail TEXT NOT NULL,
        PRIMARY KEY (job, id)
    ) WITHOUT ROWID;
    CREATE TABLE tables (
        job INTEGER NOT NULL,
        name TEXT NOT NULL,
        path TEXT NOT NULL,
        source TEXT NOT NULL,
        rows INTEGER NOT NULL,
        rejected INTEGER NOT NULL,
        columns TEXT NOT NULL,            -- JSON list of model.Column
        PRIMARY KEY (job, name)
    ) WITHOUT ROWID;
    """,
    # 2: what came by Telegram, and what is to be said there.
    """
    CREATE TABLE telegram_chat (
        chat INTEGER PRIMARY KEY,
        looked INTEGER NOT NULL           -- every message up to this one has been reported
    );
    CREATE TABLE telegram_upload (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        chat INTEGER NOT NULL,
        series TEXT NOT NULL,             -- what its messages have in common: a set of volumes, an album, or itself
        state TEXT NOT NULL,              -- adapter_model.UploadState
        job INTEGER,
        twin INTEGER,                     -- the upload of the same document that it waits for (state twin)
        seen_before INTEGER NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 0,
        password TEXT NOT NULL DEFAULT '', -- given in a reply; wiped when it ends
        arrived_at REAL NOT NULL,
        ended_at REAL
    );
    CREATE INDEX telegram_upload_open ON telegram_upload (chat, series) WHERE state IN ('open', 'twin', 'job');
    CREATE INDEX telegram_upload_job ON telegram_upload (job) WHERE job IS NOT NULL;
    CREATE INDEX telegram_upload_twin ON telegram_upload (twin) WHERE state = 'twin';
    CREATE TABLE telegram_message (
        chat INTEGER NOT NULL,            -- as Telegram's clients mark it: negative for groups and channels
        message INTEGER NOT NULL,
        upload INTEGER NOT NULL,
        sender INTEGER NOT NULL,
        at REAL NOT NULL,
        document INTEGER NOT NULL,
        size INTEGER NOT NULL,
        name TEXT NOT NULL,
        part INTEGER NOT NULL,
        wishes BLOB NOT NULL,             -- msgpack adapter_model.Wishes; the password is wiped when the upload ends
        fetched INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (chat, message)
    ) WITHOUT ROWID;
    CREATE INDEX telegram_message_upload ON telegram_message (upload);
    CREATE INDEX telegram_message_document ON telegram_message (document);
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        once TEXT NOT NULL UNIQUE,        -- status:<upload>:<attempt>, final:<upload>:<attempt>, reply:<chat>:<message>
        random_id INTEGER NOT NULL,       -- by which Telegram knows a message that was sent before
        chat INTEGER NOT NULL,
        reply_to INTEGER NOT NULL,
        upload INTEGER NOT NULL,          -- 0 for the answer to a command
        facts BLOB NOT NULL,              -- msgpack adapter_model.Facts
        state TEXT NOT NULL,              -- waiting, sent, undeliverable, dropped (a status that came too late)
        message INTEGER NOT NULL DEFAULT 0,
        words TEXT NOT NULL DEFAULT '',   -- why it's undeliverable
        at REAL NOT NULL
    );
    CREATE INDEX outbox_waiting ON outbox (id) WHERE state = 'waiting';
    CREATE INDEX outbox_message ON outbox (chat, message) WHERE message > 0;
    CREATE INDEX outbox_upload ON outbox (upload);
    """,
    # 3: uploads that came in several files.
    """
    ALTER TABLE job ADD COLUMN parts BLOB; -- msgpack: the others' model.Volume, and the name of one that is missing
    """,
    # 4: jobs can be forgotten: in state 'forgetting' a job has ended and has a batch again, until it is 'forgotten'.
    """
    CREATE INDEX job_forgetting ON job (id) WHERE state = 'forgetting';
    """,
)


def migrate(connection: sqlite3.Connection, found: int) -> None:
    """Brings the ledger behind CONNECTION from schema FOUND to the newest, all in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for script in MIGRATIONS[found:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled it back already
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """The statements of SCRIPT. `executescript` would commit the transaction that they are to share."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
