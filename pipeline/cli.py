"""The command line: the composition root, the only module that knows everyone. Data to stdout, words to stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer
from typer.exceptions import TyperException

from pipeline import __version__
from pipeline.config import Config
from pipeline.errors import ExitCode, StampmillError, UsageError
from pipeline.model import JobState, Options, Snapshot, StageName
from pipeline.process import config_for, process
from pipeline.summary import JobSummary, RunSummary

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

STAGES: Final = {
    StageName.INTAKE: "stages.intake",
    StageName.EXTRACT: "stages.extract",
    StageName.CONVERT: "stages.convert",
    StageName.STORE: "stages.store",
}
_PLAIN_EVERY_S: Final = 5.0

app = typer.Typer(
    name="stampmill",
    help="Archives and data files in, typed Parquet tables out, and nothing lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# rich is imported where something is drawn, which is after the workers have been started: they are what one waits for.


@cache
def out() -> Console:
    """Where data goes."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


@cache
def err() -> Console:
    """Where words go."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def run(arguments: Sequence[str]) -> int:
    """Runs the command line ARGUMENTS; returns the exit status. Errors are one sentence on stderr."""
    try:
        status_code = typer.main.get_command(app).main(list(arguments), prog_name="stampmill", standalone_mode=False)
    except StampmillError as error:
        err().print(f"[red]error:[/red] {_safe(error.message)}", soft_wrap=True)
        return error.exit_code
    except typer.Exit as leave:
        return leave.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILURE
    except TyperException as error:
        return _usage(error)
    return int(status_code or 0)


def _usage(error: TyperException) -> int:
    """Prints what typer has to say about a wrong call."""
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if show is None or code is None:
        raise error
    show(sys.stderr)
    return int(code)


def _safe(value: object) -> str:
    """VALUE as it may be put into markup and shown on a terminal."""
    from rich.markup import escape

    from pipeline import status

    return escape(status.shown(str(value)))


def _version(wanted: bool) -> None:
    if wanted:
        out().print(f"stampmill {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version)] = False,
) -> None:
    pass


@app.command("process")
def process_command(
    paths: Annotated[
        list[Path], typer.Argument(help="Files, or folders whose every file is meant.", metavar="PATH...")
    ],
    into: Annotated[Path, typer.Option("--into", help="The library: the folder that the tables go to.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout, nothing else.")] = False,
    types: Annotated[str, typer.Option("--types", help="auto, or text: every column as it was written.")] = "auto",
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="A file whose first line is the archives' password.")
    ] = None,
) -> None:
    """Turn files into typed tables: the whole pipeline, until every job has ended.

    Interrupted and run again, it goes on where it was.

    Example: stampmill process ~/drops --into ~/tables
    """
    options = Options(password=_password(password_file), types=_types(types))
    _require_present(paths, into)
    config = config_for(into)
    with _Progress(config) as observer:
        result = process(paths, config, STAGES, options, observer=observer)
    if as_json:
        sys.stdout.write(msgspec.json.encode(result.summary).decode() + "\n")
    else:
        _print_summary(result.summary, into)
    if result.interrupted:
        err().print("Interrupted. Nothing is lost: the same command goes on where this one was.", soft_wrap=True)
        raise typer.Exit(ExitCode.INTERRUPTED)
    raise typer.Exit(result.summary.exit_code)


@app.command("query")
def query_command(
    sql: Annotated[str, typer.Argument(help="A SELECT over the library's tables.")],
    into: Annotated[Path, typer.Option("--into", help="The library to ask: the folder that `process` wrote to.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as a JSON array of objects.")] = False,
) -> None:
    """Ask the tables in SQL (DuckDB's). Each table is a view, named as `process` shows it.

    Example: stampmill query "SELECT count(*) FROM orders" --into ~/tables
    """
    from rich.table import Table

    from pipeline import catalogue

    answer = catalogue.query(into, sql)
    if as_json:
        rows: list[dict[str, Any]] = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
        sys.stdout.write(msgspec.json.encode(rows, enc_hook=str).decode() + "\n")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in answer.columns:
        table.add_column(_safe(name), no_wrap=True)
    for row in answer.rows:
        table.add_row(*("" if value is None else _safe(value) for value in row))
    out().print(table)


@app.command("doctor")
def doctor_command(
    into: Annotated[Path, typer.Option("--into", help="The library whose `process` runs are meant.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as a JSON array.")] = False,
) -> None:
    """Find what is wrong here, and the command that mends it. Exit status 1 when anything fails.

    Example: stampmill doctor --into ~/tables
    """
    from pipeline import doctor

    checks = doctor.examine(config_for(into))
    if as_json:
        sys.stdout.write(msgspec.json.encode(checks).decode() + "\n")
    else:
        for check in checks:
            style = {"pass": "green", "warn": "yellow", "fail": "red"}[check.level]
            out().print(f"[{style}]{check.level:4}[/{style}]  {_safe(check.what)}: {_safe(check.found)}")
            if check.mend:
                out().print(f"      {_safe(check.mend)}")
    if any(check.level is doctor.Level.FAIL for check in checks):
        raise typer.Exit(ExitCode.FAILURE)


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        first = path.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(problem=f"The password file {path} can't be read: {error}.") from error
    return first or None


def _types(value: str) -> str:
    if value not in ("auto", "text"):
        raise UsageError(problem=f"--types is {value!r}; it can be auto or text.")
    return value


def _require_present(paths: Sequence[Path], into: Path) -> None:
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(problem=f"{path} doesn't exist.")
        if path.is_dir() and path.resolve() == into.resolve():
            raise UsageError(
                problem=f"{path} is to be read and to be the library too. Choose another folder for --into."
            )


class _Progress:
    """Shows snapshots while a run lasts: drawn in place on a terminal, else a plain line now and then."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._live: Live | None = None
        self._next_line_at = time.monotonic() + _PLAIN_EVERY_S

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, snapshot: Snapshot) -> None:
        if sys.stderr.isatty():
            self._draw(snapshot)
        elif time.monotonic() >= self._next_line_at:
            self._print_line(snapshot)

    def _draw(self, snapshot: Snapshot) -> None:
        from rich.live import Live

        from pipeline import status

        if self._live is None:
            self._live = Live(console=err(), auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(status.render(snapshot, self._config, err().width), refresh=True)

    def _print_line(self, snapshot: Snapshot) -> None:
        from pipeline import status

        self._next_line_at = time.monotonic() + _PLAIN_EVERY_S
        err().print(status.plain(snapshot, self._config), markup=False, soft_wrap=True)


def _print_summary(summary: RunSummary, into: Path) -> None:
    for job in summary.jobs:
        _print_job(job, into)


def _print_job(job: JobSummary, into: Path) -> None:
    out().print(f"[bold]{_safe(job.name)}[/bold]  job {job.job}: {_state_words(job)}")
    if job.reason:
        out().print(f"  {_safe(job.reason.text)} {_safe(job.reason.next_step)} ({job.reason.code})")
    if not job.tables:
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for name, justify in (("table", "left"), ("rows", "right"), ("rejected", "right"), ("columns", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("from" if any(one.source != job.name for one in job.tables) else "", overflow="fold")
    for one in job.tables:
        source = one.source.removeprefix(job.name).removeprefix("!/")
        table.add_row(_safe(one.name), f"{one.rows:,}", f"{one.rejected:,}", str(len(one.columns)), _safe(source))
    out().print(table)


def _state_words(job: JobSummary) -> str:
    if job.state is JobState.DUPLICATE:
        return f"the same as job {job.duplicate_of}"
    if job.state is JobState.DONE:
        kept = f", {job.members.kept} kept" if job.members.kept else ""
        rejected = f", {job.members.rejected} rejected" if job.members.rejected else ""
        return f"done; {job.members.converted} converted{kept}{rejected}"
    return str(job.state)
