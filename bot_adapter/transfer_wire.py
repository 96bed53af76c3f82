"""A TCP connection that speaks Telegram's intermediate framing, made for large packets, in place of Telethon's own.

Telethon's goes through a stream of small buffers; here each packet is received where it stays. It also knows when
the last byte came, which tells a slow connection from a dead one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, cast

_TAG: Final = b"\xee" * 4
_HEAD: Final = 4
_QUICK_ACK: Final = 0x80000000
_LONGEST: Final = 16 * 1024 * 1024
_QUEUED_BYTES: Final = 2 * 1024 * 1024  # received and not yet asked for; beyond that the kernel's buffer takes it


class Wire:
    """What a telethon MTProtoSender needs of a connection. `heard_at` is the loop's time of the last byte received."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._protocol: _Protocol | None = None
        self._connected = False

    def __str__(self) -> str:
        return f"{self._host}:{self._port}"

    @property
    def heard_at(self) -> float:
        """When the last byte came, by the loop's clock."""
        return self._protocol.heard_at if self._protocol else 0.0

    async def connect(self, timeout: float | None = None, ssl: None = None) -> None:  # noqa: ASYNC109 - Telethon's call
        """Connects. Raises OSError, TimeoutError."""
        loop = asyncio.get_running_loop()
        opening = loop.create_connection(_Protocol, self._host, self._port)
        _, protocol = await asyncio.wait_for(opening, timeout)
        protocol.write(_TAG)
        self._protocol = protocol
        self._connected = True

    async def disconnect(self) -> None:
        """Ends the connection, whatever is on its way."""
        self._connected = False
        if self._protocol:
            self._protocol.abort()

    async def send(self, data: bytes) -> None:
        """Sends the packet DATA. Raises ConnectionError."""
        if not self._connected or self._protocol is None:
            raise ConnectionError("not connected")
        self._protocol.write(len(data).to_bytes(_HEAD, "little") + data)
        await self._protocol.drained()

    async def recv(self) -> bytes:
        """The next packet. Raises ConnectionError where there will be none."""
        if self._protocol is None:
            raise ConnectionError("not connected")
        return await self._protocol.packet()


class _Protocol(asyncio.BufferedProtocol):
    """Receives into a head of four bytes, then into a buffer of the size it names."""

    def __init__(self) -> None:
        self.heard_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._head = bytearray(_HEAD)
        self._body = bytearray()
        self._filled = 0
        self._in_body = False
        self._packets: deque[bytearray] = deque()
        self._queued = 0
        self._paused = False
        self._lost: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.heard_at = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc or ConnectionError("the server closed the connection")
        for future in (self._waiter, self._writable):
            if future and not future.done():
                future.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._body if self._in_body else self._head)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self.heard_at = self._loop.time()
        self._filled += nbytes
        if self._in_body:
            if self._filled == len(self._body):
                self._whole()
        elif self._filled == _HEAD:
            self._begin(int.from_bytes(self._head, "little"))

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # ---- Packets

    def _begin(self, length: int) -> None:
        self._filled = 0
        if length & _QUICK_ACK:
            return  # nobody asked for one; its four bytes are all of it
        if not 0 < length <= _LONGEST:
            self._lost = ConnectionError(f"a packet of {length} bytes")
            self.abort()
            return
        self._body = bytearray(length)
        self._in_body = True

    def _whole(self) -> None:
        self._packets.append(self._body)
        self._queued += len(self._body)
        self._filled, self._in_body, self._body = 0, False, bytearray()
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
        if self._queued > _QUEUED_BYTES and not self._paused and self._transport:
            self._transport.pause_reading()
            self._paused = True

    async def packet(self) -> bytes:
        """The next one. Raises ConnectionError."""
        while not self._packets:
            if self._lost:
                raise ConnectionError(str(self._lost))
            self._waiter = self._loop.create_future()
            await self._waiter
        packet = self._packets.popleft()
        self._queued -= len(packet)
        if self._paused and self._transport:
            self._transport.resume_reading()
            self._paused = False
        return bytes(packet)

    # ---- Out

    def write(self, data: bytes) -> None:
        """Sends DATA when there is room."""
        if self._transport and not self._lost:
            self._transport.write(data)

    async def drained(self) -> None:
        """Waits until there is room. Raises ConnectionError."""
        if self._writable:
            await self._writable
        if self._lost:
            raise ConnectionError(str(self._lost))

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport:
            self._transport.abort()
