"""The live view: pure functions from a Snapshot to something rich can draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.config import MIB, Config
from pipeline.daemon.journal import shown
from pipeline.model import JobState, StageName
from pipeline.screen import bottleneck
from pipeline.settings.units import short_duration, short_size
from pipeline.snapshot import RecentJob, Snapshot, StageSnapshot

_BAR_WIDTH: Final = 10
_WIDE: Final = 100  # columns from which on there is room for more of them
_STILL_S: Final = 5.0  # without progress before that is mentioned
_MIN_ENDED_FOR_ETA: Final = 3
_DOWN_LINES: Final = 6  # of a screen without a daemon, that aren't results
_FRAME_LINES: Final = 10  # of a screen, that aren't results
_STATE_STYLES: Final = {
    JobState.DONE: "green",
    JobState.FAILED: "red",
    JobState.DUPLICATE: "dim",
    JobState.CANCELLED: "dim",
    JobState.FORGOTTEN: "dim",
}


def render(snapshot: Snapshot, config: Config, width: int) -> RenderableType:
    """SNAPSHOT of a `process` run in WIDTH columns: the bottleneck in a sentence, a line a stage, the tally."""
    return Group(_headline(snapshot, config), _stages(snapshot, config, width, of_daemon=False), _tally(snapshot))


def screen(snapshot: Snapshot, config: Config, width: int, height: int) -> RenderableType:
    """SNAPSHOT of a daemon on a terminal of WIDTH columns and HEIGHT lines, which it never exceeds."""
    parts: list[RenderableType] = [
        _clipped(_headline(snapshot, config), width, lines=2),
        Text(""),
        _stages(snapshot, config, width, of_daemon=True),
        Text(""),
        *(_clipped(line, width) for line in _facts(snapshot, config)),
    ]
    room = height - _FRAME_LINES - len(_facts(snapshot, config))
    if room > 1 and snapshot.recent:
        parts += [Text(""), results(snapshot.recent[: room - 1], snapshot.at, width)]
    return Group(*parts)


def down(
    why: str, counts: Mapping[JobState, int], recent: Sequence[RecentJob], now: float, width: int, height: int
) -> RenderableType:
    """The screen where no daemon answers, for the reason WHY: the ledger's COUNTS and latest results."""
    parts: list[RenderableType] = [
        _clipped(Text(why, style="bold"), width, lines=2),
        Text(""),
        _clipped(Text(f" The ledger's last word: {counted(counts)}"), width),
    ]
    room = height - _DOWN_LINES
    if recent and room > 1:
        parts += [Text(""), results(recent[: room - 1], now, width)]
    return Group(*parts)


def counted(counts: Mapping[JobState, int]) -> str:
    """How many jobs are in each state, in words."""
    return ", ".join(f"{counts[state]:,} {state}" for state in JobState if counts.get(state)) or "no job yet"


def plain(snapshot: Snapshot, config: Config) -> str:
    """SNAPSHOT as one line, for a log or a pipe."""
    ended = snapshot.done + snapshot.failed + snapshot.duplicates
    return f"{ended} ended, {snapshot.running + snapshot.waiting} to go: {bottleneck.sentence(snapshot, config)}"


def results(recent: Sequence[RecentJob], now: float, width: int) -> Table:
    """The jobs that ended last, a line each: how, when, what came out or why nothing did."""
    table = Table(box=None, padding=(0, 1), width=width, show_edge=False, header_style="dim")
    table.add_column("job", justify="right", no_wrap=True)
    table.add_column("result", no_wrap=True, min_width=9)
    table.add_column("ago", justify="right", no_wrap=True)
    table.add_column("name", no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column("", no_wrap=True, overflow="ellipsis", ratio=3)
    for job in recent:
        table.add_row(
            str(job.job),
            Text(str(job.state), style=_STATE_STYLES.get(job.state, "")),
            short_duration(now - job.ended_at),
            Text(shown(job.name)),
            Text(_outcome(job)),
        )
    return table


def _outcome(job: RecentJob) -> str:
    took = f" in {short_duration(job.seconds)}"
    if job.state is JobState.DONE:
        rejected = f", {job.rejected:,} rejected" if job.rejected else ""
        if not job.tables:
            return f"no table in it, kept as it is{rejected}{took}"
        return f"{job.tables:,} {_plural(job.tables, 'table')}, {job.rows:,} {_plural(job.rows, 'row')}{rejected}{took}"
    if job.reason:
        return shown(f"{job.reason.code}: {job.reason.text}")
    return ""


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def _headline(snapshot: Snapshot, config: Config) -> Text:
    return Text(bottleneck.sentence(snapshot, config), style="bold")


def _clipped(text: Text, width: int, lines: int = 1) -> Text:
    """TEXT, cut so that it fills at most LINES of WIDTH columns."""
    text = text.copy()
    text.truncate(width * lines - (lines - 1) * 12, overflow="ellipsis")
    return text


def _facts(snapshot: Snapshot, config: Config) -> list[Text]:
    """The lines below the stages: what is to do, what was done, the machine, and Telegram where there is an account."""
    to_do = Text(f" {snapshot.running} running, {snapshot.waiting} waiting{_eta(snapshot)}")
    done = Text(f" since {short_duration(snapshot.at - snapshot.started_at)}: {snapshot.done} done")
    for count, word in (
        (snapshot.failed, "failed"),
        (snapshot.duplicates, "duplicate"),
        (snapshot.cancelled, "cancelled"),
    ):
        if count:
            done.append(f", {count} {word}")
    machine = Text(f" memory {short_size(snapshot.rss_bytes)}, disk {short_size(snapshot.free_bytes)} free")
    machine.append(f" (disk.min_free: {short_size(config.disk.min_free)})")
    restarts = sum(max(0, stage.restarts) for stage in snapshot.stages)
    if restarts:
        machine.append(f", {restarts} {_plural(restarts, 'restart')} of workers", style="yellow")
    lines = [to_do, done, machine]
    if snapshot.telegram:
        lines.append(Text(f" telegram: {shown(snapshot.telegram)}"))
    return lines


def _eta(snapshot: Snapshot) -> str:
    """When it will be done at the speed of the last minutes; nothing where that can't be said honestly."""
    left = snapshot.running + snapshot.waiting
    ended = snapshot.done + snapshot.failed + snapshot.duplicates
    if not left:
        return ""
    stuck = any(stage.still_s >= bottleneck.STUCK_S for stage in snapshot.stages)
    if not snapshot.rate or stuck or snapshot.paused or snapshot.halt or ended < _MIN_ENDED_FOR_ETA:
        return "; no telling when all are done"
    speed = f"{snapshot.rate:.1f} jobs/s" if snapshot.rate >= 1 else f"{snapshot.rate * 60:.1f} jobs/min"
    return f"; at {speed} all in about {short_duration(left / snapshot.rate)}"


def _stages(snapshot: Snapshot, config: Config, width: int, *, of_daemon: bool) -> Table:
    """A line a stage. A daemon's has more columns, and a wide one's still more."""
    wide = of_daemon and width >= _WIDE
    table = Table(box=None, padding=(0, 1), width=width, show_edge=False, header_style="dim" if of_daemon else "bold")
    table.add_column("stage", no_wrap=True)
    table.add_column("queue", no_wrap=True, width=_BAR_WIDTH)
    table.add_column("", justify="right", no_wrap=True)
    if of_daemon:
        table.add_column("oldest", justify="right", no_wrap=True)
    table.add_column("now", no_wrap=True, ratio=1, overflow="ellipsis")
    for name in _columns(of_daemon=of_daemon, wide=wide):
        table.add_column(name, justify="right", no_wrap=True)
    for stage in snapshot.stages:
        table.add_row(*_cells(stage, snapshot, config, of_daemon=of_daemon, wide=wide))
    return table


def _columns(*, of_daemon: bool, wide: bool) -> tuple[str, ...]:
    if wide:
        return ("batches", "rate", "refused", "restarts", "busy", "memory")
    return ("rate", "busy", "memory") if of_daemon else ("batches", "busy")


def _cells(
    stage: StageSnapshot, snapshot: Snapshot, config: Config, *, of_daemon: bool, wide: bool
) -> list[RenderableType]:
    queued = stage.queued if stage.stage is not StageName.INTAKE else stage.queued + snapshot.waiting
    cells: list[RenderableType] = [
        Text(stage.stage.title, style="" if stage.up else "dim"),
        _bar(queued / config.queue.batches, _BAR_WIDTH),
        Text(str(queued)),
    ]
    if of_daemon:
        cells.append(Text(short_duration(snapshot.at - stage.oldest_at) if stage.oldest_at else "-"))
    elapsed = max(1e-6, snapshot.at - snapshot.started_at)
    values = {
        "batches": str(stage.finished),
        "rate": _rate(stage.rate),
        "refused": str(stage.rejected or "-"),
        "restarts": str(stage.restarts) if stage.restarts > 0 else "-",
        "busy": f"{stage.busy if of_daemon else min(1.0, stage.busy_s / elapsed):.0%}",
        "memory": short_size(stage.rss_bytes) if stage.rss_bytes else "-",
    }
    named = (Text(values[name]) for name in _columns(of_daemon=of_daemon, wide=wide))
    return [*cells, _doing(stage, snapshot.at), *named]


def _rate(rate: float) -> str:
    if rate == 0:
        return "-"
    return f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"


def _bar(filled: float, width: int) -> Text:
    """A bar whose fill can be told without colour."""
    full = round(min(1.0, filled) * width)
    full = max(full, 1) if filled > 0 else 0
    return Text("█" * full, style="cyan").append("·" * (width - full), style="dim")


def _doing(stage: StageSnapshot, now: float) -> Text:
    """What STAGE does now; what it can't get on with comes first, so that it's never cut off."""
    if not stage.up:
        return Text("starting")
    if not stage.doing:
        return Text("-")
    if stage.waits:
        return Text(f"waits for room: {shown(stage.doing)}")
    age = now - stage.since_at
    done = f" {stage.done_bytes / MIB:.0f} MiB" if stage.done_bytes >= MIB else ""
    if MIB <= stage.done_bytes <= stage.batch_bytes:
        done = f" {stage.done_bytes / MIB:.0f} of {stage.batch_bytes / MIB:.0f} MiB"
    waited = f" for {short_duration(age)}" if age >= 2 else ""
    if stage.still_s >= bottleneck.STUCK_S:
        return Text(f"STUCK {short_duration(stage.still_s)}: {shown(stage.doing)}{done}", style="bold red")
    if stage.still_s >= _STILL_S:
        return Text(f"still {short_duration(stage.still_s)}: {shown(stage.doing)}{done}", style="yellow")
    return Text(f"{shown(stage.doing)}{done}{waited}")


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
