"""How the account addresses chats: by what it remembers of them, else by the list of its chats."""

from __future__ import annotations

from typing import Any, Final

from telethon import errors

_DIALOGS: Final = 500


class UnknownChat(Exception):
    """The account has never met the chat: nobody there has written to it, and it's no member."""


class Peers:
    """Finds chats by their marked ids. A bot has no list of its chats: it meets them as they write."""

    def __init__(self, client: Any, *, is_bot: bool) -> None:
        self._client = client
        self._can_list = not is_bot
        self._listed_for: set[int] = set()

    async def find(self, chat: int) -> Any:
        """The address of CHAT. Raises UnknownChat, and what a request may raise."""
        try:
            return await self._client.get_input_entity(chat)
        except (ValueError, errors.BadRequestError):
            if not self._can_list or chat in self._listed_for:
                raise UnknownChat(chat) from None
        self._listed_for.add(chat)
        await self._client.get_dialogs(limit=_DIALOGS)
        try:
            return await self._client.get_input_entity(chat)
        except (ValueError, errors.BadRequestError):
            raise UnknownChat(chat) from None

    def forget(self) -> None:
        """The list may have changed: it's asked for again where a chat isn't known."""
        self._listed_for.clear()
