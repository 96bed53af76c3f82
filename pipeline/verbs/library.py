"""Verbs about results: `tables`, `query`, `trace`, `verify`, `du`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import typer

from pipeline.config import Config, Paths
from pipeline.errors import ExitCode, UsageError
from pipeline.results import catalogue, export
from pipeline.settings import config_file
from pipeline.settings.units import short_size
from pipeline.verbs.common import ConfigOption, JsonOption, load, out, print_json, safe, say

IntoOption = Annotated[
    Path | None,
    typer.Option("--into", help="The library: the folder that `process` wrote to. Else the daemon's.", metavar="DIR"),
]
_SHOWN_ROWS = 200  # of an answer on a terminal
_LARGEST = 10  # jobs that `du` lists


class TableLine(msgspec.Struct, frozen=True, kw_only=True):
    """A table as `tables --json` prints it; `view` is what `query` always finds it by, `path` relative to the library."""

    view: str
    name: str
    job: int
    path: str
    source: str
    rows: int
    rejected: int
    columns: Any


def paths_of(into: Path | None, config: Path | None) -> Paths:
    """The library INTO and its state, or those of the daemon's CONFIG. Raises UsageError where there is no library."""
    from pipeline.machine.process import config_for  # with all of the machine behind it, which most verbs do without

    paths = (config_for(into) if into else _loaded(config)).paths
    if not Path(paths.library).is_dir():
        raise UsageError(problem=f"There is no library at {paths.library}.")
    return paths


def _loaded(config: Path | None) -> Config:
    if config is None and not config_file.default_path().exists():
        raise UsageError(problem="Which library? Name its folder with --into DIR; there is no daemon's configuration.")
    return load(config)[0]


def tables(
    pattern: Annotated[str, typer.Argument(help="Only tables with this in their name.", metavar="NAME")] = "",
    into: IntoOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the tables of the library, and what `query` finds them by.

    Example: stampmill tables orders --into ~/tables
    """
    root = Path(paths_of(into, config).library)
    found = [table for table in catalogue.find_tables(root) if pattern.lower() in table.info.name]
    if as_json:
        print_json([_line(table) for table in found])
        return
    from rich.table import Table

    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("table", "rows", "rejected", "columns", "from"):
        shown.add_column(name, justify="right" if name in ("rows", "rejected", "columns") else "left")
    for table in found:
        info = table.info
        shown.add_row(
            safe(table.view), f"{info.rows:,}", f"{info.rejected:,}", f"{len(info.columns):,}", safe(info.source)
        )
    out().print(shown) if found else say("No table is there yet.")


def _line(table: catalogue.Table) -> TableLine:
    info = table.info
    return TableLine(
        view=table.view,
        name=info.name,
        job=table.job,
        path=info.path,
        source=info.source,
        rows=info.rows,
        rejected=info.rejected,
        columns=info.columns,
    )


def query(
    sql: Annotated[
        str, typer.Argument(help="A SELECT over the library's tables. Without one: a prompt.", show_default=False)
    ] = "",
    into: IntoOption = None,
    form: Annotated[
        str, typer.Option("--format", "-f", help="table, csv, json or parquet.", show_default=False, metavar="FORMAT")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the answer there.", metavar="FILE")
    ] = None,
    origin: Annotated[
        bool, typer.Option("--origin", help="Tables have the columns _job and _row too, which `trace` takes.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Ask the tables in SQL (DuckDB's). Each table is a view, named as `tables` and `process` show it.

    Where several jobs have a table of one name and shape, the plain name is all of them; `_job` tells them apart.
    Without SQL, a terminal gets a prompt; else the SQL is read from stdin.

    Example: stampmill query "SELECT count(*) FROM orders" --into ~/tables
    """
    form = export.format_of(output, "json" if as_json else form)
    if form not in export.FORMATS:
        raise UsageError(problem=f"--format is {form!r}; it can be {', '.join(export.FORMATS)}.")
    paths = paths_of(into, config)
    if sql or not sys.stdin.isatty():
        answer(Path(paths.library), sql or sys.stdin.read(), form, output, origin=origin)
        return
    from pipeline.verbs.prompt import ask

    ask(paths, lambda statement: answer(Path(paths.library), statement, form, output, origin=origin))


def answer(root: Path, sql: str, form: str, output: Path | None, *, origin: bool = False) -> None:
    """Answers SQL over the library ROOT in FORM, into OUTPUT or stdout. Raises UsageError."""
    if form == "table":
        with _opened(output) as file:
            _print_table(catalogue.query(root, sql, origin=origin), file)
        return
    with catalogue.asking(root, sql, origin=origin) as question, _opened(output) as file:
        rows = export.write(question, form, file)
    if output:
        say(f"{rows:,} rows are in {output}.")


@contextmanager
def _opened(output: Path | None) -> Iterator[BinaryIO]:
    """A stream to OUTPUT, which is there, whole, only once all went well; or stdout."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = output.with_name(f".{output.name}.part")
    try:
        with partial.open("wb") as file:
            yield file
        os.replace(partial, output)
    except OSError as error:
        raise UsageError(problem=f"{output} can't be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)


def _print_table(found: catalogue.Answer, file: BinaryIO) -> None:
    from rich.console import Console
    from rich.table import Table

    on_screen = file is sys.stdout.buffer and out().is_terminal
    rows = found.rows[:_SHOWN_ROWS] if on_screen else found.rows
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in found.columns:
        table.add_column(safe(name), no_wrap=True)
    for row in rows:
        table.add_row(*("" if value is None else safe(value) for value in row))
    if on_screen:
        out().print(table)
    else:
        console = Console(width=100_000, highlight=False, color_system=None)
        with console.capture() as captured:
            console.print(table)
        file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()).encode())
    if len(rows) < len(found.rows):
        say(f"... and {len(found.rows) - len(rows):,} more rows; -o FILE writes all of them.")


def trace(
    table: Annotated[str, typer.Argument(help="A table, as `tables` shows it.")],
    row: Annotated[int, typer.Option("--row", help="The row's number, from 1.", min=1)],
    into: IntoOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show where a row came from: its record and file, the upload, and the message.

    Example: stampmill trace t5_orders --row 1200 --into ~/tables
    """
    from pipeline.results import trace as tracing

    paths = paths_of(into, config)
    found = tracing.trace(Path(paths.library), paths.ledger, table, row)
    if as_json:
        sys.stdout.write(msgspec.json.encode(found, enc_hook=str).decode() + "\n")
        return
    for name, value in found.values.items():
        out().print(f"  {safe(name)} = {safe(value)}")
    out().print(f"row {found.part_row:,} of [bold]{safe(found.part)}[/bold]")
    left_out = f"; {found.rejected:,} of its records were rejected" if found.rejected else ""
    out().print(f"record {found.record:,} of [bold]{safe(found.member)}[/bold]{left_out}")
    out().print(
        f"job {found.job}: {safe(found.upload.name)}, {short_size(found.upload.size)}, {found.upload.arrived_at}"
    )
    out().print(f"  sha256 {found.upload.sha256}")
    if found.source:
        out().print(f"  came as {safe(found.source)}")


def verify(
    jobs: Annotated[list[int] | None, typer.Argument(help="Only these jobs.", metavar="JOB...")] = None,
    into: IntoOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check every published file against the size and hash that its manifest records.

    Exit status 3 where something isn't as it was published.

    Example: stampmill verify --into ~/tables
    """
    from pipeline.results import audit

    root = Path(paths_of(into, config).library)
    checked = list(audit.check(root, jobs or ()))
    faults = [fault for job in checked for fault in job.faults]
    if as_json:
        print_json(checked)
    else:
        for fault in faults:
            out().print(f"job {fault.job}: [bold]{safe(fault.path)}[/bold] {safe(fault.what)}")
        files, size = sum(job.files for job in checked), sum(job.bytes for job in checked)
        unknown = sum(job.unrecorded for job in checked)
        older = f"; of {unknown:,} files an earlier release recorded no hash" if unknown else ""
        say(f"{len(checked):,} jobs, {files:,} files, {short_size(size)}: {len(faults):,} faults{older}.")
    raise typer.Exit(ExitCode.PARTIAL if faults else ExitCode.OK)


def du(into: IntoOption = None, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show what disk the library and the state directory take, and the largest jobs.

    Example: stampmill du --into ~/tables
    """
    from rich.table import Table

    from pipeline.results import usage

    found = usage.measure(paths_of(into, config))
    if as_json:
        print_json(found)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name in ("library", "unpublished", "spool", "work", "ledger", "logs", "free"):
        table.add_row(name, short_size(getattr(found, name)), end_section=name == "logs")
    for job in sorted(found.jobs, key=lambda job: -(job.tables + job.other))[:_LARGEST]:
        table.add_row(f"job {job.job}", short_size(job.tables + job.other), safe(job.path))
    out().print(table)


def report(
    job: Annotated[int, typer.Argument(help="The job's number.", metavar="JOB", min=1)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where the page goes; else job-<number>.html here.", metavar="FILE"),
    ] = None,
    into: IntoOption = None,
    config: ConfigOption = None,
) -> None:
    """Write a page of HTML about a job: its files, its tables with what their columns hold, and what was rejected.

    Example: stampmill report 5 --into ~/tables -o orders.html
    """
    from pipeline.results import report as reporting
    from pipeline.results import story

    paths = paths_of(into, config)
    found = reporting.gather(Path(paths.library), job, story.source_of(paths.ledger, job))
    target = output or Path(f"job-{job}.html")
    with _opened(target) as file:
        file.write(reporting.page(found).encode())
    out().print(safe(target))
