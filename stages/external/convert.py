"""Convert by a configured program: it turns a folder with a batch's files into a folder of Parquet files.

Each input is named by its number (`000012-orders.csv`); an output belongs to the member whose number it begins with.
What the program makes nothing of is kept, so that nothing is lost. Rows are counted from the Parquet files: what the
program dropped on its way can't be known here, and the manifest says so.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

from pipeline.config import Command, Config
from pipeline.model import Closed, Code, Column, Desk, Done, Outcome, Output, Reason, Task
from stages.external import runner
from stages.handover import FileList, Member, MemberResult, Place, Results, TablePart, pack, unpack

_NUMBER = re.compile(r"(\d{6,})-")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class ExternalConvert:
    """The stage. `config.convert.command` is the program."""

    def __init__(self, config: Config) -> None:
        assert config.convert.command is not None
        self._command: Command = config.convert.command

    def run(self, task: Task, desk: Desk) -> Generator[Closed, None, Outcome]:
        """Runs the program once over all of the batch's files, or once a file where one of them is under suspicion."""
        yield from ()  # a generator by the protocol, though only extract has anything to yield
        members = unpack(task.payload, FileList, desk.work).members
        rejected = [_passed_on(member) for member in members if member.reason is not None]
        crashed = [_crashed(member) for member in members if member.reason is None and member.number in task.crashed]
        good = [member for member in members if member.reason is None and member.number not in task.crashed]
        folder = desk.work / f"{task.prefix}.d"
        results, tables = [*rejected, *crashed], list[TablePart]()
        for group in [[member] for member in good] if task.alone else [good] if good else []:
            desk.progress(group[0].number, 0)
            outcome = self._convert(task, desk, folder, group, results, tables)
            if outcome is not None:
                shutil.rmtree(folder, ignore_errors=True)
                return outcome
        return Done(output=_output(task, desk, results, tables))

    def _convert(
        self,
        task: Task,
        desk: Desk,
        folder: Path,
        group: list[Member],
        results: list[MemberResult],
        tables: list[TablePart],
    ) -> Outcome | None:
        into, out = folder / "in", folder / "out"
        into.mkdir(parents=True, exist_ok=True)
        out.mkdir(exist_ok=True)
        for member in group:
            _lay_out(member, into, desk.work)
        values = {"input": str(into), "output": str(out), "name": task.upload.name}
        outcome = runner.run(self._command, desk, folder, values)
        shutil.rmtree(into)
        if outcome is not None:
            return outcome
        made = {member.number: list(_tables(member, out, folder.name)) for member in group}
        for member in group:
            tables.extend(made[member.number])
            results.append(_result(member, converted=bool(made[member.number])))
        return None


def _lay_out(member: Member, into: Path, work: Path) -> None:
    """MEMBER's bytes under a name that begins with its number: a link where it is a file of its own, else a copy."""
    assert member.place is not None
    path = into / f"{member.number:06}-{_UNSAFE.sub('_', member.path.rsplit('/', 1)[-1])[-80:]}"
    source = work / member.place.file
    if member.place.offset == 0 and member.place.length == source.stat().st_size:
        path.symlink_to(source.absolute())
        return
    with source.open("rb") as whole, path.open("wb") as part:
        whole.seek(member.place.offset)
        left = member.place.length
        while left > 0 and (chunk := whole.read(min(left, 1 << 20))):
            part.write(chunk)
            left -= len(chunk)


def _tables(member: Member, out: Path, folder: str) -> Iterator[TablePart]:
    from pyarrow import parquet

    for name in sorted(os.listdir(out)):
        number = _NUMBER.match(name)
        if number is None or int(number[1]) != member.number or not name.endswith(".parquet"):
            continue
        file = parquet.ParquetFile(out / name)
        rows = file.metadata.num_rows
        yield TablePart(
            source=member.path,
            title=name[number.end() :].removesuffix(".parquet"),
            file=f"{folder}/out/{name}",
            rows=rows,
            read=rows,
            rejected=0,
            columns=tuple(Column(name=field.name, type=str(field.type)) for field in file.schema_arrow),
            facts={"engine": "external command", "accounted": False},
        )


def _result(member: Member, *, converted: bool) -> MemberResult:
    return MemberResult(
        number=member.number,
        path=member.path,
        outcome="converted" if converted else "kept",
        size=member.size,
        sha256=member.sha256,
        place=None if converted else member.place,
        notes=member.notes,
    )


def _passed_on(member: Member) -> MemberResult:
    return MemberResult(
        number=member.number, path=member.path, outcome="rejected", reason=member.reason, notes=member.notes
    )


def _crashed(member: Member) -> MemberResult:
    reason = Reason(
        code=Code.CRASHED,
        text="The program that worked on it died three times at this file.",
        next_step="Its bytes are kept beside the result; have a look at it, or send it in another format.",
    )
    return MemberResult(
        number=member.number,
        path=member.path,
        outcome="rejected",
        size=member.size,
        sha256=member.sha256,
        place=member.place,
        reason=reason,
    )


def _output(task: Task, desk: Desk, results: list[MemberResult], tables: list[TablePart]) -> Output:
    results.sort(key=lambda result: result.number)
    payload, names = pack(Results(members=tuple(results), tables=tuple(tables)), desk.work, f"{task.prefix}.list")
    kept = {_top(place) for result in results if (place := result.place) and not place.file.startswith("/")}
    folder = f"{task.prefix}.d"
    if tables:
        kept.add(folder)
    else:
        shutil.rmtree(desk.work / folder, ignore_errors=True)
    size = sum((desk.work / table.file).stat().st_size for table in tables)
    return Output(payload=payload, names=(*names, *sorted(kept)), bytes=size, files=len(results))


def _top(place: Place) -> str:
    return place.file.split("/", 1)[0]


def build(config: Config) -> ExternalConvert:
    """As every stage module has it."""
    return ExternalConvert(config)
