"""Asks the program that reads published tables (`pipeline.results.previews`); it lives while answers are being made."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Final

from bot_adapter.preview import ROWS, Preview

_IDLE_S: Final = 20.0
_FIRST_S: Final = 30.0  # for the first rows of a table
_COPY_S: Final = 1800.0
_LINE_BYTES: Final = 4 * 1024 * 1024


class Results:
    """One program at a time, one request at a time; a request that takes too long ends the program."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self._program: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    async def first(self, table: str) -> Preview | None:
        """The first rows of the TABLE (its folder below the library), or None where they can't be had."""
        answer = await self._ask({"type": "first", "folder": str(self._library / table), "rows": ROWS}, _FIRST_S)
        if answer is None:
            return None
        rows = tuple(tuple(row) for row in answer["rows"])
        return Preview(tuple(answer["columns"]), rows, tuple(answer["numeric"]))

    async def copy(self, table: str, into: Path, name: str, format: str) -> list[Path]:  # noqa: A002 - the file's
        """TABLE as files of FORMAT in the folder INTO; none where that failed."""
        request = {"type": "copy", "folder": str(self._library / table), "into": str(into), "name": name}
        answer = await self._ask(request | {"format": format}, _COPY_S)
        return [Path(file) for file in answer["files"]] if answer else []

    async def picture(self, table: str, into: Path, name: str) -> list[Path]:
        """The first rows of TABLE as a picture in the folder INTO; none where that failed."""
        request = {"type": "picture", "folder": str(self._library / table), "into": str(into), "name": name}
        answer = await self._ask(request | {"rows": ROWS}, _FIRST_S)
        return [Path(file) for file in answer["files"]] if answer else []

    async def report(self, job: int, ledger: Path, into: Path, name: str) -> list[Path]:
        """The page about JOB in the folder INTO; none where that failed."""
        request = {"type": "report", "root": str(self._library), "ledger": str(ledger), "job": job}
        answer = await self._ask(request | {"into": str(into), "name": name}, _COPY_S)
        return [Path(file) for file in answer["files"]] if answer else []

    async def _ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any] | None:
        async with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            try:
                answer = await asyncio.wait_for(self._exchange(request), timeout_s)
            except (OSError, ValueError, TimeoutError):
                self._end()
                return None
            self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._end)
        return None if "error" in answer else answer

    async def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._program is None or self._program.returncode is not None:
            self._program = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "pipeline.results.previews"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LINE_BYTES,
            )
        program = self._program
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(json.dumps(request).encode() + b"\n")
        await program.stdin.drain()
        answer: dict[str, Any] = json.loads(await program.stdout.readline())
        return answer

    def _end(self) -> None:
        if self._program is not None and self._program.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._program.kill()
        self._program = None
