"""What volumes tell of their number: real ones, made by the programs that people make them with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.volume_sets import rar_goes_on, total
from pipeline.volumes import Part, part_of


def volumes(paths: list[Path]) -> dict[int, tuple[Part, Path]]:
    found = {}
    for path in paths:
        part = part_of(path.name)
        assert part is not None
        found[part.number] = (part, path)
    return found


def packed(folder: Path, *words: str) -> None:
    (folder / "noise.bin").write_bytes(bytes(range(256)) * 400)
    subprocess.run([*words, "noise.bin"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.needs("7zz")
@pytest.mark.parametrize("kind", ["7z", "zip"])
def test_cut_archives(tmp_path: Path, kind: str) -> None:
    packed(tmp_path, "7zz", "a", "-mx0", "-v30k", f"a.{kind}")
    parts = sorted(tmp_path.glob(f"a.{kind}.*"))
    assert total(volumes(parts)) == len(parts) == 4
    assert total(volumes(parts[:-1])) == 4  # one more than there are
    assert total(volumes(parts[:1])) == 2
    assert total(volumes(parts[1:])) is None


@pytest.mark.needs("zip")
def test_split_zip(tmp_path: Path) -> None:
    packed(tmp_path, "zip", "-q", "-0", "-s", "64k", "a.zip")
    parts = sorted(tmp_path.glob("a.z*"))
    assert total(volumes(parts)) == len(parts) == 2
    assert total(volumes([tmp_path / "a.zip"])) == 2
    assert total(volumes([tmp_path / "a.z01"])) is None


def test_a_zip_by_itself_is_one(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "1")
    assert total(volumes([tmp_path / "a.zip"])) == 1


RAR5, RAR4 = b"Rar!\x1a\x07\x01\x00", b"Rar!\x1a\x07\x00"


@pytest.mark.parametrize(
    ("content", "goes_on"),
    [
        (RAR5 + bytes(50) + bytes.fromhex("1d77565103050400"), False),
        (RAR5 + bytes(50) + bytes.fromhex("1d77565103050401"), True),
        (RAR4 + bytes(50) + bytes.fromhex("c43d7b00400700"), False),
        (RAR4 + bytes(50) + bytes.fromhex("c43d7b01400700"), True),
        (RAR5 + bytes(range(64)), None),
        (b"", None),
        (b"no archive", None),
    ],
)
def test_rar_volumes_say_whether_another_follows(tmp_path: Path, content: bytes, goes_on: bool | None) -> None:
    (tmp_path / "a.part1.rar").write_bytes(content)
    assert rar_goes_on(tmp_path / "a.part1.rar") is goes_on
    found = total(volumes([tmp_path / "a.part1.rar"]))
    assert found == (None if goes_on is None else 1 + goes_on)


@pytest.mark.parametrize("name", ["a.7z.001", "a.zip", "a.zip.001", "a.part1.rar", "a.rar", "a.tar.gz.001"])
def test_rubbish_tells_nothing_and_harms_nobody(tmp_path: Path, name: str) -> None:
    for content in (b"", b"7z\xbc\xaf\x27\x1c", b"PK\x05\x06", b"\xff" * 100):
        (tmp_path / name).write_bytes(content)
        assert total(volumes([tmp_path / name])) in (None, 1, 2)
