"""XML with repeated records: a row for each, its attributes and elements as columns.

One parser (expat) finds the records and counts them, another (lxml) reads them; neither fetches anything or expands
entities of the document's own.
"""

from __future__ import annotations

import codecs
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path as FilePath
from typing import Any
from xml.parsers import expat

import msgspec

from stages.convert import reasons
from stages.convert.family import Bench, Head, Refused
from stages.convert.source import RawFile, Source
from stages.convert.text.text_rows import TextRow, write_rows

_SUFFIXES = (".xml", ".rss", ".atom", ".gpx", ".kml", ".osm", ".xsd", ".rdf")
_PIECE = 1024 * 1024
_MOST_PATHS = 100_000  # different paths of elements in one document
_encode = msgspec.json.encode

Path = tuple[str, ...]


class XmlRecords:
    """The family of XML documents."""

    name = "xml"

    def sniff(self, head: Head) -> float:
        """By its name or its declaration, unless it's a page or a picture."""
        start = head.data.lstrip(b"\xef\xbb\xbf \t\r\n")[:2000]
        if b"<svg" in start or b"<html" in start[:500].lower():
            return 0.0
        return 0.9 if head.suffix in _SUFFIXES else 0.7 if start.startswith(b"<?xml") else 0.0

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes a table of the element that repeats most; one that has none is kept as it is."""
        codec = _other_codec(head.data)
        if codec is None:
            self._read(source, bench)
            return
        with bench.scratch() as path:
            size = _write_utf8(source, codec, path)
            with path.open("rb") as file:
                self._read(Source(file.fileno(), 0, size, source.path), bench)

    def _read(self, source: Source, bench: Bench) -> None:
        try:
            outline = _outline(source)
            path = outline.record()
            if path is None:
                return
            names = _columns(source, path, bench)
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise Refused(reasons.corrupt(f"it isn't well-formed XML ({error})")) from error
        if len(names) > bench.limits.max_columns:
            raise Refused(reasons.too_many_columns(len(names), bench.limits.max_columns))

        def rows() -> Iterator[TextRow]:
            for record in _records(source, path):
                yield [record.get(name) for name in names]

        facts = {"record": "/".join(path)}
        write_rows(list(names), rows, outline.counts[path], bench, facts=facts)


def _other_codec(head: bytes) -> str | None:
    """The encoding that a document declares, if it's one that the parser doesn't know and Python does."""
    declared = _DECLARED.match(head)
    if declared is None:
        return None
    try:
        name = codecs.lookup(declared[1].decode()).name
    except LookupError:
        return None
    return None if name in _KNOWN else name


_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding=["']([\w.:-]+)["']""")
_KNOWN = frozenset(("utf-8", "utf-16", "utf-16-le", "utf-16-be", "ascii", "iso8859-1"))


def _write_utf8(source: Source, codec: str, path: FilePath) -> int:
    """Writes SOURCE, which is in CODEC, to PATH as UTF-8 without its declaration, and gives its size."""
    decoder = codecs.getincrementaldecoder(codec)("stampmill.stray")
    with path.open("wb") as file:
        for at in range(0, source.length, _PIECE):
            text = decoder.decode(source.read(at, _PIECE), at + _PIECE >= source.length)
            if not at:
                text = text[text.find("?>") + 2 :].lstrip()
            file.write(text.encode("utf-8", "replace"))
        return file.tell()


class _Outline:
    """How often each path of elements occurs."""

    def __init__(self) -> None:
        self.counts: Counter[Path] = Counter()
        self._path: list[str] = []

    def start(self, name: str, _attributes: Any) -> None:
        """An element begins."""
        self._path.append(name.rpartition("}")[2])
        self.counts[tuple(self._path)] += 1
        if len(self.counts) > _MOST_PATHS:
            raise ValueError("too many different elements")

    def end(self, _name: str) -> None:
        """An element ends."""
        self._path.pop()

    def record(self) -> Path | None:
        """The path of the records: the shallowest that repeats, of those the most frequent."""
        repeated = [(len(path), -count, path) for path, count in self.counts.items() if count > 1 and len(path) > 1]
        return min(repeated)[2] if repeated else None


def _outline(source: Source) -> _Outline:
    outline = _Outline()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = outline.start
    parser.EndElementHandler = outline.end
    for at in range(0, source.length, _PIECE):
        parser.Parse(source.read(at, _PIECE), False)
    parser.Parse(b"", True)
    return outline


def _columns(source: Source, path: Path, bench: Bench) -> dict[str, None]:
    """The names of all columns, in the order in which they first occur."""
    names: dict[str, None] = {}
    for number, record in enumerate(_records(source, path)):
        if record.keys() - names.keys():
            names.update(dict.fromkeys(record))
        if number % 10_000 == 0:
            bench.progress(0)
    return names


def _records(source: Source, path: Path) -> Iterable[dict[str, str]]:
    """Each record's texts by name."""
    from lxml import etree  # type: ignore[import-untyped] # it ships no types

    file = io.BufferedReader(RawFile(source), _PIECE)
    depth = 0
    events = etree.iterparse(file, events=("start", "end"), resolve_entities=False, no_network=True, huge_tree=True)
    try:
        for event, element in events:
            depth += 1 if event == "start" else -1
            if event == "end" and depth == len(path) - 1 and _path_of(element) == path:
                yield _texts(element)
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from error


def _path_of(element: Any) -> Path:
    names = [_local(element.tag)]
    names.extend(_local(parent.tag) for parent in element.iterancestors())
    return tuple(reversed(names))


def _local(tag: Any) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _texts(element: Any) -> dict[str, str]:
    """ELEMENT's attributes and children by name; what has children of its own, or comes more than once, as JSON."""
    found: dict[str, list[Any]] = {_local(name): [value] for name, value in element.attrib.items()}
    for child in element:
        if isinstance(child.tag, str):
            found.setdefault(_local(child.tag), []).append(_value(child))
    if element.text and element.text.strip():
        found.setdefault("text", []).append(element.text.strip())
    return {name: _text(values) for name, values in found.items()}


def _value(element: Any) -> Any:
    """ELEMENT's text, or its attributes and children as a mapping."""
    children = [child for child in element if isinstance(child.tag, str)]
    text = "".join(element.itertext()) if not children else (element.text or "").strip()
    if not children and not element.attrib:
        return text
    found: dict[str, Any] = {_local(name): value for name, value in element.attrib.items()}
    for child in children:
        name, value = _local(child.tag), _value(child)
        if name in found:
            before = found[name] if isinstance(found[name], list) else [found[name]]
            found[name] = [*before, value]
        else:
            found[name] = value
    return {**found, "text": text} if text.strip() else found


def _text(values: list[Any]) -> str:
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return _encode(values[0] if len(values) == 1 else values).decode()
