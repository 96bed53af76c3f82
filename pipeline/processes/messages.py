"""What the supervisor and a worker say to each other. A datagram is a msgpack array of these, at most 64 KiB."""

from __future__ import annotations

import msgspec

from pipeline.model import Closed, Outcome, Task


class Dispatch(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Supervisor: work on TASK after those you have. GRANTED batches may be produced before more are allowed."""

    task: Task
    granted: int


class Grant(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Supervisor: the extract of BATCH may have produced up to GRANTED batches in all in this attempt."""

    batch: int
    attempt: int
    granted: int


class Drop(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """Supervisor: BATCH is not wanted any more; stop it where it is, or forget it."""

    batch: int
    attempt: int


class Stop(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """Supervisor: finish the batch in hand, report it and end."""


Order = Dispatch | Grant | Drop | Stop


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """Worker: I hold my stage's lock and can work. `note` says what of the sandbox is in force."""

    pid: int
    note: str


class BatchClosed(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Worker: extract closed the batch SEQ of the job and goes on. `busy_s` is the working time since the last report."""

    batch: int
    attempt: int
    seq: int
    closed: Closed
    busy_s: float


class Finished(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Worker: the batch's work ended with OUTCOME. `trouble` is a traceback where a bug ended it."""

    batch: int
    attempt: int
    outcome: Outcome
    started_at: float
    busy_s: float
    trouble: str = ""


class DiskFailed(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Worker: writing failed with EIO; nothing on that disk is to be trusted."""

    path: str
    detail: str


class Unreachable(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """Worker: the sandbox keeps me from the upload of BATCH. I begin nothing more, and wait to be replaced."""

    batch: int
    attempt: int


class Bound(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """Worker: BATCH needs a program, and one of another archive is running. It is given up, as far as it wasn't told of."""

    batch: int
    attempt: int


Report = Ready | BatchClosed | Finished | DiskFailed | Unreachable | Bound

_orders = msgspec.msgpack.Decoder(list[Order])
_reports = msgspec.msgpack.Decoder(list[Report])


def decode_orders(datagram: bytes) -> list[Order]:
    """The orders in a datagram from the supervisor."""
    return _orders.decode(datagram)


def decode_reports(datagram: bytes) -> list[Report]:
    """The reports in a datagram from a worker."""
    return _reports.decode(datagram)
