"""Archives in parts and behind programs, formats that others bring, and uploads that don't keep still."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from stages.extract import build, detect
from stages.extract.blobs import BlobSource
from stages.extract.protocol import Entry, Opening, Reader
from tests.stages.extract.archives import make_tar, make_zip, rows, saved
from tests.stages.extract.conftest import Runner

FILES = [("a.csv", rows(3000)), ("b.csv", rows(2000, 2))]


def cut(folder: Path, name: str, data: bytes, parts: int = 3) -> list[Path]:
    """The paths of DATA in PARTS, `name.001` and on."""
    size = len(data) // parts + 1
    return [saved(folder, f"{name}.{i + 1:03}", data[i * size : (i + 1) * size]) for i in range(parts)]


@pytest.mark.parametrize(("name", "data"), [("x.zip", make_zip(FILES)), ("x.tar.gz", make_tar(FILES, "w:gz"))])
def test_a_cut_archive_is_read_across_its_parts(run: Runner, tmp_path: Path, name: str, data: bytes) -> None:
    parts = cut(tmp_path, name, data)
    job = run(*parts)
    assert list(job.good().values()) == [content for _, content in FILES]
    assert run(*parts[:-1]).code in ("missing_volume", None)


def test_the_first_part_of_a_cut_archive_alone(run: Runner, tmp_path: Path) -> None:
    data = make_zip([("a.csv", rows(3000))])
    assert run(saved(tmp_path, "x.zip.001", data[:500])).code == "missing_volume"


def test_a_cut_7z(run: Runner, tmp_path: Path) -> None:
    if shutil.which("7zz") is None:
        pytest.skip("7zz isn't installed")
    for name, data in FILES:
        saved(tmp_path, name, data)
    argv = ["7zz", "a", "-v10k", "x.7z", *(name for name, _ in FILES)]
    subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True)
    parts = sorted(tmp_path.glob("x.7z.*"))
    assert len(parts) > 2
    assert run(*parts).good() == {f"x.7z.001!/{name}": data for name, data in FILES}


def test_a_zip_in_numbered_parts(run: Runner, tmp_path: Path) -> None:
    if shutil.which("zip") is None or shutil.which("7zz") is None:
        pytest.skip("zip or 7zz isn't installed")
    contents = [("a.bin", os.urandom(100_000)), ("b.csv", rows(50))]
    for name, data in contents:
        saved(tmp_path, name, data)
    argv = ["zip", "-q", "-s", "64k", "x.zip", *(name for name, _ in contents)]
    subprocess.run(argv, cwd=tmp_path, check=True)
    parts = [tmp_path / "x.zip", tmp_path / "x.z01"]
    assert run(*parts).good() == {f"x.zip!/{name}": data for name, data in contents}
    capitals = [path.rename(path.with_suffix(path.suffix.upper())) for path in parts]
    assert run(*capitals).good() == {f"x.ZIP!/{name}": data for name, data in contents}
    (tmp_path / "x.Z01").unlink()
    capitals[0].rename(tmp_path / "x.zip")
    assert run(tmp_path / "x.zip").code == "missing_volume"


@pytest.mark.parametrize("front", [b"MZ" + b"\0" * 5000, b"\x7fELF" + b"\0" * 5000, b"#!/bin/sh\nexit\n"])
def test_a_zip_behind_a_program(run: Runner, tmp_path: Path, front: bytes) -> None:
    data = front + make_zip(FILES)
    job = run(saved(tmp_path, "setup", data))
    assert list(job.good().values()) == [content for _, content in FILES]
    nested = run(saved(tmp_path, "o.tar", make_tar([("setup", data)])))
    assert list(nested.good().values()) == [content for _, content in FILES]


def test_a_program_is_just_a_file(run: Runner, tmp_path: Path) -> None:
    data = b"MZ" + bytes(range(256)) * 6000
    assert run(saved(tmp_path, "x.exe", data)).good() == {"x.exe": data}
    assert run(saved(tmp_path, "x.zip", make_zip([("x.exe", data)]))).good() == {"x.zip!/x.exe": data}


class Shouting:
    """A format that another package brings: everything behind a mark, in capitals."""

    title, seeks = "shout", False
    random = counted = False

    def matches(self, head: bytes) -> bool:
        return head.startswith(b"SHOUT!")

    def open(self, opening: Opening) -> Reader:
        self.data = opening.source.read(1 << 20)[6:]
        return self

    def entries(self, start: int) -> Iterator[Entry]:
        if start == 0:
            yield Entry(0, "loud.txt", lambda: BlobSource(_Bytes(self.data.upper())))

    def close(self) -> None:
        pass


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def pread(self, size: int, offset: int, /) -> bytes:
        return self.data[offset : offset + size]


SHOUTING = Shouting()


def test_a_format_that_another_package_brings(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "x.bin", b"SHOUT!hello")
    assert run(path).good() == {"x.bin": b"SHOUT!hello"}
    entry = EntryPoint("shout", f"{__name__}:SHOUTING", detect.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: SHOUTING)
    monkeypatch.setattr(detect, "entry_points", lambda group: [entry])
    monkeypatch.setattr(detect, "FORMATS", list(detect.FORMATS))
    assert run(path).good() == {"x.bin!/loud.txt": b"HELLO"}


def test_an_upload_that_changes_meanwhile(run: Runner, tmp_path: Path) -> None:
    path = saved(tmp_path, "x.zip", make_zip([(f"{i}.csv", rows(10, i)) for i in range(6)]))
    desk, task = run.desk(), run.task(path)
    generator = build(run.config({"files": 2})).run(task, desk)
    next(generator)
    os.utime(path, ns=(1, 1))
    assert run.outcome(generator).reason.code == "changed"
    assert run.outcome(build(run.config()).run(task, desk)).reason.code == "changed"
    path.unlink()
    assert run.outcome(build(run.config()).run(task, desk)).reason.code == "unreadable"


def test_a_file_that_may_not_be_read(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "x.csv", b"a,b\n")
    task = run.task(path)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    reason = run.outcome(build(run.config()).run(task, run.desk())).reason
    assert (reason.code, "Permission denied" in reason.text) == ("unreadable", True)


def test_a_cut_rar_is_joined_for_its_program(run: Runner, tmp_path: Path) -> None:
    if shutil.which("unrar") is None or shutil.which("rar") is None:
        pytest.skip("rar or unrar isn't installed")
    saved(tmp_path, "a.csv", rows(3000))
    subprocess.run(["rar", "a", "-inul", "x.rar", "a.csv"], cwd=tmp_path, check=True)
    parts = cut(tmp_path, "x.rar", (tmp_path / "x.rar").read_bytes())
    job = run(*parts)
    assert job.good() == {"x.rar.001!/a.csv": rows(3000)}
    assert run.left_over(job) == set()


def test_a_rar_in_volumes(run: Runner, tmp_path: Path) -> None:
    if shutil.which("unrar") is None or shutil.which("rar") is None:
        pytest.skip("rar or unrar isn't installed")
    contents = {"a.bin": os.urandom(150_000), "b.csv": rows(50)}
    for name, data in contents.items():
        saved(tmp_path, name, data)
    subprocess.run(["rar", "a", "-inul", "-v50k", "x.rar", *contents], cwd=tmp_path, check=True)
    parts = sorted(tmp_path.glob("x.part*.rar"))
    assert len(parts) > 2
    assert run(*parts).good() == {f"x.part1.rar!/{name}": data for name, data in contents.items()}


def test_a_document_that_was_cut_is_joined(run: Runner, tmp_path: Path) -> None:
    document = make_zip([("[Content_Types].xml", b"<Types/>"), ("word/document.xml", rows(2000))])
    job = run(*cut(tmp_path, "x.zip", document))
    assert job.good() == {"x.zip.001": document}
    assert job.members[0].sha256 == hashlib.sha256(document).hexdigest()


ALBUM = {"a.csv": rows(20), "b.zip": make_zip(FILES), "c.docx": make_zip([("[Content_Types].xml", b"<Types/>")])}


def album(folder: Path) -> list[Path]:
    cut(folder, "d.tar.gz", make_tar(FILES, "w:gz"), 2)
    paths = [saved(folder, name, data) for name, data in ALBUM.items()]
    return [*paths, folder / "d.tar.gz.001", saved(folder, "e.zip", b"PK\3\4 damaged"), folder / "d.tar.gz.002"]


@pytest.mark.parametrize("batch", [1000, 2, 1])
def test_an_album_is_one_job_with_all_its_files(run: Runner, tmp_path: Path, batch: int) -> None:
    paths = album(tmp_path)
    job = run(*paths, batch={"files": batch})
    assert list(job.good()) == ["a.csv", "b.zip!/a.csv", "b.zip!/b.csv", "c.docx", "d.tar.gz!/a.csv", "d.tar.gz!/b.csv"]
    assert list(job.good().values()) == [
        ALBUM["a.csv"], FILES[0][1], FILES[1][1], ALBUM["c.docx"], FILES[0][1], FILES[1][1]
    ]  # fmt: skip
    assert job.bad() == {"e.zip": "truncated"}
    assert job.members[0].place is not None
    assert job.members[0].place.file == str(paths[0])
    assert not any(os.path.isabs(name) for output in job.outputs for name in output.names)
    assert run.left_over(job) == set()
    again = run(*paths, batch={"files": batch}, abandon_every=1)
    assert again.table() == job.table()


def test_an_album_counts_no_level_of_nesting(run: Runner, tmp_path: Path) -> None:
    paths = [saved(tmp_path, "a.csv", rows(20)), saved(tmp_path, "b.zip", make_zip([("c.zip", make_zip(FILES))]))]
    assert len(run(*paths, max_depth=2).good()) == 3
    assert run(*paths, max_depth=1).bad() == {"b.zip!/c.zip": "too_deep"}
