"""Apache Iceberg: each job's tables in a SQL catalogue, from which Spark, Trino, DuckDB and Polars read them.

In the namespace, which is this library's alone, `t12_orders` is the table `orders` of job 12, as `query` names it; its
properties tell the job, the upload and the member that it is from. A job's data and metadata lie in a folder of the
warehouse that no other attempt writes to, and nobody knows of it until one transaction of the catalogue's database names
all its tables. So whoever died, and wherever, no reader saw a part of a job.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlparse

from pipeline.config import Iceberg
from stages.store import files
from stages.store.manifest import TableEntry, UploadEntry
from stages.store.targets.protocol import (
    ForgottenJob,
    Progress,
    PublishedJob,
    TargetDown,
    TargetRefuses,
    relation_name,
    secrets_in,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog

_MAX_NAME: Final = 250  # bytes; the catalogue's database takes 255 characters
_FILE_BYTES: Final = 128 * 1024 * 1024  # of rows in memory that become one data file
_CATALOG: Final = "stampmill"
_JOB, _MANIFEST, _SHA256 = "stampmill.job", "stampmill.manifest", "stampmill.sha256"


class IcebergTarget:
    """The target."""

    name = "Iceberg"

    def __init__(self, config: Iceberg) -> None:
        self._config = config
        self._made: SqlCatalog | None = None

    def deliver(self, job: PublishedJob, progress: Progress) -> None:
        """Brings JOB's tables there. Raises TargetDown, TargetRefuses."""
        with self._working() as catalog:
            number, upload = job.manifest.job, job.manifest.upload
            there = self._there(catalog, number, upload)
            if job.digest in there.values():
                return
            folder = f"{self._config.warehouse.rstrip('/')}/{self._config.namespace}/{number}-{job.digest[:16]}"
            _delete(catalog, folder)  # an attempt that died left it
            locations = {}
            for table in job.manifest.tables:
                name = relation_name(number, table.name, _MAX_NAME)
                locations[name] = self._write(job, table, f"{folder}/{table.name}", progress)
            _sync(folder)
            self._name(catalog, number, locations)
            for old in set(there.values()):
                _delete(catalog, f"{folder.rpartition('-')[0]}-{old[:16]}")

    def forget(self, job: ForgottenJob) -> None:
        """Takes JOB's tables out, then what they held. Raises TargetDown, TargetRefuses."""
        with self._working() as catalog:
            self._there(catalog, job.job, job.upload)
            self._name(catalog, job.job, {})
            root = f"{self._config.warehouse.rstrip('/')}/{self._config.namespace}"
            for folder in _folders(catalog, root, f"{job.job}-"):
                _delete(catalog, folder)

    @contextlib.contextmanager
    def _working(self) -> Iterator[SqlCatalog]:
        """The catalogue, with the namespace in it. Raises TargetDown, TargetRefuses."""
        try:
            import pyarrow as pa
            from pyiceberg.exceptions import NoSuchPropertyException, ValidationError
            from pyiceberg.io.pyarrow import UnsupportedPyArrowTypeException
            from sqlalchemy.exc import SQLAlchemyError
        except ImportError as error:
            raise TargetDown(f"a package isn't installed: {error}") from error
        try:
            yield self._opened()
        except (pa.ArrowInvalid, UnsupportedPyArrowTypeException, ValidationError) as error:
            raise TargetRefuses(_words(error)) from error
        except (SQLAlchemyError, OSError, ImportError, ValueError, NoSuchPropertyException) as error:
            self._made = None
            raise TargetDown(_words(error)) from error

    def _opened(self) -> SqlCatalog:
        if self._made is None:
            from pyiceberg.catalog.sql import SqlCatalog

            options = secrets_in(self._config.options_file, "iceberg_options")
            properties = {"uri": self._config.uri, "warehouse": self._config.warehouse, **options}
            catalog = SqlCatalog(_CATALOG, **properties)
            catalog.create_namespace_if_not_exists(self._config.namespace)
            self._made = catalog
        return self._made

    def _there(self, catalog: SqlCatalog, job: int, upload: UploadEntry) -> dict[str, str]:
        """The tables of JOB that are there, and the hash of the manifest that each is from. Refuses another library's."""
        found = {}
        for name in self._names(catalog, job):
            properties = catalog.load_table((self._config.namespace, name)).properties
            if properties.get(_JOB) != str(job) or properties.get(_SHA256) != upload.sha256:
                raise TargetRefuses(f"the namespace {self._config.namespace} already holds another library's job {job}")
            found[name] = properties[_MANIFEST]
        return found

    def _names(self, catalog: SqlCatalog, job: int) -> list[str]:
        from pyiceberg.catalog.sql import IcebergTables
        from sqlalchemy import select

        prefix = f"t{job}_"
        query = select(IcebergTables.table_name).where(
            IcebergTables.catalog_name == catalog.name,
            IcebergTables.table_namespace == self._config.namespace,
            IcebergTables.table_name.startswith(prefix, autoescape=True),
        )
        with catalog.engine.connect() as connection:
            return [str(name) for (name,) in connection.execute(query)]

    def _name(self, catalog: SqlCatalog, job: int, locations: dict[str, str]) -> None:
        """Has the catalogue know, of JOB, the tables whose metadata lies at LOCATIONS, and no others: in one transaction."""
        from pyiceberg.catalog.sql import IcebergTables
        from sqlalchemy import delete, insert

        old = self._names(catalog, job)
        with catalog.engine.begin() as connection:
            if old:
                connection.execute(
                    delete(IcebergTables).where(
                        IcebergTables.catalog_name == catalog.name,
                        IcebergTables.table_namespace == self._config.namespace,
                        IcebergTables.table_name.in_(old),
                    )
                )
            if locations:
                rows = [catalog._create_table_row(self._config.namespace, *one) for one in locations.items()]
                connection.execute(insert(IcebergTables), rows)

    def _write(self, job: PublishedJob, entry: TableEntry, location: str, progress: Progress) -> str:
        """Writes the table ENTRY as Iceberg has it below LOCATION; where its metadata is. No catalogue that anybody reads
        knows of it."""
        import pyarrow as pa
        from pyarrow import parquet
        from pyiceberg.catalog.memory import InMemoryCatalog

        from stages.store.targets.iceberg_fit import fit, fitted

        assert self._made is not None
        properties = {key: value for key, value in self._made.properties.items() if key not in ("uri", "warehouse")}
        scratch = InMemoryCatalog("scratch", warehouse=self._config.warehouse, **properties)
        scratch.create_namespace("scratch")
        paths = [job.path / entry.name / part.file for part in entry.parts]
        schema = parquet.read_schema(paths[0])
        table = scratch.create_table(
            ("scratch", "t"), fit(schema), location=location, properties=_properties(job, entry)
        )
        with table.transaction() as transaction:
            for batches in _portions(paths, schema):
                rows = pa.Table.from_batches([fitted(batch) for batch in batches])
                transaction.append(rows)
                progress(rows.nbytes)
        metadata: str = table.metadata_location
        scratch.close()
        return metadata


def _properties(job: PublishedJob, entry: TableEntry) -> dict[str, str]:
    upload = job.manifest.upload
    return {
        _JOB: str(job.manifest.job),
        _MANIFEST: job.digest,
        _SHA256: upload.sha256,
        "stampmill.upload": upload.name,
        "stampmill.arrived_at": upload.arrived_at,
        "stampmill.source": entry.source,
        "stampmill.rejected": str(entry.rejected),
    }


def _portions(paths: list[Path], schema: pa.Schema) -> Iterator[list[pa.RecordBatch]]:
    """The rows of the Parquet files at PATHS, in portions that are a data file each."""
    from pyarrow import parquet

    portion: list[pa.RecordBatch] = []
    size = 0
    for path in paths:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                portion.append(batch.cast(schema))
                size += batch.nbytes
                if size >= _FILE_BYTES:
                    yield portion
                    portion, size = [], 0
    if portion:
        yield portion


def _store(catalog: SqlCatalog, folder: str) -> tuple[Any, str]:
    """The file system that FOLDER lies in, and its path there."""
    from pyiceberg.io import load_file_io
    from pyiceberg.io.pyarrow import PyArrowFileIO

    io = load_file_io(catalog.properties, folder)
    if not isinstance(io, PyArrowFileIO):
        raise ValueError(f"{type(io).__name__} can't be used: py-io-impl must be pyiceberg.io.pyarrow.PyArrowFileIO")
    scheme, netloc, path = io.parse_location(folder, catalog.properties)
    return io.fs_by_scheme(scheme, netloc), path


def _delete(catalog: SqlCatalog, folder: str) -> None:
    store, path = _store(catalog, folder)
    with contextlib.suppress(FileNotFoundError):
        store.delete_dir(path)


def _folders(catalog: SqlCatalog, root: str, prefix: str) -> list[str]:
    """The folders in ROOT whose names begin with PREFIX."""
    from pyarrow import fs

    store, path = _store(catalog, root)
    found = store.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return [f"{root}/{info.base_name}" for info in found if info.base_name.startswith(prefix)]


def _sync(folder: str) -> None:
    """Makes FOLDER durable where it is on this host's disk: the catalogue must name nothing that a power cut takes."""
    url = urlparse(folder)
    if url.scheme not in ("", "file") or not os.path.isdir(url.path):
        return
    for at, _, names in os.walk(url.path):
        for path in (*(f"{at}/{name}" for name in names), at):
            files.sync(path)
    for parent in list(Path(url.path).parents)[:2]:
        files.sync(str(parent))


def _words(error: Exception) -> str:
    """What ERROR says, without what SQLAlchemy adds: the statement and its values."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:300]
