"""What tests of the adapter share: a configuration that points at the test server, and a client that is logged in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot_adapter.client import connected
from pipeline.config import Config, Paths, Telegram
from tests.telegram_server import Account, TelegramServer


def configured(server: TelegramServer, folder: Path, **settings: Any) -> Config:
    """A configuration below FOLDER whose Telegram is SERVER; SETTINGS are more of the section [telegram]."""
    folder.mkdir(exist_ok=True)
    (folder / "api_hash").write_text(server.api_hash)
    (folder / "server.pem").write_text(server.public_key)
    host, port = server.address()
    telegram = Telegram(
        api_id=server.api_id,
        api_hash_file=str(folder / "api_hash"),
        server=f"{host}:{port}",
        server_key=str(folder / "server.pem"),
        **settings,
    )
    return Config(paths=Paths(state=str(folder / "state"), library=str(folder / "library")), telegram=telegram)


def written(config: Config, path: Path) -> Path:
    """CONFIG as a file, as far as `configured` makes it."""
    telegram = config.telegram
    assert telegram
    path.write_text(
        f'[paths]\nstate = "{config.paths.state}"\nlibrary = "{config.paths.library}"\n[telegram]\n'
        f'api_id = {telegram.api_id}\napi_hash_file = "{telegram.api_hash_file}"\nserver = "{telegram.server}"\n'
        f'server_key = "{telegram.server_key}"\n'
    )
    return path


@asynccontextmanager
async def logged_in(config: Config, account: Account, password: str = "") -> AsyncIterator[Any]:
    """A connected client that is ACCOUNT."""
    from telethon.errors import SessionPasswordNeededError

    async with connected(config, anew=True) as client:
        if not await client.get_me():
            if account.bot_token:
                await client.sign_in(bot_token=account.bot_token)
            else:
                await client.send_code_request(account.phone)
                try:
                    await client.sign_in(account.phone, account.code)
                except SessionPasswordNeededError:
                    await client.sign_in(password=password)
        yield client
