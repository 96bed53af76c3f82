"""One connection for files: a Telethon sender without its own reconnecting, whose requests can't hang for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from telethon import TelegramClient
from telethon.crypto import AuthKey
from telethon.network import MTProtoSender
from telethon.tl import TLRequest, functions
from telethon.tl.alltlobjects import LAYER

from bot_adapter.news import Address
from bot_adapter.transfer_wire import Wire


class LaneLost(Exception):
    """The connection ended before the answer came."""


class Unanswered(Exception):
    """Later requests were answered, this one wasn't."""


class Patience(NamedTuple):
    """How long is waited before something is thought lost, in seconds."""

    connect_s: float = 15.0
    silent_s: float = 15.0  # with answers due and not one byte coming: the connection is dead
    overtaken_s: float = 10.0  # for one answer while later requests are answered
    longest_s: float = 180.0  # for any answer
    idle_s: float = 20.0  # until a connection that nobody needs is closed


_OVERTAKEN: Final = 4  # later answers, until one that is due is thought lost


class _NoUpdates:
    """Where updates go that come over a connection for files: the account's own connection has them too."""

    def put_nowait(self, update: object) -> None:
        pass


class _Asked:
    """A request that is out."""

    __slots__ = ("at", "future", "overtaken")

    def __init__(self, future: asyncio.Future[Any], at: float) -> None:
        self.future = future
        self.at = at
        self.overtaken = 0


class Lane:
    """Made by `dial`; `ask` as often as wanted, at once if wanted."""

    def __init__(self, sender: MTProtoSender, wire: Wire) -> None:
        self._sender = sender
        self._wire = wire
        self._ended = sender.disconnected
        self._ended.add_done_callback(_retrieve)
        self._out: dict[int, _Asked] = {}
        self._next = 0
        self.answers = 0
        self.load = 0  # pieces that whoever shares it out has given it
        self.idle_since = asyncio.get_running_loop().time()

    @property
    def is_open(self) -> bool:
        """Whether more can be asked."""
        return bool(self._sender.is_connected())

    @property
    def salt(self) -> int:
        """The server's current salt, which spares the next connection a round trip."""
        return int(self._sender._state.salt)

    async def ask(self, request: TLRequest) -> Any:
        """The answer to REQUEST. Raises LaneLost, Unanswered, and Telegram's refusals (RPCError)."""
        loop = asyncio.get_running_loop()
        try:
            future = self._sender.send(request)
        except ConnectionError as error:
            raise LaneLost(str(error)) from None
        number, self._next = self._next, self._next + 1
        self._out[number] = asked = _Asked(future, loop.time())
        try:
            # What is asked while Telethon is noticing that the connection is lost stays in its queue for ever.
            await asyncio.wait((future, self._ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._out[number]
            self.idle_since = loop.time()
            if not future.done():
                future.cancel()
            _retrieve(future)  # whoever asked may have gone
        for other in self._earlier_than(number):
            other.overtaken += 1
        if not future.cancelled():
            result = _result(future)
            self.answers += 1
            return result
        raise Unanswered if asked.overtaken < 0 else LaneLost

    def _earlier_than(self, number: int) -> Iterable[_Asked]:
        return [asked for other, asked in self._out.items() if other < number]

    async def look(self, patience: Patience, now: float) -> None:
        """Gives up what is lost at NOW: single requests, or the whole connection."""
        if not self._out:
            return
        oldest = min(asked.at for asked in self._out.values())
        if now - max(oldest, self._wire.heard_at) > patience.silent_s or now - oldest > patience.longest_s:
            await self.close()
            return
        for asked in self._out.values():
            if asked.overtaken >= _OVERTAKEN and now - asked.at > patience.overtaken_s:
                asked.overtaken = -1
                asked.future.cancel()

    async def close(self) -> None:
        """Ends the connection; whoever waits for an answer hears LaneLost."""
        await self._sender.disconnect()
        _retrieve(self._sender.disconnected)


def _result(future: asyncio.Future[Any]) -> Any:
    error = future.exception()
    if isinstance(error, OSError | BufferError | asyncio.IncompleteReadError):
        raise LaneLost(str(error)) from None
    return future.result()


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Looks at what FUTURE ended with, since asyncio complains about errors that nobody has seen."""
    if future.done() and not future.cancelled():
        future.exception()


async def dial(
    client: TelegramClient,
    address: Address,
    key: AuthKey,
    *,
    salt: int = 0,
    authorization: Any = None,
    quiet: bool = True,
    connect_s: float,
) -> tuple[Lane, AuthKey]:
    """A new connection to ADDRESS on KEY, and the key.

    KEY may be empty: one is made then, and AUTHORIZATION (of auth.exportAuthorization) imported into it. SALT is the
    last one known. QUIET asks for no updates, which requests for files bring none of anyway. Raises OSError,
    TimeoutError, RPCError.
    """
    sender = MTProtoSender(
        key or None,
        loggers=client._log,
        retries=1,
        delay=0,
        auto_reconnect=False,
        connect_timeout=connect_s,
        updates_queue=_NoUpdates(),
    )
    wire = Wire(*address)
    sender._state.salt = salt
    sender._state.time_offset = client._sender._state.time_offset
    try:
        async with asyncio.timeout(connect_s):
            await sender.connect(wire)
            await _introduce(client, sender, authorization, quiet=quiet)
    except BaseException as error:
        await sender.disconnect()
        await wire.disconnect()
        _retrieve(sender.disconnected)
        if isinstance(error, EOFError):
            raise ConnectionError("the server hung up") from None
        raise
    return Lane(sender, wire), sender.auth_key


async def _introduce(client: TelegramClient, sender: MTProtoSender, authorization: Any, *, quiet: bool) -> None:
    """Says who connects, as each new connection must."""
    known = client._init_request
    query: TLRequest = functions.help.GetConfigRequest()
    if authorization is not None:
        query = functions.auth.ImportAuthorizationRequest(id=authorization.id, bytes=authorization.bytes)
    hello = functions.InitConnectionRequest(
        api_id=known.api_id,
        device_model=known.device_model,
        system_version=known.system_version,
        app_version=known.app_version,
        system_lang_code=known.system_lang_code,
        lang_pack=known.lang_pack,
        lang_code=known.lang_code,
        query=query,
    )
    wanted = functions.InvokeWithoutUpdatesRequest(hello) if quiet else hello
    await _answered(sender, functions.InvokeWithLayerRequest(LAYER, wanted))


async def _answered(sender: MTProtoSender, request: TLRequest) -> Any:
    future = sender.send(request)
    await asyncio.wait((future,))
    if future.cancelled():
        raise ConnectionError("the connection ended")
    return future.result()
