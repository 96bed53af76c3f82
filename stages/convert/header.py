"""Whether a table's first record names its columns, by evidence; and names that every reader takes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from stages.convert.kinds import TEXT, Kind, classify, join, join_all

_BELOW = 12  # records compared with the first one,
_END = 4  # and some from the sample's end


class Header(msgspec.Struct, frozen=True):
    """`skip` records stand before the data, the last of them the header if `is_present`."""

    names: tuple[str, ...]
    skip: int
    is_present: bool
    confidence: float
    kinds: tuple[Kind, ...] = ()  # of the columns, as far as a few records tell

    @property
    def width(self) -> int:
        """How many fields a record has."""
        return len(self.names)


def decide(rows: Sequence[Sequence[str]]) -> Header:
    """What the first of ROWS are; blank rows count as rows."""
    filled = [index for index, row in enumerate(rows) if any(cell.strip() for cell in row)]
    if not filled:
        return Header((), len(rows), False, 0.0)
    width = _width([rows[index] for index in filled])
    first = _first(rows, filled, width)
    below = [rows[index] for index in filled if index > first and len(rows[index]) == width]
    columns = _columns(below[:_BELOW] + below[_BELOW:][-_END:], width)
    kinds = tuple(map(join_all, columns))
    vote = _vote(rows[first], columns, kinds)
    confidence = round(min(1.0, 0.5 + abs(vote) / 8), 3)
    if vote < 0:
        kinds = tuple(join(kind, classify(cell)) for kind, cell in zip(kinds, rows[first], strict=False))
        return Header(unique_names([""] * width), first, False, confidence, kinds)
    return Header(_header_names(rows[first], below, width), first + 1, True, confidence, kinds)


def _columns(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    return [[row[index].strip() for row in rows] for index in range(width)]


def _width(rows: Sequence[Sequence[str]]) -> int:
    """The width that most rows have; of two as common, the larger."""
    widths = Counter(map(len, rows))
    return max(widths, key=lambda width: (widths[width], width))


def _first(rows: Sequence[Sequence[str]], filled: Sequence[int], width: int) -> int:
    """The first row that is part of the table: what stands before is a title or the like."""
    typical = sorted(sum(map(bool, map(str.strip, rows[index]))) for index in filled)[len(filled) // 2]
    for index in filled:
        cells = sum(1 for cell in rows[index] if cell.strip())
        is_title = cells == 1 and typical >= 3
        if len(rows[index]) >= width - 1 and not is_title and not rows[index][0].startswith("#"):
            return index
    return filled[0]


def _header_names(first: Sequence[str], below: Sequence[Sequence[str]], width: int) -> tuple[str, ...]:
    """The names in FIRST for WIDTH columns. Where one is missing, it's the last one's if that is always empty, else
    the first one's: a column of row names."""
    names = [cell.strip() for cell in first]
    if len(names) == width - 1 and below and any(row[-1].strip() for row in below if len(row) == width):
        names.insert(0, "")
    return unique_names(names + [""] * (width - len(names)))


def _vote(first: Sequence[str], columns: Sequence[Sequence[str]], kinds: Sequence[Kind]) -> float:
    """0 or more for a header, less for a record: by what kinds say, and only where they say little by the texts."""
    cells = [cell.strip() for cell in first]
    found = list(map(classify, cells))
    vote = sum(map(_vote_kind, found, kinds))
    if abs(vote) < 1:
        texts = (index for index in range(min(len(cells), len(kinds))) if kinds[index] == TEXT and found[index] == TEXT)
        vote += sum(_vote_text(cells[index], [text for text in columns[index] if text]) for index in texts)
    return vote


def _vote_kind(cell: Kind, column: Kind) -> float:
    if cell.name == "null":
        return -0.2
    if cell != TEXT:
        return -1.0 if column.name in (cell.name, "null") else -0.3
    return 0.0 if column.name in ("text", "null") else 1.0


def _vote_text(cell: str, column: Sequence[str]) -> float:
    """How much CELL differs from the texts below it."""
    vote = 0.0
    if cell in column:
        vote -= 0.7
    lengths = set(map(len, column))
    if len(column) > 2 and len(lengths) == 1:
        vote += 0.4 if len(cell) not in lengths else -0.2
    shape = {_shape(text) for text in column}
    if len(column) > 2 and len(shape) == 1:
        vote += 0.4 if _shape(cell) not in shape else -0.1
    if cell.lower().replace("_", " ") in _NAMES:
        vote += 0.4
    return vote - (0.3 if len(cell) > 60 else 0.0)


def _shape(text: str) -> str:
    """TEXT's shape: letters, digits and what stands between them."""
    return _RUNS.sub(r"\1", re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "0", text)))


_RUNS = re.compile(r"(.)\1+")
_NAMES = frozenset(
    [
        "id",
        "name",
        "date",
        "time",
        "value",
        "type",
        "code",
        "key",
        "title",
        "description",
        "comment",
        "comments",
        "url",
        "email",
        "price",
        "amount",
        "total",
        "quantity",
        "qty",
        "city",
        "country",
        "state",
        "address",
        "phone",
        "zip",
        "status",
        "user",
        "category",
        "label",
        "number",
        "year",
        "month",
        "day",
        "text",
    ]
)


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
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
