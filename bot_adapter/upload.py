"""One file on its way to Telegram, in parallel parts; what is sent at the end names it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from telethon import errors
from telethon.tl import types
from telethon.tl.functions.upload import SaveBigFilePartRequest, SaveFilePartRequest

from bot_adapter.transfer_pool import Ask

PART_BYTES: Final = 512 * 1024
SMALL_BYTES: Final = 10 * 1024 * 1024  # up to this size a file is sent as a small one, with its MD5
MAX_BYTES: Final = 4000 * PART_BYTES  # of one file, without Premium
MAX_BYTES_PREMIUM: Final = 8000 * PART_BYTES


class Upload:
    """A file of ours, as the pool's Work. `done` ends with what names it: good once, for a day. Raises OSError, and
    ValueError for an empty file, which Telegram doesn't take."""

    def __init__(self, path: Path, name: str, progress: Callable[[int], None]) -> None:
        self.done: asyncio.Future[types.InputFile | types.InputFileBig] = asyncio.get_running_loop().create_future()
        self._file = path.open("rb")
        self.size = os.fstat(self._file.fileno()).st_size
        if not self.size:
            self._file.close()
            raise ValueError(f"{path} is empty")
        self._name = name
        self._progress = progress
        self._id = secrets.randbits(63)
        self._parts = -(-self.size // PART_BYTES)
        self._pending = deque(range(self._parts))
        self._left = self._parts
        self._done_bytes = 0

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    @property
    def waiting(self) -> int:
        """Parts that could be sent now."""
        return 0 if self.done.done() else len(self._pending)

    def take(self) -> int | None:
        """The next part to send."""
        return self._pending.popleft() if self.waiting else None

    def put_back(self, piece: int) -> None:
        """PIECE is sent again; a part that Telegram has already is replaced by the same bytes."""
        self._pending.appendleft(piece)

    async def carry(self, piece: int, ask: Ask) -> None:
        """Sends a part."""
        data = await asyncio.to_thread(self._read, piece)
        if self.done.done():
            return
        big = self.size > SMALL_BYTES
        kept = await ask(
            SaveBigFilePartRequest(self._id, piece, self._parts, data)
            if big
            else SaveFilePartRequest(self._id, piece, data)
        )
        if not kept:
            self.put_back(piece)
            return
        self._done_bytes += len(data)
        self._left -= 1
        self._progress(self._done_bytes)
        if not self._left and not self.done.done():
            self.done.set_result(await asyncio.to_thread(self._named))

    def _read(self, piece: int) -> bytes:
        wanted = min(PART_BYTES, self.size - piece * PART_BYTES)
        data = os.pread(self._file.fileno(), wanted, piece * PART_BYTES)
        if len(data) != wanted:
            raise OSError(f"{self._name} became shorter while it was sent")
        return data

    def _named(self) -> types.InputFile | types.InputFileBig:
        if self.size > SMALL_BYTES:
            return types.InputFileBig(self._id, self._parts, self._name)
        digest = hashlib.md5(usedforsecurity=False)
        for piece in range(self._parts):
            digest.update(self._read(piece))
        return types.InputFile(self._id, self._parts, self._name, digest.hexdigest())

    def refused(self, piece: int, error: errors.RPCError) -> bool:
        """Telegram's refusals of a part are no passing ones."""
        return False

    def fail(self, error: Exception) -> None:
        """Ends with ERROR."""
        if not self.done.done():
            self.done.set_exception(error)
