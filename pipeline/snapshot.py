"""What a run looks like at one moment, for whoever watches: values, made by the supervisor's side and drawn elsewhere."""

from __future__ import annotations

import msgspec

from pipeline.model import JobState, Reason, StageName


class StageSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One stage at a moment. `doing` is the name of the job in hand, `done_bytes` what is behind it in that batch."""

    stage: StageName
    up: bool
    queued: int
    queued_bytes: int
    in_hand: int
    doing: str = ""
    done_bytes: int = 0
    batch_bytes: int = 0
    since_at: float = 0.0
    finished: int = 0
    busy_s: float = 0.0
    restarts: int = 0
    rejected: int = 0
    oldest_at: float = 0.0  # when the oldest upload in its queue arrived; 0: it's empty
    rate: float = 0.0  # batches a second, and ...
    busy: float = 0.0  # ... the share of the time that it worked, both over the last minute
    still_s: float = 0.0  # since its batch got any further; 0 while it may wait
    waits: bool = False  # for room in the next queue
    rss_bytes: int = 0  # with its tools


class RecentJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that has ended: what came out, or why nothing did."""

    job: int
    name: str
    state: JobState
    ended_at: float
    seconds: float  # since it arrived
    tables: int = 0
    rows: int = 0
    rejected: int = 0  # records and members
    reason: Reason | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The pipeline at a moment, for whoever watches."""

    at: float
    started_at: float
    stages: tuple[StageSnapshot, ...]
    waiting: int  # jobs not begun
    running: int
    done: int  # since the start, like the next two
    failed: int
    duplicates: int
    paused: str = ""
    cancelled: int = 0
    halt: str = ""  # `paused` or `draining`, by the operator
    rate: float = 0.0  # jobs ended a second, over the last minutes
    recent: tuple[RecentJob, ...] = ()  # that ended last, newest first
    inbox_waiting: int = 0  # files in the inbox that aren't quiet yet, or can't be taken
    free_bytes: int = 0  # on the fuller of the disks that are written to
    rss_bytes: int = 0  # of all processes
    telegram: str = ""  # how the account is, for people; empty where there is none
    telegram_trouble: str = ""  # what of it holds uploads up
    pid: int = 0
    version: str = ""
