"""The control socket: whoever may enter the state directory asks and orders here.

One loop serves it beside everything else, so nothing here waits: what a client sends is read a little at a time, what
it doesn't fetch is bounded, and one that is too slow, floods or talks rubbish harms only itself.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pipeline.daemon.control_protocol import (
    MAX_REQUEST_BYTES,
    VERSION,
    Answer,
    Refusal,
    Refused,
    Request,
    address_of,
    decode_request,
    encode,
    new_socket,
    request_id,
)

_MAX_CLIENTS: Final = 32
_BACKLOG: Final = 128  # connections that wait to be accepted
_READ_BYTES: Final = 4096  # at a time, so that no client has the loop for long
_MAX_UNSENT: Final = 1024 * 1024
_SLOW_S: Final = 30.0  # a client that fetches nothing for so long is let go

Listener = Callable[[int], None]
Watcher = Callable[[int, int, Listener], None]  # a descriptor, the events to wait for, and who is told of them


class Client:
    """A connection. `answer` may be called at any time, also long after it has gone."""

    def __init__(self, server: ControlServer, connection: socket.socket) -> None:
        self._server = server
        self._socket = connection
        self._unread = b""
        self._unsent = bytearray()
        self._events = 0
        self._fetched_at = time.monotonic()
        self.heard_at = time.monotonic()
        self.is_open = True
        self.waits = False  # for an answer that comes later
        self._wait_for(selectors.EVENT_READ)

    def answer(self, id: int, data: Any, *, more: bool = False) -> None:
        """Sends DATA as an answer to the request ID."""
        self._send(encode(Answer(v=VERSION, id=id, ok=True, data=data, more=more)))

    def refuse(self, id: int, refusal: Refusal) -> None:
        """Sends why the request ID isn't carried out."""
        self._send(encode(Answer(v=VERSION, id=id, ok=False, error=refusal)))

    @property
    def has_unsent(self) -> bool:
        """Whether it still has to fetch what was sent."""
        return bool(self._unsent)

    @property
    def is_slow(self) -> bool:
        """Whether it has fetched nothing for a long time."""
        return self.has_unsent and time.monotonic() - self._fetched_at > _SLOW_S

    def _send(self, line: bytes) -> None:
        if not self.is_open:
            return
        if not self._unsent:
            self._fetched_at = time.monotonic()
        self._unsent += line
        self._flush()

    def on_events(self, events: int) -> None:
        """Reads and writes as far as that goes without waiting."""
        if events & selectors.EVENT_WRITE:
            self._flush()
        if self.is_open and events & selectors.EVENT_READ:
            self._read()

    def _flush(self) -> None:
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
                self._fetched_at = time.monotonic()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        reads = selectors.EVENT_READ if len(self._unsent) < _MAX_UNSENT else 0
        self._wait_for(reads | (selectors.EVENT_WRITE if self._unsent else 0))

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self.heard_at = time.monotonic()
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            if self.is_open and line.strip():
                self._server.serve(self, line)
        if len(self._unread) > MAX_REQUEST_BYTES:
            self.refuse(0, Refusal(code="malformed", text=f"A request has at most {MAX_REQUEST_BYTES} bytes."))
            self.close()

    def _wait_for(self, events: int) -> None:
        if self.is_open and events != self._events:
            self._events = events
            self._server.watch(self._socket.fileno(), events, self.on_events)

    def close(self) -> None:
        """Lets the client go."""
        if self.is_open:
            self._wait_for(0)
            self.is_open = False
            self._socket.close()
            self._server.forget(self)


class ControlServer:
    """Listens at PATH and has HANDLE carry out what clients ask for.

    HANDLE gets the request and its client, and returns the data of the answer, LATER where it will answer by itself,
    or raises Refused. WATCH is the loop's: it tells of events on descriptors.
    """

    LATER: Final = object()

    def __init__(self, path: Path, watch: Watcher, handle: Callable[[Request, Client], Any]) -> None:
        self.watch = watch
        self._path = path
        self._handle = handle
        self._clients: list[Client] = []
        self._socket = new_socket()
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # whoever left it there is gone: we hold the state directory's lock
        with address_of(path) as address:
            before = os.umask(0o177)
            try:
                self._socket.bind(address)
            finally:
                os.umask(before)
        self._socket.listen(_BACKLOG)
        self._socket.setblocking(False)
        watch(self._socket.fileno(), selectors.EVENT_READ, self._accept)

    def _accept(self, events: int) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return  # it has gone again, or we're out of descriptors for the moment
        connection.setblocking(False)
        if len(self._clients) >= _MAX_CLIENTS:
            min(self._clients, key=lambda client: (client.waits, client.heard_at)).close()
        self._clients.append(Client(self, connection))

    def serve(self, client: Client, line: bytes) -> None:
        """Carries out the request on LINE."""
        id = request_id(line)
        try:
            data = self._handle(decode_request(line), client)
        except Refused as refused:
            client.refuse(id, refused.refusal)
            return
        if data is self.LATER:
            client.waits = True
        else:
            client.answer(id, data)

    def forget(self, client: Client) -> None:
        """CLIENT is gone."""
        self._clients.remove(client)

    def tidy(self) -> None:
        """Lets clients go that don't fetch what they asked for."""
        for client in self.clients():
            if client.is_slow:
                client.close()

    def clients(self) -> Iterator[Client]:
        """Those who are there now."""
        return iter(list(self._clients))

    def close(self) -> None:
        """Lets everybody go and stops listening."""
        for client in self.clients():
            client.close()
        self.watch(self._socket.fileno(), 0, self._accept)
        self._socket.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
