"""The Telegram adapter's one process: started, heard, buried and started again, like a worker's slot."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from pipeline.adapter import process as adapter_process
from pipeline.adapter.model import AdapterOrder, AdapterReport, unpack_reports
from pipeline.adapter.process import AdapterSpec
from pipeline.config import Config
from pipeline.datagrams import datagrams
from pipeline.processes import channel
from pipeline.processes.channel import Channel

_QUICK_DEATH_S: Final = 30.0
_MAX_BACKOFF_S: Final = 60.0

Watch = Callable[[int, int, Callable[[int], None]], None]  # Supervisor.watch


class AdapterSlot:
    """At most one live process, replaced only after the old one is reaped. `wake` is called when there is something to
    hear, or when it has died."""

    def __init__(self, config: Config, module: str, watch: Watch, wake: Callable[[], None]) -> None:
        self.restarts = -1
        self.due_at = 0.0  # on the monotonic clock: when a replacement may start
        self._config = config
        self._module = module
        self._watch = watch
        self._wake = wake
        self._process: BaseProcess | None = None
        self._channel: Channel | None = None
        self._pidfd = -1
        self._started_at = 0.0
        self._quick_deaths = 0

    @property
    def pid(self) -> int | None:
        """The live process's id."""
        return self._process.pid if self._process else None

    @property
    def log(self) -> Path:
        """Where the process's own words go."""
        return Path(self._config.paths.state) / "log" / "telegram.log"

    def start(self) -> None:
        """Starts the process."""
        ours, theirs = channel.pair()
        spec = AdapterSpec(module=self._module, config=self._config, supervisor=os.getpid(), log=str(self.log))
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=adapter_process.main, args=(spec, theirs), name="telegram", daemon=True)
        process.start()
        theirs.close()
        assert process.pid is not None
        self._process, self._channel = process, Channel(ours)
        self._pidfd = os.pidfd_open(process.pid)
        self._started_at = time.monotonic()
        self.restarts += 1
        self._watch(self._channel.fileno(), selectors.EVENT_READ, self._ready)
        self._watch(self._pidfd, selectors.EVENT_READ, lambda _: self._wake())

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE and self._channel is not None:
            self._channel.flush()
            self._watch_writes()
        self._wake()

    def receive(self) -> list[AdapterReport]:
        """All reports that are there."""
        if self._channel is None:
            return []
        try:
            return [report for data in self._channel.receive() for report in unpack_reports(data)]
        except channel.Closed:
            self._close_channel()
            return []

    def send(self, orders: Iterable[AdapterOrder]) -> None:
        """Sends ORDERS; what the socket doesn't take now follows when it can."""
        orders = list(orders)
        if self._channel is not None and orders:
            for data in datagrams(orders):
                self._channel.send(data)
            self._watch_writes()

    def _watch_writes(self) -> None:
        assert self._channel is not None
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._channel.has_unsent else 0)
        self._watch(self._channel.fileno(), events, self._ready)

    def is_dead(self) -> bool:
        """Whether the process has ended but isn't buried yet."""
        return self._process is not None and bool(select.select([self._pidfd], [], [], 0)[0])

    def bury(self) -> int:
        """Reaps the dead process, plans the next one after a backoff, and returns the exit code."""
        assert self._process is not None
        self._process.join()
        exit_code = self._process.exitcode
        assert exit_code is not None
        self._close_channel()
        self._watch(self._pidfd, 0, lambda _: None)
        os.close(self._pidfd)
        self._process.close()
        self._process = None
        now = time.monotonic()
        self._quick_deaths = self._quick_deaths + 1 if now - self._started_at < _QUICK_DEATH_S else 0
        self.due_at = now + backoff(self._quick_deaths)
        return exit_code

    def wait(self, seconds: float) -> None:
        """Waits up to SECONDS for the process's end."""
        if self._process is not None:
            select.select([self._pidfd], [], [], seconds)

    def kill(self) -> None:
        """Ends the process at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._watch(self._channel.fileno(), 0, self._ready)
            self._channel.close()
            self._channel = None


def backoff(quick_deaths: int) -> float:
    """Seconds before the next start, after so many deaths in a row that came soon after a start."""
    return min(_MAX_BACKOFF_S, 0.1 * 4.0 ** (quick_deaths - 1)) if quick_deaths else 0.0
