"""The downloads that the adapter asks for: which may begin, which need not, and what the others wait for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.adapter import gate as adapter_gate
from pipeline.adapter.gate import Request
from pipeline.adapter.ledger import AdapterLedger
from pipeline.adapter.model import AdapterOrder, Grant, Hold, OpenUpload, UploadState, Wanted
from pipeline.config import Config
from pipeline.machine.disk import measure
from pipeline.machine.supervisor import Supervisor
from pipeline.model import JobState, StageName


class _InHand(NamedTuple):
    """A download that was granted."""

    request: Request
    path: Path


class Downloads:
    """Requests in the order in which they came, and what was granted; both live as long as the adapter's process."""

    def __init__(self, ledger: AdapterLedger, supervisor: Supervisor, config: Config) -> None:
        assert config.telegram is not None
        self._ledger = ledger
        self._supervisor = supervisor
        self._config = config
        self._places = config.telegram.downloads
        self._requests: dict[tuple[int, int], Request] = {}
        self._in_hand: dict[tuple[int, int], _InHand] = {}
        self._held: dict[int, str] = {}

    @property
    def words(self) -> str:
        """Why a download isn't begun, empty where none waits."""
        return next(iter(self._held.values()), "")

    def clear(self) -> None:
        """The process has ended; the next one asks anew."""
        self._requests.clear()
        self._in_hand.clear()
        self._held.clear()

    def finished(self, upload: int, message: int) -> None:
        """The file of MESSAGE is here."""
        self._in_hand.pop((upload, message), None)

    def forget(self, upload: int) -> None:
        """UPLOAD needs nothing any more."""
        for table in (self._requests, self._in_hand):
            for key in [key for key in table if key[0] == upload]:
                del table[key]
        self._held.pop(upload, None)

    def wanted(self, report: Wanted) -> set[int]:
        """Notes the request, unless another upload of the same document makes it needless; the uploads that changed."""
        upload = self._ledger.upload(report.upload)
        if upload is None or upload.state is not UploadState.OPEN:
            return set()
        message = next((one for one in upload.messages if one.message == report.message), None)
        if message is None:
            return set()
        if self._has_twin(upload):
            return {upload.id}
        begun = any(one.fetched for one in upload.messages) or any(key[0] == upload.id for key in self._in_hand)
        request = Request(upload.id, message.message, message.size, begun)
        self._requests.setdefault((upload.id, message.message), request)
        return set()

    def decide(self) -> Iterable[AdapterOrder]:
        """Grants for what may begin, and what has changed about why others may not."""
        if not self._requests:
            return []
        orders: list[AdapterOrder] = []
        for request, words in adapter_gate.decide(self._requests.values(), self._room()):
            if not words:
                orders.append(self._grant(request))
            elif self._held.get(request.upload) != words:
                self._held[request.upload] = words
                orders.append(Hold(request.upload, words))
        return orders

    def _grant(self, request: Request) -> AdapterOrder:
        key = (request.upload, request.message)
        del self._requests[key]
        self._held.pop(request.upload, None)
        upload = self._ledger.upload(request.upload)
        messages = upload.messages if upload else ()
        message = next((one for one in messages if one.message == request.message), None)
        if upload is None or message is None:
            return Hold(request.upload, "")  # it was deleted meanwhile
        self._in_hand[key] = _InHand(request, Path(message.path))
        return Grant(request.upload, request.message)

    def _room(self) -> adapter_gate.Room:
        space = measure(self._config)
        scheduler = self._supervisor.scheduler
        in_hand = self._in_hand.values()
        begun = {one.request.upload for one in in_hand if not one.request.begun}
        line = len(scheduler.stages[StageName.INTAKE].queue)
        line += max(0, self._supervisor.unfinished - len(scheduler.jobs))
        return adapter_gate.Room(
            line=line + len(begun),
            line_limit=self._config.queue.batches,
            free=space.free,
            reserved=adapter_gate.reserved([(one.request.size, _allocated(one.path)) for one in in_hand]),
            kept=space.needed,
            in_hand=len(in_hand),
            small_in_hand=sum(one.request.size <= adapter_gate.SMALL_BYTES for one in in_hand),
            places=self._places,
            halted="the operator has paused the service" if scheduler.halt else "",
        )

    def _has_twin(self, upload: OpenUpload) -> bool:
        """Whether UPLOAD needs no download: the same document is done, or on its way, for another upload."""
        if upload.attempt or len(upload.messages) != 1:
            return False
        for twin in self._ledger.twins(upload.messages[0]):
            if twin.job_state is JobState.DONE and self._is_there(twin.result_path):
                self._change(upload.id, UploadState.JOB, job=twin.job)
                return True
            if twin.upload < upload.id and twin.state in (UploadState.OPEN, UploadState.TWIN, UploadState.JOB):
                self._change(upload.id, UploadState.TWIN, twin=twin.upload)
                return True
        return False

    def _is_there(self, result_path: str) -> bool:
        return bool(result_path) and (Path(self._config.paths.library) / result_path).is_dir()

    def _change(self, upload: int, state: UploadState, *, job: int = 0, twin: int = 0) -> None:
        with self._ledger.turn():
            self._ledger.set_state(upload, state, job=job, twin=twin, seen=bool(job))


def _allocated(path: Path) -> int:
    """What of PATH is on the disk already, in bytes; while it's incomplete it lies under another name beside it."""
    return sum(found.stat().st_blocks * 512 for found in (path, path.with_name(f"{path.name}.part")) if found.exists())
