"""The daemon: a supervisor that goes on until it is told to stop, with the rooms that let people and systemd at it."""

from __future__ import annotations

import contextlib
import math
import selectors
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from pipeline import __version__
from pipeline.adapter.adapter import Adapter
from pipeline.config import Config
from pipeline.daemon import metrics, spool
from pipeline.daemon.control import ControlServer
from pipeline.daemon.inbox import Inbox
from pipeline.daemon.journal import Journal, Level
from pipeline.daemon.notify import Notifier
from pipeline.daemon.orders import Orders, Reloaded
from pipeline.daemon.reports import SAMPLE_S, Reporter
from pipeline.daemon.spool import Spooled
from pipeline.errors import ConfigInvalid, StateUnwritable
from pipeline.machine.recycling import LOOK_S, Recycler, Seen
from pipeline.machine.scheduler import Ended
from pipeline.machine.supervisor import Supervisor
from pipeline.machine.work import EventKind
from pipeline.model import JobState, Options, StageName
from pipeline.processes.messages import Stop
from pipeline.settings import config_file
from pipeline.snapshot import Snapshot

_ADAPTER: Final = "bot_adapter.adapter"  # what the Telegram adapter's process runs
_LOOK_S: Final = 1.0  # between two looks at the inbox, at what happened, and at systemd's watchdog
_WATCH_S: Final = 0.25  # the shortest time between two snapshots that a client watches
_CLEAN_S: Final = 600.0
_BROKEN_S: Final = 86400.0  # after which a folder in the spool that no job is about was left by a broken `submit`
_STARTING_S: Final = 120.0  # a worker may take to get ready before systemd's watchdog isn't fed any more
_LIVE: Final = ("disk", "queue", "worker", "inbox", "retention", "log", "stop_timeout_s")  # can change while running

_LEVELS: Final = {
    EventKind.DIED: Level.WARNING,
    EventKind.CHARGED: Level.WARNING,
    EventKind.CRASHED: Level.WARNING,
    EventKind.RESET: Level.NOTICE,
    EventKind.RETRY: Level.NOTICE,
}
_WORDS: Final = {
    EventKind.DIED: "the worker died while it ran",
    EventKind.CHARGED: "charged for the worker's death",
    EventKind.CRASHED: "given up after three deaths",
    EventKind.RESET: "set back to its upload",
    EventKind.RETRY: "tried again later",
}

Sentence = Callable[[Snapshot, Config], str]


class Daemon:
    """Runs the pipeline of CONFIG, read from the file PATH, with the stages that MODULES name. SAYS puts a snapshot into
    a sentence, for systemd."""

    def __init__(self, config: Config, path: Path | None, modules: Mapping[StageName, str], says: Sentence) -> None:
        self._config = config
        self._path = path
        self._modules = modules
        self._says = says
        self._notifier = Notifier()
        self._journal = Journal(config.log.format, config.log.level)
        self._not_ready_since: dict[StageName, float] = {}
        self._recycler = Recycler()
        self._paused = ""
        self._telegram: Adapter | None = None

    def run(self) -> None:
        """Runs until a signal ends it. Raises StampmillError where it can't begin, or go on."""
        with contextlib.closing(self._notifier), contextlib.ExitStack() as stack:
            self._supervisor = supervisor = stack.enter_context(Supervisor(self._config, self._modules, self._observe))
            supervisor.start()
            self._reporter = Reporter(supervisor, self._config)
            self._orders = Orders(supervisor, self._reporter, self._journal, self._reload)
            self._take_up()
            server = ControlServer(self._config.paths.socket, supervisor.watch, self._orders.handle)
            stack.callback(server.close)
            self._inbox = Inbox(self._config.paths.spool, self._journal, self._submit)
            stack.callback(self._inbox.close)
            supervisor.watch(self._inbox.mover.wakes, selectors.EVENT_READ, lambda events: self._inbox.receive())
            if self._config.metrics.port:
                stack.callback(metrics.serve(self._config.metrics.port, self._reporter.latest))
            self._plan(supervisor, server)
            if self._config.telegram is not None:
                self._telegram = Adapter(supervisor, self._config, _ADAPTER, self._orders, self._tell_telegram)
                stack.callback(self._telegram.close)
                self._telegram.start()
            self._journal.notice(f"stampmill {__version__} works on {self._config.paths.state}")
            self._notifier.ready()
            supervisor.run(until=self._ends)
        self._journal.notice("stopped")

    def _take_up(self) -> None:
        """What was in the spool when whoever ran before ended, and how the operator held the pipeline."""
        folder = self._config.paths.spool
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if self._config.paths.inbox:
                Path(self._config.paths.inbox).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateUnwritable(path=error.filename or folder, detail=error.strerror) from error
        self._orders.take_up_halt()
        unfinished = self._supervisor.unfinished
        if unfinished:
            self._journal.notice(f"{unfinished} unfinished jobs go on")
        known = self._supervisor.ledger.ended_at
        self._submit([file for file in spool.found(folder) if spool.is_inbox(file) and known(file.source) == math.inf])

    def _plan(self, supervisor: Supervisor, server: ControlServer) -> None:
        supervisor.on_ended = self._ended
        supervisor.scheduler.is_followed = True
        supervisor.on_reload = self._on_signal
        every = supervisor.chores.every
        every(SAMPLE_S, self._reporter.sample)
        every(_LOOK_S, self._look)
        every(_WATCH_S, self._orders.tell_watchers)
        every(_LOOK_S, server.tidy)
        every(_CLEAN_S, self._clean)
        every(LOOK_S, self._recycle)
        if self._notifier.watchdog_s:
            every(self._notifier.watchdog_s / 4, self._feed_watchdog)

    def _ends(self) -> bool:
        """Whether we were told to stop, which is told on before the running batches finish."""
        if self._supervisor.stopping:
            self._notifier.stopping()
            self._journal.notice("stopping: running batches finish")
        return self._supervisor.stopping

    # What comes in

    def _submit(self, files: list[Spooled]) -> None:
        uploads = []
        for file in files:
            with contextlib.suppress(OSError):  # somebody deleted it meanwhile; if not, the next start finds it
                uploads.append((file.source, spool.upload_of(file), Options()))
        if not uploads:
            return
        jobs = self._supervisor.submit(uploads)
        for job, (_, upload, _) in zip(jobs, uploads, strict=True):
            self._journal.info(f"arrived: {upload.name}, {upload.size} bytes", job=job)

    def _look(self) -> None:
        now = time.monotonic()
        if self._config.paths.inbox:
            inbox = self._config.inbox
            self._inbox.look(Path(self._config.paths.inbox), now, inbox.quiet_s, inbox.parts_timeout_s)
            self._reporter.inbox_waiting = self._inbox.waiting
        if self._telegram is not None:
            self._reporter.telegram, self._reporter.telegram_trouble = self._telegram.words, self._telegram.trouble
        self._tell_events()
        self._tell_pause()
        self._notifier.status(self._says(self._reporter.snapshot(), self._config))

    # What is told

    def _observe(self, snapshot: Snapshot) -> None:
        """Sees snapshots also while the ledger itself waits for room on a full disk, when no chore is done: to wait is
        no reason for systemd to end us."""
        if snapshot.paused:
            self._notifier.alive()
            self._notifier.status(self._says(snapshot, self._config))

    def _ended(self, ended: Ended) -> None:
        if ended.state is JobState.FORGOTTEN and (
            folder := spool.folder_of(self._config.paths.spool, ended.job.upload)
        ):
            spool.discard(folder)
        self._reporter.note_ended(ended)
        self._orders.note_ended(ended)
        level = Level.NOTICE if ended.state is JobState.FAILED else Level.INFO
        state = f"{ended.state}, not all of it" if ended.reason and ended.state is JobState.DONE else str(ended.state)
        reason = f": {ended.reason.text}" if ended.reason else ""
        code = ended.reason.code if ended.reason else ""
        self._journal.write(level, f"{state}: {ended.job.upload.name}{reason}", job=ended.job.id, reason=code)

    def _tell_events(self) -> None:
        told, self._supervisor.scheduler.told = self._supervisor.scheduler.told, []
        for job, _, seq, stage, what, attempt, seconds, detail in told:
            kind = EventKind(what)
            level = _LEVELS.get(kind, Level.DEBUG)
            text = _WORDS.get(kind, str(kind)) + (f": {detail}" if detail else "")
            title = StageName(stage).title if stage is not None else ""
            took = f"{seconds:.3f}" if seconds else ""
            self._journal.write(level, text, job=job, stage=title, batch=seq, attempt=attempt or "", seconds=took)

    def _tell_pause(self) -> None:
        paused = self._supervisor.scheduler.paused
        if bool(paused) != bool(self._paused):
            self._journal.warning(f"waiting: {paused}" if paused else "there is room again: going on")
        self._paused = paused

    def _tell_telegram(self, text: str, grave: bool) -> None:
        self._journal.write(Level.ERR if grave else Level.WARNING, text)

    def _feed_watchdog(self) -> None:
        """systemd ends a daemon whose loop stands still, or one of whose workers doesn't get ready."""
        now = time.monotonic()
        for state in self._supervisor.scheduler.stages:
            if state.ready:
                self._not_ready_since.pop(state.name, None)
            else:
                self._not_ready_since.setdefault(state.name, now)
        if all(now - since < _STARTING_S for since in self._not_ready_since.values()):
            self._notifier.alive()

    # Keeping house

    def _recycle(self) -> None:
        """Has idle workers replaced that hold much memory. One that is told to stop finishes what it is sent till then."""
        supervisor = self._supervisor
        idle = supervisor.idle
        seen = []
        for state in supervisor.scheduler.stages:
            pid = supervisor.workers[state.name].pid
            size = supervisor.watchdog.sizes.get(pid or 0)
            if pid and size and state.ready:
                seen.append(Seen(state.name, pid, idle and not state.in_hand, state.finished, size.rss))
        for stage in self._recycler.look(seen, time.monotonic()):
            self._journal.debug("a fresh worker takes over, for the memory that this one holds", stage=stage.title)
            supervisor.workers[stage].send([Stop()])
            supervisor.workers[stage].restarts -= 1  # it is none that anybody should look into

    def _clean(self) -> None:
        """Deletes uploads whose job ended long ago, and what a `submit` that was broken off has left."""
        keep_s, now = self._config.retention.uploads_s, time.time()
        for folder in spool.folders(self._config.paths.spool):
            ended_at = self._supervisor.ledger.ended_at(f"spool:{folder.name}")
            if ended_at == math.inf:
                is_due = spool.is_broken(folder, _BROKEN_S)
            else:
                is_due = bool(keep_s and ended_at is not None and ended_at < now - keep_s)
                is_due = is_due or self._supervisor.ledger.is_forgotten(f"spool:{folder.name}")
            if is_due:
                spool.discard(folder)
                self._journal.debug(f"deleted {folder}")

    def _on_signal(self) -> None:
        with contextlib.suppress(ConfigInvalid):
            self._reload()

    def _reload(self) -> Reloaded:
        """Reads the configuration again. What is wrong with it leaves everything as it was. Raises ConfigInvalid."""
        self._notifier.reloading()
        try:
            if self._path is None:
                return Reloaded(now=(), at_next_start=())
            new = config_file.read(self._path)
            changed = tuple(sorted(differences(self._config, new)))
            now = tuple(key for key in changed if key.partition(".")[0] in _LIVE)
            later = tuple(key for key in changed if key not in now)
            self._apply(msgspec.structs.replace(self._config, **{name: getattr(new, name) for name in _LIVE}))
            self._journal.notice(f"configuration read again; changed: {', '.join(now) or 'nothing'}")
            if later:
                self._journal.warning(f"these take effect at the next start: {', '.join(later)}")
            return Reloaded(now=now, at_next_start=later)
        except ConfigInvalid as error:
            self._journal.error(f"the configuration stays as it was: {error.message}")
            raise
        finally:
            self._notifier.ready()

    def _apply(self, config: Config) -> None:
        self._config = self._reporter.config = config
        self._supervisor.config = config
        self._supervisor.scheduler.reconfigure(config)
        self._supervisor.watchdog.limits = config.worker
        self._journal.configure(config.log.format, config.log.level)


def differences(old: msgspec.Struct, new: msgspec.Struct, prefix: str = "") -> list[str]:
    """The dotted keys whose values differ between two configurations."""
    found = []
    for name in old.__struct_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
            found += differences(before, after, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}")
    return found
