"""Every published file is checked against what was recorded, and what changed since is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.results import audit
from stages.handover import Results
from tests.stages.store.bench import Bench, converted, finding_of


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "it's [a] *library?")


@pytest.fixture
def folder(bench: Bench) -> Path:
    part = bench.part("a.csv", {"a": pa.array([1, 2])}, rejects=["x"])
    found = finding_of(bench.run(bench.task(0, Results(members=(converted(1, "a.csv"),), tables=(part,)))))
    return bench.library / found.path


def faults(bench: Bench) -> list[tuple[str, str]]:
    return [(Path(fault.path).name, fault.what) for job in audit.check(bench.library) for fault in job.faults]


def test_what_was_published_is_whole(bench: Bench, folder: Path) -> None:
    (checked,) = audit.check(bench.library)
    assert (checked.files, checked.unrecorded, checked.faults) == (2, 0, ())
    assert checked.bytes == sum(path.stat().st_size for path in folder.glob("a/*"))


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "name", "what"),
    [
        (lambda folder: alter(folder / "a" / "part-00000.parquet"), "part-00000.parquet", "was altered"),
        (lambda folder: alter(folder / "a" / "rejects.ndjson"), "rejects.ndjson", "was altered"),
        (lambda folder: (folder / "a" / "part-00000.parquet").write_bytes(b"PAR1"), "part-00000.parquet", "4 bytes"),
        (lambda folder: (folder / "a" / "part-00000.parquet").unlink(), "part-00000.parquet", "is missing"),
        (lambda folder: (folder / "a" / "part-00001.parquet").touch(), "part-00001.parquet", "isn't in the manifest"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json", "can't be read"),
    ],
)
def test_harm_is_named(bench: Bench, folder: Path, harm: Callable[[Path], object], name: str, what: str) -> None:
    harm(folder)
    ((where, words),) = faults(bench)
    assert where == name
    assert what in words


def test_a_manifest_without_hashes_is_told_apart_from_a_good_one(bench: Bench, folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for part in manifest["tables"][0]["parts"]:
        del part["sha256"], part["size"]
    del manifest["tables"][0]["rejects_sha256"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (checked,) = audit.check(bench.library)
    assert (checked.files, checked.unrecorded, checked.faults) == (2, 2, ())


def test_only_the_jobs_that_are_asked_for(bench: Bench, folder: Path) -> None:

    assert [checked.job for checked in audit.check(bench.library, [999])] == []
    assert [checked.job for checked in audit.check(bench.library, [12])] == [12]
