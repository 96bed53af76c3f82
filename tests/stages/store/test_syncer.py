"""The threads that wait for the disk: all calls are made, and what one raises comes out."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from stages.store.syncer import LOT, THREADS, Syncer


def test_all_calls_are_made() -> None:
    syncer = Syncer()
    lots: list[int] = []
    made: list[int] = []
    for count in (0, 1, 3, 2 * LOT + 1):
        made.clear()
        lots.clear()
        syncer.run((partial(made.append, number) for number in range(count)), lambda: lots.append(len(made)))
        assert sorted(made) == list(range(count))
        assert len(lots) == -(-count // LOT)


def test_calls_wait_side_by_side() -> None:
    together = threading.Barrier(THREADS)
    Syncer().run(together.wait for _ in range(THREADS))  # type: ignore[misc]


@pytest.mark.parametrize("at", [0, 5])
def test_an_error_comes_out_when_all_have_ended(at: int) -> None:
    made: list[int] = []

    def call(number: int) -> None:
        made.append(number)
        if number == at:
            raise OSError(5, "Input/output error")

    syncer = Syncer()
    with pytest.raises(OSError, match="Input/output"):
        syncer.run(partial(call, number) for number in range(20))
    assert sorted(made) == list(range(20))
    syncer.run([partial(made.append, 99)])
    assert made[-1] == 99
