"""Uploads on their way: their files are fetched, volumes and albums put together, then handed over as one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from telethon import errors

from bot_adapter import series
from bot_adapter.answers import Standing, Transfer, Waiting
from bot_adapter.asking import Passing, passing_of
from bot_adapter.assembly import assemble
from bot_adapter.board import Board
from bot_adapter.download import DownloadRefused, Progress
from bot_adapter.ears import read
from bot_adapter.fatal import raise_if_fatal
from bot_adapter.peers import UnknownChat
from bot_adapter.series import ALBUM_MOST, ALBUM_QUIET_S, display_name, judge, parts
from bot_adapter.words import size
from pipeline import volume_sets
from pipeline.adapter.model import (
    Arrived,
    Assembled,
    Busy,
    Download,
    Fetched,
    Gone,
    Link,
    Message,
    OpenUpload,
    Refused,
    UploadState,
    Wanted,
)
from pipeline.config import Telegram
from pipeline.model import Code, Reason
from pipeline.volume_sets import Whole

_log: Final = logging.getLogger(__name__)
TICK_S: Final = 0.5
_RETRY_S: Final = (1.0, 3.0, 10.0, 30.0)
_REFUSALS: Final = 6  # by Telegram, after which a file is given up
_SMOOTH: Final = 0.3  # weight of the newest half second in a download's rate
_ENDED: Final = (UploadState.ANSWERED, UploadState.WITHDRAWN)

Fetch = Callable[
    [Any, Path, Progress], Awaitable[None]
]  # a message's file to a path, whole and durable; raises OSError
Refresh = Callable[[int, int], Awaitable[Any]]  # a chat's message as it is now, None where it's gone
Around = Callable[[int, str, list[int]], Awaitable[bool]]  # whether of these messages of a chat any is in a series


class _Transfer:
    """A file on its way."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.refusals = 0
        self.done = 0
        self.rate = 0.0
        self._seen = 0
        self._seen_at = time.monotonic()

    def note(self, done: int) -> None:
        self.done = done

    def measure(self) -> None:
        now = time.monotonic()
        if now > self._seen_at:
            rate = max(0, self.done - self._seen) / (now - self._seen_at)
            self.rate = rate if not self.rate else self.rate + _SMOOTH * (rate - self.rate)
            self._seen, self._seen_at = self.done, now


class _Gathering:
    """An upload that hasn't become a job, and what is being done about it."""

    def __init__(self, upload: OpenUpload) -> None:
        self.upload = upload
        self.asked: set[int] = set()  # messages whose download was asked for
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.transfers: dict[int, _Transfer] = {}
        self.changed_at = time.monotonic()
        self.waited_s = 0.0
        self.held = ""
        self.handed_over = False
        self.assembling: asyncio.Task[None] | None = None
        self.looking_around: asyncio.Task[None] | None = None

    @property
    def all_here(self) -> bool:
        return all(message.fetched for message in self.upload.messages)

    def cancel(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        if self.looking_around is not None:
            self.looking_around.cancel()


class Uploads:
    """Follows every open upload as the ledger has it (`note`), and acts on it."""

    def __init__(
        self,
        link: Link,
        config: Telegram,
        board: Board,
        fetch: Fetch,
        refresh: Refresh,
        around: Around,
        failed: Callable[[Exception], None],
        held_up: Callable[[], str] = lambda: "",  # what holds downloads up that are under way
    ) -> None:
        self._held_up = held_up
        self._link = link
        self._config = config
        self._board = board
        self._fetch = fetch
        self._refresh = refresh
        self._around = around
        self._failed = failed
        self._open: dict[int, _Gathering] = {}
        self._pipeline: set[int] = set()
        self._letters: dict[tuple[int, int], Any] = {}  # Telethon's messages that are fresh
        self._said = Busy(())

    @property
    def waiting(self) -> list[Message]:
        """The messages of uploads whose job hasn't begun."""
        return [message for one in self._open.values() for message in one.upload.messages]

    def heard(self, letter: Any) -> None:
        """LETTER, a Telethon message with an upload, was seen just now."""
        self._letters[letter.chat_id, letter.id] = letter

    def note(self, upload: OpenUpload) -> None:
        """UPLOAD is like this in the ledger now."""
        self._letters = {key: letter for key, letter in self._letters.items() if len(self._letters) < 1000}
        if upload.state in _ENDED:
            self._drop(upload.id)
            self._pipeline.discard(upload.id)
            self._board.close(upload.id, _LAST_WORDS[upload.state])
            return
        self._name(upload)
        if upload.state is UploadState.OPEN:
            self._gather(upload)
            return
        self._drop(upload.id)
        self._pipeline.add(upload.id)
        if upload.state is UploadState.TWIN:
            self._board.stand(upload.id, Waiting("The same file is being worked on already; waiting for its result"))

    def _name(self, upload: OpenUpload) -> None:
        total = sum(message.size for message in upload.messages)
        self._board.name(upload.id, display_name(upload.messages), total)

    def _drop(self, id: int) -> None:
        gathering = self._open.pop(id, None)
        if gathering is not None:
            gathering.cancel()
            for message in gathering.upload.messages:
                self._letters.pop((message.chat, message.message), None)

    def _gather(self, upload: OpenUpload) -> None:
        gathering = self._open.get(upload.id)
        if gathering is None or gathering.upload.attempt != upload.attempt:
            self._drop(upload.id)
            gathering = self._open[upload.id] = _Gathering(upload)
        else:
            if len(upload.messages) != len(gathering.upload.messages):
                gathering.changed_at = time.monotonic()
            gathering.upload = upload
        if too_large := next((one for one in upload.messages if one.size > self._config.max_bytes), None):
            gathering.handed_over = True
            self._link.report(Refused(upload.id, _too_large(too_large, self._config.max_bytes)))
            return
        for message in upload.messages:
            if not message.fetched and message.message not in gathering.asked:
                gathering.asked.add(message.message)
                self._link.report(Wanted(upload.id, message.message))
        self._judge(gathering)

    def grant(self, upload: int, message: int) -> None:
        """The file of MESSAGE may be downloaded now."""
        gathering = self._open.get(upload)
        found = _message(gathering, message)
        if gathering is not None and found is not None and message not in gathering.tasks:
            gathering.held = ""
            gathering.transfers[message] = _Transfer(found)
            task = asyncio.create_task(self._download(gathering, found))
            gathering.tasks[message] = task

    def hold(self, upload: int, words: str) -> None:
        """No file of UPLOAD may be downloaded now, for this reason; empty: ask again."""
        gathering = self._open.get(upload)
        if gathering is None:
            return
        gathering.held = words
        if words:
            self._board.stand(upload, Waiting(f"Waiting: {words}"))

    # Downloads

    async def _download(self, gathering: _Gathering, message: Message) -> None:
        attempt = 0
        try:
            while not await self._try(gathering, message):
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
        except DownloadRefused as error:
            self._link.report(Refused(gathering.upload.id, error.reason))
        except Exception as error:  # noqa: BLE001 - the account is gone, or it's a bug: either ends the process
            self._failed(error)

    async def _try(self, gathering: _Gathering, message: Message) -> bool:
        """Downloads the file once; False where something passing was in the way."""
        path = Path(message.path)
        transfer = gathering.transfers[message.message]
        if not _is_whole(path, message.size):
            try:
                letter = self._letters.pop((message.chat, message.message), None)
                letter = letter or await self._refresh(message.chat, message.message)
                if not self._is_same(message, letter):
                    return True
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                await self._fetch(letter, path, transfer.note)
            except Passing as error:
                await asyncio.sleep(error.wait_s)
                return False
            except (OSError, UnknownChat):
                return False
            except DownloadRefused:
                raise
            except Exception as error:  # noqa: BLE001 - it concerns this one file, and is told at last
                self._refused(transfer, error)
                return False
        del gathering.transfers[message.message]
        self._link.report(Fetched(gathering.upload.id, message.message))
        return True

    @staticmethod
    def _refused(transfer: _Transfer, error: Exception) -> None:
        """Something stood in TRANSFER's way that may stay. Raises DownloadRefused once that was often enough, and what
        ends the account's use."""
        raise_if_fatal(error)
        if isinstance(error, errors.RPCError) and passing_of(error) is not None:
            return
        if not isinstance(error, errors.RPCError):
            _log.error("a download failed in an unknown way", exc_info=error)
        transfer.refusals += 1
        if transfer.refusals >= _REFUSALS:
            raise DownloadRefused(_withheld(error)) from error

    def _is_same(self, message: Message, letter: Any) -> bool:
        """Whether LETTER still has the file of MESSAGE; if not, that is reported, and this download is nobody's."""
        now = read(letter) if letter is not None else None
        if now is None:
            self._link.report(Gone(message.chat, (message.message,)))
            return False
        if now.document != message.document:
            self._link.report(Arrived(now))
            return False
        return True

    # Putting together

    def _judge(self, gathering: _Gathering) -> None:
        """Hands the upload over where it's whole, or has waited long enough."""
        if gathering.handed_over or not gathering.all_here or not gathering.upload.messages:
            return
        upload = gathering.upload
        verdict = judge(
            upload,
            _total(upload),
            time.monotonic() - gathering.changed_at,
            gathering.waited_s,
            self._config.parts_timeout_s,
        )
        if verdict.whole is Whole.NOT_YET:
            if verdict.missing:
                self._board.stand(upload.id, Waiting(f"Waiting for {verdict.missing}"))
            return
        if series.is_album(upload) and gathering.looking_around is None:
            gathering.looking_around = asyncio.create_task(self._look_around(gathering))
        if gathering.looking_around is not None and not gathering.looking_around.done():
            return
        gathering.handed_over = True
        missing = verdict.missing if verdict.whole is Whole.NEVER else ""
        gathering.assembling = asyncio.create_task(self._assemble(upload, missing))

    async def _look_around(self, gathering: _Gathering) -> None:
        """Some of an album's messages may have been told of and others not: those beside them are looked at once."""
        upload = gathering.upload
        numbers = [one.message for one in upload.messages]
        beside = range(max(1, min(numbers) - ALBUM_MOST + 1), max(numbers) + ALBUM_MOST)
        try:
            if await self._around(upload.chat, upload.series, [one for one in beside if one not in numbers]):
                gathering.changed_at = time.monotonic()
                await asyncio.sleep(ALBUM_QUIET_S)
        except (Passing, UnknownChat, errors.RPCError) as error:
            _log.warning("an album is taken as it came: %s", type(error).__name__)

    async def _assemble(self, upload: OpenUpload, missing: str) -> None:
        try:
            paths, name = await asyncio.to_thread(assemble, upload)
        except OSError:
            gathering = self._open.get(upload.id)
            if gathering is not None:
                gathering.handed_over = False  # a full disk, say: tried again at a later tick
            return
        self._link.report(Assembled(upload.id, tuple(map(str, paths)), name, missing))

    # Time

    async def run(self) -> None:
        """Looks after what only time changes, for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            for gathering in list(self._open.values()):
                if not gathering.held:
                    gathering.waited_s += TICK_S
                self._show(gathering)
                self._judge(gathering)
            self._tell()

    def _show(self, gathering: _Gathering) -> None:
        if not gathering.transfers:
            return
        for transfer in gathering.transfers.values():
            transfer.measure()
        self._board.stand(gathering.upload.id, _standing(gathering))

    def _tell(self) -> None:
        downloads = tuple(
            Download(transfer.message.name[:80], transfer.done, transfer.message.size, round(transfer.rate))
            for gathering in self._open.values()
            for transfer in gathering.transfers.values()
        )
        busy = Busy(downloads[:20], self._held_up())
        if busy != self._said:
            self._said = busy
            self._link.report(busy)


_LAST_WORDS: Final = {UploadState.ANSWERED: "Answered below.", UploadState.WITHDRAWN: "⏹ Cancelled."}


def _message(gathering: _Gathering | None, message: int) -> Message | None:
    if gathering is None:
        return None
    return next((one for one in gathering.upload.messages if one.message == message), None)


def _standing(gathering: _Gathering) -> Standing:
    """All files of an upload together, as one transfer."""
    transfers = {number: transfer.done for number, transfer in gathering.transfers.items()}
    total = sum(message.size for message in gathering.upload.messages)
    done = sum(
        message.size if message.fetched else transfers.get(message.message, 0) for message in gathering.upload.messages
    )
    rate = sum(transfer.rate for transfer in gathering.transfers.values())
    return Transfer(done, total, round(rate), (total - done) / rate if rate else 0.0)


def _total(upload: OpenUpload) -> int | None:
    """How many volumes UPLOAD has in all, as those that are here tell."""
    if series.is_album(upload):
        return None
    found = {part.number: part for part in parts(upload)}
    files = {message.part: Path(message.path) for message in upload.messages}
    with contextlib.suppress(OSError):
        return volume_sets.total({number: (part, files[number]) for number, part in found.items() if number in files})
    return None


def _is_whole(path: Path, wanted: int) -> bool:
    """Whether the file is here already: it gets its name only when it's complete."""
    try:
        return path.stat().st_size == wanted
    except OSError:
        return False


def _withheld(error: Exception) -> Reason:
    return Reason(
        code=Code.UNREADABLE,
        text=f"Telegram doesn't give the file out ({type(error).__name__})",
        next_step="Send it again as a new message",
    )


def _too_large(message: Message, limit: int) -> Reason:
    return Reason(
        code=Code.TOO_LARGE,
        text=f"It has {size(message.size)}, and at most {size(limit)} are taken",
        next_step="Send it in smaller parts, or ask the operator to raise telegram.max_bytes",
    )
