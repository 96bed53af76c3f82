"""Who holds what and who outlives whom: workers, a tool, and what the tool has started, at deaths of each."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pytest

from tests.crash import trouble
from tests.crash.bench import Bench
from tests.crash.census import STAGES, Census, Process, Watcher, holds
from tests.crash.jobs import Upload, make_zip, rows
from tests.crash.killer import Killer

pytestmark = pytest.mark.slow

T = TypeVar("T")
_PATIENCE_S: Final = 60.0  # far beyond what anything takes: a test that waits this long has failed


class Scene:
    """A driver at work on one upload, the second member of which has convert run a tool that takes ten minutes."""

    def __init__(self, folder: Path) -> None:
        members = [("a.csv", rows(1, 3, random.Random(1))), ("tool-convert-1.csv", rows(2, 3, random.Random(2)))]
        self.bench = Bench(folder / "bench", [Upload(name="a.zip", data=make_zip(members))])
        self.census = Census(self.bench.folder)
        self.locks = self.bench.library("run") / ".stampmill" / "locks"
        self.driver = self.bench.start("run", environment={trouble.TOOL_SECONDS: "600"})

    def worker(self, stage: str) -> Process:
        """STAGE's worker, as soon as it's there."""
        return awaited(lambda: next((one for one in self.census.look() if one.kind == stage), None))

    def tools_child(self) -> Process:
        """What the tool has started: it has no parent-death signal of its own."""

        def found() -> Process | None:
            tools = {one.pid: one for one in self.census.look() if one.kind == "tool-convert"}
            return next((one for one in tools.values() if one.parent in tools), None)

        return awaited(found)

    def is_alive(self, process: Process) -> bool:
        """Whether PROCESS is, whoever its parent is by now."""
        now = self.census.identify(process.pid)
        return now is not None and now.born == process.born


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    while scene.census.look():  # one that is killed while another is being born may miss it
        Killer(scene.bench.folder, random.Random(0), lambda _: None).end_all()
    scene.driver.communicate()


def awaited(what: Callable[[], T | None]) -> T:
    """What WHAT finds, asked until it does: births and deaths of others' children can't be awaited otherwise."""
    until = time.monotonic() + _PATIENCE_S
    while (found := what()) is None:
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.002)
    return found


def test_a_tool_and_what_it_starts_hold_the_stages_lock(scene: Scene) -> None:
    child = scene.tools_child()
    lock = str((scene.locks / "convert.lock").resolve())
    assert holds(child.pid, lock)
    assert holds(child.parent, lock)
    assert holds(scene.worker("convert").pid, lock)
    assert not holds(scene.driver.pid, lock)


@pytest.mark.parametrize("stage", STAGES)
def test_a_frozen_worker_dies_with_its_supervisor(scene: Scene, stage: str) -> None:
    worker = scene.worker(stage)
    os.kill(worker.pid, signal.SIGSTOP)
    scene.driver.kill()
    awaited(lambda: None if scene.is_alive(worker) else True)


def test_what_a_tool_left_is_ended_before_the_stage_goes_on(scene: Scene) -> None:
    """The worker is killed: its tool dies with it, the tool's child doesn't, and is no second program beside the next."""
    child = scene.tools_child()
    watcher = Watcher(scene.bench.folder, scene.locks)
    os.kill(scene.worker("convert").pid, signal.SIGKILL)

    def next_child() -> Process | None:
        watcher.look()
        tools = {one.pid: one for one in scene.census.look() if one.kind == "tool-convert"}
        return next((one for one in tools.values() if one.parent in tools and one.born != child.born), None)

    awaited(next_child)
    assert not scene.is_alive(child)
    assert watcher.sighting.by_title["convert"] == 1, watcher.sighting.evidence


def test_what_a_tool_left_is_ended_by_the_next_start(scene: Scene) -> None:
    """All but the tool's child are killed: whoever starts then ends it first."""
    child = scene.tools_child()
    worker = scene.worker("convert")
    scene.driver.kill()
    awaited(lambda: None if scene.is_alive(worker) else True)
    assert scene.is_alive(child)
    watcher = Watcher(scene.bench.folder, scene.locks)
    scene.driver.communicate()
    scene.driver = scene.bench.start("run")
    while scene.driver.poll() is None:
        watcher.look()
    assert scene.driver.returncode == 0
    assert not scene.is_alive(child)
    assert watcher.sighting.by_title["convert"] == 1, watcher.sighting.evidence
