"""NDJSON: one JSON value a line, each line validated by itself."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from stages.convert import encoding, reasons
from stages.convert.account import RejectedRecord
from stages.convert.encoding import Chunk, Encoding, Lines
from stages.convert.family import Context, Head, Reading
from stages.convert.json_rows import RowBlock, RowTable, decode
from stages.convert.source import Source

CHUNK = 8 * 1024 * 1024
_SUFFIXES = (".ndjson", ".jsonl", ".ldjson", ".jsonlines")


class JsonLines:
    """The family of line-delimited JSON."""

    name = "json lines"

    def sniff(self, head: Head) -> float:
        """By its name, or where the first two lines are JSON objects by themselves."""
        if head.suffix in _SUFFIXES:
            return 0.95
        lines = head.data.lstrip(b"\xef\xbb\xbf").splitlines()[:3]
        lines = [line for line in lines if line.strip()][:2]
        return 0.92 if len(lines) == 2 and all(map(_is_object, lines)) else 0.0

    def read(self, source: Source, head: Head, context: Context) -> Reading:
        """One table; lines that aren't JSON are its rejects."""
        found = encoding.detect(head.data, is_whole=head.is_whole)
        if found is None:
            return Reading(reason=reasons.corrupt("its name says lines of JSON, but its bytes aren't text"))
        table = RowTable(lambda: _blocks(source, found, context), source.path, context)
        part = table.read({"encoding": found.codec})
        if part is None:
            return Reading(reason=reasons.no_records("it has only blank lines"))
        if not part.rows:
            return Reading(reason=reasons.corrupt("not one of its lines is JSON"))
        return Reading(tables=(part,))


def _is_object(line: bytes) -> bool:
    try:
        return type(decode(line)) is dict
    except msgspec.DecodeError:
        return False


def _blocks(source: Source, found: Encoding, context: Context) -> Iterator[RowBlock]:
    for chunk in encoding.chunks(source, found, CHUNK):
        yield _block(chunk)
        context.progress(chunk.at + len(chunk.raw))


def _block(chunk: Chunk) -> RowBlock:
    """The lines of CHUNK, each decoded by itself."""
    lines = Lines(chunk)
    block = RowBlock([], 0)
    at = 0
    for line in chunk.text.split(b"\n"):
        if line and not line.isspace():
            block.read += 1
            try:
                block.values.append(decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
                block.rejects.append(_reject(lines, at, len(line), str(error)))
        elif at < len(chunk.text):
            block.blank += 1
        at += len(line) + 1
    return block


def _reject(lines: Lines, at: int, length: int, why: str) -> RejectedRecord:
    number, byte = lines.locate(at)
    raw = lines.raw(at, at + length + 1)
    return RejectedRecord(line=number, byte=byte, reason=f"malformed: not JSON ({why})", raw=raw)
