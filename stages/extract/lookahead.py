"""Takes the entries of a zip (or another archive that can be read in any order) ahead of their turn, in two threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from stages.extract.protocol import SMALL, Entry, Kind
from stages.extract.take import Taken

GROUP_BYTES = 256 << 10  # small entries are taken in groups of about this much,
GROUP_FILES = 32  # or of this many
MEMORY = 16 << 20  # small entries that may lie in memory ahead of their turn

Group = list[tuple[Entry, Taken | None]]


class Lookahead:
    """ENTRIES with what TAKE makes of them, in order. At most about ROOM bytes are ahead, or one entry of any size."""

    def __init__(
        self,
        entries: Iterator[Entry],
        take: Callable[[Entry], Taken],
        discard: Callable[[Taken], None],
        pool: ThreadPoolExecutor,
        room: int,
    ) -> None:
        self._groups = _grouped(entries)
        self._take = take
        self._discard = discard
        self._pool = pool
        self._room = room
        self._waiting: deque[tuple[int, int, Future[Group]]] = deque()
        self._bytes = self._memory = 0
        self._next: list[Entry] | None = None
        self._end: Exception | None = None
        self._begun: deque[tuple[Entry, Taken | None]] = deque()

    def __iter__(self) -> Iterator[tuple[Entry, Taken | None]]:
        """Each entry and its bytes; None for what has none. Raises whatever the archive or the taking raised."""
        while True:
            self._fill()
            if not self._waiting:
                break
            size, memory, future = self._waiting.popleft()
            self._begun.extend(future.result())
            self._fill()
            while self._begun:
                yield self._begun.popleft()
            self._bytes -= size
            self._memory -= memory
        if self._end is not None:
            raise self._end

    def close(self) -> None:
        """Stops, and throws away what nobody took."""
        for _, _, future in self._waiting:
            future.cancel()
        for _, _, future in self._waiting:
            if not future.cancelled() and future.exception() is None:
                self._begun.extend(future.result())
        self._waiting.clear()
        for _, taken in self._begun:
            if taken is not None:
                self._discard(taken)
        self._begun.clear()

    def _fill(self) -> None:
        while self._end is None:
            if self._next is None:
                try:
                    self._next = next(self._groups, None)
                except Exception as error:  # noqa: BLE001 - raised when its turn comes, after the entries before it
                    self._end = error
                if self._next is None:
                    return
            size = sum(max(entry.size, 0) for entry in self._next)
            memory = size if size < SMALL or len(self._next) > 1 else SMALL
            if self._bytes and (self._bytes + size > self._room or self._memory + memory > MEMORY):
                return
            self._waiting.append((size, memory, self._pool.submit(self._take_group, self._next)))
            self._bytes += size
            self._memory += memory
            self._next = None

    def _take_group(self, group: list[Entry]) -> Group:
        return [(entry, self._take(entry) if _has_bytes(entry) else None) for entry in group]


def _has_bytes(entry: Entry) -> bool:
    return entry.kind is Kind.FILE and entry.reason is None


def _grouped(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """ENTRIES in runs of small ones; a large one is a run of its own. What ENTRIES raises comes after the last run."""
    group: list[Entry] = []
    size, error = 0, None
    while True:
        try:
            entry = next(entries)
        except StopIteration:
            break
        except Exception as raised:  # noqa: BLE001 - raised below
            error = raised
            break
        if group and (len(group) >= GROUP_FILES or size + entry.size > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(entry)
        size += max(entry.size, 0)
    if group:
        yield group
    if error is not None:
        raise error
