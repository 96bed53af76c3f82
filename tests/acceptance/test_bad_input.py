"""Bad input gets a clear answer wherever one looks, nothing is lost, and the other jobs go on."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.acceptance.contract import Report, manifests, process, stampmill

GOOD_CSV = b"id,name,born\n1,Ada,1815-12-10\n2,Grace,1906-12-09\n"
# Root reads everything; without its capabilities the rights of a file bind it too.
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()


class Run(NamedTuple):
    """One run over all drops: what it said on each way."""

    drops: Path
    library: Path
    report: Report
    summary: str
    manifests: dict[str, dict[str, Any]]


def zip_of(**members: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def traversal() -> bytes:
    return zip_of(**{"../../../escaped.csv": GOOD_CSV, "/etc/cron.d/escaped.csv": GOOD_CSV, "fine.csv": GOOD_CSV})


def with_links() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        link = tarfile.TarInfo("passwd.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        plain = tarfile.TarInfo("fine.csv")
        plain.size = len(GOOD_CSV)
        archive.addfile(plain, io.BytesIO(GOOD_CSV))
    return data.getvalue()


def in_cp866() -> bytes:
    """As an archiver on a Russian DOS or Windows writes it: no UTF-8 flag, the name's raw bytes in cp866."""
    raw = "отчёт.csv".encode("cp866")
    data = zip_of(**{"x" * len(raw): GOOD_CSV})
    return data.replace(b"x" * len(raw), raw)


def truncated() -> bytes:
    whole = zip_of(**{f"{number}.csv": b"n\n" + os.urandom(3000).hex().encode() for number in range(20)})
    return whole[: len(whole) // 2]


def overlapping() -> bytes:
    """A zip whose directory names one entry's bytes twice."""
    whole = zip_of(a=b"0" * 5000)
    start = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    record = whole[start:end]
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, 2 * len(record), start, 0)
    return whole[:start] + record + record + tail


DROPS: dict[str, Callable[[], bytes]] = {
    "good.csv": lambda: GOOD_CSV,
    "empty.csv": lambda: b"",
    "truncated.zip": truncated,
    "traversal.zip": traversal,
    "links.tar.gz": with_links,
    "bomb.zip": lambda: zip_of(**{"zeros.csv": b"0" * (64 << 20)}),
    "overlapping.zip": overlapping,
    "unreadable.csv": lambda: GOOD_CSV,
    "cp866.zip": in_cp866,
    "one_line.csv": lambda: b"id,name,born\n",
    "cut.json": lambda: b'[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "z',
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("bad")
    drops, library = home / "drops", home / "library"
    (drops / "closed").mkdir(parents=True)
    for name, make in DROPS.items():
        (drops / name).write_bytes(make())
    (drops / "closed" / "inside.csv").write_bytes(GOOD_CSV)
    (drops / "unreadable.csv").chmod(0)
    (drops / "closed").chmod(0)
    report = process(drops, into=library, before=WITHOUT_RIGHTS, check=3)
    summary = stampmill("process", drops, "--into", library, before=WITHOUT_RIGHTS, check=3)
    return Run(drops, library, report, summary.stdout + summary.stderr, manifests(library))


def words(text: str) -> str:
    """TEXT without the line breaks and frames that a table puts into it."""
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(
    ("name", "state", "codes"),
    [
        ("empty.csv", "failed", {"empty"}),
        ("bomb.zip", "failed", {"bomb"}),
        ("overlapping.zip", "failed", {"bomb"}),
        ("unreadable.csv", "failed", {"unreadable"}),
        ("closed", "failed", {"unreadable"}),
        ("cut.json", "failed", {"truncated"}),
        ("truncated.zip", "done", {"truncated", "corrupt"}),
        ("links.tar.gz", "done", {"unsafe"}),
    ],
)
def test_the_answer_has_a_code_a_sentence_and_a_next_step(run: Run, name: str, state: str, codes: set[str]) -> None:
    job = run.report.job(name)
    assert job.state == state
    assert job.reason is not None
    assert job.reason.code in codes
    assert job.reason.text.endswith(".")
    assert job.reason.next_step.endswith(".")
    said = words(run.summary)
    assert job.reason.code in said
    assert words(job.reason.text) in said
    assert words(job.reason.next_step) in said
    reason = {"code": job.reason.code, "text": job.reason.text, "next_step": job.reason.next_step}
    manifest = run.manifests[name]
    assert reason == manifest["reason"] or reason in [member["reason"] for member in manifest["members"]]


def test_the_other_jobs_go_on(run: Run) -> None:
    assert {Path(job.name).name for job in run.report.jobs} == {*DROPS, "closed"}
    good = run.report.job("good.csv")
    assert (good.state, good.reason) == ("done", None)
    assert [(table.rows, table.rejected) for table in good.tables] == [(2, 0)]


def test_a_truncated_archive_gives_what_can_be_read_and_says_what_cannot(run: Run) -> None:
    job = run.report.job("truncated.zip")
    members = run.manifests["truncated.zip"]["members"]
    assert sum(table.rows for table in job.tables) >= 1
    assert job.members.rejected >= 1
    assert job.members.converted == len([one for one in members if one["outcome"] == "converted"])
    for member in members:
        if member["outcome"] == "rejected":
            assert member["reason"]["code"] in {"truncated", "corrupt"}
            assert member["reason"]["text"]
            assert member["reason"]["next_step"]


def test_names_that_climb_are_only_names(run: Run) -> None:
    job = run.report.job("traversal.zip")
    assert job.state == "done"
    assert job.members.converted == 3
    paths = {member["path"] for member in run.manifests["traversal.zip"]["members"]}
    assert "drops/traversal.zip!/../../../escaped.csv" in paths
    assert not [*run.library.parent.parent.rglob("escaped.csv"), *Path("/etc/cron.d").glob("escaped*")]


def test_links_are_recorded_and_never_made(run: Run) -> None:
    job = run.report.job("links.tar.gz")
    assert (job.state, job.members.converted, job.members.rejected) == ("done", 1, 1)
    (link,) = [one for one in run.manifests["links.tar.gz"]["members"] if one["outcome"] == "rejected"]
    assert link["reason"]["code"] == "unsafe"
    assert not [path for path in run.library.rglob("*") if path.is_symlink()]


def test_a_name_in_cp866_is_read_and_the_guess_recorded(run: Run) -> None:
    job = run.report.job("cp866.zip")
    assert job.state == "done"
    (member,) = run.manifests["cp866.zip"]["members"]
    assert member["path"] == "drops/cp866.zip!/отчёт.csv"
    assert any("cp866" in note for note in member["notes"])


def test_one_line_is_a_table_without_rows(run: Run) -> None:
    job = run.report.job("one_line.csv")
    (table,) = job.tables
    assert job.state == "done"
    assert table.rows + table.rejected <= 1


def test_inputs_are_left_as_they_were(run: Run) -> None:
    assert (run.drops / "good.csv").read_bytes() == GOOD_CSV
    assert (run.drops / "good.csv").stat().st_nlink == 1
    assert sorted(path.name for path in run.drops.iterdir()) == sorted([*DROPS, "closed"])
