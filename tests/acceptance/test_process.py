"""What README says of `stampmill process`, seen from outside: exit status, JSON, running it again."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import zipfile
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from tests.acceptance.contract import Report, manifests, process, stampmill

PEOPLE = b'id,name,born,paid\n1,Ada,1815-12-10,10.50\n2,"Grace, Rear Admiral",1906-12-09,7.25\n'


@pytest.fixture
def drops(tmp_path: Path) -> Path:
    folder = tmp_path / "drops"
    folder.mkdir()
    (folder / "people.csv").write_bytes(PEOPLE)
    (folder / "cut.csv.gz").write_bytes(gzip.compress(os.urandom(3000).hex().encode())[:-900])
    (folder / "events.ndjson").write_bytes(
        b'{"at": "2024-05-01T10:00:00Z", "n": 1}\n{"at": "2024-05-02T11:30:00Z", "n": 2}\n'
    )
    return folder


def test_json_is_one_object_and_nothing_else(drops: Path, tmp_path: Path) -> None:
    run = stampmill("process", drops / "people.csv", "--into", tmp_path / "library", "--json", check=0)
    report = msgspec.json.decode(run.stdout, type=Report)
    job = report.job("people.csv")
    assert job.state == "done"
    assert job.duplicate_of is None
    assert job.reason is None
    assert job.sha256 == hashlib.sha256(PEOPLE).hexdigest()
    assert (job.members.total, job.members.converted) == (1, 1)
    (table,) = job.tables
    assert (table.rows, table.rejected, table.source) == (2, 0, "people.csv")
    assert [column.name for column in table.columns] == ["id", "name", "born", "paid"]
    assert {column.name: column.type for column in table.columns}["born"] == "DATE"


def test_a_table_is_a_folder_of_parquet_parts_below_the_library(drops: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    (table,) = process(drops / "people.csv", into=library).job("people.csv").tables
    parts = sorted((library / table.path).glob("part-*.parquet"))
    assert sum(pq.read_metadata(part).num_rows for part in parts) == table.rows
    assert pq.read_table(parts[0]).column("name").to_pylist() == ["Ada", "Grace, Rear Admiral"]
    codecs = {pq.read_metadata(part).row_group(0).column(0).compression for part in parts}
    assert codecs == {"ZSTD"}


def test_a_manifest_lists_every_member_and_table(drops: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    report = process(drops, into=library, check=3)
    for job in report.jobs:
        manifest = manifests(library)[Path(job.name).name]
        assert manifest["upload"]["sha256"] == job.sha256
        assert manifest["software"].startswith("stampmill ")
        assert len(manifest["members"]) == job.members.total
        assert [table["name"] for table in manifest["tables"]] == [table.name for table in job.tables]
        for table in manifest["tables"]:
            assert table["read"] == table["rows"] + table["rejected"]


def test_again_reports_what_is_done_and_does_not_do_it_again(drops: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    first = process(drops, into=library, check=3)
    done = [job for job in first.jobs if job.state == "done"]
    folders = {library / table.path for job in done for table in job.tables}
    seen = {path: path.stat().st_mtime_ns for folder in folders for path in folder.iterdir()}
    second = process(drops, into=library, check=3)
    assert [job for job in second.jobs if job.state == "done"] == done
    assert [job.name for job in second.jobs] == [job.name for job in first.jobs]
    assert {path: path.stat().st_mtime_ns for folder in folders for path in folder.iterdir()} == seen


def test_the_same_bytes_under_another_name_are_a_duplicate(drops: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    first = process(drops / "people.csv", into=library).job("people.csv")
    (drops / "copy.csv").write_bytes(PEOPLE)
    second = process(drops / "copy.csv", into=library).job("copy.csv")
    assert (second.state, second.duplicate_of, second.tables) == ("duplicate", first.job, [])


def test_results_share_nothing_with_inputs(drops: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    (drops / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(2000))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in drops.iterdir()}
    process(drops, into=library, check=3)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in drops.iterdir()} == before
    inodes = {path.stat().st_ino for path in drops.iterdir()}
    assert not [path for path in library.rglob("*") if path.stat().st_ino in inodes]


def test_what_is_no_table_is_kept_byte_for_byte(drops: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    photo = b"\xff\xd8\xff\xe0" + os.urandom(5000)
    (drops / "photo.jpg").write_bytes(photo)
    job = process(drops / "photo.jpg", into=library).job("photo.jpg")
    assert (job.state, job.members.kept, job.tables) == ("done", 1, [])
    (member,) = manifests(library)["photo.jpg"]["members"]
    (folder,) = [path.parent for path in library.glob("????-??/*/manifest.json")]
    assert (folder / member["place"]).read_bytes() == photo
    assert member["sha256"] == hashlib.sha256(photo).hexdigest()


def test_query_answers_over_the_library(drops: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    (table,) = process(drops / "people.csv", into=library).job("people.csv").tables
    run = stampmill("query", f"SELECT sum(paid) AS paid FROM {table.name}", "--into", library, "--json", check=0)
    assert json.loads(run.stdout)
    assert "17.75" in run.stdout


def test_a_value_is_not_changed_by_its_type(tmp_path: Path) -> None:
    codes = tmp_path / "codes.csv"
    codes.write_text("code,big\n01234,9223372036854775808\n5,1\n")
    (table,) = process(codes, into=tmp_path / "library").job("codes.csv").tables
    (part,) = (tmp_path / "library" / table.path).glob("part-*.parquet")
    rows = pq.read_table(part).to_pylist()
    assert [row["code"] for row in rows] == ["01234", "5"]
    assert [int(row["big"]) for row in rows] == [9223372036854775808, 1]


def test_types_text_leaves_every_column_as_it_was_written(drops: Path, tmp_path: Path) -> None:
    run = stampmill(
        "process", drops / "people.csv", "--into", tmp_path / "library", "--types", "text", "--json", check=0
    )
    (table,) = msgspec.json.decode(run.stdout, type=Report).job("people.csv").tables
    assert {column.type for column in table.columns} == {"VARCHAR"}
    (part,) = (tmp_path / "library" / table.path).glob("part-*.parquet")
    assert pq.read_table(part).column("paid").to_pylist() == ["10.50", "7.25"]


def test_many_small_files_of_one_header_share_a_table(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "days.zip", "w") as archive:
        for day in range(200):
            archive.writestr(f"day-{day:03}.csv", f"day,visits\n{day},{day * 3}\n")
    (table,) = process(tmp_path / "days.zip", into=tmp_path / "library").job("days.zip").tables
    assert table.rows == 200
    rows = [
        row
        for part in sorted((tmp_path / "library" / table.path).glob("part-*.parquet"))
        for row in pq.read_table(part).to_pylist()
    ]
    assert {(row["_file"].rpartition("/")[2], row["visits"]) for row in rows} == {
        (f"day-{day:03}.csv", day * 3) for day in range(200)
    }


@pytest.mark.needs("7zz")
def test_a_password_opens_and_is_not_kept(drops: Path, tmp_path: Path) -> None:
    library, secret = tmp_path / "library", "correct horse battery"
    made = tmp_path / "closed.zip"
    subprocess.run(
        ["7zz", "a", f"-p{secret}", "-mem=AES256", made, drops / "people.csv"], check=True, capture_output=True
    )
    refused = process(made, into=library, check=3).job("closed.zip")
    assert refused.reason is not None
    assert (refused.state, refused.reason.code) == ("failed", "encrypted")
    (tmp_path / "password").write_text(secret + "\n")
    run = stampmill("process", made, "--into", library, "--password-file", tmp_path / "password", "--json", check=0)
    assert msgspec.json.decode(run.stdout, type=Report).job("closed.zip").tables[0].rows == 2
    kept = [path for path in library.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert kept == []


@pytest.mark.parametrize("arguments", [(), ("--into", "x"), ("no-such-file", "--into", "x"), ("--no-such-option",)])
def test_a_wrong_call_is_usage(arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = stampmill("process", *arguments, check=2)
    assert run.stdout == ""
    assert run.stderr


def test_a_library_that_cannot_be_written_is_a_failure_with_a_sentence(drops: Path, tmp_path: Path) -> None:
    (tmp_path / "library").write_text("in the way")
    run = stampmill("process", drops, "--into", tmp_path / "library", check=1)
    assert "Traceback" not in run.stderr
    assert str(tmp_path / "library") in run.stderr.replace("\n", "")
