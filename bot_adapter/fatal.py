"""What ends the account's use until somebody does something about it. No retry helps, and each may make it worse."""

from __future__ import annotations

from functools import cache
from typing import Final

from telethon import errors
from telethon.errors.rpcerrorlist import rpc_errors_dict

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "AuthKeyDuplicatedError": (
        "AUTH_KEY_DUPLICATED",
        "the login was used in two places at once, and Telegram has ended it. Use each session on one host only, then"
        " log in again: stampmill login",
    ),
    "AuthKeyUnregisteredError": (
        "AUTH_KEY_UNREGISTERED",
        "Telegram doesn't know the login any more (ended in Settings, Devices?). Log in again: stampmill login",
    ),
    "SessionRevokedError": (
        "SESSION_REVOKED",
        "the login was ended from another device. Log in again: stampmill login",
    ),
    "SessionExpiredError": ("SESSION_EXPIRED", "the login has expired. Log in again: stampmill login"),
    "UserDeactivatedError": ("USER_DEACTIVATED", "the account was deleted. Log in with another one: stampmill login"),
    "UserDeactivatedBanError": (
        "USER_DEACTIVATED_BAN",
        "Telegram has banned the account. Appeal in an official app, or log in with another one: stampmill login",
    ),
    "AccessTokenInvalidError": (
        "ACCESS_TOKEN_INVALID",
        "the bot's token isn't valid. Ask @BotFather for the right one",
    ),
    "ApiIdInvalidError": (
        "API_ID_INVALID",
        "telegram.api_id and the api_hash don't belong together. Compare them with https://my.telegram.org/apps",
    ),
    "ConnectionApiIdInvalidError": (
        "CONNECTION_API_ID_INVALID",
        "Telegram doesn't know telegram.api_id. Compare it with https://my.telegram.org/apps",
    ),
}


@cache
def _texts() -> dict[type, str]:
    return {kind: text for text, kind in rpc_errors_dict.items()}


def text_of(error: BaseException) -> str:
    """What Telegram called a refusal, such as CHAT_WRITE_FORBIDDEN: Telethon tells that of unknown ones alone."""
    return (_texts().get(type(error)) or str(getattr(error, "message", None) or error)).upper()


def explain(error: BaseException) -> tuple[str, str] | None:
    """The code and the words of a fatal ERROR, None for any other."""
    known = _WORDS.get(type(error).__name__)
    if known is not None:
        return known
    if not isinstance(error, errors.RPCError):
        return None
    text = text_of(error)
    if "FROZEN" in text:
        return "FROZEN", "Telegram has frozen the account. Look into an official app for what it wants"
    if "AUTH_KEY_UNREGISTERED" in text:
        return _WORDS["AuthKeyUnregisteredError"]
    if isinstance(error, errors.UnauthorizedError):
        return text[:40] or "UNAUTHORIZED", "Telegram refuses the login. Log in again: stampmill login"
    return None


def raise_if_fatal(error: Exception) -> None:
    """Raises ERROR again where it is fatal."""
    if explain(error) is not None:
        raise error
