"""Logging in: a phone number with its code and password, a QR code, or a bot's token. Clear words for every refusal."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import signal
from typing import Any, Final, Protocol

from telethon import errors, events
from telethon import password as passwords
from telethon.tl import functions, types

from bot_adapter import fatal
from bot_adapter.asking import Passing
from bot_adapter.client import bot_token, connected
from bot_adapter.news import ListeningClient
from bot_adapter.qr import draw
from bot_adapter.session import path_of
from pipeline.config import Config
from pipeline.errors import ExitCode, StampmillError

_TRIES: Final = 3
_QR_LONGEST_S: Final = 60.0  # whatever this machine's clock says
_QR_ROUNDS: Final = 10  # codes that are shown one after the other; each is good for half a minute
auth = functions.auth


class LoginRefused(StampmillError):
    """{words}"""

    exit_code = ExitCode.LOGIN_NEEDED


class Terminal(Protocol):
    """Whom the login talks with."""

    coloured: bool

    def say(self, words: str) -> None:
        """Shows WORDS."""
        ...

    def ask(self, question: str, *, secret: bool = False) -> str:
        """The answer to QUESTION, not shown while it's typed where it is SECRET."""
        ...


def log_in(config: Config, terminal: Terminal, *, qr: bool = False, anew: bool = False) -> Any:
    """Logs in, and returns who it is (a Telethon user) and whether that was new. ANEW ends a login that is there.

    Raises LoginRefused, and what `client.connected` raises.
    """
    return asyncio.run(_log_in(config, terminal, qr=qr, anew=anew))


async def _log_in(config: Config, terminal: Terminal, *, qr: bool, anew: bool) -> tuple[Any, bool]:
    # asyncio would let Ctrl-C pass by a question that is being asked.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if anew:
            await _log_out(config)
        async with connected(config, anew=True) as client:
            if me := await client.get_me():
                return me, False
            return await _entered(client, config, terminal, qr=qr), True
    except errors.RPCError as error:
        raise LoginRefused(words=_words(error)) from None
    except Passing as error:
        raise LoginRefused(words=f"{error}. Try again later.") from None
    except (OSError, TimeoutError, errors.BadMessageError, errors.TypeNotFoundError, BufferError) as error:
        words = str(error) or "no answer"
        raise LoginRefused(words=f"The connection to Telegram was lost ({words}). Try again.") from None


async def _log_out(config: Config) -> None:
    async with connected(config, anew=True) as client:
        if await client.get_me():
            await client(auth.LogOutRequest())
    path_of(config).unlink(missing_ok=True)


async def _entered(client: ListeningClient, config: Config, terminal: Terminal, *, qr: bool) -> Any:
    assert config.telegram is not None
    if token := bot_token(config.telegram):
        await _as_bot(client, token)
    elif qr:
        await _with_qr(client, terminal)
    else:
        await _with_phone(client, terminal)
    return await client.get_me()


async def _as_bot(client: ListeningClient, token: str) -> None:
    await client(
        auth.ImportBotAuthorizationRequest(
            flags=0, api_id=client.api_id, api_hash=client.api_hash, bot_auth_token=token
        )
    )


# ---- Phone


async def _with_phone(client: ListeningClient, terminal: Terminal) -> None:
    phone, sent = await _code_sent(client, terminal)
    for attempt in range(1, _TRIES + 1):
        code = terminal.ask(f"{_where(sent.type)} The code: ").replace(" ", "").replace("-", "")
        try:
            entered = await client(auth.SignInRequest(phone, sent.phone_code_hash, code))
        except errors.SessionPasswordNeededError:
            await _with_password(client, terminal)
            return
        except (errors.PhoneCodeInvalidError, errors.PhoneCodeEmptyError):
            if attempt == _TRIES:
                raise
            terminal.say("That isn't the code. Look again: it is the newest one that counts.")
            continue
        except errors.PhoneCodeExpiredError:
            if attempt == _TRIES:
                raise
            terminal.say("The code has expired; here comes another one.")
            sent = await _send_code(client, phone)
            continue
        if isinstance(entered, types.auth.AuthorizationSignUpRequired):
            raise errors.PhoneNumberUnoccupiedError(request=None)
        return


async def _code_sent(client: ListeningClient, terminal: Terminal) -> tuple[str, Any]:
    for attempt in range(1, _TRIES + 1):
        given = terminal.ask("The account's phone number, with its country code (+44 20 7946 0000): ")
        phone = "".join(character for character in given if character.isdigit())
        try:
            return phone, await _send_code(client, phone)
        except errors.PhoneNumberInvalidError:
            if attempt == _TRIES:
                raise
            terminal.say("Telegram knows no such number. It begins with the country's code, without zeros before it.")
    raise AssertionError


async def _send_code(client: ListeningClient, phone: str) -> Any:
    request = auth.SendCodeRequest(phone, client.api_id, client.api_hash, types.CodeSettings())
    try:
        sent = await client(request)
    except errors.AuthRestartError:
        sent = await client(request)
    if isinstance(sent, types.auth.SentCode) and not isinstance(sent.type, types.auth.SentCodeTypeSetUpEmailRequired):
        return sent
    raise LoginRefused(
        words="Telegram wants something first that only its own app can do (an email address for codes, say). Log in"
        " there with this number, then try again, or use: stampmill login --qr"
    )


def _where(kind: Any) -> str:
    """Where to look for the code."""
    email = getattr(kind, "email_pattern", "")
    known = {
        types.auth.SentCodeTypeApp: "Telegram has sent a code to the account's other devices (the chat called Telegram).",
        types.auth.SentCodeTypeSms: "A code comes by SMS.",
        types.auth.SentCodeTypeFirebaseSms: "A code comes by SMS.",
        types.auth.SentCodeTypeSmsWord: "A word comes by SMS.",
        types.auth.SentCodeTypeSmsPhrase: "A phrase comes by SMS.",
        types.auth.SentCodeTypeCall: "Telegram calls, and says the code.",
        types.auth.SentCodeTypeFlashCall: "Telegram calls and hangs up; the code is the number that called.",
        types.auth.SentCodeTypeMissedCall: "Telegram calls and hangs up; the code is the end of the number that called.",
        types.auth.SentCodeTypeEmailCode: f"A code comes by email to {email}.",
        types.auth.SentCodeTypeFragmentSms: "The code is on fragment.com.",
    }
    return known.get(type(kind), "Telegram has sent a code.")


async def _with_password(client: ListeningClient, terminal: Terminal) -> None:
    for attempt in range(1, _TRIES + 1):
        asked = await client(functions.account.GetPasswordRequest())
        hint = f" (hint: {asked.hint})" if asked.hint else ""
        given = terminal.ask(f"The account's password for two-step verification{hint}: ", secret=True)
        try:
            proof = passwords.compute_check(asked, given)
        except ValueError:
            raise LoginRefused(
                words="Telegram asks for the password in a way that this version doesn't know. Try: stampmill login --qr"
            ) from None
        try:
            await client(auth.CheckPasswordRequest(proof))
            return
        except (errors.PasswordHashInvalidError, errors.SrpIdInvalidError):
            if attempt == _TRIES:
                raise
            terminal.say("That isn't the password.")


# ---- QR code


async def _with_qr(client: ListeningClient, terminal: Terminal) -> None:
    scanned = asyncio.Event()

    async def heard(update: Any) -> None:
        scanned.set()

    client.add_event_handler(heard, events.Raw(types.UpdateLoginToken))
    try:
        for _ in range(_QR_ROUNDS):
            scanned.clear()
            if await _shown(client, terminal, scanned):
                return
    except errors.SessionPasswordNeededError:
        await _with_password(client, terminal)
        return
    finally:
        client.remove_event_handler(heard)
    raise LoginRefused(words="Nobody has scanned the code. Try again, or log in by number: stampmill login")


async def _shown(client: ListeningClient, terminal: Terminal, scanned: asyncio.Event) -> bool:
    """Shows a code until it's scanned or expires; whether somebody is logged in now."""
    token = await client(auth.ExportLoginTokenRequest(client.api_id, client.api_hash, except_ids=[]))
    if not isinstance(token, types.auth.LoginToken):
        return await _accepted(client, token)
    url = f"tg://login?token={base64.urlsafe_b64encode(token.token).decode().rstrip('=')}"
    terminal.say(draw(url, coloured=terminal.coloured))
    terminal.say("Scan it with Telegram on the account's phone: Settings, Devices, Link Desktop Device.")
    left = (token.expires - dt.datetime.now(dt.UTC)).total_seconds()
    try:
        await asyncio.wait_for(scanned.wait(), min(max(1.0, left), _QR_LONGEST_S))
    except TimeoutError:
        terminal.say("That code has expired; here is the next one.")
        return False
    token = await client(auth.ExportLoginTokenRequest(client.api_id, client.api_hash, except_ids=[]))
    return await _accepted(client, token)


async def _accepted(client: ListeningClient, token: Any) -> bool:
    if isinstance(token, types.auth.LoginTokenMigrateTo):
        await client._switch_dc(token.dc_id)
        token = await client(auth.ImportLoginTokenRequest(token.token))
    return isinstance(token, types.auth.LoginTokenSuccess)


# ---- Refusals

_WORDS: Final[dict[type[Exception], str]] = {
    errors.ApiIdInvalidError: "api_id and api_hash don't belong together. Compare both with"
    " https://my.telegram.org/apps",
    errors.ApiIdPublishedFloodError: "This api_id was published somewhere, and Telegram doesn't take it any more. Get one"
    " of your own at https://my.telegram.org/apps",
    errors.PhoneNumberInvalidError: "Telegram knows no such number. It begins with the country's code (+44 ...).",
    errors.PhoneNumberBannedError: "Telegram has banned this number. Appeal in an official app, or use another account.",
    errors.PhoneNumberFloodError: "Too many codes were asked for with this number. Try again tomorrow, or use: stampmill"
    " login --qr",
    errors.PhonePasswordFloodError: "Too many logins were tried. Try again tomorrow.",
    errors.PhonePasswordProtectedError: "This number is protected by a password. Log in with: stampmill login --qr",
    errors.PhoneNumberUnoccupiedError: "There is no account with this number. Make one in Telegram's own app first.",
    errors.PhoneNumberAppSignupForbiddenError: "There is no account with this number. Make one in Telegram's own app"
    " first.",
    errors.PhoneCodeInvalidError: "That wasn't the code, three times. Start again for a new one.",
    errors.PhoneCodeEmptyError: "No code was given. Start again for a new one.",
    errors.PhoneCodeExpiredError: "The codes have expired. Start again, and don't send a code to anybody over Telegram:"
    " it becomes void.",
    errors.PasswordHashInvalidError: "That wasn't the password, three times. It can be reset in Telegram's own app:"
    " Settings, Privacy and Security, Two-Step Verification.",
    errors.SendCodeUnavailableError: "Telegram has no way left to send a code to this number. Log in with: stampmill"
    " login --qr",
    errors.UpdateAppToLoginError: "Telegram wants a newer client for this account. Log in with: stampmill login --qr",
    errors.AccessTokenInvalidError: "The bot's token isn't valid. Ask @BotFather for the right one (/token).",
    errors.AccessTokenExpiredError: "The bot's token was revoked. Ask @BotFather for the new one (/token).",
    errors.AuthTokenExpiredError: "The QR code had expired. Try again.",
    errors.AuthTokenInvalidError: "The QR code wasn't valid any more. Try again.",
}


def _words(error: errors.RPCError) -> str:
    if known := _WORDS.get(type(error)):
        return known
    seconds = getattr(error, "seconds", None)
    if isinstance(error, errors.FloodError) and seconds is not None:
        return f"Telegram wants no login for {_span(seconds)}. Try again then."
    if ended := fatal.explain(error):
        return ended[1][:1].upper() + ended[1][1:] + "."
    return f"Telegram refuses the login: {error}"


def _span(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} seconds"
    return f"{-(-seconds // 60)} minutes" if seconds < 7200 else f"{-(-seconds // 3600)} hours"
