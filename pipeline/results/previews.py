"""Reads the library for whoever answers in a chat: a table's first rows, as text or as a picture, copies of tables as
files, and the report of a job.

A program of its own (`python -m pipeline.results.previews`), so that the process that holds the account never loads an engine.
It reads requests, one JSON object a line, and writes an answer for each; it ends with its input.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipeline.errors import StampmillError
from pipeline.results import picture as pictures
from pipeline.results import report, story, xlsx

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CELL: Final = 200  # characters of a value that a preview needs
COLUMNS: Final = 60
MAX_FILE_BYTES: Final = 1_900_000_000  # Telegram takes files of up to 2 GB
_NUMERIC: Final = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*)")
_ROWS_AT_ONCE: Final = 1000
_MEMORY: Final = "512MB"


class First(msgspec.Struct, frozen=True, kw_only=True, tag="first"):
    """The first ROWS rows of the table in FOLDER (absolute)."""

    folder: str
    rows: int


class Copy(msgspec.Struct, frozen=True, kw_only=True, tag="copy"):
    """The table in FOLDER as files of `format` (csv, xlsx, parquet) in INTO, called `name`, each small enough to be sent."""

    folder: str
    into: str
    name: str
    format: str


class Picture(msgspec.Struct, frozen=True, kw_only=True, tag="picture"):
    """The first rows of the table in FOLDER as a picture in INTO, called `name`."""

    folder: str
    into: str
    name: str
    rows: int


class Page(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """The page about JOB of the library ROOT, whose ledger is at LEDGER, in INTO, called `name`."""

    root: str
    ledger: str
    job: int
    into: str
    name: str


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to First: values as text, null for missing ones."""

    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str | None, ...], ...]


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to all others: the paths of the files."""

    files: tuple[str, ...]


Request = First | Copy | Picture | Page
_requests: Final = msgspec.json.Decoder(Request)


def main() -> None:
    """Answers until the input ends. A request that fails is answered with its error."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.execute(f"SET memory_limit = '{_MEMORY}'")
        connection.execute("SET TimeZone = 'UTC'")
        for line in sys.stdin.buffer:
            answer: Any
            try:
                request = _requests.decode(line)
                answer = _answer(connection, request)
            except (duckdb.Error, OSError, msgspec.MsgspecError, StampmillError, ImportError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"[:500]}
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()


def _answer(connection: DuckDBPyConnection, request: Request) -> Rows | Files:
    if isinstance(request, First):
        return first(connection, request)
    if isinstance(request, Copy):
        return copy(connection, request)
    return picture(connection, request) if isinstance(request, Picture) else page(request)


def picture(connection: DuckDBPyConnection, request: Picture) -> Files:
    """A table's first rows as a picture."""
    found = first(connection, First(folder=request.folder, rows=request.rows))
    relation = connection.read_parquet(parts(request.folder))
    rows = _count(connection, request.folder)
    sheet = pictures.Sheet(
        title=request.name,
        remark=f"{rows:,} row{'' if rows == 1 else 's'} · {len(relation.columns):,} columns · its first rows",
        columns=found.columns,
        types=tuple(str(kind) for kind in relation.types[: len(found.columns)]),
        rows=found.rows,
        more=len(relation.columns) - len(found.columns),
    )
    into = Path(request.into)
    into.mkdir(parents=True, exist_ok=True)
    target = into / f"{request.name}.png"
    pictures.draw(sheet, target)
    return Files(files=(str(target),))


def page(request: Page) -> Files:
    """The page about a job."""
    root = Path(request.root)
    found = report.gather(root, request.job, story.source_of(Path(request.ledger), request.job))
    into = Path(request.into)
    into.mkdir(parents=True, exist_ok=True)
    target = into / f"{request.name}.html"
    target.write_text(report.page(found), encoding="utf-8")
    return Files(files=(str(target),))


def first(connection: DuckDBPyConnection, request: First) -> Rows:
    """The first rows of a table, in the order of its parts."""
    part = parts(request.folder)[0]
    relation = connection.read_parquet(part)
    names = relation.columns[:COLUMNS]
    kinds = [str(kind) for kind in relation.types[:COLUMNS]]
    columns = ", ".join(f"left(CAST(#{at} AS VARCHAR), {CELL})" for at in range(1, len(names) + 1))
    found = relation.limit(request.rows).project(columns).fetchall() if names else []
    return Rows(
        columns=tuple(name[:CELL] for name in names),
        numeric=tuple(bool(_NUMERIC.fullmatch(kind)) for kind in kinds),
        rows=tuple(tuple(row) for row in found),
    )


def copy(connection: DuckDBPyConnection, request: Copy) -> Files:
    """A table as files."""
    into = Path(request.into)
    into.mkdir(parents=True, exist_ok=True)
    if request.format == "xlsx" and _fits_a_sheet(connection, request.folder):
        target = into / f"{request.name}.xlsx"
        _write_xlsx(connection, request, target)
        return Files(files=(str(target),))
    if request.format in ("csv", "xlsx"):
        target = into / f"{request.name}.csv"
        connection.read_parquet(parts(request.folder)).write_csv(str(target))
        return Files(files=tuple(_split_lines(target)))
    found = parts(request.folder)
    return Files(files=tuple(_link(path, into, request.name, len(found) > 1) for path in found))


def _fits_a_sheet(connection: DuckDBPyConnection, folder: str) -> bool:
    """Whether a table fits a sheet; a larger one becomes CSV."""
    relation = connection.read_parquet(parts(folder))
    return _count(connection, folder) < xlsx.MAX_ROWS and len(relation.columns) <= xlsx.MAX_COLUMNS


def _count(connection: DuckDBPyConnection, folder: str) -> int:
    """The rows of a table. All of the answer is fetched: the connection takes no other question before that."""
    return int(connection.execute(f"SELECT count(*) FROM {_source(folder)}").fetchall()[0][0])


def _write_xlsx(connection: DuckDBPyConnection, request: Copy, target: Path) -> None:
    relation = connection.read_parquet(parts(request.folder))
    kinds = [str(kind) for kind in relation.types]
    columns = ", ".join(
        f"#{at}" if _NUMERIC.fullmatch(kind) or kind == "BOOLEAN" else f"CAST(#{at} AS VARCHAR)"
        for at, kind in enumerate(kinds, 1)
    )
    found = connection.execute(f"SELECT {columns} FROM {_source(request.folder)}")
    xlsx.write(target, request.name, relation.columns, _rows(found))


def _source(folder: str) -> str:
    """The table as SQL names it."""
    files = ", ".join("'" + path.replace("'", "''") + "'" for path in parts(folder))
    return f"read_parquet([{files}])"


def _rows(found: DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := found.fetchmany(_ROWS_AT_ONCE):
        yield from rows


def parts(folder: str) -> list[str]:
    """The Parquet files of a table. Raises FileNotFoundError where there is none."""
    found = sorted(name for name in os.listdir(folder) if re.fullmatch(r"part-\d+\.parquet", name))
    if not found:
        raise FileNotFoundError(folder)
    return [os.path.join(folder, name) for name in found]


def _link(path: str, into: Path, name: str, several: bool) -> str:
    """PATH under the name that its receiver is to see."""
    ending = f"-{Path(path).stem}.parquet" if several else ".parquet"
    target = into / f"{name}{ending}"
    target.unlink(missing_ok=True)
    target.symlink_to(path)
    return str(target)


def _split_lines(path: Path) -> Iterator[str]:
    """PATH, cut between lines where it's too large to be sent, the header repeated."""
    size = path.stat().st_size
    if size <= MAX_FILE_BYTES:
        yield str(path)
        return
    with path.open("rb") as file:
        header = file.readline()
        number = 0
        while block := file.readlines(MAX_FILE_BYTES - len(header)):
            number += 1
            target = path.with_name(f"{path.stem}-{number}.csv")
            target.write_bytes(header + b"".join(block))
            yield str(target)
    path.unlink()


if __name__ == "__main__":
    main()
