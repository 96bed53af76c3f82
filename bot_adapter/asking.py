"""Asks Telegram something within a time, and tells what may pass from what stays refused. Every request goes through here.

Telethon alone waits for ever, and raises two dozen kinds of errors where only one thing matters to whoever asked: whether
the same may be asked again.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable
from typing import Final, TypeVar

from telethon import errors

from bot_adapter.fatal import explain, text_of

T = TypeVar("T")
REQUEST_S: Final = 30.0  # for one request; Telethon has no limit of its own
_UNSAID_FLOOD_S: Final = 10  # where Telegram doesn't say for how long
_NOT_READY: Final = (
    # Refusals by their number, which say nothing about what was asked.
    *("CONNECTION_NOT_INITED", "CONNECTION_LAYER_INVALID", "MSG_WAIT_", "AUTH_RESTART", "TIMEOUT", "RETRY"),
    *("PERSISTENT_TIMESTAMP_OUTDATED", "INTERDC_"),
)
_BROKEN: Final = (
    # The connection, or what came over it.
    OSError,
    EOFError,
    BufferError,
    struct.error,
    errors.TypeNotFoundError,
    errors.BadMessageError,
    errors.SecurityError,
    errors.InvalidChecksumError,
)


_FOR_GOOD: Final = (
    # Refusals that say nothing will ever get there, beside all "forbidden" ones.
    *("PEER_ID_INVALID", "CHAT_ID_INVALID", "CHANNEL_INVALID", "CHANNEL_PRIVATE", "INPUT_USER_DEACTIVATED"),
    *("USER_IS_BLOCKED", "YOU_BLOCKED_USER", "USER_BANNED_IN_CHANNEL", "USER_DELETED", "CHAT_RESTRICTED"),
    *("CHAT_ADMIN_REQUIRED", "USER_IS_BOT", "MESSAGE_ID_INVALID", "MESSAGE_AUTHOR_REQUIRED", "MESSAGE_EDIT_TIME"),
)


class Passing(Exception):
    """Something that passes is in the way. Telegram wants to be left alone for `wait_s`, 0 where it doesn't say."""

    def __init__(self, words: str, wait_s: float = 0.0, *, of_chat: bool = False) -> None:
        super().__init__(words)
        self.wait_s = wait_s
        self.of_chat = of_chat  # it's this one chat that is to be left alone


async def asked(question: Awaitable[T], within_s: float = REQUEST_S) -> T:
    """What Telegram answers to QUESTION (an awaitable of Telethon's). Raises Passing, and RPCError for refusals, those
    that end the account's use (`fatal`) among them."""
    try:
        return await asyncio.wait_for(question, within_s)
    except errors.RPCError as error:
        if (passing := passing_of(error)) is not None:
            raise passing from None
        raise
    except TimeoutError:
        raise Passing("Telegram doesn't answer") from None
    except _BROKEN as error:
        raise Passing(f"the connection to Telegram broke ({type(error).__name__})") from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Passing("the connection to Telegram ended") from None  # Telethon cancels what was under way


def passing_of(error: errors.RPCError) -> Passing | None:
    """What of ERROR passes; None for a refusal that stays, and for a random id that is known."""
    if explain(error) is not None or isinstance(error, errors.RandomIdDuplicateError):
        return None
    seconds = getattr(error, "seconds", None)
    if isinstance(error, errors.FloodError) or seconds is not None:
        wait_s = max(1, seconds if seconds is not None else _UNSAID_FLOOD_S)
        return Passing(f"Telegram asks to wait {wait_s} s", wait_s, of_chat=isinstance(error, errors.SlowModeWaitError))
    code = abs(error.code or 0)
    if isinstance(error, errors.ServerError | errors.TimedOutError) or code >= 500:
        return Passing(f"Telegram has troubles of its own ({text_of(error)[:60]})")
    if text_of(error).startswith(_NOT_READY):
        return Passing(f"Telegram isn't ready ({text_of(error)[:60]})")
    return None


def is_for_good(error: Exception) -> bool:
    """Whether ERROR, a refusal to say something in a chat, is one that stays. Of those that nobody knows it isn't sure."""
    return isinstance(error, errors.ForbiddenError) or text_of(error).startswith(_FOR_GOOD)
