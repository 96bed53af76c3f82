"""The stage that turns an upload into batches of plain files: a plain file as it is, an archive member by member."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator

from pipeline.config import Config
from pipeline.model import Closed, Desk, Done, Outcome, Output, Reject, Stage, Task, Upload
from stages.extract import reasons, volumes
from stages.extract.blobs import FileBlob, JoinedBlob
from stages.extract.detect import HEAD, PROGRAMS, add_installed, detect_behind, format_of
from stages.extract.protocol import Blob, Format, Refused, Stop
from stages.extract.walk import NotAnArchive, Walk
from stages.handover import FileList, Member, Place, pack

__all__ = ["Extract", "build"]

NAMES = (".zip", ".rar", ".7z", ".exe", ".sfx")  # what may hide an archive behind a program's first bytes


class Extract:
    """The stage."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def run(self, task: Task, desk: Desk) -> Generator[Closed, None, Outcome]:
        """Takes TASK's upload apart. Yields every batch but the last, which it returns; Reject where nothing can be
        taken or a limit of the whole job is hit."""
        with contextlib.ExitStack() as files:
            try:
                blob = _open(task.upload, files)
                form = format_of(head := blob.pread(HEAD, 0)) or _disguised(task.upload, blob, head)
                if form is None:
                    return _plain(task, desk)
                outcome = yield from self._archive(task, desk, _whole(task.upload.path, blob, files), form)
            except Refused as refused:
                outcome = Reject(reason=refused.reason)
            if isinstance(outcome, Reject):
                return Reject(reason=volumes.explained(outcome.reason, task.upload.name))
            return outcome

    def _archive(self, task: Task, desk: Desk, blob: Blob, form: Format) -> Generator[Closed, None, Outcome]:
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


def _open(upload: Upload, files: contextlib.ExitStack) -> FileBlob:
    """The upload, which must be what intake saw; FILES will close it. Raises Refused where it can't be read or isn't."""
    try:
        fd = os.open(upload.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EIO:
            raise
        raise Refused(reasons.unreadable(error.strerror or str(error))) from error
    files.callback(os.close, fd)
    status = os.fstat(fd)
    if not _same(status, upload):
        raise Refused(reasons.changed())
    if not status.st_size:
        raise Refused(reasons.empty("file"))
    return FileBlob(fd, status.st_size)


def _disguised(upload: Upload, blob: FileBlob, head: bytes) -> Format | None:
    """The archive behind a program that unpacks it, or behind a few odd bytes in what calls itself a zip."""
    if head.startswith(PROGRAMS) or upload.name.lower().endswith(NAMES):
        return detect_behind(blob)
    return None


def _whole(path: str, blob: FileBlob, files: contextlib.ExitStack) -> Blob:
    """BLOB with the parts that follow it, where PATH is the first of several. Raises Refused where one can't be read."""
    parts = [blob]
    try:
        for part in volumes.later_parts(path):
            fd = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
            files.callback(os.close, fd)
            parts.append(FileBlob(fd, os.fstat(fd).st_size))
    except OSError as error:
        raise Refused(reasons.unreadable(error.strerror or str(error))) from error
    return JoinedBlob(tuple(parts)) if len(parts) > 1 else blob


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
    add_installed()
    return Extract(config)
