"""When which status message may be edited: latest wins, equal text is skipped, Telegram is never pressed. Pure.

All times are seconds on one clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

GAP_S: Final = 3.0  # between two edits of one message
GROUP_GAP_S: Final = 10.0
CHAT_GAP_S: Final = 1.0  # between two edits in one chat
GROUP_CHAT_GAP_S: Final = 3.0


class Card:
    """One status message: what it says, what it should say, when it was touched last."""

    __slots__ = ("chat", "said", "touched_at", "wanted")

    def __init__(self, chat: int, said: str, touched_at: float) -> None:
        self.chat = chat
        self.said = said
        self.wanted = said
        self.touched_at = touched_at

    @property
    def is_due(self) -> bool:
        """Whether it should say something else than it does."""
        return self.wanted != self.said


class Turn(NamedTuple):
    """The card to edit now, if any, else after how many seconds to look again (infinite: when something changes)."""

    key: int | None
    wait_s: float


class Pacer:
    """Keeps the cards, by a key of the caller's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._cards: dict[int, Card] = {}
        self._chat_at: dict[int, float] = {}
        self._not_before = -math.inf

    def add(self, key: int, chat: int, said: str) -> None:
        """A message that says SAID is in CHAT now; what was wanted of it meanwhile is kept."""
        before = self._cards.get(key)
        card = Card(chat, said, self._clock())
        if before is not None:
            card.wanted = before.wanted
        self._cards[key] = card

    def want(self, key: int, text: str) -> None:
        """The message is to say TEXT, as soon as it may."""
        if key in self._cards:
            self._cards[key].wanted = text

    def forget(self, key: int) -> None:
        """The message is edited no more."""
        self._cards.pop(key, None)

    def knows(self, key: int) -> bool:
        """Whether there is such a message."""
        return key in self._cards

    def wanted(self, key: int) -> str:
        """What the message is to say."""
        return self._cards[key].wanted

    def flooded(self, wait_s: float) -> None:
        """Telegram wants no edit for WAIT_S."""
        self._not_before = max(self._not_before, self._clock() + wait_s)

    def next(self) -> Turn:
        """Whom to edit now: of those that may be, the one that was touched longest ago."""
        now = self._clock()
        soonest, found = math.inf, None
        for key, card in self._cards.items():
            if not card.is_due:
                continue
            at = self._allowed_at(card)
            if at <= now and (found is None or card.touched_at < self._cards[found].touched_at):
                found = key
            soonest = min(soonest, at)
        return Turn(found, 0.0 if found is not None else soonest - now)

    def _allowed_at(self, card: Card) -> float:
        group = card.chat < 0
        own = card.touched_at + (GROUP_GAP_S if group else GAP_S)
        chat = self._chat_at.get(card.chat, -math.inf) + (GROUP_CHAT_GAP_S if group else CHAT_GAP_S)
        return max(own, chat, self._not_before)

    def edited(self, key: int, text: str) -> None:
        """The message says TEXT now (or can't be told to)."""
        card = self._cards.get(key)
        if card is not None:
            card.said, card.touched_at = text, self._clock()
            self._chat_at[card.chat] = card.touched_at
