"""One file on its way here: which parts are missing, whether what comes is right, and what to do where it isn't."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from telethon import errors
from telethon.tl import types
from telethon.tl.functions.upload import GetFileHashesRequest, GetFileRequest

from bot_adapter.download_file import PART_BYTES, PartFile
from bot_adapter.fatal import text_of
from bot_adapter.transfer_lane import LaneLost, Unanswered
from bot_adapter.transfer_pool import Ask
from pipeline.model import Code, Reason

Progress = Callable[[int], None]  # is told how many bytes are there
Refetch = Callable[[], Awaitable[Any]]  # the message's document as it is now, None where it's gone
_BAD_PARTS: Final = 5  # of one file, in a row, until it's given up
_MOVES: Final = 3  # times that a file may be said to be elsewhere
_RENEWALS: Final = 5  # of a reference, without one part coming between them
_RENEW_AGAIN_S: Final = 1.0
_NOT_ABOUT_HASHES: Final = (errors.InvalidDCError, errors.UnauthorizedError, errors.AuthKeyDuplicatedError)
_HASHES_S: Final = 5.0  # for hashes, after the part itself has come
_REFUSED_HASHES: Final = 2  # times in a row, until no server of this account is asked for any
_LEAST_BYTES: Final = 4096  # Telegram's grain: offsets and lengths are multiples of it
_NO_SUCH_LENGTH: Final = (errors.LimitInvalidError, errors.OffsetInvalidError)


class FileGone(OSError):
    """The message, or its file, isn't there any more."""


class DownloadRefused(Exception):
    """The file can't be downloaded, and trying again won't help. REASON is for its uploader."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Manners:
    """What the server was seen to bear, for all downloads to come: the most bytes that it gives in one answer, and
    whether it gives hashes."""

    def __init__(self) -> None:
        self.limit = PART_BYTES
        self.hashes_refused = 0
        self.gave_hashes = False

    @property
    def offers_hashes(self) -> bool:
        """Whether it's worth asking for hashes."""
        return self.hashes_refused < _REFUSED_HASHES


class Download:
    """A file of Telegram's, as the pool's Work. `done` ends when it's all there, or with an error. `move` is set by
    whoever knows the pools: it moves this work to another DC's."""

    def __init__(
        self, document: Any, file: PartFile, refetch: Refetch, progress: Progress, manners: Manners | None = None
    ) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._document = document
        self._file = file
        self._refetch = refetch
        self._progress = progress
        self.move: Callable[[int], None] = lambda dc: None
        self._pending = deque(file.missing())
        self._left = len(self._pending)
        self._bad = 0
        self._moved_to: list[int] = []
        self._asked_with: dict[int, bytes] = {}  # a part, and the reference under which it was asked for
        self._renewals = 0
        self._stale = False
        self._renewing: asyncio.Task[None] | None = None
        self._hashes: dict[int, types.FileHash] = {}
        self._manners = manners or Manners()
        self._hashed = self._manners.offers_hashes  # until the server offers none of this file
        self._end_if_whole()

    # ---- Work

    @property
    def waiting(self) -> int:
        """Parts that could be asked for now."""
        return 0 if self._stale or self.done.done() else len(self._pending)

    def take(self) -> int | None:
        """The next part to ask for."""
        return self._pending.popleft() if self.waiting else None

    def put_back(self, piece: int) -> None:
        """PIECE is asked for again, before those that weren't yet."""
        self._pending.appendleft(piece)

    async def carry(self, piece: int, ask: Ask) -> None:
        """Fetches a part, checks it and writes it."""
        learning = asyncio.ensure_future(self._learn_hashes(piece, ask))
        try:
            data = await self._read(piece, ask)
            await self._learned(learning)
        except LaneLost:
            if self._hashed and not self._manners.gave_hashes:
                self._no_hashes()  # it may be that the server hangs up at the question
            raise
        finally:
            learning.cancel()
            await asyncio.gather(learning, return_exceptions=True)
        if self.done.done():
            return
        if not self._is_right(piece, data):
            self._wrong(piece)
            return
        await self._file.write(piece, data)
        self._bad = self._renewals = 0
        self._left -= 1
        self._progress(self._file.done_bytes)
        self._end_if_whole()

    def refused(self, piece: int, error: errors.RPCError) -> bool:
        """Whether ERROR is passing: the reference has expired, or the file lies elsewhere."""
        if _is_stale(error):
            if self._asked_with.get(piece) == self._document.file_reference:
                self._renew()
            return True
        if isinstance(error, errors.FileMigrateError) and len(self._moved_to) < _MOVES:
            if error.new_dc not in self._moved_to[-1:]:
                self._moved_to.append(error.new_dc)
                self.move(error.new_dc)
            return True
        return False

    def fail(self, error: Exception) -> None:
        """Ends with ERROR."""
        if not self.done.done():
            self.done.set_exception(error)

    # ---- Parts

    async def _read(self, piece: int, ask: Ask) -> bytes:
        """The bytes of PIECE: in one request, or in as many as a server with shorter answers wants. Fewer come where
        the file ends too early."""
        start, wanted = piece * PART_BYTES, self._file.length(piece)
        found: list[bytes] = []
        while wanted > 0:
            data = await self._ask_bytes(piece, start, ask)
            found.append(data)
            start += len(data)
            wanted -= len(data)
            if not data or len(data) % _LEAST_BYTES:
                break
        return found[0] if len(found) == 1 else b"".join(found)

    async def _ask_bytes(self, piece: int, offset: int, ask: Ask) -> bytes:
        while True:
            # Whatever OFFSET is a multiple of: the last part too is asked for in full, less comes then.
            limit = min(self._manners.limit, offset & -offset or PART_BYTES)
            self._asked_with[piece] = self._document.file_reference
            try:
                answer = await ask(GetFileRequest(self._location(), offset, limit))
            except _NO_SUCH_LENGTH:
                if limit <= _LEAST_BYTES:
                    raise
                self._manners.limit = min(self._manners.limit, limit // 2)
                continue
            if not isinstance(answer, types.upload.File):
                raise DownloadRefused(_cdn())
            return bytes(answer.bytes)

    def _location(self) -> types.InputDocumentFileLocation:
        one = self._document
        return types.InputDocumentFileLocation(one.id, one.access_hash, one.file_reference, thumb_size="")

    def _is_right(self, piece: int, data: bytes) -> bool:
        if len(data) != self._file.length(piece):
            return False
        start, view = piece * PART_BYTES, memoryview(data)
        for known in self._known_hashes(piece):
            if hashlib.sha256(view[known.offset - start : known.offset - start + known.limit]).digest() != known.hash:
                return False
        return True

    def _wrong(self, piece: int) -> None:
        self._bad += 1
        if self._bad >= _BAD_PARTS:
            raise DownloadRefused(_damaged())
        for known in self._known_hashes(piece):
            del self._hashes[known.offset]  # it may be they that were wrong
        self.put_back(piece)

    def _end_if_whole(self) -> None:
        if not self._left and not self.done.done():
            self.done.set_result(None)

    # ---- Hashes

    def _known_hashes(self, piece: int) -> list[types.FileHash]:
        start = piece * PART_BYTES
        end = start + self._file.length(piece)
        found = [one for offset, one in self._hashes.items() if start <= offset and offset + one.limit <= end]
        return sorted(found, key=lambda one: one.offset)

    async def _learn_hashes(self, piece: int, ask: Ask) -> None:
        """Asks for the hashes of PIECE, as far as they aren't known and the server offers any."""
        start, end = piece * PART_BYTES, piece * PART_BYTES + self._file.length(piece)
        while self._hashed and start < end:
            known = self._hashes.get(start)
            if known is None:
                known = await self._ask_hashes(start, ask)
            if known is None:
                return
            start += known.limit

    async def _learned(self, learning: asyncio.Future[None]) -> None:
        """Waits for hashes, for as long as that is worth it: the part itself is worth more than its check."""
        try:
            await asyncio.wait_for(learning, _HASHES_S)
        except (TimeoutError, LaneLost, Unanswered):
            self._no_hashes()

    async def _ask_hashes(self, offset: int, ask: Ask) -> types.FileHash | None:
        try:
            answer = await ask(GetFileHashesRequest(self._location(), offset))
        except errors.RPCError as error:
            if isinstance(error, _NOT_ABOUT_HASHES) or _is_stale(error):
                raise
            if not isinstance(error, errors.FloodError | errors.ServerError):
                self._no_hashes()
            answer = []
        self._hashes.update({one.offset: one for one in answer if one.limit > 0})
        found = self._hashes.get(offset)
        if found is None:
            self._hashed = False
        else:
            self._manners.hashes_refused, self._manners.gave_hashes = 0, True
        return found

    def _no_hashes(self) -> None:
        self._hashed = False
        self._manners.hashes_refused += 1

    # ---- References

    def _renew(self) -> None:
        """Fetches the message anew, once for all parts that were refused."""
        if not self._renewing:
            self._stale = True
            self._renewing = asyncio.get_running_loop().create_task(self._renewed())

    async def _renewed(self) -> None:
        try:
            if self._renewals:
                await asyncio.sleep(_RENEW_AGAIN_S)  # Telegram had nothing newer
            self._renewals += 1
            document = await self._refetch()
            if document is None or document.id != self._document.id:
                self.fail(FileGone("the message or its file is gone"))
            elif self._renewals > _RENEWALS:
                self.fail(TimeoutError("Telegram gives no valid reference to the file"))
            else:
                self._document = document
        except Exception as error:  # noqa: BLE001 - whatever it is, the download can't go on without
            self.fail(error)
        finally:
            self._stale = False
            self._renewing = None


def _is_stale(error: Exception) -> bool:
    return text_of(error).startswith(("FILE_REFERENCE", "FILEREF"))


def _cdn() -> Reason:
    return Reason(
        code=Code.UNREADABLE,
        text="Telegram keeps this file on a server for public downloads, from which it can't be taken safely",
        next_step="Send it again as a new upload, not as a forward",
    )


def _damaged() -> Reason:
    return Reason(
        code=Code.CORRUPT,
        text="Telegram's copy of the file doesn't match its own checksums",
        next_step="Send the file again",
    )
