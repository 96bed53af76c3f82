"""NDJSON: one JSON value a line, each line validated by itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec
import numpy as np

from stages.convert import reasons
from stages.convert.account import RejectedRecord
from stages.convert.ahead import ahead
from stages.convert.family import Bench, Head, Refused
from stages.convert.json_files import json_marks
from stages.convert.json_files.json_document import JsonDocument
from stages.convert.json_files.json_engine import Texts
from stages.convert.json_files.json_marks import Tokens, count_tokens
from stages.convert.json_files.json_rows import NOT_JSON, RowBlock, RowTable, decode, joined
from stages.convert.kernels import compiled
from stages.convert.source import Source
from stages.convert.text import encoding
from stages.convert.text.chunks import Chunk, Lines, chunks, count_ends
from stages.convert.text.counter import Positions
from stages.convert.text.encoding import Encoding
from stages.handover import TablePart

CHUNK = 4 * 1024 * 1024
_LOOKED_AT = 5  # lines
_SUFFIXES = (".ndjson", ".jsonl", ".ldjson", ".jsonlines")
_valid = msgspec.json.Decoder(msgspec.Raw)


class JsonLines:
    """The family of line-delimited JSON."""

    name = "json lines"

    def sniff(self, head: Head) -> float:
        """By its name, or where at least two of the first lines, and most of them, are JSON objects by themselves."""
        if head.suffix in _SUFFIXES:
            return 0.95
        lines = [line for line in head.data.lstrip(b"\xef\xbb\xbf").splitlines() if line.strip()]
        first = lines[: _LOOKED_AT if head.is_whole or len(lines) > _LOOKED_AT else -1]  # the last may be cut off
        objects = sum(map(_is_object, first))
        return 0.92 if objects >= 2 and objects * 2 > len(first) else 0.0

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes one table; lines that aren't JSON are its rejects."""
        found = encoding.detect(head.data, is_whole=head.is_whole)
        if found is None:
            raise Refused(reasons.corrupt("its name says lines of JSON, but its bytes aren't text"))
        try:
            part = _read(source, found, bench)
        except encoding.Misjudged as misjudged:
            bench.clear()
            part = _read(source, misjudged.encoding, bench)
        if part is None:
            raise Refused(reasons.no_records("it has only blank lines"))
        if not part.rows:
            _read_whole(source, head, bench)


def _read_whole(source: Source, head: Head, bench: Bench) -> None:
    """Reads what only its name calls lines: one document over many of them."""
    bench.clear()
    try:
        JsonDocument().read(source, head, bench)
    except Refused as refusal:
        raise Refused(reasons.corrupt("not one of its lines is JSON")) from refusal
    if not bench.tables:
        raise Refused(reasons.corrupt("not one of its lines is JSON"))


def _read(source: Source, found: Encoding, bench: Bench) -> TablePart | None:
    def blocks() -> Iterator[RowBlock]:
        return _blocks(source, found, bench)

    compiled.begin(source.length)
    is_large = source.length > 2 * CHUNK
    table = RowTable((lambda: ahead(blocks)) if is_large else blocks, bench, is_large=is_large)
    return table.read({"encoding": found.codec})


def _is_object(line: bytes) -> bool:
    try:
        return type(decode(line)) is dict
    except NOT_JSON:
        return False


def _blocks(source: Source, found: Encoding, bench: Bench) -> Iterator[RowBlock]:
    for chunk in chunks(source, found, CHUNK):
        chunk.ends = count_ends(chunk.text, b"\n")
        count = chunk.ends + (not chunk.text.endswith(b"\n"))
        yield RowBlock(lines=chunk.text, count=count, open=partial(_opened, chunk), repaired=chunk.strays)
        bench.progress(chunk.at + len(chunk.raw))


def _opened(chunk: Chunk) -> RowBlock:
    """The lines of CHUNK, each a record unless it's blank."""
    text = chunk.text
    array = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(array == 0x0A) + 1
    if not text.endswith(b"\n") and text:
        ends = np.append(ends, len(text))
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: len(ends)]
    odd = np.flatnonzero(array[starts] <= 0x20) if len(starts) else starts
    blanks = [index for index in odd.tolist() if text[starts[index] : ends[index]].isspace()]
    lines = np.delete(starts, blanks) if blanks else starts
    if not len(lines):
        return RowBlock(blank=len(blanks), repaired=chunk.strays)
    bounds = np.append(lines, len(text))
    bounds[0] = 0  # blank lines are blanks around a text
    texts, tokens = Texts(text, bounds), count_tokens(text)

    def proof() -> RowBlock:
        block = _validated(chunk, texts, tokens, lines, len(blanks))
        block.repaired += chunk.strays
        return block

    return RowBlock(texts=texts, tokens=tokens, proof=proof, blank=len(blanks), repaired=chunk.strays)


def _validated(chunk: Chunk, texts: Texts, tokens: Tokens, starts: Positions, blank: int) -> RowBlock:
    """TEXTS, which are lines that start at STARTS, as they are if each is valid, else those that are."""
    try:
        if len(_valid.decode_lines(texts.data)) == texts.count:
            return RowBlock(texts=texts, tokens=tokens, blank=blank)
    except NOT_JSON:
        pass
    lines = Lines(chunk)
    good: list[bytes] = []
    rejects: list[RejectedRecord] = []
    repaired = 0
    for index in range(texts.count):
        text = texts[index]
        try:
            decode(text)
            good.append(text)
        except NOT_JSON as error:
            if (record := _without_separators(text)) is not None:
                good.append(record)
                repaired += 1
                continue
            start = int(starts[index])
            number, byte = lines.locate(start)
            end = chunk.text.find(b"\n", start) + 1 or len(chunk.text)
            reason = f"malformed: not JSON ({json_marks.why(error, text)})"
            raw = lines.raw(start, end)
            rejects.append(RejectedRecord(record=index, line=number, byte=byte, reason=reason, raw=raw))
    return RowBlock(texts=joined(good) if good else None, rejects=rejects, blank=blank, repaired=repaired)


def _without_separators(text: bytes) -> bytes | None:
    """TEXT without the comma of an array behind it, or the mark of RFC 7464 before it, where JSON is left."""
    record = text.strip().removeprefix(b"\x1e").removesuffix(b",") + b"\n"
    try:
        decode(record)
    except NOT_JSON:
        return None
    return record
