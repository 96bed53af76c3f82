"""A data centre: one listening port, and the auth keys that were made there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.telegram_server.connection import Connection
from tests.telegram_server.envelope import Key

if TYPE_CHECKING:
    from tests.telegram_server.server import Core

_READ_AHEAD = 1024 * 1024


class Dc:
    """DC number ID of a server."""

    def __init__(self, server: Core, number: int, host: str, port: int = 0) -> None:
        self.server = server
        self.id = number
        self.host = host
        self.port = port
        self.keys: dict[int, Key] = {}
        self.connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listens, on the port that it had before if it had one."""
        self._listener = await asyncio.start_server(self._accept, self.host, self.port, limit=_READ_AHEAD)
        self.port = self._listener.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, reader, writer)
        self.connections.add(connection)
        task = asyncio.get_running_loop().create_task(connection.run())
        self._tasks.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            self.connections.discard(connection)
            self.server.ended(done)

        task.add_done_callback(ended)

    async def close(self) -> None:
        """Stops listening and ends every connection."""
        if self._listener:
            self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
