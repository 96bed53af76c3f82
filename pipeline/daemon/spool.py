"""The spool: where uploads land, each in a folder of its own, durably and under the name that people call it.

A file is moved in, and synced with its folders, before the ledger learns of it; what a kill leaves between the two is
found at the next start. So nothing that was moved in is lost, and since the folder's name is the job's source, nothing
becomes two jobs.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.model import Upload, Volume
from pipeline.volumes import Group, group

PARTIAL: Final = ".partial"  # what a file is called until it is whole
_GATHERING: Final = "gathering-"  # what the folder of a set begins with until all its parts are in
_COPY_BYTES: Final = 64 * 1024 * 1024
_NAME_BYTES: Final = 200
_FOLDER: Final = re.compile(r"(inbox|submit)-[0-9a-f]+-[0-9a-f]+")
_counter = itertools.count()


class Spooled(NamedTuple):
    """A file in the spool: the PATH it has there, what people call it, and the job's SOURCE in the ledger. Of a split
    archive PARTS are the others, and MISSING names one that isn't there."""

    path: Path
    name: str
    source: str
    parts: tuple[Path, ...] = ()
    missing: str = ""


def new_folder(spool: Path, origin: str) -> Path:
    """Makes a folder for an upload from ORIGIN, `inbox` or `submit`."""
    folder = spool / f"{origin}-{time.time_ns():x}-{os.getpid():x}{next(_counter) % 4096:03x}"
    folder.mkdir(mode=0o700)
    return folder


def safe_name(name: str) -> str:
    """NAME as a file of the spool may be called: UTF-8, and not too long for any file system."""
    text = os.fsencode(os.path.basename(name)).decode(errors="replace").replace("\n", " ")
    if text in ("", ".", "..", PARTIAL):
        return "upload"
    if len(text.encode()) <= _NAME_BYTES:
        return text
    stem, dot, ending = text.rpartition(".")
    ending = f"{dot}{ending}" if stem and len(ending) <= 10 else ""
    return (stem or text).encode()[: _NAME_BYTES - 50].decode(errors="ignore") + ending


def take(source: Path, spool: Path, origin: str) -> Spooled:
    """Moves the regular file SOURCE into SPOOL; it is durable there when this returns. Raises OSError; then SOURCE is
    where it was, or whole in the spool, or both."""
    folder = new_folder(spool, origin)
    target = folder / safe_name(source.name)
    try:
        _move_in(source, target)
    except OSError:
        discard(folder)
        raise
    for directory in (folder, spool, source.parent):
        sync_folder(directory)
    return _spooled(target)


def take_set(sources: Sequence[Path], spool: Path, origin: str, missing: str = "") -> Spooled:
    """Moves the parts SOURCES of one archive into one folder of SPOOL, all or none of them. MISSING names a part that
    never came. Raises OSError; then they are where they were."""
    names = [safe_name(source.name) for source in sources]
    if len(set(names)) < len(names) or len(groups := group(sorted(names))) != 1:
        raise OSError(errno.ENAMETOOLONG, "the name is too long or no text", str(sources[0]))
    final = new_folder(spool, origin)
    folder = final.with_name(_GATHERING + final.name)
    os.rename(final, folder)
    moved: list[tuple[Path, Path]] = []
    try:
        for source, name in zip(sources, names, strict=True):
            _move_in(source, folder / name)
            moved.append((folder / name, source))
        sync_folder(folder)
        os.rename(folder, final)
    except OSError:
        _back(folder, moved)
        raise
    for directory in (final, spool, sources[0].parent):
        sync_folder(directory)
    return _of_group(final, sorted(names), groups[0])._replace(missing=missing or groups[0].missing)


def put_back(spool: Path, inbox: Path) -> None:
    """Returns to INBOX the parts of sets that were being moved when whoever ran before ended. Raises OSError."""
    for folder in sorted(spool.glob(f"{_GATHERING}*")):
        _back(folder, [(folder / name, inbox / name) for name in os.listdir(folder) if name != PARTIAL])


def _back(folder: Path, moved: Sequence[tuple[Path, Path]]) -> None:
    """Moves files of FOLDER back to where they were; if another lies there now they stay, and are an upload by
    themselves."""
    taken = [now for now, before in moved if os.path.lexists(before)]
    for now, before in moved:
        if now not in taken:
            _move_in(now, before)
            sync_folder(before.parent)
    if taken:
        os.rename(folder, folder.with_name(folder.name.removeprefix(_GATHERING)))
    else:
        discard(folder)


def _move_in(source: Path, target: Path) -> None:
    """Moves the regular file SOURCE, durable, to TARGET. Raises OSError."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(source))
        os.fsync(descriptor)
        _move(source, target, descriptor)
    finally:
        os.close(descriptor)


def _move(source: Path, target: Path, descriptor: int) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        partial = target.with_name(PARTIAL)
        copy(descriptor, partial)
        os.rename(partial, target)
        sync_folder(target.parent)
        os.unlink(source)


def copy(descriptor: int, target: Path) -> None:
    """Copies the file behind DESCRIPTOR to TARGET, which is new, and syncs it. Raises OSError."""
    output = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        offset = 0
        while done := _copy_some(descriptor, output, offset):
            offset += done
        os.fsync(output)
    finally:
        os.close(output)


def _copy_some(source: int, target: int, offset: int) -> int:
    try:
        return os.copy_file_range(source, target, _COPY_BYTES, offset, offset)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    data = os.pread(source, 1024 * 1024, offset)
    return os.pwrite(target, data, offset) if data else 0


def sync_folder(folder: Path) -> None:
    """Makes FOLDER's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def found(spool: Path) -> Iterator[Spooled]:
    """What lies in SPOOL from the inbox or `submit`, oldest first."""
    for folder in folders(spool):
        files = sorted(name for name in os.listdir(folder) if name != PARTIAL)
        if files:
            yield _of_group(folder, files, group(files)[0])


def folders(spool: Path) -> Iterator[Path]:
    """The folders in SPOOL that are the inbox's or `submit`'s, oldest first."""
    try:
        names = [name for name in os.listdir(spool) if _FOLDER.fullmatch(name)]
    except FileNotFoundError:
        return
    for name in sorted(names, key=lambda name: name.split("-")[1:]):
        yield spool / name


def is_inbox(file: Spooled) -> bool:
    """Whether FILE came from the inbox."""
    return file.path.parent.name.startswith("inbox-")


def folder_named(spool: Path, name: str) -> Spooled | None:
    """What `submit` has put into the folder NAME of SPOOL, a file or the parts of one archive; None where that isn't one,
    or holds something else."""
    if not _FOLDER.fullmatch(name):
        return None
    try:
        files = os.listdir(spool / name)
    except OSError:
        return None
    groups = group(sorted(files))
    if len(groups) != 1 or PARTIAL in files:
        return None
    return _of_group(spool / name, sorted(files), groups[0])


def _of_group(folder: Path, names: Sequence[str], one: Group) -> Spooled:
    """What ONE, a group of the files NAMES in FOLDER, is."""
    first, *others = (folder / names[index] for index in one.files)
    called = one.name if others else first.name
    return _spooled(first)._replace(name=called, parts=tuple(others), missing=one.missing)


def _spooled(path: Path) -> Spooled:
    return Spooled(path, path.name, f"spool:{path.parent.name}")


def upload_of(spooled: Spooled) -> Upload:
    """The upload as the ledger keeps it. Raises OSError."""
    files = [Volume.seen(str(path), os.lstat(path)) for path in (spooled.path, *spooled.parts)]
    return Upload.of(files, name=spooled.name, arrived_at=time.time(), missing=spooled.missing)


def folder_of(spool: Path, upload: Upload) -> Path | None:
    """The folder of UPLOAD in SPOOL; None for one that lies elsewhere, and so is somebody's own."""
    folder = Path(upload.path).parent
    return folder if folder.parent == spool else None


def discard(folder: Path) -> None:
    """Deletes an upload with its FOLDER."""
    shutil.rmtree(folder, ignore_errors=True)


def is_broken(folder: Path, after_s: float) -> bool:
    """Whether FOLDER, which no job is about, was left by a `submit` that broke off more than AFTER_S ago. What came from
    the inbox never is: the next start finds it."""
    try:
        return folder.name.startswith("submit-") and time.time() - folder.stat().st_mtime > after_s
    except FileNotFoundError:
        return False
