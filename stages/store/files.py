"""Bringing files into the library: links, copies and what makes them durable.

Names in work/ come from processes that read hostile input. So nothing here follows a link in work/, climbs out of it,
or takes anything but a regular file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from pipeline.model import Upload
from stages.handover import Place

T = TypeVar("T")
Progress = Callable[[int], None]  # told how many bytes were just copied

COPY_BYTES = 8 * 1024 * 1024
NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}
NO_RANGE_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a fifo must not stop us
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Digest(NamedTuple):
    """What a file holds."""

    size: int
    sha256: str


class UploadChanged(Exception):
    """The upload isn't any more what was submitted."""


class Work:
    """The files in work/, and the upload, as a batch names them."""

    def __init__(self, root: Path, upload: Upload) -> None:
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._upload = upload

    def close(self) -> None:
        """Lets go of the folder."""
        os.close(self._root)

    def link(self, name: str, target: str) -> None:
        """Makes TARGET a hard link to the file NAME, or a copy of it where that can't be linked."""
        folder, last = self._parent(name)
        try:
            link(last, target, folder)
        finally:
            self._leave(folder)

    def open(self, name: str) -> int:
        """A descriptor to read the regular file NAME from."""
        folder, last = self._parent(name)
        try:
            return open_regular(last, folder)
        finally:
            self._leave(folder)

    def put(self, place: Place, target: str, progress: Progress) -> None:
        """Brings the bytes at PLACE to TARGET: linked where they are the whole of a file in work/, else copied."""
        if os.path.isabs(place.file):
            self._put_upload(place, target, progress)
            return
        fd = self.open(place.file)
        try:
            size = os.fstat(fd).st_size
            if place.offset + place.length > size:
                raise AssertionError(f"{place} lies beyond the end of a file of {size} bytes")
            if place.length < size:
                copy(fd, target, place.offset, place.length, progress)
                return
        finally:
            os.close(fd)
        self.link(place.file, target)

    def _put_upload(self, place: Place, target: str, progress: Progress) -> None:
        if place.file not in self._upload.paths:
            raise AssertionError(f"{place.file!r} is neither in work/ nor a file of the upload {self._upload.path!r}")
        try:
            fd = os.open(place.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise UploadChanged from error
        try:
            copy(fd, target, place.offset, place.length, progress)
        except EOFError as error:
            raise UploadChanged from error
        finally:
            os.close(fd)

    def _parent(self, name: str) -> tuple[int, str]:
        """The folder that holds NAME (the root itself, or a descriptor to be closed) and the last part of NAME."""
        *folders, last = name.split("/")
        if any(part in ("", ".", "..") for part in (*folders, last)):
            raise AssertionError(f"{name!r} is no name in work/")
        at = self._root
        for part in folders:
            try:
                below = os.open(part, _FOLDER, dir_fd=at)
            except NotADirectoryError as error:  # what O_NOFOLLOW makes of a link here, too
                raise AssertionError(f"{part!r} in {name!r} is no folder") from error
            finally:
                self._leave(at)
            at = below
        return at, last

    def _leave(self, folder: int) -> None:
        if folder != self._root:
            os.close(folder)


def open_regular(path: str, folder: int | None = None) -> int:
    """A descriptor to read PATH from. AssertionError where that is no regular file, or a link."""
    try:
        fd = os.open(path, _READ, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise AssertionError(f"{path!r} is no regular file") from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise AssertionError(f"{path!r} is no regular file")
    return fd


def link(source: str, target: str, folder: int | None = None) -> None:
    """Makes TARGET a hard link to SOURCE (in FOLDER), whatever was at TARGET; a copy where linking fails."""
    try:
        _replacing(target, lambda: os.link(source, target, src_dir_fd=folder, follow_symlinks=False))
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        fd = open_regular(source, folder)
        try:
            copy(fd, target, 0, os.fstat(fd).st_size)
        finally:
            os.close(fd)


def create(target: str) -> int:
    """A descriptor of the new, empty file TARGET. What was there is unlinked and not truncated: it may be a link."""
    return _replacing(target, lambda: os.open(target, _WRITE, 0o666))


def copy(source: int, target: str, offset: int, length: int, progress: Progress = lambda _: None) -> None:
    """Makes TARGET a file of the LENGTH bytes at OFFSET of SOURCE. EOFError where that ends too early."""
    fd = create(target)
    try:
        append(source, fd, offset, length, progress)
    finally:
        os.close(fd)


def append(source: int, target: int, offset: int, length: int, progress: Progress = lambda _: None) -> None:
    """Appends the LENGTH bytes at OFFSET of SOURCE to TARGET, both descriptors."""
    end = offset + length
    move = _range_copy
    while offset < end:
        try:
            moved = move(source, target, offset, min(COPY_BYTES, end - offset))
        except OSError as error:
            if move is _plain_copy or error.errno not in NO_RANGE_COPY:
                raise
            move = _plain_copy
            continue
        if not moved:
            raise EOFError(f"the source ends {end - offset} bytes too early")
        offset += moved
        progress(moved)


def write(target: int, data: bytes | bytearray) -> None:
    """Writes all of DATA."""
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


def digest(path: str, progress: Progress) -> Digest:
    """The size and SHA-256 of the file at PATH."""
    sha256, size = hashlib.sha256(), 0
    fd = open_regular(path)
    try:
        while data := os.read(fd, COPY_BYTES):
            sha256.update(data)
            size += len(data)
            progress(len(data))
    finally:
        os.close(fd)
    return Digest(size, sha256.hexdigest())


def sync(path: str) -> None:
    """Makes the file or folder at PATH durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: str) -> bool:
    """Makes the folder PATH, whose parent exists; False where it was there already."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return False
    return True


def _replacing(target: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except FileExistsError:
        os.unlink(target)
        return make()


def _range_copy(source: int, target: int, offset: int, count: int) -> int:
    return os.copy_file_range(source, target, count, offset)


def _plain_copy(source: int, target: int, offset: int, count: int) -> int:
    data = os.pread(source, min(count, 1024 * 1024), offset)
    write(target, data)
    return len(data)
