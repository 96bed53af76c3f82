"""One job's way through its archive: depth first, every member decided once, batches closed as they fill."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from pipeline.config import Config
from pipeline.model import Closed, Code, Desk, Done, Outcome, Reason, Reject, Task
from stages.extract import names, reasons
from stages.extract.batch import Batch, Files, Small, write_all
from stages.extract.blobs import BlobSource, FileBlob, MemoryBlob, Prefixed
from stages.extract.budget import Budget, Counted, Spent
from stages.extract.lookahead import Lookahead
from stages.extract.protocol import CHUNK, Entry, Format, Kind, Reader, Refused
from stages.extract.scratch import Opener, Scratch
from stages.extract.split import SplitReader
from stages.extract.take import Taken, Taker
from stages.extract.volumes import Piece
from stages.handover import Member

HOPELESS = frozenset((Code.ENCRYPTED, Code.CORRUPT, Code.TRUNCATED, Code.UNSUPPORTED, Code.EMPTY, Code.MISSING_VOLUME))
_PROGRESS_BYTES = 2 << 20


class Checkpoint(msgspec.Struct, array_like=True):
    """Where a restart goes on: `position` is the next entry's index at each level of nesting, outermost first;
    `good` whether any member with a byte in it was taken yet and `bad` the first reason why one wasn't."""

    position: list[int] = []
    spent: Spent = msgspec.field(default_factory=Spent)
    good: bool = False
    bad: Reason | None = None
    varied: bool = False


class NotAnArchive(Exception):
    """The upload looked like an archive by its first bytes and is a document."""


class Walk:
    """The job TASK. `run` is the whole of it."""

    def __init__(self, config: Config, task: Task, desk: Desk, size: int) -> None:
        """SIZE is the upload's."""
        self._config = config
        self._task = task
        self._desk = desk
        self._at = msgspec.msgpack.decode(task.checkpoint, type=Checkpoint) if task.checkpoint else Checkpoint()
        self._resume = list(self._at.position)
        self._at.position = []
        self._outermost = 0  # the level at which the upload's archives lie: one further down in an album
        self._budget = Budget(config.extract, size, self._at.spent)
        self._budget.muted = bool(self._resume)
        self._files = Files(desk.work, task.prefix)
        self._batch = Batch(self._files, task.next_seq, config.batch)
        self._pool = ThreadPoolExecutor(2, "inflate")
        self._hashers = ThreadPoolExecutor(2, "hash")
        self._bound: set[int] = set()  # open archives whose bytes come, however indirectly, out of a program
        self._opener = Opener(desk, task.options, self._budget, self._spend)
        self._taker = Taker(self._files, config.extract.max_member_bytes, self._hashers)
        self._done = self._told = 0

    def run(self, piece: Piece, form: Format | None) -> Iterator[Closed]:
        """Yields the batches that fill. Raises Stop when the job can't go on; then `outcome` isn't to be asked."""
        with self._ending():
            yield from self._piece(piece, form, 0)

    def run_album(self, pieces: Sequence[Piece], forms: Sequence[Format | None]) -> Iterator[Closed]:
        """The same for several files that were sent together, each in its turn."""
        with self._ending():
            self._outermost = 1
            start = self._resume.pop(0) if self._resume else 0
            self._at.position.append(start)
            for index in range(start, len(pieces)):
                self._at.position[0] = index
                if not self._resume:
                    self._budget.muted = False
                    if self._batch.full:
                        yield from self._closed()
                try:
                    yield from self._piece(pieces[index], forms[index], 1)
                except Refused as refused:
                    self._reject(pieces[index].name, refused.reason, ())
                except NotAnArchive:
                    self._take_whole(pieces[index])

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._batch.abandon()
            raise
        finally:
            self._pool.shutdown(cancel_futures=True)
            self._hashers.shutdown(cancel_futures=True)

    def _piece(self, piece: Piece, form: Format | None, depth: int) -> Iterator[Closed]:
        """Walks the archive PIECE. Raises NotAnArchive where it is a document, which is passed on as it lies."""
        scratch = Scratch(self._files, self._batch.seq)
        try:
            opening = self._opener.blob(piece.name, piece.blob, piece.path, scratch)
            reader = form.open(opening) if form is not None else None
            if reader is not None:
                yield from self._walk(reader, piece.name, depth)
            elif piece.whole:
                raise NotAnArchive
            else:
                self._take_whole(piece)
        finally:
            scratch.close()

    def _take_whole(self, piece: Piece) -> None:
        """PIECE is a member by itself: where it lies, or joined in work/ where it came in parts."""
        source, digest, name, fd = BlobSource(piece.blob), hashlib.sha256(), "", -1
        if not piece.whole:
            name, fd = self._files.create(self._batch.seq)
        try:
            while data := source.read(CHUNK):
                digest.update(data)
                self._progress(len(data))
                if fd >= 0:
                    write_all(fd, data)
        finally:
            if fd >= 0:
                os.close(fd)
        size = piece.blob.size
        member = Member(number=self._number(), path=piece.name, size=size, sha256=digest.hexdigest())
        self._batch.add_file(member, name or piece.path)
        self._at.good = self._at.good or size > 0

    def clear(self) -> None:
        """Removes what no batch owns."""
        self._files.remove_loose()

    def outcome(self) -> Outcome:
        """How the job ends once `run` is through."""
        if not self._budget.spent.members:
            return Reject(reason=reasons.empty("archive"))
        if not self._at.good and self._at.bad is not None and self._at.bad.code in HOPELESS and not self._at.varied:
            return Reject(reason=self._at.bad)
        return Done(output=None if self._batch.empty else self._batch.close())

    def _walk(self, reader: Reader, path: str, depth: int) -> Iterator[Closed]:
        """Decides every entry of READER, which is the archive PATH."""
        start = self._resume.pop(0) if self._resume else 0
        self._at.position.append(start)
        any_file = start > 0
        taken_entries = self._taken_entries(reader, start)
        try:
            for entry, taken in taken_entries:
                if entry.kind is Kind.FOLDER:
                    continue
                any_file = True
                self._at.position[depth] = entry.index
                if not self._resume:
                    self._budget.muted = False
                    if self._batch.full:
                        yield from self._closed()
                yield from self._decide(entry, taken, reader, f"{path}!/{names.readable(entry.name)}", depth)
            if not any_file:
                self._reject(path, reasons.empty("archive"), ())
        except Refused as refused:
            self._reject(path, refused.reason, ())
        finally:
            taken_entries.close()
            reader.close()
            self._bound.discard(id(reader))
            self._at.position.pop()

    def _taken_entries(self, reader: Reader, start: int) -> Generator[tuple[Entry, Taken | None]]:
        """The entries from START on, with their bytes where these could be fetched ahead."""
        if not reader.random or self._task.alone or self._task.crashed:
            for entry in reader.entries(start):
                yield entry, None
            return
        again = start if self._resume else -1  # a nested archive that was counted before the restart

        def take(entry: Entry) -> Taken:
            spend = self._progress if entry.index == again else self._reserve
            taken = self._taker.take(entry, self._batch.seq, spend, keep_source=False)
            if entry.index == again:
                taken.produced = 0
            return taken

        ahead = Lookahead(
            reader.entries(start),
            take,
            self._discard,
            self._pool,
            self._config.batch.bytes,
        )
        try:
            yield from ahead
        finally:
            ahead.close()

    def _decide(self, entry: Entry, taken: Taken | None, reader: Reader, path: str, depth: int) -> Iterator[Closed]:
        number = self._budget.spent.members
        self._desk.progress(number, self._done)
        if entry.reason is not None:
            return self._reject(path, entry.reason, entry.notes)
        if number in self._task.crashed:
            return self._reject(path, reasons.crashed(), entry.notes)
        spend = _nothing if reader.counted else self._spend
        if taken is None:
            taken = self._taker.take(entry, self._batch.seq, spend, keep_source=True)
        else:
            self._budget.settle(taken.produced)
        if taken.reason is not None:
            self._reject(path, taken.reason, entry.notes)
        elif taken.format is not None:
            yield from self._descend(entry, taken, reader, path, depth)
        else:
            self._add(taken, path, entry.notes)
        return None

    def _descend(self, entry: Entry, taken: Taken, outer: Reader, path: str, depth: int) -> Iterator[Closed]:
        """Opens the archive that ENTRY is, and walks it. What turns out to be a document is a member like others."""
        fd = os.open(self._desk.work / taken.file, os.O_RDONLY | os.O_CLOEXEC) if taken.file else -1
        scratch = Scratch(self._files, self._batch.seq)
        try:
            reader = self._open_nested(entry, taken, outer, path, fd, scratch)
            if reader is None:
                self._add(taken, path, entry.notes)
            elif (level := depth + 2 - self._outermost) > self._config.extract.max_depth:
                reader.close()
                self._reject(path, reasons.too_deep(level, self._config.extract.max_depth), entry.notes)
            else:
                yield from self._walk(reader, path, depth + 1)
        except Refused as refused:
            self._reject(path, refused.reason, entry.notes)
        finally:
            scratch.close()
            if fd >= 0:
                os.close(fd)
            self._discard(taken)

    def _open_nested(
        self, entry: Entry, taken: Taken, outer: Reader, path: str, fd: int, scratch: Scratch
    ) -> Reader | None:
        assert taken.format is not None
        assert entry.open is not None
        name = path.rsplit("/", 1)[-1]
        if taken.data is not None:
            return taken.format.open(self._opener.blob(name, MemoryBlob(taken.data), None, scratch))
        if fd >= 0:
            file = str(self._desk.work / taken.file)
            return taken.format.open(self._opener.blob(name, FileBlob(fd, taken.size), file, scratch))
        source = Prefixed(taken.head, taken.source) if taken.source is not None else entry.open()
        counted = source if outer.counted else Counted(source, self._spend)
        threads = not isinstance(outer, SplitReader) and id(outer) not in self._bound
        reader = taken.format.open(self._opener.stream(name, counted, scratch, threads))
        if not threads:
            self._bound.add(id(reader))
        return reader

    def _add(self, taken: Taken, path: str, notes: tuple[str, ...]) -> None:
        number = self._number()
        if taken.data is not None:
            self._batch.add_small(Small(number, path, taken.sha256, notes, taken.data))
        else:
            member = Member(number=number, path=path, size=taken.size, sha256=taken.sha256, notes=notes)
            self._batch.add_file(member, taken.file)
            taken.file = ""  # the batch's now
        self._at.good = self._at.good or taken.size > 0

    def _reject(self, path: str, reason: Reason, notes: tuple[str, ...]) -> None:
        self._batch.add_rejected(self._number(), path, reason, notes)
        self._at.bad = self._at.bad or reason
        self._at.varied = self._at.varied or reason.code not in HOPELESS

    def _number(self) -> int:
        number = self._budget.spent.members
        self._budget.member()
        self._budget.check_time()
        return number

    def _closed(self) -> Iterator[Closed]:
        """Closes the batch, and waits until the worker wants more."""
        checkpoint = Checkpoint(self._at.position, self._budget.mark(), self._at.good, self._at.bad, self._at.varied)
        closed = Closed(output=self._batch.close(), checkpoint=msgspec.msgpack.encode(checkpoint))
        self._batch = Batch(self._files, self._batch.seq + 1, self._config.batch)
        self._done = self._told = 0
        self._budget.pause()
        yield closed
        self._budget.resume()

    def _discard(self, taken: Taken) -> None:
        if taken.file:
            self._files.remove(taken.file)

    def _spend(self, size: int) -> None:
        self._progress(size)
        self._budget.spend(size)

    def _reserve(self, size: int) -> None:
        self._progress(size)
        self._budget.reserve(size)

    def _progress(self, size: int) -> None:
        self._done += size
        if self._done - self._told >= _PROGRESS_BYTES:
            self._told = self._done
            self._desk.progress(self._budget.spent.members, self._done)


def _nothing(_size: int) -> None:
    """For bytes that are counted elsewhere."""
