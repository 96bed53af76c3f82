"""Intake: what it finds, and what it says of a file that can't be taken."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.config import Config, Paths
from pipeline.model import Code, Done, Options, Outcome, Reject, StageName, Taken, Task, Upload, Volume
from stages import intake


class Desk:
    """A desk that remembers the progress, and can act on it."""

    def __init__(self, act: Callable[[int], None] | None = None) -> None:
        self.work = self.library = Path("/nonexistent")
        self.seen: list[int] = []
        self.act = act

    def progress(self, member: int, done_bytes: int) -> None:
        self.seen.append(done_bytes)
        if self.act:
            self.act(done_bytes)

    def start_tool(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def alone(self, program: Path) -> Any:
        raise NotImplementedError


def upload_of(path: Path) -> Upload:
    now = path.stat()
    return Upload(
        path=str(path),
        name=path.name,
        size=now.st_size,
        mtime_ns=now.st_mtime_ns,
        inode=now.st_ino,
        device=now.st_dev,
    )


def run(upload: Upload, desk: Desk | None = None) -> Outcome:
    task = Task(
        job=1, epoch=0, stage=StageName.INTAKE, batch=1, seq=0, attempt=1, payload=b"", upload=upload, options=Options()
    )
    steps = intake.build(Config(paths=Paths(state="/s", library="/l"))).run(task, desk or Desk())
    with pytest.raises(StopIteration) as end:
        next(steps)
    outcome: Outcome = end.value.value
    return outcome


def reason_of(outcome: Outcome) -> tuple[Code, str]:
    assert isinstance(outcome, Reject)
    assert outcome.reason.next_step
    return outcome.reason.code, outcome.reason.text


@pytest.mark.parametrize("size", [1, 20_000, intake.BLOCK_BYTES, 3 * intake.BLOCK_BYTES + 7])
def test_takes_a_file_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(os.urandom(size))
    desk = Desk()
    outcome = run(upload_of(path), desk)
    assert isinstance(outcome, Done)
    assert outcome.finding == Taken(sha256=hashlib.sha256(path.read_bytes()).hexdigest(), size=size)
    assert outcome.output is not None
    assert outcome.output.bytes == size
    assert outcome.output.names == ()
    assert desk.seen[-1] == size


def test_one_stage_takes_several_files(tmp_path: Path) -> None:
    """The buffer is shared: a shorter file must not see the tail of a longer one."""
    stage = intake.build(Config(paths=Paths(state="/s", library="/l")))
    for size in (5000, 10):
        path = tmp_path / f"{size}"
        path.write_bytes(os.urandom(size))
        assert stage._read(upload_of(path), Desk()) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_link_to_a_file_is_fine(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    assert isinstance(run(upload_of(tmp_path / "link")), Done)


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert reason_of(run(upload_of(tmp_path / "a")))[0] is Code.EMPTY


def test_gone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    upload = upload_of(path)
    path.unlink()
    code, text = reason_of(run(upload))
    assert code is Code.UNREADABLE
    assert "gone" in text


def test_directory(tmp_path: Path) -> None:
    code, text = reason_of(run(upload_of(tmp_path)))
    assert code is Code.UNREADABLE
    assert "directory" in text


def test_fifo_and_socket_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name in ("fifo", "socket"):
            code, text = reason_of(run(upload_of(tmp_path / name)))
            assert code is Code.UNREADABLE
            assert "not a regular file" in text


def test_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal is the operating system's in name only."""
    path = tmp_path / "a"
    path.write_bytes(b"x")
    upload = upload_of(path)
    path.chmod(0)
    if os.geteuid() == 0:

        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
    code, text = reason_of(run(upload))
    assert code is Code.UNREADABLE
    assert "may not be read" in text


def test_too_many_open_files_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"x")
    upload = upload_of(tmp_path / "a")

    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    steps = intake.build(Config(paths=Paths(state="/s", library="/l"))).run(
        Task(
            job=1,
            epoch=0,
            stage=StageName.INTAKE,
            batch=1,
            seq=0,
            attempt=1,
            payload=b"",
            upload=upload,
            options=Options(),
        ),
        Desk(),
    )
    with pytest.raises(OSError, match="Too many"):
        next(steps)


def test_changed_before(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    upload = upload_of(path)
    os.utime(path, ns=(1, 1))
    desk = Desk()
    assert reason_of(run(upload, desk))[0] is Code.CHANGED
    assert desk.seen == []  # not a byte of it was read


def test_replaced_by_a_file_of_equal_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    upload = upload_of(path)
    (tmp_path / "b").write_bytes(b"y")
    os.utime(tmp_path / "b", ns=(upload.mtime_ns, upload.mtime_ns))
    (tmp_path / "b").rename(path)
    assert reason_of(run(upload))[0] is Code.CHANGED


def test_still_being_copied(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    upload = upload_of(path)
    path.write_bytes(b"xy")
    code, text = reason_of(run(upload))
    assert code is Code.CHANGED
    assert "still being written" in text


def test_changed_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)

    def grow(_: int) -> None:
        with path.open("ab") as file:
            file.write(b"y")

    for act in (grow, lambda _: os.utime(path, ns=(5, 5))):
        upload = upload_of(path)
        desk = Desk()
        desk.act = lambda done, act=act, desk=desk: act(done) if len(desk.seen) == 1 else None
        assert reason_of(run(upload, desk))[0] is Code.CHANGED


def test_replaced_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    upload = upload_of(path)
    (tmp_path / "b").write_bytes(b"y" * 100)

    def replace(_: int) -> None:
        if (tmp_path / "b").exists():
            (tmp_path / "b").rename(path)

    desk = Desk(replace)
    assert reason_of(run(upload, desk))[0] is Code.CHANGED


def test_an_upload_in_several_files_is_hashed_as_one(tmp_path: Path) -> None:
    contents = [os.urandom(size) for size in (3_000_000, 1, 70_000)]
    uploads = []
    for number, data in enumerate(contents):
        (tmp_path / f"x.7z.00{number + 1}").write_bytes(data)
        uploads.append(upload_of(tmp_path / f"x.7z.00{number + 1}"))
    parts = tuple(
        Volume(path=u.path, size=u.size, mtime_ns=u.mtime_ns, inode=u.inode, device=u.device) for u in uploads[1:]
    )
    whole = msgspec.structs.replace(uploads[0], parts=parts)
    desk = Desk()
    outcome = run(whole, desk)
    assert isinstance(outcome, Done)
    assert outcome.finding == Taken(sha256=hashlib.sha256(b"".join(contents)).hexdigest(), size=3_070_001)
    assert desk.seen == sorted(desk.seen) and desk.seen[-1] == 3_070_001
    os.utime(tmp_path / "x.7z.003", ns=(1, 1))
    outcome = run(whole)
    assert isinstance(outcome, Reject) and outcome.reason.code is Code.CHANGED
    (tmp_path / "x.7z.002").unlink()
    outcome = run(whole)
    assert isinstance(outcome, Reject) and outcome.reason.code is Code.UNREADABLE


def test_a_part_that_never_came_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.part1.rar").write_bytes(b"Rar!")
    outcome = run(msgspec.structs.replace(upload_of(tmp_path / "x.part1.rar"), missing="x.part2.rar"))
    assert isinstance(outcome, Reject)
    assert outcome.reason.code is Code.MISSING_VOLUME
    assert "x.part2.rar" in outcome.reason.text
