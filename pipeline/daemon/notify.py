"""Tells systemd how the daemon is: the protocol of sd_notify(3). Without systemd nothing is sent."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

_PATIENCE_S: Final = 1.0  # for what is said once: the socket holds some ten words that nobody has read yet
_MAX_STATUS: Final = 200  # characters


class Notifier:
    """Sends to the socket that $NOTIFY_SOCKET names, which is taken out of ENVIRONMENT so that no child uses it."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        self.watchdog_s = _watchdog_s(environment)  # how often at least `alive` is expected; 0: not at all
        self._status = ""
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            self._address = "\0" + address[1:] if address.startswith("@") else address

    def _send(self, *assignments: str, patience_s: float = 0.0) -> None:
        if self._socket is None:
            return
        self._socket.settimeout(patience_s)
        try:
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            pass  # systemd is restarting or busy; it hears the next one

    def close(self) -> None:
        """Says nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self) -> None:
        """The daemon works (again, after `reloading`)."""
        self._send("READY=1", f"MAINPID={os.getpid()}", patience_s=_PATIENCE_S)

    def status(self, text: str) -> None:
        """Says in TEXT what goes on, where that has changed."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={' '.join(text.split())[:_MAX_STATUS]}")

    def alive(self) -> None:
        """Feeds the watchdog."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` ends that."""
        self._send(
            "RELOADING=1",
            f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}",
            patience_s=_PATIENCE_S,
        )

    def stopping(self) -> None:
        """The daemon winds down."""
        self._send("STOPPING=1", "STATUS=Stopping: running batches finish", patience_s=_PATIENCE_S)


def _watchdog_s(environment: MutableMapping[str, str]) -> float:
    text, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
    if not text.isdigit() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(text) / 1e6
