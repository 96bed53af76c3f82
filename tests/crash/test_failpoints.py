"""A death at every boundary: before and after each write, fsync, rename, folder's fsync, commit and send that matters.

Each test lets one process die (or one call fail) at one call, starts again what has to be, and finds what an undisturbed
run would have left. The calls are those of the real processes, SQLite's among them, as the shim sees them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Final, NamedTuple

import pytest

from tests.crash import jobs, record, shim
from tests.crash.bench import Bench
from tests.crash.record import Record
from tests.crash.shim import Failpoint

pytestmark = [pytest.mark.needs("gcc"), pytest.mark.slow]

LONG: Final = os.environ.get("STAMPMILL_CRASH_TESTS") == "long"
_MOST_STARTS: Final = 8
_WAL: Final = ".stampmill/ledger.sqlite-wal"
_WORK: Final = ".stampmill/work/*"
_STAGED: Final = ".incoming/*"
_MONTH: Final = "[0-9]*-[0-9]*"


class Undisturbed(NamedTuple):
    bench: Bench
    good: Record


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    bench = Bench(tmp_path_factory.mktemp("failpoints") / "bench", jobs.samples())
    return Undisturbed(bench, bench.finish("undisturbed"))


def survive(undisturbed: Undisturbed, points: Sequence[Failpoint], **later: object) -> int:
    """Runs with POINTS until all is done; how often the driver had to be started. LATER are its options from the second
    start on. Whatever differs from the undisturbed run fails the test, and so does a point that isn't reached."""
    bench, good = undisturbed
    name = f"run{sum(1 for _ in bench.folder.glob('run*.json'))}"
    path = bench.folder / f"{name}.points"
    shim.write_failpoints(path, points)
    environment = shim.environment(bench.library(name), failpoints=path)
    for starts in range(1, _MOST_STARTS):
        code, words = bench.run(name, environment=environment, **(later if starts > 1 else {}))
        if code == 0:
            break
        assert code == -signal.SIGKILL or (code == 1 and "DiskFailing" in words), words
    assert shim.fired(path, points) == list(points), "not every failpoint was reached"
    assert bench.judge(name, good).faults == []
    return starts


def both(process: str, call: str, pattern: str, *counts: int) -> list[Failpoint]:
    """Before and after the call, at the first of COUNTS, or in a long run at each."""
    counts = counts if LONG else counts[:1]
    return [
        Failpoint(process=process, call=call, pattern=pattern, count=count, when=when)
        for count in counts
        for when in ("before", "after")
    ]


COMMITS = [
    *both("supervisor", "create", ".stampmill/ledger.sqlite", 1),
    *both("supervisor", "write", _WAL, 3, 40, 90),
    *both("supervisor", "fsync", ".stampmill/ledger.sqlite*", *range(2, 8), 10, 14, 20),
]
SENDS = [
    *both("supervisor", "send", "*", 1, 3, 8),
    *both("intake", "send", "*", 1, 2),
    *both("extract", "send", "*", 2, 4, 7),
    *both("convert", "send", "*", 2, 5),
    *both("store", "send", "*", 2, 5),
]
WORK = [
    *both("extract", "write", _WORK, 1, 4),
    *both("convert", "create", _WORK, 1, 5),
    *both("convert", "rename", _WORK, 1),
    *both("supervisor", "unlink", _WORK, 1, 6),
]
LIBRARY = [
    *both("store", "mkdir", ".incoming/*", 1, 4),
    *both("store", "link", _STAGED, 1, 4),
    *both("store", "write", ".incoming/*.msgpack.new", 1, 2),
    *both("store", "rename", ".incoming/*.msgpack", 1, 2),
    *both("store", "write", ".incoming/*manifest.json", 1, 3),
    *both("store", "fsync", _STAGED, 1, 2, 9),
    *both("store", "dirsync", _STAGED, 1, 4),
    *both("store", "mkdir", _MONTH, 1),
    *both("store", "rename", f"{_MONTH}/*", 1, 2, 5),
    *both("store", "dirsync", _MONTH, 1, 4),
    *both("store", "dirsync", ".incoming", 1),
    *both("store", "dirsync", ".", 1),
    *both("store", "rmdir", _STAGED, 1),
]


@pytest.mark.parametrize("point", [*COMMITS, *SENDS, *WORK, *LIBRARY], ids=str)
def test_a_death_changes_nothing(undisturbed: Undisturbed, point: Failpoint) -> None:
    starts = survive(undisturbed, [point])
    assert starts == (2 if point.process == "supervisor" else 1)


SECOND = [
    *both("supervisor", "fsync", _WAL, 1, 2),
    *both("supervisor", "unlink", _WORK, 1),
    *both("supervisor", "send", "*", 1),
    *both("store", "rename", f"{_MONTH}/*", 1),
]


@pytest.mark.parametrize("second", SECOND, ids=str)
@pytest.mark.parametrize(
    "first",
    [
        Failpoint(process="supervisor", call="fsync", pattern=_WAL, count=12, when="after"),
        Failpoint(process="supervisor", call="send", count=9, when="before"),
    ],
    ids=str,
)
def test_a_second_death_in_recovery_changes_nothing(
    undisturbed: Undisturbed, first: Failpoint, second: Failpoint
) -> None:
    assert survive(undisturbed, [first, second]) >= 2


@pytest.mark.parametrize(
    "second",
    [
        *both("supervisor", "unlink", _WORK, 1),
        *both("supervisor", "unlink", ".incoming/*", 1),
        *both("supervisor", "fsync", _WAL, 1, 2),
    ],
    ids=str,
)
def test_a_death_in_the_recovery_after_a_reboot_changes_nothing(undisturbed: Undisturbed, second: Failpoint) -> None:
    """The machine goes down after a job was renamed into the library and before that was committed."""
    first = Failpoint(process="supervisor", call="fsync", pattern=_WAL, count=22)
    assert survive(undisturbed, [first, second], boot_id="another") == 3


@pytest.mark.parametrize(
    "point",
    [
        Failpoint(process="supervisor", call="fsync", pattern=_WAL, count=6, action="EIO"),
        Failpoint(process="supervisor", call="write", pattern=_WAL, count=40, action="EIO"),
        Failpoint(process="store", call="fsync", pattern=_STAGED, count=3, action="EIO"),
        Failpoint(process="store", call="dirsync", pattern=_MONTH, count=2, action="EIO"),
    ],
    ids=str,
)
def test_a_failing_disk_stops_the_daemon_at_once(undisturbed: Undisturbed, point: Failpoint) -> None:
    """It ends with a word about the disk; a later start makes good what was under way."""
    assert survive(undisturbed, [point]) == 2


@pytest.mark.parametrize(
    "point",
    [
        Failpoint(process="supervisor", call="write", pattern=_WAL, count=40, action="ENOSPC"),
        Failpoint(process="extract", call="create", pattern=_WORK, count=2, action="ENOSPC"),
        Failpoint(process="extract", call="write", pattern=_WORK, count=2, action="ENOSPC"),
        Failpoint(process="convert", call="create", pattern=_WORK, count=3, action="ENOSPC"),
        Failpoint(process="convert", call="write", pattern=_WORK, count=3, action="ENOSPC"),
        Failpoint(process="store", call="mkdir", pattern=_STAGED, count=2, action="ENOSPC"),
        Failpoint(process="store", call="link", pattern=_STAGED, count=2, action="ENOSPC"),
        Failpoint(process="store", call="write", pattern=_STAGED, count=2, action="ENOSPC"),
        Failpoint(process="store", call="fsync", pattern=_STAGED, count=2, action="ENOSPC"),
        Failpoint(process="store", call="rename", pattern=f"{_MONTH}/*", count=2, action="ENOSPC"),
    ],
    ids=str,
)
def test_a_full_disk_is_waited_for(undisturbed: Undisturbed, point: Failpoint) -> None:
    assert survive(undisturbed, [point]) == 1


def test_the_samples_reach_every_way(undisturbed: Undisturbed) -> None:
    """Without these in them the failpoints would prove little."""
    run = record.read(undisturbed.bench.library("undisturbed"))
    states = {job.state for found in run.jobs.values() for job in found}
    assert states == {"done", "failed", "duplicate"}
    parts = [table["parts"] for folder in run.folders.values() for table in folder.manifest["tables"]]
    assert any(len(one) > 1 for one in parts)
