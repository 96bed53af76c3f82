"""External programs in a stage: what they may do wrong, and that there's never a second copy, whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from pipeline.cli import STAGES
from pipeline.config import Command, Config, Convert, Extract
from pipeline.machine.process import Result, config_for, process
from pipeline.model import Code, JobState, Options, StageName
from tests.integration.lonely_program import is_alive

HERE = Path(__file__).parent
PROGRAM = HERE / "lonely_program.py"
MODULES = {
    **STAGES,
    StageName.EXTRACT: "stages.external.extract",
    StageName.CONVERT: "tests.integration.odd_stage",  # keeps what it gets, and starts fast
}


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    folder = tmp_path / "diary"
    folder.mkdir()
    return folder


def external(into: Path, diary: Path, **settings: object) -> Config:
    """A configuration whose extract is the lonely program."""
    argv = (sys.executable, str(PROGRAM), str(diary), "{input}", "{output}")
    command = msgspec.convert({"argv": argv, **settings}, Command)
    return msgspec.structs.replace(config_for(into), extract=Extract(command=command))


def run(tmp_path: Path, config: Config, *words: str) -> Result:
    drops = tmp_path / "drops"
    drops.mkdir(exist_ok=True)
    for number, word in enumerate(words):
        path = drops / f"{number:03}.txt"
        if not path.exists():  # a second run finds what the first one found
            path.write_text(f"{word} {number}\n")
    return process([drops], config, MODULES, Options())


def copies(diary: Path) -> list[int]:
    """The live processes, zombies not counted, that run the program of this test; what one forks is no copy."""
    parents = {pid: parent_of(pid) for pid in psutil.pids() if is_alive(pid, str(diary))}
    alive = {
        pid for pid in parents if is_alive(pid, str(diary))
    }  # seen twice: all of these lived between the two looks
    return [pid for pid in alive if parents[pid] not in alive]


def parent_of(pid: int) -> int | None:
    try:
        return psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:
        return None


def test_output_becomes_members(tmp_path: Path, diary: Path) -> None:
    result = run(tmp_path, external(tmp_path / "out", diary), "ok", "ok")
    assert [job.state for job in result.summary.jobs] == [JobState.DONE, JobState.DONE]
    assert [job.members.kept for job in result.summary.jobs] == [1, 1]
    assert not list(diary.iterdir())


@pytest.mark.parametrize(
    ("word", "code", "words"),
    [
        ("exit:3", Code.ENCRYPTED, "I can't read this"),
        ("exit:9", Code.TOOL_FAILED, "exit code 9"),
        ("hang", Code.TIMEOUT, "command.wall_s"),
        ("stubborn", Code.TIMEOUT, "command.wall_s"),
        ("eat", Code.TOO_LARGE, "command.memory_bytes"),
        ("die", Code.CRASHED, "SIGSEGV"),
    ],
)
def test_misbehaviour_is_a_reason_and_others_go_on(
    tmp_path: Path, diary: Path, word: str, code: Code, words: str
) -> None:
    wall_s = 1.5 if code is Code.TIMEOUT else 60.0
    limits = {"wall_s": wall_s, "memory_bytes": 300 << 20, "exit_codes": {0: "done", 3: "encrypted"}}
    config = external(tmp_path / "out", diary, **limits)
    first, second = run(tmp_path, config, word, "ok").summary.jobs
    assert first.reason is not None
    assert (first.state, first.reason.code) == (JobState.FAILED, code)
    assert words in first.reason.text
    assert second.state is JobState.DONE
    assert copies(diary) == []


def test_flood_is_cut_and_blocks_nobody(tmp_path: Path, diary: Path) -> None:
    (job,) = run(tmp_path, external(tmp_path / "out", diary, log_bytes=1000), "flood").summary.jobs
    assert job.state is JobState.DONE


def test_what_a_program_leaves_behind_is_ended_with_it(tmp_path: Path, diary: Path) -> None:
    jobs = run(tmp_path, external(tmp_path / "out", diary), "fork", "fork", "ok").summary.jobs
    assert [job.state for job in jobs] == [JobState.DONE] * 3
    assert not list(diary.glob("evidence-*"))
    assert copies(diary) == []


def test_missing_program_is_said(tmp_path: Path) -> None:
    command = Command(argv=("no-such-program-here", "{input}"))
    config = msgspec.structs.replace(config_for(tmp_path / "out"), extract=Extract(command=command))
    (job,) = run(tmp_path, config, "ok").summary.jobs
    assert job.reason is not None
    assert "no-such-program-here" in job.reason.text


def test_an_external_convert_makes_tables_and_what_it_leaves_is_kept(tmp_path: Path) -> None:
    drops = tmp_path / "drops.zip"
    with zipfile.ZipFile(drops, "w") as archive:
        archive.writestr("good.txt", "rows one two three")
        archive.writestr("other.txt", "nothing for you")
    (tmp_path / "bad.txt").write_text("refuse this")
    argv = (sys.executable, str(HERE / "lonely_converter.py"), "{input}", "{output}")
    command = Command(argv=argv, exit_codes={0: "done", 4: "unsupported"})
    config = msgspec.structs.replace(config_for(tmp_path / "out"), convert=Convert(command=command))
    modules = {**STAGES, StageName.CONVERT: "stages.external.convert"}
    first, second = process([drops, tmp_path / "bad.txt"], config, modules, Options()).summary.jobs
    assert (first.members.converted, first.members.kept) == (1, 1)
    assert [(table.rows, table.source) for table in first.tables] == [(3, "drops.zip!/good.txt")]
    assert second.reason is not None
    assert second.reason.code is Code.UNSUPPORTED


DRIVER = """
import sys
sys.path[:0] = [{root!r}]
from pathlib import Path
from tests.integration import test_external as t
if __name__ == "__main__":
    base = Path({base!r})
    t.run(base, t.external(base / "out", base / "diary"), *(["slow", "fork"] * 5))
"""


@pytest.fixture
def sampler(diary: Path) -> Iterator[list[int]]:
    """The numbers of live copies seen by a thread that keeps looking at the process table."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            seen.append(len(copies(diary)))

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    over.set()
    thread.join()


@pytest.mark.timeout(300)
def test_one_copy_at_most_whatever_is_killed(tmp_path: Path, diary: Path, sampler: list[int]) -> None:
    """Kills supervisor, worker and program in turn; the same command goes on until all 10 jobs are done."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(root=str(HERE.parents[1]), base=str(tmp_path)))
    for victim in ("supervisor", "worker", "program", "everyone"):
        driver = subprocess.Popen([sys.executable, str(script)], cwd=HERE.parents[1])
        await_copy(driver, diary)
        kill(victim, driver, diary)
        if victim in ("supervisor", "everyone"):
            driver.wait()
        else:
            driver.send_signal(signal.SIGTERM)
            driver.wait()
    assert subprocess.run([sys.executable, str(script)], cwd=HERE.parents[1], check=False).returncode == 0
    assert not list(diary.glob("evidence-*"))
    assert max(sampler) == 1
    assert len(list((tmp_path / "out").glob("2*/*/manifest.json"))) == 10


def await_copy(driver: subprocess.Popen[bytes], diary: Path) -> None:
    while driver.poll() is None and not copies(diary):
        pass


def kill(victim: str, driver: subprocess.Popen[bytes], diary: Path) -> None:
    workers = [child for child in psutil.Process(driver.pid).children() if child.name().startswith("stampmill: e")]
    pids = {"supervisor": [driver.pid], "worker": [w.pid for w in workers], "program": copies(diary)}
    pids["everyone"] = [*pids["supervisor"], *pids["worker"], *pids["program"]]
    for pid in pids[victim]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
