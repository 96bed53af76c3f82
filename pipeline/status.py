"""The live view: a pure function from a Snapshot to something rich can draw."""

from __future__ import annotations

import unicodedata
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.config import MIB, Config
from pipeline.model import Snapshot, StageName, StageSnapshot

_BAR_WIDTH: Final = 10


def render(snapshot: Snapshot, config: Config, width: int) -> RenderableType:
    """SNAPSHOT as a panel of WIDTH columns: the bottleneck in a sentence, a line a stage, the tally."""
    return Group(Text(bottleneck(snapshot, config), style="bold"), _stages(snapshot, config, width), _tally(snapshot))


def shown(text: str) -> str:
    """TEXT for a terminal. Names and cells come from strangers: what would control the terminal is written out (\\x1b)."""
    if text.isprintable():
        return text
    return "".join(_written_out(letter) if unicodedata.category(letter)[0] == "C" else letter for letter in text)


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def plain(snapshot: Snapshot, config: Config) -> str:
    """SNAPSHOT as one line, for a log or a pipe."""
    ended = snapshot.done + snapshot.failed + snapshot.duplicates
    return f"{ended} ended, {snapshot.running + snapshot.waiting} to go: {bottleneck(snapshot, config)}"


def bottleneck(snapshot: Snapshot, config: Config) -> str:
    """The sentence that names what holds the pipeline up, and the setting behind it."""
    if snapshot.paused:
        return f"Paused: {snapshot.paused}"
    down = [stage.stage.title for stage in snapshot.stages if not stage.up]
    if down:
        return f"Starting: {', '.join(down)}"
    full = [stage for stage in snapshot.stages[1:] if _is_full(stage, config)]
    if full:
        name = full[-1].stage.title
        return f"{name.capitalize()} is the slowest: its queue is full (queue.batches, queue.bytes)"
    busy = [stage.stage.title for stage in snapshot.stages if stage.in_hand]
    return f"Working: {', '.join(busy)}" if busy else "Nothing to do"


def _is_full(stage: StageSnapshot, config: Config) -> bool:
    return stage.queued >= config.queue.batches or stage.queued_bytes + config.batch.bytes > config.queue.bytes


def _stages(snapshot: Snapshot, config: Config, width: int) -> Table:
    table = Table(box=None, padding=(0, 1), width=width, show_edge=False)
    table.add_column("stage", no_wrap=True)
    table.add_column("queue", no_wrap=True, width=_BAR_WIDTH)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("now", no_wrap=True, ratio=1, overflow="ellipsis")
    table.add_column("batches", justify="right", no_wrap=True)
    table.add_column("busy", justify="right", no_wrap=True)
    for stage in snapshot.stages:
        table.add_row(*_stage_cells(stage, snapshot, config))
    return table


def _stage_cells(stage: StageSnapshot, snapshot: Snapshot, config: Config) -> tuple[RenderableType, ...]:
    queued = stage.queued if stage.stage is not StageName.INTAKE else stage.queued + snapshot.waiting
    elapsed = max(1e-6, snapshot.at - snapshot.started_at)
    return (
        Text(stage.stage.title, style="" if stage.up else "dim"),
        _bar(queued / config.queue.batches, _BAR_WIDTH),
        Text(str(queued)),
        Text(_doing(stage, snapshot.at) if stage.up else "starting"),
        Text(str(stage.finished)),
        Text(f"{min(1.0, stage.busy_s / elapsed):4.0%}"),
    )


def _bar(filled: float, width: int) -> Text:
    """A bar whose fill can be told without colour."""
    full = round(min(1.0, filled) * width)
    full = max(full, 1) if filled > 0 else 0
    return Text("█" * full, style="cyan").append("·" * (width - full), style="dim")


def _doing(stage: StageSnapshot, now: float) -> str:
    if not stage.doing:
        return "-"
    age = now - stage.since_at
    done = f" {stage.done_bytes / MIB:.0f} MiB" if stage.done_bytes >= MIB else ""
    waited = f" for {age:.0f} s" if age >= 2 else ""
    return f"{shown(stage.doing)}{done}{waited}"


def _tally(snapshot: Snapshot) -> Text:
    ended = snapshot.done + snapshot.failed + snapshot.duplicates
    everything = ended + snapshot.running + snapshot.waiting
    text = _bar(ended / everything if everything else 1.0, 2 * _BAR_WIDTH)
    text.append(f" {ended} of {everything} jobs in {snapshot.at - snapshot.started_at:.0f} s: {snapshot.done} done")
    for count, word in ((snapshot.failed, "failed"), (snapshot.duplicates, "duplicate")):
        if count:
            text.append(f", {count} {word}")
    restarts = sum(stage.restarts for stage in snapshot.stages)
    if restarts > 0:
        text.append(f"; {restarts} worker restarts", style="yellow")
    return text
