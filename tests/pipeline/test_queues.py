"""A queue: whose turn it is, and what it has room for."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.config import Queue as Limits
from pipeline.machine.queues import Queue
from pipeline.machine.work import Batch, Job
from pipeline.model import Options, StageName, Upload

UPLOAD = Upload(path="/in/a", name="a", size=1, mtime_ns=0, inode=0, device=0)


class Numbers:
    """Makes batches, numbered as they come."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.last = 0

    def batch(self, job: int, size: int = 0) -> Batch:
        self.last += 1
        made = Batch(self.last, self.jobs.setdefault(job, Job(job, UPLOAD, Options())), 0, StageName.CONVERT)
        made.bytes, made.names = size, ("a",) if size else ()
        return made


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


def filled(numbers: Numbers, jobs: str, limits: Limits | None = None) -> Queue:
    """A queue with a batch for each letter of JOBS."""
    queue = Queue(limits or Limits())
    for job in jobs:
        queue.push(numbers.batch(ord(job)))
    return queue


def order(queue: Queue) -> str:
    return "".join(chr(queue.pop().job.id) for _ in range(len(queue)))


def test_jobs_are_served_in_turn(numbers: Numbers) -> None:
    assert order(filled(numbers, "aaaabbc")) == "abcabaa"


def test_a_job_that_comes_back_is_served_first_and_its_batches_in_order(numbers: Numbers) -> None:
    queue = filled(numbers, "aabb")
    first, second = queue.pop(), queue.pop()
    queue.push(second, front=True)
    queue.push(first, front=True)
    assert [queue.pop().id for _ in range(4)] == [first.id, second.id, 2, 4]


def test_a_job_that_steps_back_goes_behind_the_others(numbers: Numbers) -> None:
    queue = filled(numbers, "abc")
    queue.rotate()
    assert order(queue) == "bca"


def test_an_empty_queue_takes_one_of_any_size() -> None:
    queue = Queue(Limits(batches=1, bytes=10))
    assert queue.has_room(1000)
    queue.reserve(1, 1000)
    assert not queue.has_room(0)
    queue.release(1, 1000)
    assert queue.has_room(1000)


def test_both_bounds_count_what_waits_and_what_is_reserved(numbers: Numbers) -> None:
    queue = Queue(Limits(batches=3, bytes=100))
    queue.push(numbers.batch(1, 40))
    queue.reserve(2, 40)
    assert queue.has_room(20)
    assert not queue.has_room(21)
    queue.push(numbers.batch(3, 0))
    assert not queue.has_room(0)


def test_what_only_points_at_the_upload_holds_no_bytes(numbers: Numbers) -> None:
    queue = Queue(Limits(bytes=100))
    passed_on = numbers.batch(1)
    passed_on.bytes = 5000
    queue.push(passed_on)
    assert queue.bytes == 0
    assert queue.has_room(100)


@pytest.mark.parametrize(("batches", "share"), [(1, 1), (2, 1), (4, 3), (16, 12)])
def test_one_job_fills_three_quarters(batches: int, share: int, numbers: Numbers) -> None:
    queue = Queue(Limits(batches=batches))
    for count in range(share):
        assert queue.share_left(1, 10)
        if count % 2:
            queue.push(numbers.batch(1))
        else:
            queue.reserve(1, 0)
    assert not queue.share_left(1, 10)
    assert queue.share_left(2, 10)


def test_one_job_fills_three_quarters_of_the_bytes_too(numbers: Numbers) -> None:
    queue = Queue(Limits(batches=16, bytes=100))
    assert queue.share_left(1, 500)  # its only one may be of any size
    queue.reserve(1, 30)
    assert queue.share_left(1, 45)
    queue.push(numbers.batch(1, 20))
    assert not queue.share_left(1, 26)
    assert queue.share_left(1, 25)
    queue.release(1, 30)
    assert queue.share_left(1, 55)


class QueueMachine(RuleBasedStateMachine):
    """A queue against a list of lists."""

    @initialize()
    def begin(self) -> None:
        self.queue = Queue(Limits(batches=4, bytes=100))
        self.numbers = Numbers()
        self.turns: list[tuple[int, list[Batch]]] = []

    @rule(job=st.integers(1, 4), size=st.integers(0, 60), front=st.booleans())
    def push(self, job: int, size: int, front: bool) -> None:
        batch = self.numbers.batch(job, size)
        self.queue.push(batch, front=front)
        waiting = next((batches for other, batches in self.turns if other == job), None)
        if waiting is None:
            self.turns.insert(0 if front else len(self.turns), (job, [batch]))
        else:
            waiting.insert(0 if front else len(waiting), batch)

    @precondition(lambda self: self.turns)
    @rule()
    def pop(self) -> None:
        expected = self.turns[0][1][0]
        assert self.queue.peek() is expected
        assert self.queue.pop() is expected
        job, batches = self.turns.pop(0)
        if batches[1:]:
            self.turns.append((job, batches[1:]))

    @rule()
    def rotate(self) -> None:
        self.queue.rotate()
        self.turns = self.turns[1:] + self.turns[:1]

    @rule(job=st.integers(1, 4))
    def remove(self, job: int) -> None:
        gone = [batch for other, batches in self.turns if other == job for batch in batches]
        assert self.queue.remove_job(job) == gone
        self.turns = [one for one in self.turns if one[0] != job]

    @rule(job=st.integers(1, 4), sizes=st.lists(st.integers(0, 50), min_size=1, max_size=3))
    def reserve_and_release(self, job: int, sizes: list[int]) -> None:
        before = (self.queue.reserved, self.queue.reserved_bytes, self.queue.share_left(job, 20))
        for size in sizes:
            self.queue.reserve(job, size)
        assert self.queue.reserved == before[0] + len(sizes)
        self.queue.release(job, sum(sizes), len(sizes))
        assert (self.queue.reserved, self.queue.reserved_bytes, self.queue.share_left(job, 20)) == before

    @invariant()
    def it_counts_right(self) -> None:
        if hasattr(self, "queue"):
            waiting = [batch for _, batches in self.turns for batch in batches]
            assert sorted(batch.id for batch in self.queue) == sorted(batch.id for batch in waiting)
            assert len(self.queue) == len(waiting)
            assert self.queue.bytes == sum(batch.held_bytes for batch in waiting)


TestQueue = QueueMachine.TestCase
