"""Kills processes of a campaign at moments of no meaning: single ones, the same kind many times in a row, all at once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.crash.census import Census, Process

_PAUSES_S: Final = (0.0, 0.03, 0.1, 0.4, 1.2)  # at most one of these passes before a kill
_PATIENCE_S: Final = 1.0  # for the next process of the kind that is killed in a row
_BEGINNING: Final = {"supervisor", "tracker", "starting"}
_WEIGHTS: Final = {
    "supervisor": 4,
    "intake": 2,
    "extract": 4,
    "convert": 4,
    "store": 4,
    "starting": 2,
    "tool-extract": 30,
    "tool-convert": 30,
    "tracker": 1,
    "": 1,  # a tool's shell that hasn't become the tool yet, and the like
}


class Killer:
    """Strikes in the campaign in FOLDER as CHANCE will have it; TELL hears of each kill."""

    def __init__(self, folder: Path, chance: random.Random, tell: Callable[[str], None]) -> None:
        self._census = Census(folder)
        self._chance = chance
        self._tell = tell
        self._dead: set[tuple[int, int]] = set()
        self.kills: Counter[str] = Counter()

    def strike(self, driver: subprocess.Popen[bytes], most: int) -> None:
        """Lets a random while pass, then kills up to MOST processes that DRIVER started, or itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            driver.wait(self._chance.uniform(0, self._chance.choice(_PAUSES_S)))
        alive = self._alive()
        kinds = sorted({process.kind for process in alive})
        if not kinds or (set(kinds) <= _BEGINNING and self._chance.random() < 0.9):
            return  # a start that never gets anywhere would show little
        kind = self._chance.choices(kinds, [_WEIGHTS[kind] for kind in kinds])[0]
        way = self._chance.random()
        if way < 0.85:
            self._kill([process for process in alive if process.kind == kind][:1])
        elif way < 0.95:
            self._kill_in_a_row(kind, min(most, self._chance.randint(2, 6)))
        else:
            self._kill(self._chance.sample(alive, len(alive))[:most])

    def end_all(self) -> None:
        """Ends what is left of the campaign; that counts for nothing."""
        for process in self._census.look():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    def _alive(self) -> list[Process]:
        """All that are alive and weren't killed already: the kernel takes its time over that."""
        return [process for process in self._census.look() if (process.pid, process.born) not in self._dead]

    def _kill_in_a_row(self, kind: str, times: int) -> None:
        for _ in range(times):
            until = time.monotonic() + _PATIENCE_S
            while not (found := [process for process in self._alive() if process.kind == kind]):
                if time.monotonic() > until:
                    return
                time.sleep(0.004)  # a birth is nothing that can be awaited from outside
            self._kill(found[:1])

    def _kill(self, victims: Sequence[Process]) -> None:
        for process in victims:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self._dead.add((process.pid, process.born))
            self.kills[process.kind or "other"] += 1
            self._tell(f"killed {process.kind} {process.pid}")
