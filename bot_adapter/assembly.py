"""An upload's files, all of which are here, as one job takes them."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

from bot_adapter.series import display_name
from pipeline import volumes
from pipeline.adapter.model import OpenUpload


def assemble(upload: OpenUpload) -> tuple[list[Path], str]:
    """The files of UPLOAD, all of which are here, as one job takes them: the one to open first; and its name.

    An album of several files that are no volumes becomes one tar beside them.
    """
    messages = sorted(upload.messages, key=lambda message: message.message)
    name = display_name(messages)
    if len(messages) == 1:
        return [Path(messages[0].path)], name
    groups = volumes.group(message.name for message in messages)
    if len(groups) == 1:
        return [Path(messages[index].path) for index in groups[0].files], groups[0].name
    target = Path(messages[0].path).with_name("album.tar")
    _pack(((Path(message.path), message.name) for message in messages), target)
    return [target], name


def _pack(files: Iterable[tuple[Path, str]], target: Path) -> None:
    """Puts FILES under their names into the tar TARGET, which is durable and whole when this returns."""
    scratch = target.with_name(f"{target.name}.part")
    with scratch.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, name in files:
                entry = tarfile.TarInfo(name.replace("/", "_").replace("\0", " ") or "upload")
                entry.size = path.stat().st_size
                with path.open("rb") as content:
                    archive.addfile(entry, content)
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
