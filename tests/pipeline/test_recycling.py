"""When a worker is replaced for the memory that it holds."""

from __future__ import annotations

from pipeline.config import MIB
from pipeline.machine.recycling import Recycler, Seen
from pipeline.model import StageName

CONVERT = StageName.CONVERT


def seen(rss: int, *, pid: int = 7, idle: bool = True, finished: int = 0) -> Seen:
    return Seen(CONVERT, pid, idle, finished, rss * MIB)


def test_one_that_has_grown_is_replaced_when_it_has_been_idle_for_a_while() -> None:
    recycler = Recycler()
    assert recycler.look([seen(60)], 0.0) == []
    assert recycler.look([seen(300, idle=False)], 10.0) == []
    assert recycler.look([seen(120)], 60.0) == []
    assert recycler.look([seen(120)], 70.0) == [CONVERT]


def test_its_successor_begins_anew() -> None:
    recycler = Recycler()
    for now in (0.0, 100.0):
        assert recycler.look([seen(200, pid=int(now))], now) == [], "as large as it came"
    assert recycler.look([seen(200, pid=100)], 1000.0) == []


def test_one_that_works_or_is_small_stays() -> None:
    recycler = Recycler()
    recycler.look([seen(60)], 0.0)
    assert recycler.look([seen(900, idle=False)], 1000.0) == []
    assert recycler.look([seen(80)], 2000.0) == []


def test_one_that_was_at_work_before_it_was_looked_at_is_compared_with_what_is_usual() -> None:
    for first in (seen(400, idle=False), seen(130, finished=1)):
        recycler = Recycler()
        recycler.look([first], 0.0)
        assert recycler.look([seen(130, finished=1)], 100.0) == [CONVERT]
