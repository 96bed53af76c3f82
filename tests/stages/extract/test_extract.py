"""What comes out of an upload: a plain file as it is, an archive's members, an answer where nothing can."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline.model import Done
from stages.handover import Place
from tests.stages.extract.archives import Unseekable, make_tar, make_zip, mixture, rows, saved
from tests.stages.extract.conftest import Runner

SMALL = rows(30)
LARGE = rows(80_000)
FILES = [("a.csv", SMALL), ("folder/b.csv", LARGE), ("c.csv", rows(3, 9)), ("empty", b"")]


def test_a_plain_file_is_passed_on_where_it_lies_and_nothing_is_written(run: Runner, tmp_path: Path) -> None:
    path = saved(tmp_path, "plain.csv", SMALL)
    job = run(path)
    assert os.listdir(run.work) == []
    (member,) = job.members
    assert (member.path, member.size, member.sha256) == ("plain.csv", len(SMALL), "of-intake")
    assert member.place == Place(str(path), 0, len(SMALL))
    assert job.outputs[0].names == ()


@pytest.mark.parametrize("first", ["[Content_Types].xml", "META-INF/MANIFEST.MF", "_rels/.rels"])
def test_a_document_that_is_a_zip_inside_is_passed_on_whole(run: Runner, tmp_path: Path, first: str) -> None:
    document = make_zip([(first, b"<x/>"), ("xl/workbook.xml", SMALL)])
    job = run(saved(tmp_path, "book.xlsx", document))
    assert [m.path for m in job.members] == ["book.xlsx"]
    nested = run(saved(tmp_path, "o.zip", make_zip([("a.csv", SMALL), ("book.xlsx", document)])))
    assert nested.good() == {"o.zip!/a.csv": SMALL, "o.zip!/book.xlsx": document}


def test_an_open_document_is_passed_on_whole(run: Runner, tmp_path: Path) -> None:
    data = make_zip(
        [("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"), ("content.xml", LARGE)], zipfile.ZIP_STORED
    )
    job = run(saved(tmp_path, "o.zip", make_zip([("sheet.ods", data)])))
    assert job.good() == {"o.zip!/sheet.ods": data}
    assert run.left_over(job) == set()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_zip(run: Runner, tmp_path: Path, method: int) -> None:
    job = run(saved(tmp_path, "x.zip", make_zip(FILES, method)))
    assert job.good() == {f"x.zip!/{name}": data for name, data in FILES}
    assert all(m.sha256 == hashlib.sha256(job.contents[m.number] or b"").hexdigest() for m in job.members)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar(run: Runner, tmp_path: Path, mode: str, form: int) -> None:
    files = [*FILES, ("n" * 90 + "/" + "m" * 90, b"long"), ("häß.csv", b"umlaut")]
    job = run(saved(tmp_path, "x.tar", make_tar(files, mode, form)))
    assert job.good() == {f"x.tar!/{name}": data for name, data in files}


def test_names_beyond_the_header(run: Runner, tmp_path: Path) -> None:
    name = "d" * 300 + "/ж" * 100
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        job = run(saved(tmp_path, "x.tar", make_tar([(name, SMALL)], "w", form)))
        assert job.good() == {f"x.tar!/{name}": SMALL}


@pytest.mark.parametrize("packer", [gzip.compress, __import__("bz2").compress, __import__("lzma").compress])
def test_a_single_compressed_file(run: Runner, tmp_path: Path, packer: object) -> None:
    for data in (SMALL, LARGE):
        packed = packer(data) + packer(b"more\n")  # type: ignore[operator]
        job = run(saved(tmp_path, "x.csv.gz", packed))
        assert job.good() == {"x.csv.gz!/x.csv": data + b"more\n"}


@pytest.mark.parametrize("tool", ["gzip", "zstd", "lz4", "xz", "bzip2", "lzma"])
def test_what_the_tools_compress(run: Runner, tmp_path: Path, tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} isn't installed")
    for data in (SMALL, LARGE, make_tar(FILES)):
        packed = subprocess.run([tool, "-1", "-c"], input=data, capture_output=True, check=True).stdout
        job = run(saved(tmp_path, "x", packed))
        assert list(job.good().values()) == ([d for _, d in FILES] if data[:5] == b"a.csv" else [data])


def test_zip64_and_streamed_entries(run: Runner, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(Unseekable(buffer), "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, data in FILES:
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(data)
    job = run(saved(tmp_path, "x.zip", buffer.getvalue()))
    assert job.good() == {f"x.zip!/{name}": data for name, data in FILES}


def test_everything_nested(run: Runner, tmp_path: Path) -> None:
    job = run(saved(tmp_path, "m.zip", mixture()))
    assert isinstance(job.outcome, Done)
    deep = {f"z{i}.csv": rows(50, i) for i in range(7)}
    assert job.good() == {
        "m.zip!/one.csv": rows(20),
        "m.zip!/folder/two.csv": rows(60_000, 2),
        "m.zip!/inner.tar!/first.csv": rows(40),
        **{f"m.zip!/inner.tar!/deep.zip!/{name}": data for name, data in deep.items()},
        "m.zip!/inner.tar!/last.csv": rows(30),
        "m.zip!/large.tar.gz!/large.csv": rows(90_000),
        "m.zip!/large.tar.gz!/more.csv": rows(10),
        **{f"m.zip!/large.tar.gz!/deep.zip!/{name}": data for name, data in deep.items()},
        "m.zip!/stored.zip!/a.bin": job.good()["m.zip!/stored.zip!/a.bin"],
        "m.zip!/stored.zip!/b.csv": rows(5),
        "m.zip!/three.csv.gz!/three.csv": rows(100, 3),
        "m.zip!/empty.csv": b"",
        "m.zip!/four.csv": rows(200, 4),
    }
    assert job.bad() == {"m.zip!/damaged.csv": "corrupt", "m.zip!/nothing.zip": "empty"}
    assert run.left_over(job) == set()


def test_small_members_share_a_file_and_like_ones_lie_together(run: Runner, tmp_path: Path) -> None:
    files = [(f"{i}.csv", (b"a,b\n" if i % 2 else b"x,y\n") + b"%d,1\n" % i) for i in range(10)]
    job = run(saved(tmp_path, "x.zip", make_zip(files)))
    assert len(job.outputs[0].names) == 1
    in_place = sorted(job.members, key=lambda m: m.place.offset if m.place else 0)
    headers = [(job.contents[m.number] or b"")[:3] for m in in_place]
    assert headers == [b"a,b"] * 5 + [b"x,y"] * 5


def test_batches_close_by_bytes_and_files(run: Runner, tmp_path: Path) -> None:
    path = saved(tmp_path, "x.zip", make_zip([(f"{i}.csv", b"x" * 100) for i in range(10)]))
    assert [o.files for o in run(path, batch={"files": 4}).outputs] == [4, 4, 2]
    assert [o.files for o in run(path, batch={"bytes": 250}).outputs] == [3, 3, 3, 1]


def test_names_are_metadata_only(run: Runner, tmp_path: Path) -> None:
    names = ["../../etc/passwd", "/abs/olute", "a.csv", "A.csv", "a.csv", "x" * 4000, "new\nline", "C:\\dir\\x.csv"]
    with pytest.warns(UserWarning, match="Duplicate"):
        data = make_zip([(name, name.encode()) for name in names])
    job = run(saved(tmp_path, "x.zip", data))
    assert [job.contents[i] for i in range(len(names))] == [name.encode() for name in names]
    assert job.members[6].path == "x.zip!/new\\x0aline"
    assert run.left_over(job) == set()
    assert all(name.startswith("1-0-extract-1-1.") for name in os.listdir(run.work))


def test_links_and_devices_are_recorded_and_not_made(run: Runner, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"kind{kind.decode()}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    job = run(saved(tmp_path, "x.tar", buffer.getvalue()))
    assert set(job.bad().values()) == {"unsafe"}
    assert len(job.bad()) == 5
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        zipped.writestr(link, "/etc/passwd")
    assert run(tmp_path / "x.zip").bad() == {"x.zip!/link": "unsafe"}


def test_what_was_packed_out_of_a_pipe_is_a_file(run: Runner, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in (("-", b"a,b\n"), ("fifo", b"")):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (stat.S_IFIFO | 0o600) << 16
            archive.writestr(info, data)
    job = run(saved(tmp_path, "x.zip", buffer.getvalue()))
    assert (job.good(), job.bad()) == ({"x.zip!/-": b"a,b\n"}, {"x.zip!/fifo": "unsafe"})


def test_an_upload_that_is_gone_changed_or_empty(run: Runner, tmp_path: Path) -> None:
    assert run(saved(tmp_path, "none", b"")).code == "empty"
    assert run(saved(tmp_path, "no.zip", make_zip([]))).code == "empty"
    assert run(saved(tmp_path, "no.zip", make_zip([("only/", b"")]))).code == "empty"


def test_progress_is_told_within_a_member(run: Runner, tmp_path: Path) -> None:
    job = run(saved(tmp_path, "x.gz", gzip.compress(rows(20_000) * 20, 1)))
    done = [amount for _, amount in job.desk.told]
    assert done == sorted(done)
    assert max(b - a for a, b in itertools.pairwise(done)) <= 4 << 20
    assert len(done) > 3
