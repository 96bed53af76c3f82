from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot_adapter.transfer_window import FREE, PREMIUM, START, Ceiling, Rotation, Window


def _grown(ceiling: Ceiling) -> Window:
    window = Window(ceiling)
    for _ in range(100):
        window.answered(window.size - 1)
    return window


def test_starts_small_and_grows_to_the_ceiling() -> None:
    window = Window(PREMIUM)
    assert (window.size, window.lanes) == (START, 2)
    window = _grown(PREMIUM)
    assert (window.size, window.lanes) == (32, 8)


def test_without_premium_two_connections_with_two_requests_each_are_all() -> None:
    window = _grown(FREE)
    assert (window.size, window.lanes) == (4, 2)


def test_doesnt_grow_while_it_isnt_used() -> None:
    window = Window(PREMIUM)
    for _ in range(100):
        window.answered(0)
    assert window.size == START


def test_a_flood_halves_it_and_pauses() -> None:
    window = _grown(PREMIUM)
    window.flooded(5, now=100.0)
    assert window.size == 16
    assert window.pause_s(101.0) == 4.0
    assert window.pause_s(105.0) == 0.0


def test_what_was_sent_before_a_pause_halves_it_only_once() -> None:
    window = _grown(PREMIUM)
    for moment in (100.0, 100.1, 103.0, 105.5):
        window.flooded(5, now=moment)
    assert window.size == 16
    window.flooded(1, now=120.0)
    assert window.size == 8


def test_after_a_flood_it_grows_slowly() -> None:
    window = _grown(PREMIUM)
    window.flooded(1, now=0.0)
    for _ in range(16):
        window.answered(window.size - 1)
    assert window.size == 16
    for _ in range(30):
        window.answered(window.size - 1)
    assert window.size == 18


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(1, 100)), max_size=200), st.sampled_from([FREE, PREMIUM, Ceiling(1, 1)])
)
def test_stays_within_its_bounds(events: list[float], ceiling: Ceiling) -> None:
    window = Window(ceiling)
    for moment, wait in enumerate(events):
        window.flooded(wait, now=float(moment)) if wait else window.answered(window.size - 1)
        assert 1 <= window.size <= ceiling.requests
        assert 1 <= window.lanes <= ceiling.lanes


def test_everyone_has_a_turn() -> None:
    rotation: Rotation[str] = Rotation()
    for name in "abc":
        rotation.add(name)
    served = [next(iter(rotation.turn())) for _ in range(6)]
    assert sorted(served[:3]) == ["a", "b", "c"]
    assert served[:3] == served[3:]


def test_who_comes_is_next_and_who_goes_is_not_served() -> None:
    rotation: Rotation[str] = Rotation()
    rotation.add("old")
    rotation.add("new")
    assert next(iter(rotation.turn())) == "new"
    rotation.remove("new")
    rotation.remove("new")
    assert list(rotation) == ["old"]
