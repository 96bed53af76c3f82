"""Messages: history, search, sending, editing, deleting. Random ids are good once, as Telegram has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from telethon import utils
from telethon.tl import functions, types

from tests.telegram_server.errors import RpcRefused, bad
from tests.telegram_server.methods import Methods, Request
from tests.telegram_server.methods_updates import named
from tests.telegram_server.uploads import finished
from tests.telegram_server.world import Box, Event, Letter, Stored, now

methods = Methods()
messages = functions.messages
TEXT_CHARACTERS = 4096
CAPTION_CHARACTERS = 1024


# ---- Reading


@methods.add(messages.GetHistoryRequest, bots=False)
def get_history(request: Request) -> Any:
    return _page(request, lambda one: True)


@methods.add(messages.SearchRequest, bots=False)
def search(request: Request) -> Any:
    tl = request.tl
    sender = request.world.peer(request.me.id, tl.from_id) if tl.from_id else 0
    documents = isinstance(tl.filter, types.InputMessagesFilterDocument)
    needle = tl.q.lower()
    return _page(
        request,
        lambda one: (
            needle in one.texts[-1].lower()
            and (not sender or one.sender == sender)
            and (not documents or bool(one.stored and not one.stored.photo))
        ),
    )


def _page(request: Request, wanted: Callable[[Letter], bool]) -> Any:
    tl = request.tl
    chat = request.world.peer(request.me.id, tl.peer)
    box = request.world.box_of(request.me.id, chat)
    all_of_it = sorted(
        (one for one in box.letters.values() if one.chat == chat and wanted(one)), key=lambda one: -one.id
    )
    first = sum(1 for one in all_of_it if tl.offset_id and one.id >= tl.offset_id)
    start = first + tl.add_offset
    page = all_of_it[max(start, 0) : max(start + min(tl.limit, request.server.manners.history_page), 0)]
    page = [one for one in page if (not tl.min_id or one.id > tl.min_id) and (not tl.max_id or one.id < tl.max_id)]
    return _answered(request, box, page, len(all_of_it))


def _answered(request: Request, box: Box, page: list[Letter], count: int) -> Any:
    users, chats = named(request, page)
    rendered = [one.render(request.me.id) for one in page]
    if box.owner < 0:
        return types.messages.ChannelMessages(box.pts, count, rendered, [], chats, users)
    if len(page) == count or request.server.manners.history_whole:
        return types.messages.Messages(rendered, [], chats, users)
    return types.messages.MessagesSlice(count, rendered, [], chats, users)


@methods.add(messages.GetMessagesRequest)
def get_messages(request: Request) -> Any:
    return _by_number(request, request.world.boxes[request.me.id])


@methods.add(functions.channels.GetMessagesRequest)
def get_channel_messages(request: Request) -> Any:
    marked = request.world.peer(request.me.id, request.tl.channel)
    return _by_number(request, request.world.box_of(request.me.id, marked))


def _by_number(request: Request, box: Box) -> Any:
    ids = [one.id for one in request.tl.id]
    found = [box.letters[one] for one in ids if one in box.letters]
    users, chats = named(request, found)
    rendered = [
        box.letters[one].render(request.me.id) if one in box.letters else types.MessageEmpty(one, peer_id=None)
        for one in ids
        if one in box.letters or not request.server.manners.leaves_out_gone
    ]
    if box.owner < 0:
        return types.messages.ChannelMessages(box.pts, len(rendered), rendered, [], chats, users)
    return types.messages.Messages(rendered, [], chats, users)


@methods.add(messages.ReadHistoryRequest)
def read_history(request: Request) -> Any:
    return types.messages.AffectedMessages(request.world.boxes[request.me.id].pts, 0)


@methods.add(functions.channels.ReadHistoryRequest, messages.ReadMentionsRequest)
def read_channel(request: Request) -> Any:
    return True


# ---- Sending


def _writable(request: Request, peer: Any) -> int:
    chat = request.world.peer(request.me.id, peer)
    group = request.world.groups.get(chat)
    if group and group.forbidden:
        raise RpcRefused(403, "CHAT_WRITE_FORBIDDEN")
    person = request.world.people.get(chat)
    if person and person.blocked:
        raise RpcRefused(403, "USER_IS_BLOCKED")
    return chat


def _unused(request: Request, random_ids: Iterable[int]) -> None:
    marks = {(request.me.id, one) for one in random_ids}
    if any(not one for _, one in marks):
        raise bad("RANDOM_ID_EMPTY")
    if marks & request.world.random_ids:
        raise RpcRefused(500, "RANDOM_ID_DUPLICATE")
    request.world.random_ids |= marks


def _reply(tl: Any) -> int | None:
    return tl.reply_to.reply_to_msg_id if isinstance(tl.reply_to, types.InputReplyToMessage) else None


@methods.add(messages.SendMessageRequest)
def send_message(request: Request) -> Any:
    tl = request.tl
    chat = _writable(request, tl.peer)
    if not tl.message.strip():
        raise bad("MESSAGE_EMPTY")
    _short(tl.message, TEXT_CHARACTERS, "MESSAGE_TOO_LONG")
    _unused(request, [tl.random_id])
    sent = request.world.deliver(
        request.me.id,
        chat,
        text=tl.message,
        entities=tl.entities or [],
        reply_to=_reply(tl),
        silent=bool(tl.silent),
        random_id=tl.random_id,
    )
    request.server.told(sent, besides=request.connection)
    box, event = sent[0]
    if box.owner < 0 or not request.server.manners.tells_ids:
        return _sent(request, [(box, event)], [tl.random_id])
    return types.UpdateShortSentMessage(event.ids[0], event.pts, event.count, now(), out=True, entities=tl.entities)


def _short(text: str, most: int, otherwise: str) -> None:
    if len(text.encode("utf-16-le")) // 2 > most:
        raise bad(otherwise)


def _sent(request: Request, events: list[tuple[Box, Event]], random_ids: list[int]) -> Any:
    me = request.me.id
    ids = [types.UpdateMessageID(event.ids[0], one) for (_, event), one in zip(events, random_ids, strict=True)]
    ids = ids if request.server.manners.tells_ids else []
    users, chats = named(request, [box.letters[event.ids[0]] for box, event in events])
    return types.Updates([*ids, *(box.update(event, me) for box, event in events)], users, chats, now(), 0)


@methods.add(messages.SendMediaRequest)
def send_media(request: Request) -> Any:
    tl = request.tl
    chat = _writable(request, tl.peer)
    _short(tl.message, CAPTION_CHARACTERS, "MEDIA_CAPTION_TOO_LONG")
    stored = _media(request, tl.media)
    _unused(request, [tl.random_id])
    sent = _send_stored(request, chat, stored, tl.message, tl.entities, tl.random_id, None)
    request.server.told(sent, besides=request.connection)
    return _sent(request, sent[:1], [tl.random_id])


def _send_stored(
    request: Request, chat: int, stored: Stored, text: str, entities: Any, random_id: int, group: int | None
) -> list[tuple[Box, Event]]:
    return request.world.deliver(
        request.me.id,
        chat,
        text=text,
        stored=stored,
        entities=entities or [],
        reply_to=_reply(request.tl),
        silent=bool(request.tl.silent),
        random_id=random_id,
        grouped_id=group,
    )


@methods.add(messages.SendMultiMediaRequest)
def send_album(request: Request) -> Any:
    tl = request.tl
    chat = _writable(request, tl.peer)
    if not 1 <= len(tl.multi_media) <= 10:
        raise bad("MULTI_MEDIA_TOO_LONG")
    stored = [_media(request, one.media) for one in tl.multi_media]
    random_ids = [one.random_id for one in tl.multi_media]
    _unused(request, random_ids)
    group = request.world.number()
    first = []
    for one, media in zip(tl.multi_media, stored, strict=True):
        sent = _send_stored(request, chat, media, one.message, one.entities, one.random_id, group)
        request.server.told(sent, besides=request.connection)
        first.append(sent[0])
    return _sent(request, first, random_ids)


@methods.add(messages.UploadMediaRequest)
def upload_media(request: Request) -> Any:
    return _media(request, request.tl.media).render(request.me.id)


def _media(request: Request, media: Any) -> Stored:
    """The document or photo that an InputMedia names, made of uploaded parts or one that is there."""
    if isinstance(media, types.InputMediaUploadedDocument | types.InputMediaUploadedPhoto):
        content = finished(request, media.file)
        photo = isinstance(media, types.InputMediaUploadedPhoto)
        names = [] if photo else [one for one in media.attributes if isinstance(one, types.DocumentAttributeFilename)]
        name = names[0].file_name if names else None
        mime = "image/jpeg" if photo else media.mime_type
        stored = Stored(request.world.number(), content, name, mime, request.dc.id, photo)
        request.world.stored[stored.id] = stored
        return stored
    if isinstance(media, types.InputMediaDocument | types.InputMediaPhoto):
        stored = request.world.stored.get(media.id.id)  # type: ignore[assignment]
        if stored is None or stored.access_hash != media.id.access_hash:
            raise bad("MEDIA_INVALID")
        if stored.reference != media.id.file_reference:
            raise bad("FILE_REFERENCE_EXPIRED")
        return stored
    raise bad("MEDIA_INVALID")


# ---- Changing


@methods.add(messages.EditMessageRequest)
def edit_message(request: Request) -> Any:
    tl = request.tl
    chat = _writable(request, tl.peer)
    box = request.world.box_of(request.me.id, chat)
    letter = box.letters.get(tl.id)
    if letter is None or letter.chat != chat:
        raise bad("MESSAGE_ID_INVALID")
    if letter.sender != request.me.id:
        raise RpcRefused(403, "MESSAGE_AUTHOR_REQUIRED")
    text = letter.texts[-1] if tl.message is None else tl.message
    if text == letter.texts[-1] and _same(tl.entities, letter.entities) and tl.media is None:
        raise bad("MESSAGE_NOT_MODIFIED")
    _short(text, CAPTION_CHARACTERS if letter.stored else TEXT_CHARACTERS, "MESSAGE_TOO_LONG")
    if not text.strip() and not letter.stored:
        raise bad("MESSAGE_EMPTY")
    stored = _media(request, tl.media) if tl.media else None
    changed = request.server.edit(box, letter, text, tl.entities or [], stored)
    request.server.told(changed, besides=request.connection)
    users, chats = named(request, [letter])
    return types.Updates([box.update(changed[0][1], request.me.id)], users, chats, now(), 0)


def _same(new: Any, old: list[Any]) -> bool:
    return [one.to_dict() for one in new or []] == [one.to_dict() for one in old]


@methods.add(messages.DeleteMessagesRequest)
def delete_messages(request: Request) -> Any:
    return _deleted(request, request.world.boxes[request.me.id])


@methods.add(functions.channels.DeleteMessagesRequest)
def delete_channel_messages(request: Request) -> Any:
    marked = request.world.peer(request.me.id, request.tl.channel)
    return _deleted(request, request.world.box_of(request.me.id, marked))


def _deleted(request: Request, box: Box) -> Any:
    ids = [one for one in request.tl.id if one in box.letters]
    for one in ids:
        del box.letters[one]
    if not ids:
        return types.messages.AffectedMessages(box.pts, 0)
    event = box.note("delete", ids)
    request.server.told([(box, event)], besides=request.connection)
    return types.messages.AffectedMessages(event.pts, event.count)


@methods.add(messages.GetPeerDialogsRequest, bots=False)
def get_peer_dialogs(request: Request) -> Any:
    peers = [request.world.peer(request.me.id, one.peer) for one in request.tl.peers]
    users, chats = request.world.entities([request.me.id, *peers], request.me.id)
    box = request.world.boxes[request.me.id]
    state = types.updates.State(pts=box.pts, qts=0, date=now(), seq=1, unread_count=0)
    dialogs = [types.Dialog(utils.get_peer(one), 0, 0, 0, 0, 0, 0, 0, types.PeerNotifySettings()) for one in peers]
    return types.messages.PeerDialogs(dialogs, [], chats, users, state)
