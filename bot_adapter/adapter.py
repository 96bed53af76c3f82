"""The adapter's process: one account, in touch with Telegram on one side and the supervisor on the other.

It decides nothing that has to last. What arrives is reported, and acted upon when the ledger has it; it may be killed
at any moment, and whoever follows is told by the supervisor what is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, Final

from telethon import errors, functions, types
from telethon.tl.alltlobjects import LAYER

from bot_adapter import answers, client, replies
from bot_adapter.asking import Passing, asked
from bot_adapter.board import Board
from bot_adapter.door import Door
from bot_adapter.ears import Ears, read
from bot_adapter.fatal import explain, raise_if_fatal
from bot_adapter.files_out import FilesOut
from bot_adapter.looks import Looks
from bot_adapter.news import ListeningClient
from bot_adapter.outbox import Outbox
from bot_adapter.peers import Peers
from bot_adapter.results import Results
from bot_adapter.transfers import Transfers
from bot_adapter.uploads import Uploads
from pipeline.adapter.model import (
    AdapterOrder,
    Connected,
    Gone,
    Grant,
    Hold,
    Link,
    Move,
    Note,
    RefusalFacts,
    ReplyFacts,
    Restore,
    ResultFacts,
    Say,
    StatusFacts,
    Stopped,
)
from pipeline.config import Config
from pipeline.errors import StampmillError

_RETRY_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_PASSING: Final = (client.TelegramUnreachable, Passing, OSError, errors.RPCError)


class Disconnected(Exception):
    """Telethon has given the connection up."""


def run(config: Config, link: Link) -> None:
    """The process's whole life; returns when the supervisor has said so, or the account can't be used."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    asyncio.run(_Process(config, link).run())


class _Process:
    """Connects until it works, then lets an account work until it's over."""

    def __init__(self, config: Config, link: Link) -> None:
        self._config = config
        self._link = link
        self._leave = asyncio.Event()
        self._orders: list[AdapterOrder] = []  # that came before there was an account
        self._account: _Account | None = None

    async def run(self) -> None:
        self._link.listen(self._hear, self._gone)
        working = asyncio.create_task(self._work())
        leaving = asyncio.create_task(self._leave.wait())
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()

    def _hear(self, order: AdapterOrder) -> None:
        if self._account is not None:
            self._account.obey(order)
        else:
            self._orders.append(order)

    @staticmethod
    def _gone() -> None:
        os._exit(0)  # the supervisor is gone; nothing here is worth a tidy end

    async def _work(self) -> None:
        attempt = 0
        while True:
            wait_s = 0.0
            try:
                async with client.connected(self._config, patient=True) as telegram:
                    await self._be(telegram)
            except Exception as error:
                if (fatal := _fatal(error)) is not None:
                    self._link.report(Stopped(*fatal))
                    return
                if self._account is not None or not isinstance(error, _PASSING):
                    raise  # another process takes up what is open
                self._link.report(Connected(0, _words(error)))
                wait_s = max(getattr(error, "wait_s", 0.0), _RETRY_S[min(attempt, len(_RETRY_S) - 1)])
            await asyncio.sleep(wait_s)
            attempt += 1

    async def _be(self, telegram: ListeningClient) -> None:
        assert self._config.telegram is not None
        me = await asked(telegram.get_me())
        if me is None:
            await _why_not(telegram)
            token = client.bot_token(self._config.telegram)
            if not token:
                raise client.LoginNeeded
            await asked(telegram.sign_in(bot_token=token))
            me = await asked(telegram.get_me())
        self._account = _Account(self._config, self._link, telegram, me)
        self._link.report(Connected(me.id))
        for order in self._orders:
            self._account.obey(order)
        self._orders.clear()
        await self._account.run()


class _Account:
    """One account that is logged in, and its parts."""

    def __init__(self, config: Config, link: Link, telegram: ListeningClient, me: Any) -> None:
        assert config.telegram is not None
        self._config = config.telegram
        self._link = link
        self._telegram = telegram
        self._me = me
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._look_now = asyncio.Event()
        self._look_now.set()
        door = Door(config.telegram, me.id)
        ears = Ears(door, config.telegram.stranger_reply)
        self._peers = Peers(telegram, is_bot=bool(me.bot))
        self._results = Results(Path(config.paths.library))
        self._transfers = Transfers(telegram, premium=bool(me.premium), refresh=self._refresh)
        self._board = Board(telegram, self._peers)
        fetch = self._transfers.fetch
        self._uploads = Uploads(
            link, config.telegram, self._board, fetch, self._refresh, self._around, self._fail, self._held_up
        )
        files = FilesOut(
            self._transfers,
            Results(Path(config.paths.library)),
            config.paths.ledger,
            Path(config.paths.state) / "telegram" / "answers",
        )
        self._outbox = Outbox(telegram, self._peers, files, link, self._render, self._board.posted, self._fail)
        self._looks = Looks(telegram, self._peers, link, door, ears, self._uploads.heard, config.telegram.first_look_s)
        self._looks.is_bot = bool(me.bot)
        self._jobs_open: set[int] = set()

    # Orders

    def obey(self, order: AdapterOrder) -> None:
        """Does what the supervisor says."""
        if isinstance(order, Say):
            self._say(order)
        elif isinstance(order, Note):
            self._uploads.note(order.upload)
        elif isinstance(order, Grant):
            self._uploads.grant(order.upload, order.message)
        elif isinstance(order, Hold):
            self._uploads.hold(order.upload, order.words)
        elif isinstance(order, Move):
            for progress in order.jobs:
                self._board.stand(progress.upload, progress)
        elif isinstance(order, Restore):
            self._looks.looked = dict(order.looked)

    def _say(self, say: Say) -> None:
        if say.sent:
            self._board.posted(say, say.sent, "")
            return
        if say.upload and not isinstance(say.facts, StatusFacts):
            self._outbox.drop_status(say.upload)
        self._outbox.add(say)

    async def _render(self, say: Say) -> str:
        facts = say.facts
        if isinstance(facts, StatusFacts):
            return self._board.text(say)
        if isinstance(facts, ReplyFacts):
            return replies.reply(facts)
        if isinstance(facts, RefusalFacts):
            return answers.refusal(facts)
        assert isinstance(facts, ResultFacts)
        preview = await self._results.first(facts.tables[0].path) if facts.tables else None
        return answers.result(facts, preview)

    # Life

    async def run(self) -> None:
        """Works until something ends it, which is raised."""
        self._telegram.news = self
        self._telegram._sender._auto_reconnect_callback = self._on_reconnect
        work: list[Coroutine[Any, Any, Any]] = [
            self._board.run(),
            self._uploads.run(),
            self._look(),
            self._watch(),
            self._until_disconnected(),
        ]
        tasks = [asyncio.create_task(one) for one in work]
        done, _ = await asyncio.wait((*tasks, self._failure), return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()

    def _fail(self, error: Exception) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    async def _until_disconnected(self) -> None:
        await asyncio.shield(self._telegram.disconnected)
        error = self._telegram._updates_error
        raise error if error is not None else Disconnected

    async def _on_reconnect(self) -> None:
        """The connection was lost and is there again: Telegram is told once more who connects, since some servers
        forget that with the connection, and that we listen; and we look what we missed."""
        known = self._telegram._init_request
        known.query = functions.help.GetConfigRequest()
        try:
            await asked(self._telegram(functions.InvokeWithLayerRequest(LAYER, known)))
            await asked(self._telegram.get_me())
        except Passing:
            pass
        except errors.RPCError as error:
            if explain(error) is not None:
                self._fail(error)
        self._look_now.set()

    async def _watch(self) -> None:
        """Says when there is no connection, and when there is one again."""
        connected = True
        while True:
            await asyncio.sleep(1.0)
            now = self._telegram._sender._transport_connected()
            if now != connected:
                connected = now
                self._link.report(Connected(self._me.id, "" if now else "no connection to Telegram, trying again"))

    async def _look(self) -> None:
        """Looks at the chats at the start, after each reconnect and now and then."""
        attempt = 0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), self._config.reconcile_s)
            self._look_now.clear()
            try:
                await self._looks.look(self._uploads.waiting)
                attempt = 0
            except Passing as error:
                await asyncio.sleep(max(error.wait_s, _RETRY_S[min(attempt, len(_RETRY_S) - 1)]))
                attempt += 1
                self._look_now.set()

    # What Telegram tells (news.News)

    def met(self, people: Iterable[Any]) -> None:
        """Users and chats that can be addressed now."""
        self._peers.met(people)

    def came(self, message: Any) -> None:
        """A new message."""
        self._looks.report(message)
        self._looks.seen(message.chat_id or 0, message.id)

    def changed(self, message: Any) -> None:
        """A message that was edited."""
        self._looks.report(message, commands=False)

    def went(self, chat: int, messages: tuple[int, ...]) -> None:
        """Messages that were deleted."""
        self._link.report(Gone(chat, messages))

    def missed(self) -> None:
        """More than is told."""
        self._look_now.set()

    # Files

    async def _refresh(self, chat: int, message: int) -> Any:
        peer = await self._peers.find(chat, guess=True)
        return await asked(self._telegram.get_messages(peer, ids=message))

    async def _around(self, chat: int, series: str, numbers: list[int]) -> bool:
        """Reports those of a chat's messages NUMBERS that belong to SERIES; whether there is any."""
        peer = await self._peers.find(chat, guess=True)
        found = await asked(self._telegram.get_messages(peer, ids=numbers))
        theirs = [one for one in found if one is not None and (upload := read(one)) and upload.series == series]
        for one in theirs:
            self._looks.report(one, commands=False)
        return bool(theirs)

    def _held_up(self) -> str:
        """What holds the account up, for whoever watches."""
        return self._transfers.words or self._outbox.words


async def _why_not(telegram: ListeningClient) -> None:
    """Returns where nobody is logged in; a login that was ended is raised as what ended it."""
    try:
        await asked(telegram(functions.users.GetUsersRequest([types.InputUserSelf()])))
    except errors.AuthKeyUnregisteredError:
        return
    except errors.RPCError as error:
        raise_if_fatal(error)


def _fatal(error: Exception) -> tuple[str, str] | None:
    """The code and words of what no new try helps against."""
    if isinstance(error, StampmillError) and not isinstance(error, client.TelegramUnreachable):
        return type(error).__name__, error.message
    return explain(error)


def _words(error: Exception) -> str:
    if isinstance(error, StampmillError):
        return error.message
    if isinstance(error, Passing):
        return f"{error}, trying again"
    return f"Telegram can't be reached ({type(error).__name__}), trying again"
