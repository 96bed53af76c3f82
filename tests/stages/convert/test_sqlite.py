"""SQLite databases are read as they stand and never written to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.model import Code
from stages.handover import FileList, Member, Place, pack
from tests.stages.convert.conftest import Bench


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, height REAL, photo BLOB, day TEXT)")
        made.executemany(
            "INSERT INTO people VALUES (?, ?, ?, ?, ?)",
            [(i, f"n{i}", i / 2, b"\x01\xff", "2024-01-02") for i in range(30_000)],
        )
        made.execute('CREATE TABLE "odd ""name" (mixed, n)')
        made.executemany('INSERT INTO "odd ""name" VALUES (?, ?)', [("01", 1), (2, None), (2.5, 2**62), (b"\x00", -1)])
        made.execute("CREATE TABLE empty (a)")
    made.close()
    return path


def test_each_table(bench: Bench, database: Path) -> None:
    done = bench.convert({"a.db": database.read_bytes(), "b.csv": b"x,y\n1,2\n"})
    people, odd, _csv = done.results.tables
    assert {column.name: column.type for column in people.columns} == {
        "id": "BIGINT",
        "name": "VARCHAR",
        "height": "DOUBLE",
        "photo": "VARCHAR",
        "day": "DATE",
    }
    assert (people.title, people.rows) == ("people", 30_000)
    assert done.frame(people).row(1)[:4] == (1, "n1", 0.5, "01ff")
    assert done.frame(odd).rows() == [("01", 1), ("2", None), ("2.5", 2**62), ("00", -1)]
    assert done.results.members[0].notes == ("empty tables: empty",)
    assert not [path for path in bench.work.iterdir() if "scratch" in path.name]


def test_the_upload_itself_is_not_touched(bench: Bench, database: Path) -> None:
    before = database.stat()
    place = Place(str(database), 0, before.st_size)
    payload, _ = pack(FileList(members=(Member(number=0, path="a.db", place=place),)), bench.work, "list")
    done = bench.run(bench.task(payload))
    assert len(done.results.tables) == 2
    assert (database.stat().st_mtime_ns, database.stat().st_size) == (before.st_mtime_ns, before.st_size)
    assert [path.name for path in database.parent.iterdir() if path.name.startswith("a.db")] == ["a.db"]


def test_a_damaged_one(bench: Bench, database: Path) -> None:
    data = bytearray(database.read_bytes())
    data[100:4000] = b"\xff" * 3900
    done = bench.convert({"a.db": bytes(data)})
    assert done.member.reason is not None
    assert done.member.reason.code == Code.CORRUPT


def test_a_damage_that_the_engine_quotes(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "b.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE marker (a)")
        database.execute("INSERT INTO marker VALUES (1)")
        database.commit()
    data = path.read_bytes().replace(b"marker (a)", b"marker (a,").replace(b"marker", b"m\xc5(ker")
    reason = bench.convert({"b.sqlite": data}).member.reason
    assert reason is not None
    assert reason.code is Code.CORRUPT
