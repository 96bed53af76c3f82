"""Asking a running daemon."""

from __future__ import annotations

import socket
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.daemon.control_protocol import Answer, Request, address_of, decode_answer, encode, new_socket
from pipeline.errors import RequestRefused, Unreachable

_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 30.0
_AGAIN_S: Final = 0.01


class ControlClient:
    """A connection to the daemon that listens at PATH. Raises Unreachable where none does, or where it goes away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = new_socket()
        self._socket.settimeout(_CONNECT_S)
        try:
            with address_of(path) as address:
                self._connect(address)
        except OSError as error:
            self._socket.close()
            raise Unreachable(path=path, detail=_plain(error)) from error
        self._lines = self._socket.makefile("rb")

    def _connect(self, address: str) -> None:
        """Connects; where more wait than the daemon has taken yet, the kernel asks to come again."""
        deadline = time.monotonic() + _CONNECT_S
        while True:
            try:
                return self._socket.connect(address)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN_S)

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._lines.close()
        self._socket.close()

    def ask(self, request: Request, timeout_s: float | None = _ANSWER_S) -> Any:
        """The data of REQUEST's answer; None for TIMEOUT_S waits as long as it takes. Raises RequestRefused."""
        return next(self.stream(request, timeout_s))

    def stream(self, request: Request, timeout_s: float | None = _ANSWER_S) -> Iterator[Any]:
        """The data of each of REQUEST's answers. Raises RequestRefused."""
        self._socket.settimeout(timeout_s)
        try:
            self._socket.sendall(encode(request))
            while True:
                answer = self._answer()
                if answer.error is not None:
                    raise RequestRefused(code=answer.error.code, text=answer.error.text)
                yield answer.data
                if not answer.more:
                    return
        except (OSError, msgspec.DecodeError) as error:
            raise Unreachable(path=self._path, detail=_plain(error)) from error

    def _answer(self) -> Answer:
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("it ended the connection")
        return decode_answer(line)


def _plain(error: Exception) -> str:
    if isinstance(error, TimeoutError | socket.timeout):
        return "it doesn't answer"
    if isinstance(error, FileNotFoundError):
        return "there is no socket"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error)
