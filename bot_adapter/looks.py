"""Looks at the chats for what no update told of: at the start, after each reconnect, and every few minutes.

How far a chat has been looked at moves on only here, after everything up to there has been reported: an update proves
nothing about those before it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

from telethon import errors

from bot_adapter.asking import Passing, asked, is_for_good
from bot_adapter.door import Door
from bot_adapter.ears import Ears, read
from bot_adapter.fatal import raise_if_fatal, text_of
from bot_adapter.peers import Peers, UnknownChat
from pipeline.adapter.model import AdapterReport, Arrived, Gone, Link, Looked, Message

_log: Final = logging.getLogger(__name__)
_PAGE: Final = 100
_REFUSALS: Final = 3  # of a look at one chat, until it has to wait for the next round


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
        self._refused: dict[int, int] = {}  # looks at a chat, in a row

    async def look(self, waiting: Iterable[Message]) -> None:
        """Reports all that is new, and what became of those messages that are WAITING. Raises Passing, where all is to be
        looked at again, and what is fatal."""
        self._peers.forget()
        late: Passing | None = None
        for chat in self._door.chats:
            try:
                await self._look_at(chat, await self._peers.find(chat))
            except UnknownChat:
                continue  # nobody there has written yet
            except Passing as error:
                if late is not None:
                    raise  # it isn't one chat's trouble
                late = error
            except errors.RPCError as error:
                raise_if_fatal(error)
                self._refused[chat] = self._refused.get(chat, 0) + 1
                if is_for_good(error) or self._refused[chat] > _REFUSALS:
                    _log.warning("chat %s can't be looked at: %s", chat, text_of(error))
                else:
                    late = late or Passing(f"Telegram refuses a look ({text_of(error)[:60]})")
            else:
                self._refused.pop(chat, None)
        await self._look_after(waiting)
        if late is not None:
            raise late

    async def _look_after(self, waiting: Iterable[Message]) -> None:
        """What became of messages that are WAITING for their job."""
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
        else:
            await self._look_back(chat, peer, looked)

    async def _look_back(self, chat: int, peer: Any, looked: int | None) -> None:
        """Reads CHAT from its newest message back to the one LOOKED at last. Where it was never looked at, what was
        sent lately is taken, but no command."""
        since = time.time() - self._first_look_s if looked is None else 0.0
        found: list[tuple[AdapterReport, Any]] = []
        top = looked or 0
        async for message in self._backwards(peer):
            top = max(top, message.id)
            if message.id <= (looked or 0) or (since and _sent_at(message) < since):
                break
            if report := self._report_of(message, commands=looked is not None):
                found.append((report, message))
        for report, message in reversed(found):
            self._tell(report, message)
        self._move(chat, top)

    async def _backwards(self, peer: Any) -> AsyncIterator[Any]:
        """All messages, the newest first, page by page until there is none: servers differ in how they say that there
        are more."""
        lowest = 0
        while True:
            page = await self._ask(lambda: self._client.get_messages(peer, limit=_PAGE, offset_id=lowest))  # noqa: B023
            page = [message for message in page if not lowest or message.id < lowest]
            if not page:
                return
            for message in page:
                yield message
            lowest = min(message.id for message in page)

    async def _ask(self, question: Callable[[], Any]) -> Any:
        """The answer to QUESTION, after as many waits as Telegram wants."""
        while True:
            try:
                return await asked(question())
            except Passing as error:
                if not error.wait_s:
                    raise
                await asyncio.sleep(error.wait_s)

    async def _look_as_bot(self, chat: int, peer: Any, looked: int | None) -> None:
        """A bot may not read a chat's history, but any message by its number."""
        if looked is None:
            return
        top = looked
        since = time.time() - self._first_look_s
        while True:
            numbers = list(range(top + 1, top + 1 + _PAGE))
            found = await self._ask(lambda: self._client.get_messages(peer, ids=numbers))  # noqa: B023
            there = [message for message in found if message is not None]
            if not there:
                break
            for message in there:
                if message.chat_id == chat and _sent_at(message) >= since:
                    self.report(message)
            top += _PAGE
            self._move(chat, max(message.id for message in there))

    def seen(self, chat: int, message: int) -> None:
        """A message came by an update; for a bot, looking begins a page before it."""
        if self.is_bot and chat not in self.looked:
            self._move(chat, max(0, message - 1 - _PAGE))

    def report(self, message: Any, *, commands: bool = True) -> None:
        """Reports what MESSAGE is, if anything."""
        if report := self._report_of(message, commands=commands):
            self._tell(report, message)

    def _report_of(self, message: Any, *, commands: bool) -> AdapterReport | None:
        try:
            return self._ears.hear(message, commands=commands)
        except Exception:  # noqa: BLE001 - one odd message mustn't keep all others from being heard, each time anew
            _log.exception("a message can't be read")
            return None

    def _tell(self, report: AdapterReport, message: Any) -> None:
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
            found = await self._by_number(peer, [one.message for one in messages])
            for number in {one.message for one in messages} - found.keys():
                found |= await self._by_number(peer, [number])  # some servers leave out what isn't there: asked twice
        except UnknownChat:
            return
        except errors.RPCError as error:
            raise_if_fatal(error)
            return
        for known in messages:
            now = found.get(known.message)
            if now is None or (fresh := read(now)) is None:
                self._link.report(Gone(chat, (known.message,)))
            elif (fresh.document, fresh.wishes, fresh.name) != (known.document, known.wishes, known.name):
                self._heard(now)
                self._link.report(Arrived(fresh))

    async def _by_number(self, peer: Any, numbers: list[int]) -> dict[int, Any]:
        found = await self._ask(lambda: self._client.get_messages(peer, ids=numbers))
        return {message.id: message for message in found if message is not None}


def _sent_at(message: Any) -> float:
    return message.date.timestamp() if message.date else 0.0
