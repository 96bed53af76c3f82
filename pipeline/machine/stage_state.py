"""What the scheduler knows of one stage: its queue, what its worker has in hand, and how fast it is."""

from __future__ import annotations

from typing import Final

from pipeline.config import Config
from pipeline.machine.queues import Queue
from pipeline.machine.turns import may_overtake
from pipeline.machine.work import Batch
from pipeline.model import StageName

MAX_WINDOW: Final = 16  # batches a worker holds, the one it works on included
MIN_WINDOW: Final = 2
WINDOW_S: Final = 0.05  # of work that a worker holds, where batches are short


class StageState:
    """What the scheduler knows of a stage: its queue, what its worker has in hand, and how fast it is."""

    def __init__(self, name: StageName, config: Config) -> None:
        self.name = name
        self.queue = Queue(config.queue)
        self.next_queue = self.queue  # the one its batches go on to; set by the scheduler, meaningless for store
        self.in_hand: dict[int, Batch] = {}
        self.in_hand_bytes = 0
        self.suspects = 0  # in hand that were charged or orphaned: such a batch runs alone
        self.ready = False
        self.window = MIN_WINDOW
        self.mean_s = 0.01  # running mean of a batch's working time
        self.busy_s = 0.0
        self.finished = 0
        self.rejected = 0

    def take(self, batch: Batch) -> None:
        """BATCH goes to the worker."""
        self.in_hand[batch.id] = batch
        if batch.names:
            self.in_hand_bytes += batch.bytes
        if batch.charges or batch.orphaned:
            self.suspects += 1

    def give(self, batch: Batch) -> None:
        """BATCH is in the worker's hands no more. Called before its names or charges change."""
        del self.in_hand[batch.id]
        if batch.names:
            self.in_hand_bytes -= batch.bytes
        if batch.charges or batch.orphaned:
            self.suspects -= 1

    def waits(self, batch: Batch) -> bool:
        """Whether BATCH, in hand, has used up its grants: only extract waits for more."""
        return self.name is StageName.EXTRACT and batch.places == 0

    @property
    def readers(self) -> list[Batch]:
        """The uploads in hand that are archives of more than one batch, as has shown by now: extract reads them in turns."""
        return [batch for batch in self.in_hand.values() if batch.produced]

    @property
    def is_working(self) -> bool:
        """Whether the worker can go on with anything that it has in hand; an extract that waits for a place can't."""
        readers = self.readers
        if not readers:
            return bool(self.in_hand)
        sizes = [batch.job.upload.total_size for batch in readers]
        others = (batch for batch in self.in_hand.values() if not batch.produced)
        return not all(map(self.waits, readers)) or any(may_overtake(b.job.upload.total_size, sizes) for b in others)

    def worked(self, busy_s: float) -> None:
        """A batch took BUSY_S. The shorter they are the more the worker may hold, so that it never waits for us."""
        self.finished += 1
        self.busy_s += busy_s
        self.mean_s += (busy_s - self.mean_s) * 0.2
        if self.mean_s * MAX_WINDOW <= WINDOW_S:
            self.window = MAX_WINDOW
        else:
            self.window = max(MIN_WINDOW, int(WINDOW_S / self.mean_s))
