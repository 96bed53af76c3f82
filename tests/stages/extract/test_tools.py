"""Archives that need a program: what 7zz and unrar read, what they refuse, and what is said where they are missing."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from pipeline.model import Reject
from stages.extract.formats import sevenzip
from stages.extract.split import Listed, MembersFile
from stages.extract.sums import crc16
from tests.stages.extract.archives import make_tar, make_zip, rows, saved
from tests.stages.extract.conftest import Runner

FILES = {
    "a.csv": rows(3000),
    "sub/b.csv": rows(60_000, 2),
    "empty": b"",
    "sub/c.bin": random.Random(1).randbytes(70_000),
    "z.csv": rows(10, 5),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    for name, data in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def packed(tree: Path, *argv: str, archive: str) -> Path:
    """What a tool makes of the tree."""
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} isn't installed")
    path = tree.parent / archive
    subprocess.run([*argv, str(path), "."], cwd=tree, check=True, capture_output=True)
    return path


def zz(tree: Path, archive: str, *switches: str) -> Path:
    if shutil.which("7zz") is None:
        pytest.skip("7zz isn't installed")
    path = tree.parent / archive
    subprocess.run(["7zz", "a", *switches, str(path), "."], cwd=tree, check=True, capture_output=True)
    return path


def rar(tree: Path, archive: str, *switches: str) -> Path:
    if shutil.which("rar") is None or shutil.which("unrar") is None:
        pytest.skip("rar or unrar isn't installed")
    path = tree.parent / archive
    subprocess.run(["rar", "a", "-r", *switches, str(path), "."], cwd=tree, check=True, capture_output=True)
    return path


def names_of(archive: Path) -> dict[str, bytes]:
    return {f"{archive.name}!/{name}": data for name, data in FILES.items()}


@pytest.mark.parametrize("switches", [(), ("-ms=off",), ("-m0=PPMd",), ("-m0=BZip2",), ("-m0=Copy",), ("-mf=BCJ2",)])
def test_7z(run: Runner, tree: Path, switches: tuple[str, ...]) -> None:
    archive = zz(tree, "x.7z", *switches)
    for every in (0, 1):
        job = run(archive, batch={"files": 2}, abandon_every=every)
        assert job.good() == names_of(archive)
        assert job.bad() == {}


@pytest.mark.parametrize("method", ["Deflate64", "PPMd", "LZMA", "BZip2"])
def test_zips_of_other_methods(run: Runner, tree: Path, method: str) -> None:
    archive = zz(tree, "x.zip", f"-mm={method}")
    for every in (0, 1):
        assert run(archive, batch={"files": 2}, abandon_every=every).good() == names_of(archive)


@pytest.mark.parametrize(
    ("name", "switches"),
    [("x.7z", ()), ("h.7z", ("-mhe=on",)), ("c.zip", ("-mem=ZipCrypto",)), ("a.zip", ("-mem=AES256",))],
)
def test_passwords(run: Runner, tree: Path, name: str, switches: tuple[str, ...]) -> None:
    password = "se cret-ö" if name.endswith(".7z") else "se cret"
    archive = zz(tree, name, f"-p{password}", *switches)
    assert run(archive).code == "encrypted"
    assert run(archive, password="wrong").code == "encrypted"
    job = run(archive, password=password)
    assert job.good() == names_of(archive)
    assert job.bad() == {}


def test_a_password_is_in_no_argument(run: Runner, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zz(tree, "x.7z", "-pmuchsecret")
    seen: list[str] = []
    popen = subprocess.Popen

    def spy(argv: list[str], **how: object) -> object:
        seen.extend(argv)
        return popen(argv, **how)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", spy)
    assert run(archive, password="muchsecret").good() == names_of(archive)
    assert seen
    assert not any("muchsecret" in part for part in seen)


def test_an_archive_of_which_only_some_files_are_encrypted(run: Runner, tree: Path) -> None:
    zz(tree, "x.zip", "-x!z.csv")
    (tree.parent / "only").mkdir()
    (tree / "z.csv").rename(tree.parent / "only" / "z.csv")
    archive = zz(tree.parent / "only", "x.zip", "-psecret")
    for password in (None, "wrong"):
        job = run(archive, password=password)
        assert job.bad() == {"x.zip!/z.csv": "encrypted"}
        assert len(job.good()) == len(FILES) - 1
    assert run(archive, password="secret").good() == names_of(archive)


@pytest.mark.parametrize("switches", [(), ("-s",), ("-m0",), ("-v20k",)])
def test_rar(run: Runner, tree: Path, switches: tuple[str, ...]) -> None:
    archive = rar(tree, "x.rar", *switches)
    if "-v20k" in switches:
        archive = next(path for path in tree.parent.glob("x.part*1.rar") if path.stem.lstrip("x.part0") == "1")
    for every in (0, 1):
        job = run(archive, batch={"files": 2}, abandon_every=every)
        assert job.good() == names_of(archive)
        assert job.bad() == {}


def test_a_later_volume_alone(run: Runner, tree: Path) -> None:
    rar(tree, "x.rar", "-v20k")
    second = next(path for path in tree.parent.glob("x.part*2.rar") if path.stem.lstrip("x.part0") == "2")
    assert run(second).code == "missing_volume"
    first = second.with_name(second.name.replace("2.rar", "1.rar"))
    second.unlink()
    job = run(first)
    assert job.code == "missing_volume" or "missing_volume" in job.bad().values()


@pytest.mark.parametrize("switches", [("-psecret",), ("-hpsecret",)])
def test_rar_passwords(run: Runner, tree: Path, switches: tuple[str, ...]) -> None:
    archive = rar(tree, "x.rar", *switches)
    assert run(archive).code == "encrypted"
    assert run(archive, password="wrong").code == "encrypted"
    assert run(archive, password="secret").good() == names_of(archive)


def test_a_damaged_7z_gives_the_rest(run: Runner, tree: Path) -> None:
    archive = zz(tree, "x.7z", "-ms=off", "-mx=1")
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    job = run(archive)
    assert len(job.bad()) == 1
    assert list(job.bad().values()) == ["corrupt"]
    assert job.good() == {name: data for name, data in names_of(archive).items() if name not in job.bad()}
    for every in (1, 2):
        assert run(archive, batch={"files": 1}, abandon_every=every).table() == job.table()


def test_a_damaged_solid_archive_gives_what_comes_before(run: Runner, tree: Path) -> None:
    for archive in (zz(tree, "x.7z"), rar(tree, "x.rar", "-s")):
        data = bytearray(archive.read_bytes())
        for at in range(len(data) * 2 // 3, len(data) * 2 // 3 + 40):
            data[at] ^= 0x5A
        archive.write_bytes(data)
        job = run(archive)
        whole = names_of(archive)
        assert job.bad()
        assert all(job.good()[name] == whole[name] for name in job.good())
        assert set(job.good()) | {name for name in job.bad() if "!/" in name} == set(whole)


def test_truncated(run: Runner, tree: Path) -> None:
    archive = zz(tree, "x.7z")
    archive.write_bytes(archive.read_bytes()[:-100])
    assert run(archive).code in ("truncated", "corrupt")


def test_nested(run: Runner, tree: Path) -> None:
    inner = zz(tree, "x.7z").read_bytes()
    archive = saved(tree.parent, "o.zip", make_zip([("x.7z", inner), ("t.tar", make_tar([("y.7z", inner)]))]))
    job = run(archive)
    assert job.good() == {
        f"o.zip!/{at}!/{name}": data for at in ("x.7z", "t.tar!/y.7z") for name, data in FILES.items()
    }
    assert run.left_over(job) == set()


def test_programs_run_one_at_a_time_however_archives_are_nested(run: Runner, tree: Path) -> None:
    inner = rar(tree, "i.rar").read_bytes()
    outer = tree.parent / "outer"
    outer.mkdir()
    saved(outer, "a.7z", zz(tree, "a.7z").read_bytes())
    saved(
        outer, "b.tar.gz", make_tar([("big.bin", os.urandom(3_000_000)), ("i.rar", inner), ("z.csv", rows(50))], "w:gz")
    )
    saved(outer, "c.csv", rows(1000) * 100)
    big = os.urandom(3_000_000)
    for archive in (
        zz(outer, "o.7z", "-mx=1"),
        saved(tree.parent, "o.tar.xz", make_tar([("i.rar", inner), ("big.bin", big), ("a.7z", inner)], "w:xz")),
    ):
        undisturbed = run(archive)
        assert undisturbed.bad() == {}
        assert sum(name.endswith("/z.csv") for name in undisturbed.good()) == (3 if archive.name == "o.7z" else 2)
        assert run(archive, batch={"files": 3}, abandon_every=1).table() == undisturbed.table()


def test_links_in_archives_of_tools(run: Runner, tree: Path) -> None:
    (tree / "link").symlink_to("/etc/passwd")
    for archive in (zz(tree, "x.7z", "-snl"), zz(tree, "c.zip", "-snl", "-psecret"), rar(tree, "x.rar", "-ol")):
        job = run(archive, password="secret" if archive.name == "c.zip" else None)
        assert job.bad() == {f"{archive.name}!/link": "unsafe"}
        assert job.good() == names_of(archive)


@pytest.mark.parametrize("kind", ["newc", "crc", "odc", "bin"])
def test_cpio(run: Runner, tree: Path, kind: str) -> None:
    if shutil.which("cpio") is None:
        pytest.skip("cpio isn't installed")
    names = "".join(f"{path.relative_to(tree)}\n" for path in tree.rglob("*"))
    made = subprocess.run(["cpio", "-o", "-H", kind], input=names.encode(), cwd=tree, capture_output=True, check=True)
    archive = saved(tree.parent, "x.cpio", made.stdout)
    for every in (0, 1):
        assert run(archive, batch={"files": 2}, abandon_every=every).good() == names_of(archive)
    cut = run(saved(tree.parent, "x.cpio", made.stdout[: len(made.stdout) // 2]))
    assert "truncated" in (cut.code, *cut.bad().values())


def test_ar(run: Runner, tree: Path) -> None:
    if shutil.which("ar") is None:
        pytest.skip("ar isn't installed")
    (tree / ("long" * 20)).write_bytes(b"odd")
    subprocess.run(["ar", "rc", "../x.a", "a.csv", "long" * 20, "z.csv"], cwd=tree, check=True)
    job = run(tree.parent / "x.a")
    expected = {"a.csv": FILES["a.csv"], "long" * 20: b"odd", "z.csv": FILES["z.csv"]}
    assert job.good() == {f"x.a!/{name}": data for name, data in expected.items()}


@pytest.mark.parametrize(("tool", "name"), [("compress", "a.csv.Z"), ("lzip", "a.csv.lz")])
def test_other_single_files(run: Runner, tmp_path: Path, tool: str, name: str) -> None:
    if shutil.which(tool) is None or shutil.which("7zz") is None:
        pytest.skip(f"{tool} isn't installed")
    made = subprocess.run([tool, "-c"], input=FILES["sub/b.csv"], capture_output=True, check=True).stdout
    assert run(saved(tmp_path, name, made)).good() == {f"{name}!/a.csv": FILES["sub/b.csv"]}


def test_iso(run: Runner, tree: Path) -> None:
    archive = packed(tree, "genisoimage", "-quiet", "-R", "-o", archive="x.iso")
    assert run(archive).good() == names_of(archive)


@pytest.mark.needs("7zz")
@pytest.mark.parametrize("kind", ["xar", "iso9660"])
def test_what_libarchive_writes(run: Runner, tree: Path, kind: str) -> None:
    archive = packed(tree, "bsdtar", "--format", kind, "-cf", archive=f"x.{kind[:3]}")
    found = {
        path.removeprefix(f"{archive.name}!/").removeprefix("./"): data for path, data in run(archive).good().items()
    }
    assert found == FILES


def make_cab(files: dict[str, bytes]) -> bytes:
    """A cabinet whose one folder isn't compressed."""
    data = b"".join(files.values())
    blocks = [data[at : at + 32768] for at in range(0, len(data), 32768)]
    entries, offset = b"", 0
    for name, content in files.items():
        entries += struct.pack("<IIHHHH", len(content), offset, 0, 0x58C1, 0, 0x20) + name.encode() + b"\0"
        offset += len(content)
    body = b"".join(struct.pack("<IHH", 0, len(block), len(block)) + block for block in blocks)
    begins = 36 + 8 + len(entries)
    head = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, begins + len(body), 0, 44, 0, 3, 1, 1, len(files), 0, 0, 0)
    return head + struct.pack("<IHH", begins, len(blocks), 0) + entries + body


@pytest.mark.needs("7zz")
def test_cab(run: Runner, tmp_path: Path) -> None:
    files = {"a.csv": FILES["a.csv"], "b.csv": FILES["sub/b.csv"]}
    whole = make_cab(files)
    assert run(saved(tmp_path, "x.cab", whole)).good() == {f"x.cab!/{name}": data for name, data in files.items()}
    cut = run(saved(tmp_path, "y.cab", whole[: len(whole) // 2]))
    assert cut.code in ("truncated", "corrupt") or set(cut.bad().values()) <= {"truncated", "corrupt"}


def lzh_entry(name: bytes, data: bytes, method: bytes = b"-lh0-", level: int = 0) -> bytes:
    """An entry of an lzh whose data isn't compressed."""
    body = method + struct.pack("<LLLBB", len(data), len(data), 0, 0x20, level) + bytes([len(name)]) + name
    body += crc16(data).to_bytes(2, "little")
    return bytes([len(body), sum(body) % 256]) + body + data


@pytest.mark.needs("7zz")
def test_lzh(run: Runner, tmp_path: Path) -> None:
    good = lzh_entry(b"a.csv", FILES["a.csv"])
    data = good + lzh_entry(b"old.bin", b"x" * 50, b"-lh1-") + lzh_entry(b"bad.csv", b"MARK") + lzh_entry(b"z", b"1")
    job = run(saved(tmp_path, "x.lzh", data.replace(b"MARK", b"MARL") + b"\0"))
    assert job.good() == {"x.lzh!/a.csv": FILES["a.csv"], "x.lzh!/z": b"1"}
    assert job.bad() == {"x.lzh!/old.bin": "unsupported", "x.lzh!/bad.csv": "corrupt"}
    assert run(saved(tmp_path, "x.lzh", lzh_entry(b"a.csv", b"1" * 99, level=3))).code == "unsupported"


@pytest.mark.needs("7zz")
@pytest.mark.parametrize(
    ("encoding", "wanted"),
    [
        ("cp932", ["表.txt", "漢字.txt", "一覧表/データ.csv", "表だよ/漢字.txt"]),
        ("cp866", ["Мир/Отчёт.csv", "привет.csv", "ПРИВЕТ.csv"]),
    ],
)
def test_names_of_old_archives(run: Runner, tmp_path: Path, encoding: str, wanted: list[str]) -> None:
    data = b"".join(lzh_entry(name.encode(encoding), name.encode()) for name in wanted)
    job = run(saved(tmp_path, "x.lzh", data + b"\0"))
    assert job.good() == {f"x.lzh!/{name}": name.encode() for name in wanted}
    assert all(member.notes == (f"name decoded as {encoding} (guess)",) for member in job.members)


def test_the_checksum_of_lzh() -> None:
    assert crc16(b"123456789") == 0xBB3D
    assert crc16(b"6789", crc16(b"12345")) == 0xBB3D


@pytest.mark.parametrize(
    ("kind", "methods", "odd"),
    [
        ("7z", "LZMA2:24 BCJ2 7zAES", ""),
        ("7z", "BCJ ZSTD:v1.5", "ZSTD"),
        ("lzh", "-lh7-", ""),
        ("cab", "Quantum:9", ""),
    ],
)
def test_methods_that_the_program_does_not_know(kind: str, methods: str, odd: str) -> None:
    one = sevenzip.listed({"Path": "a", "Size": "3", "Method": methods, "Attributes": "A"}, kind)
    assert (one.present, odd in one.reason.text if one.reason else "") == (not odd, True if odd else "")


def test_where_the_program_is_missing(run: Runner, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archives = [(zz(tree, "x.7z"), "7zip"), (rar(tree, "x.rar"), "unrar")]
    mixed, locked = zz(tree, "x.zip", "-mm=PPMd"), zz(tree, "l.zip", "-psecret")
    monkeypatch.setenv("PATH", "/nowhere")
    for archive, package in archives:
        job = run(archive)
        assert isinstance(job.outcome, Reject)
        assert job.code == "unsupported"
        assert f"apt-get install {package}" in job.outcome.reason.next_step
    assert set(run(mixed).bad().values()) == {"unsupported"}
    assert run(locked, password="secret").code == "unsupported"
    assert run(locked).code == "encrypted"


@pytest.mark.parametrize(("sizes", "vague"), [((3, -1), False), ((-1,), False), ((-1, 0), True), ((2, -1, 4), True)])
def test_a_file_of_unknown_size_may_only_be_the_last(tmp_path: Path, sizes: tuple[int, ...], vague: bool) -> None:
    members = MembersFile(str(tmp_path / "list"))
    members.fill(Listed(f"{number}", b"x", size) for number, size in enumerate(sizes))
    assert members.is_vague is vague
