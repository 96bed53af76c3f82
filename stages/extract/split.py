"""A tool's one stream of unpacked bytes, split into members by what its list says, each held against its checksum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import msgspec
from isal import isal_zlib

from pipeline.model import Reason
from stages.extract import reasons
from stages.extract.protocol import CHUNK, Entry, Kind, Refused, Running
from stages.extract.sums import crc16

MAX_RESTARTS = 20  # after so many damaged members the rest is given up


@dataclass(slots=True)
class Listed:
    """A member as a tool's list has it. `raw` is its name as the tool takes it, `present` whether its bytes come in
    the stream, `block` which members are packed together with it, where the tool says."""

    name: str
    raw: bytes
    size: int = -1
    crc: int | None = None
    kind: Kind = Kind.FILE
    present: bool = True
    encrypted: bool = False
    block: str = ""
    reason: Reason | None = None
    notes: tuple[str, ...] = ()
    short_sum: bool = False  # `crc` is lzh's, of 16 bits


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Listed)


class Archive(Protocol):
    """What a format adds to the splitting: how its tool is asked."""

    @property
    def given(self) -> bool:
        """The job has a password."""
        ...

    def members(self) -> Iterator[Listed]:
        """All members in the order of the stream. Raises Refused where the archive can't be listed, wholly or on."""
        ...

    def unpack(self, without: str | None, aside: Callable[[], None]) -> Running:
        """The tool that unpacks all members but those whose names stand in the file WITHOUT, one a line. ASIDE is called
        when another program must run."""
        ...

    def failed(self, code: int) -> Reason | None:
        """What the tool's exit code says, once all members are read."""
        ...


class SplitReader:
    """An open archive that a tool unpacks. What comes wrong is left out, and the tool started anew for the rest."""

    random = False
    counted = False

    def __init__(self, archive: Archive, scratch: Callable[[], str]) -> None:
        """SCRATCH makes a file that lives as long as the archive is open. Raises Refused where nothing can be had."""
        self._archive = archive
        self._scratch = scratch
        self._tool: Running | None = None
        self._given = 0  # bytes that came from the tool since it was first started, or started without what was damaged
        self._restarts = 0
        self._without: str | None = None
        self._left_out: set[int] = set()
        self._lost_block = ""
        self._locked = not archive.given  # encrypted members are out of reach
        self._opened = False  # the password has opened one
        self._list = MembersFile(scratch())
        self._list.fill(archive.members())
        if self._list.is_vague:
            raise Refused(reasons.unsupported("it doesn't say where one of its files ends and the next begins"))
        self._survey()

    def close(self) -> None:
        """Ends the tool."""
        if self._tool is not None:
            self._tool.close()
            self._tool = None

    def entries(self, start: int) -> Iterator[Entry]:
        """The entries from START on; those before it are read again from the tool, and passed over."""
        for index, listed in enumerate(self._list):
            lost = self._lost(listed) if listed.present else None
            reason = listed.reason or lost
            piece = Piece(self, listed, index) if listed.present and lost is None else None
            if index >= start:
                opens = None if piece is None or reason else _opener(piece)
                yield Entry(index, listed.name, opens, listed.kind, listed.size, reason, listed.notes)
            if piece is not None:
                _pass(piece)
        self._end()

    def read(self, size: int) -> bytes:
        """The next bytes of the stream. The tool is started where it doesn't run, and what it gave before passed over."""
        if self._tool is None:
            self._tool = self._archive.unpack(self._without, self.close)
            left = self._given
            while left and (data := self._tool.read(min(left, CHUNK))):
                left -= len(data)
        data = self._tool.read(size)
        self._given += len(data)
        return data

    def whole(self, listed: Listed) -> None:
        """LISTED came right."""
        self._opened = self._opened or listed.encrypted

    def broken(self, listed: Listed, index: int, short: bool) -> Reason:
        """LISTED came wrong, and says why. Whatever follows may be out of step, so the tool will be started anew without
        it and what came before it; where it was SHORT, also without those packed together with it."""
        self.close()
        self._given = 0
        self._restarts += 1
        locked = listed.encrypted and not self._opened
        self._locked = self._locked or locked
        self._lost_block = listed.block if short and not locked else ""
        if self._restarts <= MAX_RESTARTS:
            self._leave_out(index)
        if locked:
            return reasons.encrypted(self._archive.given)
        return reasons.corrupt("its packed data is damaged" if short else "its checksum doesn't match")

    def _lost(self, listed: Listed) -> Reason | None:
        """Why LISTED can't be had."""
        if listed.encrypted and self._locked:
            return reasons.encrypted(self._archive.given)
        if self._restarts > MAX_RESTARTS:
            return reasons.corrupt("too much of the archive before it is damaged")
        if listed.block and listed.block == self._lost_block:
            return reasons.corrupt("it is packed together with a damaged file before it")
        if self._left_out and hash(listed.raw) in self._left_out:
            return reasons.corrupt("a file of the same name before it is damaged")
        return None

    def _survey(self) -> None:
        """Refuses what is encrypted as a whole; leaves encrypted members out where no password can open them."""
        if self._archive.given:
            return
        locked = files = 0
        for listed in self._whole_list():
            files += listed.present and listed.size != 0
            locked += listed.present and listed.encrypted
        if locked and locked == files:
            raise Refused(reasons.encrypted(False))
        if locked:
            self._leave_out(-1)

    def _whole_list(self) -> Iterator[Listed]:
        """The list as far as it goes; that it breaks off is said when the entries are read."""
        try:
            yield from self._list
        except Refused:
            return

    def _leave_out(self, last: int) -> None:
        """Writes the list of what the tool is to leave out: all up to number LAST, and what can't be had after it."""
        self._left_out = set()
        self._without = self._without or self._scratch()
        with open(self._without, "wb") as file:
            for index, listed in enumerate(self._whole_list()):
                lost = (listed.encrypted and self._locked) or (listed.block and listed.block == self._lost_block)
                if listed.present and (index <= last or lost):
                    file.write(listed.raw + b"\n")
                    if index <= last:
                        self._left_out.add(hash(listed.raw))

    def _end(self) -> None:
        """Once all is read, the tool must be at its end, and content."""
        if self._tool is None or self._restarts:
            return
        if self._tool.read(1):
            raise Refused(reasons.corrupt("it unpacks to more than its list says"))
        tool, self._tool = self._tool, None
        if reason := self._archive.failed(tool.finish()):
            raise Refused(reason)


class MembersFile:
    """The list of an archive, kept in the file PATH: it may be long, and is read again after damage."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reason: Reason | None = None
        self.is_vague = False  # something follows a file whose size isn't known

    def fill(self, members: Iterator[Listed]) -> None:
        """Writes MEMBERS. What is Refused after the first of them is kept for the end; before it, it is raised."""
        count = 0
        endless = False
        with open(self._path, "wb") as file:
            try:
                for listed in members:
                    count += 1
                    self.is_vague = self.is_vague or (endless and listed.present)
                    endless = endless or (listed.present and listed.size < 0)
                    data = _encoder.encode(listed)
                    file.write(len(data).to_bytes(4, "little") + data)
            except Refused as refused:
                if not count:
                    raise
                self._reason = refused.reason

    def __iter__(self) -> Iterator[Listed]:
        """The members, then Refused where the list breaks off."""
        with open(self._path, "rb") as file:
            while size := file.read(4):
                yield _decoder.decode(file.read(int.from_bytes(size, "little")))
        if self._reason is not None:
            raise Refused(self._reason)


class Piece:
    """The bytes of one member, out of the stream."""

    def __init__(self, reader: SplitReader, listed: Listed, index: int) -> None:
        self._reader = reader
        self._listed = listed
        self._index = index
        self._left = listed.size
        self._crc = 0
        self.over = listed.size == 0

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises Refused where they break off or don't sum up."""
        if self.over:
            return b""
        data = self._reader.read(size if self._left < 0 else min(size, self._left))
        if not data and self._left > 0:
            raise self._refused(short=True)
        self._crc = crc16(data, self._crc) if self._listed.short_sum else isal_zlib.crc32(data, self._crc)
        if self._left > 0:
            self._left -= len(data)
        self.over = not data or not self._left
        if self.over and self._listed.crc is not None and self._crc != self._listed.crc:
            raise self._refused(short=False)
        if self.over:
            self._reader.whole(self._listed)
        return data

    def _refused(self, short: bool) -> Refused:
        self.over = True
        return Refused(self._reader.broken(self._listed, self._index, short))


def _opener(piece: Piece) -> Callable[[], Piece]:
    return lambda: piece


def _pass(piece: Piece) -> None:
    """Reads what nobody took of PIECE, so that the next one's bytes come next."""
    try:
        while piece.read(CHUNK):
            pass
    except Refused:
        pass  # what matters is that the stream stands where it should
