"""Intake: reads the upload once, from end to end, and learns its SHA-256.

The upload is opened read-only and never touched. It must be the file that was submitted: size, time of change, inode
and device are compared before the first byte and after the last one. Of an upload in several files the hash is that of
all of them in a row; one that lacks a part is refused.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Generator

from pipeline.config import Config
from pipeline.model import Closed, Code, Desk, Done, Outcome, Output, Reason, Reject, Taken, Task, Upload, Volume

BLOCK_BYTES = 1024 * 1024
ADVISE_BYTES = 2 * BLOCK_BYTES  # below this the kernel's own read-ahead has the whole file at once

# O_NONBLOCK keeps the open of a fifo from waiting for a writer; a regular file doesn't notice it.
OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK

_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # says something about this process, nothing about the file

_CAUSES = {
    errno.ENOENT: ("is gone", "Submit it again and leave it in place until its answer has come."),
    errno.ENOTDIR: ("is gone", "Submit it again and leave it in place until its answer has come."),
    errno.EACCES: ("may not be read by this user", "Give the user that runs stampmill the right to read it."),
    errno.EPERM: ("may not be read by this user", "Give the user that runs stampmill the right to read it."),
    errno.EISDIR: ("is a directory", "Submit the files in it, or an archive of them."),
    errno.ENXIO: ("is not a regular file", "Submit a regular file."),
    errno.ELOOP: ("is a link that leads in a circle", "Submit the file itself."),
    errno.EIO: ("can't be read: its disk reports an error", "Check the disk, or send the file again."),
}


def build(config: Config) -> Intake:
    """The stage, as a worker asks for it."""
    return Intake()


class Intake:
    """The first stage. Its one buffer is reused for every upload."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(BLOCK_BYTES))

    def run(self, task: Task, desk: Desk) -> Generator[Closed, None, Outcome]:
        """Done with the finding Taken, or a Reject: `empty`, `unreadable`, `changed` or `missing_volume`."""
        yield from ()
        if task.upload.missing:
            return Reject(reason=_missing(task.upload.missing))
        try:
            sha256 = self._read(task.upload, desk)
        except _Refused as refusal:
            return Reject(reason=refusal.reason)
        except OSError as error:
            if error.errno in _OURS:
                raise
            return Reject(reason=_unreadable(error))
        size = task.upload.total_size
        return Done(output=Output(bytes=size), finding=Taken(sha256=sha256, size=size))

    def _read(self, upload: Upload, desk: Desk) -> str:
        """The upload's SHA-256 in hex. Raises _Refused, or the OSError of what couldn't be read."""
        digest = hashlib.sha256()
        done = self._read_one(upload, digest, desk, 0)
        for part in upload.parts:
            done = self._read_one(part, digest, desk, done)
        return digest.hexdigest()

    def _read_one(self, upload: Upload | Volume, digest: hashlib._Hash, desk: Desk, done: int) -> int:
        """Takes UPLOAD into DIGEST, DONE bytes having gone before; returns those done then."""
        fd = os.open(upload.path, OPEN_FLAGS)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise OSError(errno.EISDIR if stat.S_ISDIR(before.st_mode) else errno.ENXIO, "")
            _compare(upload, before)
            if not before.st_size:
                raise _Refused(_EMPTY)
            if before.st_size > ADVISE_BYTES:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            done = self._digest(fd, digest, desk, done)
            _compare(upload, os.stat(upload.path))  # by its name: another file may have taken its place
            return done
        finally:
            os.close(fd)

    def _digest(self, fd: int, digest: hashlib._Hash, desk: Desk, done: int) -> int:
        while read := os.readv(fd, (self._buffer,)):
            digest.update(self._buffer[:read])
            done += read
            desk.progress(0, done)
        return done


class _Refused(Exception):
    """The upload was read as far as it goes, and can't be taken for REASON."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


_EMPTY = Reason(
    code=Code.EMPTY,
    text="The file is empty: there is not one byte in it.",
    next_step="Check the source and send it again.",
)


def _missing(name: str) -> Reason:
    return Reason(
        code=Code.MISSING_VOLUME,
        text=f"A part is missing: {name} hasn't come.",
        next_step="Send all parts together, under the names they were made with.",
    )


def _compare(upload: Upload | Volume, now: os.stat_result) -> None:
    """Raises _Refused unless NOW is what was submitted."""
    if (now.st_size, now.st_mtime_ns, now.st_ino, now.st_dev) == (
        upload.size,
        upload.mtime_ns,
        upload.inode,
        upload.device,
    ):
        return
    if now.st_ino == upload.inode and now.st_size > upload.size:
        text = (
            f"The file is still being written: it had {upload.size} bytes when it was taken and has {now.st_size} now."
        )
        raise _Refused(_changed(text, "Submit it again once the copy is complete."))
    raise _Refused(_changed("The file changed after it was submitted.", "Submit it again as it is now."))


def _changed(text: str, next_step: str) -> Reason:
    return Reason(code=Code.CHANGED, text=text, next_step=next_step)


def _unreadable(error: OSError) -> Reason:
    cause, next_step = _CAUSES.get(
        error.errno or 0, (f"can't be read: {os.strerror(error.errno or 0)}", "Check the file and submit it again.")
    )
    return Reason(code=Code.UNREADABLE, text=f"The file {cause}.", next_step=next_step)
