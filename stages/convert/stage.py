"""The convert stage: each member of a batch becomes tables, is kept as it is, or is rejected with a reason."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Generator, Sequence
from pathlib import PurePosixPath

import msgspec

from pipeline.config import Config
from pipeline.config import Convert as Limits
from pipeline.model import Closed, Desk, Done, Output, Reason, Task
from stages.convert import reasons
from stages.convert.drawer import Drawer
from stages.convert.family import Bench, Family, Head, Refused
from stages.convert.kernels import compiled
from stages.convert.sheet import TooManyRows
from stages.convert.source import Files, Source, open_source
from stages.convert.text.chunks import LineTooLong
from stages.convert.text.group import find_groups, read_group
from stages.handover import FileList, Member, MemberResult, Results, TablePart, pack, unpack

HEAD = 64 * 1024
_MUCH = 32 * 1024 * 1024  # bytes of a batch after which the worker may hold more than it needs
_GROUP_FILES = 16  # of one header that become one table; fewer are tables of their own, by their own names
_GROUP_FILES_OF_MANY = 2  # where the job has several batches, so that the rest of a large group joins it
_log = logging.getLogger(__name__)


class Convert:
    """One worker's convert stage; FAMILIES in the order they are asked."""

    def __init__(self, config: Config, families: Sequence[Family]) -> None:
        self._limits = config.convert
        compiled.look_in(config.paths.code)
        wanted = set(config.convert.formats)
        self._families = [family for family in families if not wanted or family.name in wanted]

        plain = config.convert.on_reject == "keep" and not config.convert.max_rows
        self._may_group = plain and any(family.name == "delimited" for family in self._families)

    def run(self, task: Task, desk: Desk) -> Generator[Closed, None, Done]:
        """Converts the members of TASK's file list."""
        yield from ()  # only extract yields batches
        files = Files(desk.work)
        batch = _Batch(task, desk, files, self._limits, self._families)
        try:
            members = unpack(task.payload, FileList, desk.work).members
            if not task.alone and self._may_group:
                batch.take_groups(members)
            for member in members:
                batch.take(member)
            return batch.done()
        finally:
            files.close()
            if batch.size > _MUCH:
                _give_back()


def _give_back() -> None:
    """Hands memory that is free, and that the C library holds for later, back to the system."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
    if trim is not None:
        trim(0)


def _is_bug(error: BaseException) -> bool:
    """Whether ERROR says more about one file, and what reads it, than about the machine: then the others go on."""
    if isinstance(error, Exception):
        return not isinstance(error, MemoryError) and not (isinstance(error, OSError) and error.errno)
    return type(error).__name__ == "PanicException"  # an engine's own, which is no Exception


class _Batch:
    """One batch at work."""

    def __init__(self, task: Task, desk: Desk, files: Files, limits: Limits, families: Sequence[Family]) -> None:
        self._task = task
        self._desk = desk
        self._files = files
        self._limits = limits
        self._families = families
        self._drawer = Drawer(desk.work, task.prefix)
        self._results: list[MemberResult] = []
        self._tables: list[TablePart] = []
        self._grouped: set[int] = set()  # the numbers of members that were read together
        self._done = 0

    @property
    def size(self) -> int:
        """How many bytes are decided."""
        return self._done

    def take_groups(self, members: Sequence[Member]) -> None:
        """Reads together what is small and alike, so that `take` needn't."""
        whole = [member for member in members if member.number not in self._task.crashed]
        least = _GROUP_FILES_OF_MANY if self._task.seq or self._task.next_seq > 1 else _GROUP_FILES
        for group in find_groups(whole, self._files, least) if len(whole) >= least else ():
            bench = self._bench("", lambda _done: None)
            try:
                self._grouped.update(member.number for member in read_group(group, bench))
            except BaseException as error:
                bench.clear()
                if not _is_bug(error):
                    raise
                _log.exception("files of one header can't be read together, and are read one by one")
                continue
            self._tables.extend(bench.tables)

    def take(self, member: Member) -> None:
        """Decides one member."""
        self._desk.progress(member.number, self._done)
        reason = member.reason
        if member.number in self._task.crashed:
            reason = reasons.crashed()
        elif reason is None and (member.place is None or member.place.length == 0):
            reason = reasons.empty()
        if reason is not None:
            self._add(member, "rejected", reason=reason)
        elif member.number in self._grouped:
            self._add(member, "converted")
            self._done += member.place.length if member.place else 0
        elif member.place is not None:
            self._convert(member, open_source(self._files, member.place, member.path))
            self._done += member.place.length
        self._desk.progress(member.number, self._done)

    def _convert(self, member: Member, source: Source) -> None:
        head = Head(PurePosixPath(member.path).suffix.lower(), source.read(0, HEAD), source.length)
        bench = self._bench(member.path, self._progress(member))
        try:
            self._read(source, head, bench)
        except Refused as refusal:
            bench.clear()
            self._add(member, "rejected", reason=refusal.reason, notes=tuple(bench.notes))
            return
        except BaseException as error:
            bench.clear()  # its threads would wait forever
            if not _is_bug(error):
                raise
            _log.exception("a bug met by %s, which is left out", member.path)
            self._add(member, "rejected", reason=reasons.internal(), notes=tuple(bench.notes))
            return
        self._tables.extend(bench.tables)
        self._add(member, "converted" if bench.tables else "kept", notes=tuple(bench.notes))

    def _read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes tables of SOURCE by the first family that can. Raises Refused."""
        try:
            for family in _surest_first(self._families, head):
                family.read(source, head, bench)
                if bench.tables:
                    break
        except LineTooLong as error:
            raise Refused(reasons.line_too_long()) from error
        except TooManyRows as error:
            raise Refused(reasons.too_many_rows(self._limits.max_rows)) from error
        rejected = sum(part.rejected for part in bench.tables)
        if rejected and self._limits.on_reject == "fail":
            raise Refused(reasons.bad_records(rejected))

    def _bench(self, path: str, progress: Callable[[int], None]) -> Bench:
        is_text_only = self._task.options.types == "text"
        return Bench(self._drawer, path, self._limits, progress, is_text_only=is_text_only)

    def _progress(self, member: Member) -> Callable[[int], None]:
        return lambda done: self._desk.progress(member.number, self._done + done)

    def _add(self, member: Member, outcome: str, *, reason: Reason | None = None, notes: tuple[str, ...] = ()) -> None:
        self._results.append(
            MemberResult(
                number=member.number,
                path=member.path,
                outcome=outcome,
                size=member.size,
                sha256=member.sha256,
                place=None if outcome == "converted" else member.place,
                reason=reason,
                notes=member.notes + notes,
            )
        )

    def done(self) -> Done:
        """The batch's outcome; every file of it is in its final place."""
        names = list(self._drawer.close())
        tables = tuple(self._settled(part) for part in self._tables)
        written = sum((self._desk.work / part.file).stat().st_size for part in tables)
        kept = [result.place for result in self._results if result.place is not None]
        names += sorted({place.file for place in kept if not place.file.startswith("/")})
        results = Results(members=tuple(self._results), tables=tables)
        payload, more = pack(results, self._desk.work, f"{self._task.prefix}.list")
        size = written + sum(place.length for place in kept)
        output = Output(payload=payload, names=(*names, *more), bytes=size, files=max(1, len(tables) + len(kept)))
        return Done(output=output)

    def _settled(self, part: TablePart) -> TablePart:
        return msgspec.structs.replace(part, file=self._drawer.settled(part.file))


def _surest_first(families: Sequence[Family], head: Head) -> list[Family]:
    """Those of FAMILIES that may read a file with this HEAD."""
    sure = sorted(((family.sniff(head), -index) for index, family in enumerate(families)), reverse=True)
    return [families[-index] for how_sure, index in sure if how_sure > 0]
