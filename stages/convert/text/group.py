"""Many small delimited files with one header read as one table, with a column that tells which file a row is from.

A file that isn't plainly like the others (another header, a byte order mark, quotes that don't come in pairs) is left
out, to be read by itself.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl

from stages.convert.account import RejectedRecord
from stages.convert.ahead import Again, mapped
from stages.convert.family import Bench
from stages.convert.kernels import compiled
from stages.convert.source import Files, open_source
from stages.convert.text import counter
from stages.convert.text.blocks import Block, Splitter
from stages.convert.text.chunks import Chunk
from stages.convert.text.delimited import SUFFIXES, Plan, make_plan_of
from stages.convert.text.encoding import is_utf8
from stages.convert.text.text_table import TextTable
from stages.handover import Member, Place

LARGEST = 1024 * 1024  # bytes of a file that is small
_HEADER = 8 * 1024  # bytes in which a header ends
_SAMPLE = 64 * 1024  # bytes of some of the files, from which dialect and types are guessed
_BLOCK = 4 * 1024 * 1024  # bytes read at once
_PACK = 128 * 1024 * 1024  # bytes of a pack file that is read whole
_LINE_END = ord("\n")


class Small(msgspec.Struct):
    """A small file: its member, and where in DATA, which may hold others too, its bytes after the header line are."""

    member: Member
    data: bytes
    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes these are, with the line end that may lack."""
        return self.end - self.start + self.is_open

    @property
    def is_open(self) -> bool:
        """Whether the last line lacks its end."""
        return self.start < self.end and self.data[self.end - 1] != _LINE_END

    def count(self, mark: bytes) -> int:
        """How often MARK is in them."""
        return self.data.count(mark, self.start, self.end)

    def body(self) -> Iterator[bytes | memoryview]:
        """The bytes, not copied, with the line end that may lack."""
        yield memoryview(self.data)[self.start : self.end]
        if self.is_open:
            yield b"\n"


class Group(msgspec.Struct):
    """Files with one HEADER line (with its line end) and one kind of name."""

    header: bytes
    files: list[Small]


def find_groups(members: Sequence[Member], files: Files, least: int) -> list[Group]:
    """The groups among MEMBERS, of LEAST files or more each."""
    reader = _Reader(files)
    groups: dict[tuple[str, bytes], Group] = {}
    small = [
        (member, member.place, suffix) for member in members if (suffix := _suffix_if_small(member)) and member.place
    ]
    compiled.begin(sum(place.length for _, place, _ in small))
    for member, place, suffix in small:
        data, start = reader.read(place)
        end = start + place.length
        begin = data.find(b"\n", start, min(end, start + _HEADER)) + 1
        header = data[start:begin]
        if not begin or header[:1] in (b"\xef", b"\xff", b"\xfe", b"\n", b"\r"):
            continue
        group = groups.setdefault((suffix, header), Group(header, []))
        group.files.append(Small(member, data, begin, end))
    return [group for group in groups.values() if sum(1 for file in group.files if file.size) >= least]


def _suffix_if_small(member: Member) -> str:
    """The ending of MEMBER's name, if that says a small table of text."""
    suffix = os.path.splitext(member.path)[1].lower()
    is_small = member.reason is None and member.place is not None and 0 < member.place.length <= LARGEST
    return suffix if is_small and suffix in SUFFIXES else ""


class _Reader:
    """Reads places; a pack file at once, since many members lie in it."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._packs: dict[str, bytes | None] = {}

    def read(self, place: Place) -> tuple[bytes, int]:
        """Bytes in which those at PLACE are, and where."""
        pack = self._pack(place.file)
        if pack is not None and place.offset + place.length <= len(pack):
            return pack, place.offset
        return open_source(self._files, place, "").read(0, place.length), 0

    def _pack(self, name: str) -> bytes | None:
        if name not in self._packs:
            descriptor = self._files.descriptor(name)
            size = os.fstat(descriptor).st_size
            self._packs = {name: os.pread(descriptor, size, 0) if size <= _PACK else None}
        return self._packs[name]


class Part(msgspec.Struct):
    """Some files of a group as one text, and its marks; `ends` are where each file's bytes end in it."""

    files: list[Small]
    text: bytes
    ends: Any
    marks: counter.Marks


def read_group(group: Group, bench: Bench) -> list[Member]:
    """Makes a table of GROUP and gives the members that are in it: none where they are better read one by one."""
    paired = [file for some in _until_full(group.files) for file in _paired(some)]
    sample = (group.header + _text(_until(_SAMPLE, filter(_is_utf8, paired))))[: 2 * _SAMPLE]
    plan = make_plan_of(sample[: sample.rfind(b"\n") + 1])
    if plan is None or not _is_plain(plan, group, bench):
        return []
    return _GroupTable(
        plan, group.header, Again(_parts(paired, plan)), bench, is_large=sum(file.size for file in paired) > _BLOCK
    ).read()


def _paired(files: Sequence[Small]) -> list[Small]:
    """Those of FILES whose quotes come in pairs."""
    data, start, end = files[0].data, files[0].start, files[-1].end
    if any(file.data is not data or not start <= file.start <= file.end <= end for file in files):
        return [file for file in files if not file.count(b'"') & 1]
    quotes = np.flatnonzero(np.frombuffer(data, np.uint8, end - start, start) == ord('"')) + start
    bounds = np.searchsorted(quotes, [[file.start for file in files], [file.end for file in files]])
    return [file for file, count in zip(files, bounds[1] - bounds[0], strict=True) if not count & 1]


def _until(size: int, files: Iterable[Small]) -> Iterator[Small]:
    for file in files:
        yield file
        size -= file.size
        if size <= 0:
            return


def _text(files: Iterable[Small]) -> bytes:
    return b"".join(piece for file in files for piece in file.body())


def _is_plain(plan: Plan, group: Group, bench: Bench) -> bool:
    """Whether the first line is the header, and nothing needs more than plain reading."""
    return (
        plan.header.is_present
        and plan.skip == len(group.header)
        and not plan.normal.steps
        and not plan.normal.dialect.is_padded
        and not plan.normal.is_collapsed
        and not plan.normal.is_boxed
        and not plan.normal.is_wrapped
        and not plan.normal.has_returns_first
        and not plan.normal.is_indented
        and 1 < plan.header.width <= bench.limits.max_columns
    )


def _is_utf8(file: Small) -> bool:
    return is_utf8(_text([file]))


def _parts(files: Iterable[Small], plan: Plan) -> Iterator[Part]:
    """Those of FILES that can be read as one text: UTF-8, with quotes in pairs and as they should be."""
    quote = plan.normal.dialect.quote
    paired = (file for file in files if quote in (None, b'"') or not file.count(quote) & 1)
    made = mapped(_until_full(paired), lambda some: _good_part(some, plan))
    return (part for part in made if part.files)


def _good_part(some: list[Small], plan: Plan) -> Part:
    part = _part(some, plan)
    if part.marks.irregular < 0 and is_utf8(part.text):
        return part
    return _part([file for file in some if _is_utf8(file) and _part([file], plan).marks.irregular < 0], plan)


def _until_full(files: Iterable[Small]) -> Iterator[list[Small]]:
    some: list[Small] = []
    size = 0
    for file in files:
        some.append(file)
        size += file.size
        if size >= _BLOCK:
            yield some
            some, size = [], 0
    if some:
        yield some


def _part(files: list[Small], plan: Plan) -> Part:
    text = _text(files)
    dialect = plan.normal.dialect
    marks = counter.mark(text, dialect.delimiter[0], dialect.quote[0] if dialect.quote else None)
    return Part(files, text, np.cumsum([file.size for file in files]), marks)


class _GroupTable:
    """The one table of a group of files."""

    def __init__(self, plan: Plan, header: bytes, parts: Iterable[Part], bench: Bench, *, is_large: bool) -> None:
        self._plan = plan
        self._header = header
        self._parts = parts
        self._bench = bench
        self._is_large = is_large

    def read(self) -> list[Member]:
        """Makes the table and gives the members that are in it: none, and no table, for fewer than two."""
        sheet = self._bench.sheet()
        table = TextTable(
            self._plan.layout, sheet, lambda: map(self._block, self._parts), self._bench, is_large=self._is_large
        )
        columns, totals = table.scan()
        members = [file.member for part in self._parts for file in part.files]
        if len(members) < 2:
            sheet.discard()
            return []
        paths = [member.path for member in members]
        sheet.name(_folder(paths), _stem(paths))
        sheet.facts = {
            **self._plan.facts,
            "blank_lines": totals.blank,
            "null_words": table.null_words(),
            "files": len(paths),
            "group": ["delimited", *self._plan.header.names],
        }
        sheet.finish(totals.read, columns)
        return members

    def _block(self, part: Part) -> Block:
        """PART as a block, with the file of each of its rows."""
        splitter = Splitter(self._plan.normal.dialect, self._plan.header.width)
        (block,) = splitter.blocks(Chunk(part.text, part.text, 0, 1, is_last=True), marks=part.marks)
        return self._placed(part, block)

    def _placed(self, part: Part, block: Block) -> Block:
        paths = pl.Series([file.member.path for file in part.files])
        rows = _rows_per_file(part, block)
        block.files = paths.gather(np.repeat(np.arange(len(part.files)), rows))
        if block.rejects:
            block.rejects = self._located(block.rejects, part, np.concatenate([[0], np.cumsum(rows)]))
        proof = block.proof
        if proof is not None:
            block.proof = lambda: self._placed(part, proof())
        return block

    def _located(self, rejects: Sequence[RejectedRecord], part: Part, rows: Any) -> list[RejectedRecord]:
        """REJECTS with their place in their own file instead of in PART, in which ROWS come before each file."""
        bounds = [0, *part.ends.tolist()]
        found: list[RejectedRecord] = []
        at = earlier = 0  # the file looked at, and the rejects of those before it
        for reject in rejects:
            index = bisect_right(bounds, reject.byte) - 1
            if index != at:
                at, earlier = index, len(found)
            start = bounds[index]
            line = 2 + part.text.count(b"\n", start, reject.byte)
            byte = reject.byte - start + len(self._header)
            path = part.files[index].member.path
            number = 1 + reject.record - int(rows[index]) - earlier
            found.append(msgspec.structs.replace(reject, record=number, line=line, byte=byte, file=path))
        return found


def _rows_per_file(part: Part, block: Block) -> Any:
    rows = _counts(counter.positions(part.marks.ends, len(part.text)), part.ends)
    return rows - _counts(np.array(block.left_out, np.int64), part.ends) if block.left_out else rows


def _counts(positions: Any, ends: Any) -> Any:
    """How many of POSITIONS lie in each of the stretches that end before ENDS."""
    return np.diff(np.searchsorted(positions, ends), prepend=0)


def _folder(paths: Sequence[str]) -> str:
    """The folder or archive that holds all of PATHS."""
    return _common(paths).rpartition("/")[0] + "/"


def _stem(paths: Sequence[str]) -> str:
    """What the names of PATHS begin with, if that's a word."""
    common = _common([os.path.basename(path) for path in paths]).partition(".")[0].rstrip("0123456789-_ ")
    return common if sum(map(str.isalpha, common)) >= 3 else ""


def _common(texts: Sequence[str]) -> str:
    """What all TEXTS begin with."""
    one, other = min(texts), max(texts)
    length = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))
    return one[:length]
