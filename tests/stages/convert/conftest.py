"""A desk of the tests' own, and a bench that converts files the way the worker would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import polars as pl
import pytest

from pipeline.config import Config, Paths
from pipeline.model import Done, Options, StageName, Task, ToolProcess, Upload
from stages import machine_code
from stages.convert import build
from stages.convert.kernels import compiled
from stages.handover import FileList, Member, MemberResult, Place, Results, TablePart, pack, unpack


class FakeDesk:
    def __init__(self, work: Path) -> None:
        self.work = work
        self.library = work.parent / "library"
        self.noted: list[tuple[int, int]] = []

    def progress(self, member: int, done_bytes: int) -> None:
        self.noted.append((member, done_bytes))

    def start_tool(
        self, argv: Sequence[str], *, cwd: Path | None = None, stdin: int | IO[bytes] | None = None
    ) -> ToolProcess:
        raise AssertionError(f"convert starts no tools, but asked for {argv}")


class Converted:
    """What a batch gave."""

    def __init__(self, work: Path, done: Done, desk: FakeDesk) -> None:
        assert done.output is not None
        self.work = work
        self.desk = desk
        self.output = done.output
        self.results = unpack(done.output.payload, Results, work)
        for part in self.results.tables:
            assert part.read == part.rows + part.rejected
            assert self.frame(part).height == part.rows
            assert len(self.rejects(part)) == part.rejected
            assert [column.name for column in part.columns] == self.frame(part).columns
            assert any(part.file == name or part.file.startswith(f"{name}/") for name in self.output.names)

    def frame(self, part: TablePart) -> pl.DataFrame:
        return pl.read_parquet(self.work / part.file)

    def rejects(self, part: TablePart) -> list[dict[str, Any]]:
        if not part.rejects_file:
            return []
        return [json.loads(line) for line in (self.work / part.rejects_file).read_bytes().splitlines()]

    @property
    def part(self) -> TablePart:
        (part,) = self.results.tables
        return part

    @property
    def member(self) -> MemberResult:
        (member,) = self.results.members
        return member

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        return self.frame(self.part).rows()

    @property
    def types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.part.columns}


class Bench:
    """Converts files in a work/ of its own."""

    def __init__(self, home: Path) -> None:
        self.work = home / "work"
        self.work.mkdir()
        self.config = Config(paths=Paths(state=str(home), library=str(home / "library")))
        self.count = 0

    def convert(
        self, files: dict[str, bytes], *, types: str = "auto", members: Sequence[Member] = (), **more: Any
    ) -> Converted:
        self.count += 1
        packed, made = b"", list(members)
        for number, (name, data) in enumerate(files.items(), len(made)):
            place = Place(f"{self.count}.pack", len(packed), len(data))
            made.append(Member(number=number, path=name, size=len(data), place=place))
            packed += data
        (self.work / f"{self.count}.pack").write_bytes(packed)
        payload, _ = pack(FileList(members=tuple(made)), self.work, f"{self.count}.in.list")
        (self.work / f"{self.count}.payload").write_bytes(payload)
        return self.run(self.task(payload, types, **more))

    def task(self, payload: bytes, types: str = "auto", **more: Any) -> Task:
        upload = Upload(path="/nowhere", name="upload", size=0, mtime_ns=0, inode=0, device=0)
        return Task(
            job=1,
            epoch=0,
            batch=self.count,
            seq=self.count,
            stage=StageName.CONVERT,
            attempt=1,
            payload=payload,
            upload=upload,
            options=Options(types=types),
            **more,
        )

    def run(self, task: Task) -> Converted:
        desk = FakeDesk(self.work)
        running = build(self.config).run(task, desk)
        try:
            next(running)
        except StopIteration as ended:
            return Converted(self.work, ended.value, desk)
        raise AssertionError("convert yields no batches")

    def csv(self, data: bytes, name: str = "a.csv", **options: Any) -> Converted:
        return self.convert({name: data}, **options)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def made_kernels() -> compiled.Kernels:
    place = machine_code.make(None, patient=True)
    assert place is not None
    return compiled.Kernels(place)


@pytest.fixture
def kernels(made_kernels: compiled.Kernels, monkeypatch: pytest.MonkeyPatch) -> compiled.Kernels:
    """Machine code that's used for files of any size."""
    monkeypatch.setattr(compiled, "kernels", lambda: made_kernels)
    return made_kernels


@pytest.fixture(params=["engine", "kernels"])
def either_way(request: pytest.FixtureRequest) -> str:
    """Each test twice: by the engine alone, and by machine code where that can."""
    if request.param == "kernels":
        request.getfixturevalue("kernels")
    return str(request.param)
