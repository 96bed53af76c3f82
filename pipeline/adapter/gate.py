"""Which downloads may begin: state in, answers out. Pure.

None begins while intake's line is full or the disk is short, but for parts of an upload that has begun already. Files
are taken in the order in which they were asked for; one place is kept for small ones, so that they never stand behind
large ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

SMALL_BYTES: Final = 16 * 1024 * 1024


class Request(NamedTuple):
    """A file that is to be downloaded; `begun` where other files of its upload are here or on their way."""

    upload: int
    message: int
    size: int
    begun: bool


class Room(NamedTuple):
    """What there is. `line` jobs wait of `line_limit`; `free` bytes of disk, `reserved` of them are promised to
    downloads in hand and `kept` are left alone; `halted` says why nothing is begun at all."""

    line: int
    line_limit: int
    free: int
    reserved: int
    kept: int
    in_hand: int  # downloads
    small_in_hand: int
    places: int  # for downloads
    halted: str = ""


class Answer(NamedTuple):
    """What becomes of a request: it may begin where `words` are empty, else they say why not yet."""

    request: Request
    words: str


def decide(requests: Iterable[Request], room: Room) -> list[Answer]:
    """The answer to each of REQUESTS, the oldest first."""
    answers = []
    beginning: set[int] = set()
    for request in requests:
        words = _refusal(request, room, request.begun or request.upload in beginning)
        if not words:
            small = request.size <= SMALL_BYTES
            room = room._replace(
                line=room.line + (not request.begun and request.upload not in beginning),
                reserved=room.reserved + request.size,
                in_hand=room.in_hand + 1,
                small_in_hand=room.small_in_hand + small,
            )
            beginning.add(request.upload)
        answers.append(Answer(request, words))
    return answers


def _refusal(request: Request, room: Room, begun: bool) -> str:
    if room.halted and not begun:
        return room.halted
    if room.free - room.reserved - request.size < room.kept:
        return "the disk has no room for it now; it begins by itself when there is"
    if not begun and room.line >= room.line_limit:
        return f"{room.line} uploads are in line before it"
    if not _has_place(request, room):
        return "other files are being downloaded first"
    return ""


def _has_place(request: Request, room: Room) -> bool:
    """One place more than there are is for a small file, while no other small one has it."""
    if room.in_hand < room.places:
        return True
    return request.size <= SMALL_BYTES and room.in_hand == room.places and room.small_in_hand == 0


def reserved(downloads: Sequence[tuple[int, int]]) -> int:
    """What downloads in hand will still take of the disk: their (size, bytes allocated already)."""
    return sum(max(0, size - there) for size, there in downloads)
