"""Which files a `process` run takes, and how it takes them in."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.machine.ledger import Ledger
from pipeline.machine.process import Found, _submit, config_for, find_files, uploads_of
from pipeline.model import Options, Upload

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()


@pytest.fixture
def drops(tmp_path: Path) -> Path:
    """A folder of folders, with a library among them."""
    folder = tmp_path / "drops"
    for name in ("b.csv", "a.csv", "sub/c.csv", "sub/deeper/d.csv", "library/2026-01/1-x/part-0.parquet"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def _only(found: Found, links: Path) -> Upload:
    (upload,) = uploads_of([found], links)
    return upload


def names(*paths: Path, but: Path) -> list[str]:
    return [found.name for found in find_files(paths, but)]


def test_a_folder_means_every_file_in_it_by_name_but_not_the_library(drops: Path) -> None:
    found = list(find_files([drops], drops / "library"))
    assert [one.name for one in found] == ["drops/a.csv", "drops/b.csv", "drops/sub/c.csv", "drops/sub/deeper/d.csv"]
    assert [one.path for one in found][2] == drops / "sub" / "c.csv"
    assert all(one.path.is_absolute() for one in found)


def test_files_come_in_the_order_given_and_each_once(drops: Path) -> None:
    given = [drops / "b.csv", drops / "a.csv", drops / "b.csv", drops / "sub", drops]
    assert names(*given, but=drops / "library") == [
        "b.csv",
        "a.csv",
        "sub/c.csv",
        "sub/deeper/d.csv",
    ]


def test_relative_paths_are_the_same_files(drops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(drops)
    assert len(names(Path("a.csv"), drops / "a.csv", but=drops / "library")) == 1


def test_the_library_is_known_through_a_link_too(drops: Path) -> None:
    (drops.parent / "alias").symlink_to(drops / "library")
    assert "drops/library/2026-01/1-x/part-0.parquet" not in names(drops, but=drops.parent / "alias")
    (drops.parent / "way").symlink_to(drops)
    assert len(names(drops.parent / "way", but=drops / "library")) == 4


def test_links_to_files_are_files_and_links_to_folders_are_left_out(drops: Path, tmp_path: Path) -> None:
    (drops / "sub" / "round").symlink_to(drops)
    (drops / "sub" / "link.csv").symlink_to(drops / "a.csv")
    (drops / "sub" / "dangling.csv").symlink_to(tmp_path / "gone")
    assert names(drops / "sub", but=tmp_path / "library") == [
        "sub/c.csv",
        "sub/dangling.csv",
        "sub/deeper/d.csv",
        "sub/link.csv",
    ]


def test_a_link_to_a_folder_that_was_asked_for_is_followed(drops: Path, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(drops / "sub")
    assert names(tmp_path / "shortcut", but=tmp_path / "library") == ["shortcut/c.csv", "shortcut/deeper/d.csv"]


def test_fifos_and_what_is_gone_become_jobs_that_are_refused(drops: Path, tmp_path: Path) -> None:
    os.mkfifo(drops / "sub" / "fifo")
    assert "sub/fifo" in names(drops / "sub", but=tmp_path)
    assert names(tmp_path / "gone", but=tmp_path) == ["gone"]


def test_folders_that_may_not_be_read_become_jobs_and_the_others_go_on(drops: Path) -> None:
    """In a process of its own, since root may read everything."""
    (drops / "closed").mkdir()
    (drops / "closed" / "e.csv").touch()
    (drops / "listed").mkdir()
    (drops / "listed" / "f.csv").touch()
    (drops / "closed").chmod(0o000)
    (drops / "listed").chmod(0o400)  # its names can be read, and nothing about them
    code = (
        "import sys; from pathlib import Path; from pipeline.machine.process import find_files\n"
        "for found in find_files([Path(sys.argv[1])], Path('/none')): print(found.name)"
    )
    try:
        run = subprocess.run(
            [*WITHOUT_RIGHTS, sys.executable, "-c", code, drops],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
    finally:
        (drops / "closed").chmod(0o700)
        (drops / "listed").chmod(0o700)
    assert run.returncode == 0, run.stderr
    found = run.stdout.split()
    assert {"drops/closed", "drops/listed/f.csv", "drops/a.csv", "drops/sub/c.csv"} <= set(found)


def test_an_upload_is_the_file_as_it_is_now(drops: Path, tmp_path: Path) -> None:
    (found,) = find_files([drops / "a.csv"], tmp_path / "library")
    upload = _only(found, tmp_path / "links")
    status = (drops / "a.csv").stat()
    assert (upload.path, upload.name, upload.size) == (str(drops / "a.csv"), "a.csv", 5)
    assert (upload.mtime_ns, upload.inode, upload.device) == (status.st_mtime_ns, status.st_ino, status.st_dev)
    assert not (tmp_path / "links").exists()


def test_what_cant_be_looked_at_is_taken_in_all_the_same(tmp_path: Path) -> None:
    (found,) = find_files([tmp_path / "gone"], tmp_path / "library")
    upload = _only(found, tmp_path / "links")
    assert (upload.size, upload.mtime_ns, upload.inode, upload.device) == (0, 0, 0, 0)


def test_a_name_that_isnt_utf8_is_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "drops").mkdir()
    path = Path(os.fsdecode(bytes(tmp_path) + b"/drops/caf\xe9.csv"))
    path.write_text("a,b\n1,2\n")
    (found,) = find_files([tmp_path / "drops"], tmp_path / "library")
    upload, again = _only(found, tmp_path / "links"), _only(found, tmp_path / "links")
    assert upload.name == "drops/caf\ufffd.csv"
    assert upload.path.encode()
    assert Path(upload.path).read_text() == "a,b\n1,2\n"
    assert upload.path == again.path, "submitted again it's the same file"
    assert (upload.inode, upload.size) == (path.stat().st_ino, 8)


# Submitting again


@pytest.fixture
def run(drops: Path, tmp_path: Path) -> Any:
    """Submits a file as `process` would; returns its job."""
    ledger = Ledger(tmp_path / "ledger.sqlite", tmp_path)
    supervisor = cast(Any, SimpleNamespace(ledger=ledger, submit=ledger.submit))

    def submit(path: Path, options: Options | None = None) -> int:
        uploads = (_only(found, tmp_path / "links") for found in find_files([path], tmp_path / "library"))
        (job,) = _submit(supervisor, uploads, options or Options())
        return job

    with closing(ledger):
        yield submit


def test_an_unfinished_job_of_the_same_file_goes_on(run: Any, drops: Path) -> None:
    assert run(drops / "a.csv") == run(drops / "a.csv")
    assert run(drops / "a.csv") != run(drops / "b.csv")


def test_a_file_that_changed_is_another_job(run: Any, drops: Path) -> None:
    first = run(drops / "a.csv")
    (drops / "a.csv").write_text("longer than it was")
    assert run(drops / "a.csv") != first


def test_other_options_are_another_job(run: Any, drops: Path) -> None:
    first = run(drops / "a.csv")
    second = run(drops / "a.csv", Options(types="text"))
    assert second != first
    assert run(drops / "a.csv", Options(types="text")) == second
    assert run(drops / "a.csv") == first


def test_everything_of_a_run_lies_in_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = config_for(Path("out"))
    assert config.paths.library == str(tmp_path / "out")
    assert config.paths.state == str(tmp_path / "out" / ".stampmill")


def uploads(*paths: Path, links: Path) -> list[tuple[str, list[str], str]]:
    """What becomes of PATHS: each upload's name, its files' names, and the part that is missing."""
    found = uploads_of(list(find_files(paths, links)), links)
    return [(one.name, [os.path.basename(path) for path in one.paths], one.missing) for one in found]


def test_the_parts_of_an_archive_are_one_upload(tmp_path: Path) -> None:
    for name in ("b.csv", "a.part2.rar", "a.part1.rar", "c.z01", "c.zip", "d.zip", "sub/a.part2.rar", "sub/e.7z.001"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    assert uploads(tmp_path / "in", links=tmp_path / "links") == [
        ("in/a.rar", ["a.part1.rar", "a.part2.rar"], ""),
        ("in/b.csv", ["b.csv"], ""),
        ("in/c.zip", ["c.zip", "c.z01"], ""),
        ("in/d.zip", ["d.zip"], ""),
        ("in/sub/a.part2.rar", ["a.part2.rar"], "a.part1.rar"),
        ("in/sub/e.7z.001", ["e.7z.001"], ""),
    ]


def test_parts_that_lie_beside_the_one_that_was_named_belong_to_it(tmp_path: Path) -> None:
    for name in ("a.7z.001", "a.7z.002", "b.7z.001", "c.csv"):
        (tmp_path / name).write_text(name)
    links = tmp_path / "links"
    assert uploads(tmp_path / "a.7z.002", links=links) == [("a.7z", ["a.7z.001", "a.7z.002"], "")]
    both = uploads(tmp_path / "c.csv", tmp_path / "a.7z.002", tmp_path / "a.7z.001", links=links)
    assert both == [("c.csv", ["c.csv"], ""), ("a.7z", ["a.7z.001", "a.7z.002"], "")]


def test_parts_whose_names_arent_utf_8_keep_what_tells_them_apart(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    for number in (1, 2):
        Path(os.fsdecode(folder + b"/caf\xe9.part%d.rar" % number)).write_text(str(number))
    (one,) = uploads_of(list(find_files([tmp_path], tmp_path / "links")), tmp_path / "links")
    assert [Path(path).read_text() for path in one.paths] == ["1", "2"]
    assert [path[-10:] for path in one.paths] == [".part1.rar", ".part2.rar"]
    assert Path(one.path).parent == Path(one.parts[0].path).parent
