"""What a death leads to: who is charged for it, what is told of it, and what is given up."""

from __future__ import annotations

import time
from collections.abc import Iterable

from pipeline.machine import charges
from pipeline.machine.charges import Death, Verdict
from pipeline.machine.scheduler import Scheduler
from pipeline.machine.work import Batch, EventKind
from pipeline.processes import process_tools
from pipeline.processes.workers import LocalWorker


class Inquest:
    """Looks into the deaths of workers, and into what ran when the supervisor itself had died."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._oom_kills = process_tools.oom_kills()

    def bury(self, worker: LocalWorker, *, stopping: bool) -> bool:
        """Reaps WORKER, which is dead, and gives back what it had in hand; whether one of these ran. While STOPPING,
        nobody is charged."""
        why = worker.killed_for
        exit_code, entry = worker.bury()
        oom_kills = process_tools.oom_kills()
        death = Death(exit_code, ours=why, out_of_memory=oom_kills > self._oom_kills)
        self._oom_kills = oom_kills
        lost = self._scheduler.died(worker.stage)
        ran = next((one for one in lost if (one.id, one.attempt) == (entry.batch, entry.attempt)), None)
        if ran is not None and not stopping:
            self._judge(ran, charges.charge(ran, entry, death), death.words, entry.member)
        return ran is not None

    def look_back(self, workers: Iterable[LocalWorker], dispatched: Iterable[Batch]) -> None:
        """Charges those of the DISPATCHED batches that ran in WORKERS when the supervisor before us ended."""
        known = {(batch.id, batch.attempt): batch for batch in dispatched}
        for worker in workers:
            entry = worker.left_behind
            ran = known.get((entry.batch, entry.attempt))
            if ran is not None and ran.stage is worker.stage:
                self._judge(ran, charges.orphan(ran, entry), "the supervisor ended while it ran", entry.member)

    def _judge(self, batch: Batch, verdict: Verdict, words: str, member: int) -> None:
        """Acts on the VERDICT about BATCH, which waits again; WORDS say how its worker died, at which MEMBER."""
        self._scheduler.touch(batch)
        self._note(batch, EventKind.DIED, f"{words}, at member {member}")
        if verdict is Verdict.CHARGED:
            self._note(batch, EventKind.CHARGED, f"{batch.charges} of {charges.MAX_CHARGES}")
        elif verdict is Verdict.MEMBER:
            self._note(batch, EventKind.CRASHED, f"member {member}: {words}")
        elif verdict is Verdict.WHOLE:
            self._note(batch, EventKind.CRASHED, words)
            self._scheduler.give_up(batch, charges.crashed(words), time.time())

    def _note(self, batch: Batch, kind: EventKind, detail: str) -> None:
        self._scheduler.changes.visit(batch, time.time(), kind, detail=detail)
