"""Which files in the inbox are one upload: a file by itself, or the parts of a split archive once all of them are there.

Decides by names, sizes and times alone, but for the few bytes in volumes that tell how many there are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.volume_sets import Whole, judge, total
from pipeline.volumes import Group, Part, group, part_of


class Seen(NamedTuple):
    """What tells whether a file has changed: inode, size, and times of change of content and of name (nanoseconds)."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Arrival(NamedTuple):
    """An upload that is ready: its files' NAMES, and one that never came, if it was waited for in vain."""

    names: tuple[str, ...]
    missing: str = ""


class Sets:
    """Puts together what belongs together, and remembers what names and volumes have told."""

    def __init__(self) -> None:
        self._parts: dict[str, Part | None] = {}
        self._totals: dict[tuple[tuple[str, Seen], ...], int | None] = {}
        self.waits: dict[str, str] = {}  # an archive that isn't whole -> the part it waits for, as far as it's known

    def ready(
        self, folder: Path, files: Mapping[str, Seen], quiet_for: Mapping[str, float], quiet_s: float, timeout_s: float
    ) -> list[Arrival]:
        """Those among FILES in FOLDER that can be taken, longest quiet first. QUIET_FOR says for how many seconds each has
        been unchanged; QUIET_S is enough for a file, and a part that is missing is waited for TIMEOUT_S."""
        self._parts = {name: self._parts[name] if name in self._parts else part_of(name) for name in files}
        keyed: dict[str, list[str]] = {}
        for name, part in self._parts.items():
            if part is not None:
                keyed.setdefault(part.key, []).append(name)
        found = [
            (quiet_for[name], Arrival((name,)))
            for name, part in self._parts.items()
            if part is None and quiet_for[name] >= quiet_s
        ]
        self.waits = {}
        looked_at = {}
        for names in keyed.values():
            for one in group(sorted(names)):
                members = [sorted(names)[index] for index in one.files]
                quiet = min(quiet_for[name] for name in members)
                if quiet >= quiet_s:
                    state = tuple((name, files[name]) for name in members)
                    looked_at[state] = self._total(folder, state)
                    if (arrival := self._judged(one, state, looked_at[state], quiet, timeout_s)) is not None:
                        found.append((quiet, arrival))
        self._totals = looked_at
        return [arrival for _, arrival in sorted(found, key=lambda one: -one[0])]

    def _judged(
        self, one: Group, state: Sequence[tuple[str, Seen]], volumes: int | None, quiet: float, timeout_s: float
    ) -> Arrival | None:
        found = [(part, seen.size) for name, seen in state if (part := self._parts[name]) is not None]
        verdict = judge(found, volumes, quiet, quiet, timeout_s)
        if verdict.whole is Whole.NOT_YET:
            self.waits[one.name] = verdict.missing
            return None
        missing = verdict.missing if verdict.whole is Whole.NEVER else ""
        return Arrival(tuple(name for name, _ in state), missing)

    def _total(self, folder: Path, state: tuple[tuple[str, Seen], ...]) -> int | None:
        """How many volumes there are in all, as those in STATE say."""
        if state in self._totals:
            return self._totals[state]
        with contextlib.suppress(OSError):
            return total(
                {part.number: (part, folder / name) for name, part in self._numbered(name for name, _ in state)}
            )
        return None

    def _numbered(self, names: Iterable[str]) -> list[tuple[str, Part]]:
        return [(name, part) for name in names if (part := self._parts[name]) is not None]
