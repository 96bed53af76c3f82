"""Sends what is to be said: by raw requests under the stored random ids, so that nothing is lost and nothing doubled.

One message at a time in each chat, answers before status messages. A random id that Telegram knows already means that
the message is there.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from telethon import errors, functions, types
from telethon.extensions import html

from bot_adapter.asking import Passing, asked, is_for_good
from bot_adapter.fatal import raise_if_fatal, text_of
from bot_adapter.files_out import FilesOut
from bot_adapter.peers import Peers, UnknownChat
from pipeline.adapter.model import FileFacts, Link, PictureFacts, Say, Sent, StatusFacts, Undeliverable

_MAX_ID: Final = 2**63 - 1
_RETRY_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
_LOOK_BACK: Final = 50  # messages that are searched for one of which only its being there is known
_REFUSED_IDS: Final = ("REPLY_", "MSG_ID_INVALID", "MESSAGE_ID_INVALID", "TOPIC_")
_REFUSALS: Final = 4  # of a kind that nobody knows, until an answer is given up

Render = Callable[[Say], Awaitable[str]]
Told = Callable[[Say, int, str], None]  # an item that is there now, as which message, with which text


class Outbox:
    """RENDER puts an item into words (HTML), TOLD hears of each that is in its chat, FAILED of what ends the account."""

    def __init__(
        self,
        client: Any,
        peers: Peers,
        files: FilesOut,
        link: Link,
        render: Render,
        told: Told,
        failed: Callable[[Exception], None],
    ) -> None:
        self._client = client
        self._peers = peers
        self._files = files
        self._link = link
        self._render = render
        self._told = told
        self._failed = failed
        self._waiting: dict[int, deque[Say]] = {}
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._not_before = 0.0  # on the monotonic clock: a flood wait, which is the whole account's

    @property
    def flood_s(self) -> float:
        """How long Telegram still wants no message from us."""
        return max(0.0, self._not_before - time.monotonic())

    @property
    def words(self) -> str:
        """What holds answers up, empty where nothing does."""
        waits = self._busy and self.flood_s >= 1
        return f"Telegram asks to wait {self.flood_s:.0f} s before the next answer" if waits else ""

    def add(self, say: Say) -> None:
        """SAY is to be sent after what waits for its chat; before the status messages if it's none itself."""
        waiting = self._waiting.setdefault(say.chat, deque())
        if isinstance(say.facts, StatusFacts):
            waiting.append(say)
        else:
            at = next((at for at, one in enumerate(waiting) if isinstance(one.facts, StatusFacts)), len(waiting))
            waiting.insert(at, say)
        if say.chat not in self._busy:
            self._busy[say.chat] = asyncio.create_task(self._serve(say.chat))

    def drop_status(self, upload: int) -> None:
        """The status message of UPLOAD, if it's still to be sent, comes too late."""
        for waiting in self._waiting.values():
            for say in [say for say in waiting if say.upload == upload and isinstance(say.facts, StatusFacts)]:
                waiting.remove(say)
                self._link.report(Sent(say.item, 0))

    async def _serve(self, chat: int) -> None:
        waiting = self._waiting[chat]
        try:
            while waiting:
                say = waiting.popleft()
                await self._deliver(say)
        except Exception as error:  # noqa: BLE001 - the account is gone, or it's a bug: either ends the process
            self._failed(error)
        finally:
            del self._busy[chat]

    async def _deliver(self, say: Say) -> None:
        """Sends SAY until it's there, or can never be."""
        if isinstance(say.facts, FileFacts):
            await self._deliver_files(say)
            return
        text = await self._render(say)
        message = await self._persist(say, partial(self._send, say, text), partial(self._find, say, text))
        if message is not None:
            self._link.report(Sent(say.item, message))
            self._told(say, message, text)

    async def _deliver_files(self, say: Say) -> None:
        """Sends files, one message each, whose random ids follow the item's own."""
        assert isinstance(say.facts, FileFacts)
        message: int | None = 0
        async with self._files.made(say.item, say.facts) as paths:
            if not paths and isinstance(say.facts, PictureFacts):
                self._link.report(Sent(say.item, 0))  # the answer itself is there, and says all in words
                return
            if not paths:
                self._link.report(Undeliverable(say.item, "its files could not be made"))
                return
            for number, path in enumerate(paths):
                message = await self._persist(say, partial(self._send_file, say, path, number), _nowhere)
                if message is None:
                    return
        self._link.report(Sent(say.item, message or 0))

    async def _persist(
        self, say: Say, send: Callable[[bool, bool], Awaitable[int]], find: Callable[[], Awaitable[int]]
    ) -> int | None:
        """Has SEND try (plainly or not, as a reply or not) until the message is there; its id. Where Telegram only says
        that it's there, FIND looks for it. None where it can never be, which is reported."""
        attempt = refusals = 0
        plain = without_reply = False
        while True:
            await self._wait_out_flood()
            try:
                return await send(plain, not without_reply)
            except errors.RandomIdDuplicateError:
                return await find()
            except (Passing, OSError) as error:
                await self._wait(error, attempt)
                attempt += 1
            except (errors.RPCError, UnknownChat) as error:
                raise_if_fatal(error)
                refusals += 1
                about_reply = _is_about_reply(error) and not without_reply
                final = isinstance(error, UnknownChat) or (is_for_good(error) and not about_reply)
                if final or refusals > _REFUSALS:
                    self._link.report(Undeliverable(say.item, text_of(error)[:60] or type(error).__name__))
                    return None
                # What may be at fault is left out: the reply's target where that is named, formatting, in the end both.
                without_reply |= about_reply or refusals == _REFUSALS
                plain |= "ENTIT" in text_of(error) or refusals > 1
                if not (about_reply or plain):
                    await asyncio.sleep(_RETRY_S[0])

    async def _wait(self, error: Exception, attempt: int) -> None:
        """Waits as long as ERROR wants, or the longer the more ATTEMPTs there were."""
        wait_s = getattr(error, "wait_s", 0.0)
        if wait_s and not getattr(error, "of_chat", False):
            self._not_before = time.monotonic() + wait_s
        else:
            await asyncio.sleep(wait_s or _RETRY_S[min(attempt, len(_RETRY_S) - 1)])

    async def _wait_out_flood(self) -> None:
        while (left := self.flood_s) > 0:  # noqa: ASYNC110 - another chat's message may make it longer meanwhile
            await asyncio.sleep(left)

    async def _send(self, say: Say, text: str, plain: bool, reply: bool) -> int:
        words, entities = html.parse(text)
        request = functions.messages.SendMessageRequest(
            peer=await self._peers.find(say.chat, guess=True),
            message=words,
            random_id=say.random_id,
            entities=None if plain else entities,
            reply_to=_reply_to(say, reply),
            silent=isinstance(say.facts, StatusFacts) or None,
            no_webpage=True,
        )
        return message_id(await asked(self._client(request)), say.random_id)

    async def _send_file(self, say: Say, path: Path, number: int, plain: bool, reply: bool) -> int:
        random_id = (say.random_id + number) & _MAX_ID
        request = functions.messages.SendMediaRequest(
            peer=await self._peers.find(say.chat, guess=True),
            media=await self._files.uploaded(path, picture=isinstance(say.facts, PictureFacts)),
            message="",
            random_id=random_id,
            reply_to=_reply_to(say, reply),
            silent=True,
        )
        return message_id(await asked(self._client(request)), random_id)

    async def _find(self, say: Say, text: str) -> int:
        """The id of a message of ours of which Telegram only says that it's there; 0 where it isn't found."""
        words, _ = html.parse(text)
        try:
            peer = await self._peers.find(say.chat)
            found = await asked(self._client.get_messages(peer, limit=_LOOK_BACK))
        except (errors.RPCError, Passing, UnknownChat):
            return 0  # bots may not look back
        for message in found:
            replies = getattr(message, "reply_to_msg_id", None) or 0
            if message.out and replies == say.reply_to and (message.message or "")[:20] == words[:20]:
                return int(message.id)
        return 0


async def _nowhere() -> int:
    return 0


def _reply_to(say: Say, reply: bool) -> types.InputReplyToMessage | None:
    return types.InputReplyToMessage(say.reply_to) if reply and say.reply_to else None


def message_id(result: Any, random_id: int) -> int:
    """The id of the message that a request with RANDOM_ID has made, as its RESULT says; 0 where it doesn't."""
    if isinstance(result, types.UpdateShortSentMessage):
        return int(result.id)
    updates = getattr(result, "updates", None) or [getattr(result, "update", None)]
    for update in updates:
        if isinstance(update, types.UpdateMessageID) and update.random_id == random_id:
            return int(update.id)
    new = [one for one in updates if isinstance(one, types.UpdateNewMessage | types.UpdateNewChannelMessage)]
    return int(new[0].message.id) if len(new) == 1 else 0


def _is_about_reply(error: Exception) -> bool:
    return any(word in text_of(error) for word in _REFUSED_IDS)
