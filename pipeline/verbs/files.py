"""`process`: files into tables without a daemon."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from pipeline.config import Config
from pipeline.errors import ExitCode, UsageError
from pipeline.model import JobState, Options, StageName
from pipeline.snapshot import Snapshot
from pipeline.verbs.common import err, out, print_json, safe

if TYPE_CHECKING:
    from rich.live import Live

    from pipeline.results.summary import JobSummary, RunSummary

_PLAIN_EVERY_S: Final = 5.0


def run_process(
    paths: Sequence[Path],
    into: Path,
    options: Options,
    modules: Mapping[StageName, str],
    prepare: Callable[[Path], None],
    *,
    as_json: bool,
) -> None:
    """Runs PATHS through the pipeline into the library INTO, and tells what came out. PREPARE begins to fill the folder for
    machine code. Raises typer.Exit."""
    from pipeline.machine import process

    require_present(paths, into)
    config = process.config_for(into)
    prepare(config.paths.code)
    with _Progress(config) as observer:
        result = process.process(paths, config, modules, options, observer=observer)
    if as_json:
        print_json(result.summary)
    else:
        print_summary(result.summary)
    if result.interrupted:
        err().print("Interrupted. Nothing is lost: the same command goes on where this one was.", soft_wrap=True)
        raise typer.Exit(ExitCode.INTERRUPTED)
    raise typer.Exit(result.summary.exit_code)


def password_in(path: Path | None) -> str | None:
    """The password in the file PATH, if one is named. Raises UsageError."""
    if path is None:
        return None
    try:
        first = path.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(problem=f"The password file {path} can't be read: {error}.") from error
    return first or None


def types_of(value: str) -> str:
    """VALUE, if --types may be that. Raises UsageError."""
    if value not in ("auto", "text"):
        raise UsageError(problem=f"--types is {value!r}; it can be auto or text.")
    return value


def require_present(paths: Sequence[Path], into: Path) -> None:
    """Raises UsageError for a path that isn't there, or is the library."""
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

        from pipeline.screen import status

        if self._live is None:
            self._live = Live(console=err(), auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(status.render(snapshot, self._config, err().width), refresh=True)

    def _print_line(self, snapshot: Snapshot) -> None:
        from pipeline.screen import status

        self._next_line_at = time.monotonic() + _PLAIN_EVERY_S
        err().print(status.plain(snapshot, self._config), markup=False, soft_wrap=True)


def print_summary(summary: RunSummary) -> None:
    """Prints what became of each job."""
    for job in summary.jobs:
        _print_job(job)


def _print_job(job: JobSummary) -> None:
    out().print(f"[bold]{safe(job.name)}[/bold]  job {job.job}: {_state_words(job)}")
    if job.reason:
        out().print(f"  {safe(job.reason.text)} {safe(job.reason.next_step)} ({job.reason.code})")
    if not job.tables:
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for name, justify in (("table", "left"), ("rows", "right"), ("rejected", "right"), ("columns", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("from" if any(one.source != job.name for one in job.tables) else "", overflow="fold")
    for one in job.tables:
        source = one.source.removeprefix(job.name).removeprefix("!/")
        table.add_row(safe(one.name), f"{one.rows:,}", f"{one.rejected:,}", str(len(one.columns)), safe(source))
    out().print(table)


def _state_words(job: JobSummary) -> str:
    if job.state is JobState.DUPLICATE:
        return f"the same as job {job.duplicate_of}"
    if job.state is JobState.DONE:
        kept = f", {job.members.kept} kept" if job.members.kept else ""
        rejected = f", {job.members.rejected} rejected" if job.members.rejected else ""
        return f"done; {job.members.converted} converted{kept}{rejected}"
    return str(job.state)
