"""Killed at any system call, or refused it, store does the attempt again and comes to the same end."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from pipeline.config import Targets
from pipeline.model import Code, Done, Published, Reason, Task
from stages.handover import MemberResult, Place, Results
from stages.store import Store
from tests.stages.store.bench import Bench, converted, finding_of, kept, tree

CALLS = ("open", "link", "mkdir", "rename", "fsync", "unlink", "rmdir", "write", "copy_file_range", "listdir", "stat")
FAILED = Reason(code=Code.BOMB, text="It grows without end.", next_step="Send something else.")


class Killed(BaseException):
    """kill -9: nothing but the closing of descriptors happens after it."""


class Switch:
    """Counts the system calls, and ends the process at the one numbered AT, before or after it took effect."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, after: bool, error: BaseException) -> None:
        self.count = 0
        self.at, self.after, self.error = at, after, error
        patch.setattr(os, "fsync", lambda _: None)  # no power is cut here, and a thousand of them take a minute
        for name in CALLS:
            patch.setattr(os, name, self._wrap(getattr(os, name)))

    def _wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count != self.at:
                return call(*args, **kwargs)
            if self.after:
                call(*args, **kwargs)
            raise self.error

        return wrapped


def small(bench: Bench) -> list[Task]:
    part = bench.part("o.csv", {"a": pa.array([1, 2])}, rejects=["x"])
    return [bench.task(0, Results(members=(converted(0, "o.csv"),), tables=(part,)))]


def large(bench: Bench) -> list[Task]:
    """Three batches: a group that must be unified, kept members of every kind, rejects of several parts."""
    tasks = []
    for seq, kind in ((1, pa.int32()), (2, pa.int64()), (0, pa.int32())):
        grouped = bench.part(f"z!/g{seq}.csv", {"a": pa.array([seq], kind)}, rejects=[f"r{seq}"], facts={"group": 1})
        other = bench.part("z!/o.csv", {"b": pa.array(["x"])})
        number = (seq or 9) * 10
        members = (
            converted(number, grouped.source),
            converted(number + 1, other.source),
            kept(number + 2, "z!/p.png", Place(bench.file(f"pack{seq}", b"0123456789"), 3, 4)),
            kept(number + 3, "z!/q.png", Place(bench.file(f"own{seq}", b"0123456789"), 0, 10)),
            kept(number + 4, "z", Place(bench.upload.path, 0, bench.upload.size)),
            MemberResult(number=number + 5, path="bad", outcome="rejected", reason=FAILED),
        )
        tasks.append(bench.task(seq, Results(members=members, tables=(other, grouped)), publish=not seq))
    return tasks


def failing(bench: Bench) -> list[Task]:
    return [*large(bench)[:2], bench.task(0, None, failure=FAILED)]


def taken_back(bench: Bench) -> list[Task]:
    return [*small(bench), bench.task(0, None, failure=FAILED)]


Story = Callable[[Bench], list[Task]]
STORIES: list[Story] = [small, large, failing, taken_back]


def visible(bench: Bench) -> dict[str, bytes | None]:
    """What a reader of the library sees."""
    return {name: data for name, data in tree(bench.library).items() if not name.startswith(".") and name != "2026-02"}


def calm(bench: Bench, story: Story) -> tuple[int, Published, list[dict[str, bytes | None]]]:
    """Runs STORY undisturbed: how many calls it took, what it found, and all that a reader could see meanwhile."""
    seen: list[dict[str, bytes | None]] = [{}]
    tasks = story(bench)
    with pytest.MonkeyPatch.context() as patch:
        switch = Switch(patch, 0, False, Killed())
        outcomes = []
        for task in tasks:
            outcomes.append(bench.run(task))
            count = switch.count
            seen.append(visible(bench))
            switch.count = count
    return switch.count, finding_of(outcomes[-1]), seen


@pytest.mark.parametrize(
    ("error", "after"),
    [(Killed(), False), (Killed(), True), (OSError(errno.ENOSPC, "No space left"), False)],
    ids=["killed-before", "killed-after", "refused"],
)
@pytest.mark.parametrize("story", STORIES)
def test_attempts_repeat(tmp_path: Path, story: Story, after: bool, error: BaseException) -> None:
    count, published, seen = calm(Bench(tmp_path / "calm"), story)
    assert count > 15
    for at in range(1, count + 1):
        bench = Bench(tmp_path / f"{at}")
        tasks = story(bench)
        with pytest.MonkeyPatch.context() as patch:
            Switch(patch, at, after, error)
            disturbed(bench, tasks, seen)
        assert visible(bench) == seen[-1], f"call {at} of {count}"
        if isinstance(error, Killed):  # a folder that can't be removed after the rename is left to recovery
            assert os.listdir(bench.library / ".incoming") == [], f"call {at} of {count}"
        assert finding_of(bench.run(tasks[-1])) == published


def disturbed(bench: Bench, tasks: list[Task], seen: list[dict[str, bytes | None]]) -> None:
    """Runs TASKS, each again by a new stage when it is disturbed, and looks at the library as a reader would."""
    for task in tasks:
        try:
            bench.run(task)
        except (Killed, OSError):
            assert visible(bench) in seen
            bench.stage = Store(Targets())
            bench.run(task)


def done_job(bench: Bench) -> Task:
    """What forgets a job that is published."""
    task = small(bench)[0]
    finding_of(bench.run(task))
    return msgspec.structs.replace(task, payload=b"", epoch=1, forget=True)


@pytest.mark.parametrize("after", [False, True])
def test_a_job_is_forgotten_at_once_and_for_good(tmp_path: Path, after: bool) -> None:
    calm_bench = Bench(tmp_path / "calm")
    task = done_job(calm_bench)
    neighbour = calm_bench.library / "2026-02" / "99-neighbour"
    neighbour.mkdir()
    whole = visible(calm_bench)
    with pytest.MonkeyPatch.context() as patch:
        switch = Switch(patch, 0, False, Killed())
        assert calm_bench.run(task) == Done()
        count = switch.count
    assert list(visible(calm_bench)) == ["2026-02/99-neighbour"], "the others stay"
    assert len(whole) > 3
    assert count > 8
    for at in range(1, count + 1):
        bench = Bench(tmp_path / f"{at}")
        task = done_job(bench)
        whole = visible(bench)
        with pytest.MonkeyPatch.context() as patch:
            Switch(patch, at, after, Killed())
            with contextlib.suppress(Killed):
                bench.run(task)
        assert visible(bench) in (whole, {}), f"call {at} of {count}"
        assert bench.run(task) == Done()
        assert visible(bench) == {}
        assert os.listdir(bench.library / ".incoming") == []
