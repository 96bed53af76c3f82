"""Takes the Snapshot that whoever watches gets to see. Reads, and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping

from pipeline.machine.scheduler import Scheduler
from pipeline.machine.stage_state import StageState
from pipeline.model import JobState, StageName
from pipeline.processes.workers import LocalWorker
from pipeline.snapshot import Snapshot, StageSnapshot


def take(
    scheduler: Scheduler,
    workers: Mapping[StageName, LocalWorker],
    tally: Mapping[JobState, int],
    unfinished: int,
    started_at: float,
) -> Snapshot:
    """The pipeline as it is now; TALLY counts the jobs ended since STARTED_AT, UNFINISHED those that haven't."""
    return Snapshot(
        at=time.time(),
        started_at=started_at,
        stages=tuple(_stage(state, workers[state.name]) for state in scheduler.stages),
        waiting=max(0, unfinished - len(scheduler.jobs)),
        running=len(scheduler.jobs),
        done=tally[JobState.DONE],
        failed=tally[JobState.FAILED],
        duplicates=tally[JobState.DUPLICATE],
        cancelled=tally.get(JobState.CANCELLED, 0),
        paused=scheduler.paused,
    )


def _stage(state: StageState, worker: LocalWorker) -> StageSnapshot:
    entry = worker.black_box.read()
    batch = state.in_hand.get(entry.batch)
    return StageSnapshot(
        stage=state.name,
        up=state.ready,
        queued=len(state.queue),
        queued_bytes=state.queue.bytes,
        in_hand=len(state.in_hand),
        doing=batch.job.upload.name if batch else "",
        done_bytes=entry.done_bytes if batch else 0,
        batch_bytes=(batch.bytes or batch.job.upload.size) if batch else 0,
        since_at=entry.started_at if batch else 0.0,
        finished=state.finished,
        busy_s=state.busy_s,
        restarts=worker.restarts,
        waits=batch is not None and state.waits(batch),
    )
