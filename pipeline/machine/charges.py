"""Who is to blame for a worker's death. Pure: what is known goes in, the batch's new charges come out.

A batch is charged when its worker dies while it runs, and progress since its last death clears the charge. A SIGKILL
that neither we nor the kernel's OOM killer sent comes from outside: it counts only where it strikes at the very same
point again and again, as a file that kills its worker would, and a person with `kill -9` doesn't.
"""

from __future__ import annotations

import enum
import signal
from typing import Final, NamedTuple

from pipeline.machine.work import MSGPACK, Batch, Mark, decode_mark
from pipeline.model import Code, Reason
from pipeline.processes.blackbox import Entry

MAX_CHARGES: Final = 3
MAX_ORPHANED: Final = 5  # deaths of the supervisor itself while a batch ran, without progress, that charge it
NO_MEMBER: Final = -1


class Death(NamedTuple):
    """How a worker died: `exit_code` as multiprocessing gives it (negative: a signal), `ours` why we killed it."""

    exit_code: int
    ours: str = ""
    out_of_memory: bool = False
    peak_bytes: int = 0

    @property
    def words(self) -> str:
        """For a person: what ended it."""
        if self.ours:
            return self.ours
        if self.out_of_memory:
            return "ended by the kernel for want of memory"
        if self.exit_code < 0:
            return f"signal {_signal_name(-self.exit_code)}"
        return f"exit code {self.exit_code}"

    @property
    def from_outside(self) -> bool:
        """Whether somebody else seems to have killed it."""
        return self.exit_code == -signal.SIGKILL and not self.ours and not self.out_of_memory


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)  # the real-time ones have no names


class Verdict(enum.Enum):
    """What a death means for the batch that ran."""

    INNOCENT = "innocent"  # not charged
    CHARGED = "charged"  # it runs alone next
    MEMBER = "member"  # three charges: the member it was at is given up on, the rest goes on
    WHOLE = "whole"  # three charges, and no member to single out: the job ends


def charge(batch: Batch, entry: Entry, death: Death) -> Verdict:
    """Judges BATCH, which ran when its worker died, by what its black box said last; updates its charges and mark."""
    progressed, same_point = _progress(batch, entry)
    if death.from_outside and not same_point:
        if progressed or not _comparable(batch):
            batch.charges = 0
            batch.mark = MSGPACK.encode(_mark(batch, entry, progressed))  # the next one at this point counts
        return Verdict.INNOCENT
    batch.charges = 1 if progressed else batch.charges + 1
    return _sentence(batch, entry, progressed)


def orphan(batch: Batch, entry: Entry) -> Verdict:
    """BATCH ran when the supervisor died: it runs alone next, and the fifth time without progress is a charge."""
    progressed, _ = _progress(batch, entry)
    batch.orphaned = 1 if progressed else batch.orphaned + 1
    if batch.orphaned >= MAX_ORPHANED:
        batch.orphaned = 0
        batch.charges += 1
        return _sentence(batch, entry, progressed)
    batch.mark = MSGPACK.encode(_mark(batch, entry, progressed))
    return Verdict.INNOCENT


def _progress(batch: Batch, entry: Entry) -> tuple[bool, bool]:
    """Whether BATCH got further than at its last death, and whether it died at the very same point.

    A stage that reads ahead and one that takes members singly die at different points of the same file, so those can't
    be compared: only a batch closed since is progress then.
    """
    mark = decode_mark(batch.mark)
    if not _comparable(batch):
        return batch.closed > mark.closed, False
    here, before = (batch.closed, entry.member, entry.done_bytes), (mark.closed, mark.member, mark.done_bytes)
    return here > before, here == before


def _comparable(batch: Batch) -> bool:
    mark = decode_mark(batch.mark)
    return mark.alone == mark.taken_alone


def _mark(batch: Batch, entry: Entry, progressed: bool) -> Mark:
    """Where BATCH is now. From the second charge on it takes its members singly, until it has got further."""
    before = decode_mark(batch.mark)
    alone = batch.charges > 1 or (before.alone and not progressed)
    return Mark(batch.closed, entry.member, entry.done_bytes, before.crashed, alone=alone, taken_alone=before.alone)


def _sentence(batch: Batch, entry: Entry, progressed: bool) -> Verdict:
    mark = _mark(batch, entry, progressed)
    batch.mark = MSGPACK.encode(mark)
    if batch.charges < MAX_CHARGES:
        return Verdict.CHARGED
    if entry.member == NO_MEMBER:
        return Verdict.WHOLE
    batch.charges = 0
    batch.mark = MSGPACK.encode(Mark(crashed=(*mark.crashed, entry.member), alone=True, taken_alone=True))
    return Verdict.MEMBER


def crashed(words: str) -> Reason:
    """Why a job is given up whose worker died, as WORDS say, three times at the same point."""
    return Reason(
        code=Code.CRASHED,
        text=f"The program that worked on it ended three times at the same point ({words}).",
        next_step="Send its parts singly to find the one that does it.",
    )
