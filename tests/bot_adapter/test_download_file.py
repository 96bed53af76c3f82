from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from bot_adapter import download_file
from bot_adapter.download_file import PART_BYTES, PartFile

SIZE = 3 * PART_BYTES + 100
DATA = os.urandom(SIZE)


def _part(number: int) -> bytes:
    return DATA[number * PART_BYTES : (number + 1) * PART_BYTES]


def _opened(folder: Path, *, document: int = 7, size: int = SIZE) -> PartFile:
    return PartFile(folder / "x.zip", document, size).open()


def _write(file: PartFile, *parts: int) -> None:
    async def write() -> None:
        for number in parts:
            await file.write(number, _part(number))

    asyncio.run(write())


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    file = _opened(tmp_path)
    _write(file, 3, 0, 2)
    assert not (tmp_path / "x.zip").exists()
    assert file.missing() == [1]
    _write(file, 1)
    asyncio.run(file.finish())
    file.close()
    assert (tmp_path / "x.zip").read_bytes() == DATA
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["x.zip"]


def test_the_disk_is_reserved_before_the_first_byte(tmp_path: Path) -> None:
    file = _opened(tmp_path)
    assert (tmp_path / "x.zip.part").stat().st_blocks * 512 >= SIZE
    file.close()


def test_a_full_disk_is_said_and_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        os.ftruncate(descriptor, length // 2)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        _opened(tmp_path)
    assert (tmp_path / "x.zip.part").stat().st_size == 0


def test_what_is_there_is_found_again(tmp_path: Path) -> None:
    file = _opened(tmp_path)
    _write(file, 0, 3)
    # Nothing is closed: that is how kill -9 leaves it.
    again = _opened(tmp_path)
    assert again.missing() == [1, 2]
    assert again.done_bytes == PART_BYTES + 100
    _write(again, 1, 2)
    asyncio.run(again.finish())
    assert (tmp_path / "x.zip").read_bytes() == DATA
    for one in (file, again):
        one.close()


def test_after_a_power_cut_only_what_was_synced_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_file, "_SYNC_BYTES", 2 * PART_BYTES)
    file = _opened(tmp_path)

    async def write() -> None:
        await file.write(0, _part(0))
        await file.write(1, _part(1))
        assert file._syncing is not None
        await file._syncing
        await file.write(2, _part(2))

    asyncio.run(write())
    file.close()
    monkeypatch.setattr(download_file, "_boot_id", lambda: b"another boot".ljust(40, b"\0"))
    again = _opened(tmp_path)
    assert again.missing() == [2, 3]
    again.close()


def test_nothing_is_marked_durable_before_its_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_file, "_SYNC_BYTES", 1)

    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    file = _opened(tmp_path)

    async def write() -> None:
        await file.write(0, _part(0))
        with pytest.raises(OSError, match="Input/output"):
            await file.finish()

    asyncio.run(write())
    file.close()
    monkeypatch.setattr(download_file, "_boot_id", lambda: b"another boot".ljust(40, b"\0"))
    again = _opened(tmp_path)
    assert again.missing() == [0, 1, 2, 3]
    again.close()


@pytest.mark.parametrize(("document", "size"), [(8, SIZE), (7, SIZE + 1)])
def test_another_file_of_that_name_begins_anew(tmp_path: Path, document: int, size: int) -> None:
    file = _opened(tmp_path)
    _write(file, 0)
    file.close()
    other = _opened(tmp_path, document=document, size=size)
    assert other.missing() == [0, 1, 2, 3]
    other.close()


@pytest.mark.parametrize("damage", ["missing", "empty", "short", "noise"])
def test_a_map_that_cant_be_trusted_isnt(tmp_path: Path, damage: str) -> None:
    file = _opened(tmp_path)
    _write(file, 0)
    file.close()
    path = tmp_path / "x.zip.part.map"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "short": path.read_bytes()[:-1], "noise": os.urandom(80)}[damage])
    again = _opened(tmp_path)
    assert again.missing() == [0, 1, 2, 3]
    again.close()


def test_a_part_file_that_was_cut_begins_anew(tmp_path: Path) -> None:
    file = _opened(tmp_path)
    _write(file, 0)
    file.close()
    os.truncate(tmp_path / "x.zip.part", 10)
    again = _opened(tmp_path)
    assert again.missing() == [0, 1, 2, 3]
    again.close()


def test_an_empty_file_is_whole_at_once(tmp_path: Path) -> None:
    file = _opened(tmp_path, size=0)
    assert file.missing() == []
    asyncio.run(file.finish())
    file.close()
    assert (tmp_path / "x.zip").read_bytes() == b""
