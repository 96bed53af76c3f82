"""Which messages make up one upload, when it is whole, and what it lacks. Pure but for `announced`, which reads heads.

A set of volumes is told by its parts' names, an album by the id that Telegram gives its messages. An upload's series
is the same for all its messages; a part that is there already opens another upload of the same series.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline import volume_sets
from pipeline.adapter.model import Message, OpenUpload
from pipeline.volume_sets import Verdict, Whole
from pipeline.volumes import Part, part_of

ALBUM_QUIET_S: Final = 2.0  # after an album's last part; Telegram sends all of them at once
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
    return [part for part, _ in _parts(upload)]


def _parts(upload: OpenUpload) -> list[tuple[Part, Message]]:
    if is_album(upload) or upload.series.startswith(_ALONE):
        return []
    return [(part, message) for message in upload.messages if (part := part_of(message.name)) is not None]


def judge(upload: OpenUpload, total: int | None, quiet_s: float, waited_s: float, timeout_s: float) -> Verdict:
    """Whether UPLOAD is whole. TOTAL is how many volumes there are in all, as they themselves say (None: they don't);
    QUIET_S since its last message came, WAITED_S on the clock of TIMEOUT_S, which stands still while nothing may be
    downloaded."""
    if is_album(upload):
        return _judge_album(upload, quiet_s)
    found = [(part, message.size) for part, message in _parts(upload)]
    if not found:
        return Verdict(Whole.YES)
    return volume_sets.judge(found, total, quiet_s, waited_s, timeout_s)


def _judge_album(upload: OpenUpload, quiet_s: float) -> Verdict:
    if len(upload.messages) >= ALBUM_MOST or quiet_s >= ALBUM_QUIET_S:
        return Verdict(Whole.YES)
    return Verdict(Whole.NOT_YET, look_again_s=ALBUM_QUIET_S - quiet_s)


def display_name(messages: Sequence[Message]) -> str:
    """What people call an upload: the whole archive's name, the file's, or how many files there are."""
    named = [message.name for message in messages if message.name]
    first = part_of(named[0]) if named else None
    if first is not None and first.certain:
        return first.whole
    if len(messages) > 1:
        return f"{named[0]} and {len(messages) - 1} more" if named else f"{len(messages)} files"
    return named[0] if named else "your file"
