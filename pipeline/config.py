"""The typed configuration. Sizes are bytes, times seconds; each field's comment is its documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

INCOMING = ".incoming"  # in the library: where jobs are staged, and never read from
KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """Where things lie."""

    state: str  # ledger, locks, spool, work
    library: str  # published results

    @property
    def work(self) -> Path:
        """Where stages write what isn't published yet."""
        return Path(self.state) / "work"

    @property
    def ledger(self) -> Path:
        """The SQLite database."""
        return Path(self.state) / "ledger.sqlite"


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """How much may wait in front of a stage."""

    batches: int = 16
    bytes: int = 256 * MIB


class BatchSize(msgspec.Struct, frozen=True, kw_only=True):
    """When extract closes a batch: at whichever comes first."""

    bytes: int = 64 * MIB
    files: int = 1000


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """How much disk is left alone."""

    min_free: int = 256 * MIB


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """An external program in place of a built-in stage. There is never a second copy of it on this host.

    In `argv`, `{input}` stands for the upload (extract) or the folder with the batch's files (convert), `{output}` for
    the folder that takes the results, `{name}` for the upload's name. It runs with the batch's folder as its own.
    """

    argv: tuple[str, ...]
    wall_s: float = 3600.0
    memory_bytes: int = 4 * GIB
    exit_codes: dict[int, str] = msgspec.field(default_factory=lambda: {0: "done", 75: "retry"})  # or a reject's code
    log_bytes: int = MIB  # of what it prints, the rest is thrown away


class Extract(msgspec.Struct, frozen=True, kw_only=True):
    """What one job may cost; counted on bytes really produced, one budget over all nested levels."""

    max_bytes: int = 64 * GIB  # all members together
    max_member_bytes: int = 16 * GIB  # one member
    max_ratio: int = 200  # produced to read, after the first MiB
    max_members: int = 1_000_000
    max_depth: int = 4  # archives within archives
    max_wall_s: float = 6 * 3600.0
    max_cpu_s: float = 6 * 3600.0
    command: Command | None = None  # a program that extracts in place of the built-in


class Convert(msgspec.Struct, frozen=True, kw_only=True):
    """How tables are made."""

    max_columns: int = 20_000
    max_rows: int = 0  # of one table; 0 for any number
    formats: tuple[str, ...] = ()  # the families that are read (delimited, json, workbook, ...); none named: all
    on_reject: Literal["keep", "fail"] = "keep"  # a file with bad records: its good ones are kept, or it's refused
    types: dict[str, str] = {}  # by column name: VARCHAR, BIGINT, DOUBLE, DATE, or how dates are written (%d/%m/%Y)
    command: Command | None = None  # a program that converts in place of the built-in


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker may take before it is replaced."""

    memory_bytes: int = 2 * GIB
    wall_s: float = 6 * 3600.0  # one batch
    no_progress_s: float = 600.0


class Telegram(msgspec.Struct, frozen=True, kw_only=True):
    """The account that takes uploads and answers them. What is secret lies in files of its own, never here."""

    api_id: int
    api_hash_file: str = ""  # the api_hash; empty: the service's credential api_hash ($CREDENTIALS_DIRECTORY)
    bot_token_file: str = ""  # a bot's token, in place of a user account's login
    session: str = ""  # the login's file, kept at mode 0600; empty: telegram/account.session in paths.state
    senders: tuple[int, ...] = ()  # numeric ids of those who may upload, in a chat with the account or in one of `chats`
    chats: tuple[int, ...] = ()  # numeric ids of groups and channels; without `senders`, everybody in them may upload
    max_bytes: int = 4 * GIB  # of one file
    downloads: int = 4  # files at a time
    parts_timeout_s: float = 3600.0  # how long a volume or a part of an album may be missing
    reconcile_s: float = 180.0  # between two looks at the chats for what no update told of
    first_look_s: float = 86_400.0  # how far back a chat is read that has never been looked at
    deliver: Literal["summary", "files"] = "summary"  # whether results are sent back as files too
    stranger_reply: str = ""  # what others are told, once; empty: nothing
    server: str = ""  # a test server in place of Telegram's, as host:port
    server_key: str = ""  # ... and the file with its public key (PEM)

    def session_file(self, paths: Paths) -> Path:
        """Where the login is kept."""
        return Path(self.session) if self.session else Path(paths.state) / "telegram" / "account.session"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set."""

    paths: Paths
    queue: Queue = Queue()
    batch: BatchSize = BatchSize()
    disk: Disk = Disk()
    extract: Extract = Extract()
    convert: Convert = Convert()
    worker: Worker = Worker()
    telegram: Telegram | None = None  # none: uploads come from the inbox and from `submit` alone
    stop_timeout_s: float = 30.0
