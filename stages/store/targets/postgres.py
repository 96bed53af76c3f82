"""PostgreSQL: each job's tables by bulk COPY through ADBC, all of a job in one transaction.

The schema is this library's alone. In it, `t12_orders` is the table `orders` of job 12, as `query` names it;
`stampmill_jobs` and `stampmill_tables` tell what is there. A job's row is written in the transaction that brings its
tables, so that whoever died, and wherever, the row says whether they are there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.config import Postgres
from stages.store.manifest import TableEntry, UploadEntry
from stages.store.targets.arrow_fit import fit, fitted
from stages.store.targets.protocol import ForgottenJob, Progress, PublishedJob, TargetDown, TargetRefuses, relation_name

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Connection, Cursor

MAX_COLUMNS: Final = 1600  # PostgreSQL's own limit
MAX_NAME: Final = 63  # bytes, likewise
_BATCH_ROWS: Final = 64 * 1024
_DATA_ERRORS: Final = ("22", "54", "0A")  # SQLSTATE classes that no other try will change

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS {schema}.stampmill_jobs (
    job BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    arrived_at TIMESTAMPTZ NOT NULL,
    state TEXT NOT NULL,
    manifest TEXT NOT NULL, -- the SHA-256 of its manifest
    loaded_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS {schema}.stampmill_tables (
    job BIGINT NOT NULL REFERENCES {schema}.stampmill_jobs ON DELETE CASCADE,
    name TEXT NOT NULL,
    relation TEXT NOT NULL,
    source TEXT NOT NULL,
    rows BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    PRIMARY KEY (job, name)
);
"""


class PostgresTarget:
    """The target."""

    name = "PostgreSQL"

    def __init__(self, config: Postgres) -> None:
        self._config = config
        self._schema = _quoted(config.schema)
        self._is_prepared = False

    def deliver(self, job: PublishedJob, progress: Progress) -> None:
        """Loads JOB's tables. Raises TargetDown, TargetRefuses."""
        _check_widths(job)
        with self._working() as (connection, cursor):
            if self._clear(cursor, job.manifest.job, job.manifest.upload, job.digest):
                self._load(cursor, job, progress)
                connection.commit()

    def forget(self, job: ForgottenJob) -> None:
        """Drops JOB's tables, all in one transaction. Raises TargetDown, TargetRefuses."""
        with self._working() as (connection, cursor):
            self._clear(cursor, job.job, job.upload, "")
            connection.commit()

    @contextlib.contextmanager
    def _working(self) -> Iterator[tuple[Connection, Cursor]]:
        """A connection to the schema, which is prepared. Raises TargetDown, TargetRefuses."""
        from adbc_driver_manager import dbapi

        try:
            with self._connect() as connection, connection.cursor() as cursor:
                if not self._is_prepared:
                    self._prepare(cursor)
                    connection.commit()
                    self._is_prepared = True
                yield connection, cursor
        except dbapi.Error as error:
            raise _explained(error) from error

    def _connect(self) -> Connection:
        from adbc_driver_postgresql import dbapi

        connection: Connection = dbapi.connect(_uri(self._config))
        return connection

    def _prepare(self, cursor: Cursor) -> None:
        """Makes the schema and the two tables, unless they are there. Two that begin at once wait for each other."""
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('stampmill'))")
        cursor.fetchall()
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
        for statement in _TABLES.format(schema=self._schema).split(";\n"):
            if statement.strip():
                cursor.execute(statement)

    def _clear(self, cursor: Cursor, job: int, upload: UploadEntry, digest: str) -> bool:
        """Whether JOB isn't there with a manifest of this DIGEST. Drops what an earlier run of it left; refuses another
        library's job."""
        cursor.execute(
            f"SELECT manifest, sha256 = $2 AND name = $3 FROM {self._schema}.stampmill_jobs WHERE job = $1",
            (job, upload.sha256, _text(upload.name)),
        )
        rows = cursor.fetchall()
        if not rows:
            return True
        found, is_own = rows[0]
        if not is_own:
            raise TargetRefuses(f"the schema {self._config.schema} already holds another library's job {job}")
        if found == digest:
            return False
        cursor.execute(f"SELECT relation FROM {self._schema}.stampmill_tables WHERE job = $1", (job,))
        for (relation,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE IF EXISTS {self._schema}.{_quoted(relation)}")
        cursor.execute(f"DELETE FROM {self._schema}.stampmill_jobs WHERE job = $1", (job,))
        return True

    def _load(self, cursor: Cursor, job: PublishedJob, progress: Progress) -> None:
        manifest = job.manifest
        cursor.execute(
            f"INSERT INTO {self._schema}.stampmill_jobs (job, name, sha256, arrived_at, state, manifest)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            (
                manifest.job,
                _text(manifest.upload.name),
                manifest.upload.sha256,
                datetime.fromisoformat(manifest.upload.arrived_at),
                manifest.state,
                job.digest,
            ),
        )
        for table in manifest.tables:
            relation = relation_name(manifest.job, table.name, MAX_NAME)
            self._ingest(cursor, job, table, relation, progress)
            cursor.execute(
                f"INSERT INTO {self._schema}.stampmill_tables VALUES ($1, $2, $3, $4, $5, $6)",
                (manifest.job, table.name, relation, _text(table.source), table.rows, table.rejected),
            )

    def _ingest(self, cursor: Cursor, job: PublishedJob, table: TableEntry, relation: str, progress: Progress) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        paths = [job.path / table.name / part.file for part in table.parts]
        schema = parquet.read_schema(paths[0])
        reader = pa.RecordBatchReader.from_batches(fit(schema), _batches(paths, schema, progress))
        rows = cursor.adbc_ingest(relation, reader, mode="create", db_schema_name=self._config.schema)
        if rows not in (-1, table.rows):
            raise TargetDown(f"{rows} rows of {table.rows} arrived in {relation}")


def _batches(paths: list[Path], schema: pa.Schema, progress: Progress) -> Iterator[pa.RecordBatch]:
    from pyarrow import parquet

    for path in paths:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                progress(batch.nbytes)
                yield fitted(batch.cast(schema))


def _check_widths(job: PublishedJob) -> None:
    for table in job.manifest.tables:
        if len(table.columns) > MAX_COLUMNS:
            raise TargetRefuses(f"{table.name} has {len(table.columns)} columns, PostgreSQL takes {MAX_COLUMNS}")


def _uri(config: Postgres) -> str:
    """The connection's URI, from its file. Raises TargetDown where that can't be read."""
    path = config.uri_file or f"{os.environ.get('CREDENTIALS_DIRECTORY', '')}/postgres_uri"
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise TargetDown(f"the URI's file {path} can't be read ({error.strerror})") from error


def _explained(error: Any) -> Exception:
    """What ERROR means. The server's words may quote the URI, but never its password."""
    state = str(getattr(error, "sqlstate", "") or "")
    words = " ".join(str(error).split())[:300]
    return TargetRefuses(words) if state.startswith(_DATA_ERRORS) else TargetDown(words)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return value.replace("\0", "␀")
