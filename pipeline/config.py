"""The typed configuration. Sizes are bytes, times seconds; each field's comment is its documentation.

The reference in docs/ and the file that `init` writes are made from here, so every field has a comment, on its line or
in the lines above it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

INCOMING = ".incoming"  # in the library: where jobs are staged, and never read from
KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# What a number counts, and what it may be. In the file a size may be written "64 GiB" and a duration "30 s".
Bytes = Annotated[int, msgspec.Meta(ge=1, extra={"unit": "bytes"})]
Seconds = Annotated[float, msgspec.Meta(gt=0, extra={"unit": "seconds"})]
Count = Annotated[int, msgspec.Meta(ge=1)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Folder = Annotated[str, msgspec.Meta(extra={"unit": "path"})]  # relative to the file's own folder; ~ is the user's home


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """Where things lie."""

    state: Folder  # ledger, locks, spool, work: on a local disk
    library: Folder  # published results
    inbox: Folder = ""  # files moved in here are taken; empty: none is

    @property
    def work(self) -> Path:
        """Where stages write what isn't published yet."""
        return Path(self.state) / "work"

    @property
    def spool(self) -> Path:
        """Where uploads land."""
        return Path(self.state) / "spool"

    @property
    def code(self) -> Path:
        """Machine code that stages run, where it can't lie beside their own files."""
        return Path(self.state) / "code"

    @property
    def ledger(self) -> Path:
        """The SQLite database."""
        return Path(self.state) / "ledger.sqlite"

    @property
    def socket(self) -> Path:
        """Where a running daemon listens."""
        return Path(self.state) / "control.sock"


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """How much may wait in front of a stage."""

    batches: Count = 16  # batches that may wait
    bytes: Bytes = 256 * MIB  # what they may hold in work/ together


class BatchSize(msgspec.Struct, frozen=True, kw_only=True):
    """When extract closes a batch: at whichever comes first."""

    bytes: Bytes = 64 * MIB  # its files together
    files: Count = 1000  # files in it


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """How much disk is left alone."""

    min_free: Bytes = 256 * MIB  # below it work pauses, and goes on by itself when there is room


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """An external program in place of a built-in stage. There is never a second copy of it on this host.

    In `argv`, `{input}` stands for the upload (extract) or the folder with the batch's files (convert), `{output}` for
    the folder that takes the results, `{name}` for the upload's name. It runs with the batch's folder as its own.
    """

    argv: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]  # the program and its arguments
    wall_s: Seconds = 3600.0  # how long a run may take
    memory_bytes: Bytes = 4 * GIB  # what it may use
    # What each exit code means: done, retry, or the code of a reject.
    exit_codes: dict[int, str] = msgspec.field(default_factory=lambda: {0: "done", 75: "retry"})
    log_bytes: Bytes = MIB  # what is kept of what it prints
    sandbox: bool = False  # it runs confined: writes only in work/, no network, reads its folder and argv's paths


class Extract(msgspec.Struct, frozen=True, kw_only=True):
    """What one job may cost; counted on bytes really produced, one budget over all nested levels."""

    max_bytes: Bytes = 64 * GIB  # all members of a job together
    max_member_bytes: Bytes = 16 * GIB  # one member of it
    max_ratio: Count = 200  # bytes produced to bytes read, after the first MiB
    max_members: Count = 1_000_000  # members of a job
    max_depth: Count = 4  # archives within archives
    max_wall_s: Seconds = 6 * 3600.0  # how long a job may be extracted, waiting not counted
    max_cpu_s: Seconds = 6 * 3600.0  # processor time that this may take
    command: Command | None = None  # a program that extracts in place of the built-in


class Convert(msgspec.Struct, frozen=True, kw_only=True):
    """How tables are made."""

    max_columns: Count = 20_000  # columns of one table
    max_rows: Annotated[int, msgspec.Meta(ge=0)] = 0  # rows of one table; 0 for any number
    formats: tuple[str, ...] = ()  # the families that are read (delimited, json, workbook, ...); none named: all
    on_reject: Literal["keep", "fail"] = "keep"  # a file with bad records: its good ones are kept, or it's refused
    types: dict[str, str] = {}  # by column name: VARCHAR, BIGINT, DOUBLE, DATE, or how dates are written (%d/%m/%Y)
    command: Command | None = None  # a program that converts in place of the built-in


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker may take before it is replaced."""

    memory_bytes: Bytes = 2 * GIB  # what it and its tools may use
    wall_s: Seconds = 6 * 3600.0  # how long one batch may take, waiting not counted
    no_progress_s: Seconds = 600.0  # how long a batch may get no further
    sandbox: bool = True  # extract and convert are confined: they write only in work/, read the uploads, no network


class Telegram(msgspec.Struct, frozen=True, kw_only=True):
    """The account that takes uploads and answers them. What is secret lies in files of its own, never here."""

    api_id: Count  # from https://my.telegram.org
    api_hash_file: Folder = ""  # the api_hash; empty: the service's credential api_hash ($CREDENTIALS_DIRECTORY)
    bot_token_file: Folder = ""  # a bot's token, in place of a user account's login
    session: Folder = ""  # the login's file, kept at mode 0600; empty: telegram/account.session in paths.state
    senders: tuple[int, ...] = ()  # numeric ids of those who may upload, directly and in one of `chats`
    chats: tuple[int, ...] = ()  # numeric ids of groups and channels; without `senders`, everybody in them may upload
    max_bytes: Bytes = 4 * GIB  # of one file
    downloads: Count = 4  # files at a time
    parts_timeout_s: Seconds = 3600.0  # how long a volume or a part of an album may be missing
    reconcile_s: Seconds = 180.0  # between two looks at the chats for what no update told of
    first_look_s: Seconds = 86_400.0  # how far back a chat is read that has never been looked at
    deliver: Literal["summary", "files"] = "summary"  # whether results are sent back as files too
    stranger_reply: str = ""  # what others are told, once; empty: nothing
    server: str = ""  # a test server in place of Telegram's, as host:port
    server_key: Folder = ""  # ... and the file with its public key (PEM)
    # ... and where its DCs are, by number (4 = "host:port"), where it doesn't say so itself, or not rightly.
    dcs: dict[str, str] = {}

    def session_file(self, paths: Paths) -> Path:
        """Where the login is kept."""
        return Path(self.session) if self.session else Path(paths.state) / "telegram" / "account.session"


class Inbox(msgspec.Struct, frozen=True, kw_only=True):
    """When a file in the folder `paths.inbox` is taken."""

    quiet_s: Seconds = 5.0  # how long it must have been unchanged; and nobody may have it open for writing
    parts_timeout_s: Seconds = 3600.0  # how long a part of a split archive may be missing, once the others are there


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """What is deleted by itself. Results never are."""

    # Uploads in the spool, so long after their job's end; 0: never.
    uploads_s: Annotated[float, msgspec.Meta(ge=0, extra={"unit": "seconds"})] = 7 * 86400.0


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon writes to stderr, which is the journal's under systemd."""

    format: Literal["text", "json"] = "text"  # one event a line either way
    level: Literal["debug", "info", "notice", "warning", "err"] = "info"  # the least grave that is written


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """OpenMetrics for Prometheus, on 127.0.0.1 only."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0  # 9464 is usual; 0: none are served


class Postgres(msgspec.Struct, frozen=True, kw_only=True):
    """A PostgreSQL database that each job's tables are loaded into too, in one transaction a job."""

    uri_file: Folder = ""  # holds the URI, postgresql://...; empty: the service's credential postgres_uri
    schema: str = "stampmill"  # the schema; it must be this library's alone


class Objects(msgspec.Struct, frozen=True, kw_only=True):
    """An object store that each job's folder is copied to too, its manifest last."""

    url: str  # such as s3://bucket/prefix, in fsspec's words
    options_file: Folder = ""  # JSON: key, secret, endpoint_url, ...; empty: the service's credential objects_options


class Iceberg(msgspec.Struct, frozen=True, kw_only=True):
    """Apache Iceberg tables, named in a SQL catalogue, that each job's tables are written to too."""

    warehouse: str  # where their data lies, such as file:///srv/warehouse or s3://bucket/warehouse
    uri: str = ""  # the catalogue's database, in SQLAlchemy's words: sqlite:////srv/warehouse/catalog.db
    namespace: str = "stampmill"  # the namespace; it must be this library's alone
    options_file: Folder = ""  # JSON: uri, s3.endpoint, ...; empty: the service's credential iceberg_options


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """Where published jobs go beside the library. A job is done once it is in all of them."""

    postgres: Postgres | None = None  # a database
    objects: Objects | None = None  # an object store
    iceberg: Iceberg | None = None  # an Iceberg catalogue
    retry_s: Seconds = 30.0  # between two tries, where one of them can't take anything


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set."""

    paths: Paths
    queue: Queue = Queue()
    batch: BatchSize = BatchSize()
    disk: Disk = Disk()
    extract: Extract = Extract()
    convert: Convert = Convert()
    worker: Worker = Worker()
    inbox: Inbox = Inbox()
    retention: Retention = Retention()
    log: Log = Log()
    metrics: Metrics = Metrics()
    targets: Targets = Targets()
    telegram: Telegram | None = None  # none: uploads come from the inbox and from `submit` alone
    stop_timeout_s: Seconds = 30.0  # what running batches may take to finish when the daemon is told to stop


_REPLACED = "it is for the built-in stage, which the command replaces"

# Keys that can't both be set, and why.
EXCLUSIVE: Final[tuple[tuple[str, str, str], ...]] = (
    *(
        ("convert.command", f"convert.{key}", _REPLACED)
        for key in ("formats", "on_reject", "types", "max_rows", "max_columns")
    ),
    *(("extract.command", f"extract.{field}", _REPLACED) for field in Extract.__struct_fields__ if field != "command"),
)
