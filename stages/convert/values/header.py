"""Whether a table's first record names its columns, by evidence; and names that every reader takes."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from stages.convert.values.kinds import NULL, TEXT, Kind, classify, join, join_all

_BELOW = 12  # records compared with the first one,
_TOP = 60  # rows in which a table has begun
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
    looks = [_look(rows, filled, first, width) for first in _starts(rows, filled, width)]
    best = looks[0]
    for look in looks[1:]:
        best = look if look.vote >= best.vote + 1 else best
    first, kinds = best.first, best.kinds
    confidence = round(min(1.0, 0.5 + abs(best.vote) / 8), 3)
    if best.vote < 0:
        cells = [*rows[first], *[""] * (width - len(rows[first]))]
        kinds = tuple(join(kind, classify(cell)) for kind, cell in zip(kinds, cells, strict=False))
        return Header(unique_names([""] * width), first, False, confidence, kinds)
    names = _header_names(rows[first], best.below, width)
    return Header(names, first + 1, True, confidence, kinds + (NULL,) * (len(names) - len(kinds)))


def told(rows: Sequence[Sequence[str]], at: int) -> Header:
    """The header of ROWS where the file says itself that it's the one AT."""
    width = len(rows[at])
    below = [row for row in rows[at + 1 :] if len(row) == width and any(cell.strip() for cell in row)]
    kinds = tuple(map(join_all, _columns(below[:_BELOW] + below[_BELOW:][-_END:], width)))
    return Header(unique_names(rows[at]), at + 1, True, 1.0, kinds)


class _Look(NamedTuple):
    """What speaks for a header at row FIRST: the vote, the rows below, and their columns' kinds."""

    first: int
    vote: float
    below: list[Sequence[str]]
    kinds: tuple[Kind, ...]


def _look(rows: Sequence[Sequence[str]], filled: Sequence[int], first: int, width: int) -> _Look:
    below = [rows[index] for index in filled if index > first and len(rows[index]) == width]
    below = [row for row in below if row != rows[first]] or below  # a header may be said again on each page
    columns = _columns(below[:_BELOW] + below[_BELOW:][-_END:], width)
    kinds = tuple(map(join_all, columns))
    return _Look(first, _vote(rows[first], columns, kinds), below, kinds)


def _columns(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    return [[row[index].strip() for row in rows] for index in range(width)]


def _width(rows: Sequence[Sequence[str]]) -> int:
    """The first row's width where others share it: it may be a header, and any number of records may be bad. Else the
    width that most rows have; of two as common, the larger."""
    widths = Counter(map(len, rows))
    first = len(rows[0])
    most = max(widths, key=lambda width: (widths[width], width))
    is_shared = widths[first] > max(2, len(rows) // 10) and widths[most] <= 2 * widths[first]
    if first > 1 and is_shared and not _comes_after(rows, first, most):
        return first
    return most


def _comes_after(rows: Sequence[Sequence[str]], first: int, most: int) -> bool:
    """Whether all rows of FIRST width stand above those of MOST: notes above a table."""
    widths = list(map(len, rows))
    return first != most and first not in widths[widths.index(most) :]


def _starts(rows: Sequence[Sequence[str]], filled: Sequence[int], width: int) -> list[int]:
    """Where the table may start: at the first row that is no title or the like, after that if it's not filled, or after
    a blank line near the top."""
    typical = sorted(sum(map(bool, map(str.strip, rows[index]))) for index in filled)[len(filled) // 2]
    apart = {before for before, after in itertools.pairwise(filled[:_TOP]) if after > before + 1}
    above = {index for index in filled[:_TOP] if index in apart and len(rows[index]) != width}
    above |= set(
        filled[: 1 + max((at for at, index in enumerate(filled[:_TOP]) if _ends_top(rows[index])), default=-1)]
    )
    starts = [i for i in filled[:_TOP] if i not in above and not _is_preface(rows[i], width, typical)][:1]
    starts = starts or [filled[0]]
    first_full = next((index for index in filled[:_TOP] if index >= starts[0] and len(rows[index]) == width), -1)
    for before, after in itertools.pairwise(filled[:_TOP]):
        is_over = not all(map(str.strip, rows[before])) or _says_little(rows[before], rows[after : after + _BELOW])
        is_apart = after > before + 1 or (before == starts[0] and is_over) or after == first_full
        if is_apart and after > starts[0] and len(rows[after]) >= width - 1:
            starts.append(after)
    return starts


def _ends_top(row: Sequence[str]) -> bool:
    """Whether ROW says that the table begins below it, as instruments' files do."""
    cells = [cell.strip() for cell in row if cell.strip()]
    return len(cells) == 1 and _TOP_END.fullmatch(cells[0]) is not None


_TOP_END = re.compile(r"\[(?:begin |start )?data\]|\*+ ?end[_ ]of[_ ]header ?\*+", re.IGNORECASE)


def _says_little(row: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether ROW, though as filled as a header, may stand above the one that is the first row BELOW."""
    return row[0].startswith("#") or _are_letters(row) or _are_groups(row, below)


def _are_letters(row: Sequence[str]) -> bool:
    """Whether ROW has the letters of a sheet's columns, an empty corner perhaps before them."""
    letters = row[1:] if row[0].strip() in ("", "#") else row
    return "".join(letters) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(letters)] and len(letters) > 1


def _are_groups(row: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether ROW has names of groups, each said again over each of its columns, whose own names are the first row
    BELOW. No value is called like a group."""
    groups = [group for group, _cells in itertools.groupby(row)]
    names = below[0]
    is_grouped = len(groups) * 2 <= len(row) and len(set(groups)) == len(groups)
    is_grouped = is_grouped and len(names) == len(row) == len(set(names)) and all(map(str.strip, names))
    return is_grouped and set(groups).isdisjoint(cell for cells in below for cell in cells)


def _is_preface(row: Sequence[str], width: int, typical: int) -> bool:
    """Whether ROW is a title or a comment above a table of WIDTH columns, TYPICAL of them filled."""
    cells = sum(1 for cell in row if cell.strip())
    if row[0].startswith("#") and len(row) != width:
        return True
    if cells == len(row) >= max(3, width * 0.6):  # a header may lack the last names
        return False
    return len(row) < width - (width > 2) or (cells == 1 and typical >= 3)


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
    moments = sum(kind.name in _MOMENTS for kind in found)
    if moments >= 3 and moments > 2 * sum(kind.name in _MOMENTS for kind in kinds):
        return max(vote, 2.0)
    if _is_scale(cells) and not any(map(_is_scale, zip(*columns, strict=True))):
        return max(vote, 2.0)
    if abs(vote) < 1:
        texts = (index for index in range(min(len(cells), len(kinds))) if kinds[index] == TEXT and found[index] == TEXT)
        vote += sum(_vote_text(cells[index], [text for text in columns[index] if text]) for index in texts)
    return vote


def _is_scale(cells: Sequence[str]) -> bool:
    """Whether CELLS have at least three whole numbers, all in a row and one step apart, such as years."""
    numbers = [int(cell) for cell in cells if _WHOLE.fullmatch(cell)]
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    texts = [index for index, cell in enumerate(cells) if not _WHOLE.fullmatch(cell)]
    return len(numbers) >= 3 and len(steps) == 1 and steps != {0} and texts == list(range(len(texts)))


_MOMENTS = frozenset(("date", "timestamp", "timestamptz"))
_WHOLE = re.compile(r"[0-9]{1,9}")


def _vote_kind(cell: Kind, column: Kind) -> float:
    if cell.name == "null":
        return 0.0 if column.name == "null" else -0.2
    if cell != TEXT:
        return -1.0 if column.name in (cell.name, "null") else -0.3
    return 0.0 if column.name in ("text", "null") else 1.0


def _vote_text(cell: str, column: Sequence[str]) -> float:
    """How much CELL differs from the texts below it."""
    vote = 0.0
    if cell in column:
        vote -= 0.7
    elif len(column) >= _BELOW and len(set(column)) * 2 <= len(column):
        vote += 0.4  # others come again and again
    if column and _ADDRESS.fullmatch(cell) and all(map(_ADDRESS.fullmatch, column)):
        vote -= 1.0  # a name is no address, whatever the others are
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


_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\.\w+|[a-z]{2,9}://\S+")
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
    copies: dict[str, int] = {}  # of a name, those that are taken: to begin at the first anew is slow for many
    result = []
    for number, name in enumerate(names, 1):
        base = " ".join(name.replace("\0", "").replace("\ufeff", "").split()) or f"column_{number}"
        key = base.lower()
        candidate, copy = base, copies.get(key, 2)
        while candidate.lower() in taken:
            candidate, copy = f"{base}_{copy}", copy + 1
        copies[key] = copy
        taken.add(candidate.lower())
        result.append(candidate)
    return tuple(result)
