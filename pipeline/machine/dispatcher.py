"""Decides which batches go to which worker now, and how far ahead extract may work. Pure.

Bounds hold because a place in the next queue is reserved before the work that will fill it begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from pipeline.config import MIB, Config
from pipeline.machine.stage_state import MIN_WINDOW, StageState
from pipeline.machine.turns import MAX_OPEN, may_overtake
from pipeline.machine.work import Batch, Changes, Mark, decode_mark
from pipeline.model import BatchState, StageName, Task
from pipeline.processes.messages import Bound, Dispatch, Drop, Grant, Order

_FREE_RATIO_BYTES: Final = MIB  # what extract.max_ratio doesn't count

_SPARE_PLACES: Final = 2  # in the next queue, that prefetched archives leave to the one being extracted
_UNMARKED: Final = Mark()

Sends = list[tuple[StageName, Order]]


class Dispatcher:
    """Hands out what the queues hold. `refusals` are jobs to be published with nothing but their reason, or forgotten."""

    def __init__(self, config: Config, stages: Sequence[StageState]) -> None:
        self.config = config
        self._stages = stages
        self._clock = 0.0
        self.refusals: deque[Batch] = deque()

    def decide(self, clock: float, first_allowed: int, changes: Changes) -> Sends:
        """What to hand out at CLOCK (monotonic seconds), noting it in CHANGES; stages before FIRST_ALLOWED get nothing.

        Downstream first, so that room made there is seen upstream in the same turn.
        """
        self._clock = clock
        sends: Sends = []
        store = self._stages[StageName.STORE]
        if store.ready and self.refusals:
            self._dispatch_refusals(store, sends, changes)  # whatever the disk: they make room, and need next to none
        for state in reversed(self._stages):
            if state.name is StageName.EXTRACT and first_allowed <= StageName.EXTRACT:
                self._grant(sends)  # who has begun comes first
            if state.ready and state.name >= first_allowed:
                self._dispatch(state, sends, changes)
        return sends

    def _dispatch(self, state: StageState, sends: Sends, changes: Changes) -> None:
        if state.name is StageName.EXTRACT and (readers := state.readers):
            self._let_overtake(state, readers, sends, changes)
            return
        skipped = 0
        queue = state.queue
        while queue.batches > skipped and len(state.in_hand) < state.window and not state.suspects:
            batch = queue.peek()
            if batch.not_before > self._clock:
                queue.rotate()
                skipped += 1
                continue
            place = self._expected_bytes(batch)
            if not self._may_start(state, batch, place):
                return
            self._hand_out(state, queue.pop(), place, sends, changes)

    def _let_overtake(self, state: StageState, readers: list[Batch], sends: Sends, changes: Changes) -> None:
        """While archives are read that are more than one batch, what is much smaller goes between their batches, one at a
        time; everything else waits until they are done."""
        sizes = [batch.job.upload.total_size for batch in readers]
        if self.config.extract.command is not None or state.suspects or self._owes_a_place(state, readers):
            return
        if any(may_overtake(one.job.upload.total_size, sizes) for one in state.in_hand.values() if not one.produced):
            return
        for batch in state.queue:
            again = len(readers) >= MAX_OPEN and batch.checkpoint
            if batch.bound or again or batch.is_suspect or batch.not_before > self._clock:
                continue
            if may_overtake(batch.job.upload.total_size, sizes):
                place = self._expected_bytes(batch)
                if state.next_queue.has_room(place):
                    state.queue.remove_job(batch.job.id)  # here it is the job's only one
                    self._hand_out(state, batch, place, sends, changes)
                return

    @staticmethod
    def _owes_a_place(state: StageState, readers: list[Batch]) -> bool:
        """Whether a place in the next queue, if there is one, belongs to one of READERS: it waits for no more than that."""
        queue = state.next_queue
        return any(state.waits(batch) and queue.share_left(batch.job.id, batch.reserved) for batch in readers)

    def closed(self, batch: Batch, changes: Changes) -> Sends:
        """Extract closed one of BATCH and goes on with it. One archive too many is put back, for which worker is told."""
        readers = self._stages[StageName.EXTRACT].readers
        if batch.produced > 1 or len(readers) <= MAX_OPEN:
            return []
        self._put_back(batch, changes)
        return [(StageName.EXTRACT, Drop(batch.id, batch.attempt))]

    def bound(self, report: Bound, changes: Changes) -> None:
        """Extract has given a batch up that needs a program while another's is running: it waits until that is done."""
        batch = self._stages[StageName.EXTRACT].in_hand.get(report.batch)
        if batch is not None and batch.attempt == report.attempt:
            batch.bound = True
            self._put_back(batch, changes)

    def _put_back(self, batch: Batch, changes: Changes) -> None:
        """BATCH, which extract has in hand, waits again; it will go on from its checkpoint."""
        state = self._stages[StageName.EXTRACT]
        state.give(batch)
        if batch.places:
            state.next_queue.release(batch.job.id, batch.reserved * batch.places, batch.places)
            batch.places = 0
        batch.state = BatchState.QUEUED
        changes.dirty[batch.id] = batch
        state.queue.push(batch)

    def _dispatch_refusals(self, state: StageState, sends: Sends, changes: Changes) -> None:
        for _ in range(len(self.refusals)):
            batch = self.refusals.popleft()
            if batch.not_before > self._clock:
                self.refusals.append(batch)
            elif len(state.in_hand) < state.window and not state.suspects and not (state.in_hand and batch.is_suspect):
                self._hand_out(state, batch, 0, sends, changes)
            else:
                self.refusals.appendleft(batch)
                return

    def _may_start(self, state: StageState, batch: Batch, place: int) -> bool:
        """Whether STATE's worker may take BATCH now, whose output needs a PLACE of so many bytes in the next queue."""
        in_hand, name = len(state.in_hand), state.name
        if in_hand and (batch.charges or batch.orphaned):
            return False  # a suspect runs alone
        if in_hand >= MIN_WINDOW and state.in_hand_bytes + batch.held_bytes > self.config.batch.bytes:
            return False
        if name is StageName.STORE:
            return True
        if name is StageName.EXTRACT and in_hand:
            if state.waits(next(iter(state.in_hand.values()))):
                return False  # while the running extract waits for a place, none behind it may take one
            return state.next_queue.has_room(place, _SPARE_PLACES, self.config.batch.bytes)
        if name is StageName.INTAKE and len(self.refusals) >= self.config.queue.batches:
            return False
        return state.next_queue.has_room(place)

    def _expected_bytes(self, batch: Batch) -> int:
        """The bytes in work/ that a place for BATCH's next output is reserved with."""
        stage, most = batch.stage, self.config.batch.bytes
        if stage is StageName.CONVERT:
            return min(most, batch.bytes)
        if stage is StageName.EXTRACT:
            return min(most, max(_FREE_RATIO_BYTES, batch.job.upload.total_size * self.config.extract.max_ratio))
        return 0

    def _hand_out(self, state: StageState, batch: Batch, place: int, sends: Sends, changes: Changes) -> None:
        batch.state = BatchState.DISPATCHED
        batch.attempt += 1
        batch.produced = 0
        batch.granted = 1
        if state.name is StageName.STORE:
            batch.publishes = batch.job.failure is not None or self._is_last(batch)
        else:
            batch.reserved = place
            batch.places = 1
            state.next_queue.reserve(batch.job.id, place)
        state.take(batch)
        if state.name is not StageName.INTAKE or batch.in_ledger:
            changes.dirty[batch.id] = batch  # intake writes nothing, so that its first attempt needs no row
        sends.append((state.name, Dispatch(_task(batch), 1)))

    @staticmethod
    def _is_last(batch: Batch) -> bool:
        job = batch.job
        if not job.ended_extract:
            return False
        if len(job.batches) == 1:
            return True
        return all(other is batch or other.state is BatchState.STAGED for other in job.batches.values())

    def _grant(self, sends: Sends) -> None:
        """Lets each archive that extract reads begin one batch ahead of what it has closed, while convert's queue has room.

        Most archives are one batch: nothing is granted ahead before the first is closed.
        """
        queue = self._stages[StageName.CONVERT].queue
        readers = self._stages[StageName.EXTRACT].readers
        alone = len(readers) < MAX_OPEN  # then its share keeps it from filling the queue; two leave a place for others
        for batch in readers:
            # Whatever others have reserved was reserved beside a place of its own: one is left once its parts are gone.
            room = queue.has_room(batch.reserved) if alone else queue.has_room(batch.reserved, 1, batch.reserved)
            if batch.granted > batch.produced + 1 or not room:
                continue
            if queue.share_left(batch.job.id, batch.reserved):
                queue.reserve(batch.job.id, batch.reserved)
                batch.places += 1
                batch.granted += 1
                sends.append((StageName.EXTRACT, Grant(batch.id, batch.attempt, batch.granted)))


def _task(batch: Batch) -> Task:
    job = batch.job
    mark = decode_mark(batch.mark) if batch.mark else _UNMARKED
    return Task(
        job=job.id,
        epoch=job.epoch,
        batch=batch.id,
        seq=batch.seq,
        stage=batch.stage,
        attempt=batch.attempt,
        payload=batch.payload,
        upload=job.upload,
        options=job.options,
        checkpoint=batch.checkpoint,
        next_seq=batch.closed + 1,
        publish=batch.publishes,
        failure=job.failure,
        forget=job.forgets,
        crashed=mark.crashed,
        alone=mark.alone,
        bytes=batch.bytes,
    )
