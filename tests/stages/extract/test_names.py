"""Names from old systems read right, and a guess is said to be one."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from stages.extract import names
from tests.stages.extract.archives import make_tar, saved
from tests.stages.extract.conftest import Runner

CASES = {
    "cp866": ["Отчёт за март.csv", "ДАННЫЕ/Продажи 2023.xlsx", "Новая папка/файл.txt", "привет.csv", "Счет №5.pdf"],
    "gbk": ["数据/销售报表.csv", "新建文件夹/用户信息.xlsx", "测试.txt", "二零二三年度财务报告.csv"],
    "cp932": ["データ/売上一覧.csv", "新しいフォルダー/テスト.txt", "表示.csv", "ソース.csv", "日本語ファイル名.txt"],
    "cp437": ["Größe.csv", "résumé.txt", "Übersicht März.csv", "niño.csv", "Straße/Änderung.txt"],
}


def zip_with_raw_names(raws: list[bytes], system: int = 0, extra: bytes = b"") -> bytes:
    """A zip whose entries are named by RAWS, without the UTF-8 flag."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i, raw in enumerate(raws):
            info = zipfile.ZipInfo(f"{i:02}" + "x" * (len(raw) - 2))
            info.create_system, info.extra = system, extra
            archive.writestr(info, b"1")
    data = buffer.getvalue()
    for i, raw in enumerate(raws):
        data = data.replace(f"{i:02}".encode() + b"x" * (len(raw) - 2), raw)
    return data


@pytest.mark.parametrize(("encoding", "name"), [(code, name) for code, group in CASES.items() for name in group])
def test_a_single_name(encoding: str, name: str) -> None:
    text, notes = names.decode(name.encode(encoding))
    assert text == name
    assert notes == (f"name decoded as {encoding} (guess)",)


@pytest.mark.parametrize("encoding", CASES)
def test_an_archive_has_one_encoding(run: Runner, tmp_path: Path, encoding: str) -> None:
    wanted = [*CASES[encoding], "plain.csv"]
    job = run(saved(tmp_path, "x.zip", zip_with_raw_names([name.encode(encoding) for name in wanted])))
    assert [m.path for m in job.members] == [f"x.zip!/{name}" for name in wanted]
    assert [bool(m.notes) for m in job.members] == [True] * len(CASES[encoding]) + [False]


def test_backslashes_are_looked_for_after_decoding(run: Runner, tmp_path: Path) -> None:
    raw = "表\\ソ.csv".encode("cp932")
    assert raw.count(b"\\") == 3
    job = run(saved(tmp_path, "x.zip", zip_with_raw_names([raw])))
    assert job.members[0].path == "x.zip!/表/ソ.csv"


def test_the_unicode_field_wins_where_it_belongs_to_the_name(run: Runner, tmp_path: Path) -> None:
    for crc, wanted in ((zlib.crc32(b"abc"), "ж"), (1, "abc")):
        field = b"\1" + struct.pack("<L", crc) + "ж".encode()
        extra = struct.pack("<HH", 0x7075, len(field)) + field
        job = run(saved(tmp_path, "x.zip", zip_with_raw_names([b"abc"], extra=extra)))
        assert job.members[0].path == f"x.zip!/{wanted}"


def test_utf8_without_its_flag(run: Runner, tmp_path: Path) -> None:
    job = run(saved(tmp_path, "x.zip", zip_with_raw_names(["Отчёт.csv".encode()])))
    assert (job.members[0].path, job.members[0].notes) == ("x.zip!/Отчёт.csv", ())


def test_control_and_direction_characters_are_written_out(run: Runner, tmp_path: Path) -> None:
    job = run(saved(tmp_path, "x.tar", make_tar([("a\x1b[31m\u202egpj.csv", b"1")])))
    assert job.members[0].path == "x.tar!/a\\x1b[31m\\x202egpj.csv"


@pytest.mark.parametrize(
    ("name", "stored", "wanted"),
    [
        ("x.csv.gz", "", "x.csv"),
        ("x.tgz", "", "x.tar"),
        ("dir/x.CSV.XZ", "", "x.CSV"),
        ("x", "kept.csv", "kept.csv"),
        ("x", "../../etc/passwd", "passwd"),
        ("x", "", "x"),
        (".gz", "", ".gz"),
        ("x.csv.gz.001", "", "x.csv"),
    ],
)
def test_what_is_in_a_single_file(name: str, stored: str, wanted: str) -> None:
    assert names.inner(name, stored) == wanted
