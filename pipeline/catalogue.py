"""What the library holds, and SQL over it.

Every table can be asked for as `t12_orders`: the table `orders` of job 12. Plain `orders` will do where one job alone
has a table of that name. A query is read-only, runs in memory, and sees nothing of the disk but published jobs; it
needs no daemon, and a running one doesn't mind it.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pipeline.errors import UsageError
from pipeline.model import Column, TableInfo

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MANIFEST = "manifest.json"
NAMES_SHOWN = 10  # in a message that says which tables there are

_MONTH = re.compile(r"\d{4}-\d{2}")
_JOB = re.compile(r"(\d+)-")
_PINNED = re.compile(r"t(\d+)_(.+)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+)?", re.IGNORECASE)
_LISTING = re.compile(r"\s*show\b|\binformation_schema\b|\bduckdb_(views|columns)\b", re.IGNORECASE)
_READS = {"SELECT", "MULTI"}  # MULTI is what PIVOT becomes
_ZONED = "WITH TIME ZONE"


class Table(NamedTuple):
    """A published table and the name that always finds it."""

    view: str
    job: int
    info: TableInfo


class Answer(NamedTuple):
    """What a query gave: the columns' names, and the rows in Python's types (moments with a time zone as text)."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class _TableEntry(msgspec.Struct, frozen=True):
    name: str
    source: str
    rows: int
    rejected: int
    columns: tuple[Column, ...]


class _Manifest(msgspec.Struct, frozen=True):
    job: int
    tables: tuple[_TableEntry, ...]


_decoder = msgspec.json.Decoder(_Manifest)


def find_tables(library: Path) -> Iterator[Table]:
    """All tables in LIBRARY, by month and job, as the manifests tell."""
    for folder in _jobs(library):
        try:
            with open(f"{library}/{folder}/{MANIFEST}", "rb") as file:
                manifest = _decoder.decode(file.read())
        except (OSError, msgspec.DecodeError):
            continue  # taken away meanwhile, or no job's folder at all
        for table in manifest.tables:
            info = TableInfo(
                name=table.name,
                path=f"{folder}/{table.name}",
                source=table.source,
                rows=table.rows,
                rejected=table.rejected,
                columns=table.columns,
            )
            yield Table(f"t{manifest.job}_{table.name}", manifest.job, info)


def query(library: Path, sql: str) -> Answer:
    """The answer to SQL, one statement that only reads, over LIBRARY. UsageError where it can't be answered."""
    import duckdb

    library = library.resolve()
    found: dict[str, list[str]] = {}
    if not library.is_dir():
        raise UsageError(problem=f"There is no library at {library}.")
    with tempfile.TemporaryDirectory(prefix="stampmill-query-") as spill, duckdb.connect() as connection:
        try:
            _require_reading(connection, sql)
            names = _names(connection, sql)
            found = _everything(library) if _LISTING.search(sql) else _lookup(library, names)
            _lock(connection, library, spill)
            _make_views(connection, library, found)
            return _fetch(connection, sql)
        except duckdb.CatalogException as error:
            raise UsageError(problem=_explain(error, library, found)) from error
        except duckdb.Error as error:
            raise UsageError(problem=str(error)) from error


def _jobs(library: Path) -> Iterator[str]:
    """The job folders, relative to LIBRARY, the oldest first."""
    for month in sorted(filter(_MONTH.fullmatch, os.listdir(library))):
        jobs = [(int(match[1]), name) for name in os.listdir(library / month) if (match := _JOB.match(name))]
        for _, name in sorted(jobs):
            yield f"{month}/{name}"


def _lookup(library: Path, names: Iterable[str]) -> dict[str, list[str]]:
    """Which table folders, relative to LIBRARY, each of NAMES may stand for. A name with a job's number in it is
    first of all that."""
    wanted = {name for name in names if _NAME.fullmatch(name)}
    pinned = {name: (int(match[1]), match[2]) for name in wanted if (match := _PINNED.fullmatch(name))}
    by_number: dict[str, list[str]] = {}
    by_name: dict[str, list[str]] = {}
    for folder in _jobs(library) if wanted else ():
        job = _job(folder)
        for name, (number, table) in pinned.items():
            if number == job and _parts(library, f"{folder}/{table}"):
                by_number.setdefault(name, []).append(f"{folder}/{table}")
        for name in wanted:
            if os.path.isdir(f"{library}/{folder}/{name}") and _parts(library, f"{folder}/{name}"):
                by_name.setdefault(name, []).append(f"{folder}/{name}")
    return by_name | by_number


def _everything(library: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table in find_tables(library):
        found.setdefault(table.view, []).append(table.info.path)
    return found


def _parts(library: Path, table: str) -> list[str]:
    """The Parquet files of the folder TABLE, which may not be one."""
    try:
        names = os.listdir(library / table)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [f"{library}/{table}/{name}" for name in sorted(names) if re.fullmatch(r"part-\d+\.parquet", name)]


def _require_reading(connection: DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(_EXPLAIN.sub("", sql, count=1))
    if [statement.type.name in _READS for statement in statements] != [True]:
        raise UsageError(problem="A query is one statement that only reads, such as SELECT, DESCRIBE or SUMMARIZE.")


def _names(connection: DuckDBPyConnection, sql: str) -> set[str]:
    """The names in SQL that may be tables, in lower case: those that the parser finds, else all words in it."""
    row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    tree = json.loads(row[0]) if row else {"error": True}
    names = set(_table_names(tree))
    if tree["error"] or "query" in sql.lower():  # query('...') hides a query in a text
        names |= set(re.findall(r"\w+", sql))
    return {name.lower() for name in names}


def _table_names(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(name := node.get("table_name"), str):
            yield name
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _table_names(child)


def _lock(connection: DuckDBPyConnection, library: Path, spill: str) -> None:
    """Leaves CONNECTION nothing of the disk but the folders of published jobs, and no way to change that."""
    months = [str(library / name) for name in os.listdir(library) if _MONTH.fullmatch(name)]
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET temp_directory = " + _quoted(spill))
    connection.execute(f"SET allowed_directories = [{', '.join(map(_quoted, months))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _make_views(connection: DuckDBPyConnection, library: Path, found: dict[str, list[str]]) -> None:
    for name, tables in found.items():
        if len(tables) == 1:
            files = ", ".join(map(_quoted, _parts(library, tables[0])))
            connection.execute(f'CREATE VIEW "{name}" AS SELECT * FROM read_parquet([{files}])')


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _fetch(connection: DuckDBPyConnection, sql: str) -> Answer:
    """Runs SQL. Moments with a time zone are fetched as text: DuckDB makes them Python's only with pytz there."""
    relation = connection.sql(sql)
    names = tuple(relation.columns)
    zoned = [_ZONED in str(kind) for kind in relation.types]
    if any(zoned):
        columns = (f"CAST(#{at} AS VARCHAR)" if text else f"#{at}" for at, text in enumerate(zoned, 1))
        relation = relation.project(", ".join(columns))
    return Answer(names, relation.fetchall())


def _explain(error: Exception, library: Path, found: dict[str, list[str]]) -> str:
    """What DuckDB says of a name it doesn't know, and what can be asked for in its place."""
    text = str(error).partition("\n")[0]
    several = {name: tables for name, tables in found.items() if len(tables) > 1 and name in text.lower()}
    if several:
        name, tables = next(iter(several.items()))
        return f"{name} is in {len(tables)} jobs; say which one you mean: {_some(_views(library, name, tables))}."
    views = [table.view for table in find_tables(library)]
    return f"{text} " + (f"The library has {_some(views)}." if views else "The library has no table yet.")


def _views(library: Path, name: str, tables: list[str]) -> list[str]:
    """What each of TABLES, which NAME may stand for, can be asked for as."""
    views = [f"t{_job(table)}_{table.rpartition('/')[2]}" for table in tables]
    if len(set(views)) == len(views) and name not in views:
        return views
    return [f"read_parquet('{library}/{table}/*.parquet')" for table in tables]


def _job(folder: str) -> int:
    """The number of the job whose FOLDER, or folder in it, that is."""
    return int(folder.split("/")[1].partition("-")[0])


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"
