"""The daemon's live view, whole, as it is drawn: busy, stuck, idle, held and down, at two sizes and at every other.

The drawings in screens/ were looked at. After a change that is meant, they are written anew with STAMPMILL_DRAW=1, and are
to be looked at again.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from pipeline.config import GIB, MIB
from pipeline.model import Code, JobState, Reason, StageName
from pipeline.screen import bottleneck, status
from pipeline.snapshot import RecentJob, Snapshot
from tests.pipeline.test_status import CONFIG, CONVERT, EXTRACT, HOSTILE, INTAKE, STORE, snapshot, stage

SCREENS = Path(__file__).with_name("screens")
NOW = 90_000.0
BAD = Reason(code=Code.ENCRYPTED, text="The archive needs a password, and none was given.", next_step="Send it.")


def job(number: int, **fields: Any) -> RecentJob:
    standard = {"name": f"drop-{number}.zip", "state": JobState.DONE, "ended_at": NOW - 7 * number, "seconds": 3.2}
    return RecentJob(job=500 - number, **{**standard, **fields})


RECENT = (
    job(0, tables=4, rows=6990),
    job(1, name="a very long name of an upload that nobody can read whole.zip", tables=1, rows=1, rejected=12_345),
    job(2, state=JobState.FAILED, reason=BAD),
    job(3, state=JobState.DUPLICATE),
    job(4, state=JobState.CANCELLED, name=HOSTILE),
    job(5, name="README.md"),
    *(job(number, tables=2, rows=10**9) for number in range(6, 20)),
)
STANDARD: dict[str, Any] = {
    "at": NOW,
    "started_at": NOW - 7510,
    "recent": RECENT,
    "free_bytes": 71 * GIB,
    "rss_bytes": 512 * MIB,
    "pid": 4711,
    "version": "0.1.0",
}
BUSY = snapshot(
    stage(INTAKE, finished=340, rate=12.0, busy=0.01, rss_bytes=24 * MIB),
    stage(EXTRACT, queued=6, in_hand=2, doing="shop.zip", waits=True, finished=330, rate=0.3, busy=0.09,
          oldest_at=NOW - 3, since_at=NOW - 9, rss_bytes=31 * MIB),
    stage(CONVERT, queued=16, in_hand=2, doing="shop.zip", done_bytes=12 * MIB, batch_bytes=64 * MIB, finished=312,
          rate=2.1, busy=0.98, oldest_at=NOW - 11, since_at=NOW - 4, rss_bytes=412 * MIB, rejected=2, restarts=1),
    stage(STORE, finished=312, rate=2.1, busy=0.05, rss_bytes=23 * MIB),
    **STANDARD, waiting=4, running=22, done=310, failed=2, duplicates=1, cancelled=1, rate=2.1,
    telegram="connected as Mill, 3 downloads",
)  # fmt: skip
STUCK = msgspec.structs.replace(
    BUSY,
    stages=tuple(
        msgspec.structs.replace(one, still_s=200.0, since_at=NOW - 300) if one.stage is CONVERT else one
        for one in BUSY.stages
    ),
)
IDLE = snapshot(*(stage(name, rss_bytes=24 * MIB) for name in StageName), **STANDARD)
VIEWS = {
    "busy": BUSY,
    "stuck": STUCK,
    "idle": IDLE,
    "disk": msgspec.structs.replace(BUSY, paused="disk: 1.0 MiB free, 255 MiB short of disk.min_free"),
    "paused": msgspec.structs.replace(BUSY, halt="paused"),
    "telegram": msgspec.structs.replace(IDLE, telegram="logged out", telegram_trouble="login needed (stampmill login)"),
}
SIZES = [(80, 24), (120, 40)]


def drawn(what: RenderableType, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(what)
    return [line.rstrip() for line in capture.get().rstrip("\n").split("\n")]


def down(width: int, height: int) -> RenderableType:
    why = "No daemon answers at /var/lib/stampmill/state/control.sock (there is no socket). Start it with `stampmill run`."
    counts = {JobState.DONE: 90_000, JobState.FAILED: 12, JobState.WAITING: 3}
    return status.down(why, counts, RECENT, NOW, width, height)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("name", [*VIEWS, "down"])
def test_it_looks_as_it_did_when_it_was_looked_at(name: str, width: int, height: int) -> None:
    what = down(width, height) if name == "down" else status.screen(VIEWS[name], CONFIG, width, height)
    lines = drawn(what, width, height)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width
    path = SCREENS / f"{name}-{width}x{height}.txt"
    if os.environ.get("STAMPMILL_DRAW"):
        SCREENS.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert path.read_text(encoding="utf-8").rstrip("\n").split("\n") == lines


@given(st.integers(20, 250), st.integers(5, 80), st.sampled_from(sorted(VIEWS)))
def test_at_any_size_it_stays_within_it(width: int, height: int, name: str) -> None:
    for what in (status.screen(VIEWS[name], CONFIG, width, height), down(width, height)):
        lines = drawn(what, width, height)
        assert max(map(cell_len, lines)) <= width
        if width >= 60 and height >= 14:
            assert len(lines) <= height


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (BUSY, "at 2.1 jobs/s all in about 12 s"),
        (STUCK, "no telling when all are done"),
        (VIEWS["disk"], "no telling when all are done"),
        (msgspec.structs.replace(BUSY, rate=0.0), "no telling when all are done"),
        (msgspec.structs.replace(BUSY, rate=0.01), "at 0.6 jobs/min all in about 43 min 20 s"),
    ],
)
def test_an_end_is_foretold_only_where_that_is_honest(one: Snapshot, words: str) -> None:
    assert words in "\n".join(drawn(status.screen(one, CONFIG, 120, 40), 120, 40))


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (STUCK, "Stuck: convert has made no progress for 3 min 20 s; it is ended after 10 min (worker.no_progress_s)"),
        (VIEWS["paused"], "Paused by the operator: no batch is handed out (stampmill resume)"),
        (msgspec.structs.replace(BUSY, halt="draining"), "Draining: no job is begun, 22 jobs finish (stampmill resume)"),
        (msgspec.structs.replace(IDLE, halt="draining"), "Draining: no job is begun, all that had begun has ended (stampmill resume)"),
        (VIEWS["telegram"], "Telegram: login needed (stampmill login)"),
        (msgspec.structs.replace(IDLE, inbox_waiting=3), "Nothing to do; 3 files in the inbox aren't quiet yet (inbox.quiet_s)"),
        (snapshot(stage(CONVERT, rss_bytes=2000 * MIB, in_hand=1)), "Memory: convert uses 2.0 GiB of 2.0 GiB (worker.memory_bytes)"),
        (snapshot(stage(CONVERT, up=False, restarts=2)), "Starting again: convert"),
    ],
)  # fmt: skip
def test_what_holds_it_up_is_named_with_the_setting_behind_it(one: Snapshot, sentence: str) -> None:
    assert bottleneck.sentence(one, CONFIG) == sentence


@pytest.mark.parametrize(
    ("one", "stalls"),
    [
        (BUSY, False),
        (IDLE, False),
        (VIEWS["paused"], False),
        (STUCK, True),
        (VIEWS["disk"], True),
        (VIEWS["telegram"], True),
        (snapshot(stage(CONVERT, up=False), at=1010.0), False),
        (snapshot(stage(CONVERT, up=False), at=1100.0), True),
    ],
)
def test_a_monitor_is_told_where_somebody_should_look(one: Snapshot, stalls: bool) -> None:
    assert bool(bottleneck.stalled(one, CONFIG)) == stalls
