"""What a format fulfils: it knows its archives by their content, and reads their entries one after the other.

Sizes and offsets are bytes. Names are text for people, never paths on disk.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.model import Options, Reason

CHUNK = 1 << 20  # what is read, inflated and written at a time
SMALL = 1 << 20  # members and nested archives below this stay in memory until they are written


class Refused(Exception):
    """A member or an archive that can't be taken, with the REASON for its uploader."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.text)


class Stop(Exception):
    """The whole job ends with REASON: one of its limits was hit, or the upload itself is lost."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.text)


class Source(Protocol):
    """Bytes in order."""

    def read(self, size: int, /) -> bytes:
        """Between 1 and SIZE bytes, none at the end. Raises Refused where the data is damaged."""
        ...


class Blob(Protocol):
    """Bytes in any order; safe to read from several threads."""

    @property
    def size(self) -> int:
        """Its length."""
        ...

    def pread(self, size: int, offset: int, /) -> bytes:
        """SIZE bytes at OFFSET, fewer only where the blob ends. Raises Refused where it can't be read."""
        ...


class Kind(enum.Enum):
    """What an entry is."""

    FILE = "file"  # bytes to be taken
    FOLDER = "folder"  # nothing to be taken
    SPECIAL = "special"  # a link, a device: recorded, never made


@dataclass(slots=True)
class Entry:
    """One entry of an archive: INDEX is its position in it, counting everything; `size` is what the archive claims,
    -1 where it doesn't say. `reason` tells why it can't be opened."""

    index: int
    name: str
    open: Callable[[], Source] | None = None
    kind: Kind = Kind.FILE
    size: int = -1
    reason: Reason | None = None
    notes: tuple[str, ...] = ()


class Reader(Protocol):
    """An open archive."""

    @property
    def random(self) -> bool:
        """Entries may be opened in any order and from several threads; else each is read before the next is asked."""
        ...

    @property
    def counted(self) -> bool:
        """What its entries produce is counted already, as the stream below it."""
        ...

    def entries(self, start: int) -> Iterator[Entry]:
        """The entries from index START on. Raises Refused where what follows can't be read."""
        ...

    def close(self) -> None:
        """Lets go of what it holds."""
        ...


class Running(Protocol):
    """A program that runs, and whose output is read here."""

    @property
    def over(self) -> bool:
        """It has ended and was waited for."""
        ...

    def read(self, size: int, /) -> bytes:
        """Between 1 and SIZE bytes of its output, none at the end."""
        ...

    def finish(self) -> int:
        """Waits for its end and returns its exit code."""
        ...

    def close(self) -> None:
        """Ends it at once, if it still runs."""
        ...


class Tools(Protocol):
    """Starts one job's programs, one at a time."""

    def start(self, argv: Sequence[str], secret: str = "", aside: Callable[[], None] | None = None) -> Running:
        """Starts ARGV; SECRET goes to its stdin as one line, never into ARGV. ASIDE is called before the next program
        starts, if this one still runs, and must close it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a format gets to open an archive.

    `blob` is set for formats that need to seek, and whenever the bytes are at hand in any order. `count` wraps a stream whose bytes are production in their own right. For formats that a
    program reads there are `tools`, which starts it, `file`, which gives a path to the archive (making a file where there was none; where
    the archive is `split` it is that of the first part),
    `scratch`, which makes a further file, both to be forgotten when the archive is closed. No
    other thread may read `source` unless `threads`, since a program must be started by the main one. There is also and `tick`, to be called at
    least every second, which raises Stop when the job has run too long. `read_more` notes the size of
    a further volume.
    """

    name: str
    source: Source
    blob: Blob | None
    options: Options
    count: Callable[[Source], Source]
    tools: Tools
    file: Callable[[], str]
    split: bool
    threads: bool
    scratch: Callable[[], str]
    tick: Callable[[], None]
    read_more: Callable[[int], None]


class Format(Protocol):
    """A family of archives. One lives as `FORMAT` in each module of `formats`."""

    @property
    def title(self) -> str:
        """Its name as people know it, `zip`."""
        ...

    @property
    def seeks(self) -> bool:
        """It needs its archive as a file or in memory; a stream won't do."""
        ...

    def matches(self, head: bytes) -> bool:
        """Whether an archive of this family starts with HEAD (the first 36 KiB, or all there is)."""
        ...

    def open(self, opening: Opening) -> Reader | None:
        """A reader, or None where the content is no archive after all (a document that is a zip inside). Raises
        Refused."""
        ...
