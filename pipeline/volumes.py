"""Which files are the parts of one split archive, told by their names alone. Pure, for whoever takes uploads in.

Known are `x.part1.rar`, `x.rar` + `x.r00`, `x.7z.001` (and zip, tar.gz and the like), and `x.zip` + `x.z01`. No name tells
how many parts there are, so that only gaps are seen here; that the last part is missing is found when it is unpacked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

_CUT = r"7z|zip|rar|tar|t[gbx]z|tbz2|gz|bz2|xz|zst|lz4|lzma|iso|cab|wim"
_PATTERNS: Final = (
    re.compile(r"(?P<stem>.+)\.part(?P<number>\d{1,4})\.(?P<end>rar|exe)", re.IGNORECASE | re.DOTALL),
    re.compile(rf"(?P<stem>.+\.(?:{_CUT}))\.(?P<number>\d{{3}})", re.IGNORECASE | re.DOTALL),
    re.compile(r"(?P<stem>.+)\.(?P<letter>[r-t])(?P<number>\d\d)", re.IGNORECASE | re.DOTALL),
    re.compile(r"(?P<stem>.+)\.z(?P<number>\d{2,3})", re.IGNORECASE | re.DOTALL),
    re.compile(r"(?P<stem>.+)\.(?P<end>rar|zip)", re.IGNORECASE | re.DOTALL),
)
_OLD_RAR_FIRST: Final = 2  # the number of `x.r00`; `x.rar` is 1
_LAST: Final = 0  # the number of `x.zip`, which follows all the others but is the one to open


class Part(NamedTuple):
    """What a name says: this is the part NUMBER of the archive WHOLE (as people call it), whose other parts have an
    equal KEY. One that isn't CERTAIN (`x.rar`, `x.zip`) is an archive by itself where no other part is there.

    `opens` is the number of the part that the archive is opened by.
    """

    whole: str
    key: str
    number: int
    opens: int
    certain: bool
    width: int

    @property
    def is_cut(self) -> bool:
        """Whether the parts, one after the other, are the archive; parts of other kinds each have a frame of their own."""
        return self.key.endswith("|cut")


class Group(NamedTuple):
    """A file, or the parts of one archive. FILES are indices into what `group` was given, the one to open first, then the
    others in order. MISSING names the first part that isn't there, if any."""

    name: str
    files: tuple[int, ...]
    missing: str = ""


def part_of(name: str) -> Part | None:
    """What NAME (without a folder) says about itself; None where it's no part of anything."""
    for style, pattern in enumerate(_PATTERNS):
        if match := pattern.fullmatch(name):
            return _PARTS[style](match)
    return None


def group(names: Iterable[str]) -> list[Group]:
    """NAMES, which lie together, sorted into archives and single files, in the order in which each first appears."""
    sets: dict[str, list[dict[int, tuple[int, Part]]]] = {}
    order: list[tuple[str, dict[int, tuple[int, Part]] | int]] = []
    for index, name in enumerate(names):
        part = part_of(name)
        if part is None:
            order.append((name, index))
            continue
        alike = sets.setdefault(part.key, [])
        found = next((one for one in alike if part.number not in one), None)
        if found is None:
            found = {}
            alike.append(found)
            order.append((name, found))
        found[part.number] = (index, part)
    return [Group(name, (one,)) if isinstance(one, int) else _grouped(name, one) for name, one in order]


def first_missing(parts: Iterable[Part]) -> str:
    """The name of the first part that isn't among PARTS, which are one archive's; empty where there is no gap."""
    have = {part.number: part for part in parts}
    sample = max(have.values(), key=lambda part: part.certain)
    if not sample.certain:
        return ""
    if sample.opens not in have:
        return _name(sample, sample.opens)
    gap = next((number for number in range(1, max(have)) if number not in have), None)
    return "" if gap is None else _name(sample, gap)


def _grouped(name: str, found: dict[int, tuple[int, Part]]) -> Group:
    parts = [part for _, part in found.values()]
    if not any(part.certain for part in parts):
        return Group(name, tuple(index for index, _ in found.values()))
    opens = parts[0].opens
    numbers = sorted(found, key=lambda number: (number != opens, number))
    return Group(parts[0].whole, tuple(found[number][0] for number in numbers), first_missing(parts))


def _new_rar(match: re.Match[str]) -> Part:
    stem, end = match["stem"], "rar"
    return Part(f"{stem}.{end}", f"{stem.lower()}|part", int(match["number"]), 1, True, len(match["number"]))


def _cut(match: re.Match[str]) -> Part | None:
    number = int(match["number"])
    return Part(match["stem"], f"{match['stem'].lower()}|cut", number, 1, True, 3) if number else None


def _old_rar(match: re.Match[str]) -> Part:
    number = _OLD_RAR_FIRST + 100 * (ord(match["letter"].lower()) - ord("r")) + int(match["number"])
    return Part(f"{match['stem']}.rar", f"{match['stem'].lower()}|rar", number, 1, True, 2)


def _split_zip(match: re.Match[str]) -> Part | None:
    number = int(match["number"])
    return Part(f"{match['stem']}.zip", f"{match['stem'].lower()}|zip", number, _LAST, True, 2) if number else None


def _whole(match: re.Match[str]) -> Part:
    stem, end = match["stem"], match["end"].lower()
    number = 1 if end == "rar" else _LAST
    return Part(match.string, f"{stem.lower()}|{end}", number, number, False, 2)


_PARTS: Final = (_new_rar, _cut, _old_rar, _split_zip, _whole)


def _name(part: Part, number: int) -> str:
    """What the part NUMBER of PART's archive is called."""
    style = part.key.rpartition("|")[2]
    stem = part.whole[:-4]
    if style == "part":
        return f"{stem}.part{number:0{part.width}}.rar"
    if style == "cut":
        return f"{part.whole}.{number:03}"
    if number == part.opens:
        return part.whole
    if style == "rar":
        letter, rest = divmod(number - _OLD_RAR_FIRST, 100)
        return f"{stem}.{chr(ord('r') + letter)}{rest:02}"
    return f"{stem}.z{number:02}"
