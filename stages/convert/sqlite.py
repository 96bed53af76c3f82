"""SQLite databases: a table each, read-only. The file is opened where it lies and never written to."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from stages.convert import reasons
from stages.convert.family import Bench, Head, Refused
from stages.convert.json_files.json_rows import RowBlock, RowTable
from stages.convert.source import Source
from stages.convert.text import encoding

_MAGIC = b"SQLite format 3\0"
_ROWS = 20_000
_PIECE = 8 * 1024 * 1024


class Sqlite:
    """The family of SQLite databases."""

    name = "sqlite"

    def sniff(self, head: Head) -> float:
        """By its first bytes, or a name that only such databases have."""
        if head.data.startswith(_MAGIC):
            return 0.99
        return 0.6 if head.suffix in (".sqlite", ".sqlite3") else 0.0

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes a table of each table that has rows."""
        if not head.data.startswith(_MAGIC):
            raise Refused(reasons.corrupt("its name says a SQLite database, but it isn't one inside"))
        try:
            with _opened(source, bench) as database:
                empty = [name for name in _names(database) if not _read_table(database, name, bench)]
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the words of an error may quote what is damaged
            raise Refused(reasons.corrupt(f"the database is damaged ({error})")) from error
        if not bench.tables:
            raise Refused(reasons.no_records("none of its tables has rows"))
        if empty:
            bench.notes.append(f"empty tables: {', '.join(empty)}")


@contextmanager
def _opened(source: Source, bench: Bench) -> Iterator[sqlite3.Connection]:
    """The database, read as it stands: no journal is looked for, no lock taken. One that lies within a larger file is
    copied out first, since SQLite needs a file of its own."""
    if source.is_whole_file:
        with closing(_connect(os.readlink(f"/proc/self/fd/{source.descriptor}"))) as database:
            yield database
        return
    with bench.scratch() as path:
        with path.open("wb") as copy:
            for at in range(0, source.length, _PIECE):
                copy.write(source.read(at, _PIECE))
        with closing(_connect(str(path))) as database:
            yield database


def _connect(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    database.execute("PRAGMA query_only = 1")
    database.execute("PRAGMA trusted_schema = 0")
    database.text_factory = _text
    return database


def _text(data: bytes) -> str:
    """DATA, which SQLite calls text but doesn't look at."""
    return encoding.to_utf8(data, "utf-8").decode()


def _names(database: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    return [name for (name,) in database.execute(query)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _read_table(database: sqlite3.Connection, name: str, bench: Bench) -> bool:
    """Makes a table of NAME; False where it has no rows."""
    table = _quoted(name)
    try:
        (counted,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
    except sqlite3.OperationalError:  # a virtual table of a module that isn't here
        bench.notes.append(f"table {name} needs an extension of SQLite and was left out")
        return True
    if not counted:
        return False

    mixed = _mixed_columns(database, table)

    def blocks() -> Iterator[RowBlock]:
        cursor = database.execute(f"SELECT * FROM {table}")
        columns = [(column, column in mixed) for column, *_rest in cursor.description]
        while rows := cursor.fetchmany(_ROWS):
            yield RowBlock(values=[_record(columns, row) for row in rows])

    (schema,) = database.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    RowTable(blocks, bench, name).read({"table": name, "schema": schema}, counted=counted)
    return True


def _mixed_columns(database: sqlite3.Connection, table: str) -> set[str]:
    """The columns that hold numbers and text, or text and bytes: SQLite takes any value anywhere."""
    columns = [column for column, *_rest in database.execute(f"SELECT * FROM {table} LIMIT 0").description]
    counts = ", ".join(
        f"max(typeof({name}) IN ('integer', 'real')) + max(typeof({name}) = 'text') + max(typeof({name}) = 'blob')"
        for name in map(_quoted, columns)
    )
    kinds = database.execute(f"SELECT {counts} FROM {table}").fetchone()
    return {column for column, count in zip(columns, kinds, strict=True) if (count or 0) > 1}


def _record(columns: Sequence[tuple[str, bool]], row: Sequence[Any]) -> dict[str, Any]:
    return {name: _plain(value, is_mixed=is_mixed) for (name, is_mixed), value in zip(columns, row, strict=True)}


def _plain(value: Any, *, is_mixed: bool) -> Any:
    """VALUE, with bytes as hexadecimal text, and all of a mixed column as text."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if is_mixed and value is not None else value
