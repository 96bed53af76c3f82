"""What the loop does again and again, between two commits."""

from __future__ import annotations

import math
from collections.abc import Callable


class Chores:
    """Pieces of work, each with a period. All times are seconds on the monotonic clock."""

    def __init__(self) -> None:
        self._chores: list[tuple[float, Callable[[], None]]] = []
        self._due: list[float] = []

    def every(self, period_s: float, work: Callable[[], None]) -> None:
        """Has WORK done at the next turn, and every PERIOD_S seconds from then on."""
        self._chores.append((period_s, work))
        self._due.append(0.0)

    @property
    def due_at(self) -> float:
        """When the next of them is due."""
        return min(self._due, default=math.inf)

    def do(self, now: float) -> None:
        """Does those that are due at NOW."""
        for number, (period_s, work) in enumerate(self._chores):
            if now >= self._due[number]:
                self._due[number] = now + period_s
                work()
