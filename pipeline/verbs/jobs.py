"""Verbs about jobs: `status`, `list`, `show`, `logs`, `cancel`, `retry`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from pipeline.daemon import control_protocol as protocol
from pipeline.daemon.control_client import ControlClient
from pipeline.daemon.control_protocol import VERSION
from pipeline.errors import ExitCode, NoSuchJob, RequestRefused, UsageError
from pipeline.model import JobState
from pipeline.settings.units import short_duration, short_size
from pipeline.verbs import glance, library
from pipeline.verbs.common import ConfigOption, JsonOption, err, load, out, print_json, safe

_SHOWN_TABLES: Final = 5
_LEAST_COLUMN: Final = 10  # characters of a screen's width that a column needs

JobArgument = Annotated[int, typer.Argument(help="The job's number.", metavar="JOB", min=1)]


class JobDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A job as `show --json` prints it: as in `list`, where it is, its open batches, and as `process --json` has it."""

    job: Any
    places: Any
    batches: tuple[Any, ...]
    summary: Any


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="One line for a monitoring system; exit status 1 where it stalls.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what the daemon does, and what holds it up.

    Example: stampmill status --watch
    """
    if watch and check:
        raise UsageError(problem="--watch and --check can't be combined.")
    if watch:
        from pipeline.verbs.watch import watch_daemon

        watch_daemon(load(config)[0], as_json=as_json)
        return
    raise typer.Exit(glance.show(load(config)[0], as_json=as_json, check=check))


def list_jobs(
    state: Annotated[
        list[JobState] | None, typer.Option("--state", "-s", help="Only jobs in this state; may be given again.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many.", min=1, max=100_000)] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List jobs, the newest first. Works without a daemon too.

    Example: stampmill list --state failed
    """
    from pipeline.results import story

    loaded, _ = load(config)
    with story.reading(loaded.paths.ledger) as db:
        lines = story.jobs(db, state or [], limit)
    if as_json:
        print_json(lines)
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, justify in (("job", "right"), ("state", "left"), ("size", "right"), ("rows", "right"), ("age", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("name", overflow="fold")
    table.add_column("reason", overflow="fold")
    now = time.time()
    for line in lines:
        rows = f"{line.rows:,}" if line.tables else "-"
        age = short_duration(now - line.arrived_at)
        reason = line.reason.code if line.reason else (f"of job {line.duplicate_of}" if line.duplicate_of else "")
        table.add_row(str(line.job), str(line.state), short_size(line.size), rows, age, safe(line.name), safe(reason))
    out().print(table)


def show(
    job: JobArgument,
    rows: Annotated[int, typer.Option("--rows", help="How many rows of each table.", min=0, max=1000)] = 5,
    into: library.IntoOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show all that is known of a job, and the first rows of its tables. Works without a daemon too.

    Example: stampmill show 17
    """
    from pipeline.results import story
    from pipeline.results.summary import summarize
    from pipeline.verbs.files import print_summary

    paths = library.paths_of(into, config) if into else load(config)[0].paths
    with story.reading(paths.ledger) as db:
        line = story.job(db, job)
        if line is None:
            raise NoSuchJob(job=job)
        places, batches = story.places(db, job), story.batches(db, job)
    summary = summarize(paths.ledger, [job])
    if as_json:
        print_json(JobDetail(job=line, places=places, batches=tuple(batches), summary=summary.jobs[0]))
        return
    print_summary(summary)
    out().print(f"  state     {line.state}, arrived {_when(line.arrived_at)}")
    if line.ended_at:
        out().print(f"  ended     {_when(line.ended_at)}, after {short_duration(line.ended_at - line.arrived_at)}")
    out().print(safe(f"  upload    {places.path} ({short_size(line.size)})"))
    out().print(safe(f"  came from {places.source}"))
    if places.result:
        out().print(safe(f"  result    {Path(paths.library) / places.result}"))
    for batch in batches:
        blame = f", its worker died of it {batch.charges} times" if batch.charges else ""
        words = f"{batch.stage}, {batch.state}, {short_size(batch.bytes)} in {batch.files} files{blame}"
        out().print(f"  batch {batch.seq:<4}{words}")
    if rows and places.result and line.tables:
        _print_rows(Path(paths.library), job, [table.name for table in summary.jobs[0].tables], rows)


def _print_rows(root: Path, job: int, names: list[str], rows: int) -> None:
    """The first ROWS rows of the tables NAMES of JOB, as far as a screen's width and a person's patience go."""
    from rich.table import Table

    from pipeline.results import catalogue

    for name in names[:_SHOWN_TABLES]:
        view = f"t{job}_{name}"
        try:
            found = catalogue.query(root, f'SELECT * FROM "{view}" LIMIT {rows}')
        except UsageError:
            continue  # it was taken out meanwhile
        width = max(1, min(len(found.columns), out().width // _LEAST_COLUMN))
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in found.columns[:width]:
            table.add_column(safe(column), no_wrap=True, overflow="ellipsis", max_width=40)
        for row in found.rows:
            table.add_row(*("" if value is None else safe(str(value)[:200]) for value in row[:width]))
        more = f", {len(found.columns) - width} more columns" if width < len(found.columns) else ""
        out().print(f"\n[bold]{safe(view)}[/bold]{more}")
        out().print(table)
    if len(names) > _SHOWN_TABLES:
        out().print(f"\n... and {len(names) - _SHOWN_TABLES} more tables; `stampmill query` asks any of them")


def logs(job: JobArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Tell a job's story, from the ledger's events. Works without a daemon too.

    Example: stampmill logs 17
    """
    from pipeline.results import story

    loaded, _ = load(config)
    with story.reading(loaded.paths.ledger) as db:
        if story.job(db, job) is None:
            raise NoSuchJob(job=job)
        events = story.events(db, job)
    if as_json:
        print_json(events)
        return
    for event in events:
        where = f"{event.stage} batch {event.seq}" if event.stage else ""
        again = f" attempt {event.attempt}" if event.attempt > 1 else ""
        took = f" in {event.seconds:.3f} s" if event.seconds else ""
        detail = f": {event.detail}" if event.detail else ""
        out().print(safe(f"{_when(event.at)}  {event.what:11} {where}{again}{took}{detail}"))


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def cancel(
    jobs: Annotated[list[int], typer.Argument(help="The jobs' numbers.", metavar="JOB...")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Take jobs back that haven't ended. One that is being published already ends as it would have.

    Example: stampmill cancel 17
    """
    _each(jobs, protocol.Cancel, "cancelled", as_json=as_json, config=config)


def retry(
    jobs: Annotated[list[int], typer.Argument(help="The jobs' numbers.", metavar="JOB...")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Run ended jobs again from their uploads. A result that one had is replaced.

    Example: stampmill retry 17
    """
    _each(jobs, protocol.Retry, "runs again", as_json=as_json, config=config)


def _each(
    jobs: list[int],
    request: type[protocol.Cancel] | type[protocol.Retry],
    words: str,
    *,
    as_json: bool,
    config: Path | None,
) -> None:
    """Asks for each of JOBS; exit status 1 where one was refused."""
    loaded, _ = load(config)
    answers = []
    with ControlClient(loaded.paths.socket) as client:
        for job in jobs:
            try:
                client.ask(request(v=VERSION, job=job))
                answers.append({"job": job, "ok": True, "text": words})
            except RequestRefused as error:
                answers.append({"job": job, "ok": False, "text": error.message})
    if as_json:
        print_json(answers)
    else:
        for answer in answers:
            if answer["ok"]:
                out().print(f"job {answer['job']}: {words}")
            else:
                err().print(f"[red]error:[/red] {safe(answer['text'])}", soft_wrap=True)
    if not all(answer["ok"] for answer in answers):
        raise typer.Exit(ExitCode.FAILURE)
