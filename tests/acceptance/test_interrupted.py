"""`kill -9` in the middle of a run, then the same command again: nothing lost, nothing doubled, the results equal."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.contract import STAMPMILL, Report, process, stampmill

FILES = 24
ROWS = 4000


@pytest.fixture(scope="module")
def drops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drops")
    for number in range(FILES):
        rows = "".join(f"{number * ROWS + row},name {row},{row % 100}.5\n" for row in range(ROWS))
        (folder / f"{number:02}.csv.gz").write_bytes(gzip.compress(f"id,name,price\n{rows}".encode()))
    return folder


@pytest.fixture(scope="module")
def undisturbed(drops: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    library = tmp_path_factory.mktemp("undisturbed")
    process(drops, into=library)
    return published(library)


def published(library: Path) -> dict[str, Any]:
    """What a library holds by upload: its manifest's tables and members, and the bytes of every part."""
    found: dict[str, Any] = {}
    for path in library.glob("????-??/*/manifest.json"):
        manifest = json.loads(path.read_text("utf-8"))
        parts = {str(part.relative_to(path.parent)): part.read_bytes() for part in path.parent.rglob("*.parquet")}
        assert manifest["upload"]["name"] not in found, "published twice"
        found[manifest["upload"]["name"]] = (manifest["tables"], manifest["members"], parts)
    return found


class Started:
    """A run in the background, until at least SOME of its jobs are published."""

    def __init__(self, drops: Path, library: Path, some: int) -> None:
        self.library = library
        argv = [STAMPMILL, "process", drops, "--into", library, "--json"]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        while len(list(library.glob("????-??/*/manifest.json"))) < some:
            assert self.process.poll() is None, "it ended before it could be disturbed"

    def worker(self, title: str) -> psutil.Process:
        """The one process of a stage."""
        (found,) = [
            child for child in psutil.Process(self.process.pid).children() if title in " ".join(child.cmdline())
        ]
        return found


def ended(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive, "a child outlived its parent"


@pytest.mark.parametrize("some", [1, FILES // 2])
def test_the_whole_run_is_killed_and_started_again(
    drops: Path, undisturbed: dict[str, Any], tmp_path: Path, some: int
) -> None:
    run = Started(drops, tmp_path, some)
    children = psutil.Process(run.process.pid).children(recursive=True)
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.communicate()
    ended(children)
    report = process(drops, into=tmp_path)
    assert [job.state for job in report.jobs] == ["done"] * FILES
    assert published(tmp_path) == undisturbed


@pytest.mark.parametrize("stage", ["intake", "extract", "convert", "store"])
def test_a_worker_is_killed_and_the_run_goes_on(
    drops: Path, undisturbed: dict[str, Any], tmp_path: Path, stage: str
) -> None:
    run = Started(drops, tmp_path, 1)
    run.worker(stage).kill()
    stdout, stderr = run.process.communicate()
    assert run.process.returncode == 0, stderr.decode()
    assert len(json.loads(stdout)["jobs"]) == FILES
    assert published(tmp_path) == undisturbed


def test_the_library_answers_while_a_run_goes_on(drops: Path, tmp_path: Path) -> None:
    run = Started(drops, tmp_path, 1)
    run.process.send_signal(signal.SIGSTOP)  # so that it's still there when the answer comes
    answer = stampmill(
        "query", "SELECT count(*) AS tables FROM information_schema.tables", "--into", tmp_path, "--json"
    )
    assert run.process.poll() is None
    run.process.send_signal(signal.SIGCONT)
    run.process.communicate()
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)[0]["tables"] >= 1


def test_ctrl_c_says_how_to_go_on(drops: Path, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    run = Started(drops, tmp_path, 1)
    run.process.send_signal(signal.SIGINT)
    _, stderr = run.process.communicate()
    assert run.process.returncode == 130
    assert "goes on where this one was" in " ".join(stderr.decode().split())
    report: Report = process(drops, into=tmp_path)
    assert [job.state for job in report.jobs] == ["done"] * FILES
    assert published(tmp_path) == undisturbed
