"""What a cell of a sheet is, in a byte: by its type, and for numbers by what its style shows."""

from __future__ import annotations

EMPTY, NUMBER, DAY, CLOCK, LENGTH, SHARED, TEXT, BOOLEAN, ERROR = range(9)
