"""How far jobs are, as their uploaders are told: read from the scheduler and the workers' black boxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipeline.adapter.model import JobProgress, Phase
from pipeline.machine.scheduler import Scheduler
from pipeline.machine.work import Job
from pipeline.model import BatchState, StageName
from pipeline.processes.workers import LocalWorker

_PHASES = {
    StageName.INTAKE: Phase.READING,
    StageName.EXTRACT: Phase.UNPACKING,
    StageName.CONVERT: Phase.CONVERTING,
    StageName.STORE: Phase.SAVING,
}


def progress(
    scheduler: Scheduler,
    workers: Mapping[StageName, LocalWorker],
    jobs: Iterable[tuple[int, int]],
    waiting: Sequence[int],
) -> list[JobProgress]:
    """Where each of JOBS (upload, job) is; WAITING are the jobs that have not begun, in their order."""
    places = _places(scheduler, waiting)
    found = []
    for upload, id in jobs:
        job = scheduler.jobs.get(id)
        if id in places:
            found.append(JobProgress(upload=upload, phase=Phase.QUEUED, place=places[id]))
        elif job is None:
            found.append(JobProgress(upload=upload, phase=Phase.HELD))
        else:
            found.append(_of_job(scheduler, workers, upload, job))
    return found


def _places(scheduler: Scheduler, waiting: Sequence[int]) -> dict[int, int]:
    """The place in the line of each job that hasn't begun, 1 being the next."""
    queued = [batch.job.id for batch in scheduler.stages[StageName.INTAKE].queue]
    line = dict.fromkeys((*queued, *(id for id in waiting if id not in scheduler.jobs)))
    return {id: place for place, id in enumerate(line, 1)}


def _of_job(scheduler: Scheduler, workers: Mapping[StageName, LocalWorker], upload: int, job: Job) -> JobProgress:
    """The first stage that still has something of JOB, and how much is behind it."""
    stage = min((batch.stage for batch in job.batches.values()), default=StageName.STORE)
    total = max((batch.seq for batch in job.batches.values()), default=0) + 1
    done = sum(batch.state is BatchState.STAGED for batch in job.batches.values())
    share = done / total if job.ended_extract and total > 1 else _share(scheduler, workers, job, stage)
    return JobProgress(
        upload=upload,
        phase=_PHASES[stage],
        share=share,
        batches=total if job.ended_extract else 0,
        batches_done=done,
    )


def _share(scheduler: Scheduler, workers: Mapping[StageName, LocalWorker], job: Job, stage: StageName) -> float:
    """What of the batch that STAGE works on is done, or -1 where that isn't JOB's, or can't be told."""
    entry = workers[stage].black_box.read()
    batch = scheduler.stages[stage].in_hand.get(entry.batch)
    if batch is None or batch.job is not job or stage is StageName.EXTRACT:
        return -1.0  # what an archive will give isn't known while it is being read
    size = batch.bytes or job.upload.size
    return min(1.0, entry.done_bytes / size) if size else -1.0
