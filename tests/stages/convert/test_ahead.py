"""One thread ahead of another: in order, never stuck, whichever of them ends first."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from stages.convert.ahead import ahead


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
