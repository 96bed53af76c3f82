"""An XLSX file looked at from outside the engine: which part is which sheet, how large it is, how many records it has."""

from __future__ import annotations

import html
import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from xml.parsers import expat

import msgspec
from isal import isal_zlib

from stages.convert.workbooks import sheet_area, sheet_unvalued
from stages.convert.workbooks.sheet_area import column_number

_SHEET = re.compile(rb"<(?:\w+:)?sheet\b([^>]*)>")
LINK = re.compile(rb"<(?:\w+:)?Relationship\b[^>]*>")
_ERROR = re.compile(rb"<(?:\w+:)?c\b[^<>]*? t=(?:\"e\"|'e')")
_VALUE = re.compile(rb"<(?:\w+:)?(?:v|t)(?: [^>]*)?>[^<]")
_ROOT = re.compile(rb"<(\w+:|)worksheet\b")
_PIECE = 1024 * 1024
_DIMENSION = re.compile(rb"<(?:\w+:)?dimension ref=\"([A-Z]+)([0-9]+)(?::([A-Z]+)([0-9]+))?\"")
_LARGE = 1024 * 1024  # bytes from which on it takes long to look at all cells
_BYTES_A_CELL = 400  # of XML, at most; where there are more, the cells don't lie where the sheet says
_ENCRYPTED = re.compile(rb"<(?:\w+:)?encryption-data\b")
_REPEATED = re.compile(rb"-repeated=\"([0-9]{4,})\"")
_REPEATED_ROW = re.compile(rb"<table:table-row\b([^>]*)>(.*?)</table:table-row>", re.DOTALL)
_REPEATED_CELL = re.compile(rb"<table:table-cell\b([^>]*?)(/?)>")


_UNPACKING: Any = isal_zlib.error  # its stub has it as a value
# What a damaged archive may raise, whichever of its parts is read.
BROKEN: tuple[type[Exception], ...] = (
    LookupError, EOFError, OSError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error, _UNPACKING
)  # fmt: skip
OPEN_DOCUMENT = ("mimetype", "META-INF/manifest.xml", "content.xml")  # what the engine needs of an ODS file
_BETWEEN = re.compile(rb"(</?(?:table|office):[^>]*>|</text:p>)\s+(?=</?(?:table|office):|<text:p[ />])")


class Part(msgspec.Struct, frozen=True):
    """What the XML of a sheet says of cells without a value: those with an error, and the UNVALUED, which have a formula but
    not what it came to: who wrote them didn't reckon."""

    errors: int = 0
    unvalued: int = 0

    def facts(self) -> dict[str, int]:
        """What the manifest says of it."""
        return {"error_cells": self.errors} if self.errors else {}


class Package:
    """The zip archive that an XLSX file is."""

    def __init__(self, data: bytes, archive: zipfile.ZipFile) -> None:
        self._data = data
        self._archive = archive

    def sheets(self) -> dict[str, str]:
        """The archive's member of each sheet, by the sheet's name."""
        links = {}
        for link in LINK.findall(self._archive.read("xl/_rels/workbook.xml.rels")):
            links[attribute(link, b"Id")] = posixpath.normpath(posixpath.join("/xl", attribute(link, b"Target")))[1:]
        found = {}
        for tag in _SHEET.findall(self._archive.read("xl/workbook.xml")):
            name, target = attribute(tag, b"name"), attribute(tag, rb"\w+:id")
            if name and target:
                found[html.unescape(name)] = links.get(target, "")
        return found

    def flaw(self, member: str) -> str:
        """What is wrong with MEMBER as XML; nothing where it's well-formed. Raises one of BROKEN. (In an ODS file that isn't,
        the engine may look for an end forever.)"""
        parser = expat.ParserCreate()
        self._archive.getinfo(member)  # raises where there's none
        try:
            for piece in self.unpacked(member):
                parser.Parse(piece, False)
            parser.Parse(b"", True)
        except (expat.ExpatError, LookupError) as error:  # or an encoding that nobody knows
            return str(error)
        return ""

    def is_locked(self) -> bool:
        """Whether a member can be unpacked with a password only."""
        return any(info.flag_bits & 1 for info in self._archive.infolist())

    def is_encrypted(self) -> bool:
        """Whether the members of an ODS file are. Raises one of BROKEN."""
        return _ENCRYPTED.search(self._archive.read("META-INF/manifest.xml")) is not None

    def tightened(self) -> bytes:
        """An ODS file without the blanks between its elements, which mean nothing, but which the engine doesn't take."""
        return self.copied(lambda name: [_BETWEEN.sub(rb"\1", self.read(name))] if name in OPEN_DOCUMENT else None)

    def is_binary(self) -> bool:
        """Whether it is an XLSB file."""
        return "xl/workbook.bin" in self._archive.namelist()

    def copied(self, content: Callable[[str], Iterable[bytes] | None], level: int = 0) -> bytes:
        """An archive of what CONTENT gives for each member's name, in pieces, packed at LEVEL; of the members for which it
        gives None there's nothing. Raises one of BROKEN."""
        made = io.BytesIO()
        kind = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
        with zipfile.ZipFile(made, "w", kind, compresslevel=level or None) as target:
            for name in dict.fromkeys(self._archive.namelist()):
                pieces = content(name)
                if pieces is not None:
                    with target.open(name, "w") as file:
                        file.writelines(pieces)
        return made.getvalue()

    def claimed_size(self) -> int:
        """How many bytes all members have that an engine may hold, as the archive's directory claims."""
        return sum(info.file_size for info in self._archive.infolist() if info.filename.endswith((".xml", ".bin")))

    def area(self, member: str, most: int) -> int:
        """How many cells, empty ones included, lie in the rectangle that holds all filled cells of MEMBER. A large one is
        believed what it says itself, unless that's more than MOST: some programs always say the largest."""
        pieces = self.unpacked(member)
        head = next(pieces, b"")
        claimed = _DIMENSION.search(head[:8192])
        if claimed is not None:
            top, bottom = int(claimed[2]), int(claimed[4] or claimed[2])
            area = (bottom - top + 1) * (column_number(claimed[3] or claimed[1]) - column_number(claimed[1]) + 1)
            if area * _BYTES_A_CELL > self.size(member) > _LARGE and area <= most:
                return area
        return sheet_area.area(self.pieces(member), self.prefix(member))

    def repeated_area(self, member: str) -> int:
        """How many cells the rows of MEMBER of an ODS file have that say they are repeated a thousand times or more."""
        text = self._archive.read(member)
        if not _REPEATED.search(text):
            return 0
        return sum(
            _times(row)
            * sum(_times(cell) for cell, is_empty in _REPEATED_CELL.findall(cells) if _is_filled(cell, is_empty))
            for row, cells in _REPEATED_ROW.findall(text)
        )

    def look(self, member: str) -> Part:
        """What MEMBER's XML says."""
        return _count_parts(self.pieces(member))

    def checksum(self, member: str) -> int:
        """The CRC-32 that MEMBER has, as the archive's directory claims."""
        return self._archive.getinfo(member).CRC

    def names(self) -> list[str]:
        """The archive's members."""
        return self._archive.namelist()

    def size(self, member: str) -> int:
        """How many bytes MEMBER has, as the archive's directory claims; 0 where there's none."""
        return self._archive.getinfo(member).file_size if member in self._archive.NameToInfo else 0

    def read(self, member: str) -> bytes:
        """MEMBER as a whole, however large it is. Raises one of BROKEN."""
        return b"".join(self.unpacked(member))

    def filled_rows(self, member: str) -> int:
        """How many rows of MEMBER have a value."""
        begin = b"<" + self.prefix(member) + b"row"
        return sum(1 for text in self.pieces(member) for row in text.split(begin)[1:] if _VALUE.search(row))

    def prefix(self, member: str) -> bytes:
        """What the names of MEMBER's elements begin with, such as `x:`; mostly nothing."""
        root = _ROOT.search(next(self.unpacked(member), b"")[:8192])
        return root[1] if root else b""

    def pieces(self, member: str) -> Iterator[bytes]:
        """MEMBER's XML in pieces that end where a row does."""
        return self.parted(member, b"</" + self.prefix(member) + b"row>")

    def parted(self, member: str, end: bytes, size: int = _PIECE) -> Iterator[bytes]:
        """MEMBER in pieces of SIZE or more that end where END does, but for the last, which is the rest."""
        rest = b""
        for piece in self.unpacked(member, size):
            text = rest + piece
            cut = text.rfind(end) + len(end)
            if cut >= len(end):
                yield text[:cut]
                text = text[cut:]
            rest = text
        yield rest

    def unpacked(self, member: str, size: int = _PIECE) -> Iterator[bytes]:
        """MEMBER's bytes in pieces of SIZE at most. Raises one of BROKEN."""
        info = self._archive.getinfo(member)
        if info.compress_type != zipfile.ZIP_DEFLATED or info.flag_bits & 1:
            with self._archive.open(info) as file:
                while piece := file.read(size):
                    yield piece
            return
        at = info.header_offset
        start = at + 30 + sum(int.from_bytes(self._data[at + field : at + field + 2], "little") for field in (26, 28))
        packed = memoryview(self._data)[start : start + info.compress_size]
        reader = isal_zlib.decompressobj(-zlib.MAX_WBITS)
        piece = reader.decompress(packed, size)
        while piece:
            yield piece
            piece = reader.decompress(reader.unconsumed_tail, size)


def _count_parts(texts: Iterable[bytes]) -> Part:
    """What the XML of a sheet says in TEXTS, each of which ends where a row does."""
    errors = unvalued = 0
    for text in texts:
        unvalued += sheet_unvalued.count(text)
        errors += len(_ERROR.findall(text)) if b' t="e"' in text or b" t='e'" in text else 0
    return Part(errors, unvalued)


def _times(tag: bytes) -> int:
    found = re.search(rb"-repeated=\"([0-9]+)\"", tag)
    return int(found[1]) if found else 1


def _is_filled(cell: bytes, is_empty: bytes) -> bool:
    return not is_empty or b"value" in cell


def attribute(tag: bytes, name: bytes) -> str:
    """The value that TAG gives the attribute with NAME, as it's written; nothing where there's none."""
    match = re.search(rb"\b" + name + rb"\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", tag)
    return (match[1] or match[2] or b"").decode("utf-8", "replace") if match else ""
