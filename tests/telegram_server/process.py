"""The server in a process of its own, so that a benchmark's client doesn't share its interpreter."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

from tests.telegram_server.server import TelegramServer

_SPAWN = multiprocessing.get_context("spawn")


class ServerProcess:
    """A TelegramServer elsewhere: what is called on it is called there, with picklable arguments and results."""

    def __init__(self, **options: Any) -> None:
        self._ours, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, options), daemon=True)
        self._process.start()
        theirs.close()
        self._result()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.join()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid or 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if isinstance(getattr(TelegramServer, name), property):
            return self._call(name)
        return lambda *args, **options: self._call(name, *args, **options)

    def _call(self, name: str, /, *args: Any, **options: Any) -> Any:
        self._ours.send((name, args, options))
        return self._result()

    def _result(self) -> Any:
        good, value = self._ours.recv()
        if not good:
            raise value
        return value


def _serve(pipe: Connection, options: dict[str, Any]) -> None:
    with TelegramServer(**options) as server:
        pipe.send((True, None))
        while True:
            try:
                name, args, named = pipe.recv()
            except EOFError:
                return
            try:
                found = getattr(server, name)
                pipe.send((True, found(*args, **named) if callable(found) else found))
            except Exception as error:
                pipe.send((False, error))
