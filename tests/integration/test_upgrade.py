"""A state directory that an earlier release left goes on under this one: nothing is lost, and nothing is done again."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import msgspec
import pytest

from pipeline.cli import STAGES
from pipeline.config import Config
from pipeline.machine.process import config_for, process
from pipeline.model import JobState, Options
from pipeline.processes import process_tools

LEDGERS = sorted((Path(__file__).parent / "ledgers").glob("*.sql"))
FILES = {"done.csv": b"a,b\n1,2\n", "bad.zip": b"PK\3\4", "secret.csv": b"e,f\n5,6\n", "begun.csv": b"c,d\n3,4\n"}


@pytest.fixture(params=LEDGERS, ids=[path.stem for path in LEDGERS])
def left(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Config, Path]:
    """The configuration of a library whose ledger an earlier release wrote, and the folder of its uploads."""
    uploads, library = tmp_path / "in", tmp_path / "library"
    for folder in (uploads, library / ".stampmill", *(library / "2026-11" / job for job in ("1-done", "3-secret"))):
        folder.mkdir(parents=True)
    config = config_for(library)
    with contextlib.closing(sqlite3.connect(config.paths.ledger)) as db:
        db.executescript(request.param.read_text().replace("@IN@", str(uploads)))
        db.execute("UPDATE meta SET value = ? WHERE key = 'boot_id'", (process_tools.boot_id(),))
        for name, content in FILES.items():
            (uploads / name).write_bytes(content)
            status = (uploads / name).stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_dev, name)
            db.execute("UPDATE job SET mtime_ns = ?, inode = ?, device = ? WHERE name = ?", seen)
        db.commit()
    return config, uploads


def test_what_it_had_begun_is_finished_and_what_it_had_done_stays(left: tuple[Config, Path]) -> None:
    config, uploads = left
    paths = [uploads / name for name in ("done.csv", "bad.zip", "begun.csv")]
    jobs = process(paths, config, STAGES, Options()).summary.jobs
    assert [(job.name, job.state) for job in jobs] == [
        ("done.csv", JobState.DONE),
        ("bad.zip", JobState.FAILED),
        ("begun.csv", JobState.DONE),
    ]
    assert (jobs[0].job, jobs[2].job) == (1, 4)
    assert [table.rows for table in jobs[2].tables] == [1]


def test_equal_bytes_are_known_by_their_options(left: tuple[Config, Path]) -> None:
    config, uploads = left
    plain, text = Options(), msgspec.structs.replace(Options(), types="text")
    assert process([uploads / "secret.csv"], config, STAGES, text).summary.jobs[0].job == 3
    assert process([uploads / "secret.csv"], config, STAGES, plain).summary.jobs[0].job not in (1, 2, 3, 4)
