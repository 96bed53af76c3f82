"""The inbox: a folder whose files are taken once nobody writes to them any more.

What is slow (syncing and copying) happens in a thread of its own, so that the supervisor's loop never waits for a disk;
the thread touches nothing but files, and hands what it has moved to the loop.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from pipeline.daemon import spool
from pipeline.daemon.inbox_sets import Arrival, Seen, Sets
from pipeline.daemon.journal import Journal
from pipeline.daemon.spool import Spooled

_UNFINISHED: Final = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".download", "~", ".swp")
_MAX_AT_ONCE: Final = 256  # files that one look gives to the thread

_Order = tuple[Path, Arrival]


class Quiet:
    """Knows how long each file has been unchanged. Pure."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[Seen, float]] = {}

    def look(self, files: Iterable[tuple[str, Seen]], now: float) -> dict[str, float]:
        """For how many seconds each of FILES has been unchanged at NOW (monotonic seconds)."""
        before, self._since = self._since, {}
        for name, seen in files:
            known = before.get(name)
            self._since[name] = known if known and known[0] == seen else (seen, now)
        return {name: now - since for name, (_, since) in self._since.items()}


def is_meant(name: str) -> bool:
    """Whether the file NAME is an upload by its name; hidden and temporary ones are somebody's unfinished business."""
    return not name.startswith(".") and not name.lower().endswith(_UNFINISHED)


def is_open_for_writing(path: Path) -> bool:
    """Whether any process has PATH open for writing, as far as the kernel tells us. Raises OSError where it's gone.

    A read lease is granted only where nobody has; it asks for owning the file. Of others' files, /proc tells what this
    user may see. SIGIO must be ignored: it comes where somebody opens the file just then.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return _has_writer(os.fstat(descriptor))
    finally:
        os.close(descriptor)
    return False


def _has_writer(wanted: os.stat_result) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for link in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    status = link.stat()
                    same = (status.st_dev, status.st_ino) == (wanted.st_dev, wanted.st_ino)
                    if same and link.lstat().st_mode & 0o200:  # the link's own mode tells how the file is open
                        return True
    return False


class Mover:
    """The thread that moves files into the spool. `results` wakes whoever waits for the descriptor `wakes`."""

    def __init__(self, spool_folder: Path) -> None:
        self._spool = spool_folder
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._done: deque[tuple[_Order, Spooled | OSError]] = deque()
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._thread = threading.Thread(target=self._work, name="inbox", daemon=True)
        self._thread.start()

    @property
    def wakes(self) -> int:
        """Is readable when there are results."""
        return self._read.fileno()

    def order(self, folder: Path, arrival: Arrival) -> None:
        """Has ARRIVAL, which lies in FOLDER, moved."""
        self._orders.put((folder, arrival))

    def results(self) -> list[tuple[_Order, Spooled | OSError]]:
        """What was moved since the last call, or why it couldn't be."""
        with contextlib.suppress(BlockingIOError):
            while self._read.recv(512):
                pass
        return [self._done.popleft() for _ in range(len(self._done))]

    def close(self) -> None:
        """Ends the thread after the file that it moves; what it has moved then is found at the next start."""
        self._orders.put(None)
        self._thread.join()
        self._read.close()
        self._write.close()

    def _work(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are the loop's
        while (order := self._orders.get()) is not None:
            self._done.append(self._move(order))
            with contextlib.suppress(BlockingIOError):
                self._write.send(b".")

    def _move(self, order: _Order) -> tuple[_Order, Spooled | OSError]:
        folder, arrival = order
        paths = [folder / name for name in arrival.names]
        try:
            if len(paths) == 1 and not arrival.missing:
                return order, spool.take(paths[0], self._spool, "inbox")
            return order, spool.take_set(paths, self._spool, "inbox", arrival.missing)
        except OSError as error:
            return order, error


class Inbox:
    """Looks at a folder again and again, and has what is quiet moved into the spool and submitted."""

    def __init__(self, spool_folder: Path, journal: Journal, submit: Callable[[list[Spooled]], None]) -> None:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        self.mover = Mover(spool_folder)
        self._journal = journal
        self._submit = submit
        self._spool = spool_folder
        self._quiet = Quiet()
        self._sets = Sets()
        self._told: set[tuple[str, str]] = set()  # sets that wait, and what for
        self._began = False
        self._moving: set[str] = set()
        self._refused: dict[str, Seen | None] = {}  # files that couldn't be taken, as they were then
        self.waiting = 0  # files that aren't quiet yet, or can't be taken

    def look(self, folder: Path, now: float, quiet_s: float, timeout_s: float = 3600.0) -> None:
        """Looks at FOLDER at NOW (monotonic seconds). A part that is missing is waited for TIMEOUT_S."""
        try:
            if not self._began:
                spool.put_back(self._spool, folder)
                self._began = True
            files = dict(self._files(folder))
        except OSError as error:
            self._refuse("", None, f"the inbox {folder} can't be read: {error.strerror}")
            return
        self._refused = {name: seen for name, seen in self._refused.items() if files.get(name) == seen}
        self.waiting = len(files)
        quiet_for = self._quiet.look(files.items(), now)
        busy = self._moving | self._refused.keys()
        ready = self._sets.ready(folder, files, quiet_for, quiet_s, timeout_s)
        for arrival in [one for one in ready if busy.isdisjoint(one.names)][:_MAX_AT_ONCE]:
            self._order(folder, arrival, files)
        self._tell_waits()

    def _order(self, folder: Path, arrival: Arrival, files: Mapping[str, Seen]) -> None:
        if all(self._is_free(folder / name, files[name]) for name in arrival.names):
            self._moving.update(arrival.names)
            self.mover.order(folder, arrival)

    def _tell_waits(self) -> None:
        """Says, once, what a set of volumes waits for."""
        waits = set(self._sets.waits.items())
        for whole, missing in sorted(waits - self._told):
            if missing:
                self._journal.info(f"{whole}: waiting for {missing}")
        self._told = waits

    @staticmethod
    def _files(folder: Path) -> Iterator[tuple[str, Seen]]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_meant(entry.name) and entry.is_file(follow_symlinks=False):
                    seen = _seen(Path(entry.path))
                    if seen is not None:
                        yield entry.name, seen

    def _is_free(self, path: Path, seen: Seen) -> bool:
        try:
            return not is_open_for_writing(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            why = f"{path} can't be taken: {error.strerror}; give stampmill's user the right to read it"
            self._refuse(path.name, seen, why)
            return False

    def receive(self) -> None:
        """Submits what was moved; called when the mover wakes."""
        moved = []
        for (folder, arrival), result in self.mover.results():
            self._moving.difference_update(arrival.names)
            if isinstance(result, Spooled):
                moved.append(result)
            elif not isinstance(result, FileNotFoundError):
                path = folder / arrival.names[0]
                why = f"{path} can't be taken: {result.strerror or result}"
                self._refuse(path.name, _seen(path), why)
        if moved:
            self._submit(moved)

    def _refuse(self, name: str, seen: Seen | None, why: str) -> None:
        """Says WHY, once, and leaves the file NAME alone until it changes."""
        if name not in self._refused:
            self._refused[name] = seen
            self._journal.warning(why)

    def close(self) -> None:
        """Ends the thread."""
        self.mover.close()


def _seen(path: Path) -> Seen | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return Seen(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
