"""Keeps the disk from filling up: what may run at how much free space, and who goes back when nothing can."""

from __future__ import annotations

import enum
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.config import Config
from pipeline.model import StageName
from pipeline.work import Job

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
        return f"disk: {self.free} bytes free, {self.needed} needed (disk.min_free)"


def measure(config: Config) -> Space:
    """The smaller free space of the state directory's and the library's disk."""
    paths = (config.paths.state, config.paths.library)
    return Space(free=min(shutil.disk_usage(Path(path)).free for path in paths), needed=config.disk.min_free)


class Relief(NamedTuple):
    """Whom to set back to its upload so that the others can go on; `fails` if it can't fit even alone."""

    job: Job
    fails: bool


def relief(space: Space, jobs: Iterable[Job]) -> Relief | None:
    """Decides who gives way when nothing runs and the disk is full: the job that holds most, if that helps at all.

    A disk that others have filled is waited for: no job fails for it.
    """
    holding = [(sum(batch.written_bytes for batch in job.batches.values()), job.id, job) for job in jobs]
    holding = [one for one in holding if one[0]]
    if not holding:
        return None
    held, _, job = max(holding)
    if space.free + sum(one[0] for one in holding) < space.needed:
        return None
    return Relief(job, fails=len(holding) == 1 and space.free + held >= space.needed)
