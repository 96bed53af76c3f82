"""Stuck, frozen and hungry workers are replaced; a failing disk stops everything; a ledger in use is said."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from pipeline.cli import STAGES
from pipeline.config import MIB, Config, Worker
from pipeline.errors import DiskFailing, LedgerLocked, StateUnwritable
from pipeline.machine import ledger
from pipeline.machine.process import Result, config_for, process
from pipeline.model import Code, JobState, Options, StageName

MODULES = {**STAGES, StageName.CONVERT: "tests.integration.odd_stage"}


def run(tmp_path: Path, worker: Worker, *words: str) -> Result:
    drops = tmp_path / "drops"
    drops.mkdir()
    for number, word in enumerate(words):
        (drops / f"{number}.txt").write_text(f"{word} {number}")
    return process([drops], configured(tmp_path, worker), MODULES, Options())


def configured(tmp_path: Path, worker: Worker) -> Config:
    return msgspec.structs.replace(config_for(tmp_path / "out"), worker=worker)


def story(tmp_path: Path, kind: str) -> list[str]:
    """The details of all events of KIND, in order."""
    with closing(sqlite3.connect(tmp_path / "out" / ".stampmill" / "ledger.sqlite")) as db:
        return [row[0] for row in db.execute("SELECT detail FROM event WHERE what = ? ORDER BY id", (kind,))]


@pytest.mark.parametrize(
    ("word", "worker", "why"),
    [
        ("hang", Worker(no_progress_s=1.0), "worker.no_progress_s"),
        ("hang", Worker(wall_s=1.0), "worker.wall_s"),
        ("freeze", Worker(no_progress_s=2.0), "no_progress_s"),
        ("eat", Worker(memory_bytes=200 * MIB), "worker.memory_bytes"),
    ],
)
def test_worker_over_a_limit_is_replaced_and_the_file_singled_out(
    tmp_path: Path, word: str, worker: Worker, why: str
) -> None:
    first, second = run(tmp_path, worker, word, "fine").summary.jobs
    assert second.state is JobState.DONE
    assert second.members.kept == 1
    assert first.reason is not None
    assert (first.state, first.reason.code, first.members.rejected) == (JobState.FAILED, Code.CRASHED, 1)
    deaths = story(tmp_path, "died")
    assert len(deaths) == 3
    assert all(why in death for death in deaths)
    assert len(story(tmp_path, "crashed")) == 1


def test_a_bug_ends_its_job_with_the_traceback_in_the_log(tmp_path: Path) -> None:
    first, second = run(tmp_path, Worker(), "bug", "fine").summary.jobs
    assert first.reason is not None
    assert first.reason.code is Code.INTERNAL
    assert second.state is JobState.DONE
    assert "a bug, made for the test" in (tmp_path / "out/.stampmill/log/convert.log").read_text()


def test_an_io_error_stops_everything_and_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(DiskFailing, match="Input/output error"):
        run(tmp_path, Worker(), "eio", "fine")
    (tmp_path / "drops" / "0.txt").write_text("mended")
    result = process([tmp_path / "drops"], configured(tmp_path, Worker()), MODULES, Options())
    assert {job.name: job.state for job in result.summary.jobs if job.state is not JobState.FAILED} == {
        "drops/0.txt": JobState.DONE,
        "drops/1.txt": JobState.DONE,
    }


def test_a_ledger_in_use_by_another_program_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "BUSY_TIMEOUT_S", 0.1)
    run(tmp_path, Worker(), "fine")
    with closing(sqlite3.connect(tmp_path / "out/.stampmill/ledger.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerLocked, match="locked by another program"):
            process([tmp_path / "drops"], configured(tmp_path, Worker()), MODULES, Options())


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_read_only_file_system_is_said(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path / "out")], check=True)
    try:
        with pytest.raises(StateUnwritable, match="Read-only file system"):
            run(tmp_path, Worker(), "fine")
    finally:
        subprocess.run(["umount", str(tmp_path / "out")], check=True)
