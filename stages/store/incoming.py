"""`.incoming/<job>`: what is staged of an unpublished job, and the tree that will be its folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable

import msgspec

from pipeline.model import Code, Reason
from stages import parquet_footer
from stages.handover import MemberResult, Results, TablePart
from stages.store import files
from stages.store.names import member_file

FOLDER = ".incoming"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Results)

_CRASHED = Reason(
    code=Code.CRASHED,
    text="The program that stored it died over it three times, so it was left out.",
    next_step="The rest of the upload is there; send this file alone, or tell the operator.",
)


class Incoming:
    """The folder of one job. `fresh` tells that it wasn't there, so that nothing of earlier attempts can be in it.

    `tree` is what will be renamed: the folder `tree` in it, or all of it, once `take_whole` was called.
    """

    def __init__(self, library: str, job: int) -> None:
        self._root = f"{library}/{FOLDER}"
        self.folder = f"{self._root}/{job}"
        self.tree = f"{self.folder}/tree"
        self._folders: set[str] = set()
        try:
            self.fresh = files.make_folder(self.folder)
        except FileNotFoundError:
            files.make_folder(self._root)
            self.fresh = files.make_folder(self.folder)

    @property
    def parent(self) -> str:
        """The folder that holds the tree."""
        return self._root if self.tree == self.folder else self.folder

    def take_whole(self) -> None:
        """Makes the whole folder the tree, where no staged batch lies in it: a folder less for each small job."""
        self.tree = self.folder

    def stage(self, seq: int, results: Results, work: files.Work, progress: Callable[[int, int], None]) -> None:
        """Stages batch SEQ. Its `.batch` file is written last: without it nothing of this counts."""
        self.put_members(results, work, progress)
        for index, part in enumerate(results.tables):
            target = self.part(seq, index)
            work.link(part.file, target)
            check_account(part)
            check_rows(target, part)
            if part.rejects_file:
                work.link(part.rejects_file, self.rejects(seq, index))
        self._write_batch(seq, results)

    def put_members(self, results: Results, work: files.Work, progress: Callable[[int, int], None]) -> None:
        """Brings the bytes of kept and rejected members into the tree. PROGRESS takes a member and bytes copied."""
        for member in results.members:
            where = member_place(member)
            if where and member.place:
                target = self.make_place(where)
                work.put(member.place, target, lambda count, number=member.number: progress(number, count))  # type: ignore[misc]
                progress(member.number, 0)

    def make_place(self, where: str) -> str:
        """The full path of WHERE in the tree, in a folder that exists."""
        self.make_folder(where.rpartition("/")[0])
        return f"{self.tree}/{where}"

    def make_folder(self, name: str) -> None:
        """Makes the tree and folder NAME in it, unless they are there."""
        if name in self._folders:
            return
        if name:
            self.make_folder("")
            files.make_folder(f"{self.tree}/{name}")
        elif self.tree != self.folder:
            files.make_folder(self.tree)
        self._folders.add(name)

    def part(self, seq: int, index: int) -> str:
        """Where part INDEX of batch SEQ is staged."""
        return f"{self.folder}/part-{seq:06}-{index:05}.parquet"

    def rejects(self, seq: int, index: int) -> str:
        """Where that part's rejects are staged."""
        return f"{self.folder}/part-{seq:06}-{index:05}.ndjson"

    def staged(self) -> list[int]:
        """The numbers of the batches that were wholly staged, in order."""
        if self.fresh:
            return []
        names = [name for name in os.listdir(self.folder) if name.startswith(".batch-") and name.endswith(".msgpack")]
        return sorted(int(name[len(".batch-") : -len(".msgpack")]) for name in names)

    def batch(self, seq: int) -> Results:
        """What was staged as batch SEQ."""
        with open(self._batch(seq), "rb") as file:
            return _decoder.decode(file.read())

    def prune(self, wanted: Iterable[str]) -> None:
        """Removes from the tree whatever isn't in WANTED, paths relative to it: the leavings of attempts that died."""
        if self.fresh:
            return
        keep = {f"{self.tree}/{name}" for name in wanted}
        folders = {self.tree, *(path.rpartition("/")[0] for path in keep)}
        for folder, _, names in os.walk(self.tree, topdown=False):
            for name in names:
                if f"{folder}/{name}" not in keep:
                    os.unlink(f"{folder}/{name}")
            if folder not in folders:
                os.rmdir(folder)

    def remove(self) -> None:
        """Removes the folder once the job is published. What can't be removed is left to recovery."""
        if self.tree != self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _batch(self, seq: int) -> str:
        return f"{self.folder}/.batch-{seq:06}.msgpack"

    def _write_batch(self, seq: int, results: Results) -> None:
        path = self._batch(seq)
        fd = files.create(path + ".new")
        try:
            files.write(fd, _encoder.encode(results))
        finally:
            os.close(fd)
        os.rename(path + ".new", path)


def member_place(member: MemberResult) -> str:
    """Where a member's own bytes lie in the job's folder, or "" where they aren't there."""
    if member.outcome == "kept" or (member.outcome == "rejected" and member.place):
        return f"{member.outcome}/{member_file(member.number, member.path)}"
    return ""


def without_crashed(results: Results, crashed: Iterable[int]) -> Results:
    """RESULTS with the members that are numbered in CRASHED rejected, and what they gave left out."""
    numbers = set(crashed)
    if not numbers:
        return results
    paths = {member.path for member in results.members if member.number in numbers}
    return Results(
        members=tuple(_crashed(member) if member.number in numbers else member for member in results.members),
        tables=tuple(part for part in results.tables if part.source not in paths),
    )


def check_account(part: TablePart) -> None:
    """Asserts that every record of PART is a row or a reject, and that the rejects were written."""
    if part.read != part.rows + part.rejected:
        raise AssertionError(
            f"{part.source}: {part.read} records read, but {part.rows} rows and {part.rejected} rejects"
        )
    if part.rejected and not part.rejects_file:
        raise AssertionError(f"{part.source}: {part.rejected} rejects, but no file of them")


def check_rows(path: str, part: TablePart) -> None:
    """Asserts that the Parquet file at PATH has the rows that PART claims."""
    fd = files.open_regular(path)
    try:
        count_rows(fd, part)
    finally:
        os.close(fd)


def count_rows(fd: int, part: TablePart) -> None:
    """Asserts that the Parquet file open at FD has the rows that PART claims."""
    rows = parquet_footer.row_count(fd)
    if rows != part.rows:
        raise AssertionError(f"{part.source}: {part.rows} rows are claimed, {rows} are in {part.file}")


def _crashed(member: MemberResult) -> MemberResult:
    return MemberResult(
        number=member.number,
        path=member.path,
        outcome="rejected",
        size=member.size,
        sha256=member.sha256,
        reason=_CRASHED,
        notes=member.notes,
    )
