"""The sentence that names what holds the pipeline up, and the setting behind it. Pure."""

from __future__ import annotations

from typing import Final

from pipeline.config import Config
from pipeline.model import StageName
from pipeline.settings import units
from pipeline.snapshot import Snapshot, StageSnapshot

STUCK_S: Final = 30.0  # without progress before a stage is called stuck
_LOW_SHARE: Final = 0.9  # of worker.memory_bytes from which on memory is what holds a stage up


def sentence(snapshot: Snapshot, config: Config) -> str:
    """The one thing that an operator should know of SNAPSHOT first."""
    return (
        _held(snapshot)
        or _starting(snapshot)
        or _stuck(snapshot, config)
        or _memory(snapshot, config)
        or _telegram(snapshot)
        or _slowest(snapshot, config)
        or _working(snapshot)
    )


def stalled(snapshot: Snapshot, config: Config) -> str:
    """Why nothing, or not all, can go on without somebody's help; empty where all is well. For monitoring systems."""
    if snapshot.paused:
        return f"Waiting: {snapshot.paused}"
    return _starting(snapshot, patience_s=STUCK_S) or _stuck(snapshot, config) or snapshot.telegram_trouble


def _held(snapshot: Snapshot) -> str:
    if snapshot.halt == "paused":
        return "Paused by the operator: no batch is handed out (stampmill resume)"
    if snapshot.paused:
        return f"Waiting: {snapshot.paused}"
    if snapshot.halt == "draining":
        left = f"{snapshot.running} jobs finish" if snapshot.running else "all that had begun has ended"
        return f"Draining: no job is begun, {left} (stampmill resume)"
    return ""


def _starting(snapshot: Snapshot, patience_s: float = 0.0) -> str:
    down = [stage for stage in snapshot.stages if not stage.up]
    if not down or snapshot.at - snapshot.started_at < patience_s:
        return ""
    again = sum(stage.restarts for stage in down)
    return f"{'Starting again' if again > 0 else 'Starting'}: {_names(down)}"


def _stuck(snapshot: Snapshot, config: Config) -> str:
    stuck = [stage for stage in snapshot.stages if stage.still_s >= STUCK_S]
    if not stuck:
        return ""
    stage = max(stuck, key=lambda one: one.still_s)
    limit = units.short_duration(config.worker.no_progress_s)
    return (
        f"Stuck: {stage.stage.title} has made no progress for {units.short_duration(stage.still_s)};"
        f" it is ended after {limit} (worker.no_progress_s)"
    )


def _memory(snapshot: Snapshot, config: Config) -> str:
    for stage in snapshot.stages:
        if stage.rss_bytes > _LOW_SHARE * config.worker.memory_bytes:
            limit = units.short_size(config.worker.memory_bytes)
            used = units.short_size(stage.rss_bytes)
            return f"Memory: {stage.stage.title} uses {used} of {limit} (worker.memory_bytes)"
    return ""


def _telegram(snapshot: Snapshot) -> str:
    return f"Telegram: {snapshot.telegram_trouble}" if snapshot.telegram_trouble else ""


def _slowest(snapshot: Snapshot, config: Config) -> str:
    full = [stage for stage in snapshot.stages[1:] if is_full(stage, config)]
    if not full:
        return ""
    name = full[-1].stage.title
    return f"{name.capitalize()} is the slowest: its queue is full (queue.batches, queue.bytes)"


def _working(snapshot: Snapshot) -> str:
    busy = [stage for stage in snapshot.stages if stage.in_hand]
    if busy:
        return f"Working: {_names(busy)}"
    if snapshot.inbox_waiting:
        return f"Nothing to do; {snapshot.inbox_waiting} files in the inbox aren't quiet yet (inbox.quiet_s)"
    return "Nothing to do"


def is_full(stage: StageSnapshot, config: Config) -> bool:
    """Whether STAGE's queue takes no more."""
    if stage.stage is StageName.INTAKE:
        return stage.queued >= config.queue.batches
    return stage.queued >= config.queue.batches or stage.queued_bytes + config.batch.bytes > config.queue.bytes


def _names(stages: list[StageSnapshot]) -> str:
    return ", ".join(stage.stage.title for stage in stages)
