"""JSON documents: an array of records, an object with lists of records in it, or one record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from stages.convert import encoding, reasons
from stages.convert.family import Context, Head, Reading
from stages.convert.json_rows import RowBlock, RowTable, decode
from stages.convert.source import Source
from stages.handover import TablePart

_ROWS = 50_000  # in a block


class JsonDocument:
    """The family of JSON documents."""

    name = "json"

    def sniff(self, head: Head) -> float:
        """By its name, or by a first character that starts an array or object."""
        if head.suffix in (".json", ".geojson", ".topojson", ".jsonc", ".json5"):
            return 0.9
        return 0.3 if head.data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{") else 0.0

    def read(self, source: Source, head: Head, context: Context) -> Reading:
        """A table for each list of records found, or one of a single row."""
        found = encoding.detect(head.data, is_whole=head.is_whole)
        if found is None:
            return Reading(reason=reasons.corrupt("its name says JSON, but its bytes aren't text"))
        raw = source.read(found.bom, source.length)
        text = encoding.to_utf8(raw, found.codec)
        if not text.strip():
            return Reading(reason=reasons.no_records("it has only blank space"))
        try:
            value = decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            if head.suffix == "":
                return Reading()
            return Reading(reason=_broken(text, str(error)))
        context.progress(source.length)
        return _tables(value, source.path, {"encoding": found.codec}, context)


def _broken(text: bytes, detail: str) -> Any:
    if "truncated" in detail:
        return reasons.truncated("its JSON is cut off before the last bracket is closed")
    return reasons.corrupt(f"it isn't valid JSON ({detail.removeprefix('JSON is malformed: ')})")


def _tables(value: Any, path: str, facts: dict[str, Any], context: Context) -> Reading:
    tables = []
    for title, rows in _lists(value):
        part = _table(rows, path, title, facts, context)
        if part is not None:
            tables.append(part)
    return Reading(tables=tuple(tables)) if tables else Reading(reason=reasons.no_records("its lists are empty"))


def _lists(value: Any) -> list[tuple[str, list[Any]]]:
    """The tables that VALUE holds: itself, its lists of objects if it's an object of nothing else, or one row."""
    if type(value) is list:
        return [("", value)]
    if type(value) is dict and value:
        lists = {key: part for key, part in value.items() if type(part) is list and part and type(part[0]) is dict}
        rest = {key: part for key, part in value.items() if key not in lists}
        if lists and not any(type(part) is list and part for part in rest.values()):
            tables = [(key if len(lists) > 1 or rest else "", part) for key, part in lists.items()]
            return tables + ([("document", [rest])] if rest else [])
    return [("", [value])]


def _table(rows: list[Any], path: str, title: str, facts: dict[str, Any], context: Context) -> TablePart | None:
    def blocks() -> Iterator[RowBlock]:
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            yield RowBlock(part, len(part))

    return RowTable(blocks, path, context, title).read(facts)
