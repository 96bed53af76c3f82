"""What is done for commands from a chat, and what uploads are answered with. A chat sees its own uploads, no others."""

from __future__ import annotations

import time
from typing import Final, Protocol

import msgspec

from pipeline.adapter import facts as adapter_facts
from pipeline.adapter.ledger import AdapterLedger, EndedJob
from pipeline.adapter.model import (
    Asked,
    Facts,
    FilesFacts,
    JobLine,
    OpenUpload,
    PictureFacts,
    ReplyFacts,
    ReportFacts,
    StatusFacts,
    UploadState,
    Wishes,
)
from pipeline.adapter.spool import job_name
from pipeline.config import Config
from pipeline.machine.disk import measure
from pipeline.machine.supervisor import Supervisor
from pipeline.model import StageName

_MAX_WORDS: Final = 200
_WIDE: Final = 7  # columns, of which a line of text on a phone has no room for all
_ENDED: Final = (UploadState.ANSWERED, UploadState.WITHDRAWN)


class Controls(Protocol):
    """What people may do to a job, as the daemon does it for its other callers too."""

    def cancel(self, job: int) -> bool:
        """Takes an unfinished JOB back; False where it has ended, or its publication has begun."""
        ...

    def retry(self, job: int) -> bool:
        """Runs an ended JOB again from its upload, whatever equal one there is; False where that isn't there any more."""
        ...


class Desk:
    """Answers commands and uploads, by writing to the outbox. Each call of `asked` is a transaction of its own."""

    def __init__(self, ledger: AdapterLedger, supervisor: Supervisor, controls: Controls, config: Config) -> None:
        self._ledger = ledger
        self._supervisor = supervisor
        self._controls = controls
        self._config = config

    def asked(self, asked: Asked) -> set[int]:
        """Carries a command out, once however often it's told; the uploads it touched."""
        once = f"reply:{asked.chat}:{asked.message}"
        if self._ledger.has_said(once):
            return set()
        if asked.command in ("password", "reply"):
            upload = self._asking(asked)
            if upload is None:
                return set()  # talk
            touched, facts = self._try_with(upload, asked.argument)
        else:
            touched, facts = self._carry_out(asked)
        with self._ledger.turn():
            if facts is None:
                facts = ReplyFacts(command="done")
                self._ledger.say(once, asked.chat, asked.message, 0, facts)
                self._ledger.drop(once)
            else:
                self._ledger.say(once, asked.chat, asked.message, 0, facts)
        return touched

    def _carry_out(self, asked: Asked) -> tuple[set[int], Facts | None]:
        """The uploads touched, and the reply; None where what follows is reply enough."""
        command = asked.command
        if command == "cancel":
            return self._cancel(asked)
        if command == "retry":
            return self._retry(asked)
        return set(), self._shown(asked)

    def _shown(self, asked: Asked) -> Facts:
        """What only tells something."""
        command = asked.command
        if command == "report":
            return self._report(asked)
        if command == "jobs":
            return ReplyFacts(command=command, lines=adapter_facts.recent(self._ledger.db, asked.chat))
        if command == "queue":
            return self._queue(asked.chat)
        if command == "stats":
            return ReplyFacts(command=command, numbers=adapter_facts.stats(self._ledger.db, asked.chat))
        if command == "status":
            return self._status()
        if command == "health":
            return self._health()
        return ReplyFacts(command=command, words=(asked.argument[:_MAX_WORDS],))

    def _which(self, asked: Asked) -> int:
        """The upload that a command is about: by its job's number, or by what it replies to."""
        number = asked.argument.strip().lstrip("#")
        if number.isdigit():
            return self._ledger.of_job(asked.chat, int(number))
        return self._ledger.about_reply(asked.chat, asked.reply_to) if asked.reply_to and not number else 0

    def _cancel(self, asked: Asked) -> tuple[set[int], Facts | None]:
        upload = self._ledger.upload(self._which(asked))
        if upload is None:
            return set(), ReplyFacts(command="cancel", words=("unknown", asked.argument[:_MAX_WORDS]))
        if upload.state in (UploadState.OPEN, UploadState.TWIN):
            with self._ledger.turn():
                self._ledger.end(upload.id, UploadState.WITHDRAWN)
            return {upload.id}, ReplyFacts(command="cancel", words=("withdrawn", job_name(upload.messages, Wishes())))
        if upload.state is UploadState.JOB and not self._is_shared(upload) and self._controls.cancel(upload.job):
            return set(), None
        return set(), ReplyFacts(command="cancel", words=("too late", job_name(upload.messages, Wishes())))

    def _is_shared(self, upload: OpenUpload) -> bool:
        """Whether the job is another upload's too, whose it is to cancel."""
        return self._ledger.uploads_of(upload.job) > 1

    def _retry(self, asked: Asked) -> tuple[set[int], Facts | None]:
        upload = self._ledger.upload(self._which(asked))
        if upload is None:
            return set(), ReplyFacts(command="retry", words=("unknown", asked.argument[:_MAX_WORDS]))
        if upload.state not in _ENDED or not upload.messages:
            return set(), ReplyFacts(command="retry", words=("running", job_name(upload.messages, Wishes())))
        if upload.job and not self._is_shared(upload) and self._controls.retry(upload.job):
            self._begin_anew(upload.id, "", upload.job)
        else:
            self._begin_anew(upload.id, "", 0)
        return {upload.id}, None

    def _report(self, asked: Asked) -> Facts:
        """The page about a job that is published, of which an equal upload's is as good."""
        upload = self._ledger.upload(self._which(asked))
        if upload is None or not upload.messages:
            return ReplyFacts(command="report", words=("unknown", asked.argument[:_MAX_WORDS]))
        name = self._ledger.name_of(upload.job) or job_name(upload.messages, Wishes())
        if upload.state not in _ENDED:
            return ReplyFacts(command="report", words=("running", name))
        job = adapter_facts.published(self._ledger.db, upload.job)
        return ReportFacts(job=job, name=name) if job else ReplyFacts(command="report", words=("nothing", name))

    def _asking(self, asked: Asked) -> OpenUpload | None:
        """The upload to which a reply gives a password. One that doesn't say so counts only where we asked for it."""
        upload = self._ledger.upload(self._ledger.about_reply(asked.chat, asked.reply_to))
        if upload is None or not upload.messages:
            return None
        if asked.command == "password" or (upload.state in _ENDED and self._ledger.wants_password(upload.job)):
            return upload
        return None

    def _try_with(self, upload: OpenUpload, password: str) -> tuple[set[int], Facts | None]:
        if upload.state is UploadState.OPEN:
            with self._ledger.turn():
                self._ledger.set_password(upload.id, password)
            return {upload.id}, None
        if upload.state not in _ENDED:
            return set(), ReplyFacts(command="retry", words=("running", job_name(upload.messages, Wishes())))
        self._begin_anew(upload.id, password, 0)
        return {upload.id}, None

    def _begin_anew(self, id: int, password: str, job: int) -> None:
        """An ended upload begins anew, with a status message of its own."""
        with self._ledger.turn():
            self._ledger.try_again(id, password, job)
            upload = self._ledger.upload(id)
            assert upload is not None
            size = sum(message.size for message in upload.messages)
            facts = StatusFacts(name=job_name(upload.messages, Wishes()), size=size)
            first = min(message.message for message in upload.messages)
            self._ledger.say(f"status:{id}:{upload.attempt}", upload.chat, first, id, facts)

    def withdraw(self, upload: int) -> None:
        """The uploader deleted the message of UPLOAD, a job: cancelled where it hasn't begun."""
        found = self._ledger.upload(upload)
        if found is None or self._is_shared(found):
            return
        job = self._supervisor.scheduler.jobs.get(found.job)
        if job is None or all(batch.attempt == 0 and batch.stage is StageName.INTAKE for batch in job.batches.values()):
            self._controls.cancel(found.job)

    def wishes(self, upload: OpenUpload) -> Wishes:
        """What the captions of UPLOAD ask for, all together."""
        all_wishes = [message.wishes for message in upload.messages]
        return Wishes(
            password=next((one.password for one in all_wishes if one.password), ""),
            types=next((one.types for one in all_wishes if one.types), ""),
            table=next((one.table for one in all_wishes if one.table), ""),
            format=next((one.format for one in all_wishes if one.format), ""),
        )

    def answer(self, ended: EndedJob) -> None:
        """Puts the final answer about an upload into the outbox, within a turn of the ledger."""
        upload = self._ledger.upload(ended.upload)
        if upload is None or not upload.messages:
            self._ledger.end(ended.upload, UploadState.ANSWERED)
            return
        wishes = self.wishes(upload)
        wanted = wishes.format
        if not wanted and self._config.telegram is not None and self._config.telegram.deliver == "files":
            wanted = "parquet"
        name = self._ledger.name_of(upload.job) or job_name(upload.messages, wishes)
        arrived_at = self._ledger.arrived_at(upload.id)
        facts = adapter_facts.result(self._ledger.db, ended, upload.job, name, wanted, arrived_at)
        facts = msgspec.structs.replace(facts, table_wish=wishes.table)
        first = min(message.message for message in upload.messages)
        self._ledger.say(f"final:{upload.id}:{upload.attempt}", upload.chat, first, upload.id, facts)
        if facts.tables and facts.tables[0].columns >= _WIDE:
            picture = PictureFacts(table=facts.tables[0])
            self._ledger.say(f"picture:{upload.id}:{upload.attempt}", upload.chat, first, upload.id, picture)
        if wanted and facts.tables:
            files = FilesFacts(format=wanted, tables=facts.tables)
            self._ledger.say(f"files:{upload.id}:{upload.attempt}", upload.chat, first, upload.id, files)
        self._ledger.end(upload.id, UploadState.ANSWERED)

    # Lists

    def _queue(self, chat: int) -> ReplyFacts:
        """The uploads of CHAT that haven't ended, and how many jobs there are in all."""
        snapshot = self._supervisor.snapshot()
        lines = tuple(
            JobLine(
                job=upload.job,
                name=job_name(upload.messages, Wishes()),
                words="in the pipeline" if upload.job else "downloading",
                at=min((message.at for message in upload.messages), default=time.time()),
            )
            for upload in self._ledger.open_uploads()
            if upload.chat == chat
        )
        numbers: dict[str, float] = {"waiting": snapshot.waiting, "running": snapshot.running}
        return ReplyFacts(command="queue", lines=lines[: adapter_facts.LINES], numbers=numbers | {"own": len(lines)})

    def _status(self) -> ReplyFacts:
        snapshot = self._supervisor.snapshot()
        numbers: dict[str, float] = {
            "waiting": snapshot.waiting,
            "running": snapshot.running,
            "done": snapshot.done,
            "failed": snapshot.failed,
            "up_s": snapshot.at - snapshot.started_at,
        }
        return ReplyFacts(command="status", words=(snapshot.paused,), numbers=numbers)

    def _health(self) -> ReplyFacts:
        """Whether everything runs, in numbers that tell a stranger nothing."""
        snapshot = self._supervisor.snapshot()
        down = tuple(stage.stage.title for stage in snapshot.stages if not stage.up)
        numbers: dict[str, float] = {
            "restarts": sum(max(0, stage.restarts) for stage in snapshot.stages),
            "free": measure(self._config).free,
            "undeliverable": self._ledger.undeliverable(),
            "up_s": snapshot.at - snapshot.started_at,
        }
        return ReplyFacts(command="health", words=(snapshot.paused, *down), numbers=numbers)
