"""A job that is stopped after any batch goes on exactly where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages.extract.archives import make_tar, make_zip, mixture, rows, saved
from tests.stages.extract.conftest import Runner


@pytest.mark.parametrize("every", [1, 2, 3, 7])
@pytest.mark.parametrize("batch", [{"files": 1}, {"files": 3}, {"bytes": 3000}])
def test_nested_archives_go_on_after_each_batch(run: Runner, tmp_path: Path, every: int, batch: dict[str, int]) -> None:
    path = saved(tmp_path, "m.zip", mixture())
    undisturbed = run(path, batch=batch)
    again = run(path, batch=batch, abandon_every=every)
    assert again.table() == undisturbed.table()
    assert [(o.files, o.bytes) for o in again.outputs] == [(o.files, o.bytes) for o in undisturbed.outputs]
    assert len(again.outputs) > 3


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_tars_go_on_after_each_batch(run: Runner, tmp_path: Path, mode: str) -> None:
    files = [(f"{i}.csv", rows(20 if i % 5 else 50_000, i)) for i in range(23)]
    path = saved(tmp_path, "x.tar", make_tar(files, mode))
    job = run(path, batch={"files": 4}, abandon_every=1)
    assert job.good() == {f"x.tar!/{name}": data for name, data in files}


def test_the_budget_is_the_same_after_a_restart(run: Runner, tmp_path: Path) -> None:
    inner = make_zip([(f"{i}.csv", rows(100, i)) for i in range(10)])
    path = saved(tmp_path, "x.zip", make_zip([("a.zip", inner), ("b.zip", inner)]))
    total = 2 * (len(inner) + sum(len(rows(100, i)) for i in range(10)))
    for every in (0, 1):
        assert run(path, batch={"files": 3}, abandon_every=every, max_bytes=total).code is None
        assert run(path, batch={"files": 3}, abandon_every=every, max_bytes=total - 1).code == "too_large"


def test_an_abandoned_job_leaves_only_what_its_batches_own(run: Runner, tmp_path: Path) -> None:
    files = [(f"{i}.csv", rows(40_000, i)) for i in range(6)]
    path = saved(tmp_path, "x.zip", make_zip(files))
    job = run(path, batch={"bytes": 1}, abandon_every=1)
    assert run.left_over(job) == set()


def test_members_on_which_the_program_died_are_left_unread(run: Runner, tmp_path: Path) -> None:
    path = saved(tmp_path, "x.zip", make_zip([(f"{i}.csv", rows(3, i)) for i in range(4)]))
    job = run(path, crashed=(1, 3))
    assert job.bad() == {"x.zip!/1.csv": "crashed", "x.zip!/3.csv": "crashed"}
    assert set(job.good()) == {"x.zip!/0.csv", "x.zip!/2.csv"}
