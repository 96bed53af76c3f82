"""SQL over a library.

Every table can be asked for as `t12_orders`: the table `orders` of job 12. Plain `orders` is the table of that name;
where several jobs have one, and they are of one shape, it is the collection of them all, which grows with each job: its
columns are theirs united by name, a type that differs widened, and `_job` tells the rows apart. A query is read-only,
runs in memory, and sees nothing of the disk but published jobs; it needs no daemon, and a running one doesn't mind it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import UsageError
from pipeline.model import TableInfo
from pipeline.results import library

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

NAMES_SHOWN = 10  # in a message that says which tables there are

_PINNED = re.compile(r"t(\d+)_(.+)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+)?", re.IGNORECASE)
_LISTING = re.compile(r"\s*show\b|\binformation_schema\b|\bduckdb_(views|columns)\b", re.IGNORECASE)
_READS = {"SELECT", "MULTI"}  # MULTI is what PIVOT becomes
_ZONED = "WITH TIME ZONE"
_PATH = "_path of its part"  # no column's name that convert gives
_NUMBER = "file_row_number"  # DuckDB's own, from 0, where no column has that name
_JOB_OF = r"/(\d+)-[^/]*/[^/]+/[^/]+$"


class Table(NamedTuple):
    """A published table and the name that always finds it."""

    view: str
    job: int
    info: TableInfo


class Question(NamedTuple):
    """A query that can be fetched from, and its columns' names."""

    columns: tuple[str, ...]
    relation: DuckDBPyRelation


class Answer(NamedTuple):
    """What a query gave: the columns' names, and the rows in Python's types (moments with a time zone as text)."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def find_tables(root: Path) -> Iterator[Table]:
    """All tables in the library ROOT, by month and job, as the manifests tell. Raises OSError where there is none."""
    for folder in library.jobs(root):
        if (found := library.manifest(root, folder)) is None:
            continue  # taken away meanwhile, or no job's folder at all
        for table in found.tables:
            yield Table(f"t{found.job}_{table.name}", found.job, library.info(folder, table))


def query(root: Path, sql: str, *, origin: bool = False) -> Answer:
    """The answer to SQL, one statement that only reads, over the library ROOT. UsageError where it can't be answered.

    With ORIGIN every table has the columns `_job` and `_row`, which `trace` takes: the row's number in its table, from 1.
    """
    with asking(root, sql, origin=origin) as question:
        return Answer(question.columns, question.relation.fetchall())


@contextlib.contextmanager
def asking(root: Path, sql: str, *, origin: bool = False) -> Iterator[Question]:
    """What SQL gives over the library ROOT, to be fetched meanwhile. Raises UsageError, also for what comes up then."""
    import duckdb

    root = root.resolve()
    found: dict[str, list[str]] = {}
    if not root.is_dir():
        raise UsageError(problem=f"There is no library at {root}.")
    with tempfile.TemporaryDirectory(prefix="stampmill-query-") as spill, duckdb.connect() as connection:
        try:
            _require_reading(connection, sql)
            names = _names(connection, sql)
            found = _everything(root) if _LISTING.search(sql) else _lookup(root, names)
            _lock(connection, root, spill)
            _make_views(connection, root, found, origin=origin)
            yield _question(connection, sql)
        except duckdb.CatalogException as error:
            raise UsageError(problem=_explain(error, root, found)) from error
        except duckdb.Error as error:
            raise UsageError(problem=str(error)) from error


def locate(root: Path, table: str) -> list[str]:
    """The folders, relative to ROOT, that TABLE may stand for. Raises UsageError where there is no library."""
    if not root.is_dir():
        raise UsageError(problem=f"There is no library at {root}.")
    return _lookup(root, [table.lower()]).get(table.lower(), [])


def _lookup(root: Path, names: Iterable[str]) -> dict[str, list[str]]:
    """Which table folders, relative to ROOT, each of NAMES may stand for. A name with a job's number in it is first of
    all that."""
    wanted = {name for name in names if _NAME.fullmatch(name)}
    pinned = {name: (int(match[1]), match[2]) for name in wanted if (match := _PINNED.fullmatch(name))}
    by_number: dict[str, list[str]] = {}
    by_name: dict[str, list[str]] = {}
    for folder in library.jobs(root) if wanted else ():
        job = library.number(folder)
        for name, (number, table) in pinned.items():
            if number == job and library.parts(root, f"{folder}/{table}"):
                by_number.setdefault(name, []).append(f"{folder}/{table}")
        for name in wanted:
            if os.path.isdir(f"{root}/{folder}/{name}") and library.parts(root, f"{folder}/{name}"):
                by_name.setdefault(name, []).append(f"{folder}/{name}")
    return by_name | by_number


def _everything(root: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table in find_tables(root):
        found.setdefault(table.view, []).append(table.info.path)
    return found


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


def _lock(connection: DuckDBPyConnection, root: Path, spill: str) -> None:
    """Leaves CONNECTION nothing of the disk but the folders of published jobs, and no way to change that."""
    months = [str(root / month) for month in library.months(root)]
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET temp_directory = " + _quoted(spill))
    connection.execute(f"SET allowed_directories = [{', '.join(map(_quoted, months))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _make_views(connection: DuckDBPyConnection, root: Path, found: dict[str, list[str]], *, origin: bool) -> None:
    for name, tables in found.items():
        if len(tables) == 1 and not origin:
            files = ", ".join(map(_quoted, library.parts(root, tables[0])))
            connection.execute(f'CREATE VIEW "{name}" AS SELECT * FROM read_parquet([{files}])')
        elif len(tables) == 1 or (not _PINNED.fullmatch(name) and _of_one_shape(root, tables)):
            connection.execute(f'CREATE VIEW "{name}" AS {_united(root, tables, origin=origin)}')


def _united(root: Path, tables: list[str], *, origin: bool) -> str:
    """The query for TABLES as one, with the job of each row, and with ORIGIN its number in its table."""
    parts = [file for table in tables for file in library.parts(root, table)]
    files = ", ".join(map(_quoted, parts))
    source = f"read_parquet([{files}], union_by_name = true, filename = '{_PATH}')"
    added = f"CAST(regexp_extract(\"{_PATH}\", '{_JOB_OF}', 1) AS BIGINT) AS _job"
    if not origin:
        return f'SELECT * EXCLUDE ("{_PATH}"), {added} FROM {source}'
    if any(_NUMBER in _columns(root, table) for table in tables):
        raise UsageError(problem=f"A column is called {_NUMBER}, which hides what --origin needs.")
    before = _rows_before(root, tables)
    later = " ".join(f"WHEN {_quoted(file)} THEN {rows}" for file, rows in before.items() if rows)
    row = f"{_NUMBER} + 1" + (f' + CASE "{_PATH}" {later} ELSE 0 END' if later else "")
    return f'SELECT * EXCLUDE ("{_PATH}"), {added}, {row} AS _row FROM {source}'


def _rows_before(root: Path, tables: list[str]) -> dict[str, int]:
    """How many rows of its table come before each part, by its path."""
    found = {}
    for table in tables:
        folder, _, name = table.rpartition("/")
        manifest = library.manifest(root, folder)
        entries = [entry for entry in manifest.tables if entry.name == name] if manifest else []
        rows = 0
        for part in entries[0].parts if entries else ():
            found[f"{root}/{table}/{part.file}"] = rows
            rows += part.rows
    return found


def _of_one_shape(root: Path, tables: list[str]) -> bool:
    """Whether TABLES may be one: the columns of each are among those of the one that has most of them."""
    shapes = [_columns(root, table) for table in tables]
    most = max(shapes, key=len)
    return all(shape and shape <= most for shape in shapes)


def _columns(root: Path, path: str) -> frozenset[str]:
    folder, _, name = path.rpartition("/")
    found = library.manifest(root, folder)
    tables = found.tables if found else ()
    return frozenset(column.name for table in tables if table.name == name for column in table.columns)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _question(connection: DuckDBPyConnection, sql: str) -> Question:
    """What SQL gives. Moments with a time zone are made text: DuckDB makes them Python's only with pytz there."""
    relation = connection.sql(sql)
    names = tuple(relation.columns)
    zoned = [_ZONED in str(kind) for kind in relation.types]
    if any(zoned):
        columns = (f"CAST(#{at} AS VARCHAR)" if text else f"#{at}" for at, text in enumerate(zoned, 1))
        relation = relation.project(", ".join(columns))
    return Question(names, relation)


def _explain(error: Exception, root: Path, found: dict[str, list[str]]) -> str:
    """What DuckDB says of a name it doesn't know, and what can be asked for in its place."""
    text = str(error).partition("\n")[0]
    several = {name: tables for name, tables in found.items() if len(tables) > 1 and name in text.lower()}
    if several:
        name, tables = next(iter(several.items()))
        return (
            f"{name} is in {len(tables)} jobs, with columns too different to be one table; say which one you mean: "
            f"{_some(views(root, name, tables))}."
        )
    known = [table.view for table in find_tables(root)]
    return f"{text} " + (f"The library has {_some(known)}." if known else "The library has no table yet.")


def views(root: Path, name: str, tables: list[str]) -> list[str]:
    """What each of TABLES, which NAME may stand for, can be asked for as."""
    names = [f"t{library.number(table)}_{table.rpartition('/')[2]}" for table in tables]
    if len(set(names)) == len(names) and name not in names:
        return names
    return [f"read_parquet('{root}/{table}/*.parquet')" for table in tables]


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"
