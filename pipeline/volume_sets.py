"""Whether a set of volumes is whole: how many it has, as far as they tell (some bytes at their begin and end are read),
and how long one waits for what isn't there.
"""

from __future__ import annotations

import enum
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.volumes import Part, first_missing

QUIET_S: Final = 15.0  # after the last volume, where the volumes themselves don't tell how many they are
_SEVEN_ZIP: Final = b"7z\xbc\xaf\x27\x1c"
_END_OF_ZIP: Final = b"PK\x05\x06"
_TAIL_BYTES: Final = 66_000  # a zip's last record and the longest comment after it
_RAR5: Final = b"Rar!\x1a\x07\x01\x00"
_RAR4: Final = b"Rar!\x1a\x07\x00"


class Whole(enum.Enum):
    """Whether all parts of an upload are there."""

    YES = "yes"
    NOT_YET = "not yet"
    NEVER = "never"  # it has waited long enough


class Verdict(NamedTuple):
    """`missing` names the first part that isn't there, `look_again_s` says when time alone may change this."""

    whole: Whole
    missing: str = ""
    look_again_s: float = 0.0


def judge(
    found: Sequence[tuple[Part, int]], total: int | None, quiet_s: float, waited_s: float, timeout_s: float
) -> Verdict:
    """Whether the volumes FOUND, each with its size in bytes, are all. TOTAL is how many there are in all, as they
    themselves say (None: they don't); QUIET_S since the last one came, WAITED_S on the clock of TIMEOUT_S."""
    parts = [part for part, _ in found]
    missing = first_missing(parts) or _beyond(parts, total)
    if not missing and (total is not None or not any(part.certain for part in parts)):
        return Verdict(Whole.YES)
    if not missing and _ends(found) and quiet_s >= QUIET_S:
        return Verdict(Whole.YES)
    if waited_s >= timeout_s:
        # Without a gap and without knowing how many there are, it's tried: unpacking tells what is missing.
        return Verdict(Whole.NEVER, missing) if missing else Verdict(Whole.YES)
    soon = QUIET_S - quiet_s if not missing and _ends(found) else timeout_s - waited_s
    return Verdict(Whole.NOT_YET, missing, max(0.1, soon))


def _beyond(found: Sequence[Part], total: int | None) -> str:
    """The name of the first part past those FOUND, where there are to be TOTAL."""
    if total is None or len({part.number for part in found}) >= total:
        return ""
    sample = max(found, key=lambda part: part.certain)
    if not sample.certain:  # x.zip or x.rar, which says itself that it is one of several
        key, _, style = sample.key.rpartition("|")
        next_name = f"{sample.whole[:-4]}.{'r00' if style == 'rar' else 'z01'}"
        return next_name if key else ""
    last = max(part.number for part in found)
    follower = sample._replace(number=last + 2)  # with a gap before it, which is the one that we want to name
    return first_missing([*found, follower])


def _ends(found: Sequence[tuple[Part, int]]) -> bool:
    """Whether the highest volume is smaller than the first, as the last one nearly always is."""
    by_number = sorted(found, key=lambda one: one[0].number)
    if by_number[0][0].number == 0:  # x.zip, which is the last one itself
        return True
    return len(by_number) > 1 and by_number[-1][1] < by_number[0][1]


def total(volumes: Mapping[int, tuple[Part, Path]]) -> int | None:
    """How many volumes there are in all, from those in VOLUMES (by their number), which are complete files; one more
    than there are stands for "more". None where they don't say: then their names and sizes are all that is known."""
    if not volumes:
        return None
    part, first = volumes[min(volumes)]
    style = part.key.rpartition("|")[2]
    last = volumes[max(volumes)][1]
    count = len(volumes)
    if style == "zip":
        return _disks(volumes[0][1]) if 0 in volumes else None
    if style in ("part", "rar"):
        more = rar_goes_on(last)
        return None if more is None else count + more
    if min(volumes) != 1:
        return None
    if (size := _seven_zip_size(first)) is not None:
        there = sum(path.stat().st_size for _, path in volumes.values())
        return count if there >= size else count + 1
    if part.whole.lower().endswith(".zip"):
        return count if _END_OF_ZIP in _tail(last, _TAIL_BYTES) else count + 1
    return None


def _seven_zip_size(first: Path) -> int | None:
    """The bytes that a 7z archive says it has, all volumes together."""
    head = _head(first, 32)
    if len(head) < 32 or not head.startswith(_SEVEN_ZIP):
        return None
    offset, size = struct.unpack_from("<QQ", head, 12)
    return int(32 + offset + size)


def _disks(path: Path) -> int | None:
    """How many parts a zip has, by the record at its end; 1 for one that isn't split."""
    tail = _tail(path, _TAIL_BYTES)
    at = tail.rfind(_END_OF_ZIP)
    if at < 0 or at + 8 > len(tail):
        return None
    disk = int(struct.unpack_from("<H", tail, at + 4)[0])
    return disk + 1 if disk < 0xFFFF else None


def rar_goes_on(path: Path) -> bool | None:
    """Whether another volume follows the one at PATH; None where its end isn't readable (encrypted headers)."""
    tail = _tail(path, 64)
    head = _head(path, 8)
    if head.startswith(_RAR5):
        at = len(tail) - 8  # CRC32, size 3, type 5, flags, end flags: the shortest form, which rar writes
        if at >= 0 and tail[at + 4] == 3 and tail[at + 5] == 5:
            return bool(tail[at + 7] & 1)
    elif head.startswith(_RAR4):
        for at in range(max(0, len(tail) - 32), len(tail) - 6):
            flags, size = struct.unpack_from("<HH", tail, at + 3)
            if tail[at + 2] == 0x7B and size == len(tail) - at:
                return bool(flags & 1)
    return None


def _head(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _tail(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - count))
        return file.read(count)
