"""The supervisor's side of the Telegram adapter: hears its process, writes what it says into the ledger, answers.

Only here is the ledger written, and an order that tells the adapter of something is sent once that is durable. What the
adapter's process knows it can be told again: it may be killed at any moment.
"""

from __future__ import annotations

import os
import selectors
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from pipeline.adapter import facts as adapter_facts
from pipeline.adapter import progress as adapter_progress
from pipeline.adapter.commands import Controls, Desk
from pipeline.adapter.downloads import Downloads
from pipeline.adapter.ledger import AdapterLedger, Full
from pipeline.adapter.model import (
    AdapterReport,
    Arrived,
    Asked,
    Assembled,
    Busy,
    Connected,
    Fetched,
    Gone,
    JobProgress,
    Leave,
    Looked,
    Message,
    Move,
    Note,
    OpenUpload,
    RefusalFacts,
    Refused,
    Restore,
    Sent,
    StatusFacts,
    Stopped,
    Undeliverable,
    UploadState,
    Wanted,
    Wishes,
)
from pipeline.adapter.slot import AdapterSlot
from pipeline.adapter.spool import folder_of, job_name, taken
from pipeline.config import Config
from pipeline.machine.scheduler import Ended
from pipeline.machine.supervisor import Supervisor
from pipeline.model import JobState, Options

_LOOK_S: Final = 1.0
_CLEAN_S: Final = 600.0
_LEAVE_S: Final = 2.0  # for the adapter to hang up when the daemon ends

Tell = Callable[[str, bool], None]  # an event's words, and whether it is grave


def _unless_full(work: Callable[[Adapter], None]) -> Callable[[Adapter], None]:
    """WORK, which is done again later where the disk has no room for the ledger now."""

    def try_it(self: Adapter) -> None:
        try:
            work(self)
        except Full as error:
            self._busy = Busy(self._busy.downloads, f"the disk has no room for the ledger ({error})")

    return try_it


class Adapter:
    """The Telegram side of one daemon. MODULE is what its process runs; TELL writes to the daemon's log.

    Make it when the supervisor is open, `start` it, and `close` it before the supervisor ends.
    """

    def __init__(self, supervisor: Supervisor, config: Config, module: str, controls: Controls, tell: Tell) -> None:
        assert config.telegram is not None
        self._supervisor = supervisor
        self._config = config
        self._settings = config.telegram
        self._tell = tell
        self._ledger = AdapterLedger(config.paths.ledger, config.paths.spool)
        self._desk = Desk(self._ledger, supervisor, controls, config)
        self._slot = AdapterSlot(config, module, supervisor.watch, self._wake)
        self._pending: list[AdapterReport] = []
        self._downloads = Downloads(self._ledger, supervisor, config)
        self._jobs: dict[int, int] = {}  # of open uploads: the upload by its job
        self._told: dict[int, JobProgress] = {}
        self._said = 0  # the last item of the outbox that the process has been told
        self._connected = Connected(0, "starting")
        self._busy = Busy(())
        self._stopped: Stopped | None = None
        self._session_stamp = 0
        self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    # Life

    def start(self) -> None:
        """Takes up what is open and starts the process at the loop's next turn."""
        supervisor = self._supervisor
        self._session_stamp = self._session()
        self._slot.due_at = time.monotonic()
        for upload in self._ledger.open_uploads():
            self._follow(upload)
        others = supervisor.on_ended

        def ended(job: Ended) -> None:
            others(job)
            if job.job.id in self._jobs:
                self._nudge_loop()

        supervisor.on_ended = ended
        supervisor.watch(self._nudge, selectors.EVENT_READ, lambda _: self._nudged())
        supervisor.chores.every(_LOOK_S, self._look)
        supervisor.chores.every(_CLEAN_S, self._clean)
        self._nudge_loop()

    def close(self) -> None:
        """Ends the process; what it has in hand is taken up at the next start."""
        if self._slot.pid is not None:
            self._slot.send([Leave()])
            self._slot.wait(_LEAVE_S)
            self._slot.kill()
            self._work(self._slot.receive())
            self._slot.bury()
        self._supervisor.watch(self._nudge, 0, lambda _: None)
        os.close(self._nudge)
        self._ledger.close()

    @property
    def words(self) -> str:
        """How the account is, for people."""
        if self._stopped:
            return f"stopped: {self._stopped.words}"
        downloads = self._busy.downloads
        if self._connected.words:
            return self._connected.words
        return f"connected, {len(downloads)} downloading" if downloads else "connected"

    @property
    def trouble(self) -> str:
        """What of it holds uploads up, empty for nothing."""
        if self._stopped:
            return self._stopped.words
        return self._connected.words or self._busy.words or self._downloads.words

    @property
    def is_stopped(self) -> bool:
        """Whether the account can't be used until somebody does something about it."""
        return self._stopped is not None

    @property
    def pid(self) -> int | None:
        """The process's id, while it lives."""
        return self._slot.pid

    # The loop's calls

    def _nudge_loop(self) -> None:
        os.eventfd_write(self._nudge, 1)

    @_unless_full
    def _nudged(self) -> None:
        os.eventfd_read(self._nudge)
        self._settle()
        self._slot.send(self._downloads.decide())
        self._revive()

    @_unless_full
    def _look(self) -> None:
        """Once a second."""
        self._work([])
        self._settle()
        self._slot.send(self._downloads.decide())
        self._tell_progress()
        self._revive()
        if self._ledger.wiped:
            self._ledger.empty_log()

    @_unless_full
    def _wake(self) -> None:
        self._work(self._slot.receive())
        if self._slot.is_dead():
            self._work(self._slot.receive())
            self._bury()

    def _bury(self) -> None:
        exit_code = self._slot.bury()
        self._downloads.clear()
        self._busy = Busy(())
        if self._stopped is not None:
            self._session_stamp = self._session()  # it writes to the login's file when it hangs up
        else:
            self._connected = Connected(self._connected.account, "its process ended and is started again")
            self._tell(f"the Telegram adapter ended (exit code {exit_code}); {self._slot.log} tells more", False)

    def _revive(self) -> None:
        """Starts the process where there is none; one that stopped for good only after a new login."""
        if self._stopped and self._session() != self._session_stamp:
            self._tell("there is a new login: the Telegram adapter starts again", False)
            self._stopped = None
        due = self._slot.pid is None and not self._stopped and time.monotonic() >= self._slot.due_at
        if due and not self._supervisor.stopping:
            self._session_stamp = self._session()
            self._slot.start()
            self._take_up()

    def _session(self) -> int:
        """What changes when somebody logs in."""
        try:
            return self._settings.session_file(self._config.paths).stat().st_mtime_ns
        except OSError:
            return 0

    def _take_up(self) -> None:
        """Tells a new process all that is open."""
        self._connected = Connected(self._connected.account, "connecting")
        self._told.clear()
        self._said = 0
        with self._ledger.turn():
            self._ledger.drop_late()
        uploads = self._ledger.open_uploads()
        self._slot.send([Restore(self._ledger.looked()), *(Note(upload) for upload in uploads)])
        self._slot.send(self._ledger.standing())
        self._say()

    def _clean(self) -> None:
        """Deletes the files of uploads that ended long ago, or that the ledger doesn't know."""
        keep_s = self._config.retention.uploads_s
        for folder in self._config.paths.spool.glob("telegram-*"):
            number = folder.name.split("-")[1]
            ended_at = self._ledger.ended_at(int(number)) if number.isdigit() else 0.0
            if ended_at is not None and (not ended_at or (keep_s and ended_at < time.time() - keep_s)):
                shutil.rmtree(folder, ignore_errors=True)

    # What it reports

    def _work(self, reports: Iterable[AdapterReport]) -> None:
        """Takes REPORTS in, in their order; those that a full disk kept out come first."""
        self._pending.extend(reports)
        while self._pending:
            count = self._run_length()
            chunk = self._pending[:count]
            self._take(chunk)
            del self._pending[:count]

    def _run_length(self) -> int:
        """How many of the pending reports can share a transaction: what changes jobs stands alone."""
        for count, report in enumerate(self._pending):
            if isinstance(report, Assembled | Asked):
                return max(1, count)
        return len(self._pending)

    def _take(self, reports: list[AdapterReport]) -> None:
        first = reports[0]
        if isinstance(first, Assembled):
            self._assembled(first)
            return
        if isinstance(first, Asked):
            self._touched(self._desk.asked(first))
            return
        touched: set[int] = set()
        with self._ledger.turn():
            for report in reports:
                touched |= self._write(report)
        for report in reports:
            self._note(report)
        self._touched(touched)

    def _write(self, report: AdapterReport) -> set[int]:
        """What REPORT changes in the ledger; the uploads that it touched."""
        ledger = self._ledger
        if isinstance(report, Arrived):
            touched = ledger.arrive(report.message)
            for id in touched:
                self._announce(id, report.message)
            return touched
        if isinstance(report, Gone):
            return self._gone(report)
        if isinstance(report, Looked):
            ledger.set_looked(report.chat, report.message)
        elif isinstance(report, Fetched):
            ledger.set_fetched(report.upload, report.message)
            return {report.upload}
        elif isinstance(report, Refused):
            return self._refused(report)
        elif isinstance(report, Sent):
            ledger.set_sent(report.item, report.message)
        elif isinstance(report, Undeliverable):
            ledger.set_undeliverable(report.item, report.words)
        return set()

    def _note(self, report: AdapterReport) -> None:
        """What REPORT changes in memory, once it is durable."""
        if isinstance(report, Connected):
            if report.words and report.words != self._connected.words:
                self._tell(f"Telegram: {report.words}", False)
            self._connected = report
        elif isinstance(report, Stopped):
            self._stopped = report
            self._tell(f"Telegram is stopped ({report.code}): {report.words}", True)
        elif isinstance(report, Busy):
            self._busy = report
        elif isinstance(report, Wanted):
            self._touched(self._downloads.wanted(report))
            self._nudge_loop()
        elif isinstance(report, Fetched):
            self._downloads.finished(report.upload, report.message)
            self._nudge_loop()
        elif isinstance(report, Undeliverable):
            self._tell(f"an answer could not be delivered: {report.words}", False)

    def _announce(self, id: int, message: Message) -> None:
        """The status message of a new upload."""
        upload = self._ledger.upload(id)
        if upload is not None and upload.state is UploadState.OPEN and upload.messages:
            facts = StatusFacts(name=message.name, size=message.size)
            self._ledger.say(f"status:{id}:{upload.attempt}", upload.chat, upload.messages[0].message, id, facts)

    def _gone(self, report: Gone) -> set[int]:
        """Deleted before its job began: withdrawn. Later it makes no difference."""
        touched = set()
        for chat, message, upload, state in self._ledger.about(report.chat, report.messages):
            if state in (UploadState.OPEN, UploadState.TWIN):
                self._ledger.remove(chat, message, upload)
                touched.add(upload)
            elif state is UploadState.JOB:
                self._desk.withdraw(upload)
        return touched

    def _refused(self, report: Refused) -> set[int]:
        upload = self._ledger.upload(report.upload)
        if upload is None or upload.state not in (UploadState.OPEN, UploadState.TWIN) or not upload.messages:
            return set()
        first = upload.messages[0]
        facts = RefusalFacts(name=job_name(upload.messages, Wishes()), reason=report.reason)
        self._ledger.say(f"final:{upload.id}:{upload.attempt}", upload.chat, first.message, upload.id, facts)
        self._ledger.end(upload.id, UploadState.ANSWERED)
        return {upload.id}

    def _assembled(self, report: Assembled) -> None:
        """An upload becomes a job. Killed between the two commits, the same is done again and finds the job there."""
        upload = self._ledger.upload(report.upload)
        if upload is None or upload.state is not UploadState.OPEN or not upload.messages:
            return
        first = min(message.message for message in upload.messages)
        source = f"tg:{upload.chat}:{first}" + (f"#{upload.attempt}" if upload.attempt else "")
        job = self._ledger.job_at(source)
        if not job:
            wishes = self._desk.wishes(upload)
            try:
                files = taken(report.paths, job_name(upload.messages, wishes, report.name), report.missing)
            except OSError:
                self._fetch_again(upload)
                return
            options = Options(password=wishes.password or None, types=wishes.types or "auto")
            job = self._supervisor.submit([(source, files, options)])[0]
        with self._ledger.turn():
            self._ledger.set_state(upload.id, UploadState.JOB, job=job)
        self._touched({upload.id})

    def _fetch_again(self, upload: OpenUpload) -> None:
        """Somebody took files of UPLOAD out of the spool."""
        with self._ledger.turn():
            self._ledger.set_unfetched(upload.id)
        self._touched({upload.id})

    # Answers

    def _settle(self) -> None:
        """Uploads whose job has ended get their answer, and those that waited with them go on."""
        again = self._supervisor.scheduler.jobs  # what runs again isn't in the ledger as such yet
        ended = [one for one in self._ledger.ended_jobs() if one.own_job not in again]
        twins = self._ledger.waiting_for_twins()
        lost = self._ledger.orphaned_jobs() if self._jobs else []
        if not ended and not twins and not lost:
            return
        touched: set[int] = set()
        with self._ledger.turn():
            for one in ended:
                self._desk.answer(one)
                touched.add(one.upload)
            for upload, job, state in twins:
                done = state is JobState.DONE
                self._ledger.set_state(upload, UploadState.JOB if done else UploadState.OPEN, job=job * done, seen=done)
                touched.add(upload)
            for upload, job in lost:
                if other := self._supervisor.aliases.get(job):
                    self._ledger.set_state(upload, UploadState.JOB, job=other, seen=True)
        self._touched(touched)
        if twins or lost:
            self._nudge_loop()

    def _touched(self, uploads: Iterable[int]) -> None:
        """Tells the process of UPLOADS as they are now, and of what is new in the outbox."""
        notes = [upload for id in sorted(uploads) if (upload := self._ledger.upload(id)) is not None]
        for upload in notes:
            self._follow(upload)
        self._slot.send(Note(upload) for upload in notes)
        self._say()

    def _follow(self, upload: OpenUpload) -> None:
        self._jobs = {job: id for job, id in self._jobs.items() if id != upload.id}
        if upload.state is UploadState.JOB:
            self._jobs[upload.job] = upload.id
        if upload.state is not UploadState.OPEN:
            self._downloads.forget(upload.id)
        if upload.state is UploadState.WITHDRAWN:
            for folder in self._config.paths.spool.glob(f"{folder_of(Path(), upload.id, 0)}*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _say(self) -> None:
        if self._slot.pid is None:
            return
        fresh = self._ledger.unsaid(self._said)
        if fresh:
            self._said = fresh[-1].item
            self._slot.send(fresh)

    def _tell_progress(self) -> None:
        if not self._jobs or self._slot.pid is None:
            return
        supervisor = self._supervisor
        jobs = [(upload, job) for job, upload in self._jobs.items()]
        waiting = adapter_facts.waiting_jobs(self._ledger.db)
        now = {
            one.upload: one
            for one in adapter_progress.progress(supervisor.scheduler, supervisor.workers, jobs, waiting)
        }
        fresh = tuple(one for id, one in now.items() if self._told.get(id) != one)
        self._told = now
        if fresh:
            self._slot.send([Move(fresh)])
