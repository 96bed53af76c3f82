"""Who is there and what was said: people, chats, messages, documents, and each account's box of them."""

from __future__ import annotations

import datetime as dt
import itertools
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from telethon import utils
from telethon.tl import types

from tests.telegram_server.content import Content
from tests.telegram_server.errors import bad
from tests.telegram_server.srp import Verifier
from tests.telegram_server.views import Seen


def now() -> dt.datetime:
    """To the second, as Telegram's dates are."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


@dataclass
class Person:
    """A user: whoever has a phone number or a bot token may log in."""

    id: int
    first_name: str
    username: str | None = None
    phone: str = ""
    code: str = ""
    bot_token: str = ""
    dc: int = 2
    premium: bool = False
    password: Verifier | None = None
    blocked: bool = False  # refuses messages
    access_hash: int = field(default_factory=lambda: secrets.randbits(63))

    def render(self, viewer: int) -> Any:
        return types.User(
            id=self.id,
            is_self=self.id == viewer,
            access_hash=self.access_hash,
            first_name=self.first_name,
            username=self.username,
            phone=self.phone if self.id == viewer and self.phone else None,
            bot=bool(self.bot_token),
            bot_info_version=1 if self.bot_token else None,
            premium=self.premium,
        )


@dataclass
class Stored:
    """A document or photo. Its references are good until its generation changes."""

    id: int
    content: Content
    name: str | None
    mime: str
    dc: int
    photo: bool = False
    generation: int = 0
    access_hash: int = field(default_factory=lambda: secrets.randbits(63))

    @property
    def reference(self) -> bytes:
        return b"\x01" + self.generation.to_bytes(4, "big") + self.id.to_bytes(8, "big")

    def render(self, viewer: int) -> Any:
        if self.photo:
            size = types.PhotoSize("x", 800, 600, self.content.size)
            return types.MessageMediaPhoto(
                photo=types.Photo(self.id, self.access_hash, self.reference, now(), [size], self.dc)
            )
        attributes = [] if self.name is None else [types.DocumentAttributeFilename(self.name)]
        return types.MessageMediaDocument(
            document=types.Document(
                id=self.id,
                access_hash=self.access_hash,
                file_reference=self.reference,
                date=now(),
                mime_type=self.mime,
                size=self.content.size,
                dc_id=self.dc,
                attributes=attributes,
            )
        )


@dataclass
class Letter:
    """A message in one box."""

    id: int
    chat: int
    sender: int
    out: bool
    date: dt.datetime
    texts: list[str]
    stored: Stored | None = None
    entities: list[Any] = field(default_factory=list)
    reply_to: int | None = None
    grouped_id: int | None = None
    silent: bool = False
    forwarded_from: str | None = None
    edited: dt.datetime | None = None
    random_id: int = 0
    post: bool = False

    def render(self, viewer: int) -> Any:
        forward = self.forwarded_from
        return types.Message(
            id=self.id,
            peer_id=utils.get_peer(self.chat),
            date=self.date,
            message=self.texts[-1],
            out=self.sender == viewer if self.chat < 0 else self.out,
            silent=self.silent,
            post=self.post,
            from_id=types.PeerUser(self.sender) if self.chat < 0 and not self.post else None,
            fwd_from=types.MessageFwdHeader(date=self.date, from_name=forward) if forward else None,
            reply_to=types.MessageReplyHeader(reply_to_msg_id=self.reply_to) if self.reply_to else None,
            media=self.stored.render(viewer) if self.stored else None,
            entities=self.entities or None,
            edit_date=self.edited,
            grouped_id=self.grouped_id,
        )

    def seen(self, owner: int) -> Seen:
        stored = self.stored
        return Seen(
            owner=owner,
            chat=self.chat,
            id=self.id,
            sender=self.sender,
            out=self.out,
            text=self.texts[-1],
            texts=tuple(self.texts),
            silent=self.silent,
            reply_to=self.reply_to,
            file_name=stored.name if stored else None,
            file_size=stored.content.size if stored else 0,
            grouped_id=self.grouped_id,
            random_id=self.random_id,
            entities=tuple(type(entity).__name__ for entity in self.entities),
            document=stored.id if stored else 0,
        )


@dataclass
class Event:
    """Something that happened to a box: its pts after it, by how much it rose, and what."""

    pts: int
    count: int
    kind: str  # "new", "edit" or "delete"
    ids: list[int]


@dataclass
class Box:
    """Messages with one numbering and one pts: an account's private chats and basic groups, or a channel."""

    owner: int  # an account's id, or a channel's marked id
    pts: int = 1
    letters: dict[int, Letter] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    last_id: int = 0

    def add(self, letter: Letter) -> Event:
        self.last_id = letter.id
        self.letters[letter.id] = letter
        return self.note("new", [letter.id])

    def note(self, kind: str, ids: list[int]) -> Event:
        self.pts += len(ids)
        self.events.append(Event(self.pts, len(ids), kind, ids))
        return self.events[-1]

    def update(self, event: Event, viewer: int) -> Any:
        """EVENT as a client learns of it."""
        channel = self.owner < 0
        if event.kind == "delete":
            if channel:
                return types.UpdateDeleteChannelMessages(
                    utils.resolve_id(self.owner)[0], event.ids, event.pts, event.count
                )
            return types.UpdateDeleteMessages(event.ids, event.pts, event.count)
        message = self.letters[event.ids[0]].render(viewer)
        if event.kind == "new":
            kind = types.UpdateNewChannelMessage if channel else types.UpdateNewMessage
        else:
            kind = types.UpdateEditChannelMessage if channel else types.UpdateEditMessage
        return kind(message, event.pts, event.count)

    def since(self, pts: int) -> list[Event]:
        """What happened after PTS, without what concerns messages that are gone."""
        return [
            event
            for event in self.events
            if event.pts > pts and (event.kind == "delete" or event.ids[0] in self.letters)
        ]


@dataclass
class Group:
    """A basic group (`box` is None: each member has a copy in its own), or a channel with a box of its own."""

    id: int  # marked
    title: str
    members: set[int]
    box: Box | None = None
    broadcast: bool = False
    forbidden: bool = False
    access_hash: int = field(default_factory=lambda: secrets.randbits(63))

    def render(self, viewer: int) -> Any:
        plain = utils.resolve_id(self.id)[0]
        if self.box is None:
            return types.Chat(plain, self.title, types.ChatPhotoEmpty(), len(self.members), now(), 1)
        return types.Channel(
            id=plain,
            title=self.title,
            photo=types.ChatPhotoEmpty(),
            date=now(),
            access_hash=self.access_hash,
            megagroup=not self.broadcast,
            broadcast=self.broadcast,
        )


class World:
    """Everything there is. Not thread-safe: the server's loop alone touches it."""

    def __init__(self) -> None:
        self.people: dict[int, Person] = {}
        self.groups: dict[int, Group] = {}
        self.stored: dict[int, Stored] = {}
        self.boxes: dict[int, Box] = {}  # of accounts
        self.random_ids: set[tuple[int, int]] = set()
        self._numbers = itertools.count(1_000_001)

    def number(self) -> int:
        """A number that nothing else has."""
        return next(self._numbers)

    def box_of(self, account: int, chat: int) -> Box:
        """Where ACCOUNT's messages of CHAT lie."""
        group = self.groups.get(chat)
        if group and group.box:
            return group.box
        return self.boxes[account]

    def entities(self, ids: Iterable[int], viewer: int) -> tuple[list[Any], list[Any]]:
        """Users and chats named by marked IDS, as VIEWER sees them."""
        wanted = dict.fromkeys(ids)
        users = [self.people[one].render(viewer) for one in wanted if one in self.people]
        chats = [self.groups[one].render(viewer) for one in wanted if one in self.groups]
        return users, chats

    def peer(self, viewer: int, peer: Any) -> int:
        """The marked id of an InputPeer, InputUser or InputChannel. Refuses those that VIEWER can't know."""
        if isinstance(peer, types.InputPeerSelf | types.InputUserSelf):
            return viewer
        if isinstance(peer, types.InputPeerUser | types.InputUser):
            person = self.people.get(peer.user_id)
            bot = bool(self.people[viewer].bot_token)
            if person is None or (peer.access_hash != person.access_hash and not (bot and not peer.access_hash)):
                raise bad("PEER_ID_INVALID" if isinstance(peer, types.InputPeerUser) else "USER_ID_INVALID")
            return person.id
        try:
            marked = int(utils.get_peer_id(peer))
        except TypeError:
            raise bad("PEER_ID_INVALID") from None
        group = self.groups.get(marked)
        channel = isinstance(peer, types.InputPeerChannel | types.InputChannel)
        if group is None or viewer not in group.members or (channel and peer.access_hash != group.access_hash):
            raise bad("CHANNEL_INVALID" if channel else "PEER_ID_INVALID")
        return marked

    def deliver(self, sender: int, chat: int, **parts: Any) -> list[tuple[Box, Event]]:
        """Puts one message from SENDER to CHAT (marked) into each box that it belongs in; the sender's box first."""
        group = self.groups.get(chat)
        if group and group.box:
            return [self._put(group.box, chat, sender, out=True, **parts)]
        if group:
            owners = sorted((one for one in group.members if one in self.boxes), key=lambda one: one != sender)
            return [self._put(self.boxes[one], chat, sender, out=one == sender, **parts) for one in owners]
        sides = [(sender, chat, True)] if sender == chat else [(sender, chat, True), (chat, sender, False)]
        return [
            self._put(self.boxes[owner], other, sender, out=out, **parts)
            for owner, other, out in sides
            if owner in self.boxes
        ]

    def _put(self, box: Box, chat: int, sender: int, *, out: bool, text: str = "", **parts: Any) -> tuple[Box, Event]:
        group = self.groups.get(chat)
        letter = Letter(
            id=box.last_id + 1,
            chat=chat,
            sender=sender,
            out=out,
            date=now(),
            texts=[text],
            post=bool(group and group.broadcast),
            **parts,
        )
        return box, box.add(letter)

    def viewers(self, box: Box) -> list[int]:
        """The accounts that see BOX."""
        return [box.owner] if box.owner > 0 else [one for one in self.groups[box.owner].members if one in self.boxes]
