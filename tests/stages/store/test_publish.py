"""Publishing a job: what lies where, what the manifest says, and what is never done to the inputs."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline.model import Code, Done, MemberCounts, Reason, Reject, TableInfo
from stages.handover import MemberResult, Place, Results, TablePart
from stages.store import files
from stages.store.stage import INLINE_BYTES
from tests.stages.store.bench import Bench, converted, finding_of, kept, tree

PHOTO = b"\x89PNG and more"
FAILED = Reason(code=Code.BOMB, text="It grows without end.", next_step="Send something else.")


def orders(bench: Bench, source: str = "My Orders.zip!/orders.csv", **more: Any) -> TablePart:
    return bench.part(source, {"id": pa.array([1, 2, 3]), "name": pa.array(["a", "b", None])}, **more)


def one_table(bench: Bench, **more: Any) -> Results:
    part = orders(bench, **more)
    return Results(members=(converted(1, part.source),), tables=(part,))


def test_one_table(bench: Bench) -> None:
    published = bench.publish(one_table(bench, rejects=["bad line"]))
    assert published.path == "2026-02/12-my-orders"
    assert published.members == MemberCounts(total=1, converted=1)
    assert published.rejected_records == 1
    (table,) = published.tables
    assert (table.name, table.path, table.rows, table.rejected) == ("orders", "2026-02/12-my-orders/orders", 3, 1)
    folder = bench.library / published.path
    assert sorted(tree(folder)) == ["manifest.json", "orders", "orders/part-00000.parquet", "orders/rejects.ndjson"]
    assert parquet.read_table(folder / "orders/part-00000.parquet").num_rows == 3
    assert json.loads((folder / "orders/rejects.ndjson").read_text()) == {"text": "bad line"}
    assert os.listdir(bench.library / ".incoming") == []


def test_manifest(bench: Bench) -> None:
    results = Results(
        members=(
            MemberResult(number=3, path="a.zip!/b.xyz", outcome="rejected", reason=FAILED, notes=("name is a guess",)),
            converted(2, "a.zip!/orders.csv"),
            kept(1, "a.zip!/photo.jpg", Place(bench.file("pack", PHOTO + b"tail"), 0, len(PHOTO))),
        ),
        tables=(orders(bench, "a.zip!/orders.csv", repaired=1, facts={"delimiter": ","}),),
    )
    manifest = bench.manifest(bench.publish(results))
    assert manifest["schema"] == 1
    assert manifest["software"].startswith("stampmill ")
    assert manifest["job"] == 12
    assert manifest["upload"] == {
        "name": "My Orders.zip",
        "size": bench.upload.size,
        "sha256": bench.upload.sha256,
        "arrived_at": "2026-02-02T02:40:00.250000+00:00",
    }
    assert (manifest["state"], manifest["reason"]["code"]) == ("done", "bomb")
    assert manifest["counts"] == {
        "members": {"total": 3, "converted": 1, "kept": 1, "rejected": 1},
        "tables": 1,
        "rows": 3,
        "read": 3,
        "rejected": 0,
        "repaired": 1,
    }
    assert [member["number"] for member in manifest["members"]] == [1, 2, 3]
    assert manifest["members"][0]["place"] == "kept/000001-photo.jpg"
    assert manifest["members"][2]["reason"]["code"] == "bomb"
    assert manifest["members"][2]["notes"] == ["name is a guess"]
    (table,) = manifest["tables"]
    assert table["columns"] == [{"name": "id", "type": "BIGINT"}, {"name": "name", "type": "VARCHAR"}]
    assert table["facts"] == {"delimiter": ","}
    assert [part["file"] for part in table["parts"]] == ["part-00000.parquet"]


def test_nothing_in_it_is_still_a_job(bench: Bench) -> None:
    published = bench.publish(None)
    assert published.members.total == 0
    assert list(tree(bench.library / published.path)) == ["manifest.json"]


def test_kept_members_are_whole_and_their_own(bench: Bench) -> None:
    """A file of its own is linked, a slice of a pack copied, and the upload always copied."""
    large = bench.file("12-0-1/000002", b"a large member")
    results = Results(
        members=(
            kept(1, "x.zip!/фото.jpg", Place(bench.file("pack", b"??" + PHOTO + b"tail"), 2, len(PHOTO))),
            kept(2, "x.zip!/a/b:c.bin", Place(large, 0, 14)),
            kept(3, "My Orders.zip", Place(bench.upload.path, 0, bench.upload.size)),
            MemberResult(number=4, path="x", outcome="rejected", reason=FAILED, place=Place("pack", 0, 2)),
            kept(5, "x.zip!/empty", Place("pack", 2, 0)),
        )
    )
    published = bench.publish(results)
    folder = bench.library / published.path
    assert {name: data for name, data in tree(folder).items() if data is not None and name != "manifest.json"} == {
        "kept/000001-фото.jpg": PHOTO,
        "kept/000002-b_c.bin": b"a large member",
        "kept/000003-My_Orders.zip": bench.spool.read_bytes(),
        "rejected/000004-x": b"??",
        "kept/000005-empty": b"",
    }
    assert (folder / "kept/000002-b_c.bin").stat().st_nlink == 2
    assert (folder / "kept/000003-My_Orders.zip").stat().st_ino != bench.spool.stat().st_ino
    assert bench.spool.stat().st_nlink == 1
    assert bench.seen[-1][1] == len(PHOTO) + bench.upload.size + 2


def test_batches_come_one_by_one(bench: Bench) -> None:
    for seq in (1, 2):
        member = converted(seq * 2, f"z!/{seq}.csv")
        photo = kept(seq * 2 + 1, "z!/photo.jpg", Place(bench.file(f"pack{seq}", PHOTO), 0, 5))
        bench.stage_batch(seq, Results(members=(member, photo), tables=(orders(bench, member.path),)))
    assert [path.name for path in bench.library.iterdir()] == [".incoming"]
    last = orders(bench)
    published = bench.publish(Results(members=(converted(6, last.source),), tables=(last,)), seq=0)
    assert [table.name for table in published.tables] == ["t_1", "t_2", "orders"]
    assert published.members == MemberCounts(total=5, converted=3, kept=2)
    folder = bench.library / published.path
    assert (folder / "kept/000003-photo.jpg").read_bytes() == (folder / "kept/000005-photo.jpg").read_bytes()
    assert [member["number"] for member in bench.manifest(published)["members"]] == [2, 3, 4, 5, 6]
    assert os.listdir(bench.library / ".incoming") == []


def test_batches_out_of_order_are_sorted_by_member(bench: Bench) -> None:
    for seq, numbers in ((1, (7, 2)), (2, (3,))):
        members = tuple(converted(number, f"{number}.bin") for number in numbers)
        bench.stage_batch(seq, Results(members=members))
    assert [m["number"] for m in bench.manifest(bench.publish(None, seq=3))["members"]] == [2, 3, 7]


def test_publishing_with_nothing_in_hand_takes_what_is_staged(bench: Bench) -> None:
    bench.stage_batch(1, one_table(bench))
    for path in bench.work.iterdir():
        path.unlink()
    assert bench.publish(None, seq=1).tables[0].rows == 3


def test_a_batch_staged_before_may_have_lost_its_work_files(bench: Bench) -> None:
    results = one_table(bench, rejects=["x"])
    bench.stage_batch(1, results)
    for path in bench.work.iterdir():
        path.unlink()
    assert bench.publish(results, seq=1).rejected_records == 1


def test_what_was_not_wholly_staged_does_not_count(bench: Bench) -> None:
    """A batch that was called back leaves parts and a half-written list, but no list."""
    bench.stage_batch(1, one_table(bench))
    incoming = bench.library / ".incoming/12"
    (incoming / ".batch-000002.msgpack.new").write_bytes(b"half")
    (incoming / "part-000002-00000.parquet").write_bytes(b"half")
    (incoming / "tree/kept").mkdir(parents=True)
    (incoming / "tree/kept/000099-old.jpg").write_bytes(b"half")
    published = bench.publish(None, seq=3)
    assert sorted(tree(bench.library / published.path)) == ["manifest.json", "orders", "orders/part-00000.parquet"]
    assert os.listdir(bench.library / ".incoming") == []


def test_failure_drops_what_was_staged(bench: Bench) -> None:
    bench.stage_batch(1, one_table(bench))
    published = bench.fail(FAILED)
    assert published.members.total == 0
    assert list(tree(bench.library / published.path)) == ["manifest.json"]
    manifest = bench.manifest(published)
    assert (manifest["state"], manifest["reason"]["code"]) == ("failed", "bomb")
    assert os.listdir(bench.library / ".incoming") == []


def test_failure_of_an_upload_that_is_gone(bench: Bench) -> None:
    bench.spool.unlink()
    assert bench.manifest(bench.fail(FAILED))["state"] == "failed"


@pytest.mark.parametrize("alter", [lambda path: path.unlink(), lambda path: path.write_bytes(b"other"), os.utime])
def test_altered_upload_is_refused(bench: Bench, alter: Any) -> None:
    results = one_table(bench)
    alter(bench.spool)
    outcome = bench.run(bench.task(0, results))
    assert isinstance(outcome, Reject)
    assert outcome.reason.code is Code.CHANGED
    assert [path.name for path in bench.library.iterdir()] == [".incoming"]
    assert bench.manifest(bench.fail(outcome.reason))["reason"]["code"] == "changed"


def test_upload_cut_short_while_it_is_copied(bench: Bench) -> None:
    place = Place(bench.upload.path, 0, bench.upload.size)
    bench.spool.write_bytes(b"short")
    outcome = bench.run(bench.task(1, Results(members=(kept(1, "a", place),)), publish=False))
    assert isinstance(outcome, Reject)


def test_again_after_it_was_published(bench: Bench) -> None:
    results = one_table(bench, rejects=["x"])
    first = bench.publish(results)
    before = tree(bench.library)
    assert bench.publish(results) == first
    assert tree(bench.library) == before


def test_another_end_replaces_what_the_ledger_never_knew(bench: Bench) -> None:
    bench.fail(FAILED)
    published = bench.publish(one_table(bench))
    assert bench.manifest(published)["state"] == "done"
    assert bench.fail(FAILED).path == published.path
    assert list(tree(bench.library / published.path)) == ["manifest.json"]


def test_a_library_that_outlived_its_ledger(bench: Bench) -> None:
    """The same job number and name, but another upload: both stay."""
    first = bench.publish(one_table(bench))
    (bench.library / "2026-02/12-my-orders-2").mkdir()
    other = msgspec.structs.replace(bench.upload, arrived_at=bench.upload.arrived_at + 1)
    second = bench.publish(one_table(bench), upload=other)
    assert (first.path, second.path) == ("2026-02/12-my-orders", "2026-02/12-my-orders-3")
    assert bench.publish(one_table(bench), upload=other) == second


def test_many_tables_go_by_a_file(bench: Bench) -> None:
    parts = [orders(bench, f"z!/orders{number}.csv") for number in range(100)]
    members = tuple(converted(number, part.source) for number, part in enumerate(parts))
    task = bench.task(0, Results(members=members, tables=tuple(parts)))
    published = finding_of(bench.run(task))
    assert (published.tables, published.tables_file) == ((), f"{task.prefix}.tables")
    data = (bench.work / published.tables_file).read_bytes()
    assert len(data) > INLINE_BYTES
    assert [table.name for table in msgspec.json.decode(data, type=list[TableInfo])][:2] == ["orders0", "orders1"]


def test_tables_stand_in_the_order_of_their_members(bench: Bench) -> None:
    parts = tuple(orders(bench, f"{name}/sales.csv") for name in "cab")
    members = tuple(converted(number, f"{name}/sales.csv") for number, name in enumerate("abc"))
    published = bench.publish(Results(members=members, tables=parts))
    assert [table.source for table in published.tables] == ["a/sales.csv", "b/sales.csv", "c/sales.csv"]
    assert [table.name for table in published.tables] == ["sales", "sales_2", "sales_3"]


def test_crashed_members_are_left_out(bench: Bench) -> None:
    part = orders(bench, "z!/bad.csv")
    results = Results(members=(converted(1, "z!/bad.csv"), converted(2, "z!/good.csv")), tables=(part,))
    published = bench.publish(results, crashed=(1,))
    assert published.members == MemberCounts(total=2, converted=1, rejected=1)
    assert published.tables == ()
    assert bench.manifest(published)["members"][0]["reason"]["code"] == "crashed"


@pytest.mark.parametrize("change", [{"read": 9}, {"rows": 2, "read": 2}, {"rejected": 1, "read": 4}])
@pytest.mark.parametrize("publish", [False, True])
def test_an_account_that_does_not_add_up_is_a_bug(bench: Bench, change: dict[str, int], publish: bool) -> None:
    results = one_table(bench)
    wrong = msgspec.structs.replace(results, tables=(msgspec.structs.replace(results.tables[0], **change),))
    with pytest.raises(AssertionError, match=r"orders\.csv"):
        next(bench.stage.run(bench.task(0, wrong, publish=publish), bench))
    assert [path.name for path in bench.library.iterdir()] == [".incoming"]


@pytest.mark.parametrize(
    "file", ["../spool", "a/../../spool", "/etc/hostname", "link", "folder/file", "fifo", "folder"]
)
def test_places_lead_nowhere_but_to_files_in_work(bench: Bench, file: str) -> None:
    (bench.root / "spool").write_bytes(b"secret")
    (bench.root / "elsewhere").mkdir()
    (bench.root / "elsewhere/file").write_bytes(b"secret")
    (bench.work / "link").symlink_to(bench.root / "spool")
    (bench.work / "folder").symlink_to(bench.root / "elsewhere")
    (bench.work / "a").mkdir()
    os.mkfifo(bench.work / "fifo")
    results = Results(members=(kept(1, "a", Place(file, 0, 6)),))
    with pytest.raises(AssertionError, match=r"no (regular file|folder|name in work/)|neither in work/"):
        next(bench.stage.run(bench.task(0, results), bench))
    assert b"secret" not in tree(bench.library).values()


def test_a_linked_link_is_never_published(bench: Bench) -> None:
    """os.link takes a symbolic link as it is; it must not become a table part."""
    part = orders(bench)
    (bench.work / part.file).rename(bench.root / "secret")
    (bench.work / part.file).symlink_to(bench.root / "secret")
    with pytest.raises(AssertionError, match="no regular file"):
        next(bench.stage.run(bench.task(0, Results(members=(), tables=(part,))), bench))
    assert [path.name for path in bench.library.iterdir()] == [".incoming"]


@pytest.mark.parametrize("code", sorted(files.NO_LINK))
def test_where_nothing_can_be_linked(bench: Bench, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    results = one_table(bench, rejects=["x"])
    twin = Bench(bench.root / "twin")
    one_table(twin, rejects=["x"])

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(files, "NO_RANGE_COPY", {code})
    monkeypatch.setattr(os, "copy_file_range", refuse)
    twin.stage_batch(0, results)
    published = twin.publish(results)
    assert (twin.library / published.path / "orders/part-00000.parquet").stat().st_nlink == 1
    monkeypatch.undo()
    bench.publish(results)
    assert tree(twin.library / published.path) == tree(bench.library / published.path)


def test_a_full_disk_leaves_nothing_half_visible(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    results = one_table(bench)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        next(bench.stage.run(bench.task(0, results), bench))
    assert [path.name for path in bench.library.iterdir()] == [".incoming"]
    monkeypatch.undo()
    bench.publish(results)


def test_everything_is_made_durable_once_and_in_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file and folder of the tree before the rename, both parents (and the month's own name) after it."""
    results = one_table(bench, rejects=["x"])
    events: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(fd: int) -> None:
        events.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), bench.library))
        real_fsync(fd)

    def rename(source: str, target: str) -> None:
        real_rename(source, target)
        events.append("rename")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    bench.publish(results)
    job = ".incoming/12"
    assert sorted(events[: events.index("rename")]) == [
        job,
        f"{job}/manifest.json",
        f"{job}/orders",
        f"{job}/orders/part-00000.parquet",
        f"{job}/orders/rejects.ndjson",
    ]
    assert sorted(events[events.index("rename") + 1 :]) == [".", ".incoming", "2026-02"]
    shutil.rmtree(bench.library / "2026-02")
    events.clear()
    bench.publish(results)
    assert "." in events, "the month's folder is a new one"
    events.clear()
    bench.publish(one_table(bench), upload=msgspec.structs.replace(bench.upload, name="other.csv"))
    assert sorted(events[events.index("rename") + 1 :]) == [".incoming", "2026-02"]


def test_a_part_may_lie_in_a_folder(bench: Bench) -> None:
    part = orders(bench)
    (bench.work / "12-0-2-1").mkdir()
    (bench.work / part.file).rename(bench.work / "12-0-2-1/p.parquet")
    moved = msgspec.structs.replace(part, file="12-0-2-1/p.parquet")
    assert bench.publish(Results(members=(), tables=(moved,))).tables[0].rows == 3


def test_stage_says_no_more_than_done(bench: Bench) -> None:
    assert bench.run(bench.task(1, one_table(bench), publish=False)) == Done()
    assert not Path(bench.library / "2026-02").exists()


def test_a_job_of_which_nothing_was_taken_failed_for_its_first_members_reason(bench: Bench) -> None:
    late, early = (
        MemberResult(
            number=number,
            path=f"a.zip!/{number}.bin",
            outcome="rejected",
            reason=Reason(code=Code.CORRUPT, text=f"Number {number} is damaged.", next_step="Send it again."),
        )
        for number in (7, 2)
    )
    finding = bench.publish(Results(members=(late, early)))
    manifest = bench.manifest(finding)
    assert manifest["state"] == "failed"
    assert finding.reason == early.reason
    assert finding.members.none_taken
