"""A file that is being downloaded: its place on the disk reserved, and a durable map of the parts that are there.

The map says of each part: nothing, written, or durable. "Written" holds as long as the machine runs (the page cache
survives kill -9), "durable" after a power cut too: a part is marked so only after an fdatasync.
"""

from __future__ import annotations

import asyncio
import errno
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

PART_BYTES: Final = 1024 * 1024
_SYNC_BYTES: Final = 64 * 1024 * 1024  # written since, until a sync begins
_MAGIC: Final = b"stampmill parts1"
_HEAD: Final = struct.Struct("<16sqq40s")
_NOTHING, _WRITTEN, _DURABLE = 0, 1, 2
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class PartFile:
    """The file of DOCUMENT (Telegram's id), SIZE bytes, that is to lie at PATH. Until then it lies at `PATH.part`.

    Opening it takes up what an earlier attempt left. Raises OSError: of a full disk before the first byte is fetched.
    """

    def __init__(self, path: Path, document: int, size: int) -> None:
        self.size = size
        self.parts = -(-size // PART_BYTES)
        self._path = path
        self._scratch = path.with_name(f"{path.name}.part")
        self._map_path = path.with_name(f"{path.name}.part.map")
        self._identity = (document, size)
        self._states = bytearray(self.parts)
        self._unsynced = 0
        self._syncing: asyncio.Future[None] | None = None
        self._disk = ThreadPoolExecutor(2, thread_name_prefix="download")
        self._file = self._map = -1

    def open(self) -> Self:
        """Reserves the disk, finds out what is there already."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._scratch, flags, 0o600)
        try:
            known = self._known()
            if known is None or os.fstat(self._file).st_size != self.size:
                os.ftruncate(self._file, 0)
                known = None
            self._reserve()
            self._begin_map(known or bytearray(self.parts))
        except BaseException:
            self.close()
            raise
        return self

    def _reserve(self) -> None:
        if not self.size:
            return
        try:
            os.posix_fallocate(self._file, 0, self.size)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
                os.ftruncate(self._file, self.size)
                return
            os.ftruncate(self._file, 0)
            raise

    def _known(self) -> bytearray | None:
        """The states of an earlier attempt's parts, as far as they can be trusted."""
        try:
            data = self._map_path.read_bytes()
            magic, document, size, boot = _HEAD.unpack_from(data)
        except (FileNotFoundError, struct.error):
            return None
        states = data[_HEAD.size :]
        if magic != _MAGIC or (document, size) != self._identity or len(states) != self.parts:
            return None
        same_boot = boot == _boot_id()
        return bytearray(state if same_boot or state == _DURABLE else _NOTHING for state in states)

    def _begin_map(self, states: bytearray) -> None:
        self._states = states
        fresh = self._map_path.with_name(f"{self._map_path.name}.new")
        fresh.write_bytes(_HEAD.pack(_MAGIC, *self._identity, _boot_id()) + states)
        fresh.rename(self._map_path)
        self._map = os.open(self._map_path, os.O_WRONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Lets go of it; what is there stays for the next attempt."""
        self._disk.shutdown(wait=True)
        for descriptor in (self._file, self._map):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._map = -1

    # ---- Parts

    def missing(self) -> list[int]:
        """The numbers of parts that aren't there, in order."""
        return [number for number, state in enumerate(self._states) if state == _NOTHING]

    def length(self, part: int) -> int:
        """How many bytes PART has."""
        return min(PART_BYTES, self.size - part * PART_BYTES)

    @property
    def done_bytes(self) -> int:
        """How much is there."""
        there = sum(1 for state in self._states if state)
        last = self.parts - 1
        short = PART_BYTES - self.length(last) if self.parts and self._states[last] else 0
        return there * PART_BYTES - short

    async def write(self, part: int, data: bytes) -> None:
        """Puts DATA in its place, and marks it. Raises OSError."""
        await asyncio.get_running_loop().run_in_executor(self._disk, self._write, part, data)
        self._states[part] = _WRITTEN
        self._unsynced += len(data)
        if self._unsynced >= _SYNC_BYTES and (self._syncing is None or self._syncing.done()):
            self._unsynced = 0
            self._syncing = asyncio.ensure_future(self._sync())

    def _write(self, part: int, data: bytes) -> None:
        start = part * PART_BYTES
        written = 0
        while written < len(data):
            written += os.pwrite(self._file, memoryview(data)[written:], start + written)
        os.pwrite(self._map, bytes([_WRITTEN]), _HEAD.size + part)

    async def _sync(self) -> None:
        written = [number for number, state in enumerate(self._states) if state == _WRITTEN]
        try:
            syncing = asyncio.get_running_loop().run_in_executor(self._disk, self._make_durable, written)
        except RuntimeError:
            return  # closed meanwhile; what isn't known to be durable is fetched again after a power cut
        await syncing
        for number in written:
            self._states[number] = _DURABLE

    def _make_durable(self, parts: list[int]) -> None:
        os.fdatasync(self._file)
        for number in parts:
            os.pwrite(self._map, bytes([_DURABLE]), _HEAD.size + number)

    async def finish(self) -> None:
        """All parts are there: makes the file durable and gives it its name. Raises OSError."""
        if self._syncing:
            await self._syncing
        await asyncio.get_running_loop().run_in_executor(self._disk, self._publish)

    def _publish(self) -> None:
        if os.fstat(self._file).st_size != self.size:
            raise OSError(errno.EIO, "the file hasn't the size that it should have", str(self._scratch))
        os.fsync(self._file)
        self._scratch.rename(self._path)
        self._map_path.unlink(missing_ok=True)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _boot_id() -> bytes:
    try:
        return _BOOT_ID.read_bytes().strip()[:40].ljust(40, b"\0")
    except OSError:
        return os.urandom(40)  # nothing is known then, and nothing but what is durable believed
