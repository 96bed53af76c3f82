"""Who may do what: deny by default. Pure."""

from __future__ import annotations

import enum

from pipeline.config import Telegram


class Visitor(enum.Enum):
    """Who a message is from."""

    ALLOWED = "allowed"  # may upload, and give commands
    OURSELVES = "ourselves"  # our own answers, and what the account's owner says elsewhere
    STRANGER = "stranger"  # gets nothing, or one polite sentence
    UNHEARD = "unheard"  # somebody else in a group or channel, whom nothing is said to


class Door:
    """Knows whose uploads are taken. ACCOUNT is our own id."""

    def __init__(self, config: Telegram, account: int) -> None:
        self._senders = frozenset(config.senders)
        self._chats = frozenset(config.chats)
        self._account = account

    @property
    def chats(self) -> tuple[int, ...]:
        """The chats to look at: those with each sender, and the groups and channels."""
        return tuple(sorted(self._senders | self._chats))

    def who(self, chat: int, sender: int, *, out: bool, reply_to: int) -> Visitor:
        """Who SENDER is in CHAT (a marked id). OUT is set for what our own account sent.

        In the chat with oneself (Saved Messages) uploads are outgoing too; there, what replies to something is ours.
        """
        if out and (chat != self._account or reply_to):
            return Visitor.OURSELVES
        if chat > 0:
            return Visitor.ALLOWED if chat in self._senders or chat in self._chats else Visitor.STRANGER
        if chat not in self._chats:
            return Visitor.UNHEARD
        return Visitor.ALLOWED if not self._senders or sender in self._senders else Visitor.UNHEARD
