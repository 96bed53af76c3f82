"""A campaign of kills: runs uploads undisturbed, then again while processes are killed, and compares.

The uploads come in waves, so that there is work at every kill. Within a wave the driver is started again whenever it
died, until it ends by itself; what it does then must not depend on any of that.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from tests.crash import jobs, record
from tests.crash.bench import Bench, python_environment
from tests.crash.census import Census, Process, Sighting
from tests.crash.verdict import Verdict

_STANDSTILL_S: Final = 120.0  # without a job's end or a death
_WAVE: Final = 20  # kills
_PATIENCE_S: Final = 1.0  # for a process of the kind that is to be killed
_PAUSES_S: Final = (0.0, 0.02, 0.1, 0.3)  # at most one of these passes before a kill
_WEIGHTS: Final = {
    "supervisor": 5,
    "intake": 2,
    "extract": 4,
    "convert": 5,
    "store": 4,
    "starting": 3,
    "tool-extract": 4,
    "tool-convert": 4,
    "tracker": 1,
}


class Fault(Exception):
    """The campaign can't go on."""


@dataclass(kw_only=True)
class Figures:
    """What a campaign found."""

    jobs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    gave_up: int = 0  # times the supervisor ended by itself because a stage kept dying, and was started again
    seconds: float = 0.0
    poison: int = 0
    sighting: Sighting = field(default_factory=lambda: Sighting(by_title={}, by_lock={}, evidence=[]))
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong."""
        return self.verdict.faults + self.sighting.evidence

    def line(self) -> str:
        """The figures, on one line."""
        kills = ", ".join(f"{count} {kind}" for kind, count in self.kills.most_common())
        extract, convert = (
            max(self.sighting.by_title.get(stage, 0), self.sighting.by_lock.get(stage, 0))
            for stage in ("extract", "convert")
        )
        return (
            f"{self.jobs} jobs, {sum(self.kills.values())} kills ({kills}) in {self.seconds:.0f} s: "
            f"{len(self.verdict.lost)} lost, {len(self.verdict.doubled)} doubled, "
            f"{len(self.verdict.differing)} differing, at most {extract} extract and {convert} convert alive "
            f"({self.sighting.looks} looks), quarantined {self.verdict.poison} of {self.poison} poison and "
            f"{len(self.verdict.innocents)} innocents, {len(self.verdict.other)} other faults"
        )


class Campaign:
    """KILLS over COUNT jobs made from SEED, in FOLDER, which is made."""

    def __init__(self, folder: Path, *, kills: int, count: int, seed: int) -> None:
        self._kills = kills
        self._chance = random.Random(seed)
        self.uploads = list(jobs.make(count, seed))
        self._bench = Bench(folder, self.uploads)
        self._folder = folder
        self._census = Census(folder)
        self._other: list[str] = []
        self.figures = Figures(jobs=count, poison=sum(len(upload.poison) for upload in self.uploads))

    def run(self) -> Figures:
        """Both runs and the comparison."""
        self._run_undisturbed()
        begun = time.monotonic()
        with self._watched("disturbed"), contextlib.ExitStack() as stack:
            stack.callback(self._end_all)
            self._disturb()
        self.figures.seconds = time.monotonic() - begun
        self._judge()
        return self.figures

    def _run_undisturbed(self) -> None:
        driver = self._bench.start("undisturbed")
        try:
            words = driver.communicate(timeout=_STANDSTILL_S + 2 * len(self.uploads))[1]
        except subprocess.TimeoutExpired as error:
            driver.kill()
            raise Fault("the undisturbed run doesn't come to an end") from error
        if driver.returncode:
            raise Fault(f"the undisturbed run ended with {driver.returncode}: {words.decode(errors='replace')[-1500:]}")

    # The disturbed run

    def _disturb(self) -> None:
        waves = max(1, self._kills // _WAVE)
        for number in range(waves):
            upto = len(self.uploads) * (number + 1) // waves
            self._wave(self.uploads[:upto], self._kills * (number + 1) // waves)

    def _wave(self, uploads: Sequence[jobs.Upload], upto_kills: int) -> None:
        """Runs UPLOADS to their end, killing until UPTO_KILLS kills have been made in all."""
        alive_since = time.monotonic()
        while True:
            driver = self._bench.start("disturbed", uploads=tuple(upload.name for upload in uploads))
            while driver.poll() is None:
                if time.monotonic() - alive_since > _STANDSTILL_S:
                    driver.kill()
                    raise Fault(f"nothing happened for {_STANDSTILL_S:.0f} s")
                if self._done_kills < upto_kills:
                    self._kill_some(driver, upto_kills - self._done_kills)
                    alive_since = time.monotonic()
                else:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        driver.wait(1.0)
            words = driver.communicate()[1].decode(errors="replace")
            if driver.returncode == 0:
                return
            self._note_end(driver.returncode, words)

    @property
    def _done_kills(self) -> int:
        return sum(self.figures.kills.values())

    def _note_end(self, code: int, words: str) -> None:
        if "StageUnstable" in words:
            self.figures.gave_up += 1
        elif code != -signal.SIGKILL:
            self._other.append(f"the supervisor ended with {code}: {words[-1500:]}")
            if len(self._other) > 20:
                raise Fault("the supervisor ended by itself too often")

    def _kill_some(self, driver: subprocess.Popen[bytes], most: int) -> None:
        """Kills one process at a random moment of its life, or one kind several times in a row, or all that are there."""
        kind = self._chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        way = self._chance.random()
        if not self._wait_for(kind, driver):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            driver.wait(self._chance.uniform(0, self._chance.choice(_PAUSES_S)))
        if way < 0.85:
            self._kill(self._alive(kind)[:1])
        elif way < 0.95:
            for _ in range(min(most, self._chance.randint(2, 6))):
                self._wait_for(kind, driver)
                self._kill(self._alive(kind)[:1])
        else:
            alive = self._census.look()
            self._kill(self._chance.sample(alive, len(alive))[:most])

    def _alive(self, kind: str) -> list[Process]:
        return [process for process in self._census.look() if process.kind == kind]

    def _wait_for(self, kind: str, driver: subprocess.Popen[bytes]) -> bool:
        """Whether a process of KIND is there, after a while. A birth is nothing that can be awaited from outside."""
        until = time.monotonic() + _PATIENCE_S
        while not (found := self._alive(kind)) and driver.poll() is None and time.monotonic() < until:
            time.sleep(0.004)
        return bool(found)

    def _kill(self, victims: Sequence[Process]) -> None:
        for process in victims:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.figures.kills[process.kind or "other"] += 1

    # Processes

    @contextlib.contextmanager
    def _watched(self, name: str) -> Iterator[None]:
        locks = self._bench.library(name) / ".stampmill" / "locks"
        argv = [sys.executable, "-m", "tests.crash.census", str(self._folder), str(locks)]
        env = python_environment()
        with subprocess.Popen(argv, cwd="/", env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
            try:
                yield
            finally:
                self.figures.sighting = msgspec.json.decode(watcher.communicate()[0], type=Sighting)

    def _end_all(self) -> None:
        for process in self._census.look():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    # Judging

    def _judge(self) -> None:
        good = record.read(self._bench.library("undisturbed"))
        self.figures.verdict = self._bench.judge("disturbed", good)
        self.figures.verdict.other.extend(self._other)
        self.figures.verdict.other.extend(f"the undisturbed run: {line}" for line in good.problems)
