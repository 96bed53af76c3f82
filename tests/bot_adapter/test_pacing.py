"""Edits: the latest wins, equal ones are skipped, and Telegram is never pressed."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from bot_adapter.pacing import CHAT_GAP_S, GAP_S, GROUP_GAP_S, Pacer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(chat: int = 7) -> tuple[Pacer, Clock]:
    clock = Clock()
    pacer = Pacer(clock)
    pacer.add(1, chat, "sent")
    return pacer, clock


def test_nothing_is_edited_that_says_what_it_should() -> None:
    pacer, clock = made()
    pacer.want(1, "sent")
    clock.now += 100
    assert pacer.next() == (None, math.inf)


def test_an_edit_waits_its_time_and_the_latest_text_wins() -> None:
    pacer, clock = made()
    pacer.want(1, "10 %")
    pacer.want(1, "20 %")
    assert pacer.next() == (None, GAP_S)
    clock.now += GAP_S
    assert pacer.next().key == 1 and pacer.wanted(1) == "20 %"
    pacer.edited(1, "20 %")
    assert pacer.next() == (None, math.inf)


def test_groups_are_edited_less_often() -> None:
    pacer, _ = made(chat=-7)
    pacer.want(1, "10 %")
    assert pacer.next() == (None, GROUP_GAP_S)


def test_what_is_wanted_before_the_message_is_there_is_kept() -> None:
    pacer, clock = made()
    pacer.want(1, "new")
    pacer.add(1, 7, "sent again")
    clock.now += GAP_S
    assert pacer.next().key == 1 and pacer.wanted(1) == "new"


def test_a_flood_wait_holds_all() -> None:
    pacer, clock = made()
    pacer.want(1, "x")
    clock.now += GAP_S
    pacer.flooded(30.0)
    assert pacer.next() == (None, 30.0)
    clock.now += 30.0
    assert pacer.next().key == 1


def test_forgotten_is_forgotten() -> None:
    pacer, clock = made()
    pacer.want(1, "x")
    pacer.forget(1)
    pacer.edited(1, "x")
    clock.now += 100
    assert pacer.next() == (None, math.inf) and not pacer.knows(1)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from("abc"), st.floats(0, 2)), max_size=60),
    st.sampled_from([7, -7]),
)
def test_the_gaps_hold_and_each_comes_to_say_what_it_should(wants: list[tuple[int, str, float]], chat: int) -> None:
    clock = Clock()
    pacer = Pacer(clock)
    for key in range(1, 5):
        pacer.add(key, chat, "sent")
    said: dict[int, list[tuple[float, str]]] = {key: [(clock.now, "sent")] for key in range(1, 5)}

    def turn() -> bool:
        found = pacer.next()
        if found.key is not None:
            said[found.key].append((clock.now, pacer.wanted(found.key)))
            pacer.edited(found.key, pacer.wanted(found.key))
            return True
        clock.now += min(found.wait_s, 100.0)
        return not math.isinf(found.wait_s)

    for key, text, passed in wants:
        pacer.want(key, text)
        clock.now += passed
        turn()
    while turn():
        pass
    least = GAP_S if chat > 0 else GROUP_GAP_S
    for key, story in said.items():
        assert story[-1][1] == next((text for one, text, _ in reversed(wants) if one == key), "sent")
        assert all(b[0] - a[0] >= least - 1e-6 and a[1] != b[1] for a, b in itertools.pairwise(story))
    moments = sorted(at for story in said.values() for at, _ in story[1:])
    assert all(b - a >= CHAT_GAP_S - 1e-6 for a, b in itertools.pairwise(moments))
