"""Framing: how a packet lies in the TCP stream, found out from a client's first bytes."""

from __future__ import annotations

import asyncio
import os
import struct
import zlib
from collections.abc import Iterator

CHUNK = 64 * 1024
LONGEST = 2 * 1024 * 1024  # a client's packet


class Framing:
    """One of Telegram's TCP transports, on the server's side."""

    def __init__(self, reader: asyncio.StreamReader, begun: bytes = b"") -> None:
        self._reader = reader
        self._begun = begun

    async def _take(self, count: int) -> bytes:
        begun, self._begun = self._begun[:count], self._begun[count:]
        return begun + await self._reader.readexactly(count - len(begun)) if len(begun) < count else begun

    async def read(self) -> bytes:
        """The next packet. Raises IncompleteReadError when the client has gone."""
        raise NotImplementedError

    def frame(self, packet: bytes) -> list[bytes]:
        """The pieces to write for PACKET."""
        raise NotImplementedError


class Abridged(Framing):
    async def read(self) -> bytes:
        words = (await self._take(1))[0] & 0x7F
        if words == 0x7F:
            words = int.from_bytes(await self._take(3), "little")
        return await self._take(words * 4)

    def frame(self, packet: bytes) -> list[bytes]:
        words = len(packet) // 4
        return [bytes([words]) if words < 0x7F else b"\x7f" + words.to_bytes(3, "little"), packet]


class Intermediate(Framing):
    async def read(self) -> bytes:
        return await self._take(int.from_bytes(await self._take(4), "little") & 0x7FFFFFFF)

    def frame(self, packet: bytes) -> list[bytes]:
        return [len(packet).to_bytes(4, "little"), packet]


class Padded(Intermediate):
    async def read(self) -> bytes:
        packet = await super().read()
        return packet[: len(packet) - len(packet) % 4]

    def frame(self, packet: bytes) -> list[bytes]:
        return super().frame(packet + os.urandom(os.urandom(1)[0] % 4))


class Full(Framing):
    _received = 0
    _sent = 0

    async def read(self) -> bytes:
        head = await self._take(8)
        length, number = struct.unpack("<II", head)
        if number != self._received or not 12 <= length <= LONGEST:
            raise ConnectionError("no framing that is covered")
        body = await self._take(length - 8)
        if zlib.crc32(body[:-4], zlib.crc32(head)) != int.from_bytes(body[-4:], "little"):
            raise ConnectionError("a full frame with a wrong checksum")
        self._received += 1
        return body[:-4]

    def frame(self, packet: bytes) -> list[bytes]:
        head = struct.pack("<II", len(packet) + 12, self._sent)
        self._sent += 1
        return [head, packet, zlib.crc32(packet, zlib.crc32(head)).to_bytes(4, "little")]


async def accept(reader: asyncio.StreamReader) -> Framing:
    """The framing that the client on READER has chosen."""
    first = await reader.readexactly(1)
    if first == b"\xef":
        return Abridged(reader)
    tag = first + await reader.readexactly(3)
    if tag == b"\xee" * 4:
        return Intermediate(reader)
    return Padded(reader) if tag == b"\xdd" * 4 else Full(reader, tag)


class Link:
    """The way to a client: packets leave in order, each after the round trip time, and no faster than the rate."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.rtt_s = 0.0
        self.bytes_per_s = 0.0  # 0: as fast as it goes
        self.large = 0  # large packets that haven't left yet
        self._writer = writer
        self._free_at = 0.0
        self._queue: asyncio.Queue[tuple[float, bytes, bool]] = asyncio.Queue()

    def send(self, pieces: list[bytes]) -> None:
        """Sends one packet, in PIECES."""
        now = asyncio.get_running_loop().time()
        large = sum(len(piece) for piece in pieces) > CHUNK // 4
        self.large += large
        chunks = [chunk for piece in pieces for chunk in self._chunks(piece)]
        for number, chunk in enumerate(chunks, 1):
            if self.bytes_per_s:
                self._free_at = max(self._free_at, now) + len(chunk) / self.bytes_per_s
            self._queue.put_nowait((max(self._free_at, now) + self.rtt_s, chunk, large and number == len(chunks)))

    def _chunks(self, piece: bytes) -> Iterator[bytes]:
        if not self.bytes_per_s or len(piece) <= CHUNK:
            yield piece
            return
        for start in range(0, len(piece), CHUNK):
            yield piece[start : start + CHUNK]

    async def run(self) -> None:
        """Writes what is due until the connection ends."""
        loop = asyncio.get_running_loop()
        while True:
            due, chunk, ends_large = await self._queue.get()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            self.large -= ends_large
            self._writer.write(chunk)
            if self._queue.empty() or len(chunk) > CHUNK // 2:
                await self._writer.drain()
