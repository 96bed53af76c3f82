"""The inbox and the spool: what is quiet is moved in whole, what is being written is left, and nothing is lost."""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.daemon import inbox, spool
from pipeline.daemon.inbox import Inbox, Quiet, Seen
from pipeline.daemon.journal import Journal
from pipeline.daemon.spool import Spooled


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("inbox", "spool"):
        (tmp_path / name).mkdir()
    return tmp_path / "inbox", tmp_path / "spool"


@pytest.fixture
def make(folders: tuple[Path, Path]) -> Iterator[Callable[[], tuple[Inbox, list[Spooled], io.StringIO]]]:
    made: list[Inbox] = []
    before = signal.getsignal(signal.SIGIO)

    def new() -> tuple[Inbox, list[Spooled], io.StringIO]:
        taken: list[Spooled] = []
        log = io.StringIO()
        one = Inbox(folders[1], Journal(stream=log), taken.extend)
        made.append(one)
        return one, taken, log

    yield new
    for one in made:
        one.close()
    signal.signal(signal.SIGIO, before)


def seen(size: int, inode: int = 1) -> Seen:
    return Seen(inode, size, size, size)


def await_results(one: Inbox) -> None:
    assert select.select([one.mover.wakes], [], [], 30)[0]
    one.receive()


# When a file is quiet


def test_a_file_is_quiet_when_it_has_not_changed_for_a_while() -> None:
    quiet = Quiet()
    assert quiet.look([("a", seen(1))], 0.0) == {"a": 0.0}
    assert quiet.look([("a", seen(2)), ("b", seen(1))], 3.0) == {"a": 0.0, "b": 0.0}
    assert quiet.look([("a", seen(2)), ("b", seen(1, inode=9))], 8.0) == {"a": 5.0, "b": 0.0}
    assert quiet.look([("b", seen(1, inode=9))], 13.0) == {"b": 5.0}
    assert quiet.look([("a", seen(2))], 14.0) == {"a": 0.0}, "it went and came again"


@pytest.mark.parametrize("name", [".hidden", "x.part", "x.CRDOWNLOAD", "x.tmp", "x~"])
def test_somebodys_unfinished_business_is_left_alone(name: str) -> None:
    assert not inbox.is_meant(name)
    assert inbox.is_meant("x.csv")


def test_who_writes_is_noticed(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    path = tmp_path / "a.csv"
    with path.open("w") as file:
        assert inbox.is_open_for_writing(path)
        assert inbox._has_writer(os.fstat(file.fileno())), "where no lease can be had, /proc tells"
    assert not inbox.is_open_for_writing(path)
    with path.open() as file:
        assert not inbox.is_open_for_writing(path)
        assert not inbox._has_writer(os.fstat(file.fileno()))
    signal.signal(signal.SIGIO, before)


# Taking


def test_files_go_into_the_spool_whole(
    folders: tuple[Path, Path], make: Callable[[], tuple[Inbox, list[Spooled], io.StringIO]]
) -> None:
    one, taken, _ = make()
    (folders[0] / "a.csv").write_text("a,b\n1,2\n")
    (folders[0] / "sub").mkdir()
    os.mkfifo(folders[0] / "fifo")
    (folders[0] / "link").symlink_to("/etc/hostname")
    one.look(folders[0], 0.0, 5.0)
    one.look(folders[0], 5.0, 5.0)
    await_results(one)
    (file,) = taken
    assert (file.name, file.path.read_text()) == ("a.csv", "a,b\n1,2\n")
    assert sorted(os.listdir(folders[0])) == ["fifo", "link", "sub"]
    assert [found.source for found in spool.found(folders[1])] == [file.source]
    assert spool.is_inbox(file)
    assert spool.upload_of(file).size == 8


def test_the_next_file_of_that_name_is_taken_too(
    folders: tuple[Path, Path], make: Callable[[], tuple[Inbox, list[Spooled], io.StringIO]]
) -> None:
    one, taken, _ = make()
    for number in range(3):
        (folders[0] / "a.csv").write_text("x" * number + "\n")
        one.look(folders[0], 10.0 * number, 0.0)
        await_results(one)
    assert [file.path.read_text() for file in taken] == ["\n", "x\n", "xx\n"]
    assert len({file.source for file in taken}) == 3


def test_one_that_is_being_written_is_left(
    folders: tuple[Path, Path], make: Callable[[], tuple[Inbox, list[Spooled], io.StringIO]]
) -> None:
    one, taken, _ = make()
    with (folders[0] / "a.csv").open("w") as file:
        one.look(folders[0], 0.0, 0.0)
        one.look(folders[0], 100.0, 0.0)
        assert one.waiting == 1
        file.write("done\n")
    one.look(folders[0], 200.0, 0.0)
    await_results(one)
    assert taken[0].path.read_text() == "done\n"


def test_what_cant_be_taken_is_said_once_and_tried_again_when_it_changes(
    folders: tuple[Path, Path],
    make: Callable[[], tuple[Inbox, list[Spooled], io.StringIO]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, taken, log = make()
    (folders[0] / "a.csv").write_text("1")

    def fail(*arguments: object) -> Spooled:
        raise OSError(errno.EACCES, "Permission denied", "a.csv")

    with monkeypatch.context() as patch:
        patch.setattr(spool, "take", fail)
        one.look(folders[0], 0.0, 0.0)
        await_results(one)
        one.look(folders[0], 100.0, 0.0)
    assert log.getvalue().count("can't be taken: Permission denied") == 1
    assert not select.select([one.mover.wakes], [], [], 0)[0]
    (folders[0] / "a.csv").write_text("22")
    one.look(folders[0], 200.0, 0.0)
    await_results(one)
    assert len(taken) == 1


def test_a_folder_that_is_gone_is_said_once(
    folders: tuple[Path, Path], make: Callable[[], tuple[Inbox, list[Spooled], io.StringIO]]
) -> None:
    one, _, log = make()
    for now in (0.0, 1.0):
        one.look(folders[0] / "gone", now, 0.0)
    assert log.getvalue().count("can't be read") == 1


# Split archives


OLD_RAR = b"Rar!\x1a\x07\x00", b"\0\0\x7b\1\0\7\0"  # how a volume begins, and how one ends that another follows


def drop(folder: Path, name: str, size: int) -> None:
    begin, end = OLD_RAR if name == "x.rar" else (b"", b"")
    (folder / name).write_bytes(begin + name.encode()[:1] * (size - len(begin + end)) + end)


SETS: list[list[tuple[str, int]]] = [
    [("x.part1.rar", 50), ("x.part2.rar", 50), ("x.part3.rar", 7)],
    [("x.tar.gz.001", 50), ("x.tar.gz.002", 50), ("x.tar.gz.003", 7)],
    [("x.rar", 50), ("x.r00", 50), ("x.r01", 7)],
]


@pytest.mark.parametrize("parts", SETS, ids=lambda parts: parts[0][0])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_parts_that_come_one_by_one_are_one_upload(
    folders: tuple[Path, Path],
    make: Callable[[], tuple[Inbox, list[Spooled], io.StringIO]],
    parts: list[tuple[str, int]],
    order: tuple[int, ...],
) -> None:
    one, taken, _ = make()
    now = 0.0
    for index in order:
        for step in (0.0, 6.0):
            one.look(folders[0], now + step, 5.0)
        assert one.mover.results() == []
        drop(folders[0], *parts[index])
        now += 10.0
    drop(folders[0], "other.csv", 3)
    for step in (0.0, 6.0):
        one.look(folders[0], now + step, 5.0)
    await_results(one)
    assert [file.name for file in taken] == ["other.csv"], "the set isn't quiet for long enough yet"
    one.look(folders[0], now + 16.0, 5.0)
    await_results(one)
    whole = taken[-1]
    assert [whole.path.name, *(path.name for path in whole.parts)] == [name for name, _ in parts]
    assert (whole.missing, spool.upload_of(whole).total_size) == ("", 107)
    assert os.listdir(folders[0]) == []
    again = [file for file in spool.found(folders[1]) if file.parts]
    assert again == [whole]


def test_a_part_that_never_comes_is_named(
    folders: tuple[Path, Path], make: Callable[[], tuple[Inbox, list[Spooled], io.StringIO]]
) -> None:
    one, taken, log = make()
    for name in ("x.7z.001", "x.7z.003"):
        drop(folders[0], name, 50)
    for now in (0.0, 10.0, 11.0, 99.0):
        one.look(folders[0], now, 5.0, 100.0)
    assert log.getvalue().count("x.7z: waiting for x.7z.002") == 1
    assert one.mover.results() == []
    one.look(folders[0], 101.0, 5.0, 100.0)
    await_results(one)
    assert [(file.missing, len(file.parts)) for file in taken] == [("x.7z.002", 1)]
    assert spool.upload_of(taken[0]).missing == "x.7z.002"


def test_the_clock_of_a_missing_part_begins_again_with_each_that_comes(
    folders: tuple[Path, Path], make: Callable[[], tuple[Inbox, list[Spooled], io.StringIO]]
) -> None:
    one, _, _ = make()
    drop(folders[0], "x.7z.001", 50)
    one.look(folders[0], 0.0, 5.0, 100.0)
    drop(folders[0], "x.7z.003", 50)
    for now in (90.0, 180.0):
        one.look(folders[0], now, 5.0, 100.0)
    assert one.mover.results() == []


@pytest.mark.needs("7zz")
def test_volumes_that_say_how_many_they_are_need_no_further_wait(
    folders: tuple[Path, Path], make: Callable[[], tuple[Inbox, list[Spooled], io.StringIO]], tmp_path: Path
) -> None:
    (tmp_path / "noise.bin").write_bytes(os.urandom(100_000))
    argv = ["7zz", "a", "-v40k", "x.7z", "noise.bin"]
    subprocess.run(argv, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    one, taken, _ = make()
    volumes = sorted(tmp_path.glob("x.7z.*"))
    for path in volumes[:-1]:
        path.rename(folders[0] / path.name)
    for now in (0.0, 60.0):
        one.look(folders[0], now, 5.0)
    assert one.mover.results() == []
    volumes[-1].rename(folders[0] / volumes[-1].name)
    for now in (61.0, 66.0):
        one.look(folders[0], now, 5.0)
    await_results(one)
    assert len(taken[0].parts) == len(volumes) - 1
    assert (folders[1] / "x.7z.001").exists() is False


def test_an_archive_by_itself_waits_for_nobody(
    folders: tuple[Path, Path], make: Callable[[], tuple[Inbox, list[Spooled], io.StringIO]]
) -> None:
    one, taken, _ = make()
    for name in ("x.zip", "y.rar"):
        drop(folders[0], name, 30)
    for now in (0.0, 5.0):
        one.look(folders[0], now, 5.0)
    await_results(one)
    while len(taken) < 2:
        await_results(one)
    assert sorted(file.name for file in taken) == ["x.zip", "y.rar"]


def test_a_set_that_was_being_moved_goes_back(
    folders: tuple[Path, Path], make: Callable[[], tuple[Inbox, list[Spooled], io.StringIO]]
) -> None:
    half = folders[1] / "gathering-inbox-18eaff66ab086c43-1873000"
    half.mkdir()
    drop(half, "x.7z.001", 50)
    drop(folders[0], "x.7z.002", 7)
    assert list(spool.found(folders[1])) == []
    one, taken, _ = make()
    for now in (0.0, 20.0):
        one.look(folders[0], now, 5.0)
    await_results(one)
    assert [path.name for path in (taken[0].path, *taken[0].parts)] == ["x.7z.001", "x.7z.002"]
    assert len(os.listdir(folders[1])) == 1


def test_what_lies_in_the_way_of_going_back_is_kept(folders: tuple[Path, Path]) -> None:
    half = folders[1] / "gathering-inbox-18eaff66ab086c43-1873000"
    half.mkdir()
    drop(half, "x.7z.001", 50)
    drop(folders[0], "x.7z.001", 60)
    spool.put_back(folders[1], folders[0])
    assert [file.path.stat().st_size for file in spool.found(folders[1])] == [50]
    assert (folders[0] / "x.7z.001").stat().st_size == 60


def test_all_parts_are_moved_or_none(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [folders[0] / f"x.7z.00{number}" for number in (1, 2, 3)]
    for path in paths:
        drop(folders[0], path.name, 9)
    rename = os.rename

    def fail(source: Path, target: Path) -> None:
        if Path(target).name == "x.7z.003" and Path(target).parent != folders[0]:
            raise OSError(errno.ENOSPC, "No space left")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="No space left"):
        spool.take_set(paths, folders[1], "inbox")
    assert sorted(os.listdir(folders[0])) == [path.name for path in paths]
    assert os.listdir(folders[1]) == []


# The spool


def test_from_another_disk_it_is_copied(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def across(source: Path, target: Path) -> None:
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, "another disk")
        rename(source, target)

    monkeypatch.setattr(os, "rename", across)
    path = folders[0] / "a.bin"
    path.write_bytes(os.urandom(3_000_000))
    content = path.read_bytes()
    file = spool.take(path, folders[1], "inbox")
    assert file.path.read_bytes() == content
    assert not path.exists()
    assert os.listdir(file.path.parent) == ["a.bin"]


def test_what_fails_half_way_leaves_the_file_where_it_was(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left")

    monkeypatch.setattr(os, "rename", fail)
    (folders[0] / "a.csv").write_text("1")
    with pytest.raises(OSError, match="No space left"):
        spool.take(folders[0] / "a.csv", folders[1], "inbox")
    assert (folders[0] / "a.csv").exists()
    assert list(spool.folders(folders[1])) == []


@pytest.mark.parametrize("kind", ["link", "socket", "folder"])
def test_only_regular_files_are_taken(kind: str, folders: tuple[Path, Path]) -> None:
    path = folders[0] / "x"
    if kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(path))
    with pytest.raises(OSError):
        spool.take(path, folders[1], "inbox")
    assert os.path.lexists(path)


@example(b".")
@example(b".partial")
@example(b"x" * 240 + b".csv")
@given(st.binary(min_size=1, max_size=255).filter(lambda raw: b"/" not in raw and b"\0" not in raw))
def test_any_name_is_one_that_the_spool_can_have(raw: bytes) -> None:
    name = spool.safe_name(os.fsdecode(raw))
    assert 0 < len(name.encode()) <= 255
    assert "/" not in name and "\n" not in name and name not in (".", "..", spool.PARTIAL)


def test_what_submit_has_left_half_done_is_no_upload(folders: tuple[Path, Path]) -> None:
    folder = spool.new_folder(folders[1], "submit")
    (folder / spool.PARTIAL).write_text("half")
    assert list(spool.found(folders[1])) == []
    assert spool.folder_named(folders[1], folder.name) is None
    for name in ("..", "../inbox", "submit-x", folder.name + "0", ""):
        assert spool.folder_named(folders[1], name) is None


def test_only_what_a_submit_broke_off_is_ever_broken(folders: tuple[Path, Path]) -> None:
    folder = {origin: spool.new_folder(folders[1], origin) for origin in ("inbox", "submit")}
    assert spool.is_broken(folder["submit"], -1.0)
    assert not spool.is_broken(folder["submit"], 1000.0)
    assert not spool.is_broken(folder["inbox"], -1.0), "it is somebody's upload"
    assert not spool.is_broken(folders[1] / "submit-1-1", -1.0)


def test_strange_folders_in_the_spool_are_left_alone(folders: tuple[Path, Path]) -> None:
    (folders[1] / "telegram-7").mkdir()
    assert list(spool.folders(folders[1])) == []
