"""Keeps the disk from filling up: what may run at how much free space, and who goes back when nothing can."""

from __future__ import annotations

import enum
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.config import INCOMING, Config
from pipeline.machine.work import Job
from pipeline.model import Code, Reason, StageName
from pipeline.settings.units import short_size

_DRAIN_SHARE: Final = 0.5  # of disk.min_free that convert and store may still use, since they make room


class Allowance(enum.IntEnum):
    """Which stages may be given work."""

    NONE = StageName.STORE + 1  # none
    DRAIN = StageName.CONVERT  # convert and store, which make room
    ALL = StageName.INTAKE


class Space(NamedTuple):
    """The free space where stampmill writes, in bytes."""

    free: int
    needed: int

    @property
    def allowance(self) -> Allowance:
        """Which stages may be given work with this much space."""
        if self.free >= self.needed:
            return Allowance.ALL
        return Allowance.DRAIN if self.free >= self.needed * _DRAIN_SHARE else Allowance.NONE

    @property
    def words(self) -> str:
        """For people, empty when there's enough."""
        if self.allowance is Allowance.ALL:
            return ""
        return f"disk: {short_size(self.free)} free, {short_size(self.needed - self.free)} short of disk.min_free"


def measure(config: Config) -> Space:
    """The smaller free space of the state directory's and the library's disk."""
    paths = (config.paths.state, config.paths.library)
    return Space(free=min(shutil.disk_usage(Path(path)).free for path in paths), needed=config.disk.min_free)


class Relief(NamedTuple):
    """Whom to set back to its upload so that the others can go on; `fails` if it can't fit even alone."""

    job: Job
    fails: bool


def relief(space: Space, holding: Iterable[tuple[Job, int]]) -> Relief | None:
    """Decides who gives way when nothing runs and the disk is full: of the jobs and the bytes they are HOLDING, the one
    with most, if that helps at all.

    A disk that others have filled is waited for: no job fails for it.
    """
    by_size = sorted(((held, job.id, job) for job, held in holding if held), reverse=True)
    if not by_size or space.free + sum(held for held, _, _ in by_size) < space.needed:
        return None
    return Relief(by_size[0][2], fails=len(by_size) == 1)


def too_large(space: Space) -> Reason:
    """Why a job fails that SPACE doesn't hold even alone."""
    text = f"It needs more room than the disk has: {space.words}."
    next_step = "Ask the operator for more disk, or send it in smaller parts."
    return Reason(code=Code.TOO_LARGE, text=text, next_step=next_step)


def held_by(config: Config, job: Job) -> int:
    """What JOB holds of the disk, in bytes: its files in work/, and what is staged of it in the library."""
    names = {name.split("/", 1)[0] for batch in job.batches.values() for name in batch.names}
    places = [config.paths.work / name for name in names]
    return sum(map(_size, [*places, Path(config.paths.library) / INCOMING / str(job.id)]))


def _size(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; what is gone counts nothing."""
    try:
        if not path.is_dir():
            return path.stat().st_size
        return sum(_size(child) for child in path.iterdir())
    except FileNotFoundError:
        return 0
