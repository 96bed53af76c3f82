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
from pipeline.verbs.common import err, load, out, safe, say

_WAIT_S: Final = 30.0  # for a daemon that can't reach a target, before we leave it to that


def run_forget(
    jobs: Sequence[int], into: Path | None, config: Path | None, modules: Mapping[StageName, str], *, sure: bool
) -> None:
    """Has JOBS forgotten: by the daemon of CONFIG, or in the library INTO. Asks first, unless one is SURE."""
    jobs = list(dict.fromkeys(jobs))
    if not sure:
        _ask(jobs)
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


def _ask(jobs: Sequence[int]) -> None:
    """Raises typer.Exit where the answer is no, UsageError where nobody is there to answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(problem="Nothing was taken out. Off a terminal, --yes says that you mean it.")
    which = f"job {jobs[0]}" if len(jobs) == 1 else f"{len(jobs)} jobs"
    if not typer.confirm(f"Delete the results and the upload of {which}, in every target too?", err=True):
        say("Nothing was taken out.")
        raise typer.Exit(ExitCode.FAILURE)


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
        if asked:
            words = (
                "forgotten"
                if _are_gone(client, asked)
                else "is being forgotten; `stampmill logs` says what it waits for"
            )
            for job in asked:
                out().print(f"job {job}: {words}")
    if refused:
        raise typer.Exit(ExitCode.FAILURE)


def _are_gone(client: ControlClient, jobs: Sequence[int]) -> bool:
    """Whether all JOBS are forgotten soon. False ends what can be said on this connection: an answer may still come."""
    try:
        client.ask(protocol.Wait(v=VERSION, jobs=tuple(jobs)), _WAIT_S)
    except Unreachable:
        return False
    return True
