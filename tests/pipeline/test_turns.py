"""Who may go between the batches of archives that are being read."""

from __future__ import annotations

import pytest

from pipeline.config import GIB, MIB
from pipeline.machine.turns import MAX_OPEN, SMALL_BYTES, may_overtake


@pytest.mark.parametrize(
    ("size", "readers", "may"),
    [
        (100_000, [4 * GIB], True),
        (GIB - 1, [4 * GIB], True),
        (GIB, [4 * GIB], False),  # not that much smaller
        (SMALL_BYTES - 1, [20 * MIB], True),
        (SMALL_BYTES, [20 * MIB], False),
        (MIB, [MIB], False),  # one of equal size waits its turn
        (MIB - 1, [MIB], True),
        (100_000, [4 * GIB, GIB], True),
        (SMALL_BYTES, [4 * GIB, GIB], False),  # two are open: only what is small, whatever it is compared with
        (MIB, [4 * GIB, MIB], False),
        (1, [4 * GIB, GIB, MIB], False),  # a third is open until it is put back
    ],
)
def test_what_is_much_smaller_goes_between(size: int, readers: list[int], may: bool) -> None:
    assert may_overtake(size, readers) is may
    assert len(readers) <= MAX_OPEN + 1
