"""Files in and out: the connections to each DC, and the two things that are done with them, `fetch` and `upload`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from telethon import errors
from telethon.crypto import AuthKey
from telethon.tl import types
from telethon.tl.functions.auth import ExportAuthorizationRequest

from bot_adapter.asking import asked
from bot_adapter.download import Download, Manners, Progress
from bot_adapter.download_file import PartFile
from bot_adapter.news import Address, ListeningClient
from bot_adapter.transfer_lane import Lane, Patience, dial
from bot_adapter.transfer_pool import Pool
from bot_adapter.transfer_window import FREE, PREMIUM, Ceiling
from bot_adapter.upload import Upload

_KEYS_MADE: Final = 3  # for one other DC, until its refusals are believed
_REQUEST_S: Final = 30.0  # for a request over the account's own connection


class Transfers:
    """Made for a CLIENT that is logged in; REFRESH gives a chat's message as it is now. The downloads and uploads that run share each DC's window in turns."""

    def __init__(
        self,
        client: ListeningClient,
        *,
        premium: bool,
        refresh: Callable[[int, int], Awaitable[Any]] | None = None,
        ceiling: Ceiling | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._client = client
        self._refresh = refresh
        self._manners = Manners()
        self._ceiling = ceiling or (PREMIUM if premium else FREE)
        self._patience = patience or Patience()
        self._pools: dict[int, Pool] = {}
        self._keys: dict[int, AuthKey] = {}  # of other DCs
        self._salts: dict[int, int] = {}
        self._renewed: dict[int, int] = {}
        self._quiet = True
        self._hello_works = False
        self._making_key: dict[int, asyncio.Lock] = {}

    @property
    def words(self) -> str:
        """What holds transfers up, empty where nothing does."""
        return next((words for pool in self._pools.values() if (words := pool.words)), "")

    async def close(self) -> None:
        """Ends all connections."""
        for pool in self._pools.values():
            await pool.close()

    async def fetch(self, letter: Any, path: Path, progress: Progress) -> None:
        """The file of LETTER (a Telethon message with a document) to PATH, whole and durable when this returns.

        Until then it lies at `PATH.part`, with a map of what is there; an interrupted one is taken up again. PROGRESS is
        told how many bytes are there. Raises OSError where something passing is in the way (FileGone: the message isn't
        there any more), DownloadRefused where no new try helps, and Telegram's refusals of the account.
        """
        document = letter.document
        file = await asyncio.to_thread(PartFile(path, document.id, document.size).open)
        try:
            work = Download(document, file, lambda: self._refetch(letter), progress, self._manners)
            progress(file.done_bytes)
            await self._carried(work, await self._place(document.dc_id))
            await file.finish()
        finally:
            await asyncio.to_thread(file.close)

    async def upload(self, path: Path, name: str, progress: Progress) -> types.InputFile | types.InputFileBig:
        """Sends the file at PATH; what is then put into a message, under NAME. Raises OSError, ValueError, RPCError."""
        work = Upload(path, name, progress)
        try:
            return await self._carried(work, self._home)
        finally:
            work.close()

    async def _carried(self, work: Download | Upload, dc: int) -> Any:
        """What WORK ends with, carried in turns with others. It goes where it is when it ends, or this is cancelled."""
        place = [self._pool(dc)]

        def move(other: int) -> None:
            place[0].remove(work)
            place[0] = self._pool(other)
            place[0].add(work)

        if isinstance(work, Download):
            work.move = move
        place[0].add(work)
        try:
            result = await work.done
        finally:
            place[0].remove(work)
        self._renewed.clear()
        return result

    async def _refetch(self, letter: Any) -> Any:
        if self._refresh is not None:
            found = await self._refresh(letter.chat_id, letter.id)
        else:
            found = await asked(self._client.get_messages(letter.peer_id, ids=letter.id))
        return found.document if found else None

    async def _place(self, dc: int) -> int:
        """The DC to ask for a file that is said to lie in DC: home, where that is none; if it's wrong, home says so."""
        if dc == self._home or dc in self._keys:
            return dc
        try:
            address = await asyncio.wait_for(self._client.address_of(dc), _REQUEST_S)
        except (OSError, errors.RPCError):
            return self._home
        return self._home if address == self._home_address else dc

    # ---- Connections

    @property
    def _home(self) -> int:
        return int(self._client.session.dc_id)

    @property
    def _home_address(self) -> Address:
        session = self._client.session
        return Address(session.server_address, session.port)

    def _pool(self, dc: int) -> Pool:
        if dc not in self._pools:
            self._making_key[dc] = asyncio.Lock()
            self._pools[dc] = Pool(lambda: self._dial(dc), lambda: self._renew(dc), self._ceiling, self._patience)
        return self._pools[dc]

    async def _dial(self, dc: int) -> Lane:
        if dc == self._home:
            self._salts.setdefault(dc, self._client._sender._state.salt)
            return await self._lane(dc, self._home_address, self._client._sender.auth_key)
        address = await asyncio.wait_for(self._client.address_of(dc), _REQUEST_S)
        async with self._making_key[dc]:
            if dc not in self._keys:
                export = self._client(ExportAuthorizationRequest(dc))
                return await self._lane(dc, address, AuthKey(None), await asyncio.wait_for(export, _REQUEST_S))
        return await self._lane(dc, address, self._keys[dc])

    def _renew(self, dc: int) -> bool:
        """Forgets the key of another DC, a few times; the home DC's is the login itself."""
        self._renewed[dc] = self._renewed.get(dc, 0) + 1
        if dc == self._home or self._renewed[dc] > _KEYS_MADE:
            return False
        self._keys.pop(dc, None)
        return True

    async def _lane(self, dc: int, address: Address, key: AuthKey, authorization: Any = None) -> Lane:
        quiet = self._quiet
        try:
            lane, made = await dial(
                self._client,
                address,
                key,
                salt=self._salts.get(dc, 0),
                authorization=authorization,
                quiet=quiet,
                connect_s=self._patience.connect_s,
            )
        except (TimeoutError, errors.BadRequestError, errors.NotFoundError, errors.ServerError):
            if not self._hello_works:
                self._quiet = not quiet  # a server that doesn't know how to be quiet; the next try is another one
            raise
        self._hello_works = True
        self._salts[dc] = lane.salt
        if dc != self._home:
            self._keys[dc] = made
        return lane
