"""A disk that refuses is no fault of the input: the error escapes with its number, and nothing half-written counts."""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import Iterator

import pytest

from stages.convert.text import delimited
from tests.stages.convert.conftest import Bench

ROWS = "id,text\n" + "".join(f"{i},{i * 7919 % 1000003} {i * 104729 % 999983}\n" for i in range(60_000))


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file can be larger than 64 KiB: the same words from the system as for a full disk, but for the number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("chunk", [32 << 20, 100_000])
def test_a_refused_write_escapes(
    bench: Bench, chunk: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(delimited, "CHUNK", chunk)
    whole = bench.csv(ROWS.encode())
    assert whole.part.rows == 60_000
    request.getfixturevalue("small_disk")
    with pytest.raises(OSError) as refused:
        bench.run(bench.task((bench.work / "1.payload").read_bytes()))
    assert refused.value.errno == errno.EFBIG
