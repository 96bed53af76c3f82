"""An object store through fsspec: each job's folder under its own keys, the data first and the manifest last.

Who reads there begins with the manifests: without one, a folder is nothing yet. Keys are the library's own paths, so that
a second try writes the same objects again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pipeline.config import Objects
from stages.store import manifest
from stages.store.targets.protocol import ForgottenJob, Progress, PublishedJob, TargetDown, TargetRefuses, secrets_in

_PIECE: Final = 8 * 1024 * 1024  # bytes of one part of an upload; S3 wants at least 5 MiB


class ObjectTarget:
    """The target."""

    name = "the object store"

    def __init__(self, config: Objects) -> None:
        self._config = config
        self._made: tuple[Any, str] | None = None

    def deliver(self, job: PublishedJob, progress: Progress) -> None:
        """Copies JOB's folder. Raises TargetDown, TargetRefuses."""
        try:
            store, root = self._opened()
            folder = f"{root}/{job.folder}"
            last = f"{folder}/{manifest.NAME}"
            ours = (job.path / manifest.NAME).read_bytes()
            theirs = _read(store, last)
            if theirs == ours:
                return
            if theirs is not None:
                _check_own(theirs, job.folder, job.manifest.job, job.manifest.upload.sha256)
                store.rm_file(last)  # while it is being replaced, the job isn't there
            wanted = {f"{folder}/{path}" for path in _files(job.path)}
            for key in wanted - {last}:
                _copy(store, job.path / key[len(folder) + 1 :], key, progress)
            for key in _keys(store, folder) - wanted:
                store.rm_file(key)
            store.pipe_file(last, ours)
        except ImportError as error:
            raise TargetDown(f"{self._config.url} needs a package that isn't installed: {error}") from error
        except (OSError, RuntimeError, ValueError) as error:  # ValueError: no such protocol
            self._made = None
            raise TargetDown(f"{self._config.url}: {' '.join(str(error).split())[:300]}") from error

    def forget(self, job: ForgottenJob) -> None:
        """Takes the keys of JOB out, its manifest first. Raises TargetDown, TargetRefuses."""
        try:
            store, root = self._opened()
            folder = f"{root}/{job.folder}"
            theirs = _read(store, f"{folder}/{manifest.NAME}")
            if theirs is not None:
                _check_own(theirs, job.folder, job.job, job.upload.sha256)
                store.rm_file(f"{folder}/{manifest.NAME}")
            for key in _keys(store, folder):
                store.rm_file(key)
        except ImportError as error:
            raise TargetDown(f"{self._config.url} needs a package that isn't installed: {error}") from error
        except (OSError, RuntimeError, ValueError) as error:
            self._made = None
            raise TargetDown(f"{self._config.url}: {' '.join(str(error).split())[:300]}") from error

    def _opened(self) -> tuple[Any, str]:
        """The file system, and the path in it that stands for the library."""
        if self._made is None:
            import fsspec

            options: dict[str, Any] = {
                "use_listings_cache": False,
                "skip_instance_cache": True,
                **secrets_in(self._config.options_file, "objects_options"),
            }
            store, root = fsspec.core.url_to_fs(self._config.url.rstrip("/"), **options)
            self._made = store, str(root)
        return self._made


def _files(folder: Path) -> Iterator[str]:
    """The files below FOLDER, relative to it."""
    for at, _, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(f"{at}/{name}", folder)


def _read(store: Any, key: str) -> bytes | None:
    try:
        return bytes(store.cat_file(key))
    except FileNotFoundError:
        return None


def _keys(store: Any, folder: str) -> set[str]:
    """What lies below FOLDER."""
    try:
        return {key for key in store.find(folder) if key.startswith(f"{folder}/")}
    except FileNotFoundError:
        return set()


def _check_own(theirs: bytes, folder: str, job: int, sha256: str) -> None:
    """Raises TargetRefuses where THEIRS is no manifest of this JOB."""
    try:
        found = json.loads(theirs)
        is_own = found["job"] == job and found["upload"]["sha256"] == sha256
    except (ValueError, KeyError, TypeError):
        is_own = False
    if not is_own:
        raise TargetRefuses(f"{folder} is there already, and is another library's")


def _copy(store: Any, source: Path, key: str, progress: Progress) -> None:
    """A small file in one request, a large one in parts: nothing is seen of it before it is whole."""
    size = source.stat().st_size
    if size <= _PIECE:
        store.pipe_file(key, source.read_bytes())
        progress(size)
        return
    with source.open("rb") as file, store.open(key, "wb", block_size=_PIECE) as out:
        while data := file.read(_PIECE):
            out.write(data)
            progress(len(data))
