"""Uploads in several files: the parts of one archive, or an album of files that were sent together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.model import Code, Reason, Upload, Volume
from pipeline.volumes import group, part_of
from stages.extract import reasons
from stages.extract.blobs import FileBlob, JoinedBlob
from stages.extract.protocol import Blob


@dataclass(frozen=True, slots=True)
class Piece:
    """One of the things that an upload consists of: a file, or an archive with all its parts. `path` is the file by which
    it is opened, `whole` whether that file is all of it."""

    name: str
    path: str
    blob: Blob
    whole: bool


def pieces(upload: Upload, blobs: Sequence[FileBlob]) -> list[Piece]:
    """What UPLOAD, whose files are BLOBS, consists of."""
    names = [os.path.basename(path) for path in upload.paths]
    groups = group(names)
    if len(groups) == 1:
        return [_piece(upload.name, upload.paths, blobs)]
    return [
        _piece(one.name, [upload.paths[index] for index in one.files], [blobs[index] for index in one.files])
        for one in groups
    ]


def _piece(name: str, paths: Sequence[str], blobs: Sequence[FileBlob]) -> Piece:
    """Only a file that was cut is its parts one after the other; others speak of each other."""
    part = part_of(os.path.basename(paths[0]))
    cut = len(paths) > 1 and part is not None and part.is_cut
    return Piece(name, paths[0], JoinedBlob(tuple(blobs)) if cut else blobs[0], len(paths) == 1)


def is_same(status: os.stat_result, file: Upload | Volume) -> bool:
    """Whether STATUS is that of FILE as intake saw it."""
    return (status.st_size, status.st_mtime_ns, status.st_ino) == (file.size, file.mtime_ns, file.inode)


def unchanged(upload: Upload) -> bool:
    """Whether all files of UPLOAD are still what intake saw."""
    try:
        return all(is_same(os.stat(file.path), file) for file in upload.files)
    except FileNotFoundError:
        return False


def explained(reason: Reason, upload: Upload) -> Reason:
    """REASON, or where the names tell that UPLOAD is some pieces of several, that others are missing."""
    part = part_of(os.path.basename(upload.path))
    if reason.code in (Code.CORRUPT, Code.TRUNCATED) and part is not None and part.certain:
        return reasons.missing_volume("its name says that this is one part of several, and the archive can't be read")
    return reason
