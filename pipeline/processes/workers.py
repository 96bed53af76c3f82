"""Starting, hearing and burying worker processes: the implementation of workers as local processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import selectors
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from pipeline.config import Config
from pipeline.datagrams import datagrams
from pipeline.errors import StageUnstable
from pipeline.model import StageName, Upload
from pipeline.processes import channel, worker
from pipeline.processes.blackbox import BlackBox, Entry
from pipeline.processes.channel import Channel
from pipeline.processes.messages import Order, Report, decode_reports
from pipeline.processes.worker import WorkerSpec

_INTENSITY: Final = 5  # deaths with no batch to blame ...
_INTENSITY_S: Final = 60.0  # ... within this time that make us give up
_QUICK_DEATH_S: Final = 2.0
_MAX_BACKOFF_S: Final = 5.0
WIDENED: Final = "it may not read where an upload lies, and another that may takes over"


class Places:
    """Where uploads lie that a confined worker is to read, beside the spool and the inbox. It learns this when it
    starts, and can be told nothing more later: where an upload turns up elsewhere, another worker takes over."""

    def __init__(self, roots: Sequence[str] = ()) -> None:
        self._roots = tuple(roots)
        self.readable = self._roots

    def widen(self, uploads: Iterable[Upload]) -> None:
        """Workers that start from now on may read UPLOADS, and no longer those they were told of before."""
        paths = (path for upload in uploads for path in upload.paths)
        self.readable = tuple(dict.fromkeys((*self._roots, *paths)))


class LocalWorker:
    """The one slot of a stage: at most one live process, replaced only after the old one is reaped."""

    def __init__(
        self,
        stage: StageName,
        module: str,
        config: Config,
        selector: selectors.BaseSelector,
        places: Places | None = None,
    ) -> None:
        self.stage = stage
        self._places = places or Places()
        self.black_box = BlackBox(Path(config.paths.state) / "run" / f"{stage.title}.box")
        self.left_behind = self.black_box.read()  # what ran when the supervisor before us ended
        self.black_box.end()
        self.log = Path(config.paths.state) / "log" / f"{stage.title}.log"
        self.restarts = -1
        self.killed_for = ""  # why we killed it
        self._module = module
        self._config = config
        self._selector = selector
        self._process: BaseProcess | None = None
        self._channel: Channel | None = None
        self.pidfd = -1  # readable once the process has ended
        self._started_at = 0.0
        self._quick_deaths = 0
        self._idle_deaths: list[float] = []
        self.due_at = 0.0  # on the monotonic clock: when a replacement may start

    @property
    def pid(self) -> int | None:
        """The live process's id."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the process. Its socket and its death become events of the selector."""
        ours, theirs = channel.pair()
        spec = WorkerSpec(
            stage=self.stage,
            module=self._module,
            config=self._config,
            supervisor=os.getpid(),
            log=str(self.log),
            readable=self._places.readable,
        )
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=worker.main, args=(spec, theirs), name=self.stage.title, daemon=True)
        process.start()
        theirs.close()
        assert process.pid is not None
        self._process, self._channel = process, Channel(ours)
        self.pidfd = os.pidfd_open(process.pid)
        self._started_at = time.monotonic()
        self.restarts += 1
        self.killed_for = ""
        self._selector.register(self._channel, selectors.EVENT_READ, self)
        self._selector.register(self.pidfd, selectors.EVENT_READ, self)

    def receive(self) -> list[Report]:
        """All reports that are there."""
        if self._channel is None:
            return []
        try:
            return [report for data in self._channel.receive() for report in decode_reports(data)]
        except channel.Closed:
            self._close_channel()
            return []

    def send(self, orders: list[Order]) -> None:
        """Sends ORDERS; what the socket doesn't take now follows when it can."""
        if self._channel is not None:
            for data in datagrams(orders):
                self._channel.send(data)
            self._watch_writes()

    def flush(self) -> None:
        """Sends what is still unsent."""
        if self._channel is not None:
            self._channel.flush()
            self._watch_writes()

    def _watch_writes(self) -> None:
        assert self._channel is not None
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._channel.has_unsent else 0)
        if self._selector.get_key(self._channel).events != events:
            self._selector.modify(self._channel, events, self)

    def is_dead(self) -> bool:
        """Whether the process has ended but isn't buried yet. Its pidfd tells, even when multiprocessing, which polls
        all its children at each start of one, has reaped it already."""
        return self._process is not None and bool(select.select([self.pidfd], [], [], 0)[0])

    def bury(self) -> tuple[int, Entry]:
        """Reaps the dead process; returns its exit code and what its black box said last."""
        assert self._process is not None
        self._process.join()
        exit_code = self._process.exitcode
        assert exit_code is not None
        self._close_channel()
        self._selector.unregister(self.pidfd)
        os.close(self.pidfd)
        self._process.close()
        self._process = None
        return exit_code, self.black_box.read()

    def plan_restart(self, *, blameless: bool) -> None:
        """Decides when the replacement may start. Raises StageUnstable after too many deaths without a batch."""
        now = time.monotonic()
        quick = now - self._started_at < _QUICK_DEATH_S
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        backoff = 0.05 * 2 ** (self._quick_deaths - 1) if self._quick_deaths else 0.0
        self.due_at = now + min(_MAX_BACKOFF_S, backoff)
        if not blameless:
            return
        self._idle_deaths = [at for at in self._idle_deaths if now - at < _INTENSITY_S] + [now]
        if len(self._idle_deaths) > _INTENSITY:
            raise StageUnstable(
                stage=self.stage.title,
                deaths=len(self._idle_deaths),
                window_s=_INTENSITY_S,
                last_words=self._last_words(),
                log=self.log,
            )

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1][:300] if lines else ""

    def kill(self, why: str) -> None:
        """Ends the process at once, for the reason WHY."""
        if self._process is not None and self._process.pid is not None:
            self.killed_for = why
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._selector.unregister(self._channel)
            self._channel.close()
            self._channel = None


def make_workers(
    modules: Mapping[StageName, str], config: Config, selector: selectors.BaseSelector, places: Places
) -> dict[StageName, LocalWorker]:
    """One slot a stage. There is no count anywhere: two extract processes can't be configured."""
    return {stage: LocalWorker(stage, modules[stage], config, selector, places) for stage in StageName}
