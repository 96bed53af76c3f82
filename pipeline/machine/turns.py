"""How extract takes turns: which upload may go between the batches of archives that are being read. Pure.

At most two archives are open side by side; beyond those only small uploads go between, and one that turns out to be
many batches is put back in its queue, with its checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.config import MIB

MAX_OPEN: Final = 2  # archives that are read in turns
SMALL_BYTES: Final = 16 * MIB  # of an upload that may go between wherever it is the smallest
_SHARE: Final = 4  # how many times smaller than the one archive that is open another may be, whatever its size


def may_overtake(size: int, readers: Sequence[int]) -> bool:
    """Whether an upload of SIZE bytes may be begun while uploads of READERS bytes each (one at least) are being read."""
    smallest = min(readers)
    limit = min(SMALL_BYTES, smallest)
    if len(readers) < MAX_OPEN:
        limit = max(limit, smallest // _SHARE)
    return len(readers) <= MAX_OPEN and size < limit
