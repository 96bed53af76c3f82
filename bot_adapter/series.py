"""Which messages make up one upload, when it is whole, and what it lacks. Pure but for `announced`, which reads heads.

A set of volumes is told by its parts' names, an album by the id that Telegram gives its messages. An upload's series
is the same for all its messages; a part that is there already opens another upload of the same series.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, NamedTuple

from pipeline.adapter.model import Message, OpenUpload
from pipeline.volumes import Part, first_missing, part_of

ALBUM_QUIET_S: Final = 2.0  # after an album's last part; Telegram sends all of them at once
VOLUMES_QUIET_S: Final = 15.0  # after the last volume, where the volumes themselves don't tell how many they are
ALBUM_MOST: Final = 10  # Telegram's limit
_ALBUM: Final = "album:"
_ALONE: Final = "message:"


def series_of(name: str, sender: int, message: int, album: int) -> tuple[str, int]:
    """The series of a message with the file NAME, and its part in it."""
    part = part_of(name) if name else None
    if part is not None and (part.certain or not album):
        return volume_series(part, sender), part.number
    if album:
        return f"{_ALBUM}{album}", message
    return f"{_ALONE}{message}", 0


def volume_series(part: Part, sender: int) -> str:
    """The series of a volume: sets of two senders in one group are two."""
    return f"volumes:{sender}:{part.key}"


def is_album(upload: OpenUpload) -> bool:
    """Whether UPLOAD's messages came as an album."""
    return upload.series.startswith(_ALBUM)


def parts(upload: OpenUpload) -> list[Part]:
    """What the names of UPLOAD's messages say, where it is a set of volumes."""
    if is_album(upload) or upload.series.startswith(_ALONE):
        return []
    return [part for message in upload.messages if (part := part_of(message.name)) is not None]


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


def judge(upload: OpenUpload, total: int | None, quiet_s: float, waited_s: float, timeout_s: float) -> Verdict:
    """Whether UPLOAD is whole. TOTAL is how many volumes there are in all, as they themselves say (None: they don't);
    QUIET_S since its last message came, WAITED_S on the clock of TIMEOUT_S, which stands still while nothing may be
    downloaded."""
    if is_album(upload):
        return _judge_album(upload, quiet_s)
    found = parts(upload)
    if not found:
        return Verdict(Whole.YES)
    missing = first_missing(found) or _beyond(found, total)
    if not missing and (total is not None or not any(part.certain for part in found)):
        return Verdict(Whole.YES)
    if not missing and _ends(upload) and quiet_s >= VOLUMES_QUIET_S:
        return Verdict(Whole.YES)
    if waited_s >= timeout_s:
        # Without a gap and without knowing how many there are, it's tried: unpacking tells what is missing.
        return Verdict(Whole.NEVER, missing) if missing else Verdict(Whole.YES)
    soon = VOLUMES_QUIET_S - quiet_s if not missing and _ends(upload) else timeout_s - waited_s
    return Verdict(Whole.NOT_YET, missing, max(0.1, soon))


def _judge_album(upload: OpenUpload, quiet_s: float) -> Verdict:
    if len(upload.messages) >= ALBUM_MOST or quiet_s >= ALBUM_QUIET_S:
        return Verdict(Whole.YES)
    return Verdict(Whole.NOT_YET, look_again_s=ALBUM_QUIET_S - quiet_s)


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


def _ends(upload: OpenUpload) -> bool:
    """Whether the highest volume is smaller than the first, as the last one nearly always is."""
    by_part = sorted(upload.messages, key=lambda message: message.part)
    if by_part[0].part == 0:  # x.zip, which is the last one itself
        return True
    return len(by_part) > 1 and by_part[-1].size < by_part[0].size


def display_name(messages: Sequence[Message]) -> str:
    """What people call an upload: the whole archive's name, the file's, or how many files there are."""
    named = [message.name for message in messages if message.name]
    first = part_of(named[0]) if named else None
    if first is not None and first.certain:
        return first.whole
    if len(messages) > 1:
        return f"{named[0]} and {len(messages) - 1} more" if named else f"{len(messages)} files"
    return named[0] if named else "your file"
