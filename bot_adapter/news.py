"""Telethon's client, listened to at its door: every message is told of as it comes, whatever Telethon makes of it.

Telethon hands updates on in the order of their numbers, and keeps back what doesn't fit: a server whose numbers are odd
would be heard of only when its chats are looked at. Messages told of twice do no harm here, late ones do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Protocol

from telethon import TelegramClient, errors, events, utils
from telethon.tl import types
from telethon.tl.functions.help import GetConfigRequest

_log: Final = logging.getLogger(__name__)
_TOO_LONG: Final = (types.updates.DifferenceTooLong, types.updates.ChannelDifferenceTooLong)
_DIFFERENCES: Final = (
    types.updates.Difference,
    types.updates.DifferenceSlice,
    types.updates.ChannelDifference,
    *_TOO_LONG,
)
_STATE_S: Final = 15.0  # for the state of updates, which a server may not keep
_REQUEST_S: Final = 60.0  # for any request, also those that Telethon makes by itself


class Address(NamedTuple):
    """Where a DC is."""

    host: str
    port: int


class News(Protocol):
    """Who is told. Messages are Telethon's."""

    def met(self, people: Iterable[Any]) -> None:
        """PEOPLE, users and chats, were named with what comes."""
        ...

    def came(self, message: Any) -> None:
        """MESSAGE is new."""
        ...

    def changed(self, message: Any) -> None:
        """MESSAGE was edited."""
        ...

    def went(self, chat: int, messages: tuple[int, ...]) -> None:
        """MESSAGES were deleted; CHAT is 0 where Telegram doesn't say which."""
        ...

    def missed(self) -> None:
        """There was more than Telegram tells."""
        ...


class ListeningClient(TelegramClient):  # type: ignore[misc]
    """A client whose `news` is told of everything that comes. `addresses` are those of DCs that are known better than
    the server says, `spare` the one of a DC that it doesn't name at all."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.news: News | None = None
        self.addresses: dict[int, Address] = {}
        self.spare: Address | None = None
        self._named: dict[int, Address] | None = None
        self._updates_queue = self._sender._updates_queue = _Door(self)

    async def __call__(self, request: Any, *args: Any, **settings: Any) -> Any:
        """Telethon's own, with an end to its patience."""
        result = await asyncio.wait_for(super().__call__(request, *args, **settings), _REQUEST_S)
        if isinstance(result, _DIFFERENCES):
            self.heard(result)
        return result

    def heard(self, box: Any) -> None:
        """Tells of what is in BOX, an Updates or a difference of any form."""
        if self.news is None or getattr(box, "_self_outgoing", False):
            return  # nobody listens, or it's the answer to a request of ours
        try:
            _tell(self, self.news, box)
        except Exception:  # noqa: BLE001 - Telethon's loop isn't to suffer from it, and nothing is missed
            _log.exception("an update could not be understood; the chats are looked at")
            self.news.missed()

    async def address_of(self, dc: int) -> Address:
        """Where DC is. Raises ConnectionError where nobody knows, and what a request may raise."""
        if dc not in self.addresses and self._named is None:
            self._named = _addresses(await self(GetConfigRequest()), newer=":" in self.session.server_address)
        found = self.addresses.get(dc) or (self._named or {}).get(dc) or self.spare
        if found is None:
            raise ConnectionError(f"Telegram names no address of DC {dc}")
        return found

    async def _get_dc(self, dc_id: int, cdn: bool = False) -> Any:
        """Where Telethon goes when the account's home is in another DC."""
        address = await self.address_of(dc_id)
        return types.DcOption(id=dc_id, ip_address=address.host, port=address.port)

    async def _on_login(self, user: Any) -> Any:
        """Telethon's own, which asks for the state of updates; here without one it goes on too."""
        try:
            return await asyncio.wait_for(super()._on_login(user), _STATE_S)
        except errors.UnauthorizedError:
            raise
        except (errors.RPCError, TimeoutError, ValueError, AttributeError, TypeError) as error:
            _log.warning("the server tells no state of updates (%s)", type(error).__name__)
            return user


class _Door(asyncio.Queue[Any]):
    """Where Telethon puts what comes, on its way to being put in order."""

    def __init__(self, client: ListeningClient) -> None:
        super().__init__()
        self._client = client

    def put_nowait(self, item: Any) -> None:
        super().put_nowait(item)
        self._client.heard(item)


def _tell(client: ListeningClient, news: News, box: Any) -> None:
    people = [*(getattr(box, "users", None) or ()), *(getattr(box, "chats", None) or ())]
    news.met(people)
    entities = {utils.get_peer_id(one): one for one in people}
    for message in (*getattr(box, "new_messages", ()), *getattr(box, "messages", ())):
        if isinstance(message, types.Message):
            news.came(_finished(client, message, entities))
    for update in _updates(box):
        _tell_of(client, news, update, entities)
    if isinstance(box, _TOO_LONG):
        news.missed()


def _updates(box: Any) -> Iterable[Any]:
    if isinstance(box, types.UpdateShort):
        return (box.update,)
    if isinstance(box, types.UpdateShortMessage | types.UpdateShortChatMessage):
        return (box,)
    return (*(getattr(box, "updates", None) or ()), *(getattr(box, "other_updates", None) or ()))


def _tell_of(client: ListeningClient, news: News, update: Any, entities: dict[int, Any]) -> None:
    if isinstance(update, types.UpdateChannelTooLong):
        news.missed()
    elif deleted := events.MessageDeleted.build(update):
        news.went(deleted.chat_id or 0, tuple(deleted.deleted_ids))
    elif edited := events.MessageEdited.build(update):
        news.changed(_finished(client, edited.message, entities))
    elif new := events.NewMessage.build(update, self_id=client._self_id):
        news.came(_finished(client, new.message, entities))


def _finished(client: ListeningClient, message: Any, entities: dict[int, Any]) -> Any:
    message._finish_init(client, entities, None)
    return message


def _addresses(config: Any, *, newer: bool) -> dict[int, Address]:
    """Of each DC that CONFIG (help.getConfig's) names, the first address that a plain client can use, of the NEWER kind
    (IPv6) where that is how it got here."""
    usable = [one for one in config.dc_options if not (one.cdn or one.tcpo_only or one.secret)]
    usable.sort(key=lambda one: bool(one.ipv6) is not newer)
    found: dict[int, Address] = {}
    for one in usable:
        found.setdefault(one.id, Address(one.ip_address, one.port))
    return found
