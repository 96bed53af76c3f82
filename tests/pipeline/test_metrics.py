"""The metrics over HTTP, as Prometheus fetches them."""

from __future__ import annotations

import re
import socket
import urllib.request

import pytest

from pipeline.daemon import metrics
from pipeline.errors import PortTaken
from tests.pipeline.test_status import BUSY


def free_port() -> int:
    with socket.socket() as end:
        end.bind((metrics.ADDRESS, 0))
        return int(end.getsockname()[1])


def fetch(port: int, accept: str) -> tuple[str, str]:
    request = urllib.request.Request(f"http://{metrics.ADDRESS}:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_what_prometheus_gets() -> None:
    port = free_port()
    stop = metrics.serve(port, lambda: BUSY)
    try:
        kind, text = fetch(port, "application/openmetrics-text; version=1.0.0")
    finally:
        stop()
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
    for line in (
        'stampmill_jobs_total{state="done"} 1234.0',
        'stampmill_jobs_unfinished{state="waiting"} 10000.0',
        'stampmill_stage_restarts_total{stage="store"} 2.0',
        'stampmill_stage_busy_seconds_total{stage="extract"} 45.0',
        'stampmill_stage_queue_batches{stage="convert"} 16.0',
        "stampmill_start_time_seconds 1000.0",
    ):
        assert f"\n{line}\n" in text
    names = set(re.findall(r"^# TYPE (\S+)", text, flags=re.MULTILINE))
    assert all(name.startswith("stampmill_") for name in names)
    assert not {name for name in names if re.search(r"(_ms|_mib|_total)$", name)}, "base units, and no doubled suffix"


def test_it_is_served_on_this_host_alone_and_not_when_it_has_ended() -> None:
    port = free_port()
    metrics.serve(port, lambda: BUSY)()
    with pytest.raises(OSError, match="refused"), socket.create_connection((metrics.ADDRESS, port)):
        pass
    assert metrics.ADDRESS == "127.0.0.1"


def test_a_port_that_is_taken_is_said_so() -> None:
    with socket.socket() as end:
        end.bind((metrics.ADDRESS, 0))
        end.listen()
        with pytest.raises(PortTaken, match=r"metrics\.port"):
            metrics.serve(end.getsockname()[1], lambda: BUSY)
