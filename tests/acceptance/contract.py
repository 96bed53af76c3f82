"""The `--json` contract of `stampmill process`, as README states it: a key more or less is an error."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

ROOT = Path(__file__).resolve().parents[2]
STAMPMILL = Path(sys.executable).with_name("stampmill")


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Reason(Strict):
    code: str
    text: str
    next_step: str


class Column(Strict):
    name: str
    type: str


class Table(Strict):
    name: str
    path: str
    source: str
    rows: int
    rejected: int
    columns: list[Column]


class Members(Strict):
    total: int
    converted: int
    kept: int
    rejected: int


class Seconds(Strict):
    intake: float
    extract: float
    convert: float
    store: float


class Job(Strict):
    job: int
    name: str
    sha256: str
    state: Literal["done", "failed", "duplicate"]
    duplicate_of: int | None
    reason: Reason | None
    tables: list[Table]
    members: Members
    seconds: Seconds


class Report(Strict):
    jobs: list[Job]

    def job(self, name: str) -> Job:
        """The one job of that file, wherever it lies."""
        (found,) = [job for job in self.jobs if Path(job.name).name == name]
        return found


def stampmill(
    *arguments: str | Path, before: Sequence[str] = (), check: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the installed command; CHECK is the exit status it must end with."""
    argv = [*before, str(STAMPMILL), *map(str, arguments)]
    run = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert check is None or run.returncode == check, f"exit {run.returncode}\n{run.stdout}\n{run.stderr}"
    return run


def process(*paths: Path, into: Path, before: Sequence[str] = (), check: int = 0) -> Report:
    """`stampmill process --json`, read strictly."""
    run = stampmill("process", *paths, "--into", into, "--json", before=before, check=check)
    return msgspec.json.decode(run.stdout, type=Report)


def manifests(library: Path) -> dict[str, dict[str, Any]]:
    """Every manifest of a library by its upload's own name."""
    found = [json.loads(path.read_text("utf-8")) for path in library.glob("????-??/*/manifest.json")]
    return {Path(manifest["upload"]["name"]).name: manifest for manifest in found}
