"""The parts of a workbook's archive under the names that engines look for, and in UTF-8.

In an archive by the Open Packaging Conventions the names of parts mean nothing: `_rels/.rels` says which part is the
workbook, and that one's own list of links which parts are its sheets, texts and styles. Engines look for the names that
most programs give. Where a file has others, or a part in UTF-16, as the conventions allow, or in another encoding, they
find no workbook, or texts without their styles, or an empty sheet; so the archive is made anew.
"""

from __future__ import annotations

import codecs
import io
import posixpath
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from stages.convert.workbooks.sheet_xml import LINK, OPEN_DOCUMENT, Package, attribute

_PART = re.compile(rb"<(?:\w+:)?Override\b[^>]*>")
_MAIN = re.compile(r"(?:spreadsheetml|ms-excel)\.[\w.]*main(?:\+xml)?$")
_DECLARED = re.compile(rb"\s*<\?xml[^>]*?\bencoding\s*=\s*[\"']([\w.:-]+)[\"']")
_DECLARATION = re.compile(r"\s*<\?xml\b.*?\?>", re.DOTALL)
_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF8)
_MARKED = ("utf-32", "utf-32", "utf-16", "utf-16", "utf-8-sig")
_UNMARKED = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
_WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")  # codecs of which ASCII is no part
_SHEETS = {
    "worksheet": "worksheets",
    "chartsheet": "chartsheets",
    "dialogsheet": "dialogsheets",
    "xlMacrosheet": "macrosheets",
    "xlIntlMacrosheet": "macrosheets",
}
_OTHERS = ("sharedStrings", "styles")
_LEVEL = 1  # of compression, which is only to spare memory
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPES = (
    f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
    '<Default Extension="bin" ContentType="application/vnd.ms-excel.sheet.binary.macroEnabled.main"/>'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/></Types>'
)


class Link(NamedTuple):
    """A link with KEY, from a part to the one that has the name TARGET in the archive; to nothing, if it isn't there."""

    key: str
    kind: str
    target: str


class _Names:
    """The names of an archive's parts, found as programs compare them: some write `XL\\Workbook.xml`."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = dict.fromkeys(names)
        self._plain = {_plain(name): name for name in self._names}

    def find(self, name: str) -> str:
        """The part that NAME means; nothing where there's none."""
        return name if name in self._names else self._plain.get(_plain(name), "")

    def all_called(self, *names: str) -> list[str]:
        """The parts with one of NAMES in whatever folder."""
        return [part for plain, part in self._plain.items() if posixpath.basename(plain) in names]


def _plain(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()


def remade(package: Package) -> bytes | None:
    """PACKAGE as engines expect it; None where it is so. Raises one of BROKEN, LookupError where no part is a workbook."""
    names = _Names(package.names())
    if names.find(OPEN_DOCUMENT[-1]):
        return _recoded(package) if any(_codec(package, name) for name in OPEN_DOCUMENT[1:]) else None
    book = _book(package, names)
    links = [link for link in _links(package, names, book) if link.kind in _SHEETS or link.kind in _OTHERS]
    links = [link for link in links if link.target]
    suffix = posixpath.splitext(book)[1].lower()
    wanted = {book: f"xl/workbook{suffix}", **_wanted(links, suffix)}
    parts = (name for name in (*wanted, names.find(_list_of(book))) if name.endswith((".xml", ".rels")))
    if all(old == new for old, new in wanted.items()) and not any(_codec(package, name) for name in parts):
        return None
    return _made(package, wanted, [link._replace(target=wanted[link.target]) for link in links])


def _list_of(part: str) -> str:
    """The name of the part that has the links of PART; of the archive itself, for no name."""
    folder, name = posixpath.split(part.replace("\\", "/"))
    return posixpath.join(folder, "_rels", f"{name}.rels")


def _links(package: Package, names: _Names, part: str) -> Iterator[Link]:
    """The links of PART, or of the archive for no name."""
    text = _whole(package, names.find(_list_of(part)))
    folder = posixpath.dirname(part.replace("\\", "/"))
    for tag in LINK.findall(text):
        if attribute(tag, b"TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", folder, attribute(tag, b"Target").replace("\\", "/")))
            kind = attribute(tag, b"Type").rpartition("/")[2]
            yield Link(attribute(tag, b"Id"), kind, names.find(target.lstrip("/")))


def _whole(package: Package, name: str) -> bytes:
    return b"".join(_in_utf8(package, name)) if name else b""


def _book(package: Package, names: _Names) -> str:
    """The part that is the workbook: what the archive's links say, or its list of types, or else a name. Raises
    LookupError."""
    linked = [link.target for link in _links(package, names, "") if link.kind == "officeDocument"]
    named = [
        names.find(attribute(tag, b"PartName").lstrip("/"))
        for tag in _PART.findall(_whole(package, names.find("[Content_Types].xml")))
        if _MAIN.search(attribute(tag, b"ContentType"))
    ]
    for part in (*linked, *named, *names.all_called("workbook.xml", "workbook.bin")):
        if part and _is_book(package, part):
            return part
    raise LookupError("none of its parts is a workbook")


def _is_book(package: Package, part: str) -> bool:
    if part.lower().endswith(".bin"):
        return True
    return re.search(rb"<(?:\w+:)?workbook\b", next(_in_utf8(package, part), b"")[:8192]) is not None


def _wanted(links: Sequence[Link], suffix: str) -> dict[str, str]:
    """What the parts that LINKS lead to are to be called."""
    wanted = {link.target: f"xl/{link.kind}{suffix}" for link in links if link.kind in _OTHERS}
    sheets = {link.target: link.kind for link in links if link.kind in _SHEETS}
    if all(name.startswith("xl/") and "\\" not in name for name in sheets):
        return wanted | {name: name for name in sheets}
    names = {name: f"xl/{_SHEETS[kind]}/sheet{number}{suffix}" for number, (name, kind) in enumerate(sheets.items(), 1)}
    return wanted | names


def _made(package: Package, wanted: dict[str, str], links: Iterable[Link]) -> bytes:
    """An archive of the parts WANTED by their new names, with LINKS to them from the workbook."""
    book = next(iter(wanted.values()))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as target:
        target.writestr("[Content_Types].xml", _TYPES)
        target.writestr(_list_of(""), _list([Link("rId1", "officeDocument", book)], ""))
        target.writestr(_list_of(book), _list(links, "xl/"))
        for old, new in wanted.items():
            with target.open(new, "w") as file:
                file.writelines(_in_utf8(package, old) if new.endswith(".xml") else package.unpacked(old))
    return made.getvalue()


def _list(links: Iterable[Link], folder: str) -> str:
    """A list of LINKS from a part in FOLDER."""
    inner = "".join(
        f'<Relationship Id="{key}" Type="{_RELATIONS}/{kind}" Target="{target.removeprefix(folder)}"/>'
        for key, kind, target in links
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{inner}</Relationships>'


def _recoded(package: Package) -> bytes:
    """An ODS file with what it has of XML in UTF-8."""

    def content(name: str) -> Iterable[bytes] | None:
        if name not in OPEN_DOCUMENT:
            return None
        return _in_utf8(package, name) if name.endswith(".xml") else package.unpacked(name)

    return package.copied(content, _LEVEL)


def _codec(package: Package, name: str) -> str:
    """What the part with NAME, which is XML, is to be decoded with; nothing where it's UTF-8 and says so. A part that
    declares UTF-16 in plain letters is none: what wrote it passed a text on whose encoding it didn't know."""
    head = next(package.unpacked(name), b"")[:1024]
    for mark, codec in zip(_MARKS, _MARKED, strict=True):
        if head.startswith(mark):
            return codec if codec != "utf-8-sig" or _declared(head[len(mark) :]) else ""
    return _UNMARKED.get(head[:2], "") or _declared(head)


def _declared(head: bytes) -> str:
    found = _DECLARED.match(head)
    codec = codecs.lookup(found[1].decode()).name if found else "utf-8"
    " ".encode(codec)  # raises LookupError for those that aren't of texts
    return "" if codec in ("utf-8", "ascii") else "utf-8-sig" if codec in _WIDE else codec


def _in_utf8(package: Package, name: str) -> Iterator[bytes]:
    """The part with NAME, which is XML, in pieces of UTF-8. Raises UnicodeDecodeError, which is a ValueError."""
    codec = _codec(package, name)
    if not codec:
        yield from package.unpacked(name)
        return
    decoder = codecs.getincrementaldecoder(codec)()
    is_first = True
    for piece in package.unpacked(name):
        text = decoder.decode(piece)
        yield (_DECLARATION.sub("", text, count=1) if is_first and _DECLARATION.match(text) else text).encode()
        is_first = False
    yield decoder.decode(b"", final=True).encode()
