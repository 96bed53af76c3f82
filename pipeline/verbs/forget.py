"""`forget`: jobs out of the library and its targets again."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import typer

from pipeline.daemon import control_protocol as protocol
from pipeline.daemon.control_client import ControlClient
from pipeline.daemon.control_protocol import VERSION
from pipeline.errors import ExitCode, RequestRefused, Unreachable, UsageError
from pipeline.model import StageName
from pipeline.verbs.common import err, load, out, safe

_WAIT_S: Final = 30.0  # for a daemon that can't reach a target, before we leave it to that


def run_forget(
    jobs: Sequence[int], into: Path | None, config: Path | None, modules: Mapping[StageName, str], *, sure: bool
) -> None:
    """Has JOBS forgotten: by the daemon of CONFIG, or in the library INTO. Raises UsageError unless one is SURE."""
    jobs = list(dict.fromkeys(jobs))
    if not sure and not _agrees(jobs):
        raise UsageError(problem="Nothing was taken out. Off a terminal, --yes says that you mean it.")
    if into is None:
        _ask_daemon(jobs, load(config)[0].paths.socket)
        return
    from pipeline.machine.process import config_for, forget

    found = config_for(into)
    if not found.paths.ledger.exists():
        raise UsageError(problem=f"There is no library at {into}.")
    forget(jobs, found, modules)
    for job in jobs:
        out().print(f"job {job}: forgotten")


def _agrees(jobs: Sequence[int]) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    which = f"job {jobs[0]}" if len(jobs) == 1 else f"{len(jobs)} jobs"
    return typer.confirm(f"Delete the results and the upload of {which}, in every target too?", err=True)


def _ask_daemon(jobs: Sequence[int], socket: Path) -> None:
    asked, refused = [], False
    with ControlClient(socket) as client:
        for job in jobs:
            try:
                client.ask(protocol.Forget(v=VERSION, job=job))
                asked.append(job)
            except RequestRefused as error:
                refused = True
                err().print(f"[red]error:[/red] {safe(error.message)}", soft_wrap=True)
        for job in asked:
            out().print(f"job {job}: {_outcome(client, job)}")
    if refused:
        raise typer.Exit(ExitCode.FAILURE)


def _outcome(client: ControlClient, job: int) -> str:
    try:
        client.ask(protocol.Wait(v=VERSION, jobs=(job,)), _WAIT_S)
    except Unreachable:
        return f"is being forgotten; `stampmill logs {job}` says what that waits for"
    return "forgotten"
