"""What each worker is doing right now, in a few bytes of shared memory that outlive a kill -9 of everyone.

The supervisor reads it for progress and watchdogs, and after a death (its own included) for what was running.
It's a hint about processes, never the truth about jobs: that is the ledger. Torn reads are possible and harmless.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

_LAYOUT = struct.Struct("<qqqqqd")  # pid, batch, attempt, member, done bytes, batch started at
_PROGRESS = struct.Struct("<qq")
_PROGRESS_OFFSET = 24


class Entry(NamedTuple):
    """What a worker was doing when it last wrote: `batch` 0 means nothing."""

    pid: int
    batch: int
    attempt: int
    member: int
    done_bytes: int
    started_at: float


class BlackBox:
    """The shared record of one stage's worker. Writing costs under a microsecond."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _LAYOUT.size)
            self._memory = mmap.mmap(descriptor, _LAYOUT.size)
        finally:
            os.close(descriptor)

    def begin(self, batch: int, attempt: int, started_at: float) -> None:
        """BATCH starts to run in this process."""
        _LAYOUT.pack_into(self._memory, 0, os.getpid(), batch, attempt, -1, 0, started_at)

    def progress(self, member: int, done_bytes: int) -> None:
        """The running batch is at MEMBER, with DONE_BYTES behind it."""
        _PROGRESS.pack_into(self._memory, _PROGRESS_OFFSET, member, done_bytes)

    def end(self) -> None:
        """Nothing runs."""
        _LAYOUT.pack_into(self._memory, 0, os.getpid(), 0, 0, -1, 0, 0.0)

    def read(self) -> Entry:
        """What was last written."""
        return Entry(*_LAYOUT.unpack_from(self._memory, 0))
