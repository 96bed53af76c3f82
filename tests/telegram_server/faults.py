"""What may go wrong, on demand: a list of rules that each request is held against."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from telethon.tl import functions


class Act(enum.Enum):
    """What becomes of a request that a fault strikes."""

    ERROR = "error"  # it is answered by the fault's `code` and `text`
    SILENCE = "silence"  # it is acknowledged, and never carried out or answered
    CARRIED_OUT = "carried out"  # it is carried out, and its answer never comes
    DROP = "drop"  # the connection ends before it is carried out
    CARRIED_OUT_DROP = "carried out drop"  # the connection ends after it was carried out, in place of the answer
    WRONG_BYTES = "wrong bytes"  # a file's part comes with one bit turned
    SHORT_BYTES = "short bytes"  # a file's part comes a KiB too short
    LATE = "late"  # it is answered `seconds` late
    CDN = "cdn"  # a file's part is redirected to a CDN
    TRANSPORT = "transport"  # the connection says `code` (429, 404) in place of an answer


@dataclass
class Fault:
    """A rule: requests of METHOD (such as `upload.getFile`, or `*`) for which WHEN is true meet ACT, TIMES times."""

    method: str
    act: Act
    times: int = 1
    code: int = 400
    text: str = ""
    seconds: float = 0.0
    when: Callable[[Any], bool] = lambda request: True
    skip: int = 0  # so many requests pass first
    struck: int = 0

    @classmethod
    def flood(cls, method: str, seconds: int, *, times: int = 1, premium: bool = False, skip: int = 0) -> Fault:
        """FLOOD_WAIT_x, or FLOOD_PREMIUM_WAIT_x."""
        text = f"FLOOD_PREMIUM_WAIT_{seconds}" if premium else f"FLOOD_WAIT_{seconds}"
        return cls(method=method, act=Act.ERROR, times=times, code=420, text=text, skip=skip)

    def strikes(self, name: str, request: Any) -> bool:
        """Whether this request, called NAME, is struck; it is counted then."""
        if self.struck >= self.times or self.method not in ("*", name) or not self.when(request):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.struck += 1
        return True


@dataclass
class Faults:
    """All that goes wrong now. Times are seconds, rates bytes a second for each connection."""

    rules: list[Fault] = field(default_factory=list)
    rtt_s: float = 0.0
    bytes_per_s: float = 0.0
    difference_limit: int = 100  # more events than that come in slices
    too_long_after: int = 0  # more events than that are too many (0: never)
    in_flight: int = 0  # more file requests of one user at once in a DC are flooded (0: any number)
    in_flight_wait_s: int = 1
    gzip: bool = True
    offers_hashes: bool = True  # getFileHashes gives any

    def strike(self, name: str, request: Any, *, alone: bool = False) -> Fault | None:
        """The rule that strikes this request, if any; with ALONE only one that names it."""
        rules = (rule for rule in self.rules if not alone or rule.method == name)
        return next((rule for rule in rules if rule.strikes(name, request)), None)


def method_name(request: Any) -> str:
    """How the API calls REQUEST's method, such as `messages.sendMessage`."""
    kind = type(request)
    room = kind.__module__.rsplit(".", 1)[-1]
    name = kind.__name__.removesuffix("Request")
    name = name[0].lower() + name[1:]
    return name if room == functions.__name__.rsplit(".", 1)[-1] else f"{room}.{name}"
