"""The limits: each hit is a reason that names its setting and the number reached."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import pytest

from pipeline.config import Extract
from pipeline.model import Reject
from stages.extract.budget import Budget, Spent
from stages.extract.protocol import Stop
from tests.stages.extract.archives import make_tar, make_zip, rows, saved
from tests.stages.extract.conftest import Job, Runner

ZEROS = bytes(3 << 20)


def refusal(job: Job) -> str:
    assert isinstance(job.outcome, Reject)
    return job.outcome.reason.text


@pytest.mark.parametrize(
    "pack", [gzip.compress, lambda d: make_zip([("z", d)]), lambda d: make_tar([("z", d)], "w:gz")]
)
def test_what_grows_out_of_proportion(run: Runner, tmp_path: Path, pack: object) -> None:
    job = run(saved(tmp_path, "x", pack(ZEROS)))  # type: ignore[operator]
    assert job.code == "bomb"
    assert "extract.max_ratio = 200" in refusal(job)
    assert run.left_over(job) == set()
    assert run(saved(tmp_path, "x", pack(ZEROS)), max_ratio=2000).code is None  # type: ignore[operator]


def test_the_first_mebibyte_may_grow_as_it_likes(run: Runner, tmp_path: Path) -> None:
    assert run(saved(tmp_path, "x.gz", gzip.compress(bytes(1 << 20)))).code is None


def test_nested_levels_share_one_budget(run: Runner, tmp_path: Path) -> None:
    inner = make_zip([("a.csv", rows(2000))])
    path = saved(tmp_path, "x.zip", make_zip([("i.zip", inner)]))
    job = run(path, max_bytes=len(rows(2000)) + len(inner) - 1)
    assert job.code == "too_large"
    assert "extract.max_bytes" in refusal(job)


def test_a_member_over_its_limit_is_rejected_alone(run: Runner, tmp_path: Path) -> None:
    for name, data in (
        ("x.zip", make_zip([("a", b"x" * 2_000_000), ("b", b"y" * 1000), ("c", b"z" * 1001)])),
        ("x.tgz", make_tar([("a", b"x" * 2_000_000), ("b", b"y" * 1000), ("c", b"z" * 1001)], "w:gz")),
    ):
        job = run(saved(tmp_path, name, data), max_member_bytes=1000, max_ratio=5000)
        assert job.bad() == {f"{name}!/a": "too_large", f"{name}!/c": "too_large"}
        assert list(job.good()) == [f"{name}!/b"]
        assert not any(".f" in entry.name for entry in run.work.iterdir())


def test_too_many_members(run: Runner, tmp_path: Path) -> None:
    path = saved(tmp_path, "x.zip", make_zip([(str(i), b"x") for i in range(5)]))
    assert run(path, max_members=5).code is None
    job = run(path, max_members=4)
    assert job.code == "too_large"
    assert "extract.max_members" in refusal(job)


def test_archives_nested_too_deep_are_rejected_members(run: Runner, tmp_path: Path) -> None:
    data = rows(5)
    for level in range(5):
        data = make_zip([(f"{level}.zip" if level else "a.csv", data), ("beside.csv", b"1")])
    job = run(saved(tmp_path, "x.zip", data))
    assert list(job.bad().values()) == ["too_deep"]
    assert len(job.good()) == 4


def test_time(run: Runner, tmp_path: Path) -> None:
    path = saved(tmp_path, "x.gz", gzip.compress(rows(50_000)))
    for setting in ("max_wall_s", "max_cpu_s"):
        job = run(path, **{setting: 0.0})
        assert job.code == "timeout"
        assert f"extract.{setting}" in refusal(job)


def test_entries_that_share_bytes_are_refused_before_a_byte_is_written(run: Runner, tmp_path: Path) -> None:
    buffer = io.BytesIO(make_zip([("a", rows(500)), ("b", rows(500, 2))]))
    data = buffer.getvalue()
    first, second = (at for at in range(len(data)) if data[at : at + 4] == b"PK\1\2")
    twice = data[: second + 16] + data[first + 16 : first + 28] + data[second + 28 : second + 42]
    twice += data[first + 42 : first + 46] + data[second + 46 :]
    for name, archive in (("x.zip", twice), ("o.zip", make_zip([("x.zip", twice)]))):
        job = run(saved(tmp_path, name, archive))
        assert job.code == "bomb" or list(job.bad().values()) == ["bomb"]
        assert not any(entry.endswith((".pack", ".f0")) for entry in run.work.iterdir() for entry in [entry.name])


def test_entries_without_a_byte_share_none(run: Runner, tmp_path: Path) -> None:
    data = make_zip([("a", b""), ("b", b"1")], zipfile.ZIP_STORED)
    first = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", first + 4)
    twice = bytearray(data[:first] + data[first:second] + data[first:])
    struct.pack_into("<HHL", twice, len(twice) - 14, 3, 3, len(twice) - 22 - first)
    assert list(run(saved(tmp_path, "x.zip", bytes(twice))).good()) == ["x.zip!/a", "x.zip!/b"]


def test_sizes_that_sum_to_more_than_the_file(run: Runner, tmp_path: Path) -> None:
    data = bytearray(make_zip([("a", rows(500)), ("b", rows(500, 2))]))
    at = data.rindex(b"PK\1\2")
    struct.pack_into("<L", data, at + 20, 1_000_000)
    assert run(saved(tmp_path, "x.zip", bytes(data))).code == "bomb"


def test_a_size_that_lies_is_not_believed(run: Runner, tmp_path: Path) -> None:
    data = bytearray(make_zip([("a", b"a" * 5000), ("b", b"b" * 5000)]))
    at = data.index(b"PK\1\2")
    struct.pack_into("<L", data, at + 24, 10)
    job = run(saved(tmp_path, "x.zip", bytes(data)))
    assert job.bad() == {"x.zip!/a": "corrupt"}
    assert zipfile.ZipFile(io.BytesIO(bytes(data))).getinfo("a").file_size == 10


def test_the_clocks_stand_still_while_another_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    budget = Budget(Extract(max_wall_s=10.0), 1, Spent())
    clock[0] = 6.0
    budget.pause()
    clock[0] = 100.0
    budget.check_time()  # as a thread does that reads ahead
    budget.resume()
    clock[0] = 103.0
    budget.check_time()
    assert budget.mark().wall_s == 9.0
    clock[0] = 105.0
    with pytest.raises(Stop):
        budget.check_time()
