"""Looks at the chats for what no update told of: at the start, after each reconnect, and every few minutes.

How far a chat has been looked at moves on only here, after everything up to there has been reported: an update proves
nothing about those before it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from telethon import errors

from bot_adapter.door import Door
from bot_adapter.ears import Ears, read
from bot_adapter.fatal import raise_if_fatal
from bot_adapter.peers import Peers, UnknownChat
from pipeline.adapter.model import Arrived, Gone, Link, Looked, Message

_log: Final = logging.getLogger(__name__)
_PAGE: Final = 100


class Looks:
    """HEARD is told of each Telethon message that is an upload, which is then as fresh as can be."""

    def __init__(
        self,
        client: Any,
        peers: Peers,
        link: Link,
        door: Door,
        ears: Ears,
        heard: Callable[[Any], None],
        first_look_s: float,
    ) -> None:
        self._client = client
        self._peers = peers
        self._link = link
        self._door = door
        self._ears = ears
        self._heard = heard
        self._first_look_s = first_look_s
        self.looked: dict[int, int] = {}
        self.is_bot = False

    async def look(self, waiting: Iterable[Message]) -> None:
        """Reports all that is new, and what became of those messages that are WAITING. Raises what is fatal, OSError
        and TimeoutError."""
        self._peers.forget()
        for chat in self._door.chats:
            try:
                await self._look_at(chat, await self._peers.find(chat))
            except UnknownChat:
                continue  # nobody there has written yet
            except errors.FloodWaitError as error:
                await asyncio.sleep(error.seconds)
            except errors.RPCError as error:
                raise_if_fatal(error)
                _log.warning("chat %s can't be looked at: %s", chat, type(error).__name__)
        by_chat: dict[int, list[Message]] = {}
        for message in waiting:
            by_chat.setdefault(message.chat, []).append(message)
        for chat, messages in by_chat.items():
            for at in range(0, len(messages), _PAGE):
                await self._check(chat, messages[at : at + _PAGE])

    async def _look_at(self, chat: int, peer: Any) -> None:
        looked = self.looked.get(chat)
        if self.is_bot:
            await self._look_as_bot(chat, peer, looked)
        elif looked is None:
            await self._look_first(chat, peer)
        else:
            top = looked
            async for message in self._client.iter_messages(peer, min_id=looked, reverse=True):
                self.report(message)
                top = max(top, message.id)
            self._move(chat, top)

    async def _look_first(self, chat: int, peer: Any) -> None:
        """A chat that was never looked at: what was sent lately is taken, but no command."""
        since = datetime.fromtimestamp(time.time() - self._first_look_s, UTC)
        found = []
        top = 0
        async for message in self._client.iter_messages(peer):
            top = max(top, message.id)
            if message.date is None or message.date < since:
                break
            found.append(message)
        for message in reversed(found):
            self.report(message, commands=False)
        self._move(chat, top)

    async def _look_as_bot(self, chat: int, peer: Any, looked: int | None) -> None:
        """A bot may not read a chat's history, but any message by its number."""
        if looked is None:
            return
        top = looked
        since = datetime.fromtimestamp(time.time() - self._first_look_s, UTC)
        while True:
            found = await self._client.get_messages(peer, ids=list(range(top + 1, top + 1 + _PAGE)))
            there = [message for message in found if message is not None]
            if not there:
                break
            for message in there:
                if message.chat_id == chat and message.date and message.date >= since:
                    self.report(message)
            top += _PAGE
            self._move(chat, max(message.id for message in there))

    def seen(self, chat: int, message: int) -> None:
        """A message came by an update; for a bot, looking begins a page before it."""
        if self.is_bot and chat not in self.looked:
            self._move(chat, max(0, message - 1 - _PAGE))

    def report(self, message: Any, *, commands: bool = True) -> None:
        """Reports what MESSAGE is, if anything."""
        report = self._ears.hear(message, commands=commands)
        if report is None:
            return
        if isinstance(report, Arrived):
            self._heard(message)
        self._link.report(report)

    def _move(self, chat: int, top: int) -> None:
        if self.looked.get(chat) != top:
            self.looked[chat] = top
            self._link.report(Looked(chat, top))

    async def _check(self, chat: int, messages: list[Message]) -> None:
        """Whether MESSAGES of CHAT are still there, as they were."""
        try:
            peer = await self._peers.find(chat)
            found = await self._client.get_messages(peer, ids=[message.message for message in messages])
        except UnknownChat:
            return
        except errors.RPCError as error:
            raise_if_fatal(error)
            return
        for known, now in zip(messages, found, strict=True):
            if now is None or (fresh := read(now)) is None:
                self._link.report(Gone(chat, (known.message,)))
            elif (fresh.document, fresh.wishes, fresh.name) != (known.document, known.wishes, known.name):
                self._heard(now)
                self._link.report(Arrived(fresh))
