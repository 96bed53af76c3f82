"""A disk that forgets: what a recording of file-system calls has left on it after a power cut.

What counts as kept is what POSIX promises and no more: a file's content by fsync of the file, its name by fsync of its
folder. A rename is one step, as every journalling file system has it: both of its names are kept, or neither. A name
kept by one fsync keeps the earlier steps that it rests on.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.crash.shim import Event, Op

_NAMING: Final = (Op.RENAME, Op.LINK, Op.UNLINK, Op.MKDIR, Op.RMDIR, Op.CREATE, Op.SYMLINK)
Slot = tuple[int, str]  # a name in a folder, by its inode


@dataclass(slots=True)
class _File:
    """A file's content: what fsync has kept, and the writes and cuts since, in order."""

    kept: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes | None]] = field(default_factory=list)  # offset, data; None: cut to that length

    def content(self, count: int | None = None, torn: int | None = None) -> bytes:
        """What is there once COUNT (or all) of the changes since the last fsync have come through; of the next one
        only TORN bytes."""
        data = bytearray(self.kept)
        changes = self.since if count is None else self.since[:count]
        if torn is not None and count is not None and count < len(self.since):
            offset, written = self.since[count]
            if written is not None:
                changes = [*changes, (offset, written[:torn])]
        for offset, written in changes:
            _change(data, offset, written)
        return bytes(data)


def _change(data: bytearray, offset: int, written: bytes | None) -> None:
    end = offset if written is None else offset + len(written)
    if len(data) < end:
        data.extend(bytes(end - len(data)))
    if written is None:
        del data[offset:]
    else:
        data[offset:end] = written


@dataclass(slots=True)
class _Step:
    """A change of the names in SLOTS (a rename's old one first), and whether it's kept."""

    op: Op
    inode: int
    slots: tuple[Slot, ...]
    target: bytes = b""
    kept: bool = False


class Disk:
    """The disk below the folder with the inode ROOT, which was there and empty."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._files: dict[int, _File] = {}
        self._steps: list[_Step] = []
        self._first_loose = 0  # all steps before it are kept
        self._generation: dict[int, int] = {root: root}  # a number is used again once its file is gone
        self._next = 1 << 60

    def apply(self, event: Event) -> None:
        """The next recorded call."""
        if event.op in (Op.CREATE, Op.MKDIR, Op.SYMLINK):
            self._next += 1
            self._generation[event.inode] = self._next
            if event.op is Op.CREATE:
                self._files[self._next] = _File()
        inode = self._generation.get(event.inode, 0)
        if event.op in _NAMING:
            self._steps.append(_Step(event.op, inode, self._slots(event), event.data))
        elif event.op is Op.WRITE and inode in self._files:
            self._files[inode].since.append((event.offset, event.data))
        elif event.op is Op.TRUNCATE and inode in self._files:
            self._files[inode].since.append((event.offset, None))
        elif event.op is Op.FSYNC and inode in self._files:
            file = self._files[inode]
            file.kept, file.since = bytearray(file.content()), []
        elif event.op is Op.DIRSYNC:
            self._keep(inode)

    def _slots(self, event: Event) -> tuple[Slot, ...]:
        one = (self._generation.get(event.parent1, 0), event.name1)
        two = (self._generation.get(event.parent2, 0), event.name2)
        if event.op is Op.RENAME:
            return one, two
        return (two,) if event.op is Op.LINK else (one,)

    def _keep(self, folder: int) -> None:
        """Keeps every loose step within FOLDER, and what these rest on: earlier steps about the same names."""
        loose = self._steps[self._first_loose :]
        needed: set[Slot] = set()
        for step in reversed(loose):
            if any(slot[0] == folder or slot in needed for slot in step.slots):
                step.kept = True
                needed.update(step.slots)
        while self._first_loose < len(self._steps) and self._steps[self._first_loose].kept:
            self._first_loose += 1

    # States after a cut

    def strict(self) -> Tree:
        """Only what was promised."""
        return self._tree(0, lambda file: bytes(file.kept))

    def names_only(self) -> Tree:
        """All names, and of the contents what was promised: files that are there and empty."""
        return self._tree(len(self._steps), lambda file: bytes(file.kept))

    def everything(self) -> Tree:
        """As if all had been written just in time."""
        return self._tree(len(self._steps), lambda file: file.content())

    def by_chance(self, chance: random.Random) -> Tree:
        """What was promised, all names up to some step, and some of each file's writes, the last of them torn."""

        def some(file: _File) -> bytes:
            return file.content(chance.randint(0, len(file.since)), torn=chance.randint(0, 4096))

        return self._tree(chance.randint(self._first_loose, len(self._steps)), some)

    def _tree(self, until: int, content: Callable[[_File], bytes]) -> Tree:
        """All steps before UNTIL, and those kept after it."""
        folders: dict[int, dict[str, int]] = {self._root: {}}
        targets: dict[int, bytes] = {}
        for number, step in enumerate(self._steps):
            if step.kept or number < until:
                _take(step, folders, targets)
        return Tree(self._root, folders, {inode: content(file) for inode, file in self._files.items()}, targets)


def _take(step: _Step, folders: dict[int, dict[str, int]], targets: dict[int, bytes]) -> None:
    old, new = step.slots[0], step.slots[-1]
    if step.op in (Op.UNLINK, Op.RMDIR, Op.RENAME):
        folders.setdefault(old[0], {}).pop(old[1], None)
    if step.op not in (Op.UNLINK, Op.RMDIR):
        folders.setdefault(new[0], {})[new[1]] = step.inode
    if step.op is Op.MKDIR:
        folders.setdefault(step.inode, {})
    elif step.op is Op.SYMLINK:
        targets[step.inode] = step.target


@dataclass(frozen=True)
class Tree:
    """Names and contents: what can be reached from ROOT is there."""

    root: int
    folders: dict[int, dict[str, int]]
    contents: dict[int, bytes]
    targets: dict[int, bytes]

    def write(self, path: Path) -> None:
        """Makes PATH a folder of it, hard links included."""
        made: dict[int, Path] = {}
        path.mkdir()
        self._write(self.root, path, made)

    def _write(self, folder: int, path: Path, made: dict[int, Path]) -> None:
        for name, inode in self.folders[folder].items():
            place = path / name
            if inode in self.folders:
                place.mkdir()
                self._write(inode, place, made)
            elif inode in self.targets:
                place.symlink_to(os.fsdecode(self.targets[inode]))
            elif inode in made:
                place.hardlink_to(made[inode])
            else:
                place.write_bytes(self.contents[inode])
                made[inode] = place
