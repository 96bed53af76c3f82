"""Workbooks: XLSX, XLSM, XLSB, XLS, ODS and FODS, a table for each region of a sheet."""

from __future__ import annotations

import contextlib
import io
import zipfile
from functools import cache
from typing import Any

from stages.convert import reasons
from stages.convert.family import Bench, Head, Refused
from stages.convert.kernels import compiled
from stages.convert.source import Source
from stages.convert.workbooks import sheet_days, sheet_old, sheet_old_days, sheet_parts, sheet_styles, sheet_unvalued
from stages.convert.workbooks.sheet_area import MOST_CELLS, TooFarApart
from stages.convert.workbooks.sheet_binary import Respelling
from stages.convert.workbooks.sheet_fast import read_plain
from stages.convert.workbooks.sheet_grid import Grid, read_grid
from stages.convert.workbooks.sheet_xml import BROKEN, Package, Part

LARGEST = 640 * 1024 * 1024  # bytes of XML that an engine holds as cells within its memory
_LARGEST_BINARY = 160 * 1024 * 1024  # the same of an XLS or XLSB file, which is denser
_WEIGHT = 4  # of a byte of XML beside one of text, which others read without kernels much faster than cells
_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".xltx", ".xltm")
_SPREADSHEET = b"application/vnd.oasis.opendocument.spreadsheet"
_MANIFEST = '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
_CELLS = "content.xml"  # of an ODS file
_BINARY_PARTS = ("xl/styles.bin", "xl/workbook.bin")  # of an XLSB file
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_STREAMS = ["\0".join((name, "", "")).encode("utf-16-le") for name in ("Workbook", "Book", "WORKBOOK", "BOOK")]


class Workbook:
    """The family of spreadsheets."""

    name = "workbook"

    def sniff(self, head: Head) -> float:
        """By its name, or as a zip whose first members are a workbook's. Many programs name text so, or a page."""
        if head.suffix in _SUFFIXES:
            return 0.97 if head.data.startswith((b"PK", _OLE, b"\x09")) else 0.3
        if _is_flat(head.data):
            return 0.98
        if head.data.startswith(_OLE):
            return 0.96  # which documents of other kinds are too; `read` makes nothing of them
        if head.data.startswith(b"PK\x03\x04") and (b"xl/" in head.data or b"opendocument.spreadsheet" in head.data):
            return 0.97
        return 0.0

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes a table of each region of each sheet."""
        try:
            self._read(source, head, bench)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # the engine's own, which is no Exception
                raise
            raise Refused(reasons.corrupt(f"what reads workbooks gave up on it ({error})")) from error

    def _read(self, source: Source, head: Head, bench: Bench) -> None:
        _check_size(source.length)
        data = source.read(0, source.length)
        if _is_flat(head.data):
            data = _packed(data)
        if data.startswith(_OLE) and head.suffix not in _SUFFIXES and not _is_old_workbook(data, head):
            return
        package = _package(data, head)
        _check_content(package)
        data, package = _standard(data, package)
        members = _members(package)
        if members and package is not None:
            compiled.begin(_WEIGHT * package.claimed_size())
        _check_areas(package, members)
        opened = cache(
            lambda: _open(*_respelled(data, package, members, bench))
        )  # it costs; plain sheets don't need it
        names = list(members) or opened().sheet_names
        empty, unvalued = [], _unvalued(data, package) if not members else {}
        errors = dict[str, int]()
        for number, name in enumerate(names):
            title = name if len(names) > 1 else ""
            member = members.get(name, "")
            part = read_plain(name, title, package, member, bench) if member and package is not None else None
            if part is None:
                part = _part(package, member)
                if not read_grid(_grid(opened(), name, package, member), title, part, bench):
                    empty.append(name)
            if member:
                unvalued[name], errors[name] = part.unvalued, part.errors
            bench.progress(source.length * (number + 1) // len(names))
        bench.notes += sheet_unvalued.notes(sheet_unvalued.WORDS, unvalued)
        bench.notes += sheet_unvalued.notes(sheet_unvalued.ERRORS, errors)
        if not bench.tables:
            raise Refused(reasons.no_records("all of its sheets are empty"))
        if empty:
            bench.notes.append(f"empty sheets: {', '.join(empty)}")


def _unvalued(data: bytes, package: Package | None) -> dict[str, int]:
    """How many formulas have no result in an ODS file, by sheet, or in an old binary workbook."""
    if package is None:
        return {"": sheet_unvalued.in_old(data)}
    with contextlib.suppress(*BROKEN):  # then it's another kind of workbook
        return sheet_unvalued.by_table(package.read(_CELLS))
    return {}


def _part(package: Package | None, member: str) -> Part:
    """What the XML of one sheet of an XLSX file says of its cells; nothing of another kind of workbook."""
    if package is not None and member:
        with contextlib.suppress(*BROKEN):
            return package.look(member)
    return Part()


def _is_old_workbook(data: bytes, head: Head) -> bool:
    """Whether DATA, a file of Microsoft's container for documents of all kinds, has a workbook, or hides what it has."""
    return any(name in data for name in (*_STREAMS, *(() if head.suffix else (_ENCRYPTED,))))


def _is_flat(data: bytes) -> bool:
    """Whether DATA begins an OpenDocument spreadsheet of one XML file."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", "ignore").encode()
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith((b"<?xml", b"<office:")) and b":opendocument:" in data and _SPREADSHEET in data


def _packed(data: bytes) -> bytes:
    """A flat spreadsheet, which the engine doesn't know, as the archive that it does."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("mimetype", _SPREADSHEET)
        archive.writestr("META-INF/manifest.xml", _MANIFEST)
        archive.writestr(_CELLS, data)
    return made.getvalue()


def _grid(book: Any, name: str, package: Package | None, member: str) -> Grid:
    """The cells of the sheet with NAME. Raises Refused."""
    import python_calamine

    try:
        return Grid(book.get_sheet_by_name(name), name, package, member)
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise Refused(reasons.corrupt(f"its sheet {name!r} can't be read ({error})")) from error


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise Refused(reasons.workbook_too_large(size, "workbook"))


def _check_content(package: Package | None) -> None:
    """Raises Refused where an ODS file's cells aren't XML."""
    if package is None:
        return
    flaw = ""
    with contextlib.suppress(*BROKEN):
        if package.is_encrypted():
            raise Refused(reasons.encrypted())
    with contextlib.suppress(*BROKEN):  # then it's another kind of workbook
        flaw = package.flaw(_CELLS)
    if flaw:
        raise Refused(reasons.corrupt(f"its cells aren't well-formed XML ({flaw})"))


def _check_areas(package: Package | None, members: dict[str, str]) -> None:
    """Raises Refused where the engine would make room for more cells than fit into memory: it makes it for all in the
    rectangle that holds the filled ones."""
    if package is None:
        return
    with contextlib.suppress(*BROKEN):
        sheets = filter(None, members.values())
        areas = (package.area(member, MOST_CELLS) for member in sheets) if members else [package.repeated_area(_CELLS)]
        if any(area > MOST_CELLS for area in areas):
            raise Refused(reasons.cells_far_apart())


def _package(data: bytes, head: Head) -> Package | None:
    """The archive that DATA is, or None for an old binary workbook. Raises Refused."""
    if data.startswith(_OLE) or (head.suffix == ".xls" and data[:1] == b"\x09"):
        if len(data) > _LARGEST_BINARY:
            _check_size(LARGEST + len(data))
        if _ENCRYPTED in data or sheet_old.has_password(data):
            raise Refused(reasons.encrypted())
        if data.startswith(_OLE):
            _check_old(data)
        return None
    if not data.startswith(b"PK"):
        raise Refused(reasons.corrupt("its name says a workbook, but it isn't one inside"))
    try:
        package = Package(data, zipfile.ZipFile(io.BytesIO(data)))
        if package.is_locked():
            raise Refused(reasons.encrypted())
    except BROKEN as error:
        if b"PK\x05\x06" not in data[-70_000:]:
            raise Refused(reasons.truncated("the workbook's directory at its end is missing")) from error
        raise Refused(reasons.corrupt(f"the workbook can't be opened ({error})")) from error
    _check_size(package.claimed_size())
    return package


def _standard(data: bytes, package: Package | None) -> tuple[bytes, Package | None]:
    """DATA and PACKAGE with their parts as engines expect them. Raises Refused."""
    if package is None:
        return data, None
    try:
        made = sheet_parts.remade(package)
        return (data, package) if made is None else (made, Package(made, zipfile.ZipFile(io.BytesIO(made))))
    except BROKEN as error:
        raise Refused(reasons.corrupt(f"its parts can't be read ({error})")) from error


def _check_old(data: bytes) -> None:
    try:
        sheet_old.check(data, MOST_CELLS)
    except sheet_old.Endless as error:
        raise Refused(reasons.corrupt("its parts lead back into each other without an end")) from error
    except TooFarApart as error:
        raise Refused(reasons.cells_far_apart()) from error


def _respelled(
    data: bytes, package: Package | None, members: dict[str, str], bench: Bench
) -> tuple[bytes, Package | None]:
    """DATA as the engine reads it right. Raises Refused."""
    odd = 0
    try:
        if package is None:
            data, odd = sheet_old_days.respelled(data)
        elif package.is_binary():
            styles, book = (package.read(name) if package.size(name) else b"" for name in _BINARY_PARTS)
            respelling = Respelling(styles, book, MOST_CELLS)
            data = package.copied(lambda name: [respelling(name, package.read(name))])
            odd = respelling.odd
        elif members:
            made, odd = sheet_styles.respelled(package, members.values())
            data = data if made is None else made
    except TooFarApart as error:
        raise Refused(reasons.cells_far_apart()) from error
    except BROKEN as error:
        raise Refused(reasons.corrupt(f"the workbook can't be opened ({error})")) from error
    if odd:
        bench.notes.append(sheet_days.note(odd))
    return data, package


def _open(data: bytes, package: Package | None) -> Any:
    """The workbook, for its sheets' names and cells. Raises Refused."""
    import python_calamine

    flaws: tuple[type[Exception], ...] = (python_calamine.CalamineError, *BROKEN)
    try:
        return python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
    except python_calamine.PasswordError as error:
        raise Refused(reasons.encrypted()) from error
    except flaws as error:
        if package is not None:
            with contextlib.suppress(*flaws):
                return python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(package.tightened()))
        raise Refused(reasons.corrupt(f"the workbook can't be opened ({error})")) from error


def _members(package: Package | None) -> dict[str, str]:
    """The archive's members by sheet; none where it isn't XLSX, or not as it should be."""
    if package is not None:
        with contextlib.suppress(*BROKEN):
            return package.sheets()
    return {}
