"""The stage that turns an upload into batches of plain files: a plain file as it is, an archive member by member."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator

from pipeline.config import Config
from pipeline.model import Closed, Desk, Done, Outcome, Output, Reject, Stage, Task, Upload, Volume
from stages.extract import reasons, volumes
from stages.extract.blobs import FileBlob
from stages.extract.detect import HEAD, PROGRAMS, add_installed, detect_behind, format_of
from stages.extract.protocol import Format, Refused, Stop
from stages.extract.volumes import Piece
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
        upload = task.upload
        with contextlib.ExitStack() as files:
            try:
                pieces = volumes.pieces(upload, [_open(file, files) for file in upload.files])
                forms = [_form(piece) for piece in pieces]
                if forms == [None] and pieces[0].whole:
                    return _plain(task, desk)
                outcome = yield from self._archive(task, desk, pieces, forms)
            except Refused as refused:
                outcome = Reject(reason=refused.reason)
            if isinstance(outcome, Reject):
                return Reject(reason=volumes.explained(outcome.reason, upload))
            return outcome

    def _archive(
        self, task: Task, desk: Desk, pieces: list[Piece], forms: list[Format | None]
    ) -> Generator[Closed, None, Outcome]:
        walk = Walk(self._config, task, desk, sum(piece.blob.size for piece in pieces))
        outcome: Outcome | None = None
        try:
            yield from walk.run(pieces[0], forms[0]) if len(pieces) == 1 else walk.run_album(pieces, forms)
            outcome = walk.outcome() if volumes.unchanged(task.upload) else Reject(reason=reasons.changed())
        except NotAnArchive:
            outcome = _plain(task, desk)
        except (Stop, Refused) as end:
            outcome = Reject(reason=end.reason if volumes.unchanged(task.upload) else reasons.changed())
        finally:
            if not isinstance(outcome, Done):
                walk.clear()
        return outcome


def _open(upload: Upload | Volume, files: contextlib.ExitStack) -> FileBlob:
    """A file of the upload, which must be what intake saw; FILES will close it. Raises Refused where it can't be read or
    isn't."""
    try:
        fd = os.open(upload.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EIO:
            raise
        raise Refused(reasons.unreadable(error.strerror or str(error))) from error
    files.callback(os.close, fd)
    status = os.fstat(fd)
    if not volumes.is_same(status, upload):
        raise Refused(reasons.changed())
    if not status.st_size:
        raise Refused(reasons.empty("file"))
    return FileBlob(fd, status.st_size)


def _form(piece: Piece) -> Format | None:
    """What PIECE is: an archive, also behind a program that unpacks it or behind a few odd bytes in what calls itself a
    zip, or none."""
    head = piece.blob.pread(HEAD, 0)
    form = format_of(head)
    if form is None and (head.startswith(PROGRAMS) or piece.name.lower().endswith(NAMES)):
        return detect_behind(piece.blob)
    return form


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
