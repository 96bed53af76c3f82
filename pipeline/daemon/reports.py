"""Makes the snapshots that are shown: what the supervisor sees now, with rates, ages and the latest results."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import deque
from typing import Final, NamedTuple

import msgspec
import psutil

from pipeline import __version__
from pipeline.config import Config
from pipeline.errors import StampmillError
from pipeline.machine.scheduler import Ended
from pipeline.machine.supervisor import Supervisor
from pipeline.results import story
from pipeline.snapshot import RecentJob, Snapshot, StageSnapshot

SAMPLE_S: Final = 2.0
_STAGE_WINDOW_S: Final = 60.0
_JOB_WINDOW_S: Final = 300.0
_RECENT: Final = 20


class Sample(NamedTuple):
    """The pipeline's counters at a moment (monotonic seconds): a stage's batches and working seconds, and the jobs that
    have ended and that haven't."""

    at: float
    finished: tuple[int, ...]
    busy_s: tuple[float, ...]
    ended: int
    left: int


class History:
    """The last minutes of counters, and what they say about speed. Pure."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> None:
        """Adds a sample, and forgets those that are too old."""
        self._samples.append(sample)
        while self._samples[0].at < sample.at - _JOB_WINDOW_S:
            self._samples.popleft()

    def stage(self, number: int) -> tuple[float, float]:
        """Batches a second and the working share of stage NUMBER over the last minute."""
        last = self._samples[-1] if self._samples else None
        first = next((one for one in self._samples if last and one.at >= last.at - _STAGE_WINDOW_S), None)
        if first is None or last is None or first is last:
            return 0.0, 0.0
        passed = last.at - first.at
        rate = (last.finished[number] - first.finished[number]) / passed
        return rate, max(0.0, min(1.0, (last.busy_s[number] - first.busy_s[number]) / passed))

    @property
    def jobs_per_s(self) -> float:
        """Jobs ended a second over the last five minutes, of which those count that lie after the last idle moment."""
        working: list[Sample] = []
        for sample in reversed(self._samples):
            working.append(sample)
            if not sample.left and len(working) > 1:
                break
        passed = working[0].at - working[-1].at if working else 0.0
        return (working[0].ended - working[-1].ended) / passed if passed else 0.0


class _Stillness:
    """How long each stage's batch has not got any further."""

    def __init__(self) -> None:
        self._marks: dict[int, tuple[tuple[object, ...], float]] = {}

    def look(self, stage: StageSnapshot, now: float) -> float:
        if not stage.doing or stage.waits:
            self._marks.pop(stage.stage, None)
            return 0.0
        mark = (stage.doing, stage.since_at, stage.done_bytes, stage.finished)
        known, since = self._marks.get(stage.stage, (None, now))
        if known != mark:
            self._marks[stage.stage] = (mark, now)
            return 0.0
        return now - since


class Reporter:
    """Follows a supervisor. `sample` is to be called every SAMPLE_S."""

    def __init__(self, supervisor: Supervisor, config: Config) -> None:
        self.config = config
        self._supervisor = supervisor
        self._history = History()
        self._stillness = _Stillness()
        self._still: dict[int, float] = {}
        self._recent: deque[RecentJob] = deque(maxlen=_RECENT)
        self._unread: deque[int] = deque(maxlen=_RECENT)
        self._free = 0
        self._own = psutil.Process()
        self.inbox_waiting = 0
        self.telegram = ""
        self.telegram_trouble = ""
        self._latest: Snapshot | None = None
        self._recall()

    def _recall(self) -> None:
        """The results of those who ran before."""
        with contextlib.suppress(StampmillError), story.reading(self.config.paths.ledger) as db:
            self._recent.extend(story.recent(db, _RECENT))

    def note_ended(self, ended: Ended) -> None:
        """A job has ended."""
        self._unread.append(ended.job.id)

    def sample(self) -> None:
        """Takes the counters down."""
        now, snapshot = time.monotonic(), self._supervisor.snapshot()
        busy = tuple(stage.busy_s + self._running_s(stage, snapshot.at) for stage in snapshot.stages)
        ended = snapshot.done + snapshot.failed + snapshot.duplicates + snapshot.cancelled
        left = snapshot.running + snapshot.waiting
        self._history.add(Sample(now, tuple(stage.finished for stage in snapshot.stages), busy, ended, left))
        self._still = {stage.stage: self._stillness.look(stage, now) for stage in snapshot.stages}
        folders = (self.config.paths.state, self.config.paths.library)
        self._free = min(shutil.disk_usage(folder).free for folder in folders)

        self._latest = self.snapshot()

    def latest(self) -> Snapshot:
        """The snapshot of the last sample, for other threads."""
        return self._latest or self._supervisor.snapshot()

    @staticmethod
    def _running_s(stage: StageSnapshot, now: float) -> float:
        """What the batch in hand has taken so far, since a long one counts before it ends."""
        return max(0.0, now - stage.since_at) if stage.doing and not stage.waits else 0.0

    def snapshot(self) -> Snapshot:
        """The pipeline as it is shown."""
        plain = self._supervisor.snapshot()
        stages = tuple(self._stage(stage) for stage in plain.stages)
        return msgspec.structs.replace(
            plain,
            stages=stages,
            halt=str(self._supervisor.scheduler.halt),
            rate=self._history.jobs_per_s,
            recent=self._recents(),
            inbox_waiting=self.inbox_waiting,
            free_bytes=self._free,
            rss_bytes=self._own.memory_info().rss + sum(stage.rss_bytes for stage in stages),
            telegram=self.telegram,
            telegram_trouble=self.telegram_trouble,
            pid=os.getpid(),
            version=__version__,
        )

    def _stage(self, stage: StageSnapshot) -> StageSnapshot:
        supervisor = self._supervisor
        rate, busy = self._history.stage(stage.stage)
        state = supervisor.scheduler.stages[stage.stage]
        size = supervisor.watchdog.sizes.get(supervisor.workers[stage.stage].pid or 0)
        return msgspec.structs.replace(
            stage,
            rejected=state.rejected,
            oldest_at=min((batch.job.upload.arrived_at for batch in state.queue), default=0.0),
            rate=rate,
            busy=busy,
            still_s=self._still.get(stage.stage, 0.0),
            rss_bytes=size.rss if size else 0,
        )

    def _recents(self) -> tuple[RecentJob, ...]:
        if self._unread:
            with contextlib.suppress(StampmillError), story.reading(self.config.paths.ledger) as db:
                lines = [story.job(db, id) for id in self._unread]
                self._recent.extendleft(story.as_recent(line) for line in lines if line and line.ended_at is not None)
                self._unread.clear()
        return tuple(self._recent)
