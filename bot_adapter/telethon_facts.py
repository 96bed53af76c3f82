# ruff: noqa: PLC0415 - it must be importable where Telethon isn't installed, to say so
"""What we rely on of Telethon beyond its public interface, asserted before it is used: another release may differ."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.errors import StampmillError

WANTED = "1.45"


class TelethonUnfit(StampmillError):
    """Telethon {found} isn't the one that stampmill knows ({what}). Install the right one:
    pip install 'telethon>=1.45,<1.46'"""


class CryptgMissing(StampmillError):
    """The library cryptg is missing, without which a download crawls. Install it: pip install 'stampmill[telegram]'"""


class TelethonMissing(StampmillError):
    """Telegram needs the libraries telethon and cryptg, which aren't installed. Install them:
    pip install 'stampmill[telegram]'"""


def check() -> None:
    """Raises TelethonMissing, CryptgMissing or TelethonUnfit where Telegram can't be used with what is installed."""
    try:
        import telethon
        from telethon.crypto import aes
    except ImportError:
        raise TelethonMissing from None
    if aes.cryptg is None:
        raise CryptgMissing
    if not telethon.__version__.startswith(f"{WANTED}."):
        raise TelethonUnfit(found=telethon.__version__, what=f"that is {WANTED}")
    for what, holds in facts():
        if not _true(holds):
            raise TelethonUnfit(found=telethon.__version__, what=what)


def _true(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except (AttributeError, TypeError, ValueError, LookupError):
        return False


def facts() -> Iterator[tuple[str, Callable[[], bool]]]:
    """Each thing that we rely on, in words, and whether it holds."""
    from telethon import TelegramClient, errors
    from telethon.client.telegrambaseclient import TelegramBaseClient
    from telethon.crypto import rsa
    from telethon.network import MTProtoSender
    from telethon.network.mtprotostate import MTProtoState

    sender = {"auth_key", "loggers", "retries", "delay", "auto_reconnect", "connect_timeout", "updates_queue"}
    yield "MTProtoSender takes a key, an update queue and no reconnecting", lambda: sender <= _parameters(MTProtoSender)
    yield "a sender gives a future for a request", lambda: not inspect.iscoroutinefunction(MTProtoSender.send)
    yield "a sender connects a connection", lambda: "connection" in _parameters(MTProtoSender.connect)
    yield "a state decrypts messages", lambda: _parameters(MTProtoState.decrypt_message_data) == {"self", "body"}
    yield "a state has a salt and a clock", lambda: {"salt", "time_offset"} <= vars(MTProtoState(None, _NoLog())).keys()
    yield "a client remembers how it introduced itself", lambda: "_init_request" in _names(TelegramBaseClient.__init__)
    yield "a client keeps its configuration on its class", lambda: "_config" in vars(TelegramBaseClient)
    yield "a client moves to another DC", lambda: inspect.iscoroutinefunction(TelegramClient._switch_dc)
    yield "a client has a sender", lambda: "_sender" in _names(TelegramBaseClient.__init__)
    yield "a client hands updates over by a queue", lambda: "_updates_queue" in _names(TelegramBaseClient.__init__)
    yield "a client asks for its state after a login", lambda: inspect.iscoroutinefunction(TelegramClient._on_login)
    yield "a client finds a DC", lambda: {"dc_id", "cdn"} <= _parameters(TelegramClient._get_dc)
    yield "a sender counts its tries", lambda: {"_retries", "_updates_queue"} <= set(_names(MTProtoSender.__init__))
    yield "RSA keys can be added", lambda: _parameters(rsa.add_key) == {"pub", "old"}
    yield (
        "flood waits are told apart",
        lambda: all(
            issubclass(kind, errors.FloodError) for kind in (errors.FloodWaitError, errors.FloodPremiumWaitError)
        ),
    )


class _NoLog(dict[str, Any]):
    def __missing__(self, key: str) -> None:
        return None


def _parameters(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)


def _names(function: Callable[..., Any]) -> tuple[str, ...]:
    return function.__code__.co_names
