"""A server of its own for each test, and plain Telethon clients, so that nothing of ours is between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from telethon import TelegramClient
from telethon.crypto import rsa
from telethon.network import ConnectionTcpFull
from telethon.sessions import MemorySession

from tests.telegram_server import Account, TelegramServer

Story = Callable[[Any], Awaitable[None]]


class Bench:
    """A server, an account, somebody to talk with, and clients that are that account."""

    def __init__(self, server: TelegramServer) -> None:
        self.server = server
        self.account = server.add_account()
        self.ada = server.add_user("Ada")

    def client(self, connection: type = ConnectionTcpFull) -> Any:
        rsa.add_key(self.server.public_key, old=False)
        session = MemorySession()
        session.set_dc(2, *self.server.address())
        kind: Any = type("Client", (TelegramClient,), {"_config": None})
        return kind(
            session,
            self.server.api_id,
            self.server.api_hash,
            connection=connection,
            flood_sleep_threshold=0,
            request_retries=1,
            raise_last_call_error=True,
        )

    async def enter(self, client: Any, account: Account | None = None) -> None:
        account = account or self.account
        if account.bot_token:
            await client.sign_in(bot_token=account.bot_token)
            return
        await client.send_code_request(account.phone)
        await client.sign_in(account.phone, account.code)

    def run(self, story: Story, connection: type = ConnectionTcpFull, account: Account | None = None) -> None:
        async def play() -> None:
            client = self.client(connection)
            await client.connect()
            try:
                await self.enter(client, account)
                async with asyncio.timeout(30):
                    await story(client)
            finally:
                await client.disconnect()

        asyncio.run(play())
        assert not self.server.broken()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with TelegramServer() as server:
        yield Bench(server)
