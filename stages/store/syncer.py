"""Waiting for many files and folders to be durable at once, so that they share the file system's commits.

On ext4 with others at work six of them took 27 ms one after the other and 4 ms together, 2,000 took 4.5 s and 0.3 s.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue

THREADS = 16
LOT = 1024  # calls that are handed out before any of them must have ended

Call = Callable[[], None]
Ends = SimpleQueue[BaseException | None]


class Syncer:
    """Runs system calls that wait, side by side. Its threads start when they are first needed, and then stay.

    An executor's futures cost three times what this does, 0.2 ms for a small job.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Call, Ends]] = SimpleQueue()
        self._threads = 0

    def run(self, calls: Iterable[Call], done: Call = lambda: None) -> None:
        """Makes all CALLS, and DONE after each lot of them. Raises what one of them raised, once all of its lot ended."""
        calls = iter(calls)
        while lot := list(itertools.islice(calls, LOT)):
            first, *others = lot
            ends: Ends = SimpleQueue()
            self._start(len(others))
            for call in others:
                self._calls.put((call, ends))
            _make(first, ends)
            errors = [error for error in (ends.get() for _ in lot) if error is not None]
            if errors:
                raise errors[0]
            done()

    def _start(self, count: int) -> None:
        while self._threads < min(count, THREADS):
            threading.Thread(target=self._work, name="sync", daemon=True).start()
            self._threads += 1

    def _work(self) -> None:
        while True:
            _make(*self._calls.get())


def _make(call: Call, ends: Ends) -> None:
    try:
        call()
    except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
        ends.put(error)
    else:
        ends.put(None)
