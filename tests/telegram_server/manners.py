"""In which ways servers differ that all are right, or nearly: how updates are wrapped, what answers leave out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from telethon.tl import types

from tests.telegram_server.world import Box, Event, now


@dataclass
class Manners:
    """How this server does things. As they stand here, it does them as Telegram mostly does."""

    pushes: str = (
        "updates"  # or "combined", "short" (each by itself, texts as updateShortMessage), "too long", "none", "twice"
    )
    names: str = "full"  # or "min" (no access hash), "none": the users and chats that come with pushes
    seq: int = 0  # of pushes: 0 is unnumbered
    keeps_state: bool = True  # getState and getDifference are there
    history_page: int = 100  # messages in one answer, at most
    history_whole: bool = False  # answers don't say that there are more
    leaves_out_gone: bool = False  # getMessages says nothing of messages that aren't there
    tells_ids: bool = True  # what was sent is answered with its number
    forgets_hello: bool = False  # each new session has to say anew who connects
    names_dcs: bool = True  # getConfig lists DCs
    part_bytes: int = 0  # the most that getFile gives, whatever it's asked for (0: all)
    part_limit: int = 0  # the most that getFile may be asked for (0: a MiB)


def pushed(manners: Manners, box: Box, event: Event, viewer: int, users: list[Any], chats: list[Any]) -> list[Any]:
    """What is sent to VIEWER about EVENT."""
    update = box.update(event, viewer)
    users, chats = _named(manners, users), _named(manners, chats)
    if manners.pushes == "none":
        return []
    if manners.pushes == "too long":
        return [types.UpdatesTooLong()]
    if manners.pushes == "short":
        return [_short(box, event, viewer) or types.UpdateShort(update, now())]
    if manners.pushes == "combined":
        return [types.UpdatesCombined([update], users, chats, now(), manners.seq, manners.seq)]
    return [types.Updates([update], users, chats, now(), manners.seq)] * (2 if manners.pushes == "twice" else 1)


def _named(manners: Manners, entities: list[Any]) -> list[Any]:
    if manners.names == "none":
        return []
    if manners.names == "min":
        for one in entities:
            one.min, one.access_hash = True, None
    return entities


def _short(box: Box, event: Event, viewer: int) -> Any:
    """A text in a private chat or a basic group as Telegram tells of it, None for all else."""
    letter = box.letters.get(event.ids[0])
    if event.kind != "new" or letter is None or letter.stored or box.owner < 0:
        return None
    message = letter.render(viewer)
    parts = {
        "id": letter.id,
        "message": message.message,
        "pts": event.pts,
        "pts_count": event.count,
        "date": letter.date,
        "out": message.out,
        "silent": message.silent,
        "reply_to": message.reply_to,
        "entities": message.entities,
    }
    if letter.chat > 0:
        return types.UpdateShortMessage(user_id=letter.chat, **parts)
    return types.UpdateShortChatMessage(from_id=letter.sender, chat_id=-letter.chat, **parts)
