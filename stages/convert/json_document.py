"""JSON documents: an array of records, an object with lists of records in it, one record, or several of them."""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from pipeline.model import Reason
from stages.convert import encoding, json_split, reasons
from stages.convert.encoding import Encoding
from stages.convert.family import Bench, Head, Refused
from stages.convert.json_rows import (
    NOT_JSON,
    Blocks,
    RowBlock,
    RowTable,
    checked,
    decode_all,
    distinct,
)
from stages.convert.shapes import exact_number
from stages.convert.source import Source

WHOLE = 16 * 1024 * 1024  # bytes of a document that is taken as a whole
_SMALL = 4 * 1024 * 1024  # bytes of a value that is taken as it is into a large document's own row
_ROWS = 20_000  # values in a block
_encode = msgspec.json.encode
_SUFFIXES = (".json", ".geojson", ".topojson", ".jsonc", ".json5")


class JsonDocument:
    """The family of JSON documents."""

    name = "json"

    def sniff(self, head: Head) -> float:
        """By its name, or by a first character that starts an array or object."""
        if head.suffix in _SUFFIXES:
            return 0.9
        return 0.3 if head.data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{") else 0.0

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes a table of each list of records found, or one of a single row."""
        found = encoding.detect(head.data, is_whole=head.is_whole)
        try:
            if found is None:
                raise Refused(reasons.corrupt("its name says JSON, but its bytes aren't text"))
            _read(source, found, bench)
        except Refused:
            if head.suffix in _SUFFIXES:
                raise
            bench.clear()  # only its first character looked like JSON


def _read(source: Source, found: Encoding, bench: Bench) -> None:
    facts = {"encoding": found.codec}
    if bench.is_text_only and _is_read_as_written(source, found, facts, bench):
        return
    if source.length <= WHOLE:
        raw = source.read(found.bom, source.length)
        strays = encoding.stray_lines(raw, found.codec)
        if strays:
            bench.notes.append(f"{strays:,} lines have bytes that mean nothing in {found.codec}, read as another would")
        _read_text(encoding.to_utf8(raw, found.codec), facts, bench)
    elif found.codec == "utf-8":
        _Large(source, found, facts, bench).read()
    else:
        with bench.scratch() as path:
            size = _write_utf8(source, found, path)
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _Large(Source(descriptor, 0, size, source.path), Encoding("utf-8"), facts, bench).read()
            finally:
                os.close(descriptor)


def _is_read_as_written(source: Source, found: Encoding, facts: dict[str, Any], bench: Bench) -> bool:
    """Makes tables of a small document as of a large one, whose values aren't decoded before they are texts; False, and
    none, where only the way of small ones can read it."""
    if source.length > WHOLE or found.codec != "utf-8" or _GEOGRAPHIC.search(source.read(0, source.length)):
        return False
    try:
        _Large(source, found, facts, bench).read()
    except Refused:
        bench.clear()
        return False
    return True


def _write_utf8(source: Source, found: Encoding, path: Path) -> int:
    """Writes SOURCE as UTF-8 to PATH and gives its size: what cuts a document counts bytes of ASCII."""
    decoder = codecs.getincrementaldecoder(found.codec)("stampmill.stray")
    at = found.bom
    with path.open("wb") as file:
        while piece := source.read(at, json_split.PIECE):
            at += len(piece)
            file.write(decoder.decode(piece, at >= source.length).encode("utf-8", "replace"))
        return file.tell()


def _read_text(text: bytes, facts: dict[str, Any], bench: Bench) -> None:
    """Makes the tables of TEXT, a whole document."""
    if not text.strip():
        raise Refused(reasons.no_records("it has only blank space"))
    try:
        value = _value(text)
    except NOT_JSON as error:
        raise Refused(_broken(error)) from error
    bench.progress(len(text))
    for title, rows in lists_in(value):
        _table(rows, title, facts, bench)
    if not bench.tables:
        raise Refused(reasons.no_records("its lists are empty"))


def _value(text: bytes) -> Any:
    """The value of TEXT; comments and commas before a closing bracket are forgiven, and several values."""
    try:
        return decode_all(text)
    except NOT_JSON as first:
        plain = _UNCOMMENTED.sub(_keep_strings, text)
        if plain != text:
            return decode_all(plain)
        several = _several(text)
        if len(several) < 2:
            raise first
        return several


_UNCOMMENTED = re.compile(rb'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/|(?<![\[{,:]),(?=\s*[\]}])', re.DOTALL)


def _keep_strings(match: re.Match[bytes]) -> bytes:
    return match[1] or b" "


def _several(text: bytes) -> list[Any]:
    """The objects or lists of TEXT, one after another with at most blanks between them (and record separators, RFC 7464);
    none where it isn't that."""
    plain, at = text.decode().replace("\x1e", " ").strip(), 0
    decoder = json.JSONDecoder(parse_float=exact_number, object_pairs_hook=distinct)
    found = []
    try:
        while at < len(plain):
            if plain[at] not in "[{":
                return []
            value, at = decoder.raw_decode(plain, at)
            found.append(value)
            at = _BLANKS.match(plain, at).end()  # type: ignore[union-attr] # it matches nothing too
        checked([_encode(value) for value in found])
    except NOT_JSON:
        return []
    return found


_GEOGRAPHIC = re.compile(rb'"FeatureCollection"')
_BLANKS = re.compile(r"\s*")


def _broken(error: Exception) -> Reason:
    detail = str(error)
    if isinstance(error, RecursionError):
        return _TOO_DEEP
    if "truncated" in detail:
        return _CUT_OFF
    return reasons.corrupt(f"it isn't valid JSON ({detail.removeprefix('JSON is malformed: ')})")


def lists_in(value: Any) -> list[tuple[str, list[Any]]]:
    """The tables that VALUE holds, each with a title: itself, its lists of objects where it has such, or one row."""
    if type(value) is list:
        return [("", value)]
    if type(value) is dict and value:
        if value.get("type") == "FeatureCollection" and type(value.get("features")) is list:
            return [("", [flat_feature(feature) for feature in value["features"]])]
        lists = {key: part for key, part in value.items() if _is_records(part)}
        rest = {key: part for key, part in value.items() if key not in lists}
        if lists:
            tables: list[tuple[str, list[Any]]] = list(lists.items())
            return tables + ([("document", [rest])] if rest else [])
    return [("", [value])]


def _is_records(value: Any) -> bool:
    return type(value) is list and bool(value) and all(type(item) is dict for item in value)


def flat_feature(feature: Any) -> Any:
    """A GeoJSON feature as a record: its properties, its id, and its geometry as it is."""
    if type(feature) is not dict or feature.get("type") != "Feature":
        return feature
    flat = dict(feature.get("properties") or {})
    for key, value in feature.items():
        if key not in ("type", "properties"):
            flat[key if key not in flat else f"feature_{key}"] = value
    return flat


def _table(rows: list[Any], title: str, facts: dict[str, Any], bench: Bench) -> None:
    def blocks() -> Iterator[RowBlock]:
        for start in range(0, len(rows), _ROWS):
            yield RowBlock(values=rows[start : start + _ROWS])

    RowTable(blocks, bench, title).read(facts)


class _Large:
    """A document that isn't held as a whole: its lists of objects are streamed, the rest of it is one row."""

    def __init__(self, source: Source, found: Encoding, facts: dict[str, Any], bench: Bench) -> None:
        self._source = source
        self._start = found.bom
        self._facts = facts
        self._bench = bench
        self._row: dict[str, Any] = {}

    def read(self) -> None:
        """Makes the tables. A document that is broken somewhere gives none."""
        try:
            self._take("", self._skip_blanks(self._start), self._source.length)
        except json_split.CutOff as error:
            raise Refused(_CUT_OFF) from error
        except json_split.ElementTooLarge as error:
            raise Refused(_TOO_LARGE) from error
        except RecursionError as error:
            raise Refused(_TOO_DEEP) from error
        except (json_split.NotAList, *NOT_JSON) as error:
            raise Refused(reasons.corrupt(f"it isn't valid JSON, or no list of objects ({error})")) from error
        if self._row:
            self._add("document", lambda: iter([RowBlock(values=[self._row])]))

    def _skip_blanks(self, start: int) -> int:
        head = self._source.read(start, 4096)
        return start + len(head) - len(head.lstrip())

    def _take(self, title: str, start: int, end: int) -> None:
        """Makes tables of the value at START."""
        first = self._source.read(start, 1)
        if first == b"[":
            self._add(title, lambda: self._blocks(start, end), is_large=True)
        elif first == b"{":
            for value in json_split.values(self._source, start, end):
                self._take_value(title, value)
                if len(self._row) > self._bench.limits.max_columns:
                    raise Refused(reasons.too_many_columns(len(self._row), self._bench.limits.max_columns))
        else:
            raise json_split.NotAList("it starts with neither a bracket nor a brace")

    def _take_value(self, title: str, value: json_split.Value) -> None:
        start = self._skip_blanks(value.start)
        name = f"{title}.{value.key}" if title else value.key
        if value.end - start > _SMALL:
            self._take(name, start, value.end)
            return
        found = decode_all(self._source.read(start, value.end - start))
        if _is_records(found):
            self._add(name, lambda: iter([RowBlock(values=found)]))
        else:
            self._row[name] = found

    def _add(self, title: str, blocks: Blocks, *, is_large: bool = False) -> None:
        RowTable(blocks, self._bench, title, is_large=is_large).read(self._facts)

    def _blocks(self, start: int, end: int) -> Iterator[RowBlock]:
        for found, at in json_split.elements(self._source, start, end):
            yield RowBlock(texts=checked(found))
            self._bench.progress(at)


_TOO_DEEP = reasons.too_deep("its values are nested in each other more than some hundred times")
_CUT_OFF = reasons.truncated("its JSON is cut off before the last bracket is closed")
_TOO_LARGE = reasons.too_large("a single value in it has more than 64 MB", "Split it into smaller records.")
