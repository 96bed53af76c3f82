"""Who is alive in a campaign, by the process table; and a watcher that never looks away.

A process belongs to a campaign when its working folder lies below the campaign's. Zombies have none, so they don't count.
Run as a program (`census.py FOLDER LOCKS`), it looks every few milliseconds until its stdin ends, then prints a Sighting.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

STAGES: Final = ("intake", "extract", "convert", "store")
_SINGLE: Final = ("extract", "convert")  # of which there may never be two programs, tools included
_INTERVAL_S: Final = 0.004
_KINDS: Final = {
    "resource_tracker": "tracker",
    "spawn_main": "starting",
    "tests.crash.driver": "supervisor",
    **{f"stampmill-tool-{stage}": f"tool-{stage}" for stage in _SINGLE},
}


class Process(NamedTuple):
    """A live process: KIND is a stage, `tool-<stage>`, `supervisor`, `starting` (a worker to be), `tracker` or ``."""

    pid: int
    parent: int
    born: int  # clock ticks since the boot: with the pid, who it is
    kind: str

    @property
    def stage(self) -> str:
        """Of which stage it is a program, tools included."""
        return self.kind.removeprefix("tool-")


class Sighting(msgspec.Struct, kw_only=True):
    """The most programs of a stage that were alive at once, by title and by who held the stage's lock."""

    looks: int = 0
    longest_gap_s: float = 0.0
    by_title: dict[str, int]
    by_lock: dict[str, int]
    evidence: list[str]


class Census:
    """The processes of the campaign in FOLDER."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.fsencode(folder.resolve())
        self._strangers: set[str] = set()

    def look(self) -> list[Process]:
        """All that are alive now. What dies or is born meanwhile may be missed."""
        pids = {name for name in os.listdir("/proc") if name.isdigit()}
        self._strangers &= pids
        return [found for name in pids - self._strangers if (found := self.identify(int(name))) is not None]

    def identify(self, pid: int) -> Process | None:
        """The process PID, if it's alive and of this campaign."""
        try:
            folder = os.readlink(f"/proc/{pid}/cwd")
            if not os.fsencode(folder).startswith(self._folder):
                self._strangers.add(str(pid))
                return None
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")
            with open(f"/proc/{pid}/stat", "rb") as file:
                status = file.read().rpartition(b")")[2].split()
        except OSError:
            return None
        if not command or status[0] in (b"Z", b"X"):
            return None
        return Process(pid, int(status[1]), int(status[19]), _kind(command))


def _kind(command: str) -> str:
    if command.startswith("stampmill: "):
        return command.removeprefix("stampmill: ").strip()
    return next((kind for word, kind in _KINDS.items() if word in command), "")


def programs(alive: Iterable[Process], stage: str) -> list[Process]:
    """The programs of STAGE: what has no parent among its programs. A worker and its tools are one."""
    own = {process.pid: process for process in alive if process.stage == stage}
    return [process for process in own.values() if process.parent not in own]


def holds(pid: int, lock: str) -> bool:
    """Whether PID has the lock file LOCK open and locked."""
    try:
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") == lock:
                with open(f"/proc/{pid}/fdinfo/{descriptor}", "rb") as file:
                    if b"FLOCK" in file.read():
                        return True
    except OSError:
        pass
    return False


class Watcher:
    """Looks again and again at the campaign in FOLDER, whose stages' locks lie in LOCKS, and remembers the worst."""

    def __init__(self, folder: Path, locks: Path) -> None:
        self._census = Census(folder)
        self._locks = {stage: str(locks.resolve() / f"{stage}.lock") for stage in _SINGLE}
        self.sighting = Sighting(by_title=dict.fromkeys(_SINGLE, 0), by_lock=dict.fromkeys(_SINGLE, 0), evidence=[])

    def look(self) -> None:
        """One look at all."""
        alive = self._census.look()
        self.sighting.looks += 1
        for stage in _SINGLE:
            self._count(self.sighting.by_title, stage, programs(alive, stage))
            own = [process for process in alive if process.stage == stage]
            holders = [process for process in own if holds(process.pid, self._locks[stage])]
            self._count(self.sighting.by_lock, stage, programs(holders, stage))

    def _count(self, most: dict[str, int], stage: str, found: list[Process]) -> None:
        """A look takes a while, so two count only if the first is still there after the last was seen."""
        if len(found) > 1:
            found = [process for process in found if self._census.identify(process.pid) == process]
        if len(found) > 1:
            self.sighting.evidence.append(f"{stage}: {found}")
        most[stage] = max(most[stage], len(found))


def main() -> int:
    """Watches until stdin ends."""
    watcher = Watcher(Path(sys.argv[1]), Path(sys.argv[2]))
    last = time.monotonic()
    while not select.select([sys.stdin], [], [], _INTERVAL_S)[0]:
        watcher.look()
        now = time.monotonic()
        watcher.sighting.longest_gap_s = max(watcher.sighting.longest_gap_s, now - last)
        last = now
    sys.stdout.write(msgspec.json.encode(watcher.sighting).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
