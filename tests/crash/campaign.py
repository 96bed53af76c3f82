"""A campaign of kills: runs uploads while processes are killed, then the same ones undisturbed, and compares.

The uploads come in waves, so that there is work at every kill, and kills wait for work to get on, so that they strike in
the midst of it and not only at starts. Within a wave the driver is started again whenever it
died, until it ends by itself. Where the uploads end before the kills do, there are more of them.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from tests.crash import jobs, record
from tests.crash.bench import Bench, python_environment
from tests.crash.census import Sighting
from tests.crash.killer import Killer
from tests.crash.verdict import Verdict, acknowledgements

_STANDSTILL_S: Final = 120.0  # for the end of a wave, after the last kill
_WAVE: Final = 50  # kills
_HEAD_START: Final = 8  # kills that may come in a row without a job's end between them
_LOOK_S: Final = 0.05


class Fault(Exception):
    """The campaign can't go on."""


@dataclass(kw_only=True)
class Figures:
    """What a campaign found."""

    jobs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    gave_up: int = 0  # times the supervisor ended by itself because idle workers kept dying, and was started again
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
            f"{len(self.verdict.innocents)} innocents, {len(self.verdict.other)} other faults; "
            f"the supervisor gave up {self.gave_up} times"
        )


class Campaign:
    """KILLS over at least COUNT jobs made from SEED, in FOLDER, which is made."""

    def __init__(self, folder: Path, *, kills: int, count: int, seed: int) -> None:
        self._folder = folder
        self._bench = Bench(folder, [])
        self._killer = Killer(folder, random.Random(seed), self._write_down)
        self._stock = jobs.make(sys.maxsize, seed)
        self._kills = kills
        self._waves = max(1, kills // _WAVE)
        self._per_wave = -(-count // self._waves)
        self._other: list[str] = []
        self.figures = Figures(kills=self._killer.kills)

    def run(self) -> Figures:
        """Both runs and the comparison."""
        begun = time.monotonic()
        with self._watched("disturbed"), contextlib.ExitStack() as stack:
            stack.callback(self._killer.end_all)
            for number in itertools.count(1):
                self._wave(min(self._kills, self._kills * number // self._waves))
                if number >= self._waves and self._killed >= self._kills:
                    break
        self.figures.seconds = time.monotonic() - begun
        self._run_undisturbed()
        self._judge()
        return self.figures

    @property
    def _killed(self) -> int:
        return self._killer.kills.total()

    def _wave(self, upto_kills: int) -> None:
        """Runs a wave of uploads to its end, killing until UPTO_KILLS kills have been made in all."""
        self._bench.add(list(itertools.islice(self._stock, self._per_wave)))
        while True:
            driver = self._bench.start("disturbed")
            self._write_down(f"started supervisor {driver.pid}")
            while self._killed < upto_kills and driver.poll() is None:
                if self._is_ahead():
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        driver.wait(_LOOK_S)
                else:
                    self._killer.strike(driver, upto_kills - self._killed)
            try:
                words = driver.communicate(timeout=_STANDSTILL_S)[1].decode(errors="replace")
            except subprocess.TimeoutExpired as error:
                raise Fault(f"nothing has ended {_STANDSTILL_S:.0f} s after the last kill") from error
            self._write_down(f"supervisor ended with {driver.returncode} {words[-200:]!r}")
            if driver.returncode == 0:
                return
            self._note_end(driver.returncode, words)

    def _is_ahead(self) -> bool:
        """Whether the kills are so far before the jobs that ended that work should be let get somewhere first."""
        ended = acknowledgements(self._bench.acknowledged("disturbed")).total()
        return self._killed > _HEAD_START + ended * self._kills / (self._per_wave * self._waves)

    def _note_end(self, code: int, words: str) -> None:
        """A supervisor that gave up is started again, as systemd would; one that fails otherwise is a fault."""
        if "StageUnstable" in words:
            self.figures.gave_up += 1
        elif code != -signal.SIGKILL:
            self._other.append(f"the supervisor ended with {code}: {words[-1500:]}")
            if len(self._other) > 20:
                raise Fault(f"the supervisor ended by itself too often; the last time: {words[-1500:]}")

    def _run_undisturbed(self) -> None:
        driver = self._bench.start("undisturbed")
        try:
            words = driver.communicate(timeout=_STANDSTILL_S + 2 * len(self._bench.uploads))[1]
        except subprocess.TimeoutExpired as error:
            driver.kill()
            raise Fault("the undisturbed run doesn't come to an end") from error
        if driver.returncode:
            raise Fault(f"the undisturbed run ended with {driver.returncode}: {words.decode(errors='replace')[-1500:]}")

    def _judge(self) -> None:
        self.figures.jobs = len(self._bench.uploads)
        self.figures.poison = sum(len(upload.poison) for upload in self._bench.uploads)
        good = record.read(self._bench.library("undisturbed"))
        self.figures.verdict = self._bench.judge("disturbed", good)
        self.figures.verdict.other.extend(self._other)
        self.figures.verdict.other.extend(f"the undisturbed run: {line}" for line in good.problems)

    def _write_down(self, what: str) -> None:
        """Adds WHAT to the campaign's diary, for whoever looks into a fault."""
        with (self._folder / "diary").open("a") as diary:
            diary.write(f"{time.time():.3f} {what}\n")

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
