"""What the configuration asks for, and formats that other packages bring."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import msgspec
import pytest

import stages.convert
from pipeline.model import Code
from stages.convert.family import Bench as Table
from stages.convert.family import Head
from stages.convert.source import Source
from stages.convert.text.text_rows import write_rows
from tests.stages.convert.conftest import Bench

CSV = b"id,zip,day\n1,01234,01/02/2024\n2,99999,03/04/2024\n"


def ask(bench: Bench, **settings: Any) -> None:
    convert = msgspec.structs.replace(bench.config.convert, **settings)
    bench.config = msgspec.structs.replace(bench.config, convert=convert)


def test_formats_that_are_not_asked_for_are_kept(bench: Bench) -> None:
    ask(bench, formats=("json",))
    done = bench.convert({"a.csv": CSV, "b.json": b'{"a": 1}'})
    assert [member.outcome for member in done.results.members] == ["kept", "converted"]


def test_types_can_be_pinned(bench: Bench) -> None:
    assert bench.csv(CSV).types == {"id": "BIGINT", "zip": "VARCHAR", "day": "VARCHAR"}
    ask(bench, types={"ID": "VARCHAR", "day": "%d/%m/%Y", "zip": "BIGINT"})
    done = bench.csv(CSV)
    assert done.types == {"id": "VARCHAR", "zip": "VARCHAR", "day": "DATE"}  # a pin never changes 01234
    assert str(done.rows[0][2]) == "2024-02-01"


def test_a_limit_of_rows(bench: Bench) -> None:
    ask(bench, max_rows=1)
    done = bench.convert({"a.csv": CSV, "b.csv": b"x,y\n1,2\n"})
    first, second = done.results.members
    assert (first.outcome, second.outcome) == ("rejected", "converted")
    assert first.reason is not None
    assert first.reason.code == Code.TOO_LARGE


def test_a_limit_of_columns(bench: Bench) -> None:
    ask(bench, max_columns=2)
    done = bench.convert({"a.csv": CSV, "b.json": b'{"a": 1, "b": 2, "c": 3}'})
    assert [member.reason and member.reason.code for member in done.results.members] == [Code.TOO_LARGE] * 2


def test_files_with_bad_records_can_be_refused(bench: Bench) -> None:
    ask(bench, on_reject="fail")
    done = bench.csv(CSV + b"1,2,3,4,5\n")
    assert done.member.reason is not None
    assert done.member.reason.code == Code.MALFORMED
    assert not done.results.tables
    assert done.member.place is not None


class Stars:
    """A format from elsewhere: fields parted by stars."""

    name = "stars"

    def sniff(self, head: Head) -> float:
        return 1.0 if head.suffix == ".stars" else 0.0

    def read(self, source: Source, head: Head, bench: Table) -> None:
        lines = source.read(0, source.length).decode().splitlines()
        write_rows(lines[0].split("*"), lambda: (line.split("*") for line in lines[1:]), len(lines) - 1, bench)


class Broken:
    def __init__(self) -> None:
        raise RuntimeError("no")


def test_other_packages_bring_formats(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint(name=kind.__name__, value=f"{__name__}:{kind.__name__}", group=stages.convert.GROUP)
        for kind in (Broken, Stars)
    ]
    monkeypatch.setattr(EntryPoint, "load", lambda point: {"Broken": Broken, "Stars": Stars}[point.name])
    monkeypatch.setattr(stages.convert, "entry_points", lambda group: points)
    done = bench.convert({"a.stars": b"a*b\n1*x\n2*y\n"})
    assert done.rows == [(1, "x"), (2, "y")]


def test_statistics_files(bench: Bench, tmp_path: Path) -> None:
    pyreadstat = pytest.importorskip("pyreadstat")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": [1.0, 2.0, None], "name": ["a", "", "c"], "x": [1.5, 2.5, 3.5]})
    for suffix, write in (
        (".sav", pyreadstat.write_sav),
        (".dta", pyreadstat.write_dta),
        (".xpt", pyreadstat.write_xport),
    ):
        path = tmp_path / f"a{suffix}"
        write(frame, str(path))
        done = bench.convert({path.name: path.read_bytes()})
        assert done.rows == [(1, "a", 1.5), (2, None, 2.5), (None, "c", 3.5)]
        cut = bench.convert({path.name: path.read_bytes()[:40]})
        assert cut.member.outcome == "rejected"
