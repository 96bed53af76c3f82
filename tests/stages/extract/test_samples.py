"""The archives that other projects ship as test data, read beside the standard library; and any folder of samples.

Python's own are looked for where Python lies. STAMPMILL_SAMPLES names a further folder (libarchive's, Go's, rarfile's
and py7zr's sources have hundreds): each file in it must be answered, without a crash, a hang or anything left behind.
"""

from __future__ import annotations

import os
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline.model import Done, Reject
from tests.stages.extract.conftest import Runner

PYTHONS = Path(sysconfig.get_paths()["stdlib"]) / "test"
OTHERS = Path(os.environ.get("STAMPMILL_SAMPLES", "/nonexistent"))


def python_samples() -> list[Path]:
    return sorted(path for path in PYTHONS.rglob("*") if path.suffix in (".zip", ".tar", ".xz", ".gz", ".bz2"))


def expected(path: Path) -> dict[str, int] | None:
    """Names and sizes of the regular files, as the standard library has them; None where it can't read them."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return {info.filename: info.file_size for info in archive.infolist() if not info.is_dir()}
        with tarfile.open(path) as tar:
            return {info.name: info.size for info in tar if info.isfile() and not info.issparse()}
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError):
        return None


@pytest.mark.parametrize("path", python_samples(), ids=lambda path: path.name)
def test_pythons_own_samples(run: Runner, path: Path) -> None:
    job = run(path, max_ratio=100_000)
    assert run.left_over(job) == set() or job.code
    wanted = expected(path)
    if wanted is None or job.code is not None:
        assert isinstance(job.outcome, Done | Reject)
        return
    sizes = {m.path.split("!/", 1)[-1]: m.size for m in job.members}
    for name, size in wanted.items():
        if name in sizes:
            assert sizes[name] == size
    assert len(sizes) >= len(wanted)


@pytest.mark.skipif(not OTHERS.is_dir(), reason="STAMPMILL_SAMPLES names no folder")
def test_each_sample_is_answered(run: Runner) -> None:
    for path in sorted(path for path in OTHERS.rglob("*") if path.is_file()):
        job = run(path, max_wall_s=30.0)
        assert isinstance(job.outcome, Done | Reject), path
        owned = {name for output in job.outputs for name in output.names}
        for name in os.listdir(run.work):
            entry = run.work / name
            assert entry.is_file(), path
            assert not entry.is_symlink(), path
            assert name in owned or job.code, path
            entry.unlink()
