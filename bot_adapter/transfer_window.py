"""How much may be on its way at once, and whose turn it is. Pure: times are seconds on the caller's clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")
_LANE_DEPTH: Final = 2  # requests on one connection before another one is opened
_PAUSE_AGAIN_S: Final = 1.0  # refusals that come this soon after a pause belong to what was sent before it


class Ceiling(NamedTuple):
    """The most that is tried: so many connections, each with so many requests at once."""

    lanes: int
    depth: int

    @property
    def requests(self) -> int:
        """On all connections together."""
        return self.lanes * self.depth


FREE: Final = Ceiling(2, 2)  # what Telegram bears of an account without Premium, and of a bot
PREMIUM: Final = Ceiling(8, 4)
START: Final = 4  # requests


class Window:
    """Requests that may be on their way to one DC. Grows with every answer until Telegram says that it's too much."""

    def __init__(self, ceiling: Ceiling) -> None:
        self._ceiling = ceiling
        self._size = float(min(START, ceiling.requests))
        self._threshold = float(ceiling.requests)  # below it growth is quick
        self._paused_until = -math.inf

    @property
    def size(self) -> int:
        """Requests that may be on their way."""
        return int(self._size)

    @property
    def depth(self) -> int:
        """Requests that one connection may have at once."""
        return self._ceiling.depth

    @property
    def lanes(self) -> int:
        """Connections to spread them over."""
        return max(1, min(self._ceiling.lanes, math.ceil(self._size / _LANE_DEPTH)))

    def pause_s(self, now: float) -> float:
        """How long nothing may be asked for."""
        return max(0.0, self._paused_until - now)

    def answered(self, in_flight: int) -> None:
        """An answer came while IN_FLIGHT requests were out: where the window was used, it grows."""
        if in_flight + 1 >= self.size:
            step = 1.0 if self._size < self._threshold else 1.0 / self._size
            self._size = min(self._size + step, float(self._ceiling.requests))

    def flooded(self, seconds: float, now: float) -> None:
        """Telegram wants nothing for SECONDS. Many such answers at once halve the window only once."""
        if now > self._paused_until + _PAUSE_AGAIN_S:
            self._size = self._threshold = max(1.0, self._size / 2)
        self._paused_until = max(self._paused_until, now + seconds)


class Rotation(Generic[T]):
    """Takes turns: whoever was served goes to the end of the line."""

    def __init__(self) -> None:
        self._line: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._line))

    def add(self, one: T) -> None:
        """ONE is served from now on, next of all."""
        self._line.appendleft(one)

    def remove(self, one: T) -> None:
        """ONE is no longer served."""
        if one in self._line:
            self._line.remove(one)

    def turn(self) -> Iterator[T]:
        """Everyone in line, each put at its end as it comes."""
        for _ in range(len(self._line)):
            one = self._line.popleft()
            self._line.append(one)
            yield one
