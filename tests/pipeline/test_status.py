"""The live view from a Snapshot alone: the sentence on top, and what fits 80 and 120 columns."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

from pipeline.config import MIB, Config, Paths
from pipeline.daemon.journal import shown
from pipeline.model import StageName
from pipeline.screen.bottleneck import sentence as bottleneck
from pipeline.screen.status import plain, render
from pipeline.snapshot import Snapshot, StageSnapshot

CONFIG = Config(paths=Paths(state="/state", library="/library"))
INTAKE, EXTRACT, CONVERT, STORE = StageName


def stage(name: StageName, **fields: Any) -> StageSnapshot:
    return StageSnapshot(stage=name, **{"up": True, "queued": 0, "queued_bytes": 0, "in_hand": 0, **fields})


def snapshot(*changed: StageSnapshot, **fields: Any) -> Snapshot:
    by_name = {one.stage: one for one in changed}
    at = {"at": 1090.0, "started_at": 1000.0, "waiting": 0, "running": 0, "done": 0, "failed": 0, "duplicates": 0}
    return Snapshot(stages=tuple(by_name.get(name) or stage(name) for name in StageName), **{**at, **fields})


def drawn(one: Snapshot, width: int) -> list[str]:
    """The view as it is seen without colour."""
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(render(one, CONFIG, width))
    return capture.get().rstrip("\n").split("\n")


BUSY = snapshot(
    stage(INTAKE, queued=16, in_hand=2, finished=40, busy_s=1.0),
    stage(EXTRACT, queued=3, in_hand=1, doing="a very long name of an upload " * 8 + ".zip", since_at=1000.0, busy_s=45.0),
    stage(CONVERT, queued=16, queued_bytes=250 * MIB, in_hand=2, doing="表" * 90, done_bytes=700 * MIB, since_at=1085.0),
    stage(STORE, in_hand=1, doing="b.csv", since_at=1089.5, restarts=2),
    waiting=10_000,
    running=30,
    done=1234,
    failed=5,
    duplicates=6,
)  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_its_width_with_a_line_a_stage(width: int) -> None:
    lines = drawn(BUSY, width)
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) <= 8, "the tally may take two"
    assert [line.split()[0] for line in lines[2:6]] == ["intake", "extract", "convert", "store"]


@pytest.mark.parametrize("width", [80, 120])
def test_it_says_where_the_work_is(width: int) -> None:
    first, _, intake, extract, _, store, *tally = drawn(BUSY, width)
    assert first.startswith("Convert is the slowest")
    assert " 10016 " in intake, "jobs that wait in the ledger wait for intake"
    assert " 40 " in intake
    assert extract.split()[-1] == "50%"
    assert "…" in extract
    assert " b.csv " in store
    assert "1245 of 11275 jobs in 90 s: 1234 done, 5 failed, 6 duplicate; 2 worker restarts" in " ".join(
        " ".join(tally).split()
    )


def test_how_long_and_how_far_is_said_where_it_takes_long() -> None:
    doing = stage(CONVERT, in_hand=1, doing="a.csv", done_bytes=700 * MIB, since_at=1078.0)
    assert "a.csv 700 MiB for 12 s" in drawn(snapshot(doing), 100)[4]
    assert "a.csv  " in drawn(snapshot(stage(CONVERT, in_hand=1, doing="a.csv", since_at=1089.0)), 100)[4]


def test_state_is_told_without_colour() -> None:
    lines = drawn(snapshot(stage(CONVERT, up=False), stage(STORE, queued=8)), 80)
    assert "starting" in lines[4]
    assert "█████·····" in lines[5]
    assert "··········" in lines[2]


def test_one_batch_in_a_large_queue_is_seen() -> None:
    assert "█·········" in drawn(snapshot(stage(STORE, queued=1)), 80)[5]


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (snapshot(), "Nothing to do"),
        (snapshot(stage(EXTRACT, in_hand=1), stage(STORE, in_hand=3)), "Working: extract, store"),
        (snapshot(stage(EXTRACT, up=False), stage(STORE, up=False)), "Starting: extract, store"),
        (
            snapshot(stage(CONVERT, queued=16, in_hand=1)),
            "Convert is the slowest: its queue is full (queue.batches, queue.bytes)",
        ),
        (
            snapshot(stage(CONVERT, queued=4, queued_bytes=230 * MIB)),
            "Convert is the slowest: its queue is full (queue.batches, queue.bytes)",
        ),
        (
            snapshot(stage(EXTRACT, queued=16), stage(STORE, queued=16)),
            "Store is the slowest: its queue is full (queue.batches, queue.bytes)",
        ),
        (snapshot(stage(INTAKE, queued=16, in_hand=1)), "Working: intake"),
        (
            snapshot(stage(STORE, queued=16), paused="disk: 5 B free, 5 B short of disk.min_free"),
            "Waiting: disk: 5 B free, 5 B short of disk.min_free",
        ),
        (snapshot(stage(STORE, queued=16), stage(INTAKE, up=False)), "Starting: intake"),
    ],
)
def test_the_sentence_on_top(one: Snapshot, sentence: str) -> None:
    assert bottleneck(one, CONFIG) == sentence
    assert drawn(one, 120)[0] == sentence


def test_off_a_terminal_it_is_one_line() -> None:
    assert plain(BUSY, CONFIG) == f"1245 ended, 10030 to go: {bottleneck(BUSY, CONFIG)}"


def test_a_run_that_has_just_begun_divides_by_nothing() -> None:
    assert "0 of 0 jobs in 0 s" in drawn(snapshot(at=1000.0), 80)[-1]


HOSTILE = "a\x1b[2Jb\x07\nc\r\x9bd\u202ecod.csv"


def test_names_cant_control_the_terminal() -> None:
    named = snapshot(stage(STORE, in_hand=1, doing=HOSTILE, since_at=1090.0))
    lines = drawn(named, 120)
    assert len(lines) == 7
    assert r"a\x1b[2Jb\x07\nc\r\x9bd\u202ecod.csv" in lines[5]


@pytest.mark.parametrize("text", ["a b.csv", "naïve\u00a0名前.zip", "[bold]x[/bold]", ""])
def test_what_can_be_shown_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_what_no_terminal_can_show_is_written_out() -> None:
    assert shown("caf\udce9") == r"caf\udce9"


def test_every_field_of_a_snapshot_may_be_at_its_limit() -> None:
    most = 2**63 - 1
    stages = [
        msgspec.structs.replace(stage(name), queued=most, finished=most, busy_s=1e12, done_bytes=most, doing="x")
        for name in StageName
    ]
    lines = drawn(snapshot(*stages, waiting=most, done=most), 80)
    assert all(cell_len(line) <= 80 for line in lines)
