"""How the account addresses chats: by what messages named, what it remembers, the list of its chats, or at a guess."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from typing import Any, Final

from telethon import errors, types, utils

from bot_adapter.asking import asked
from bot_adapter.fatal import raise_if_fatal

_log: Final = logging.getLogger(__name__)
_DIALOGS: Final = 500
_LIST_S: Final = 120.0
_CHANNELS_BELOW: Final = -1_000_000_000_000


class UnknownChat(Exception):
    """The account has never met the chat: nobody there has written to it, and it's no member."""


class Peers:
    """Finds chats by their marked ids. A bot has no list of its chats: it meets them as they write."""

    def __init__(self, client: Any, *, is_bot: bool) -> None:
        self._client = client
        self._can_list = not is_bot
        self._met: dict[int, Any] = {}
        self._listed = False
        self._listed_for: set[int] = set()

    def met(self, people: Iterable[Any]) -> None:
        """PEOPLE, users and chats, were named by Telegram: as far as that is enough to address them, it's kept."""
        for one in people:
            with contextlib.suppress(TypeError):  # seen from afar only ("min"), or empty
                self._met[utils.get_peer_id(one)] = utils.get_input_peer(one, allow_self=False)

    async def find(self, chat: int, *, guess: bool = False) -> Any:
        """The address of CHAT; with GUESS one that Telegram may not accept, where nothing better is known. Raises
        UnknownChat, Passing, and refusals of the account."""
        found = self._known(chat)
        if found is None and self._can_list and (not self._listed or (guess and chat not in self._listed_for)):
            self._listed_for.add(chat)  # somebody there has written, since the list was read perhaps
            await self._list()
            found = self._known(chat)
        if found is None:
            found = await self._ask(chat)
        if found is None and guess:
            found = _guessed(chat)
        if found is None:
            raise UnknownChat(chat)
        return found

    def forget(self) -> None:
        """The list of chats may have changed: it's asked for again where a chat isn't known."""
        self._listed = False
        self._listed_for.clear()

    def _known(self, chat: int) -> Any:
        if chat in self._met:
            return self._met[chat]
        if _CHANNELS_BELOW < chat < 0:
            return types.InputPeerChat(-chat)
        with contextlib.suppress(ValueError, KeyError, AttributeError):
            return self._client.session.get_input_entity(chat)
        return None

    async def _list(self) -> None:
        """Has Telethon read the list of chats, which it remembers as it comes, whatever it can make of it."""
        self._listed = True
        try:
            await asked(self._client.get_dialogs(limit=_DIALOGS), _LIST_S)
        except errors.RPCError as error:
            raise_if_fatal(error)
            _log.warning("the list of chats can't be had: %s", type(error).__name__)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            _log.warning("the list of chats isn't understood: %s", type(error).__name__)

    async def _ask(self, chat: int) -> Any:
        try:
            return await asked(self._client.get_input_entity(chat))
        except errors.RPCError as error:
            raise_if_fatal(error)
        except (LookupError, TypeError, ValueError, AttributeError):
            pass  # Telethon's ways to say that nothing is known
        return None


def _guessed(chat: int) -> Any:
    if chat > 0:
        return types.InputPeerUser(chat, 0)
    return types.InputPeerChannel(_CHANNELS_BELOW - chat, 0)
