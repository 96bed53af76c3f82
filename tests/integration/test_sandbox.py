"""What workers are confined to, tried from within real ones and by the tools that they start."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline.cli import STAGES
from pipeline.config import Command, Config, Convert, Extract, Worker
from pipeline.machine import recovery
from pipeline.machine.process import config_for, process
from pipeline.model import Done, JobState, Options, StageName, Task, Upload
from pipeline.processes import landlock, sandbox, seccomp
from pipeline.processes.messages import Dispatch, Finished, Ready, Report, Unreachable
from pipeline.processes.workers import LocalWorker, Places

PROBING = "tests.integration.probing_stage"
WAIT_S = 20.0
needs_landlock = pytest.mark.skipif(landlock.abi() < 1, reason="this kernel has no Landlock")
needs_seccomp = pytest.mark.skipif(not seccomp.available(), reason="this kernel or architecture has no seccomp filter")


class Room:
    """One worker of a stage, confined or not, and a house around it."""

    def __init__(self, folder: Path) -> None:
        self.drops = folder / "drops"
        self.drops.mkdir()
        self.config: Config = config_for(folder / "out")
        self.lock = recovery.prepare(self.config)
        self.selector = selectors.DefaultSelector()
        self.worker: LocalWorker | None = None
        state = Path(self.config.paths.state)
        (state / "telegram").mkdir()
        for secret in (
            state / "telegram/account.session", state / "config.toml", state / "ledger.sqlite", state.parent / "result",
            folder / "private", state / "code/kernel.o",
        ):  # fmt: skip
            secret.write_text("secret")

    def upload(self, name: str = "upload.csv", content: bytes = b"a,b\n1,2\n") -> Upload:
        path = self.drops / name
        path.write_bytes(content)
        status = path.stat()
        return Upload(
            path=str(path),
            name=name,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            inode=status.st_ino,
            device=status.st_dev,
        )

    def start(self, stage: StageName, *readable: Path, module: str = PROBING) -> None:
        places = Places([str(path) for path in readable])
        self.worker = LocalWorker(stage, module, self.config, self.selector, places)
        self.worker.start()

    def hear(self, kind: type[Report]) -> Report:
        assert self.worker is not None
        while True:
            assert self.selector.select(WAIT_S), self.worker.log.read_text()
            for report in self.worker.receive():
                if isinstance(report, kind):
                    return report
            assert not self.worker.is_dead(), self.worker.log.read_text()

    def work(self, upload: Upload, stage: StageName = StageName.EXTRACT) -> None:
        task = Task(
            job=1, epoch=0, batch=1, seq=0, stage=stage, attempt=1, payload=b"", upload=upload, options=Options()
        )
        assert self.worker is not None
        self.worker.send([Dispatch(task, 1)])

    def tried(self, stage: StageName = StageName.EXTRACT) -> dict[str, str]:
        """What came of the attempts of a worker that may read the drops."""
        self.start(stage, self.drops)
        self.work(self.upload(), stage)
        finished = self.hear(Finished)
        assert isinstance(finished, Finished)
        assert isinstance(finished.outcome, Done) and finished.outcome.output, finished.trouble
        return msgspec.json.decode(finished.outcome.output.payload, type=dict[str, str])

    def close(self) -> None:
        if self.worker is not None and self.worker.pid is not None:
            self.worker.kill("the end of the test")
            self.worker.bury()
        self.selector.close()
        os.close(self.lock)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.close()


def tree(folder: Path) -> set[str]:
    return {os.path.join(root, name) for root, folders, files in os.walk(folder) for name in (*folders, *files)}


@needs_landlock
@needs_seccomp
@pytest.mark.parametrize("stage", [StageName.EXTRACT, StageName.CONVERT])
def test_a_stage_that_is_taken_over_reaches_nothing(room: Room, tmp_path: Path, stage: StageName) -> None:
    before = tree(tmp_path)
    tried = room.tried(stage)
    assert [title for title, outcome in tried.items() if (outcome == "ok") != title.startswith("may ")] == []
    assert len(tried) > 40
    log = str(Path(room.config.paths.state) / "log" / f"{stage.title}.log")
    ours = {str(room.drops / "upload.csv"), log, f"{log[:-4]}"}
    made = {path for path in tree(tmp_path) - before if path not in ours}
    assert {Path(path).suffix for path in made} <= {".box", ".lock"}
    assert (room.drops / "upload.csv").read_bytes() == b"a,b\n1,2\n"


def test_without_a_sandbox_the_same_attempts_succeed(room: Room) -> None:
    """Else the test above would show nothing."""
    room.config = msgspec.structs.replace(room.config, worker=Worker(sandbox=False))
    tried = room.tried()
    for title in (
        "read config.toml",
        "write outside",
        "open a socket",
        "change rights",
        "empty the upload",
        "write with a tool",
    ):
        assert tried[title] == "ok"


@needs_landlock
def test_a_worker_says_what_it_lacks(room: Room) -> None:
    room.start(StageName.EXTRACT)
    ready = room.hear(Ready)
    assert isinstance(ready, Ready)
    assert (ready.note == "") == seccomp.available()


@pytest.mark.parametrize(
    ("abi", "filters", "words"),
    [(7, True, ""), (0, True, "Landlock"), (7, False, "seccomp"), (0, False, "Landlock (it can read and write")],
)
def test_what_a_kernel_lacks_is_said(abi: int, filters: bool, words: str) -> None:
    lacking = sandbox.Confinement(True, abi, filters).lacking
    assert words in lacking and bool(words) == bool(lacking)
    assert sandbox.Confinement(False, 0, False).lacking == ""


@needs_landlock
def test_an_upload_elsewhere_is_asked_for_and_nothing_else_begun(room: Room) -> None:
    upload = room.upload()
    room.start(StageName.EXTRACT)
    room.work(upload)
    assert room.hear(Unreachable) == Unreachable(1, 1)


@needs_landlock
def test_an_upload_that_this_user_may_not_read_is_the_stages_affair(room: Room) -> None:
    confinement = sandbox.Confinement(True, 7, True, frozenset({"/root/told"}))
    gone = Upload(path=str(room.drops / "gone"), name="gone", size=1, mtime_ns=0, inode=0, device=0)
    assert confinement.reaches(gone)


@needs_landlock
def test_files_that_are_only_linked_to_are_read_all_the_same(tmp_path: Path) -> None:
    """They lie where no worker was told of: each is replaced, once, by one that was."""
    drops, elsewhere = tmp_path / "drops", tmp_path / "elsewhere"
    drops.mkdir()
    elsewhere.mkdir()
    for number in range(5):
        (elsewhere / f"{number}.csv").write_text(f"a,b\n{number},2\n")
        (drops / f"{number}.csv").symlink_to(elsewhere / f"{number}.csv")
    with zipfile.ZipFile(elsewhere / "z.zip", "w") as archive:
        archive.writestr("in.csv", "c,d\n1,2\n")
    (drops / "z.zip").symlink_to(elsewhere / "z.zip")
    result = process([drops], config_for(tmp_path / "out"), STAGES, Options())
    assert [job.state for job in result.summary.jobs] == [JobState.DONE] * 6


@needs_landlock
@pytest.mark.parametrize("confined", [False, True])
def test_a_configured_program_is_confined_only_if_told(tmp_path: Path, confined: bool) -> None:
    escape = tmp_path / "escaped"
    script = f"import pathlib, shutil, sys\nshutil.copyfile(sys.argv[1], sys.argv[2] + '/a.csv')\npathlib.Path({str(escape)!r}).touch()\n"
    program = tmp_path / "program.py"
    program.write_text(script)
    command = Command(argv=(sys.executable, str(program), "{input}", "{output}"), sandbox=confined)
    config = msgspec.structs.replace(config_for(tmp_path / "out"), extract=Extract(command=command))
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    modules = {**STAGES, StageName.EXTRACT: "stages.external.extract"}
    (job,) = process([tmp_path / "in.csv"], config, modules, Options()).summary.jobs
    assert escape.exists() is not confined
    assert job.state is (JobState.FAILED if confined else JobState.DONE)


def test_only_extract_and_convert_are_confined() -> None:
    config = config_for(Path("out"))
    assert [stage for stage in StageName if sandbox.is_wanted(stage, config)] == [StageName.EXTRACT, StageName.CONVERT]
    program = Command(argv=("x",))
    external = msgspec.structs.replace(config, extract=Extract(command=program), convert=Convert(command=program))
    assert not any(sandbox.is_wanted(stage, external) for stage in StageName)


def test_what_is_hidden_stays_out_of_a_folder_that_holds_it(tmp_path: Path) -> None:
    for name in ("a", "house/state/x", "house/b", "c"):
        (tmp_path / name).mkdir(parents=True)
    hidden = [str(tmp_path / "house/state")]
    assert sorted(sandbox.around(str(tmp_path), hidden)) == [str(tmp_path / name) for name in ("a", "c", "house/b")]
    assert list(sandbox.around(str(tmp_path / "a"), hidden)) == [str(tmp_path / "a")]
    assert list(sandbox.around(str(tmp_path / "house/state"), hidden)) == []
    assert list(sandbox.around(str(tmp_path / "house/state/x"), hidden)) == []


@needs_seccomp
def test_the_filter_denies_by_number_on_both_architectures() -> None:
    for machine in ("x86_64", "aarch64"):
        code = seccomp.program(machine)
        assert len(code) % 8 == 0
        assert len(code) // 8 < 4096
    run = subprocess.run(
        [sys.executable, "-c", _FILTERED], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert run.stdout == "denied\nstill works\n", run.stderr


_FILTERED = """
import socket, subprocess
from pipeline.processes import landlock, seccomp
landlock.no_new_privileges()
assert seccomp.restrict()
try:
    socket.socket()
except PermissionError:
    print("denied", flush=True)
subprocess.run(["echo", "still works"])
"""
