"""Results as files, pictures and pages: made by the program that reads the library, uploaded, and taken away again."""

from __future__ import annotations

import asyncio
import mimetypes
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from telethon import types

from bot_adapter.results import Results
from bot_adapter.transfers import Transfers
from pipeline.adapter.model import FileFacts, PictureFacts, ReportFacts

_FILES: Final = 20  # of one answer; a chat isn't a place for more
_ANYTHING: Final = "application/octet-stream"


class FilesOut:
    """Makes files in folders of SCRATCH, one for each answer, by RESULTS, which is nobody else's: some take long."""

    def __init__(self, transfers: Transfers, results: Results, ledger: Path, scratch: Path) -> None:
        self._transfers = transfers
        self._results = results
        self._ledger = ledger
        self._scratch = scratch

    @asynccontextmanager
    async def made(self, item: int, facts: FileFacts) -> AsyncIterator[list[Path]]:
        """The files of an answer, as long as the body runs; none where they couldn't be made."""
        folder = self._scratch / f"answer-{item}"
        try:
            yield (await self._make(facts, folder))[:_FILES]
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, True)

    async def _make(self, facts: FileFacts, folder: Path) -> list[Path]:
        if isinstance(facts, PictureFacts):
            return await self._results.picture(facts.table.path, folder, facts.table.name)
        if isinstance(facts, ReportFacts):
            return await self._results.report(facts.job, self._ledger, folder, f"job-{facts.job}")
        paths: list[Path] = []
        for table in facts.tables:
            if len(paths) < _FILES:
                paths += await self._results.copy(table.path, folder, table.name, facts.format)
        return paths

    async def uploaded(self, path: Path, *, picture: bool = False) -> Any:
        """PATH, uploaded, as what a message is sent with. Raises OSError, RPCError."""
        file = await self._transfers.upload(path, path.name, lambda done: None)
        if picture:
            return types.InputMediaUploadedPhoto(file=file)
        kind = mimetypes.guess_type(path.name)[0] or _ANYTHING
        return types.InputMediaUploadedDocument(
            file=file, mime_type=kind, attributes=[types.DocumentAttributeFilename(path.name)], force_file=True
        )
