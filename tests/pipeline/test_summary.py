"""The summary of a run: what the ledger says of its jobs, in the words of the JSON contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from pipeline.errors import ExitCode, LedgerDamaged
from pipeline.machine.ledger import Ledger
from pipeline.machine.work import Batch, Changes, EventKind, JobEnd
from pipeline.model import Code, Column, JobState, MemberCounts, Options, Reason, StageName, TableInfo, Upload
from pipeline.results.summary import JobSummary, RunSummary, StageSeconds, summarize

TABLE = TableInfo(
    name="orders",
    path="2026-01/1-a/orders",
    source="a.zip!/orders.csv",
    rows=10,
    rejected=0,
    columns=(Column(name="id", type="BIGINT"),),
)
REASON = Reason(code=Code.ENCRYPTED, text="It needs a password.", next_step="Send it with one.")


@pytest.fixture(params=["plain", "what? 50% #1 ü"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / str(request.param)
    folder.mkdir()
    return folder


@pytest.fixture
def ledger(folder: Path) -> Iterator[Ledger]:
    with closing(Ledger(folder / "ledger.sqlite", folder)) as opened:
        yield opened


def submit(ledger: Ledger, count: int) -> list[int]:
    uploads = [
        Upload(path=f"/in/{number}.zip", name=f"{number}.zip", size=1, mtime_ns=1, inode=1, device=1)
        for number in range(count)
    ]
    return ledger.submit([(f"file:{upload.path}", upload, Options()) for upload in uploads])


def end(
    ledger: Ledger,
    job: int,
    state: JobState,
    *,
    tables: tuple[TableInfo, ...] = (),
    members: MemberCounts | None = None,
    reason: Reason | None = None,
    duplicate_of: int | None = None,
) -> None:
    changes = Changes()
    changes.digests.append((f"{job:064x}", 1, job))
    changes.ends.append(
        JobEnd(
            job=job,
            state=state,
            at=9.0,
            options=Options(),
            tables=tables,
            members=members,
            reason=reason,
            duplicate_of=duplicate_of,
        )
    )
    ledger.commit(changes)


def test_a_job_is_told_as_it_ended(ledger: Ledger) -> None:
    one, two, three = submit(ledger, 3)
    end(ledger, one, JobState.DONE, tables=(TABLE,), members=MemberCounts(total=2, converted=1, kept=1))
    end(ledger, two, JobState.FAILED, reason=REASON)
    end(ledger, three, JobState.DUPLICATE, duplicate_of=one)
    done, failed, duplicate = summarize(ledger.path, [one, two, three]).jobs
    assert done == JobSummary(
        job=one,
        name="0.zip",
        sha256=f"{one:064x}",
        state=JobState.DONE,
        duplicate_of=None,
        reason=None,
        tables=(TABLE,),
        members=MemberCounts(total=2, converted=1, kept=1),
        seconds=StageSeconds(),
    )
    assert (failed.state, failed.reason, failed.tables) == (JobState.FAILED, REASON, ())
    assert (duplicate.state, duplicate.duplicate_of) == (JobState.DUPLICATE, one)


def test_jobs_come_in_the_order_asked_for_and_gone_ones_are_left_out(ledger: Ledger) -> None:
    ids = submit(ledger, 3)
    asked = [ids[2], 99, ids[0]]
    assert [job.job for job in summarize(ledger.path, asked).jobs] == [ids[2], ids[0]]


def test_seconds_are_summed_a_stage_over_all_its_visits(ledger: Ledger) -> None:
    (job,) = submit(ledger, 1)
    batch = Batch(1, ledger.waiting(0, 1)[0], 0, StageName.EXTRACT)
    changes = Changes()
    changes.visit(batch, 1.0, EventKind.CLOSED, seconds=1.5)
    changes.visit(batch, 1.0, EventKind.DIED)
    changes.visit(batch, 1.0, EventKind.FINISHED, seconds=0.25)
    batch.stage = StageName.CONVERT
    changes.visit(batch, 1.0, EventKind.FINISHED, seconds=2.0)
    changes.event(job, 1.0, EventKind.PUBLISHED, stage=StageName.STORE, seconds=0.5)
    ledger.commit(changes)
    (summary,) = summarize(ledger.path, [job]).jobs
    assert summary.seconds == StageSeconds(extract=1.75, convert=2.0, store=0.5)


@pytest.mark.parametrize(
    ("state", "members", "rejected", "code"),
    [
        (JobState.DONE, MemberCounts(total=2, converted=1, kept=1), 0, ExitCode.OK),
        (JobState.DONE, MemberCounts(total=2, converted=1, rejected=1), 0, ExitCode.PARTIAL),
        (JobState.DONE, MemberCounts(total=1, converted=1), 3, ExitCode.PARTIAL),
        (JobState.FAILED, None, 0, ExitCode.PARTIAL),
    ],
)
def test_the_exit_status_says_whether_all_was_taken(
    ledger: Ledger, state: JobState, members: MemberCounts | None, rejected: int, code: ExitCode
) -> None:
    whole, other = submit(ledger, 2)
    end(ledger, whole, JobState.DONE, members=MemberCounts(total=1, converted=1))
    end(ledger, other, state, members=members, tables=(msgspec.structs.replace(TABLE, rejected=rejected),))
    assert summarize(ledger.path, [whole, other]).exit_code is code


def test_a_run_without_jobs_is_whole() -> None:
    assert RunSummary(jobs=()).exit_code is ExitCode.OK


def test_a_job_that_hasnt_ended_is_not_whole(ledger: Ledger) -> None:
    (job,) = submit(ledger, 1)
    assert summarize(ledger.path, [job]).exit_code is ExitCode.PARTIAL


def test_it_is_told_while_the_ledger_is_written(ledger: Ledger) -> None:
    (job,) = submit(ledger, 1)
    ledger._db.execute("BEGIN IMMEDIATE")
    ledger._db.execute("UPDATE job SET name = 'half done'")
    assert summarize(ledger.path, [job]).jobs[0].name == "0.zip"
    ledger._db.execute("ROLLBACK")


def test_a_ledger_that_cant_be_read_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database\n" * 100)
    with pytest.raises(LedgerDamaged):
        summarize(tmp_path / "ledger.sqlite", [1])


def test_the_json_is_the_contract(ledger: Ledger) -> None:
    (job,) = submit(ledger, 1)
    end(ledger, job, JobState.DONE, tables=(TABLE,), members=MemberCounts(total=1, converted=1))
    assert msgspec.json.decode(msgspec.json.encode(summarize(ledger.path, [job]))) == {
        "jobs": [
            {
                "job": 1,
                "name": "0.zip",
                "sha256": f"{1:064x}",
                "state": "done",
                "duplicate_of": None,
                "reason": None,
                "tables": [
                    {
                        "name": "orders",
                        "path": "2026-01/1-a/orders",
                        "source": "a.zip!/orders.csv",
                        "rows": 10,
                        "rejected": 0,
                        "columns": [{"name": "id", "type": "BIGINT"}],
                    }
                ],
                "members": {"total": 1, "converted": 1, "kept": 0, "rejected": 0},
                "seconds": {"intake": 0.0, "extract": 0.0, "convert": 0.0, "store": 0.0},
            }
        ]
    }
