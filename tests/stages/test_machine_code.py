"""Machine code: made once, whole or not at all, by one process, where it can be written; and the way without it."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stages import machine_code
from stages.convert.kernels import compiled

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def made() -> Path:
    """Where the installation's own lies."""
    place = machine_code.make(None, patient=True)
    assert place is not None
    return place


@pytest.fixture
def package(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package without any; making it takes no time, being a copy."""
    folder = tmp_path / "package"
    folder.mkdir()
    for name in machine_code._SOURCES:
        shutil.copy(made.parents[1] / name, folder)
    monkeypatch.setattr(machine_code, "_PACKAGE", folder)
    monkeypatch.setattr(machine_code, "_compile_into", lambda part: copy_objects(made, part))
    return folder


def copy_objects(made: Path, part: Path) -> None:
    for path in made.glob("*.o"):
        shutil.copy(path, part)


def test_it_lies_with_the_package_and_is_made_once(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    assert machine_code.found(code) is None
    place = machine_code.make(code)
    assert place is not None and place.parent == package / "__pycache__"
    assert machine_code.is_whole(place) and not list(code.iterdir())
    monkeypatch.setattr(machine_code, "_compile_into", lambda part: pytest.fail("it's there"))
    assert machine_code.make(code) == place == machine_code.found(None)


def test_it_lies_in_the_state_directory_where_the_package_cant_be_written(package: Path, tmp_path: Path) -> None:
    (package / "__pycache__").write_text("in the way")
    code = tmp_path / "state/code"
    assert machine_code.make(code) is None  # a state directory is for others to make
    code.parent.mkdir()
    place = machine_code.make(code)
    assert place is not None and place.parent == code


def test_what_was_made_of_other_sources_goes(package: Path) -> None:
    old = package / "__pycache__" / "kernels-0123"
    old.mkdir(parents=True)
    machine_code.make(None)
    assert not old.exists()


def test_a_making_that_was_cut_off_is_begun_anew(package: Path) -> None:
    part = Path(f"{machine_code.places(None)[0]}.part")
    part.mkdir(parents=True)
    (part / "half.o").write_bytes(b"x")
    assert machine_code.found(None) is None
    place = machine_code.make(None)
    assert place is not None and not (place / "half.o").exists() and not part.exists()


def test_code_that_cant_be_run_is_not_kept(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.Kernels, "check", lambda self: (_ for _ in ()).throw(RuntimeError("wrong")))
    with pytest.raises(RuntimeError, match="wrong"):
        machine_code.make(None)
    assert machine_code.found(None) is None


def test_only_one_makes_it(package: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "__pycache__").mkdir()
    lock = os.open(package / "__pycache__/kernels.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert machine_code.make(None) is None
    waiting = threading.Thread(target=machine_code.make, args=(None,), kwargs={"patient": True})
    waiting.start()
    place = machine_code.places(None)[0]
    shutil.copytree(made, place)  # what the other one made
    monkeypatch.setattr(machine_code, "_compile_into", lambda part: pytest.fail("it's there"))
    os.close(lock)
    waiting.join()
    assert machine_code.found(None) == place


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_damaged_code_is_not_loaded(package: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    place = machine_code.make(None)
    assert place is not None
    code = place / "texts.o"
    data = bytearray(code.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "gone":
        code.unlink()
    else:
        code.write_bytes(data if damage == "flipped" else data[:100])
    loader = compiled.Loader()
    with caplog.at_level(logging.ERROR):
        loader.begin(compiled.WORTH)
        assert loader.wait() is None
    assert "more slowly" in caplog.text


def test_without_it_nothing_is_loaded_and_nothing_said(package: Path, caplog: pytest.LogCaptureFixture) -> None:
    loader = compiled.Loader()
    assert loader.wait() is None  # nobody began
    loader.begin(compiled.WORTH)
    assert loader.wait() is None
    machine_code.make(None)
    loader.begin(compiled.WORTH)
    assert loader.wait() is not None
    assert not caplog.records


def test_a_small_file_is_no_reason_to_load_and_many_are(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = compiled.Loader()
    monkeypatch.setattr(compiled, "_loader", loader)
    compiled.begin(compiled.WORTH - 1)
    assert compiled.kernels() is None
    compiled.begin(1)
    assert compiled.kernels() is not None


@pytest.mark.slow
def test_a_start_has_it_made_in_the_background(tmp_path: Path) -> None:
    for package in ("pipeline", "stages"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    begin = "from pathlib import Path; from stages import machine_code; machine_code.begin(Path('code'))"
    wait = "from stages import machine_code; print(machine_code.make(None, patient=True))"
    run = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(tmp_path)}, "check": True}
    subprocess.run([sys.executable, "-c", begin], **run)  # type: ignore[call-overload]
    found = subprocess.run([sys.executable, "-c", wait], **run, capture_output=True, text=True)  # type: ignore[call-overload]
    place = Path(found.stdout.strip())
    assert place.is_relative_to(tmp_path) and machine_code.is_whole(place)


def test_where_a_unit_forbids_to_be_nice_it_is_made_all_the_same(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "nice", forbidden)
    assert machine_code._main([]) == 0
    assert machine_code.found(None) is not None


def test_what_keeps_it_from_being_made_is_said(
    package: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(compiled.Kernels, "check", lambda self: (_ for _ in ()).throw(RuntimeError("wrong")))
    assert machine_code._main([]) == 1
    assert "more slowly: RuntimeError('wrong')" in capfd.readouterr().err
