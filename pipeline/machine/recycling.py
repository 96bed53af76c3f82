"""Replaces workers that hold much memory and have nothing to do: after a large file an allocator gives little back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from pipeline.config import MIB
from pipeline.model import StageName

LOOK_S: Final = 10.0
_IDLE_S: Final = 60.0
_GROWN: Final = 24 * MIB  # since it was ready, that make a fresh one worth its start
_USUAL: Final = 72 * MIB  # of a fresh one, where it was at work before it was looked at


class Seen(NamedTuple):
    """A worker at a moment: its process, whether it and its queue have nothing to do, the batches that its stage has
    finished so far, and its memory in bytes."""

    stage: StageName
    pid: int
    idle: bool
    finished: int
    rss: int


class _Known:
    def __init__(self, pid: int, rss: int, now: float) -> None:
        self.pid = pid
        self.fresh_rss = rss
        self.idle_since = now


class Recycler:
    """Knows how large each worker was when it was fresh, and since when it is idle. Pure."""

    def __init__(self) -> None:
        self._known: dict[StageName, _Known] = {}
        self._finished: dict[StageName, int] = {}

    def look(self, workers: Iterable[Seen], now: float) -> list[StageName]:
        """The stages whose workers are to be replaced at NOW (monotonic seconds)."""
        return [seen.stage for seen in workers if self._is_due(seen, now)]

    def _is_due(self, seen: Seen, now: float) -> bool:
        known = self._known.get(seen.stage)
        finished_before, self._finished[seen.stage] = self._finished.get(seen.stage, 0), seen.finished
        if known is None or known.pid != seen.pid:
            is_fresh = seen.idle and seen.finished == finished_before
            self._known[seen.stage] = _Known(seen.pid, seen.rss if is_fresh else _USUAL, now)
            return False
        if not seen.idle:
            known.idle_since = now
            return False
        known.fresh_rss = min(known.fresh_rss, seen.rss)
        return now - known.idle_since >= _IDLE_S and seen.rss - known.fresh_rss > _GROWN
