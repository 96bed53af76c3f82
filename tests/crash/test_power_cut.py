"""Power cuts: whatever fsync has not promised may be gone, and nothing that anybody was told of is."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from pipeline.model import BatchState, StageName
from pipeline.processes.messages import Dispatch, Order, decode_orders
from tests.crash import jobs, record
from tests.crash.disk import Tree
from tests.crash.power_cut import Cut, Recording, look, trees
from tests.crash.shim import Op

pytestmark = [pytest.mark.needs("gcc"), pytest.mark.slow]

RESTARTS: Final = 8
_VOLATILE: Final = (".box", ".log", ".lock", "-shm", "lock")  # written through memory, or worthless after a reboot


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return Recording(tmp_path_factory.mktemp("recorded"), jobs.samples())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where a disk is put after a cut, again and again."""
    yield tmp_path / "after"
    shutil.rmtree(tmp_path / "after", ignore_errors=True)


def problems_after(cut: Cut, tree: Tree, place: Path, good: record.Record) -> list[str]:
    tree.write(place)
    try:
        return look(place, cut.told, good)
    finally:
        shutil.rmtree(place)


def orders_of(cut: Cut) -> list[Order]:
    return decode_orders(cut.event.data) if cut.event.op is Op.SEND else []


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(_VOLATILE)
    }


def test_the_recording_holds_all_that_was_written(recording: Recording, place: Path) -> None:
    *_, last = recording.cuts()
    last.disk.everything().write(place)
    assert files_of(place) == files_of(recording.library("whole"))
    assert len(last.told.ended) == len(last.told.submitted) == len(recording.uploads)


def test_what_was_told_and_synced_is_there_after_every_cut(recording: Recording, place: Path) -> None:
    """What is promised changes with an fsync, and what must be there with a note: every one of those is looked at."""
    for cut in recording.cuts():
        if cut.event.op in (Op.FSYNC, Op.DIRSYNC, Op.NOTE):
            assert problems_after(cut, cut.disk.strict(), place, recording.good) == [], (cut.number, cut.event.op)


def test_whatever_else_came_through_does_no_harm(recording: Recording, place: Path) -> None:
    chance = random.Random(2)
    chosen = set(chance.sample(range(len(recording.events)), 60))
    for cut in recording.cuts():
        if cut.number in chosen:
            for kind, tree in trees(cut, chance):
                assert problems_after(cut, tree, place, recording.good) == [], (cut.number, kind)


def test_a_dispatch_is_on_disk_before_it_is_sent(recording: Recording, place: Path) -> None:
    """But for intake's first one, which writes nothing that anybody could find."""
    sent = 0
    for cut in recording.cuts():
        dispatches = [order for order in orders_of(cut) if isinstance(order, Dispatch)]
        wanted = {
            (order.task.batch, order.task.stage, order.task.attempt, BatchState.DISPATCHED)
            for order in dispatches
            if order.task.stage is not StageName.INTAKE
        }
        if wanted:
            sent += len(wanted)
            cut.disk.strict().write(place)
            with contextlib.closing(sqlite3.connect(place / ".stampmill" / "ledger.sqlite")) as ledger:
                assert wanted <= set(ledger.execute("SELECT id, stage, attempt, state FROM batch")), cut.number
            shutil.rmtree(place)
    assert sent > len(recording.uploads)


@pytest.mark.parametrize("turn", range(RESTARTS))
def test_a_start_after_a_cut_ends_as_if_nothing_had_been(recording: Recording, turn: int) -> None:
    """After a reboot, with another boot id; the cuts are spread over the run, the kinds of loss go round."""
    chance = random.Random(turn)
    span = len(recording.events) // RESTARTS
    number = span * turn + chance.randrange(span)
    name = f"after-{turn}"
    cut = next(cut for cut in recording.cuts() if cut.number == number)
    kinds = dict(trees(cut, chance))
    kind = list(kinds)[turn % len(kinds)]
    kinds[kind].write(recording.library(name))
    recording.finish(name, boot_id="another")
    assert recording.judge(name, recording.good).faults == [], (number, kind)
