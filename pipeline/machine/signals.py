"""Signals as a queue: a handler only enqueues, the loop decides. Nothing logs, locks or raises inside a handler."""

from __future__ import annotations

import selectors
import signal
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final

STOP: Final = (signal.SIGTERM, signal.SIGINT)  # finish what is in hand, then end
RELOAD: Final = (signal.SIGHUP,)  # read the configuration again, where there is one; else a terminal's end: stop
STOP_AT_ONCE: Final = (signal.SIGQUIT,)


class SignalInbox:
    """Receives this process's signals while it is open; a selector wakes up for them.

    Python runs handlers between bytecodes of the main thread, and `set_wakeup_fd` writes a byte even while the loop
    sleeps in the selector, so that none is noticed late.
    """

    def __init__(self, selector: selectors.BaseSelector, reloads: Callable[[], bool] = lambda: False) -> None:
        self.stops = 0  # how insistently we were asked to stop: 1 politely, 2 at once
        self.reloads = 0  # how often we were asked to reload since this was set to 0
        self._can_reload = reloads
        self._received: deque[int] = deque()
        self._selector = selector
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)
        selector.register(self._read, selectors.EVENT_READ, None)
        self._old_wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._old_handlers: dict[int, Any] = {
            number: signal.signal(number, lambda number, _: self._received.append(number))
            for number in (*STOP, *RELOAD, *STOP_AT_ONCE)
        }

    def drain(self) -> None:
        """Empties the wake-up socket, when the selector says that it's readable."""
        try:
            while self._read.recv(512):
                pass
        except BlockingIOError:
            pass

    def decide(self) -> None:
        """Takes what was received into account."""
        while self._received:
            number = self._received.popleft()
            if number in RELOAD and self._can_reload():
                self.reloads += 1
            else:
                self.stops += 2 if number in STOP_AT_ONCE else 1

    def close(self) -> None:
        """Gives the signals back to whoever had them."""
        signal.set_wakeup_fd(self._old_wakeup)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._selector.unregister(self._read)
        for end in (self._read, self._write):
            end.close()
