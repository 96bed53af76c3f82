"""7z, and what else the program 7zz reads for us: cab, iso, arj, lzh, xar, rpm, wim. It lists and unpacks, we split."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.model import Reason
from stages.extract import names, reasons
from stages.extract.protocol import Kind, Opening, Reader, Refused, Running
from stages.extract.split import Listed, SplitReader
from stages.extract.tools import lines, missing

MEMORY = "-smemx1g"  # an archive that asks for more memory than this is refused by 7zz itself
_ISO = 32769
MARKS: tuple[tuple[int, bytes, str, str], ...] = (
    # offset, bytes, 7zz's name of the type, what people call it
    (0, b"7z\xbc\xaf\x27\x1c", "7z", "7z"),
    (0, b"\x1f\x9d\x90", "z", "Z"),
    (0, b"MSCF\0\0\0\0", "cab", "cab"),
    (0, b"xar!\x00\x1c", "xar", "xar"),
    (0, b"MSWIM\0\0\0", "wim", "wim"),
    (0, b"\xed\xab\xee\xdb", "rpm", "rpm"),
    (_ISO, b"CD001", "iso", "iso"),
)
_FIRST = frozenset(mark[:2] for _, mark, _, _ in MARKS)
# What 7zz unpacks; for other methods it gives no byte and says so, to people.
_METHODS = {
    "7z": frozenset((
        "Copy", "LZMA", "LZMA2", "PPMD", "BZip2", "Deflate", "Deflate64", "Delta", "BCJ", "BCJ2", "ARM", "ARMT", "ARM64",
        "PPC", "IA64", "SPARC", "RISCV", "Swap2", "Swap4", "7zAES", "AES256CBC",
    )),
    "lzh": frozenset(f"-lh{kind}-" for kind in "04567xd"),
}  # fmt: skip
SEEN = 1000  # names by which the encoding of all is told
_PAIR = re.compile(rb"([\x81-\x9f\xe0-\xfc])(.)", re.DOTALL)  # a character of two bytes in cp932
_NO = frozenset("lbcps")  # what a mode string starts with for links, devices, pipes and sockets


def type_of(head: bytes) -> tuple[str, str] | None:
    """7zz's type of what starts with HEAD and what people call it."""
    if head[:2] in _FIRST or head[_ISO : _ISO + 1] == b"C":
        for offset, mark, kind, title in MARKS:
            if head[offset : offset + len(mark)] == mark:
                return kind, title
    if head[2:5] in (b"-lh", b"-lz") and head[6:7] == b"-" and len(head) > 21 and head[20] in b"\0\1\2\3":
        return "lzh", "lzh"
    if head[:2] == b"\x60\xea" and len(head) > 10 and 0 < int.from_bytes(head[2:4], "little") <= 2600 and head[10] == 2:
        return "arj", "arj"
    return None


@dataclass(frozen=True, slots=True)
class SevenZip:
    """The family."""

    title: str = "7z"
    seeks: bool = True

    def matches(self, head: bytes) -> bool:
        """By the marks above."""
        return type_of(head) is not None

    def open(self, opening: Opening) -> Reader:
        """A reader. Raises Refused where 7zz isn't installed or can't list it."""
        assert opening.blob is not None
        kind = type_of(opening.blob.pread(36 << 10, 0)) or ("7z", "7z")  # behind a program that unpacks it
        if reason := missing("7zz", f"a {kind[1]} archive"):
            raise Refused(reason)
        if kind[0] == "lzh" and opening.blob.pread(1, 20) == b"\3":
            raise Refused(reasons.unsupported("it is an lzh archive of header level 3"))
        return SplitReader(SevenArchive(opening, opening.file(), *kind), opening.scratch)


@dataclass(frozen=True, slots=True)
class SevenArchive:
    """An archive at PATH of 7zz's type KIND, which people call TITLE."""

    opening: Opening
    path: str
    kind: str
    title: str

    @property
    def given(self) -> bool:
        """The job has a password."""
        return self.opening.options.password is not None

    def members(self) -> Iterator[Listed]:
        """What 7zz lists, the names that aren't Unicode all decoded alike."""
        return _decoded(self._members())

    def _members(self) -> Iterator[Listed]:
        """What `7zz l -slt` says, block by block. It writes control characters in names as `_`, so that no name can
        pretend to be more than one line."""
        if self.kind == "z":  # one file, of which the list tells nothing
            yield Listed(names.inner(self.opening.name), b"")
            return
        tool = self.start(None, "l", "-slt", "-ba", "-bse1")
        fields: dict[str, str] = {}
        words: list[str] = []
        try:
            for line in lines(tool):
                key, found, value = line.partition(" = ")
                if found and key:
                    fields[key] = value
                elif line.endswith(" ="):
                    fields[line[:-2]] = ""
                elif line:
                    words.append(line[:200])
                    del words[20:]
                elif "Path" in fields:
                    yield listed(fields, self.kind)
                    fields = {}
            if "Path" in fields:
                yield listed(fields, self.kind)
            code = tool.finish()
        finally:
            tool.close()
        if code > 1 or code < 0:
            raise Refused(self._trouble("\n".join(words)))

    def unpack(self, without: str | None, aside: Callable[[], None]) -> Running:
        """`7zz x -so`."""
        return self.start(aside, "x", "-so", "-bse0", *(("-spd", "-scsUTF-8", f"-x@{without}") if without else ()))

    def failed(self, code: int) -> Reason | None:
        """2 is damage; 1 a warning, such as bytes after the archive."""
        return reasons.corrupt("the program that unpacks it reports errors in it") if code > 1 else None

    def start(self, aside: Callable[[], None] | None, command: str, *switches: str) -> Running:
        """Starts 7zz on the archive."""
        argv = (
            "7zz",
            command,
            *switches,
            "-bso1" if command == "l" else "-bso0",
            "-bsp0",
            f"-t{self.kind}{'.split' if self.opening.split else ''}",
        )
        argv += ("-sccUTF-8", MEMORY, "--", self.path)
        return self.opening.tools.start(argv, self.opening.options.password or "", aside)

    def _trouble(self, words: str) -> Reason:
        """What 7zz's WORDS mean."""
        if "assword" in words:
            return reasons.encrypted(self.given)
        if "Unexpected end" in words:
            return reasons.truncated("its table of contents breaks off or is missing")
        return reasons.corrupt("its table of contents can't be read")


def _decoded(members: Iterator[Listed]) -> Iterator[Listed]:
    """MEMBERS, with one encoding for all odd names, told by those among the first SEEN."""
    first: list[Listed] = []
    end: Refused | None = None
    try:
        first.extend(itertools.islice(members, SEEN))
    except Refused as refused:
        end = refused
    odd = [_unsplit(one.raw) for one in first if one.notes]
    encoding = names.guess(odd) if odd else None
    for one in itertools.chain(first, members if end is None else ()):
        if one.notes:
            raw = _unsplit(one.raw) if encoding == "cp932" else one.raw
            one.name, one.notes = names.decode(raw, encoding)
        yield one
    if end is not None:
        raise end


def _unsplit(raw: bytes) -> bytes:
    """The name RAW as cp932 would have it: 7zz takes the second byte of some characters for a backslash, and makes a
    slash of it. Where that gives no text, RAW itself."""
    whole = _PAIR.sub(lambda pair: pair[0].replace(b"/", b"\\"), raw)
    try:
        whole.decode("cp932")
    except UnicodeDecodeError:
        return raw
    return whole


def listed(fields: dict[str, str], kind: str = "") -> Listed:
    """A member from 7zz's FIELDS, of an archive of 7zz's type KIND."""
    raw = fields["Path"].encode("utf-8", "surrogateescape")
    name, notes = names.decode(raw)
    attributes = fields.get("Attributes", "")
    mode = attributes.rsplit(" ", 1)[-1]
    one = Listed(name, raw, notes=notes, block=fields.get("Block", ""), encrypted=fields.get("Encrypted") == "+")
    if size := fields.get("Size", ""):
        one.size = int(size) if size.isdigit() else -1
    if crc := fields.get("CRC", ""):
        one.crc, one.short_sum = int(crc, 16), kind == "lzh"
    if fields.get("Folder") == "+" or attributes.startswith("D") or mode.startswith("d"):
        one.kind, one.present = Kind.FOLDER, False
    elif fields.get("Symbolic Link") or fields.get("Hard Link") or (len(mode) == 10 and mode[0] in _NO):
        what = (
            "a hard link" if fields.get("Hard Link") else "a symbolic link" if "l" in mode[:1] else "a device or link"
        )
        one.kind, one.reason = Kind.SPECIAL, reasons.unsafe(what)
    if kind == "xar":
        _as_in_xar(one, fields)
    if one.present and (odd := _odd_method(fields.get("Method", ""), kind)):
        one.present, one.reason = False, one.reason or reasons.unsupported(f"it is packed by a method called {odd}")
    return one


def _odd_method(methods: str, kind: str) -> str:
    """The first of METHODS, as 7zz lists them, that it doesn't unpack."""
    known = _METHODS.get(kind)
    names = (word.partition(":")[0] for word in methods.split())
    return next((name[:40] for name in names if known is not None and name not in known), "")


def _as_in_xar(one: Listed, fields: dict[str, str]) -> None:
    """There, files without a byte and folders have no size, and the table of contents comes as a last file."""
    one.size = max(one.size, 0)
    if fields.get("Type") == "directory":
        one.kind, one.present, one.reason = Kind.FOLDER, False, None
    elif not fields.get("Type"):
        one.kind, one.reason = Kind.FOLDER, None  # its bytes are passed over


FORMAT = SevenZip()
