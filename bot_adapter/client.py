"""A Telegram client as the configuration says: whose server, which application, where the login lies."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rsa import PublicKey
from telethon import errors
from telethon.crypto import rsa
from telethon.errors import AuthKeyNotFound, InvalidBufferError
from telethon.sessions import SQLiteSession
from telethon.tl.functions.help import GetConfigRequest

from bot_adapter import telethon_facts
from bot_adapter.asking import asked, passing_of
from bot_adapter.fatal import explain, text_of
from bot_adapter.news import Address, ListeningClient
from bot_adapter.session import SessionFile, path_of
from pipeline.config import Config, Telegram
from pipeline.errors import ConfigInvalid, ExitCode, StampmillError

CONNECT_S = 15.0
_HELLO_S = 90.0  # for all tries to connect, and the first words
_EXCHANGES = 3
_TEST_DC = 2  # what a server of one's own is called until it says otherwise


class TelegramNotConfigured(StampmillError):
    """The configuration has no section [telegram]. Get api_id and api_hash for your account at
    https://my.telegram.org/apps, and write them there."""

    exit_code = ExitCode.CONFIG_INVALID


class TelegramUnreachable(StampmillError):
    """Telegram can't be reached at {where} ({detail}). Check the network; a server of your own must be running, and
    its key in telegram.server_key be the right one."""


class LoginNeeded(StampmillError):
    """Nobody is logged in to Telegram here. Run: stampmill login"""

    exit_code = ExitCode.LOGIN_NEEDED


@asynccontextmanager
async def connected(config: Config, *, patient: bool = False, anew: bool = False) -> AsyncIterator[ListeningClient]:
    """The client, connected, while the body runs; logged in or not. Holds the session's file for this process.

    With PATIENT a lost connection is tried again for ever, else a few times; with ANEW a login that Telegram has
    forgotten is thrown away. Raises TelegramNotConfigured, ConfigInvalid, TelethonUnfit and its like, SessionInUse and
    its like, TelegramUnreachable, LoginNeeded.
    """
    telegram = config.telegram
    if telegram is None:
        raise TelegramNotConfigured
    telethon_facts.check()
    with SessionFile(path_of(config)) as session:
        client = make(telegram, session.path)
        try:
            try:
                await connect(client, telegram, patient=patient)
            except LoginNeeded:
                if not anew:
                    raise
                client = make(telegram, _emptied(session.path))
                await connect(client, telegram, patient=patient)
            yield client
        finally:
            await client.disconnect()


def _emptied(session: Path) -> Path:
    """The same file without a login in it."""
    kept = SQLiteSession(str(session))
    kept.auth_key = None
    kept.save()
    kept.close()
    return session


def make(telegram: Telegram, session: Path) -> ListeningClient:
    """The client, not yet connected. Raises ConfigInvalid."""
    kept = SQLiteSession(str(session))
    if telegram.server:
        _use_server(telegram, kept)
    # Telethon keeps the servers' addresses on the class: a class of its own, so that two clients may differ in them.
    kind: Any = type("TelegramClient", (ListeningClient,), {"_config": None, "_cdn_config": None})
    client: ListeningClient = kind(
        kept,
        telegram.api_id,
        api_hash(telegram),
        timeout=CONNECT_S,
        # Otherwise Telethon would go to Telegram's own server in place of one that has such an address.
        use_ipv6=bool(telegram.server) and ":" in kept.server_address,
        connection_retries=3,
        retry_delay=1,
        request_retries=2,
        flood_sleep_threshold=0,  # ours to wait, where it can be said
        raise_last_call_error=True,  # else a refusal such as RANDOM_ID_DUPLICATE ends as a ValueError
        device_model="stampmill",
        system_version="Linux",
        app_version=_version(),
        catch_up=False,  # ours too: Telethon forgets updates that no handler has finished with
    )
    if telegram.server:
        client.spare = _address("telegram.server", telegram.server)
    for number, address in telegram.dcs.items():
        client.addresses[_number(number)] = _address(f"telegram.dcs.{number}", address)
    return client


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigInvalid(where=f"telegram.dcs.{text}", problem=f"{text!r} isn't a DC's number.") from None


def _address(where: str, text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigInvalid(where=where, problem=f"{text!r} isn't host:port.")
    return Address(host.strip("[]"), int(port))


async def connect(client: ListeningClient, telegram: Telegram, *, patient: bool = False) -> None:
    """Connects; with PATIENT a connection that is lost later is tried again for ever. Raises TelegramUnreachable,
    LoginNeeded where Telegram doesn't know the login's key any more, Passing, and refusals of the account."""
    try:
        async with asyncio.timeout(_HELLO_S):
            await _shake_hands(client)
        if telegram.server:
            await _learn_number(client)
        if patient:
            client._sender._retries = None
    except AuthKeyNotFound:
        ended = client._sender._disconnected
        done, _ = await asyncio.wait((ended,), timeout=1.0)
        if done and not ended.cancelled():
            ended.exception()  # the same once more, which asyncio would complain about
        await client.disconnect()
        raise LoginNeeded from None
    except errors.RPCError as error:
        if (passing := passing_of(error)) is not None:
            raise passing from None
        if explain(error) is not None:
            raise
        raise TelegramUnreachable(where=_where(client, telegram), detail=text_of(error)) from None
    except (OSError, EOFError, TimeoutError, InvalidBufferError, errors.TypeNotFoundError) as error:
        detail = str(error) or "no answer"
        raise TelegramUnreachable(where=_where(client, telegram), detail=detail) from None


def _where(client: ListeningClient, telegram: Telegram) -> str:
    return telegram.server or f"{client.session.server_address}:{client.session.port}"


async def _learn_number(client: ListeningClient) -> None:
    """A server of one's own says which DC it is."""
    try:
        this = (await asked(client(GetConfigRequest()))).this_dc
    except errors.RPCError as error:
        if explain(error) is not None:
            raise
        return
    if this != client.session.dc_id:
        client.session.set_dc(this, client.session.server_address, client.session.port)
        client.session.save()


async def _shake_hands(client: ListeningClient) -> None:
    """Connects. Where the server hangs up in the midst of the key exchange it is begun again: Telethon's arithmetic is
    wrong once in a thousand times, and it takes a hang-up for the end."""
    for attempt in range(1, _EXCHANGES + 1):
        try:
            await client.connect()
        except EOFError:
            await client._sender._connection.disconnect()
            if attempt == _EXCHANGES:
                raise
        else:
            return


def _version() -> str:
    try:
        return importlib.metadata.version("stampmill")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _use_server(telegram: Telegram, session: Any) -> None:
    address = _address("telegram.server", telegram.server)
    if telegram.server_key:
        try:
            rsa.add_key(_public_key(Path(telegram.server_key)), old=False)
        except (OSError, ValueError) as error:
            raise ConfigInvalid(where="telegram.server_key", problem=f"{telegram.server_key}: {error}") from None
    # The login may have gone on to another of that server's DCs: only where another server is named it is begun anew.
    known = Path(session.filename).with_suffix(".server")
    if not session.auth_key or not known.exists() or known.read_text() != telegram.server:
        session.set_dc(_TEST_DC, *address)
        session.auth_key = None
        session.save()
        known.write_text(telegram.server)


def _public_key(path: Path) -> bytes:
    """The RSA key in PATH as PKCS#1 in PEM, which is all that Telethon reads. Raises OSError, ValueError."""
    data = path.read_bytes()
    if b"BEGIN PUBLIC KEY" not in data:
        return data
    key: bytes = PublicKey.load_pkcs1_openssl_pem(data).save_pkcs1()
    return key


def api_hash(telegram: Telegram) -> str:
    """The application's secret, from its file or the service's credentials. Raises ConfigInvalid."""
    return _secret(telegram.api_hash_file, "api_hash", "telegram.api_hash_file")


def bot_token(telegram: Telegram) -> str:
    """The bot's token; empty where a user account is meant. Raises ConfigInvalid."""
    if not telegram.bot_token_file:
        return ""
    return _secret(telegram.bot_token_file, "bot_token", "telegram.bot_token_file")


def _secret(file: str, credential: str, where: str) -> str:
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    path = Path(file) if file else Path(folder) / credential
    if not file and not folder:
        raise ConfigInvalid(where=where, problem=f"name the file that holds your {credential}.")
    try:
        found = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(where=where, problem=f"{path} can't be read ({error}).") from None
    if not found:
        raise ConfigInvalid(where=where, problem=f"{path} is empty.")
    return found
