"""What one thread makes while another still works on what came before, one piece ahead and no more."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Line(Generic[T]):
    """Things on their way from one thread to another: bounded, and closed by either side."""

    def __init__(self, most: int) -> None:
        self._things: deque[T] = deque()
        self._most = most
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, thing: T) -> bool:
        """Adds THING when there's room; False where the line was closed, and nobody will take it."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._things) < self._most)
            if self._is_closed:
                return False
            self._things.append(thing)
            self._changed.notify_all()
            return True

    def take(self) -> T | None:
        """The next thing; None once the line is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._things or self._is_closed)
            thing = self._things.popleft() if self._things else None
            self._changed.notify_all()
            return thing

    def close(self) -> None:
        """No more will come, or be wanted."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class Again(Generic[T]):
    """THINGS that are made once, while they are first gone through, and can be gone through again."""

    def __init__(self, things: Iterator[T]) -> None:
        self._things = things
        self._made: list[T] = []

    def __iter__(self) -> Iterator[T]:
        """Them all; one at a time goes through them."""
        yield from self._made
        for thing in self._things:
            self._made.append(thing)
            yield thing


def ahead(make: Callable[[], Iterable[T]]) -> Iterator[T]:
    """What MAKE gives, made in a thread that is one piece ahead; what it raises is raised here."""
    line: Line[T] = Line(1)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            for thing in make():
                if not line.put(thing):
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where the pieces are taken
            failures.append(error)
        finally:
            line.close()

    thread = threading.Thread(target=run, name="ahead", daemon=True)
    thread.start()
    try:
        while (thing := line.take()) is not None:
            yield thing
        if failures:
            raise failures[0]
    finally:
        line.close()
        thread.join()


def mapped(things: Iterator[T], work: Callable[[T], U], threads: int = 2) -> Iterator[U]:
    """What WORK makes of each of THINGS, in their order; THREADS of them are worked on while one is waited for."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="mapped")
    begun: deque[Future[U]] = deque()
    try:
        for thing in things:
            begun.append(pool.submit(work, thing))
            if len(begun) > threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        close = getattr(things, "close", None)
        if close is not None:
            close()
