"""A batch in, a batch out: outcomes, names, and nothing lost."""

from __future__ import annotations

import pytest

from pipeline.model import Code, Reason
from stages.convert.account import AccountWrong
from stages.convert.sheet import Sheet
from stages.handover import Member
from tests.stages.convert.conftest import Bench

CSV = b"id,name,born\n1,Ada,1815-12-10\n2,Grace,1906-12-09\n"


def test_one_table_is_one_file_and_the_pack_is_let_go(bench: Bench) -> None:
    done = bench.csv(CSV)
    assert done.output.names == ("1-1-convert-1.parquet",)
    assert done.member.outcome == "converted"
    assert done.member.place is None
    assert done.types == {"id": "BIGINT", "name": "VARCHAR", "born": "DATE"}


def test_more_files_lie_in_one_folder(bench: Bench) -> None:
    done = bench.convert({"a.csv": CSV, "b.csv": b"x;y\n1;2\n1;2;3\n"})
    assert done.output.names == ("1-1-convert-1.d",)
    assert sorted(path.name for path in (bench.work / "1-1-convert-1.d").iterdir()) == [
        "00001.parquet",
        "00002.parquet",
        "00003.rejects.ndjson",
    ]


def test_what_is_no_table_is_kept_in_place(bench: Bench) -> None:
    done = bench.convert({"a.png": b"\x89PNG\r\n\x1a\n\0\0\0", "a.csv": CSV})
    picture = done.results.members[0]
    assert (picture.outcome, picture.place and picture.place.file) == ("kept", "1.pack")
    assert "1.pack" in done.output.names


def test_a_member_that_was_rejected_is_passed_on(bench: Bench) -> None:
    reason = Reason(code=Code.ENCRYPTED, text="No password.", next_step="Send it.")
    done = bench.convert({}, members=[Member(number=7, path="a.zip!/b", reason=reason)])
    assert (done.member.outcome, done.member.reason, done.member.place) == ("rejected", reason, None)


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.csv", b"", Code.EMPTY),
        ("a.csv", b"\n\n\n", Code.EMPTY),
        ("a.csv", b"\x00\x01\x02\x00\xff\xfe", Code.CORRUPT),
        ("a.json", b'[{"a": 1}, {"a"', Code.TRUNCATED),
        ("a.json", b'{"a": 1]', Code.CORRUPT),
        ("a.xlsx", b"this is no zip", Code.CORRUPT),
        ("a.xlsx", b"PK\x03\x04cut", Code.TRUNCATED),
        ("a.ndjson", b"no\njson\n", Code.CORRUPT),
    ],
)
def test_a_damaged_table_is_rejected_and_its_bytes_stay(bench: Bench, name: str, data: bytes, code: Code) -> None:
    done = bench.convert({name: data})
    assert done.member.outcome == "rejected"
    assert done.member.reason is not None
    assert done.member.reason.code == code
    assert done.member.place is not None
    assert "1.pack" in done.output.names


def test_an_empty_payload_is_an_empty_batch(bench: Bench) -> None:
    done = bench.run(bench.task(b""))
    assert done.results.members == ()


def test_a_crashed_member_is_not_read_again(bench: Bench) -> None:
    done = bench.convert({"a.csv": CSV, "b.csv": CSV}, crashed=(1,))
    assert [member.outcome for member in done.results.members] == ["converted", "rejected"]


def test_progress_ends_at_the_batch_s_bytes(bench: Bench) -> None:
    done = bench.convert({"a.csv": CSV, "b.csv": CSV})
    assert done.desk.noted[-1] == (1, 2 * len(CSV))


def test_sums_that_do_not_match_stop_the_table(bench: Bench) -> None:
    from stages.convert.drawer import Drawer

    sheet = Sheet(Drawer(bench.work, "x"), "a.csv")
    with pytest.raises(AccountWrong, match="3 records read, but 0 rows and 0 rejects"):
        sheet.finish(3, [])
