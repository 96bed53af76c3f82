"""Where uploads from Telegram lie in the spool, and what their jobs are given."""

from __future__ import annotations

import os
import re
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.adapter.model import Message, Wishes
from pipeline.model import Upload, Volume
from pipeline.volumes import part_of

ALBUM: Final = "album:"  # what an album's series begins with
_NAME_BYTES: Final = 180
_SEVERAL: Final = (".zip", ".7z", ".rar", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.lz4")
_PLAIN_ENDING: Final = re.compile(r"(?:\.tar)?\.[A-Za-z0-9]{1,8}")


def folder_of(spool: Path, upload: int, attempt: int) -> Path:
    """The folder of an upload's files."""
    return spool / f"telegram-{upload}{f'-{attempt}' if attempt else ''}"


def path_of(spool: Path, upload: int, attempt: int, message: Message) -> Path:
    """Where the file of MESSAGE lies."""
    return folder_of(spool, upload, attempt) / file_name(message)


def file_name(message: Message) -> str:
    """What the file of MESSAGE is called in its upload's folder. Volumes keep their names, by which tools find them; in
    an album several files may have one."""
    name = "".join(" " if unicodedata.category(char)[0] == "C" or char in "/\\" else char for char in message.name)
    name = name.strip().lstrip(".-") or "upload"
    stem, ending = os.path.splitext(name)
    room = _NAME_BYTES - len(ending.encode())
    if room < 1:
        stem, ending, room = name, "", _NAME_BYTES
    name = stem.encode("utf-8", "replace")[:room].decode("utf-8", "ignore") + ending
    return f"{message.message}-{name}" if message.series.startswith(ALBUM) and not part_of(message.name) else name


def job_name(messages: Sequence[Message], wishes: Wishes, name: str = "") -> str:
    """What people call the upload: NAME or the first file's name; a single file's table is called as its caption says."""
    name = name or _called(messages)
    if wishes.table and len(messages) == 1 and not name.lower().endswith(_SEVERAL):
        ending = re.search(rf"{_PLAIN_ENDING.pattern}$", name)
        return wishes.table + (ending[0] if ending else "")
    return name


def _called(messages: Sequence[Message]) -> str:
    """The first name that there is, of a volume the whole archive's."""
    name = next((message.name for message in messages if message.name), "upload")
    part = part_of(name)
    return part.whole if part is not None and part.certain else name


def taken(paths: Sequence[str], name: str, missing: str) -> Upload:
    """The upload that lies at PATHS, as it is now."""
    files = [Volume.seen(path, os.stat(path)) for path in paths]
    return Upload.of(files, name=name, arrived_at=time.time(), missing=missing)
