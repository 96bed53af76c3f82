"""A large sheet of an XLSX file read by two threads, each with an engine of its own: its rows are cut in half."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import polars as pl

from stages.convert.sheet_xml import Package, Part, count_parts

LEAST, MOST = 16 * 1024 * 1024, 128 * 1024 * 1024  # bytes of XML; more than that isn't held several times
_BEGIN, _END, _CLOSE = b"<sheetData>", b"</sheetData>", b"</worksheet>"
_STRINGS = "xl/sharedStrings.xml"  # which each engine reads


def is_worth_it(package: Package, member: str) -> bool:
    """Whether MEMBER is large enough, and what both threads read of the rest is little."""
    size = package.size(member)
    return LEAST <= size <= MOST and package.size(_STRINGS) * 4 <= size


def load(package: Package, member: str, name: str) -> tuple[pl.DataFrame, Part] | None:
    """The sheet with NAME, which lies in MEMBER, with its first row as names, and what its XML says by itself; None where
    it can't be cut, or a column's cells are of different kinds. Raises one of sheet_xml.BROKEN."""
    with ThreadPoolExecutor(2) as threads:
        pieces, parts = [], []
        for piece in package.pieces(member):
            pieces.append(piece)
            parts.append(threads.submit(count_parts, [piece]))
        frame = _by_halves(threads, package, member, name, pieces)
        found = [part.result() for part in parts]
    if frame is None:
        return None
    return frame, Part(*(sum(counts) for counts in zip(*map(msgspec.structs.astuple, found), strict=True)))


def _by_halves(
    threads: ThreadPoolExecutor, package: Package, member: str, name: str, pieces: list[bytes]
) -> pl.DataFrame | None:
    """The sheet whose XML is PIECES, each of which, but the last, ends where a row does."""
    begin = pieces[0].find(_BEGIN) + len(_BEGIN)
    middle = len(pieces) // 2
    if begin < len(_BEGIN) or not pieces[-1].startswith(_END) or not 0 < middle < len(pieces) - 1:
        return None
    halves = [
        threads.submit(_half, package, member, name, [*some, _END, _CLOSE], header)
        for some, header in ((pieces[:middle], 0), ([pieces[0][:begin], *pieces[middle:-1]], None))
    ]
    first, last = (half.result() for half in halves)
    return _joined(first, last) if first is not None and last is not None else None


def _half(package: Package, member: str, name: str, pieces: list[bytes], header: int | None) -> pl.DataFrame | None:
    import fastexcel

    try:
        reader = fastexcel.read_excel(_workbook(package, member, pieces))
        sheet = reader.load_sheet(name, header_row=header, schema_sample_rows=None, dtype_coercion="strict")
        return sheet.to_polars()
    except fastexcel.FastExcelError:
        return None


def _workbook(package: Package, member: str, pieces: list[bytes]) -> bytes:
    """A workbook of one sheet, MEMBER, made of PIECES."""

    def content(name: str) -> Iterable[bytes] | None:
        if name == member:
            return pieces
        is_needed = name.endswith((".xml", ".rels")) and not name.startswith("xl/worksheets/")
        return package.unpacked(name) if is_needed else None

    return package.copied(content)


def _joined(first: pl.DataFrame, last: pl.DataFrame) -> pl.DataFrame | None:
    """Both, LAST below FIRST; None where their columns are of different kinds."""
    if first.width != last.width:
        return None
    columns = []
    for upper, lower in zip(first.get_columns(), last.get_columns(), strict=True):
        pair = _alike(upper, lower)
        if pair is None:
            return None
        columns.append(pl.concat([pair[0], pair[1].alias(pair[0].name)]))
    return pl.DataFrame(columns)


def _alike(upper: pl.Series, lower: pl.Series) -> tuple[pl.Series, pl.Series] | None:
    """UPPER and LOWER as one type that both have, if it's but a matter of what one of them lacks."""
    if upper.dtype == lower.dtype:
        return upper, lower
    if lower.null_count() == len(lower):
        return upper, lower.cast(upper.dtype) if lower.dtype == pl.Null else _nulls(lower, upper)
    if upper.null_count() == len(upper):
        return _nulls(upper, lower), lower
    return None


def _nulls(column: pl.Series, like: pl.Series) -> pl.Series:
    return pl.repeat(None, len(column), dtype=like.dtype, eager=True).alias(column.name)
