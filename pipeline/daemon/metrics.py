"""The pipeline's numbers for Prometheus: OpenMetrics over HTTP on 127.0.0.1, from the latest snapshot.

The server's threads see nothing but a finished snapshot, so that they and the supervisor's loop never wait for each
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from pipeline.errors import PortTaken
from pipeline.snapshot import Snapshot, StageSnapshot

if TYPE_CHECKING:
    from prometheus_client.core import Metric

ADDRESS: Final = "127.0.0.1"

# What is told of each stage: name, words, whether it only grows (a counter), value.
_OF_STAGES: Final[tuple[tuple[str, str, bool, Callable[[StageSnapshot, float], float]], ...]] = (
    ("batches", "Batches finished since the daemon's start.", True, lambda stage, at: stage.finished),
    ("busy_seconds", "Working time since the daemon's start.", True, lambda stage, at: stage.busy_s),
    ("rejected_batches", "Batches for which a job was refused.", True, lambda stage, at: stage.rejected),
    ("restarts", "Replacements of its worker.", True, lambda stage, at: max(0, stage.restarts)),
    ("up", "1 where its worker is ready.", False, lambda stage, at: stage.up),
    ("queue_batches", "Batches that wait in its queue.", False, lambda stage, at: stage.queued),
    ("queue_bytes", "What they hold in work/.", False, lambda stage, at: stage.queued_bytes),
    ("oldest_seconds", "Since the oldest upload in its queue arrived.", False,
     lambda stage, at: at - stage.oldest_at if stage.oldest_at else 0.0),
    ("still_seconds", "Since its batch got any further.", False, lambda stage, at: stage.still_s),
    ("resident_memory_bytes", "Its worker's memory, with tools.", False, lambda stage, at: stage.rss_bytes),
)  # fmt: skip


class Collector:
    """Makes metrics of the snapshot that LATEST returns."""

    def __init__(self, latest: Callable[[], Snapshot]) -> None:
        self._latest = latest

    def collect(self) -> Iterator[Metric]:
        """The metrics, as prometheus_client asks for them."""
        snapshot = self._latest()
        yield from _of_stages(snapshot)
        yield from _of_jobs(snapshot)
        yield from _of_host(snapshot)


def _of_stages(snapshot: Snapshot) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, words, grows, value in _OF_STAGES:
        family = (CounterMetricFamily if grows else GaugeMetricFamily)(
            f"stampmill_stage_{name}", words, labels=["stage"]
        )
        for stage in snapshot.stages:
            family.add_metric([stage.stage.title], float(value(stage, snapshot.at)))
        yield family


def _of_jobs(snapshot: Snapshot) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    ended = CounterMetricFamily("stampmill_jobs", "Jobs ended since the daemon's start.", labels=["state"])
    for state, count in (
        ("done", snapshot.done),
        ("failed", snapshot.failed),
        ("duplicate", snapshot.duplicates),
        ("cancelled", snapshot.cancelled),
    ):
        ended.add_metric([state], count)
    yield ended
    unfinished = GaugeMetricFamily("stampmill_jobs_unfinished", "Jobs that haven't ended.", labels=["state"])
    unfinished.add_metric(["running"], snapshot.running)
    unfinished.add_metric(["waiting"], snapshot.waiting)
    yield unfinished


def _of_host(snapshot: Snapshot) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

    for name, words, value in (
        ("held", "1 where the operator has paused or drains it.", float(bool(snapshot.halt))),
        ("waiting_for_disk", "1 where work waits for free space.", float(bool(snapshot.paused))),
        ("telegram_trouble", "1 where Telegram holds uploads up.", float(bool(snapshot.telegram_trouble))),
        ("inbox_files", "Files in the inbox that weren't taken yet.", float(snapshot.inbox_waiting)),
        ("disk_free_bytes", "On the fuller of its disks.", float(snapshot.free_bytes)),
        ("start_time_seconds", "When the daemon started, since 1970.", snapshot.started_at),
    ):
        yield GaugeMetricFamily(f"stampmill_{name}", words, value=value)
    yield InfoMetricFamily("stampmill_build", "What runs.", value={"version": snapshot.version})


def serve(port: int, latest: Callable[[], Snapshot]) -> Callable[[], None]:
    """Serves the metrics at PORT until the function that is returned is called. Raises PortTaken."""
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(latest))
    try:
        server, thread = start_http_server(port, addr=ADDRESS, registry=registry)
    except OSError as error:
        raise PortTaken(address=f"{ADDRESS}:{port}", detail=error.strerror) from error

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
