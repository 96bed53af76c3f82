"""The adapter's end of the socket to its supervisor, in an asyncio loop."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from pipeline.adapter.model import AdapterOrder, AdapterReport, unpack_orders
from pipeline.datagrams import MAX_DATAGRAM_BYTES, datagrams


class SocketLink:
    """The adapter_model.Link over a socket, in the loop that `listen` is called in."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._unsent: deque[bytes] = deque()
        self._waits_for_room = False

    def report(self, *reports: AdapterReport) -> None:
        """Hands REPORTS over; what the socket doesn't take now follows when it can."""
        self._unsent.extend(datagrams(reports))
        self._flush()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._unsent:
            try:
                self._end.send(self._unsent[0])
            except BlockingIOError:
                break
            except ConnectionError:
                self._unsent.clear()  # the supervisor is gone, which `listen` tells
                break
            self._unsent.popleft()
        if bool(self._unsent) is not self._waits_for_room:
            self._waits_for_room = bool(self._unsent)
            if self._unsent:
                loop.add_writer(self._end, self._flush)
            else:
                loop.remove_writer(self._end)

    def listen(self, hear: Callable[[AdapterOrder], None], gone: Callable[[], None]) -> None:
        """Has HEAR told each order, and GONE when the supervisor has ended."""
        self._end.setblocking(False)
        loop = asyncio.get_running_loop()

        def receive() -> None:
            while True:
                try:
                    data = self._end.recv(MAX_DATAGRAM_BYTES + 1)
                except BlockingIOError:
                    return
                except ConnectionResetError:
                    continue
                if not data:
                    loop.remove_reader(self._end)
                    gone()
                    return
                for order in unpack_orders(data):
                    hear(order)

        loop.add_reader(self._end, receive)
