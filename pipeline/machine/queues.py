"""The bounded line of batches in front of a stage. Pure: no I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from pipeline.config import Queue as Limits
from pipeline.machine.work import Batch

JOB_SHARE = 0.75  # of a queue that one job may fill, so that another finds room


class Queue:
    """Batches that wait for a stage, served round-robin by job, and the places reserved for those to come.

    A place is reserved before the stage in front starts on what will fill it, so that the bounds hold whatever that
    turns out to be; a batch that was there already (after a death or a restart) comes back over the bounds.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._turns: deque[int] = deque()  # job ids in the order they are served
        self._by_job: dict[int, deque[Batch]] = {}
        self._reserved_by_job: dict[int, int] = {}
        self._reserved_bytes_by_job: dict[int, int] = {}
        self.batches = 0  # waiting
        self.bytes = 0  # held in work/ by those waiting
        self.reserved = 0  # places reserved
        self.reserved_bytes = 0

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        for waiting in self._by_job.values():
            yield from waiting

    def has_room(self, size: int, spare: int = 0, spare_bytes: int = 0) -> bool:
        """Whether a batch of SIZE bytes may be reserved: within both bounds, SPARE places and SPARE_BYTES left over, or
        the queue is empty."""
        used = self.batches + self.reserved
        if used == 0:
            return True
        if used + spare >= self.limits.batches:
            return False
        return self.bytes + self.reserved_bytes + size + spare_bytes <= self.limits.bytes

    def share_left(self, job: int, size: int) -> bool:
        """Whether a batch of SIZE bytes keeps JOB within its share of the places and bytes, or is its only one here."""
        waiting = self._by_job.get(job, ())
        used = len(waiting) + self._reserved_by_job.get(job, 0)
        if used == 0:
            return True
        used_bytes = sum(batch.held_bytes for batch in waiting) + self._reserved_bytes_by_job.get(job, 0)
        return used < int(self.limits.batches * JOB_SHARE) and used_bytes + size <= self.limits.bytes * JOB_SHARE

    def reserve(self, job: int, size: int) -> None:
        """Keeps a place of SIZE bytes for a batch of JOB."""
        self.reserved += 1
        self.reserved_bytes += size
        self._reserved_by_job[job] = self._reserved_by_job.get(job, 0) + 1
        self._reserved_bytes_by_job[job] = self._reserved_bytes_by_job.get(job, 0) + size

    def release(self, job: int, size: int, places: int = 1) -> None:
        """Gives PLACES places, of SIZE bytes together, back."""
        self.reserved -= places
        self.reserved_bytes -= size
        left = self._reserved_by_job[job] - places
        if left:
            self._reserved_by_job[job] = left
            self._reserved_bytes_by_job[job] -= size
        else:
            del self._reserved_by_job[job]
            del self._reserved_bytes_by_job[job]

    def push(self, batch: Batch, *, front: bool = False) -> None:
        """BATCH waits; at the FRONT if it has been served before. Its place, if one was reserved, is released first."""
        waiting = self._by_job.get(batch.job.id)
        if waiting is None:
            waiting = self._by_job[batch.job.id] = deque()
            (self._turns.appendleft if front else self._turns.append)(batch.job.id)
        (waiting.appendleft if front else waiting.append)(batch)
        self.batches += 1
        if batch.names:
            self.bytes += batch.bytes

    def peek(self) -> Batch:
        """The batch whose turn it is. Raises IndexError when empty."""
        return self._by_job[self._turns[0]][0]

    def pop(self) -> Batch:
        """Takes the batch whose turn it is; its job goes to the end of the line. Raises IndexError when empty."""
        job = self._turns.popleft()
        waiting = self._by_job[job]
        batch = waiting.popleft()
        if waiting:
            self._turns.append(job)
        else:
            del self._by_job[job]
        self.batches -= 1
        if batch.names:
            self.bytes -= batch.bytes
        return batch

    def rotate(self) -> None:
        """Lets the job whose turn it is step behind the others (its batch can't be served now)."""
        self._turns.rotate(-1)

    def remove_job(self, job: int) -> list[Batch]:
        """Takes all batches of JOB out."""
        waiting = self._by_job.pop(job, None)
        if waiting is None:
            return []
        self._turns.remove(job)
        self.batches -= len(waiting)
        self.bytes -= sum(batch.held_bytes for batch in waiting)
        return list(waiting)
