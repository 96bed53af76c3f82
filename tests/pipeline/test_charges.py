"""Who is charged for a worker's death: files that kill it, soon and by name; never those that were only there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pipeline.machine.charges import MAX_ORPHANED, Death, Verdict, charge, orphan
from pipeline.machine.work import Batch, Job, decode_mark
from pipeline.model import Options, StageName, Upload
from pipeline.processes.blackbox import Entry

OUTSIDE = Death(-9)
SEGFAULT = Death(-11)
OF_ITS_OWN = [SEGFAULT, Death(1), Death(-6), Death(-9, ours="over its memory limit"), Death(-9, out_of_memory=True)]


@pytest.fixture
def batch() -> Batch:
    return made()


def made() -> Batch:
    upload = Upload(path="/in/a", name="a", size=1, mtime_ns=0, inode=0, device=0)
    return Batch(1, Job(1, upload, Options()), 0, StageName.EXTRACT)


def at(member: int, done_bytes: int = 0) -> Entry:
    return Entry(pid=7, batch=1, attempt=1, member=member, done_bytes=done_bytes, started_at=0.0)


def crashed(batch: Batch) -> tuple[int, ...]:
    return decode_mark(batch.mark).crashed


@pytest.mark.parametrize("death", OF_ITS_OWN)
def test_a_member_that_kills_its_worker_is_given_up_on_at_the_third_death(batch: Batch, death: Death) -> None:
    verdicts = [charge(batch, at(4, 100), death) for _ in range(3)]
    assert verdicts == [Verdict.CHARGED, Verdict.CHARGED, Verdict.MEMBER]
    assert crashed(batch) == (4,)
    assert not batch.is_suspect, "what is left of it is trusted again"


def test_a_batch_that_dies_before_any_member_is_given_up_on_whole(batch: Batch) -> None:
    verdicts = [charge(batch, at(-1), SEGFAULT) for _ in range(3)]
    assert verdicts == [Verdict.CHARGED, Verdict.CHARGED, Verdict.WHOLE]


def test_progress_clears_the_charges(batch: Batch) -> None:
    for member in range(20):
        assert charge(batch, at(member), SEGFAULT) is Verdict.CHARGED
        assert batch.charges == 1


def test_a_batch_closed_since_is_progress_whatever_the_member(batch: Batch) -> None:
    charge(batch, at(900, 5000), SEGFAULT)
    charge(batch, at(900, 5000), SEGFAULT)
    assert batch.charges == 2
    batch.closed += 1
    assert charge(batch, at(3, 0), SEGFAULT) is Verdict.CHARGED
    assert batch.charges == 1


def test_several_poisonous_members_are_found_one_after_the_other(batch: Batch) -> None:
    found = [charge(batch, at(member), SEGFAULT) for member in (2, 2, 2, 5, 5, 5)]
    assert found.count(Verdict.MEMBER) == 2
    assert crashed(batch) == (2, 5)


def test_a_kill_from_outside_counts_where_it_strikes_again(batch: Batch) -> None:
    verdicts = [charge(batch, at(3, 50), OUTSIDE) for _ in range(7)]
    assert Verdict.MEMBER in verdicts
    assert crashed(batch)[0] == 3


@given(points=st.lists(st.tuples(st.integers(-1, 9), st.integers(0, 99)), unique=True, max_size=30))
def test_kills_from_outside_that_strike_at_other_points_give_nobody_up(points: list[tuple[int, int]]) -> None:
    batch = made()
    for member, done in points:
        assert charge(batch, at(member, done), OUTSIDE) in (Verdict.INNOCENT, Verdict.CHARGED)
        assert batch.charges <= 1
        assert crashed(batch) == ()


@given(times=st.lists(st.integers(1, 3), min_size=1, max_size=12))
def test_nor_do_kills_that_strike_a_few_times_at_each_point(times: list[int]) -> None:
    batch = made()
    for member, count in enumerate(times, start=-1):
        for _ in range(count):
            assert charge(batch, at(member), OUTSIDE) in (Verdict.INNOCENT, Verdict.CHARGED)
    assert crashed(batch) == ()


class Reader:
    """A stage that reads members 0 to 9, closing a batch now and then; some of them kill it.

    Reading ahead, it dies LAG members before the one that did it; taken singly, at that very one.
    """

    def __init__(self, poison: set[int], closes_after: set[int], lag: int, death: Death) -> None:
        self.poison = poison
        self.closes_after = closes_after
        self.lag = lag
        self.death = death
        self.batch = made()
        self.done = 0  # members behind the checkpoint
        self.closed_at: set[int] = set()

    def run(self, kill_at: int | None) -> Iterator[tuple[Entry, Death]]:
        """One attempt: the death that ended it, or none; KILL_AT says before which member it is killed from outside."""
        mark = decode_mark(self.batch.mark)
        lag = 0 if mark.alone else self.lag
        for member in range(self.done, 10):
            ahead = {one for one in range(member, member + lag + 1) if one in self.poison and one not in mark.crashed}
            seen = member if member > self.done or mark.alone else -1
            if kill_at is not None and member == kill_at:
                yield at(seen, 1000 * member + 7), OUTSIDE
                return
            if ahead:
                yield at(seen, 1000 * member), self.death
                return
            if member in self.closes_after and member not in self.closed_at:
                self.closed_at.add(member)
                self.done = member + 1
                self.batch.closed += 1
        self.done = 10


@given(
    poison=st.sets(st.integers(0, 9), max_size=3),
    closes_after=st.sets(st.integers(0, 9), max_size=4),
    lag=st.integers(0, 3),
    death=st.sampled_from(OF_ITS_OWN),
    kills=st.lists(st.integers(0, 9), unique=True, max_size=6),
    spread=st.integers(0, 3),
)
def test_poison_is_singled_out_among_kills_and_nobody_else(
    poison: set[int], closes_after: set[int], lag: int, death: Death, kills: list[int], spread: int
) -> None:
    reader = Reader(poison, closes_after, lag, death)
    deaths, most = 0, 6 * len(poison) + 6 + len(kills)  # a kill in between may let one more of its own go by
    for attempt in itertools.count():
        kill_at = kills.pop() if kills and attempt % (spread + 1) == 0 else None
        ended = next(reader.run(kill_at), None)
        if ended is None:
            break
        deaths += ended[1] is death
        verdict = charge(reader.batch, *ended)
        assert verdict is not Verdict.WHOLE
        assert set(crashed(reader.batch)) <= poison
        assert attempt < 100
    assert set(crashed(reader.batch)) == poison
    assert deaths <= most


def test_a_batch_that_takes_the_supervisor_down_is_charged_at_the_fifth_time(batch: Batch) -> None:
    verdicts = [orphan(batch, at(4)) for _ in range(MAX_ORPHANED)]
    assert verdicts == [Verdict.INNOCENT] * (MAX_ORPHANED - 1) + [Verdict.CHARGED]
    assert batch.charges == 1
    while verdicts[-1] is not Verdict.MEMBER:
        verdicts.append(orphan(batch, at(4)))
    assert len(verdicts) <= 3 * MAX_ORPHANED + 1
    assert crashed(batch) == (4,)


def test_it_runs_alone_from_the_first_time_on(batch: Batch) -> None:
    orphan(batch, at(4))
    assert batch.is_suspect


def test_with_progress_the_supervisors_deaths_charge_nobody(batch: Batch) -> None:
    for member in range(40):
        assert orphan(batch, at(member)) is Verdict.INNOCENT
    assert batch.charges == 0


@pytest.mark.parametrize(
    ("death", "words"),
    [
        (Death(-11), "signal SIGSEGV"),
        (Death(1), "exit code 1"),
        (Death(-9, ours="over its memory limit"), "over its memory limit"),
        (Death(-9, out_of_memory=True), "ended by the kernel for want of memory"),
        (Death(-40), "signal 40"),
    ],
)
def test_a_death_in_words(death: Death, words: str) -> None:
    assert death.words == words
