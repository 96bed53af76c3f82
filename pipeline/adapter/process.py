"""The adapter's process as such: dying with its supervisor, its log, its title, its end of the socket.

What it does there is the business of the module it is told to run (`bot_adapter.adapter`).
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pipeline.adapter.model import AdapterOrder, AdapterReport, unpack_orders
from pipeline.config import Config
from pipeline.datagrams import MAX_DATAGRAM_BYTES, datagrams
from pipeline.processes import process_tools


class AdapterSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told at its start. `module` exposes `run(config, link)`, which returns when it has ended."""

    module: str
    config: Config
    supervisor: int  # its process id
    log: str


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


def main(spec: AdapterSpec, end: socket.socket) -> None:
    """The process's whole life."""
    process_tools.die_with_parent(spec.supervisor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the supervisor decides
    os.umask(0o077)  # Telethon makes the session file as the umask says
    process_tools.redirect_output(Path(spec.log))
    process_tools.set_title("telegram")
    lock = process_tools.open_lock(Path(spec.config.paths.state) / "locks" / "telegram.lock")
    process_tools.lock(lock)
    try:
        module: Any = importlib.import_module(spec.module)
        module.run(spec.config, SocketLink(end))
    except BaseException:  # noqa: BLE001 - whatever it is, it is written down and the process ends
        traceback.print_exc(limit=20)
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)  # nothing here is worth a tidy end, and no thread of a library's may hold it up
