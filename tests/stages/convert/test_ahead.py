"""One thread ahead of another: in order, never stuck, whichever of them ends first."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from stages.convert.ahead import ahead, mapped


def alive() -> int:
    return sum(thread.name == "ahead" for thread in threading.enumerate())


def test_all_pieces_in_order() -> None:
    assert list(ahead(lambda: iter(range(1000)))) == list(range(1000))
    assert alive() == 0


def test_what_the_maker_raises_is_raised_after_its_pieces() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    pieces = ahead(make)
    assert next(pieces) == 1
    with pytest.raises(ValueError, match="no more"):
        next(pieces)
    assert alive() == 0


def test_a_taker_that_leaves_early_ends_the_maker() -> None:
    pieces = ahead(lambda: iter(range(10**9)))
    assert next(pieces) == 0
    pieces.close()  # type: ignore[attr-defined]
    assert alive() == 0


def test_mapped_keeps_the_order() -> None:
    assert list(mapped(iter(range(1000)), lambda number: -number, threads=3)) == [-number for number in range(1000)]


def test_mapped_raises_in_order_and_ends_its_threads() -> None:
    def work(number: int) -> float:
        return 1 / (3 - number)

    found = mapped(iter(range(100)), work)
    assert [next(found) for _ in range(3)] == [1 / 3, 1 / 2, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert not any(thread.name.startswith("mapped") for thread in threading.enumerate())


def test_a_taker_that_leaves_early_ends_all_that_is_mapped() -> None:
    found = mapped(ahead(lambda: iter(range(10**9))), lambda number: number)
    assert next(found) == 0
    found.close()  # type: ignore[attr-defined]
    assert alive() == 0
    assert not any(thread.name.startswith("mapped") for thread in threading.enumerate())
