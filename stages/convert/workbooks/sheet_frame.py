"""What is around a sheet's rows, or around shared strings, and the parts beside them: a parser looks at it, and archives have
checksums. Kernels see only what they take apart, and a damaged workbook is the engine's."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from isal import isal_zlib

from stages.convert.workbooks.sheet_xml import Package

_RANGE = re.compile(r"[A-Z]{1,3}([0-9]{1,7})(?::[A-Z]{1,3}([0-9]{1,7}))?")
_RANGED = ("mergeCell", "dimension")
# Formats of days or times in China, Japan and Korea, each of which shows another thing there: left to the engine.
_EASTERN = re.compile(rb"\bnumFmtId\s*=\s*[\"'](?:2[7-9]|3[0-6]|5[0-8])[\"']")
_NUMBERED = re.compile(rb"\snumFmtId=\"[0-9]{1,9}\"")
_FORMAT = re.compile(rb"\bformatCode\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
# Codes of formats of which the engine makes what `sheet_days` does; of others, such as `[[h]]` or `ggge`, it may not.
_PLAIN = re.compile(
    r"(?:\"[^\"]*\"|\\.|_.|\*[^a-z\"\\\[\];_*]|\[[^\[\]\"\\;_*]*\]|General(?=[^a-z/\[]*(?:;|\Z))|AM/PM|A/P|[dmyhs]|E[+-]"
    r"|[^a-z\"\\\[\]_*])*",
    re.IGNORECASE | re.DOTALL,
)
_crc32: Any = isal_zlib.crc32


class Odd(Exception):
    """Something isn't as usual."""


def parted(package: Package, member: str, end: bytes, size: int) -> Iterator[bytes]:
    """The pieces that `Package.parted` gives. Raises Odd at their end where their checksum isn't the archive's, one of
    sheet_xml.BROKEN where they can't be unpacked."""
    yield from _summed(package, member, package.parted(member, end, size))


def check(package: Package, *members: str) -> None:
    """Raises Odd where one of MEMBERS that PACKAGE has isn't well-formed, or has another checksum than the archive says."""
    for member in set(members) & set(package.names()):
        for _piece in _summed(package, member, package.unpacked(member)):
            pass
        if package.flaw(member):
            raise Odd


def _summed(package: Package, member: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    found = 0
    for piece in pieces:
        found = _crc32(piece, found)
        yield piece
    if found != package.checksum(member):
        raise Odd


def check_formats(styles: bytes) -> None:
    """Raises Odd where the engine may take a format of STYLES for another thing than `sheet_days` does."""
    codes = [one or other for one, other in _FORMAT.findall(styles)]
    texts = (html.unescape(code.decode("utf-8", "replace")) for code in codes)
    is_numbered = styles.count(b"FmtId") == len(_NUMBERED.findall(styles))
    if (
        not is_numbered
        or _EASTERN.search(styles)
        or any(b">" in code for code in codes)
        or not all(map(_PLAIN.fullmatch, texts))
    ):
        raise Odd


def merged_rows(around: bytes, once: str) -> list[int]:
    """The first row, from 1, of each range of cells merged into one. AROUND is an XML part without what kernels take apart,
    and has just one element ONCE. Raises Odd where it's another thing."""
    rows: list[int] = []
    names: list[str] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        names.append(name.rpartition(":")[2])
        if names[-1] in _RANGED:
            found = _RANGE.fullmatch(attributes.get("ref", ""))
            if found is None:
                raise Odd
            if names[-1] == _RANGED[0]:
                rows.append(min(int(row) for row in found.groups() if row))

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(around, True)
    except (expat.ExpatError, LookupError) as error:
        raise Odd from error
    if names.count(once) != 1:
        raise Odd
    return rows


def _refuse(*_: Any) -> None:
    raise Odd
