"""The scripts on machines that lack something: each says the one line that mends it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("bash", "dirname", "env", "cat", "cksum", "rm", "id")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder of commands like /usr/bin on a machine with neither uv nor Python."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in COMMANDS:
        (commands / name).symlink_to(Path("/usr/bin") / name)
    scripts = tmp_path / "clone" / "scripts"
    scripts.mkdir(parents=True)
    for name in ("_env.sh", "quickstart"):
        target = scripts / name
        target.write_bytes((ROOT / "scripts" / name).read_bytes())
        target.chmod(0o755)
    (tmp_path / "clone" / "pyproject.toml").write_text("")
    return tmp_path


def python_that(answers: str, folder: Path) -> None:
    fake = folder / "python3"
    fake.write_text(f'#!/usr/bin/bash\ncase "$2" in\n{answers}\nesac\n')
    fake.chmod(0o755)


def quickstart(bare: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [bare / "clone" / "scripts" / "quickstart"],
        env={"PATH": str(bare / "bin")},
        capture_output=True,
        text=True,
    )


def test_without_a_python_it_names_the_packages(bare: Path) -> None:
    run = quickstart(bare)
    assert run.returncode == 1
    assert "sudo apt-get install python3 python3-venv" in run.stderr


def test_an_old_python_is_no_python(bare: Path) -> None:
    python_that("*version_info*) exit 1;;", bare / "bin")
    run = quickstart(bare)
    assert run.returncode == 1
    assert "Python 3.11 or newer" in run.stderr


def test_where_python3_venv_lacks_it_says_the_line_that_mends_it(bare: Path) -> None:
    python_that("*ensurepip*) exit 1;;", bare / "bin")
    run = quickstart(bare)
    assert run.returncode == 1
    assert run.stderr.rstrip().endswith("sudo apt-get install python3-venv")
