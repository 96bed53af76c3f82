"""rar 4 and 5, volumes included: the program unrar lists and unpacks, we split its stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.model import Reason
from stages.extract import names, reasons
from stages.extract.blobs import BlobSource
from stages.extract.protocol import CHUNK, Kind, Opening, Reader, Refused, Running
from stages.extract.split import Listed, SplitReader
from stages.extract.tools import lines, missing

MARK4, MARK5 = b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"
_NAME, _TYPE = "        Name: ", "        Type: "
MAX_WORDS = 400
_FAILURES = {
    2: "the program that unpacks it reports a fatal error",
    3: "a checksum in it doesn't match",
    6: "it can't be opened",
    11: "its password is wrong",
}


@dataclass(frozen=True, slots=True)
class Rar:
    """The family."""

    title: str = "rar"
    seeks: bool = True

    def matches(self, head: bytes) -> bool:
        """By its mark."""
        return head.startswith((MARK4, MARK5))

    def open(self, opening: Opening) -> Reader:
        """A reader. Raises Refused where unrar isn't installed or can't list it."""
        if reason := missing("unrar", "a rar archive"):
            raise Refused(reason)
        return SplitReader(RarArchive(opening, _path(opening)), opening.scratch)


def _path(opening: Opening) -> str:
    """Where unrar can read the archive; one that was merely cut in pieces must be joined for it."""
    if not opening.split or opening.blob is None:
        return opening.file()
    path, source = opening.scratch(), BlobSource(opening.blob)
    with open(path, "wb") as joined:
        while data := source.read(CHUNK):
            joined.write(data)
    return path


@dataclass(slots=True)
class RarArchive:
    """An archive, or the first of its VOLUMES, at PATH."""

    opening: Opening
    path: str
    volumes: bool = False
    measured: bool = False

    @property
    def given(self) -> bool:
        """The job has a password."""
        return self.opening.options.password is not None

    def members(self) -> Iterator[Listed]:
        """What `unrar vt -v` says of each member, and Refused for what it complains of."""
        tool = self._start(None, "vt", "-v", "-ver")
        words: list[str] = []
        ratio = ""
        try:
            for fields in _records(lines(tool), words):
                first, ratio = not ratio, fields.get("Ratio", "") or "none"
                if first and ratio in ("<->", "<--"):
                    raise Refused(reasons.missing_volume("it goes on from a volume that isn't with it"))
                self.volumes = self.volumes or any(_detail(word) and "volume" in word for word in words)
                if (one := listed(fields)) is not None:
                    yield one
            code = tool.finish()
        finally:
            tool.close()
        self._measure(words)
        if ratio in ("-->", "<->"):
            raise Refused(reasons.missing_volume("the archive goes on in a volume that isn't here"))
        if (reason := self._trouble(code, "\n".join(words))) is not None:
            raise Refused(reason)

    def unpack(self, without: str | None, aside: Callable[[], None]) -> Running:
        """`unrar p`."""
        return self._start(aside, "p", "-inul", "-ver", *((f"-x@{without}",) if without else ()))

    def failed(self, code: int) -> Reason | None:
        """Anything but 0 and 1 is damage of some kind; the words that would tell more don't reach us."""
        if code <= 1:
            return None
        if self.volumes:
            return reasons.missing_volume("the archive goes on in a volume that isn't here, or that is damaged")
        return reasons.corrupt(_FAILURES.get(code, "the program that unpacks it reports errors in it"))

    def _start(self, aside: Callable[[], None] | None, command: str, *switches: str) -> Running:
        """Starts unrar, which takes its password as the first line of its input where `-p` asks for one."""
        password = self.opening.options.password
        argv = ("env", "LC_ALL=C.UTF-8", "unrar", command, *switches, "-cfg-", "-y")
        argv += ("-p" if password else "-p-", "--", self.path)
        return self.opening.tools.start(argv, password or "", aside)

    def _measure(self, words: list[str]) -> None:
        """Tells, once, how much more than the first volume there is to read."""
        others = [line.removeprefix("Archive: ") for line in words if line.startswith("Archive: ")][1:]
        if not self.measured:
            self.measured = True
            self.opening.read_more(sum(os.stat(path).st_size for path in others if os.path.exists(path)))

    def _trouble(self, code: int, words: str) -> Reason | None:
        if "encrypted headers" in words and code:
            return reasons.encrypted(self.given)
        if "Unexpected end of archive" in words:
            return reasons.truncated("the archive breaks off")
        if code > 1:
            return reasons.corrupt(_FAILURES.get(code, "its table of contents can't be read"))
        return None


def _records(listing: Iterator[str], words: list[str]) -> Iterator[dict[str, str]]:
    """The members' fields: indented `key: value` lines, a blank one after each member. A name may hold line breaks, so it
    ends where the type begins. The first lines that belong to no member are kept in WORDS."""
    fields: dict[str, str] = {}
    for line in listing:
        key, found, value = line.partition(": ")
        if line.startswith(_NAME):
            fields = {"Name": value}
        elif fields and "Type" not in fields and not line.startswith(_TYPE):
            fields["Name"] += "\n" + line
        elif fields and found and line[:1] == " ":
            fields[key.strip()] = value
        elif fields and not line:
            yield fields
            fields = {}
        elif line and len(words) < MAX_WORDS:
            if line.startswith("Details: ") and _later_volume(line) and not any(map(_detail, words)):
                raise Refused(_later(line))
            words.append(line[:4096])


def listed(fields: dict[str, str]) -> Listed | None:
    """A member from unrar's FIELDS; None for one that began in the volume before."""
    if fields.get("Ratio") in ("<->", "<--"):
        return None
    raw, kind = fields["Name"], fields.get("Type", "File")
    flags = fields.get("Flags", "").split()
    name, notes = names.decode(_bytes_of(raw))
    one = Listed(name, raw.encode("utf-8", "surrogateescape"), encrypted="encrypted" in flags, notes=notes)
    size, crc = fields.get("Size", ""), fields.get("CRC32", "")
    one.size = int(size) if size.isdigit() else 0
    one.crc = int(crc, 16) if crc and not one.encrypted else None
    if kind == "Directory":
        one.kind, one.present = Kind.FOLDER, False
    elif kind != "File":
        one.kind, one.present, one.reason = Kind.SPECIAL, False, reasons.unsafe(f"a {kind.lower()}")
    return one


def _bytes_of(name: str) -> bytes:
    """NAME as it was stored: bytes that are no text come from unrar as private characters, after a mark that says so."""
    if "\ufffe" not in name:
        return name.encode("utf-8", "surrogateescape")
    parts = (
        bytes([ord(char) & 0xFF]) if "\ue080" <= char <= "\ue0ff" else char.encode("utf-8", "surrogateescape")
        for char in name.replace("\ufffe", "")
    )
    return b"".join(parts)


def _detail(line: str) -> bool:
    return line.startswith("Details: ")


def _later_volume(line: str) -> bool:
    """Whether LINE says that another volume comes before this one."""
    number = line.rpartition("volume ")[2] if "volume " in line else "1"
    return number.isdigit() and number != "1"


def _later(line: str) -> Reason:
    return reasons.missing_volume(f"this is {line.rpartition(', ')[2]} of several, and the first isn't with it")


FORMAT = Rar()
