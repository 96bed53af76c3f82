"""JSON documents: an array of records, an object with lists of records in it, one record, or several of them."""

from __future__ import annotations

import io
import json
import operator
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pipeline.model import Reason
from stages.convert import reasons
from stages.convert.family import Bench, Head, Refused
from stages.convert.json_files import geojson, json_bare, json_large, json_split
from stages.convert.json_files.json_marks import why
from stages.convert.json_files.json_rows import NOT_JSON, RowBlock, RowTable, decode_all, distinct
from stages.convert.source import Source
from stages.convert.text import encoding
from stages.convert.text.encoding import Encoding

WHOLE = 16 * 1024 * 1024  # bytes of a document that is read as a whole where it isn't JSON as it should be
_ROWS = 20_000  # values in a block
_SUFFIXES = (".json", ".geojson", ".topojson", ".jsonc", ".json5", ".json-seq")
_PASSED = "not JSON, and passed over: {what}"
_STRAYS = "{count:,} {what} bytes that mean nothing in {codec}, read as another would"


class JsonDocument:
    """The family of JSON documents."""

    name = "json"

    def sniff(self, head: Head) -> float:
        """By its name, or by a first character that starts an array or object."""
        if head.suffix in _SUFFIXES:
            return 0.9
        return 0.3 if head.data.lstrip(b"\xef\xbb\xbf\x1e \t\r\n")[:1] in (b"[", b"{") else 0.0

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes a table of each list of records found, or one of a single row."""
        found = encoding.detect(head.data, is_whole=head.is_whole)
        try:
            if found is None:
                raise Refused(reasons.corrupt("its name says JSON, but its bytes aren't text"))
            try:
                _read(source, found, bench)
            except encoding.Misjudged as misjudged:
                _read(source, misjudged.encoding, bench)
        except Refused:
            if head.suffix in _SUFFIXES:
                raise
            bench.clear()  # only its first character looked like JSON


def _read(source: Source, found: Encoding, bench: Bench) -> None:
    """Raises Refused, and Misjudged before any table is begun."""
    facts = {"encoding": found.codec}
    stray = encoding.stray_piece(source, found) if found.codec == "utf-8" else b""
    encoding.check_guess(stray, found)
    if source.length <= min(WHOLE, json_large.SMALL) and (stray or found.codec != "utf-8" or not bench.is_text_only):
        _read_whole(source.read(found.bom, source.length), found, facts, bench)
        return
    with ExitStack() as stack:
        if stray or found.codec != "utf-8":
            source = stack.enter_context(_rewritten(source, found, bench))
            found = Encoding("utf-8")
        try:
            json_large.read(source, found.bom, facts, bench)
        except Refused:
            bare = stack.enter_context(_bare(source, found.bom, bench))
            if bare is None:
                raise
            bench.clear()
            json_large.read(bare, 0, facts, bench)


@contextmanager
def _bare(source: Source, start: int, bench: Bench) -> Iterator[Source | None]:
    """SOURCE from START on without what JSON hasn't, in a file of its own; None where there's nothing of that kind."""
    with bench.scratch() as path:
        with path.open("wb") as file:
            at = range(start, source.length, json_split.PIECE)
            passed = json_bare.write((source.read(begin, json_split.PIECE) for begin in at), file)
            size = file.tell()
        if not any(passed):
            yield None
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield Source(descriptor, 0, size, source.path)
            _note(passed, bench)
        finally:
            os.close(descriptor)


def _note(passed: json_bare.Passed, bench: Bench) -> None:
    counts = {"comment": passed.comments, "comma": passed.commas}
    found = [f"{count:,} {word}{'s' if count > 1 else ''}" for word, count in counts.items() if count]
    if found:
        where = " before a closing bracket" if passed.commas else ""
        bench.notes.append(_PASSED.format(what=" and ".join(found) + where))


@contextmanager
def _rewritten(source: Source, found: Encoding, bench: Bench) -> Iterator[Source]:
    """SOURCE as UTF-8, in a file of its own: what cuts a document counts bytes of ASCII."""
    with bench.scratch() as path:
        with path.open("wb") as file:
            strays = 0
            for text, more in encoding.rewritten(source, found, json_split.PIECE):
                file.write(text)
                strays += more
            size = file.tell()
        if strays:
            bench.notes.append(_STRAYS.format(count=strays, what="pieces of its text have", codec=found.codec))
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield Source(descriptor, 0, size, source.path)
        finally:
            os.close(descriptor)


def _read_whole(raw: bytes, found: Encoding, facts: dict[str, Any], bench: Bench) -> None:
    """Makes the tables of RAW, a whole document."""
    text = encoding.to_utf8(raw, found.codec).rstrip(b"\0")  # room that was made and never filled
    json_large.check_cost(text)
    tables, passed = _tables(text, bench.limits.max_columns)
    repaired = [0] * len(tables)
    if strays := encoding.stray_lines(raw, found.codec):
        bench.notes.append(_STRAYS.format(count=strays, what="lines have", codec=found.codec))
        marked, _same = _tables(encoding.marked(raw, found.codec), bench.limits.max_columns)  # there is another value
        repaired = [
            sum(map(operator.ne, rows, others)) for (_title, rows), (_same, others) in zip(tables, marked, strict=True)
        ]
    bench.progress(len(raw))
    for (title, rows), count in zip(tables, repaired, strict=True):
        _table(rows, title, count, facts, bench)
    if not bench.tables:
        raise Refused(reasons.no_records("its lists are empty"))
    _note(passed, bench)


def _tables(text: bytes, most: int) -> tuple[list[tuple[str, list[Any]]], json_bare.Passed]:
    """The tables of TEXT, and what of it was passed over."""
    if not text.strip():
        raise Refused(reasons.no_records("it has only blank space"))
    try:
        value, passed = _value(text)
        return lists_in(value, most), passed
    except NOT_JSON as error:
        raise Refused(_broken(error, text)) from error


def _value(text: bytes) -> tuple[Any, json_bare.Passed]:
    """The value of TEXT; comments and commas before a closing bracket are forgiven, and several values."""
    try:
        return decode_all(text), json_bare.Passed(0, 0, 0)
    except NOT_JSON:
        if found := _sequence(text):
            return found, json_bare.Passed(0, 0, 0)
        file = io.BytesIO()
        passed = json_bare.write([text], file)
    try:
        return decode_all(file.getvalue()), passed
    except NOT_JSON:
        found = _several(file.getvalue())
        if len(found) < 2:
            raise
    return found, passed


def _sequence(text: bytes) -> list[Any]:
    """The values of TEXT, each with the mark of RFC 7464 before it; none where it isn't that."""
    if not text.lstrip().startswith(json_split.MARK):
        return []
    try:
        return [decode_all(part) for part in text.split(json_split.MARK) if part.strip()]
    except NOT_JSON:
        return []


def _several(text: bytes) -> list[Any]:
    """The objects or lists of TEXT, one after another with at most blanks between them; none where it isn't that."""
    rest, at = text.decode().strip(), 0
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)  # only to see where each ends
    found = []
    try:
        while at < len(rest):
            if rest[at] not in "[{":
                return []
            start, (_value, at) = at, decoder.raw_decode(rest, at)
            found.append(decode_all(rest[start:at].encode()))
            at = _BLANKS.match(rest, at).end()  # type: ignore[union-attr] # it matches nothing too
    except NOT_JSON:
        return []
    return found


_BLANKS = re.compile(r"\s*")


def _broken(error: Exception, text: bytes) -> Reason:
    """Why TEXT can't be read, which gave ERROR."""
    if isinstance(error, RecursionError):
        return json_large.TOO_DEEP
    said = why(error, text)
    return json_large.CUT_OFF if "truncated" in said else reasons.corrupt(f"it isn't valid JSON ({said})")


def lists_in(value: Any, most: int) -> list[tuple[str, list[Any]]]:
    """The tables that VALUE holds, each with a title: itself, its lists of objects where it has such, or one row. An object
    of more than MOST objects has a row for each."""
    if type(value) is list:
        return [("", value)]
    if type(value) is not dict or not value:
        return [("", [value])]
    if len(value) > most and all(type(part) is dict for part in value.values()):
        return [("", [distinct([("key", key), *part.items()]) for key, part in value.items()])]
    lists: dict[str, list[Any]] = {}
    rest: dict[str, Any] = value
    if value.get("type") == geojson.COLLECTION and type(value.get("features")) is list:
        lists[""] = list(map(geojson.flat, value["features"]))
        rest = {key: part for key, part in value.items() if key not in ("type", "features")}
    records = {key: part for key, part in rest.items() if _is_records(part)}
    rest = {key: part for key, part in rest.items() if key not in records}
    tables = [*lists.items(), *records.items()]
    left = [(json_large.ROW if tables else "", [rest])] if rest else []
    return list(distinct([*tables, *left]).items())


def _is_records(value: Any) -> bool:
    return type(value) is list and bool(value) and all(type(item) is dict for item in value)


def _table(rows: list[Any], title: str, repaired: int, facts: dict[str, Any], bench: Bench) -> None:
    def blocks() -> Iterator[RowBlock]:
        for start in range(0, len(rows), _ROWS):
            yield RowBlock(values=rows[start : start + _ROWS], repaired=0 if start else repaired)

    RowTable(blocks, bench, title).read(facts)
