"""What a cell of a sheet is, in a byte: by its type, and for numbers by what its style shows. Several are bits of a number."""

from __future__ import annotations

EMPTY, NUMBER, DAY, CLOCK, LENGTH, SHARED, TEXT, BOOLEAN, ERROR = range(9)


def bits(*codes: int) -> int:
    """CODES as bits."""
    return sum(1 << code for code in codes)


NOTHING = bits(EMPTY, ERROR)
NUMBERS, BOOLEANS, CLOCKS = bits(NUMBER), bits(BOOLEAN), bits(CLOCK)
MOMENTS, TEXTS = bits(DAY, CLOCK), bits(SHARED, TEXT)
