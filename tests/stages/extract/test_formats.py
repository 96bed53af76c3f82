"""Each kind of tar and zip that people may send, made by the program that makes it, or put together where none does."""

from __future__ import annotations

import io
import lzma
import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stages.extract.archives import rows, saved
from tests.stages.extract.conftest import Runner

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DATA = rows(3000)


def in_zip(data: bytes, method: int, pack: Callable[[bytes], bytes]) -> bytes:
    """A zip of DATA as PACK packs it, which zipfile can't write."""
    packed, buffer = pack(data), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.csv"), packed)
    made = bytearray(buffer.getvalue())
    central = made.index(b"PK\1\2")
    for at, crc_at in ((8, 14), (central + 10, central + 16)):
        struct.pack_into("<H", made, at, method)
        struct.pack_into("<LLL", made, crc_at, zlib.crc32(data), len(packed), len(data))
    return bytes(made)


@pytest.mark.parametrize(("method", "pack"), [(93, zstd.compress), (95, lzma.compress)], ids=["zstd", "xz"])
def test_zips_of_new_methods(run: Runner, tmp_path: Path, method: int, pack: Callable[[bytes], bytes]) -> None:
    archive = in_zip(DATA, method, pack)
    assert run(saved(tmp_path, "x.zip", archive)).good() == {"x.zip!/a.csv": DATA}
    damaged = bytearray(archive)
    damaged[archive.index(b"PK\1\2") // 2] ^= 1
    assert run(saved(tmp_path, "x.zip", bytes(damaged))).code in ("corrupt", "truncated")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    saved(folder, "a.csv", DATA)
    with (folder / "holes.bin").open("wb") as file:
        for number in range(12):  # more extents than an old header holds
            file.seek(number * 40_960)
            file.write(os.urandom(4096))
        file.truncate(600_000)
    return folder


@pytest.mark.needs("tar")
@pytest.mark.parametrize("kind", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_tars(run: Runner, tree: Path, kind: str) -> None:
    path = tree.parent / "x.tar"
    subprocess.run(["tar", "-cf", path, f"--format={kind}", "a.csv", "holes.bin"], cwd=tree, check=True)
    assert run(path).good() == {f"x.tar!/{one.name}": one.read_bytes() for one in tree.iterdir()}


@pytest.mark.needs("tar")
@pytest.mark.parametrize("version", ["gnu", "0.0", "0.1", "1.0"])
@pytest.mark.parametrize("compressed", [False, True])
def test_sparse_files(run: Runner, tree: Path, version: str, compressed: bool) -> None:
    path = tree.parent / ("x.tar.gz" if compressed else "x.tar")
    how = ["--format=gnu", "-S"] if version == "gnu" else ["--format=posix", f"--sparse-version={version}", "-S"]
    argv = ["tar", "-czf" if compressed else "-cf", path, *how, "a.csv", "holes.bin"]
    subprocess.run(argv, cwd=tree, check=True)
    for every in (0, 1):
        job = run(path, batch={"files": 1}, abandon_every=every)
        assert job.good() == {f"{path.name}!/{one.name}": one.read_bytes() for one in tree.iterdir()}


@pytest.mark.needs("tar")
@pytest.mark.parametrize("program", ["gzip", "bzip2", "xz", "lzma", "zstd", "lz4", "lzip", "compress"])
def test_tars_in_every_compression(run: Runner, tree: Path, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} isn't installed")
    path = tree.parent / f"x.tar.{program}"
    subprocess.run(["tar", "-I", program, "-cf", path, "a.csv", "holes.bin"], cwd=tree, check=True)
    found = {name.rpartition("!/")[2]: data for name, data in run(path).good().items()}
    assert found == {one.name: one.read_bytes() for one in tree.iterdir()}
