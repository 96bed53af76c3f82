"""The tables of a sheet: rectangles of cells with blank rows or columns between them. Pure decisions.

A blank line within a table is no border: a new table begins only where its first row looks like a header of what's
below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from stages.convert.values.header import Header, decide

MOST_PARTS = 50  # stretches of rows that are looked at one by one; a sheet with more is one table
LOOK = 40  # rows of a stretch that are looked at
_APART = 1.0  # how sure a header must be to begin another table: the confidence that one typed column gives

Texts = Callable[[int, int], list[list[str]]]  # the rows from one number to another as text


class Region(msgspec.Struct, frozen=True):
    """Rows FIRST up to LAST, columns LEFT up to RIGHT (the ends not included), and what its first rows are."""

    first: int
    last: int
    left: int
    right: int
    header: Header


def find(masks: Sequence[int], texts: Texts) -> list[Region]:
    """The regions of a sheet whose row i has its filled cells as bits of MASKS[i]."""
    parts = _stretches(masks)
    if len(parts) > MOST_PARTS:
        parts = [(parts[0][0], parts[-1][1])]
    tables: list[tuple[int, int]] = []
    for part in parts:
        if tables and not _begins_table(masks, tables[-1], part, texts):
            tables[-1] = (tables[-1][0], part[1])
        else:
            tables.append(part)
    return [region for first, last in tables for region in _side_by_side(masks, first, last, texts)]


def _stretches(masks: Sequence[int]) -> list[tuple[int, int]]:
    """The stretches of rows without a blank one between."""
    found: list[tuple[int, int]] = []
    for row, mask in enumerate(masks):
        if not mask:
            continue
        if found and found[-1][1] == row:
            found[-1] = (found[-1][0], row + 1)
        else:
            found.append((row, row + 1))
    return found


def _begins_table(masks: Sequence[int], before: tuple[int, int], part: tuple[int, int], texts: Texts) -> bool:
    """Whether PART is a table of its own after the one that ends BEFORE it: that has records, and this a header."""
    if before[1] - before[0] < 2 or part[1] - part[0] < 2:
        return False
    mask = _union(masks, *part)
    left, right = _bounds(mask)
    if left == right - 1:
        return False
    header = decide(_cut(texts(part[0], min(part[1], part[0] + LOOK)), left, right))
    is_like_before = masks[part[0]] == masks[before[1] - 1] and _union(masks, *before) == mask
    return header.is_present and header.skip <= 2 and (header.confidence > 0.55 or not is_like_before)


def _side_by_side(masks: Sequence[int], first: int, last: int, texts: Texts) -> list[Region]:
    """The regions of rows FIRST up to LAST: more than one where blank columns part tables of their own headers."""
    rows = texts(first, min(last, first + LOOK))
    groups = _groups(_union(masks, first, last))
    headers = [decide(_cut(rows, left, right)) for left, right in groups]
    if len(groups) > 1 and all(
        right - left > 1 and header.is_present for (left, right), header in zip(groups, headers, strict=True)
    ):
        return [Region(first, last, left, right, header) for (left, right), header in zip(groups, headers, strict=True)]
    left, right = groups[0][0], groups[-1][1]
    return [Region(first, last, left, right, decide(_cut(rows, left, right)))]


def _union(masks: Sequence[int], first: int, last: int) -> int:
    mask = 0
    for row in range(first, last):
        mask |= masks[row]
    return mask


def _bounds(mask: int) -> tuple[int, int]:
    return (mask & -mask).bit_length() - 1, mask.bit_length()


def _groups(mask: int) -> list[tuple[int, int]]:
    """The stretches of set bits in MASK."""
    found: list[tuple[int, int]] = []
    for column in range(mask.bit_length()):
        if not mask >> column & 1:
            continue
        if found and found[-1][1] == column:
            found[-1] = (found[-1][0], column + 1)
        else:
            found.append((column, column + 1))
    return found


def _cut(rows: Sequence[Sequence[str]], left: int, right: int) -> list[list[str]]:
    return [[*row[left:right], *[""] * (right - max(left, len(row)))] for row in rows]


def facts_of(first: int, last: int, left: int, right: int, header: Header) -> dict[str, Any]:
    """What the manifest says of the table in rows FIRST up to LAST and columns LEFT up to RIGHT of a sheet, from 0."""
    return {
        "range": f"{_letters(left)}{first + 1}:{_letters(right - 1)}{last}",
        "has_header": header.is_present,
        "header_confidence": header.confidence,
    }


def _letters(column: int) -> str:
    name = ""
    while column >= 0:
        column, rest = column // 26 - 1, column % 26
        name = chr(65 + rest) + name
    return name
