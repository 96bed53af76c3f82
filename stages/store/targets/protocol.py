"""What a target is: somewhere else that a published job goes to, after the library and as whole as there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stages.store.manifest import UploadEntry, Whole

Progress = Callable[[int], None]  # told how many bytes, or about as many, were just delivered


class PublishedJob(NamedTuple):
    """A job as it stands in the library: `folder` is relative to `library`, `digest` the SHA-256 (hex) of its manifest."""

    library: Path
    folder: str
    manifest: Whole
    digest: str

    @property
    def path(self) -> Path:
        """The job's folder."""
        return self.library / self.folder


class ForgottenJob(NamedTuple):
    """A job that is to be taken out again: its folder relative to the library, its number, and its upload, by which it is
    told from another library's job of that number."""

    folder: str
    job: int
    upload: UploadEntry


class TargetDown(Exception):
    """The target can't take anything now: it is to be tried again. The message says why, for the operator."""


class TargetRefuses(Exception):
    """The target won't ever take this job. The message says why, for the uploader."""


class Target(Protocol):
    """A target. `name` is what people know it by."""

    name: str

    def deliver(self, job: PublishedJob, progress: Progress) -> None:
        """Brings JOB there, all of it or nothing that a reader sees; once, however often this is called for it.

        A job that is there already in another state (it was run again) is replaced. Raises TargetDown, TargetRefuses.
        """
        ...

    def forget(self, job: ForgottenJob) -> None:
        """Takes JOB out of there, if it is there; however often this is called. Raises TargetDown, TargetRefuses."""
        ...


def relation_name(job: int, table: str, max_bytes: int) -> str:
    """The name of JOB's TABLE in a database: as `query` has it, shortened where that has more than MAX_BYTES."""
    name = f"t{job}_{table}"
    if len(name.encode()) <= max_bytes:
        return name
    return f"{name.encode()[: max_bytes - 9].decode(errors='ignore')}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def secrets_in(options_file: str, credential: str) -> dict[str, Any]:
    """The options in a JSON file, or else in the service's CREDENTIAL of that name; none without either. Raises
    TargetDown."""
    if not options_file and "CREDENTIALS_DIRECTORY" not in os.environ:
        return {}
    path = options_file or f"{os.environ['CREDENTIALS_DIRECTORY']}/{credential}"
    try:
        found = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        if not options_file:
            return {}
        raise TargetDown(f"the options' file {path} isn't there") from None
    except (OSError, ValueError) as error:
        raise TargetDown(f"the options' file {path} can't be read: {error}") from error
    return dict(found)
