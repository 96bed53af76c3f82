"""A split archive is one job with all its parts, however they are named on the command line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.contract import process

PEOPLE = b"id,name,noise\n" + b"".join(b"%d,somebody,%s\n" % (n, os.urandom(20).hex().encode()) for n in range(8000))


def split(folder: Path, *argv: str) -> list[Path]:
    folder.mkdir()
    (folder / "people.csv").write_bytes(PEOPLE)
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    (folder / "people.csv").unlink()
    parts = sorted(folder.iterdir())
    assert len(parts) > 2
    return parts


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        pytest.param(("rar", "a", "-v60k", "p.rar", "people.csv"), "p.rar", marks=pytest.mark.needs("rar", "unrar")),
        pytest.param(("7zz", "a", "-v60k", "p.7z", "people.csv"), "p.7z", marks=pytest.mark.needs("7zz")),
        pytest.param(("7zz", "a", "-tzip", "-v60k", "p.zip", "people.csv"), "p.zip", marks=pytest.mark.needs("7zz")),
        pytest.param(("zip", "-s", "64k", "p.zip", "people.csv"), "p.zip", marks=pytest.mark.needs("zip", "7zz")),
    ],
)
def test_parts_are_one_job_and_a_missing_one_is_named(tmp_path: Path, argv: tuple[str, ...], name: str) -> None:
    parts = split(tmp_path / "in", *argv)
    job = process(tmp_path / "in", into=tmp_path / "library").job(name)
    assert (job.state, job.members.converted, job.tables[0].rows) == ("done", 1, 8000)
    again = process(*reversed(parts), into=tmp_path / "library").job(name)
    assert again.job == job.job
    gone = parts[1]
    gone.unlink()
    job = process(tmp_path / "in", into=tmp_path / "other", check=3).job(name)
    assert job.state == "failed"
    assert job.reason is not None
    assert job.reason.code == "missing_volume"
    assert gone.name in job.reason.text
