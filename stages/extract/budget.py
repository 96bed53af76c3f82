"""The one budget of a job: what it has produced at all nested levels, against the limits of config.Extract."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable

import msgspec

from pipeline.config import MIB, Extract
from stages.extract import reasons
from stages.extract.protocol import Source, Stop

LOOK_EVERY_S = 0.1


class Spent(msgspec.Struct, array_like=True):
    """What has been used up; travels in the checkpoint."""

    bytes: int = 0
    members: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0


class Budget:
    """Counts bytes really produced. Threads that work ahead `reserve`; whoever takes their result `settle`s it.

    While `muted` nothing is counted: what a restart reads again was counted before. The clocks stand still while the
    job is paused.
    """

    def __init__(self, limits: Extract, read: int, spent: Spent) -> None:
        self.limits = limits
        self.spent = spent
        self.muted = False
        self._read = read
        self._ceiling = MIB + limits.max_ratio * read
        self._ahead = 0
        self._lock = threading.Lock()
        self._next_look = 0.0
        self.tools: set[int] = set()  # processes that work for this job
        self._wall, self._cpu = time.monotonic(), self._cpu_s()
        self._paused = False

    def spend(self, size: int) -> None:
        """Notes SIZE bytes produced. Raises Stop when that was too much."""
        with self._lock:
            if not self.muted:
                self.spent.bytes += size
            reached = self.spent.bytes + self._ahead
        self._check(reached)

    def reserve(self, size: int) -> None:
        """Notes SIZE bytes produced ahead of their turn. Raises Stop when that was too much."""
        with self._lock:
            self._ahead += size
            reached = self.spent.bytes + self._ahead
        self._check(reached)

    def read_more(self, size: int) -> None:
        """SIZE more bytes belong to the upload: a further volume."""
        self._read += size
        self._ceiling += self.limits.max_ratio * size

    def settle(self, size: int) -> None:
        """The turn of SIZE reserved bytes has come."""
        with self._lock:
            self._ahead -= size
            if not self.muted:
                self.spent.bytes += size

    def member(self) -> None:
        """Notes one more member. Raises Stop when there are too many."""
        self.spent.members += 1
        if self.spent.members > self.limits.max_members:
            raise Stop(reasons.total_members(self.spent.members, self.limits.max_members))

    def pause(self) -> None:
        """Stops the clocks."""
        self.spent.wall_s, self.spent.cpu_s = self._clocks()
        self._paused = True  # threads that read ahead may still ask

    def resume(self) -> None:
        """Starts the clocks again after `pause`."""
        self._wall, self._cpu = time.monotonic(), self._cpu_s()
        self._paused = False

    def mark(self) -> Spent:
        """What has been spent up to now."""
        wall_s, cpu_s = self._clocks()
        return Spent(bytes=self.spent.bytes, members=self.spent.members, wall_s=wall_s, cpu_s=cpu_s)

    def check_time(self) -> None:
        """Raises Stop when the job has run too long. Reading the CPU's clock costs, so it is done now and then."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_EVERY_S
        wall_s, cpu_s = self._clocks()
        if wall_s > self.limits.max_wall_s:
            raise Stop(reasons.wall(wall_s, self.limits.max_wall_s))
        if cpu_s > self.limits.max_cpu_s:
            raise Stop(reasons.cpu(cpu_s, self.limits.max_cpu_s))

    def _clocks(self) -> tuple[float, float]:
        if self._paused:
            return self.spent.wall_s, self.spent.cpu_s
        return (
            self.spent.wall_s + time.monotonic() - self._wall,
            self.spent.cpu_s + self._cpu_s() - self._cpu,
        )

    def _cpu_s(self) -> float:
        """CPU seconds of this process, of the tools that have ended and of those that run."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + ended.ru_utime + ended.ru_stime + sum(map(_cpu_of, list(self.tools)))

    def _check(self, reached: int) -> None:
        if reached > self.limits.max_bytes:
            raise Stop(reasons.total_bytes(reached, self.limits.max_bytes))
        if reached > self._ceiling:
            raise Stop(reasons.ratio(reached, self.limits.max_ratio, self._read))
        self.check_time()


def _cpu_of(pid: int) -> float:
    """CPU seconds of the running process PID; none once it has been waited for."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Counted:
    """SOURCE with the length of all that it gives told to SPEND."""

    __slots__ = ("_source", "_spend")

    def __init__(self, source: Source, spend: Callable[[int], None]) -> None:
        self._source = source
        self._spend = spend

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        data = self._source.read(size)
        self._spend(len(data))
        return data
