"""Runs the driver over a set of uploads: as often as it takes, into as many libraries as a test wants."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.crash import jobs, record, trouble
from tests.crash.driver import Spec
from tests.crash.record import Record
from tests.crash.verdict import Verdict, acknowledgements, compare

ROOT: Final = Path(__file__).resolve().parents[2]
TIMEOUT_S: Final = 100.0


class Bench:
    """UPLOADS in FOLDER, which is made, with a library for each run beside them."""

    def __init__(self, folder: Path, uploads: Sequence[jobs.Upload]) -> None:
        self.folder = folder
        self.uploads: list[jobs.Upload] = []
        self.input, self._tools = folder / "uploads", folder / "tools"
        for path in (self.input, self._tools):
            path.mkdir(parents=True)
        trouble.make_tools(self._tools)
        self.add(uploads)

    def add(self, uploads: Sequence[jobs.Upload]) -> None:
        """UPLOADS are there too; a run takes all that are there when it starts."""
        self.uploads.extend(jobs.write(iter(uploads), self.input))

    def library(self, name: str) -> Path:
        """Where the run NAME puts its results."""
        return self.folder / name

    def acknowledged(self, name: str) -> Path:
        """Where the run NAME notes the jobs that ended."""
        return self.folder / f"{name}.acknowledged"

    def start(
        self, name: str, *, environment: dict[str, str] | None = None, **options: object
    ) -> subprocess.Popen[bytes]:
        """Starts the driver for the run NAME; OPTIONS are fields of its Spec. Its processes' working folder is the
        bench's, by which they're known."""
        given = {"uploads": tuple(upload.name for upload in self.uploads), **options}
        uploads = tuple(str(self.input / upload) for upload in given.pop("uploads"))  # type: ignore[attr-defined]
        spec = Spec(
            into=str(self.library(name)),
            uploads=uploads,
            acknowledged=str(self.acknowledged(name)),
            **given,  # type: ignore[arg-type]
        )
        path = self.folder / f"{name}.json"
        path.write_bytes(msgspec.json.encode(spec))
        argv = [sys.executable, "-m", "tests.crash.driver", str(path)]
        env = {**python_environment(), trouble.TOOL_FOLDER: str(self._tools), **(environment or {})}
        return subprocess.Popen(argv, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def run(self, name: str, *, environment: dict[str, str] | None = None, **options: object) -> tuple[int, str]:
        """Runs the driver to its end; its exit status and what it said. Raises TimeoutExpired for a standstill."""
        driver = self.start(name, environment=environment, **options)
        try:
            words = driver.communicate(timeout=TIMEOUT_S)[1].decode(errors="replace")
        finally:
            driver.kill()
        return driver.returncode, words

    def finish(self, name: str, **options: object) -> Record:
        """Runs the driver until all is done, in one go, and reads what it left."""
        code, words = self.run(name, **options)  # type: ignore[arg-type]
        assert code == 0, words
        return record.read(self.library(name))

    def judge(self, name: str, good: Record) -> Verdict:
        """The finished run NAME, held against GOOD; whatever is wrong is in the verdict's faults."""
        verdict = compare(self.uploads, self.input, good, record.read(self.library(name)))
        told = acknowledgements(self.acknowledged(name))
        verdict.doubled.extend(f"{path} ended {count} times" for path, count in told.items() if count > 1)
        verdict.other.extend(f"left over: {path}" for path in record.leftovers(self.library(name)))
        return verdict


def python_environment() -> dict[str, str]:
    """The environment in which Python finds this tree."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
