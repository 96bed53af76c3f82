"""The first rows of a table in monospace, narrow enough for a phone. Pure."""

from __future__ import annotations

import unicodedata
from typing import Final, NamedTuple

from bot_adapter.words import plain

WIDTH: Final = 36  # characters of monospace that a phone shows on one line
ROWS: Final = 5
_CELL: Final = 14  # at most, where several columns are to fit
_GAP: Final = " "


class Preview(NamedTuple):
    """The first rows of a table as text, None for a missing value; `numeric` says which columns hold numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    numeric: tuple[bool, ...]


def draw(preview: Preview, width: int = WIDTH) -> tuple[str, int]:
    """PREVIEW as lines of at most WIDTH, and how many of its columns found no room."""
    cells = [[_cell(name) for name in preview.columns]]
    cells += [["∅" if value is None else _cell(value) for value in row] for row in preview.rows[:ROWS]]
    widths: list[int] = []
    for column in zip(*cells, strict=True):
        wanted = max(1, min(_CELL, max(map(columns_wide, column))))
        left = width - sum(widths) - len(widths) * len(_GAP)
        if widths and wanted > left:
            break
        widths.append(wanted)
    if len(preview.columns) == 1:
        widths = [min(width, max(columns_wide(row[0]) for row in cells))]
    lines = [
        _GAP.join(_fit(row[at], widths[at], right=preview.numeric[at]) for at in range(len(widths))).rstrip()
        for row in cells
    ]
    rule = _GAP.join("─" * one for one in widths)
    return "\n".join([lines[0], rule, *lines[1:]]), len(preview.columns) - len(widths)


def columns_wide(text: str) -> int:
    """How many columns of monospace TEXT takes: two for wide East Asian letters and emoji, none for marks."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _cell(text: str) -> str:
    return plain(text, 200)


def _fit(text: str, width: int, *, right: bool) -> str:
    """TEXT cut or padded to WIDTH; numbers stand on the RIGHT."""
    if columns_wide(text) > width:
        kept = ""
        for char in text:
            if columns_wide(kept + char) > width - 1:
                break
            kept += char
        text = kept + "…"
    pad = " " * (width - columns_wide(text))
    return pad + text if right else text + pad
