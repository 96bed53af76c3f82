import math

from pipeline.machine.chores import Chores


def test_each_is_done_at_once_and_then_by_its_own_period():
    done: list[str] = []
    chores = Chores()
    chores.every(1.0, lambda: done.append("often"))
    chores.every(5.0, lambda: done.append("seldom"))
    for now in (10.0, 10.5, 11.0, 12.0, 15.0):
        chores.do(now)
    assert done == ["often", "seldom", "often", "often", "often", "seldom"]
    assert chores.due_at == 16.0


def test_without_any_nothing_is_ever_due():
    assert Chores().due_at == math.inf
