"""The batch being filled: small members lie together in one pack file, large ones in files of their own."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline.config import BatchSize
from pipeline.model import Output, Reason
from stages.handover import FileList, Member, Place, pack

FLUSH = 8 << 20  # small members held back, so that those of one kind come to lie side by side
_AT_ONCE = 1024  # pieces that the kernel takes in one call
_LINE = 200  # bytes of a first line that tell one header from another


class Files:
    """Makes files in WORK under this attempt's PREFIX, and remembers those that no batch owns yet."""

    def __init__(self, work: Path, prefix: str) -> None:
        self.work = work
        self.prefix = prefix
        self.loose: set[str] = set()
        self._numbers = itertools.count()

    def create(self, seq: int, kind: str = "f") -> tuple[str, int]:
        """A new file's name in work/ and its open descriptor, for reading and writing."""
        number = "" if kind == "pack" else str(next(self._numbers))
        name = f"{self.prefix}-{seq}.{kind}{number}"
        self.loose.add(name)
        return name, os.open(self.work / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def remove(self, name: str) -> None:
        """Deletes the file NAME."""
        self.loose.discard(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.work / name)

    def remove_loose(self) -> None:
        """Deletes what no closed batch owns."""
        for name in list(self.loose):
            self.remove(name)


def write_all(fd: int, data: bytes) -> None:
    """Writes DATA whole."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_each(fd: int, pieces: Sequence[bytes]) -> None:
    """Writes all PIECES, one after the other."""
    for at in range(0, len(pieces), _AT_ONCE):
        some = pieces[at : at + _AT_ONCE]
        wrote = os.writev(fd, some)
        if wrote < sum(map(len, some)):
            write_all(fd, b"".join(some)[wrote:])


class Small(NamedTuple):
    """A member whose bytes, DATA, are at hand."""

    number: int
    path: str
    sha256: str
    notes: tuple[str, ...]
    data: bytes


class Batch:
    """Takes members until it is `full`; `close` gives what the next stage gets."""

    def __init__(self, files: Files, seq: int, limits: BatchSize) -> None:
        self.seq = seq
        self.bytes = 0
        self._files = files
        self._limits = limits
        self._members: list[Member | None] = []
        self._names: list[str] = []
        self._held: list[tuple[bytes, int, Small]] = []
        self._held_bytes = 0
        self._pack: tuple[str, int] | None = None
        self._pack_end = 0

    @property
    def full(self) -> bool:
        """Whether the next member belongs to the next batch."""
        return self.bytes >= self._limits.bytes or len(self._members) >= self._limits.files

    @property
    def empty(self) -> bool:
        """Whether it has no member yet."""
        return not self._members

    def add_small(self, small: Small) -> None:
        """Takes SMALL."""
        size = len(small.data)
        self._held.append((_likeness(small.path, small.data), len(self._members), small))
        self._members.append(None)
        self._held_bytes += size
        self.bytes += size
        if self._held_bytes >= FLUSH:
            self._flush()

    def add_file(self, member: Member, name: str) -> None:
        """Takes MEMBER, whose bytes are the file NAME; an absolute one is the upload's own, and stays it."""
        self._members.append(msgspec.structs.replace(member, place=Place(name, 0, member.size)))
        if not os.path.isabs(name):
            self._names.append(name)
        self.bytes += member.size

    def add_rejected(self, number: int, path: str, reason: Reason, notes: tuple[str, ...]) -> None:
        """Lists a member that wasn't taken."""
        self._members.append(Member(number=number, path=path, reason=reason, notes=notes))

    def close(self) -> Output:
        """Writes what is held back and gives the batch away."""
        self._flush()
        if self._pack is not None:
            os.close(self._pack[1])
            self._names.append(self._pack[0])
            self._pack = None
        members = tuple(member for member in self._members if member is not None)
        payload, lists = pack(FileList(members=members), self._files.work, f"{self._files.prefix}-{self.seq}.list")
        names = (*self._names, *lists)
        self._files.loose.difference_update(names)
        return Output(payload=payload, names=names, bytes=self.bytes, files=len(members))

    def abandon(self) -> None:
        """Lets go of the pack file."""
        if self._pack is not None:
            os.close(self._pack[1])
            self._pack = None

    def _flush(self) -> None:
        if not self._held:
            return
        if self._pack is None:
            self._pack = self._files.create(self.seq, "pack")
        self._held.sort(key=itemgetter(0, 1))
        file, end = self._pack[0], self._pack_end
        for _, index, small in self._held:
            size = len(small.data)
            self._members[index] = Member(
                number=small.number, path=small.path, size=size, sha256=small.sha256, place=Place(file, end, size),
                notes=small.notes,
            )  # fmt: skip
            end += size
        self._pack_end = end
        write_each(self._pack[1], [held[2].data for held in self._held])
        self._held.clear()
        self._held_bytes = 0


def _likeness(path: str, data: bytes) -> bytes:
    """A key that is equal for files of one kind with one header: their suffix and their first line."""
    suffix = path[path.rfind(".") :][-8:].lower().encode()
    end = data.find(b"\n", 0, _LINE)
    return suffix + data[: end if end >= 0 else 16]
