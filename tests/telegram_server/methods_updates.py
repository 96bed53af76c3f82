"""Who is who, and what has happened since: users, dialogs, state and difference."""

from __future__ import annotations

from typing import Any

from telethon import utils
from telethon.tl import functions, types

from tests.telegram_server.errors import RpcRefused, bad
from tests.telegram_server.methods import Methods, Request
from tests.telegram_server.world import Box, Event, Letter, now

methods = Methods()


@methods.add(functions.users.GetUsersRequest)
def get_users(request: Request) -> Any:
    ids = [request.world.peer(request.me.id, one) for one in request.tl.id]
    return request.world.entities(ids, request.me.id)[0]


@methods.add(functions.contacts.ResolveUsernameRequest)
def resolve(request: Request) -> Any:
    wanted = request.tl.username.lower()
    found = [one for one in request.world.people.values() if (one.username or "").lower() == wanted]
    if not found:
        raise bad("USERNAME_NOT_OCCUPIED")
    return types.contacts.ResolvedPeer(types.PeerUser(found[0].id), [found[0].render(request.me.id)], [])


@methods.add(functions.contacts.GetContactsRequest, bots=False)
def contacts(request: Request) -> Any:
    return types.contacts.Contacts([], 0, [])


@methods.add(functions.messages.GetChatsRequest, functions.channels.GetChannelsRequest)
def get_chats(request: Request) -> Any:
    wanted = request.tl.id
    marked = [-one if isinstance(one, int) else request.world.peer(request.me.id, one) for one in wanted]
    return types.messages.Chats(request.world.entities(marked, request.me.id)[1])


@methods.add(
    functions.account.UpdateStatusRequest, functions.messages.SetTypingRequest, functions.bots.SetBotCommandsRequest
)
def agreed(request: Request) -> Any:
    return True


@methods.add(functions.messages.GetDialogsRequest, bots=False)
def get_dialogs(request: Request) -> Any:
    me = request.me.id
    tops = _tops(request, me)
    if request.tl.offset_id:
        after = request.tl.offset_date
        tops = [one for one in tops if one.date < after or (one.date == after and one.id < request.tl.offset_id)]
    page = tops[: max(1, min(request.tl.limit or 100, 100))]
    dialogs = [_dialog(request, me, one) for one in page]
    users, chats = named(request, page)
    messages = [one.render(me) for one in page]
    if len(page) < len(tops) or request.tl.offset_id:
        return types.messages.DialogsSlice(len(tops), dialogs, messages, chats, users)
    return types.messages.Dialogs(dialogs, messages, chats, users)


def _tops(request: Request, me: int) -> list[Letter]:
    """The last message of each of ME's chats, the newest first."""
    tops: dict[int, Letter] = {}
    channels = [one.box for one in request.world.groups.values() if one.box and me in one.members]
    for box in [request.world.boxes[me], *channels]:
        for letter in box.letters.values():
            if letter.chat not in tops or letter.id > tops[letter.chat].id:
                tops[letter.chat] = letter
    return sorted(tops.values(), key=lambda one: (one.date, one.id), reverse=True)


def _dialog(request: Request, me: int, top: Letter) -> Any:
    box = request.world.box_of(me, top.chat)
    return types.Dialog(
        peer=utils.get_peer(top.chat),
        top_message=top.id,
        read_inbox_max_id=0,
        read_outbox_max_id=0,
        unread_count=0,
        unread_mentions_count=0,
        unread_reactions_count=0,
        unread_poll_votes_count=0,
        notify_settings=types.PeerNotifySettings(),
        pts=box.pts if box.owner < 0 else None,
    )


def named(request: Request, letters: list[Letter]) -> tuple[list[Any], list[Any]]:
    """Users and chats that LETTERS name."""
    ids = [request.me.id, *(one.chat for one in letters), *(one.sender for one in letters)]
    return request.world.entities(ids, request.me.id)


def _kept(request: Request) -> None:
    if not request.server.manners.keeps_state:
        raise RpcRefused(400, "METHOD_INVALID")


def _state(box: Box) -> Any:
    return types.updates.State(pts=box.pts, qts=0, date=now(), seq=1, unread_count=0)


@methods.add(functions.updates.GetStateRequest)
def get_state(request: Request) -> Any:
    _kept(request)
    return _state(request.world.boxes[request.me.id])


@methods.add(functions.updates.GetDifferenceRequest)
def get_difference(request: Request) -> Any:
    _kept(request)
    box = request.world.boxes[request.me.id]
    faults = request.server.faults
    events = box.since(request.tl.pts)
    if not events:
        return types.updates.DifferenceEmpty(now(), 1)
    if faults.too_long_after and len(events) > faults.too_long_after:
        return types.updates.DifferenceTooLong(box.pts)
    page = events[: faults.difference_limit]
    new, other, users, chats = _told(request, box, page)
    if len(page) < len(events):
        state = _state(box)
        state.pts = page[-1].pts
        return types.updates.DifferenceSlice(new, [], other, chats, users, state)
    return types.updates.Difference(new, [], other, chats, users, _state(box))


def _told(request: Request, box: Box, events: list[Event]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    me = request.me.id
    new = [box.letters[one.ids[0]].render(me) for one in events if one.kind == "new"]
    other = [box.update(one, me) for one in events if one.kind != "new"]
    users, chats = named(request, [box.letters[one.ids[0]] for one in events if one.kind != "delete"])
    return new, other, users, chats


@methods.add(functions.updates.GetChannelDifferenceRequest)
def get_channel_difference(request: Request) -> Any:
    marked = request.world.peer(request.me.id, request.tl.channel)
    box = request.world.box_of(request.me.id, marked)
    faults = request.server.faults
    events = box.since(request.tl.pts)
    if not events:
        return types.updates.ChannelDifferenceEmpty(box.pts, final=True)
    if faults.too_long_after and len(events) > faults.too_long_after:
        top = box.letters[max(box.letters)]
        users, chats = named(request, [top])
        return types.updates.ChannelDifferenceTooLong(
            _dialog(request, request.me.id, top), [top.render(request.me.id)], chats, users, final=True
        )
    page = events[: min(request.tl.limit, faults.difference_limit)]
    new, other, users, chats = _told(request, box, page)
    return types.updates.ChannelDifference(page[-1].pts, new, other, chats, users, final=len(page) == len(events))
