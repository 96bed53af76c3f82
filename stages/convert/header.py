"""Whether a table's first record names its columns, by evidence; and names that every reader takes."""

from __future__ import annotations

from collections import Counter

import msgspec

from stages.convert.kinds import NULL, TEXT, classify, join_all


class Header(msgspec.Struct, frozen=True):
    """`skip` records stand before the data, the last of them the header if `is_present`."""

    names: tuple[str, ...]
    skip: int
    is_present: bool
    confidence: float
    width: int


def decide(rows: list[list[str]]) -> Header:
    """What the first of ROWS are; blank rows count as rows."""
    filled = [index for index, row in enumerate(rows) if any(cell.strip() for cell in row)]
    if not filled:
        return Header((), len(rows), False, 0.0, 0)
    width = _width([rows[index] for index in filled])
    first = next((index for index in filled if len(rows[index]) >= width), filled[0])
    below = [rows[index] for index in filled if index > first]
    vote = _vote(rows[first], below)
    if vote < 0:
        return Header(unique_names([""] * width), first, False, min(1.0, 0.5 - vote / 10), width)
    names = unique_names(rows[first] + [""] * (width - len(rows[first])))
    return Header(names[: max(width, len(rows[first]))], first + 1, True, min(1.0, 0.5 + vote / 10), len(names))


def _width(rows: list[list[str]]) -> int:
    """The width that most rows have; of two as common, the larger."""
    widths = Counter(map(len, rows))
    return max(widths, key=lambda width: (widths[width], width))


def _vote(first: list[str], below: list[list[str]]) -> float:
    """Above 0 for a header, below for a record: column by column."""
    vote = 0.0
    for index, cell in enumerate(first):
        kind = classify(cell.strip())
        column = [row[index].strip() for row in below if index < len(row)]
        column_kind = join_all(column)
        if kind == NULL:
            vote -= 0.2
        elif kind != TEXT:
            vote -= 1.0 if kind.name == column_kind.name or not column else 0.3
        elif column_kind not in (TEXT, NULL):
            vote += 1.0
        elif cell.strip() in column:
            vote -= 0.7
    return vote if vote or len(set(first)) == len(first) else -0.1


def unique_names(names: list[str]) -> tuple[str, ...]:
    """NAMES trimmed, filled (`column_3`) and told apart (`name_2`), case aside, as SQL readers need it."""
    taken: set[str] = set()
    result = []
    for number, name in enumerate(names, 1):
        base = " ".join(name.replace("\0", "").split()) or f"column_{number}"
        candidate, copy = base, 2
        while candidate.lower() in taken:
            candidate, copy = f"{base}_{copy}", copy + 1
        taken.add(candidate.lower())
        result.append(candidate)
    return tuple(result)
