"""What the cells of an XLSX file show by their styles, and its sheets respelled where that isn't what they hold."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping

from stages.convert.workbooks.sheet_days import Shown, is_none, shown_by
from stages.convert.workbooks.sheet_xml import Package, attribute

_STYLES, _BOOK = "xl/styles.xml", "xl/workbook.xml"
_OWN = re.compile(rb"<(?:\w+:)?numFmts\b.*?</(?:\w+:)?numFmts>", re.DOTALL)
_FORMAT = re.compile(rb"<(?:\w+:)?numFmt\b[^>]*>")
_CELLS = re.compile(rb"<(?:\w+:)?cellXfs\b.*?</(?:\w+:)?cellXfs>", re.DOTALL)
_CELL = re.compile(rb"<(?:\w+:)?xf\b[^>]*>")
_COUNTS_FROM_1904 = re.compile(rb"<(?:\w+:)?workbookPr\b[^>]*?\bdate1904\s*=\s*[\"'](?:1|true|on)[\"']")
_STYLE = re.compile(rb"\bs\s*=\s*[\"'][0-9]+[\"']")
_ERRORS = rb"#DIV/0!|#N/A|#NAME\?|#NULL!|#NUM!|#REF!|#VALUE!"  # that the engine knows
_LEVEL = 1  # of compression, which is only to spare memory

# A number at the edges may be one of these: below 1, or 60, or one of many digits, or with an exponent.
_EDGE = rb"[-+.]|0|60|[0-9]{7}|[0-9][0-9.]*[eE]|[nNiI]"


def is_1904(package: Package) -> bool:
    """Whether the days of PACKAGE are counted from 1904. Raises one of BROKEN."""
    return _COUNTS_FROM_1904.search(package.read(_BOOK)) is not None


def respelled(package: Package, members: Iterable[str]) -> tuple[bytes | None, int]:
    """PACKAGE with the cells of its sheets, MEMBERS, without their style where they show a day or time and hold a number
    that is none, and how many they are; and with errors that the engine doesn't know as others. None where there are
    neither. Raises one of BROKEN."""
    styles = _styles(package)
    from_1904 = is_1904(package)
    odd, wanted = 0, dict[str, Callable[[bytes], bytes]]()
    for member in filter(None, members):
        change = _Change(styles, package.prefix(member), is_1904=from_1904)
        days = errors = 0
        for piece in package.pieces(member):
            days += change.count(piece)
            errors += change.has_newer_errors(piece)
        odd += days
        if days or errors:
            wanted[member] = change.apply
    return (_copied(package, wanted) if wanted else None), odd


def _styles(package: Package) -> dict[bytes, Shown]:
    """What the styles show, by number, those left out that show numbers."""
    return {b"%d" % number: what for number, what in enumerate(shown(package)) if what is not Shown.NUMBER}


def shown(package: Package) -> list[Shown]:
    """What each of the styles shows. Raises one of BROKEN."""
    if not package.size(_STYLES):
        return []
    text = package.read(_STYLES)
    own, cells = _OWN.search(text), _CELLS.search(text)
    codes = {
        _number(attribute(tag, b"numFmtId")): html.unescape(attribute(tag, b"formatCode"))
        for tag in _FORMAT.findall(own[0] if own else b"")
    }
    return [shown_by(_number(attribute(tag, b"numFmtId")), codes) for tag in _CELL.findall(cells[0] if cells else b"")]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else -1


class _Change:
    """What is done to the XML of a sheet whose elements' names begin with PREFIX."""

    def __init__(self, styles: Mapping[bytes, Shown], prefix: bytes, *, is_1904: bool) -> None:
        self._styles = styles
        self._is_1904 = is_1904
        numbers = b"|".join(styles)
        quoted = rb"[\"'](?P<style>" + numbers + rb")[\"']"
        formula = rb"(?:<@f\b(?:[^>]*/>|[^>]*>[^<]*</@f>)\s*)?"
        cell = rb"<@c\s(?=[^>]*?\bs\s*=\s*" + quoted + rb")(?![^>]*?\bt\s*=\s*[\"'](?!n[\"']))[^>]*>\s*" + formula
        value = rb"<@v(?:\s[^>]*)?>\s*(?P<value>(?:" + _EDGE + rb")[^<]*)"
        self._cell = re.compile((cell + value).replace(b"@", prefix)) if styles else None
        error = (
            rb"(<@c\s[^>]*?\bt\s*=\s*[\"']e[\"'][^>]*>\s*"
            + formula
            + rb"<@v>)(?!(?:"
            + _ERRORS
            + rb")<)#[A-Z][A-Z_/0-9]*[!?]?(?=<)"
        )
        self._error = re.compile(error.replace(b"@", prefix))

    def count(self, piece: bytes) -> int:
        """How many cells of PIECE are to be changed."""
        return sum(map(self._is_none, self._cell.finditer(piece))) if self._cell else 0

    def has_newer_errors(self, piece: bytes) -> bool:
        """Whether PIECE has errors that the engine doesn't know, such as `#SPILL!`: it would give up on the sheet."""
        return self._error.search(piece) is not None

    def apply(self, piece: bytes) -> bytes:
        """PIECE with the cells changed."""
        piece = self._error.sub(rb"\1#N/A", piece)
        if self._cell is None:
            return piece
        return self._cell.sub(lambda found: self._plain(found[0]) if self._is_none(found) else found[0], piece)

    def _is_none(self, found: re.Match[bytes]) -> bool:
        try:
            value = float(found["value"])
        except ValueError:
            return False
        return is_none(value, self._styles[found["style"]], is_1904=self._is_1904)

    @staticmethod
    def _plain(cell: bytes) -> bytes:
        return _STYLE.sub(b"", cell, count=1)


def _copied(package: Package, changes: Mapping[str, Callable[[bytes], bytes]]) -> bytes:
    """PACKAGE without its pictures, each piece of the parts named in CHANGES changed."""

    def content(name: str) -> Iterable[bytes] | None:
        if name in changes:
            return map(changes[name], package.pieces(name))
        return None if "/media/" in name else package.unpacked(name)

    return package.copied(content, _LEVEL)
