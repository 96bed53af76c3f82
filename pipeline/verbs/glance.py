"""`status` without `--watch`: one look at the daemon. Asked often, by people and by monitors, so it loads little."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.config import Config
from pipeline.daemon import control_protocol as protocol
from pipeline.daemon.control_client import ControlClient
from pipeline.daemon.control_protocol import VERSION
from pipeline.errors import ExitCode, StampmillError, Unreachable
from pipeline.model import JobState
from pipeline.results import story
from pipeline.snapshot import RecentJob, Snapshot
from pipeline.verbs.consoles import err, load, out, print_json, safe, say

FLAGS: Final = frozenset({"--json", "--check"})  # of `status`, that this module understands by itself
_LINES: Final = 24
_WIDTH: Final = 100  # off a terminal
_RECENT: Final = 20


class LastKnown(msgspec.Struct, frozen=True, kw_only=True):
    """What `status --json` prints where no daemon runs: the ledger's counts by state, and its latest results."""

    running: bool
    jobs: dict[str, int]
    recent: tuple[Any, ...]


def run(flags: Sequence[str]) -> int:
    """`status` with FLAGS, without the parser of the command line; returns the exit status."""
    try:
        return show(load(None)[0], as_json="--json" in flags, check="--check" in flags)
    except StampmillError as error:
        err().print(f"[red]error:[/red] {safe(error.message)}", soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def show(config: Config, *, as_json: bool, check: bool) -> ExitCode:
    """Shows the daemon of CONFIG, or how its ledger was left; to CHECK, in one line for a monitoring system."""
    try:
        with ControlClient(config.paths.socket) as client:
            snapshot = msgspec.convert(client.ask(protocol.Status(v=VERSION)), Snapshot)
    except Unreachable as error:
        _show_last_known(config.paths.ledger, error, as_json=as_json, check=check)
        return ExitCode.UNREACHABLE
    if check:
        return _check(snapshot, config, as_json=as_json)
    if as_json:
        print_json(snapshot)
    else:
        from pipeline.screen import status as view

        width = out().width if out().is_terminal else _WIDTH
        out().print(view.screen(snapshot, config, width, _LINES))
    return ExitCode.OK


def _check(snapshot: Snapshot, config: Config, *, as_json: bool) -> ExitCode:
    from pipeline.screen import bottleneck

    why = bottleneck.stalled(snapshot, config)
    if as_json:
        print_json({"ok": not why, "text": why or bottleneck.sentence(snapshot, config)})
    else:
        out().print(safe(f"STALLED {why}" if why else f"OK {bottleneck.sentence(snapshot, config)}"))
    return ExitCode.FAILURE if why else ExitCode.OK


def _show_last_known(ledger: Path, error: Unreachable, *, as_json: bool, check: bool) -> None:
    """Says that no daemon runs, and how the ledger was left."""
    from pipeline.screen import status as view

    counts, recent = last_word(ledger)
    if as_json:
        named = {str(state): count for state, count in counts.items()}
        print_json(LastKnown(running=False, jobs=named, recent=tuple(recent)))
    elif check:
        out().print(safe(f"DOWN {error.message}"))
    else:
        say(safe(error.message))
        say(f"The ledger's last word: {view.counted(counts)}.")
        if recent:
            out().print(view.results(recent, time.time(), out().width))


def last_word(ledger: Path) -> tuple[dict[JobState, int], list[RecentJob]]:
    """How many jobs the ledger has in each state, and its latest results; nothing where it can't be read."""
    try:
        with story.reading(ledger) as db:
            return story.counts(db), story.recent(db, _RECENT)
    except StampmillError:
        return {}, []
