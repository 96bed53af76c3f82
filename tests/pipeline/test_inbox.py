"""The inbox and the spool: what is quiet is moved in whole, what is being written is left, and nothing is lost."""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import socket
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
    assert quiet.look([("a", seen(1))], 0.0, 5.0) == []
    assert quiet.look([("a", seen(2)), ("b", seen(1))], 3.0, 5.0) == []
    assert quiet.look([("a", seen(2)), ("b", seen(1))], 7.9, 5.0) == []
    assert quiet.look([("a", seen(2)), ("b", seen(1, inode=9))], 8.0, 5.0) == ["a"]
    assert quiet.look([("b", seen(1, inode=9))], 13.0, 5.0) == ["b"]
    assert quiet.look([("a", seen(2))], 14.0, 5.0) == [], "it went and came again"


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
