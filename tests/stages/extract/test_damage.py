"""Damaged archives give what can be read, and say what can't."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.stages.extract.archives import Unseekable, make_tar, make_zip, rows, saved
from tests.stages.extract.conftest import Runner

FILES = [(f"{i}.csv", rows(2000, i)) for i in range(5)]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_cut_short(run: Runner, tmp_path: Path, method: int) -> None:
    data = make_zip(FILES, method)
    cut = data[: data.index(b"3.csv") + 1000]
    job = run(saved(tmp_path, "x.zip", cut))
    assert job.good() == {f"x.zip!/{name}": content for name, content in FILES[:3]}
    assert job.bad() == {"x.zip!/3.csv": "truncated", "x.zip": "truncated"}


def test_a_zip_without_its_table_of_contents(run: Runner, tmp_path: Path) -> None:
    data = make_zip(FILES)
    job = run(saved(tmp_path, "x.zip", data[: data.index(b"PK\1\2")]))
    assert job.good() == {f"x.zip!/{name}": content for name, content in FILES}
    assert job.bad() == {"x.zip": "truncated"}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_streamed_zip_cut_short(run: Runner, tmp_path: Path, method: int) -> None:
    inner = make_zip([("inner.csv", rows(30))], zipfile.ZIP_STORED)
    files = [*FILES[:2], ("nested.zip", inner), FILES[2]]
    buffer = io.BytesIO()
    with zipfile.ZipFile(Unseekable(buffer), "w", method) as archive:  # type: ignore[arg-type]
        for name, content in files:
            archive.writestr(name, content)
    data = buffer.getvalue()
    whole = data[: data.index(b"PK\1\2", data.index(FILES[2][0].encode()))]
    for cut, missing in ((whole, set()), (whole[:-2000], {"x.zip!/2.csv": "truncated"}.items())):
        path = saved(tmp_path, "x.zip", cut)
        job = run(path)
        assert job.bad() == {"x.zip": "truncated", **dict(missing)}
        assert job.good()["x.zip!/nested.zip!/inner.csv"] == rows(30)
        assert [job.good()[f"x.zip!/{name}"] for name, _ in FILES[:2]] == [content for _, content in FILES[:2]]
        assert run(path, batch={"files": 1}, abandon_every=1).table() == job.table()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_cut_short(run: Runner, tmp_path: Path, mode: str) -> None:
    data = make_tar(FILES, mode)
    job = run(saved(tmp_path, "x.tar", data[: len(data) * 3 // 5]))
    assert list(job.good().items())[:2] == [(f"x.tar!/{name}", content) for name, content in FILES[:2]]
    assert set(job.bad().values()) == {"truncated"}


@pytest.mark.parametrize("nested", [False, True])
def test_a_tar_cut_short_in_the_padding_of_its_last_file(run: Runner, tmp_path: Path, nested: bool) -> None:
    cut = make_tar([("a.csv", rows(3)), ("b.csv", rows(5))])[: 512 + 512 + 512 + len(rows(5)) + 9]
    job = run(saved(tmp_path, "x.tar.gz" if nested else "x.tar", gzip.compress(cut) if nested else cut))
    assert list(job.good().values()) == [rows(3), rows(5)]
    assert list(job.bad().values()) == ["truncated"]


def test_an_lzma_file_damaged_at_its_begin(run: Runner, tmp_path: Path) -> None:
    data = bytearray(lzma.compress(rows(100), lzma.FORMAT_ALONE))
    data[5:13] = (10).to_bytes(8, "little")  # it says that it unpacks to less than it does
    assert run(saved(tmp_path, "x.lzma", bytes(data))).code == "corrupt"


def test_an_extended_header_that_leads_nowhere(run: Runner, tmp_path: Path) -> None:
    block = bytearray(tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT))
    block[156:157], block[257:265] = b"g", bytes(8)
    block[124:136] = b"%011o\0" % 6
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert run(saved(tmp_path, "x.tar", bytes(block) + b"0 X=1\n".ljust(512, b"\0"))).code == "corrupt"


def test_a_cpio_without_its_end_mark(run: Runner, tmp_path: Path) -> None:
    header = b"070701" + b"".join(b"%08x" % n for n in (1, 0o100644, 0, 0, 1, 0, 4, 0, 0, 0, 0, 6, 0))
    job = run(saved(tmp_path, "x.cpio", header + b"a.csv\0" + b"1,2\n"))
    assert (job.good(), job.bad()) == ({"x.cpio!/a.csv": b"1,2\n"}, {"x.cpio": "truncated"})


def test_a_tar_with_a_damaged_header(run: Runner, tmp_path: Path) -> None:
    data = bytearray(make_tar(FILES))
    data[data.index(b"2.csv") + 3] ^= 1
    job = run(saved(tmp_path, "x.tar", bytes(data)))
    assert job.good() == {f"x.tar!/{name}": content for name, content in FILES if name != "2.csv"}
    assert job.bad() == {"x.tar!/(damaged part)": "corrupt"}


def test_nothing_can_be_read(run: Runner, tmp_path: Path) -> None:
    packed = gzip.compress(rows(5000))
    assert run(saved(tmp_path, "x.gz", packed[: len(packed) // 2])).code == "truncated"
    assert run(saved(tmp_path, "x.gz", packed[:20])).code == "truncated"
    assert run(saved(tmp_path, "x.gz", packed[:5000] + b"\xff" * 5000 + packed[10000:])).code == "corrupt"
    assert run(saved(tmp_path, "x.zip", make_zip(FILES)[:60])).code == "truncated"
    wrong = bytearray(packed)
    wrong[-6] ^= 1
    assert run(saved(tmp_path, "x.gz", bytes(wrong))).code == "corrupt"


def test_a_damaged_nested_archive_is_one_bad_member(run: Runner, tmp_path: Path) -> None:
    packed = gzip.compress(rows(5000))
    job = run(saved(tmp_path, "x.zip", make_zip([("a.csv", b"1\n"), ("b.gz", packed[:900]), ("c.csv", b"2\n")])))
    assert job.bad() == {"x.zip!/b.gz!/b": "truncated"} or job.bad() == {"x.zip!/b.gz": "truncated"}
    assert list(job.good()) == ["x.zip!/a.csv", "x.zip!/c.csv"]


def test_an_encrypted_entry_among_others(run: Runner, tmp_path: Path) -> None:
    data = bytearray(make_zip(FILES[:2]))
    data[data.index(b"PK\3\4") + 6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    job = run(saved(tmp_path, "x.zip", bytes(data)))
    assert job.bad() == {"x.zip!/0.csv": "encrypted"}
    alone = bytearray(make_zip(FILES[:1]))
    alone[alone.index(b"PK\1\2") + 8] |= 1
    assert run(saved(tmp_path, "x.zip", bytes(alone))).code == "encrypted"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_is_the_workers_to_judge(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = saved(tmp_path, "x.zip", make_zip([*FILES, ("large.bin", bytes(range(256)) * 8000)]))
    write, budget = os.write, [2_000_000]

    def full(fd: int, data: bytes) -> int:
        budget[0] -= len(data)
        if budget[0] < 0:
            raise OSError(number, os.strerror(number))
        return write(fd, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=os.strerror(number)):
        run(path)
    monkeypatch.undo()
    assert os.listdir(run.work) == []
    assert len(run(path).good()) == len(FILES) + 1


@pytest.mark.parametrize(("number", "code"), [(errno.EIO, None), (errno.ESTALE, "unreadable")])
def test_an_upload_that_stops_being_readable(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str | None
) -> None:
    path = saved(tmp_path, "x.tar", make_tar(FILES))
    pread = os.pread

    def fail(fd: int, size: int, offset: int) -> bytes:
        if offset > 1000:
            raise OSError(number, os.strerror(number))
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", fail)
    if code is None:
        with pytest.raises(OSError, match=os.strerror(number)):
            run(path)
    else:
        job = run(path)
        assert job.code == code or set(job.bad().values()) == {code}
