"""The status messages: one for each open upload, edited in place while it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import Any, Final

from telethon import errors, functions
from telethon.extensions import html

from bot_adapter import answers
from bot_adapter.answers import Over, Standing
from bot_adapter.asking import Passing, asked, is_for_good
from bot_adapter.fatal import raise_if_fatal
from bot_adapter.pacing import Pacer
from bot_adapter.peers import Peers, UnknownChat
from pipeline.adapter.model import Say, StatusFacts

_CLOSED_KEPT: Final = 1000
_REFUSALS: Final = 4  # of a kind that nobody knows, until a message is left as it is
_AGAIN_S: Final = 2.0


class Board:
    """Knows how each upload stands, and sees to it that its message says so."""

    def __init__(self, client: Any, peers: Peers) -> None:
        self._client = client
        self._peers = peers
        self._pacer = Pacer(time.monotonic)
        self._messages: dict[int, tuple[int, int]] = {}  # chat and message, by upload
        self._facts: dict[int, StatusFacts] = {}
        self._standing: dict[int, Standing] = {}
        self._closed: dict[int, str] = {}  # uploads that ended while their message was on its way, the last words
        self._refusals: dict[int, int] = {}  # in a row, by upload
        self._changed = asyncio.Event()

    def name(self, upload: int, name: str, size: int) -> None:
        """What UPLOAD is called by now, and how large it is; both grow as parts come."""
        self._facts[upload] = StatusFacts(name=name, size=size)
        self._closed.pop(upload, None)

    def text(self, say: Say) -> str:
        """What the status message SAY is to say now."""
        assert isinstance(say.facts, StatusFacts)
        return answers.status(self._facts.get(say.upload, say.facts), self._standing.get(say.upload))

    def posted(self, say: Say, message: int, text: str) -> None:
        """SAY is in its chat as MESSAGE; what it says is TEXT, or unknown where that's empty."""
        if message and isinstance(say.facts, StatusFacts):
            self._facts.setdefault(say.upload, say.facts)
            self._messages[say.upload] = (say.chat, message)
            self._pacer.add(say.upload, say.chat, text)
            last_words = self._closed.pop(say.upload, None)
            self.stand(say.upload, Over(last_words) if last_words else self._standing.get(say.upload))

    def stand(self, upload: int, standing: Standing) -> None:
        """UPLOAD stands like this now."""
        self._standing[upload] = standing
        if upload in self._messages:
            self._pacer.want(upload, answers.status(self._facts[upload], standing))
            self._changed.set()

    def close(self, upload: int, words: str) -> None:
        """UPLOAD has ended; its message says so in WORDS, and is left alone then."""
        self.stand(upload, Over(words))
        if upload not in self._messages:
            self._forget(upload)
            self._closed[upload] = words
            while len(self._closed) > _CLOSED_KEPT:
                del self._closed[next(iter(self._closed))]

    def _forget(self, upload: int) -> None:
        self._pacer.forget(upload)
        for table in (self._messages, self._facts, self._standing, self._refusals):
            table.pop(upload, None)

    async def run(self) -> None:
        """Edits, for ever."""
        while True:
            turn = self._pacer.next()
            if turn.key is not None:
                await self._edit(turn.key)
                continue
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), None if math.isinf(turn.wait_s) else turn.wait_s)

    async def _edit(self, upload: int) -> None:
        chat, message = self._messages[upload]
        text = self._pacer.wanted(upload)
        try:
            await self._request(chat, message, text)
        except Passing as error:
            self._pacer.flooded(error.wait_s or 1.0)
            return
        except errors.MessageNotModifiedError:
            pass  # it said so already
        except (errors.RPCError, UnknownChat) as error:
            raise_if_fatal(error)
            self._refusals[upload] = self._refusals.get(upload, 0) + 1
            if isinstance(error, UnknownChat) or is_for_good(error) or self._refusals[upload] >= _REFUSALS:
                self._forget(upload)  # somebody deleted it, or took away our right to write
            else:
                self._pacer.flooded(_AGAIN_S)
            return
        self._refusals.pop(upload, None)
        self._pacer.edited(upload, text)
        if isinstance(self._standing.get(upload), Over):
            self._forget(upload)

    async def _request(self, chat: int, message: int, text: str) -> None:
        words, entities = html.parse(text)
        request = functions.messages.EditMessageRequest(
            peer=await self._peers.find(chat, guess=True),
            id=message,
            message=words,
            entities=entities,
            no_webpage=True,
        )
        await asked(self._client(request))
