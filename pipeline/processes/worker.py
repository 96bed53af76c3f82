"""A worker: the one process that runs a stage's batches, one at a time, in the order they were dispatched.

It owns nothing: what it has in hand is in the ledger, and when it dies the supervisor starts another. It dies with the
supervisor (a parent-death signal, and the end of its socket).
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec

from pipeline.config import Config
from pipeline.datagrams import MAX_DATAGRAM_BYTES, datagrams
from pipeline.machine.turns import may_overtake
from pipeline.model import Closed, Code, Outcome, Reason, Reject, Retry, Stage, StageName, Task
from pipeline.processes import process_tools, sandbox, tools
from pipeline.processes.blackbox import BlackBox
from pipeline.processes.messages import (
    BatchClosed,
    Bound,
    DiskFailed,
    Dispatch,
    Drop,
    Finished,
    Grant,
    Ready,
    Report,
    Stop,
    Unreachable,
    decode_orders,
)
from pipeline.processes.sandbox import Confinement

_SHORT_S: Final = 0.001  # of work; a longer batch is reported at once
_SHORT_BYTES: Final = 256 * 1024  # of a batch and its upload, that make for short work
_FLUSH_S: Final = 0.002  # short batches are reported together, but not later than this
_DISK_RETRY_S: Final = 2.0
_MAX_TROUBLE: Final = 16_000  # characters of a traceback, its end being what tells
_LOCK_POLL_S: Final = 0.05


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told at its start. `module` exposes `build(config) -> Stage`."""

    stage: StageName
    module: str
    config: Config
    supervisor: int  # its process id
    log: str
    readable: tuple[str, ...] = ()  # files and folders with uploads, beside the spool and the inbox


class WorkerDesk:
    """The model.Desk of a real worker."""

    def __init__(self, config: Config, stage: StageName, black_box: BlackBox, lock: int) -> None:
        self.work = config.paths.work
        self.library = Path(config.paths.library)
        self.progress = black_box.progress
        self._locks = [lock]
        self._mark = process_tools.stage_mark(config.paths.state, stage.title)
        self.program: tuple[Turn, tools.Tool] | None = None  # the last that was started, and in whose turn
        self.takes_turns = stage is StageName.EXTRACT and config.extract.command is None

    def start_tool(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        stdin: int | IO[bytes] | None = None,
        merge_output: bool = False,
    ) -> tools.Tool:
        """Starts an external program in a group of its own, holding the stage's lock, dying with this process."""
        return tools.start(argv, mark=self._mark, locks=self._locks, cwd=cwd, stdin=stdin, merge_output=merge_output)

    @contextlib.contextmanager
    def alone(self, program: Path) -> Iterator[None]:
        """Holds the host-wide lock of PROGRAM's real path; waiting for it counts as progress, being nobody's fault."""
        descriptor = process_tools.open_shared_lock(process_tools.program_lock(program))
        waited = 0
        while not process_tools.try_lock(descriptor):
            waited += 1
            self.progress(-1, waited)
            time.sleep(_LOCK_POLL_S)  # flock has no wait that also lets progress be told
        self._locks.append(descriptor)
        try:
            yield
        finally:
            self._locks.remove(descriptor)
            os.close(descriptor)


class _ProgramRuns(BaseException):
    """A program is wanted while one of an archive that was set aside is running. No stage catches this."""


class Turn:
    """The model.Desk of one archive among those that extract reads in turns: what its threads tell while it is set aside
    is kept until it goes on, and no second program is started."""

    def __init__(self, desk: WorkerDesk) -> None:
        self.work, self.library, self.alone = desk.work, desk.library, desk.alone
        self._desk = desk
        self._at = (-1, 0)
        self._is_set_aside = False

    def progress(self, member: int, done_bytes: int) -> None:
        """Notes how far it is."""
        self._at = (member, done_bytes)
        if not self._is_set_aside:
            self._desk.progress(member, done_bytes)

    def set_aside(self) -> None:
        """Another goes on."""
        self._is_set_aside = True

    def go_on(self) -> None:
        """It is its turn again."""
        self._is_set_aside = False
        self._desk.progress(*self._at)

    def start_tool(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        stdin: int | IO[bytes] | None = None,
        merge_output: bool = False,
    ) -> tools.Tool:
        """As WorkerDesk does, unless one of another archive runs."""
        program = self._desk.program
        if program is not None and program[0] is not self and program[1].returncode is None:
            raise _ProgramRuns
        tool = self._desk.start_tool(argv, cwd=cwd, stdin=stdin, merge_output=merge_output)
        self._desk.program = (self, tool)
        return tool


class _Running:
    """A batch that has been begun. Only of extract's can there be several, of which one has its turn."""

    __slots__ = ("closed", "generator", "granted", "started_at", "task", "turn", "unreported_s", "used_s")

    def __init__(
        self, task: Task, granted: int, generator: Generator[Closed, None, Outcome], turn: Turn | None
    ) -> None:
        self.task = task
        self.granted = granted
        self.generator = generator
        self.turn = turn
        self.closed = 0
        self.started_at = time.time()
        self.unreported_s = 0.0  # working time since the last report
        self.used_s = 0.0  # working time, for who has had less to come next

    @property
    def may_go_on(self) -> bool:
        """Whether it may close a further batch."""
        return self.closed < self.granted

    def is_meant(self, order: Grant | Drop) -> bool:
        """Whether ORDER is about it."""
        return (self.task.batch, self.task.attempt) == (order.batch, order.attempt)


class WorkerLoop:
    """Receives orders, works, reports."""

    def __init__(
        self, end: socket.socket, stage: Stage, desk: WorkerDesk, black_box: BlackBox, confinement: Confinement
    ) -> None:
        self._end = end
        self._stage = stage
        self._desk = desk
        self._black_box = black_box
        self._confinement = confinement
        self._is_leaving = False  # another worker, with other rights, is to take over
        self._waiting: deque[Dispatch] = deque()
        self._open: list[_Running] = []
        self._shown: _Running | None = None  # of these, the one that had the last turn
        self._turn_s = self._between_s = 0.0  # an archive's last turn, and what others have worked since
        self._reports: list[Report] = []
        self._oldest_report = 0.0
        self._stopping = False

    def run(self) -> None:
        """Works until told to stop, or until the supervisor is gone.

        Each turn of this loop is a point where nothing is half done: a batch that extract has not ended goes on
        from its committed checkpoint, and what was prefetched is queued again.
        """
        while not self._stopping:
            running = self._next()
            if running is not None:
                self._step(running)
                continue
            if self._open and self._shown not in self._open:
                self._show(self._open[0])  # whoever watches sees that it waits
            self._flush()
            self._receive(block=True)
        self._flush()

    def _next(self) -> _Running | None:
        """Who has the next turn. Where archives are open those that may overtake them get as much time as they do."""
        if not self._open:
            return self._begin(self._waiting.popleft()) if self._waiting and not self._is_leaving else None
        ready = [one for one in self._open if one.may_go_on]
        if not ready or self._between_s <= self._turn_s:
            overtaker = self._overtaker()
            if overtaker is not None:
                return self._begin(overtaker)
        return min(ready, key=lambda one: one.used_s, default=None)

    def _overtaker(self) -> Dispatch | None:
        if self._is_leaving or not self._desk.takes_turns:
            return None
        sizes = [one.task.upload.total_size for one in self._open]
        for dispatch in self._waiting:
            if may_overtake(dispatch.task.upload.total_size, sizes):
                self._waiting.remove(dispatch)
                return dispatch
        return None

    def _show(self, running: _Running) -> None:
        """RUNNING has the turn, for whoever looks at the black box."""
        if self._shown is not None and self._shown.turn is not None:
            self._shown.turn.set_aside()
        self._shown = running
        self._black_box.begin(running.task.batch, running.task.attempt, running.started_at)
        if running.turn is not None:
            running.turn.go_on()

    def _begin(self, dispatch: Dispatch) -> _Running | None:
        task = dispatch.task
        if not self._confinement.reaches(task.upload):
            self._is_leaving = True
            self._black_box.end()
            self._report(Unreachable(task.batch, task.attempt), time.perf_counter())
            return None
        turn = Turn(self._desk) if self._desk.takes_turns else None
        running = _Running(task, dispatch.granted, self._stage.run(task, turn or self._desk), turn)
        running.used_s = min((one.used_s for one in self._open), default=0.0)
        self._open.append(running)
        return running

    def _step(self, running: _Running) -> None:
        """Works until the batch closes one or ends. What escapes is our bug, or the disk's."""
        if self._shown is not running:
            self._show(running)
        begun = time.perf_counter()
        closed, outcome, trouble = None, None, ""
        try:
            closed = next(running.generator)
        except StopIteration as end:
            outcome = cast(Outcome, end.value)
        except OSError as error:
            outcome, trouble = self._os_error(error)
        except _ProgramRuns:
            self._open.remove(running)
            self._report(Bound(running.task.batch, running.task.attempt), time.perf_counter())
            return
        except MemoryError:
            raise  # a death like any other: charged, and singled out if it comes again
        except Exception as error:  # noqa: BLE001 - whatever it is, it's recorded and the others go on
            outcome, trouble = _bug(error, traceback.format_exc())
        ended = time.perf_counter()
        running.unreported_s += ended - begun
        self._account(running, ended - begun, goes_on=closed is not None)
        if outcome is not None:
            self._finish(running, outcome, trouble, ended)
        elif closed is not None:
            running.closed += 1
            self._report_closed(running, closed)
            self._receive(block=False)

    def _account(self, running: _Running, took_s: float, *, goes_on: bool) -> None:
        running.used_s += took_s
        if goes_on or running.closed:
            self._turn_s, self._between_s = took_s, 0.0
        else:
            self._between_s += took_s

    def _report_closed(self, running: _Running, closed: Closed) -> None:
        task, busy_s = running.task, running.unreported_s
        running.unreported_s = 0.0
        seq = task.next_seq + running.closed - 1
        self._report(BatchClosed(task.batch, task.attempt, seq, closed, busy_s), time.perf_counter())
        self._flush()

    def _finish(self, running: _Running, outcome: Outcome, trouble: str, now: float) -> None:
        """Reports the end, and looks for new orders; a few very short batches are reported together."""
        self._open.remove(running)
        task, busy_s = running.task, running.unreported_s
        trouble = trouble[-_MAX_TROUBLE:]
        self._report(Finished(task.batch, task.attempt, outcome, running.started_at, busy_s, trouble), now)
        if busy_s > _SHORT_S or now - self._oldest_report > _FLUSH_S or self._open or not self._next_is_short():
            self._black_box.end()
            self._shown = None
            self._flush()
            self._receive(block=False)

    def _next_is_short(self) -> bool:
        """Whether a batch waits that won't hold back what is still to be reported."""
        if not self._waiting:
            return False
        task = self._waiting[0].task
        return max(task.bytes, task.upload.size) < _SHORT_BYTES

    def _os_error(self, error: OSError) -> tuple[Outcome | None, str]:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Retry(after_s=_DISK_RETRY_S, text="no space left on the disk", needs_bytes=1), ""
        if error.errno in (errno.EIO, errno.EROFS):
            failed = DiskFailed(str(error.filename or self._desk.work), error.strerror or str(error))
            self._report(failed, time.perf_counter())
            self._flush()
            return Retry(after_s=_DISK_RETRY_S, text=str(error)), ""
        return _bug(error, traceback.format_exc())

    def _report(self, report: Report, now: float) -> None:
        if not self._reports:
            self._oldest_report = now
        self._reports.append(report)

    def _flush(self) -> None:
        if self._reports:
            for data in datagrams(self._reports):
                self._end.send(data)
            self._reports.clear()

    def _receive(self, *, block: bool) -> None:
        flags = 0 if block else socket.MSG_DONTWAIT
        while True:
            try:
                data = self._end.recv(MAX_DATAGRAM_BYTES, flags)
            except BlockingIOError:
                return
            if not data:
                os._exit(0)  # the supervisor is gone; nothing here is worth a tidy end
            for order in decode_orders(data):
                self._obey(order)
            flags = socket.MSG_DONTWAIT

    def _obey(self, order: Dispatch | Grant | Drop | Stop) -> None:
        if isinstance(order, Dispatch):
            self._waiting.append(order)
        elif isinstance(order, Grant):
            for running in filter(lambda one: one.is_meant(order), self._open):
                running.granted = max(running.granted, order.granted)
        elif isinstance(order, Drop):
            self._drop(order)
        else:
            self._stopping = True

    def _drop(self, order: Drop) -> None:
        for running in [one for one in self._open if one.is_meant(order)]:
            running.generator.close()
            self._open.remove(running)
            if self._shown is running:
                self._shown = None
                self._black_box.end()
        wanted = (order.batch, order.attempt)
        self._waiting = deque(one for one in self._waiting if (one.task.batch, one.task.attempt) != wanted)


def _bug(error: BaseException, trouble: str) -> tuple[Outcome, str]:
    text = f"stampmill failed on it ({type(error).__name__}: {error})"[:500]
    next_step = "This is a bug of stampmill's. Please report it, with the job's log."
    return Reject(reason=Reason(code=Code.INTERNAL, text=text, next_step=next_step)), trouble


def main(spec: WorkerSpec, end: socket.socket) -> None:
    """The process's whole life."""
    process_tools.die_with_parent(spec.supervisor)
    process_tools.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the supervisor decides
    process_tools.redirect_output(Path(spec.log))
    process_tools.set_title(spec.stage.title)
    state = Path(spec.config.paths.state)
    lock = process_tools.open_lock(state / "locks" / f"{spec.stage.title}.lock")
    process_tools.lock(lock)
    black_box = BlackBox(state / "run" / f"{spec.stage.title}.box")
    black_box.end()
    confinement = sandbox.enter(spec.stage, spec.config, spec.module, spec.readable)
    if confinement.lacking:
        sys.stderr.write(f"Not wholly confined: this kernel lacks {confinement.lacking}.\n")
        sys.stderr.flush()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's, which nobody here needs: a tenth of a second
    module: Any = importlib.import_module(spec.module)
    stage: Stage = module.build(spec.config)
    process_tools.tune_garbage_collection()
    end.setblocking(True)
    for data in datagrams([Ready(os.getpid(), confinement.lacking)]):
        end.send(data)
    WorkerLoop(end, stage, WorkerDesk(spec.config, spec.stage, black_box, lock), black_box, confinement).run()
