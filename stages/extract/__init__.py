"""The stage that turns an upload into batches of plain files: a plain file as it is, an archive member by member."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator

from pipeline.config import Config
from pipeline.model import Closed, Desk, Done, Outcome, Output, Reason, Reject, Stage, Task, Upload
from stages.extract import reasons
from stages.extract.blobs import FileBlob
from stages.extract.detect import HEAD, detect
from stages.extract.protocol import Format, Refused, Stop
from stages.extract.walk import NotAnArchive, Walk
from stages.handover import FileList, Member, Place, pack

__all__ = ["Extract", "build"]


class Extract:
    """The stage."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def run(self, task: Task, desk: Desk) -> Generator[Closed, None, Outcome]:
        """Takes TASK's upload apart. Yields every batch but the last, which it returns; Reject where nothing can be
        taken or a limit of the whole job is hit."""
        try:
            blob = _open(task.upload)
        except Refused as refused:
            return Reject(reason=refused.reason)
        try:
            form = detect(blob.pread(HEAD, 0))
            if form is None:
                return _plain(task, desk)
            outcome = yield from self._archive(task, desk, blob, form)
            return outcome
        except Refused as refused:
            return Reject(reason=refused.reason)
        finally:
            os.close(blob.fd)

    def _archive(self, task: Task, desk: Desk, blob: FileBlob, form: Format) -> Generator[Closed, None, Outcome]:
        walk = Walk(self._config, task, desk, blob)
        outcome: Outcome | None = None
        try:
            yield from walk.run(form)
            outcome = walk.outcome() if _unchanged(task.upload) else Reject(reason=reasons.changed())
        except NotAnArchive:
            outcome = _plain(task, desk)
        except (Stop, Refused) as end:
            outcome = Reject(reason=end.reason if _unchanged(task.upload) else reasons.changed())
        finally:
            if not isinstance(outcome, Done):
                walk.clear()
        return outcome


def _open(upload: Upload) -> FileBlob:
    """The upload, which must be what intake saw. Raises Refused where it can't be read or isn't."""
    try:
        fd = os.open(upload.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EIO:
            raise
        raise Refused(reasons.unreadable(error.strerror or str(error))) from error
    status = os.fstat(fd)
    reason: Reason | None = None
    if not _same(status, upload):
        reason = reasons.changed()
    elif not status.st_size:
        reason = reasons.empty("file")
    if reason is not None:
        os.close(fd)
        raise Refused(reason)
    return FileBlob(fd, status.st_size)


def _same(status: os.stat_result, upload: Upload) -> bool:
    return (status.st_size, status.st_mtime_ns, status.st_ino) == (upload.size, upload.mtime_ns, upload.inode)


def _unchanged(upload: Upload) -> bool:
    try:
        return _same(os.stat(upload.path), upload)
    except FileNotFoundError:
        return False


def _plain(task: Task, desk: Desk) -> Done:
    """The upload itself as the one member; nothing is written."""
    upload = task.upload
    place = Place(upload.path, 0, upload.size)
    member = Member(number=0, path=upload.name, size=upload.size, sha256=upload.sha256, place=place)
    payload, names = pack(FileList(members=(member,)), desk.work, f"{task.prefix}-{task.next_seq}.list")
    return Done(output=Output(payload=payload, names=names, bytes=upload.size, files=1))


def build(config: Config) -> Stage:
    """The stage as a worker runs it."""
    return Extract(config)
