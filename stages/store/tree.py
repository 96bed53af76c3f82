"""Making a job's tree from all its batches: tables, rejects and the manifest, all of it durable."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from pipeline.model import MemberCounts, Reason, Task
from stages.handover import MemberResult, Results, TablePart
from stages.store import files, manifest, tables
from stages.store.incoming import Incoming, check_account, count_rows, member_place
from stages.store.syncer import Syncer
from stages.store.tables import Piece, Plan

REJECTS = "rejects.ndjson"
_OUTCOMES = ("converted", "kept", "rejected")


class Batches:
    """A job's batches: the staged ones on disk, and the one in hand, which needn't be staged any more."""

    def __init__(self, incoming: Incoming, seq: int, results: Results | None) -> None:
        self._incoming = incoming
        self._seq = seq
        self.staged = incoming.staged()
        # An attempt that was to stage this very batch may have done so, and its files in work/ be gone since.
        known = results is None or (seq in self.staged and incoming.batch(seq) == results)
        self._results = None if known else results
        self.seqs = self.staged if known else sorted({*self.staged, seq})

    def load(self, seq: int) -> tuple[Results, bool]:
        """Batch SEQ, and whether it is staged."""
        if seq == self._seq and self._results is not None:
            return self._results, False
        return self._incoming.batch(seq), True

    def in_hand(self) -> Results | None:
        """The batch that isn't staged."""
        return self._results

    def members(self) -> Iterator[MemberResult]:
        """All members by number, as long as one batch ends before the next begins: only one is in memory at a time."""
        last = -1
        for seq in self.seqs:
            members = sorted(self.load(seq)[0].members, key=_number)
            if members and members[0].number <= last:
                raise _OutOfOrder
            yield from members
            last = members[-1].number if members else last

    def sorted_members(self) -> Iterator[MemberResult]:
        """The same for batches that overlap, with all of them in memory."""
        return iter(sorted((m for seq in self.seqs for m in self.load(seq)[0].members), key=_number))


class _OutOfOrder(Exception):
    """A batch holds a member that comes before one of an earlier batch."""


class Builder:
    """Makes the tree of TASK's job in INCOMING.

    Batches are taken by their first members and not by their numbers: the upload's own, number 0, holds the last ones.
    """

    def __init__(
        self,
        task: Task,
        top: manifest.Head,
        incoming: Incoming,
        work: files.Work,
        syncer: Syncer,
        progress: Callable[[int, int], None],
    ) -> None:
        self._task = task
        self._top = top
        self._syncer = syncer
        self._incoming = incoming
        self._work = work
        self._progress = progress
        self.first_reason: Reason | None = None
        self._first_rejected = -1
        self._files: list[str] = []  # all in the tree, relative
        self._parts: dict[str, TablePart] = {}  # the table parts among them
        self._digests: dict[str, files.Digest] = {}

    def build(self, results: Results | None) -> tuple[manifest.Counts, list[manifest.TableEntry]]:
        """Builds the tree of all staged batches and RESULTS, the batch in hand; durable but for its own name."""
        batches = Batches(self._incoming, self._task.seq, results)
        if not batches.staged:
            self._incoming.take_whole()
        if (in_hand := batches.in_hand()) is not None:
            self._incoming.put_members(in_hand, self._work, self._progress)
        pieces, members = self._survey(batches)
        plans = tables.plan(pieces, tables.Engine(self._shape, _merge))
        rejects = [self._make_table(plan) for plan in plans]
        self._syncer.run(map(self._digesting, self._files_of(plans, rejects)), lambda: self._progress(0, 0))
        entries = [manifest.table(*planned, self._digests) for planned in zip(plans, rejects, strict=True)]
        counts = manifest.counts(members, entries)
        self._write_manifest(counts, entries, batches)
        self._sync()
        return counts, entries

    def build_failed(self) -> tuple[manifest.Counts, list[manifest.TableEntry]]:
        """Builds the tree of a job that failed: its manifest alone. Whatever was staged is pruned away."""
        self._incoming.take_whole()
        counts = manifest.Counts()
        manifest.write(self._add(manifest.NAME), self._top, (), ())
        self._sync()
        return counts, []

    def _survey(self, batches: Batches) -> tuple[list[Piece], MemberCounts]:
        """All table parts in the order of their members, and the members' counts; notes where kept members lie."""
        pieces: dict[int, list[Piece]] = {}
        firsts: dict[int, int] = {}
        seen = dict.fromkeys(_OUTCOMES, 0)
        for seq in batches.seqs:
            results, staged = batches.load(seq)
            pieces[seq] = tables.ordered(seq, results, staged)
            firsts[seq] = min(map(_number, results.members), default=-1)
            for member in results.members:
                seen[member.outcome] += 1
                self._note_reason(member)
                if where := member_place(member):
                    self._add(where)
        batches.seqs.sort(key=lambda seq: firsts[seq])
        return [piece for seq in batches.seqs for piece in pieces[seq]], MemberCounts(total=sum(seen.values()), **seen)

    def _note_reason(self, member: MemberResult) -> None:
        """Remembers why the first of the job's members that weren't taken wasn't."""
        if member.reason is not None and (self._first_rejected < 0 or member.number < self._first_rejected):
            self._first_rejected, self.first_reason = member.number, member.reason

    def _make_table(self, plan: Plan) -> str:
        """Makes the folder of the table; returns the name of its rejects' file, or "" without any."""
        self._incoming.make_folder(plan.name)
        for number, piece in enumerate(plan.pieces):
            check_account(piece.part)
            self._make_part(piece, plan, f"{plan.name}/{manifest.part_file(number)}")
            self._progress(0, 0)
        rejects = [piece for piece in plan.pieces if piece.part.rejects_file]
        if rejects:
            self._make_rejects(rejects, f"{plan.name}/{REJECTS}")
        return REJECTS if rejects else ""

    @staticmethod
    def _files_of(plans: list[Plan], rejects: list[str]) -> Iterator[str]:
        for plan, file in zip(plans, rejects, strict=True):
            yield from (f"{plan.name}/{manifest.part_file(number)}" for number in range(len(plan.pieces)))
            if file:
                yield f"{plan.name}/{file}"

    def _digesting(self, where: str) -> Callable[[], None]:
        """What notes the digest of file WHERE; several may run side by side."""

        def note() -> None:
            self._digests[where] = files.digest(
                f"{self._incoming.tree}/{where}", lambda count: self._progress(0, count)
            )

        return note

    def _make_part(self, piece: Piece, plan: Plan, where: str) -> None:
        target = self._add(where)
        self._parts[where] = piece.part
        if plan.shape is not None and self._rewrite(piece, plan.shape, target):
            return
        if piece.staged:
            files.link(self._incoming.part(piece.seq, piece.index), target)
        else:
            self._work.link(piece.part.file, target)

    def _make_rejects(self, pieces: list[Piece], where: str) -> None:
        target = self._add(where)
        if len(pieces) == 1:
            self._link_rejects(pieces[0], target)
            return
        out = files.create(target)
        try:
            for piece in pieces:
                fd = self._open_rejects(piece)
                try:
                    files.append(fd, out, 0, os.fstat(fd).st_size)
                finally:
                    os.close(fd)
        finally:
            os.close(out)

    def _link_rejects(self, piece: Piece, target: str) -> None:
        if piece.staged:
            files.link(self._incoming.rejects(piece.seq, piece.index), target)
        else:
            self._work.link(piece.part.rejects_file, target)

    def _open_rejects(self, piece: Piece) -> int:
        if piece.staged:
            return files.open_regular(self._incoming.rejects(piece.seq, piece.index))
        return self._work.open(piece.part.rejects_file)

    def _open_part(self, piece: Piece) -> int:
        if piece.staged:
            return files.open_regular(self._incoming.part(piece.seq, piece.index))
        return self._work.open(piece.part.file)

    def _shape(self, piece: Piece) -> tables.Shape:
        from stages.store import unify

        fd = self._open_part(piece)
        try:
            return unify.shape(fd, piece.part.columns)
        finally:
            os.close(fd)

    def _rewrite(self, piece: Piece, shape: tables.Shape, target: str) -> bool:
        from stages.store import unify

        fd = self._open_part(piece)
        try:
            return unify.rewrite(fd, target, shape)
        finally:
            os.close(fd)

    def _write_manifest(self, counts: manifest.Counts, entries: list[manifest.TableEntry], batches: Batches) -> None:
        self._incoming.make_folder("")
        path = self._add(manifest.NAME)
        head = msgspec.structs.replace(self._top, counts=counts)
        if self.first_reason is not None:
            state = "failed" if counts.members.none_taken else "done"
            head = msgspec.structs.replace(head, reason=self.first_reason, state=state)
        try:
            manifest.write(path, head, entries, map(_entry, batches.members()))
        except _OutOfOrder:
            manifest.write(path, head, entries, map(_entry, batches.sorted_members()))

    def _add(self, where: str) -> str:
        self._files.append(where)
        return f"{self._incoming.tree}/{where}"

    def _sync(self) -> None:
        """Makes every file and folder of the tree durable, and nothing else be in it."""
        self._incoming.prune(self._files)
        folders = sorted({where.rpartition("/")[0] for where in self._files})
        calls = itertools.chain(
            (partial(self._sync_file, where) for where in self._files),
            (partial(files.sync, f"{self._incoming.tree}/{folder}") for folder in folders),
        )
        self._syncer.run(calls, lambda: self._progress(0, 0))

    def _sync_file(self, where: str) -> None:
        fd = files.open_regular(f"{self._incoming.tree}/{where}")
        try:
            if part := self._parts.get(where):
                count_rows(fd, part)
            os.fsync(fd)
        finally:
            os.close(fd)


def _number(member: MemberResult) -> int:
    return member.number


def _merge(one: tables.Shape, two: tables.Shape) -> tables.Shape | None:
    from stages.store import unify

    return unify.merge(one, two)


def _entry(member: MemberResult) -> manifest.MemberEntry:
    return manifest.MemberEntry(
        number=member.number,
        path=member.path,
        outcome=member.outcome,
        size=member.size,
        sha256=member.sha256,
        reason=member.reason,
        notes=member.notes,
        place=member_place(member),
    )
