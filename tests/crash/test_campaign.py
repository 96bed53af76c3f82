"""Random kills, in short: scripts/chaos is the long form. And the eyes of the campaign see what they should."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.campaign import Campaign
from tests.crash.census import Process, Watcher, programs

_SLEEPER = "import setproctitle, sys; setproctitle.setproctitle(sys.argv[1]); print(flush=True); sys.stdin.read()"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_random_kills_change_nothing(tmp_path: Path) -> None:
    figures = Campaign(tmp_path / "campaign", kills=60, count=100, seed=11).run()
    assert figures.faults == [], figures.line()
    assert sum(figures.kills.values()) >= 60
    assert figures.verdict.poison == figures.poison > 0
    assert figures.sighting.looks > 100
    assert max(figures.sighting.by_title.values()) == max(figures.sighting.by_lock.values()) == 1


@pytest.fixture
def sleepers(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes of a campaign in tmp_path that are called as an extract worker is."""
    started = []
    for _ in range(2):
        argv = [sys.executable, "-c", _SLEEPER, "stampmill: extract"]
        process = subprocess.Popen(argv, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        started.append(process)
    yield started
    for process in started:
        process.communicate()


def test_two_of_a_kind_are_seen(tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]) -> None:
    watcher = Watcher(tmp_path, tmp_path)
    watcher.look()
    assert watcher.sighting.by_title["extract"] == 2
    assert watcher.sighting.evidence


def test_zombies_and_strangers_do_not_count(tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]) -> None:
    sleepers[0].kill()
    os.waitid(os.P_PID, sleepers[0].pid, os.WEXITED | os.WNOWAIT)  # dead, not reaped
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder, count in ((tmp_path, 1), (elsewhere, 0)):
        watcher = Watcher(folder, folder)
        watcher.look()
        assert watcher.sighting.by_title["extract"] == count


def test_a_worker_and_its_tools_are_one_program_and_an_orphaned_tool_another() -> None:
    worker = Process(10, 1, 0, "convert")
    tool = Process(11, 10, 0, "tool-convert")
    below = Process(12, 11, 0, "tool-convert")
    orphan = Process(13, 1, 0, "tool-convert")
    assert programs([worker, tool, below], "convert") == [worker]
    assert programs([worker, tool, below, orphan], "convert") == [worker, orphan]
    assert programs([worker, tool], "extract") == []
