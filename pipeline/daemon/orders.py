"""Carries out what clients of the control socket ask for, within the supervisor's loop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from pipeline.daemon import control_protocol as protocol
from pipeline.daemon import spool
from pipeline.daemon.control import Client, ControlServer
from pipeline.daemon.control_protocol import Refused, Request
from pipeline.daemon.journal import Journal
from pipeline.daemon.reports import Reporter
from pipeline.errors import ConfigInvalid
from pipeline.machine.scheduler import Ended
from pipeline.machine.steering import Halt
from pipeline.machine.supervisor import Supervisor
from pipeline.machine.work import Job
from pipeline.model import JobState, Options

_MIN_WATCH_S: Final = 0.25


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that a reload has changed, and those that take effect at the next start only."""

    now: tuple[str, ...]
    at_next_start: tuple[str, ...]


class JobEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A job's final state, as `wait` answers it."""

    job: int
    state: JobState


class _Watcher:
    """A client that watches."""

    def __init__(self, client: Client, request: protocol.Watch) -> None:
        self.client = client
        self.id = request.id
        self.every_s = max(_MIN_WATCH_S, request.every_s)
        self.due_at = 0.0


class _Waiter:
    """A client that waits for jobs to end; for a drained pipeline where there are none."""

    def __init__(self, client: Client, id: int, jobs: set[int]) -> None:
        self.client = client
        self.id = id
        self.left = jobs
        self.ended: list[JobEnded] = []


class Orders:
    """Knows who watches and who waits."""

    def __init__(
        self, supervisor: Supervisor, reporter: Reporter, journal: Journal, reload: Callable[[], Reloaded]
    ) -> None:
        self._supervisor = supervisor
        self._reporter = reporter
        self._journal = journal
        self._reload = reload
        self._watchers: list[_Watcher] = []
        self._waiters: list[_Waiter] = []
        self._drain_waiters: list[_Waiter] = []

    def handle(self, request: Request, client: Client) -> Any:
        """Carries REQUEST out; the data of its answer, or ControlServer.LATER. Raises Refused."""
        if isinstance(request, protocol.Status):
            return self._reporter.snapshot()
        if isinstance(request, protocol.Watch):
            self._watchers.append(_Watcher(client, request))
            return ControlServer.LATER
        if isinstance(request, protocol.Wait):
            return self._wait(request, client)
        if isinstance(request, protocol.Submit):
            return self._submit(request)
        if isinstance(request, protocol.Cancel | protocol.Retry | protocol.Forget):
            return self._about_job(request)
        if isinstance(request, protocol.Reload):
            return self._on_reload()
        return self._about_all(request, client)

    def cancel(self, job: int) -> bool:
        """Takes an unfinished JOB back; False where it can't be any more."""
        return self._is_done(protocol.Cancel(v=protocol.VERSION, job=job))

    def retry(self, job: int) -> bool:
        """Runs an ended JOB again from its upload; False where that is gone, or it runs."""
        return self._is_done(protocol.Retry(v=protocol.VERSION, job=job))

    def _is_done(self, request: protocol.Cancel | protocol.Retry) -> bool:
        try:
            self._about_job(request)
        except Refused:
            return False
        return True

    def _about_job(self, request: protocol.Cancel | protocol.Retry | protocol.Forget) -> Any:
        found = self._supervisor.ledger.job(request.job)
        if found is None:
            raise Refused("unknown", f"There is no job {request.job}.")
        if isinstance(request, protocol.Cancel):
            return self._cancel(found[0], found[1])
        if isinstance(request, protocol.Forget):
            return self._forget(found[0], found[1])
        return self._retry(*found)

    def _about_all(self, request: Request, client: Client) -> Any:
        if isinstance(request, protocol.Pause):
            return self._hold(Halt.PAUSED)
        if isinstance(request, protocol.Resume):
            return self._hold(Halt.NONE)
        assert isinstance(request, protocol.Drain)
        answer = self._hold(Halt.DRAINING)
        if request.wait and not self._supervisor.scheduler.drained:
            self._drain_waiters.append(_Waiter(client, request.id, set()))
            return ControlServer.LATER
        return answer

    # Holding

    def take_up_halt(self) -> None:
        """A pipeline that was held when the daemon ended still is."""
        halt = Halt(self._supervisor.ledger.halt())
        self._supervisor.scheduler.halt = halt
        if halt:
            self._journal.notice(f"still {halt}, as the operator left it; `stampmill resume` ends that")

    def _hold(self, halt: Halt) -> dict[str, str]:
        if halt is not self._supervisor.scheduler.halt:
            self._supervisor.ledger.set_halt(str(halt))
            self._supervisor.scheduler.halt = halt
            self._journal.notice(f"{halt} by the operator" if halt else "resumed by the operator")
        return {"halt": str(halt)}

    # Jobs

    def _submit(self, request: protocol.Submit) -> dict[str, list[int]]:
        if len(request.folders) > protocol.MAX_SUBMIT:
            raise Refused("too_many", f"At most {protocol.MAX_SUBMIT} files can be submitted at a time.")
        if request.types not in ("auto", "text"):
            raise Refused("malformed", f"types is {request.types!r}; it can be auto or text.")
        options = Options(types=request.types, password=request.password)
        uploads = []
        for name in request.folders:
            file = spool.folder_named(self._reporter.config.paths.spool, name)
            try:
                upload = spool.upload_of(file) if file else None
            except OSError:
                upload = None
            if file is None or upload is None:
                raise Refused("gone", f"There is no upload {name} in the spool.")
            uploads.append((file.source, upload, options))
        jobs = self._supervisor.submit(uploads)
        for job, (_, upload, _) in zip(jobs, uploads, strict=True):
            self._journal.info(f"arrived: {upload.name}, {upload.size} bytes", job=job)
        return {"jobs": jobs}

    def _cancel(self, job: Job, state: JobState) -> dict[str, int]:
        if state.is_final or state is JobState.FORGETTING:
            raise Refused("ended", f"Job {job.id} has ended already: it is {state}.")
        if not self._supervisor.scheduler.cancel(job, time.time()):
            raise Refused("too_late", f"Job {job.id} is being published; it is too late to cancel it.")
        return {"job": job.id}

    def _retry(self, job: Job, state: JobState, result: str | None) -> dict[str, int]:
        if not state.is_final:
            raise Refused("running", f"Job {job.id} hasn't ended: it is {state}.")
        if not os.path.exists(job.upload.path):
            raise Refused("gone", f"The upload of job {job.id} is gone ({job.upload.path}); send it again.")
        if job.id in self._supervisor.scheduler.jobs:
            raise Refused("running", f"Job {job.id} is running again already.")
        self._supervisor.scheduler.retry(job, result, time.time())
        self._supervisor.unfinished += 1
        return {"job": job.id}

    def _forget(self, job: Job, state: JobState) -> dict[str, int]:
        if state is not JobState.FORGETTING and (not state.is_final or job.id in self._supervisor.scheduler.jobs):
            raise Refused("running", f"Job {job.id} hasn't ended: it is {state}. Cancel it first.")
        if self._supervisor.scheduler.forget(job, time.time()):
            self._supervisor.unfinished += 1
            self._journal.notice("is to be forgotten", job=job.id)
        return {"job": job.id}

    def _wait(self, request: protocol.Wait, client: Client) -> Any:
        waiter = _Waiter(client, request.id, set())
        for job in request.jobs:
            found = self._supervisor.ledger.job(self._supervisor.aliases.get(job, job))
            if found is None:
                raise Refused("unknown", f"There is no job {job}.")
            if found[1].is_final and found[0].id not in self._supervisor.scheduler.jobs:
                waiter.ended.append(JobEnded(job=job, state=found[1]))
            else:
                waiter.left.add(job)
        if not waiter.left:
            return waiter.ended
        self._waiters.append(waiter)
        return ControlServer.LATER

    def note_ended(self, ended: Ended) -> None:
        """A job has ended, and that is committed."""
        for waiter in list(self._waiters):
            if ended.job.id in waiter.left:
                waiter.left.discard(ended.job.id)
                waiter.ended.append(JobEnded(job=ended.job.id, state=ended.state))
                if not waiter.left:
                    waiter.client.answer(waiter.id, waiter.ended)
                    self._waiters.remove(waiter)

    def _on_reload(self) -> Reloaded:
        try:
            return self._reload()
        except ConfigInvalid as error:
            raise Refused("config", error.message) from error

    # Watching

    def tell_watchers(self) -> None:
        """Sends a snapshot to each client that watches and has fetched the last one; answers those who wait to drain."""
        now = time.monotonic()
        self._watchers = [watcher for watcher in self._watchers if watcher.client.is_open]
        self._waiters = [waiter for waiter in self._waiters if waiter.client.is_open]
        due = [one for one in self._watchers if now >= one.due_at and not one.client.has_unsent]
        if due:
            snapshot = self._reporter.snapshot()
            for watcher in due:
                watcher.due_at = now + watcher.every_s
                watcher.client.answer(watcher.id, snapshot, more=True)
        if (self._drain_waiters and self._supervisor.scheduler.halt is not Halt.DRAINING) or (
            self._drain_waiters and self._supervisor.scheduler.drained
        ):
            self._end_drain_waits()

    def _end_drain_waits(self) -> None:
        for waiter in self._drain_waiters:
            waiter.client.answer(waiter.id, {"halt": str(self._supervisor.scheduler.halt)})
        self._drain_waiters.clear()
