"""What a worker was doing outlives it, whoever kills it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.processes.blackbox import BlackBox, Entry

WRITER = """
import sys
from pathlib import Path
from pipeline.processes.blackbox import BlackBox
box = BlackBox(Path(sys.argv[1]))
box.begin(12, 3, 1234.5)
box.progress(7, 4096)
print("there", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "extract.box"


def test_a_new_one_says_that_nothing_ran(path: Path) -> None:
    assert BlackBox(path).read().batch == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_says_what_was_written_last(path: Path) -> None:
    box = BlackBox(path)
    box.begin(5, 2, 99.25)
    assert box.read() == Entry(os.getpid(), 5, 2, member=-1, done_bytes=0, started_at=99.25)
    box.progress(3, 10**15)
    assert box.read() == Entry(os.getpid(), 5, 2, member=3, done_bytes=10**15, started_at=99.25)
    box.begin(6, 1, 100.0)
    assert box.read() == Entry(os.getpid(), 6, 1, member=-1, done_bytes=0, started_at=100.0)
    box.end()
    assert box.read()[1:] == (0, 0, -1, 0, 0.0)


def test_one_cut_short_is_read_as_far_as_it_goes(path: Path) -> None:
    path.write_bytes(b"\x01")
    assert BlackBox(path).read() == Entry(1, 0, 0, 0, 0, 0.0)


def test_it_outlives_its_writer(path: Path) -> None:
    reader = BlackBox(path)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    assert reader.read() == Entry(writer.pid, 12, 3, member=7, done_bytes=4096, started_at=1234.5)
    assert BlackBox(path).read() == reader.read(), "and a supervisor that starts later reads the same"
