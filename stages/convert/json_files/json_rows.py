"""JSON values made into a table: their shape is found over all of them, block by block."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

import msgspec
import numpy as np
import polars as pl

from pipeline.model import Column
from stages.convert import reasons
from stages.convert.account import RejectedRecord
from stages.convert.ahead import mapped
from stages.convert.family import Bench, Refused
from stages.convert.json_files import json_engine, json_pattern
from stages.convert.json_files.json_engine import Columns, Texts
from stages.convert.json_files.json_marks import Tokens, count_tokens
from stages.convert.values.header import unique_names
from stages.convert.values.shapes import NOTHING, Shape, column, exact_number, shape_of, sql
from stages.handover import TablePart

PASSES = 8
_LONG_INTEGER = 4_000  # digits
_NESTED = (dict, list)
_SAMPLE = 500  # values from which a block's shape is guessed
decode = msgspec.json.Decoder(float_hook=exact_number).decode
_valid = msgspec.json.Decoder(msgspec.Raw)
_raws = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)


def decode_all(text: bytes) -> Any:
    """The value of TEXT. Of keys that an object has twice the later ones get names of their own: `a`, `a_2`; and integers
    of thousands of digits are text. Raises one of NOT_JSON."""
    try:
        value = decode(text)
    except msgspec.ValidationError:  # an integer that Python rather doesn't read
        return _decode_slowly(text)
    return value if keys_in(value) == count_tokens(text).colons else _decode_slowly(text)


def _decode_slowly(text: bytes) -> Any:
    return json.loads(text, parse_float=exact_number, parse_int=_exact_integer, object_pairs_hook=distinct)


def _exact_integer(text: str) -> int | str:
    return int(text) if len(text) < _LONG_INTEGER else text


def distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """PAIRS as an object that has all of them."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        name, copy = key, 2
        while name in found:
            name, copy = f"{key}_{copy}", copy + 1
        found[name] = value
    return found


def written(value: Any, text: bytes | None) -> dict[str, str | None]:
    """The fields of VALUE as TEXT, if that's known, writes them: a number with all its digits, and what is in quotes
    without them."""
    if type(value) is not dict:
        return {"value": _as_text(value, text)}
    raws = _raws(text) if text is not None else {}
    if len(raws) != len(value):  # a key stands there twice
        raws = {}
    return {key: _as_text(item, raws.get(key)) for key, item in value.items()}


def _as_text(value: Any, raw: bytes | msgspec.Raw | None) -> str | None:
    if value is None:
        return None
    token = bytes(raw).strip() if raw is not None else b""
    if type(value) is str and token[:1] in (b"", b'"'):
        return value
    return (token or _encode(value)).decode()


def keys_in(value: Any) -> int:
    """How many keys all objects in VALUE have."""
    count, waiting = 0, [value]
    while waiting:
        found = waiting.pop()
        if type(found) is dict:
            count += len(found)
            waiting.extend(item for item in found.values() if type(item) in _NESTED)
        elif type(found) is list:
            waiting.extend(item for item in found if type(item) in _NESTED)
    return count


class RowBlock(msgspec.Struct):
    """Some records: `texts`, each valid, or `values`; and what was rejected. Texts with a `proof` are valid if the
    engine takes them all, else the proof tells which of them are. In `lines`, `count` of them, one stands on each, unless
    some are blank, or no JSON: `open` tells, where that's needed."""

    lines: bytes | None = None
    count: int = 0
    open: Callable[[], RowBlock] | None = None
    texts: Texts | None = None
    tokens: Tokens | None = None
    proof: Callable[[], RowBlock] | None = None
    values: list[Any] = []
    rejects: list[RejectedRecord] = []
    blank: int = 0
    repaired: int = 0

    @property
    def rows(self) -> int:
        """How many records are good."""
        if self.lines is not None:
            return self.count
        return self.texts.count if self.texts is not None else len(self.values)


Blocks = Callable[[], Iterator[RowBlock]]


def joined(texts: Sequence[bytes]) -> Texts:
    """TEXTS in one piece."""
    sizes = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
    return Texts(b"\n".join(texts), np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]) - _last(len(texts)))


def checked(texts: Sequence[bytes]) -> Texts:
    """TEXTS in one piece; raises one of NOT_JSON unless each is valid."""
    _valid.decode(b"[" + b",".join(texts) + b"]")
    found = joined([text.replace(b"\n", b" ") if b"\n" in text else text for text in texts])
    if not found.data.isascii():
        found.data.decode()
    return found


def _last(count: int) -> Any:
    """The last text has no separator after it."""
    bound = np.zeros(count + 1, np.int64)
    bound[-1] = 1 if count else 0
    return bound


class _Tried(msgspec.Struct):
    """A block, and its columns by the shapes that were known when that began; none where the engine didn't take it."""

    block: RowBlock
    columns: Columns | None
    shapes: dict[str, Shape]


class RowTable:
    """A table of the records that BLOCKS gives, anew each time it's called; of many, some are worked on at once. Records
    that aren't objects get one column, `value`."""

    def __init__(self, blocks: Blocks, bench: Bench, title: str = "", *, is_large: bool = False) -> None:
        self._blocks = blocks
        self._is_large = is_large
        self._sheet = bench.sheet(title)
        self._is_text_only = bench.is_text_only
        self._most_columns = bench.limits.max_columns
        self._shapes: dict[str, Shape] = {}  # another one each time more is known

    def read(self, facts: dict[str, Any], counted: int | None = None) -> TablePart | None:
        """The table, or None where there's no record. COUNTED is how many the source itself says there are."""
        for _turn in range(PASSES):
            written, read, blank = self._pass()
            if written == self._shapes:
                break
            self._sheet.restart()
        else:
            raise AssertionError("a shape that holds every record was not found")
        if not read:
            self._sheet.discard()
            return None
        if not written and read > self._sheet.rejected:
            raise Refused(reasons.no_records("its records have no fields"))
        self._sheet.facts = {**facts, "blank_lines": blank}
        names = unique_names(list(written))
        columns = [Column(name=name, type=sql(shape)) for name, shape in zip(names, written.values(), strict=True)]
        return self._sheet.finish(read if counted is None else counted, columns)

    def _pass(self) -> tuple[dict[str, Shape], int, int]:
        written: dict[str, Shape] | None = None
        read = blank = 0
        is_writing = True
        with closing(self._in_order()) as found:
            for tried in found:
                block, frame = self._settled(tried)
                before = read
                read += block.rows + len(block.rejects)
                blank += block.blank
                self._sheet.repaired += block.repaired
                for reject in block.rejects:
                    self._sheet.reject(reject.counted_on(before))
                if frame is None:
                    continue
                written = written if written is not None else self._shapes
                is_writing = is_writing and written == self._shapes
                if is_writing:
                    self._sheet.write(frame)
        return written or {}, read, blank

    def _in_order(self) -> Generator[_Tried, None, None]:
        """The blocks, read by the engine as far as shapes are known."""
        blocks = self._blocks()
        for block in blocks:
            yield _Tried(block, None, {})
            if self._is_large and self._shapes:
                break
        yield from mapped(blocks, self._try)

    def _try(self, block: RowBlock) -> _Tried:
        shapes = self._shapes
        return _Tried(*self._by_engine(block, shapes), shapes)

    def _settled(self, tried: _Tried) -> tuple[RowBlock, pl.DataFrame | None]:
        """The block as it counts, and its rows, if there are any, by shapes that hold them and all before."""
        block, columns = tried.block, tried.columns
        if tried.shapes is not self._shapes or not tried.shapes:
            block, columns = self._by_engine(block, self._shapes)
        if columns is None and not self._shapes:
            block, columns = self._by_engine(block, self._guessed(block))
        if columns is None and block.proof is not None:
            block = block.proof()
            block, columns = self._by_engine(block, self._shapes) if block.rejects else (block, None)
        if columns is not None:
            return block, _framed(columns)
        return block, self._by_value(block) if block.rows else None

    def _by_engine(self, block: RowBlock, shapes: dict[str, Shape]) -> tuple[RowBlock, Columns | None]:
        """BLOCK, opened if that's necessary, and its columns if it's texts that SHAPES hold."""
        is_wanted = bool(shapes) and not self._is_text_only
        if block.lines is not None and block.open is not None:
            columns = json_pattern.read(block.lines, block.rows, shapes) if is_wanted else None
            if columns is not None:
                return block, columns
            block = block.open()
        if block.texts is None or not is_wanted:
            return block, None
        return block, json_engine.read(block.texts, shapes, block.tokens)

    def _guessed(self, block: RowBlock) -> dict[str, Shape]:
        """The shapes that some of BLOCK's texts suggest."""
        texts = block.texts
        if texts is not None and not self._is_text_only:
            step = max(1, texts.count // _SAMPLE)
            try:
                self._learn([decode(texts[index]) for index in range(0, texts.count, step)])
            except NOT_JSON:
                return {}
        return self._shapes

    def _by_value(self, block: RowBlock) -> pl.DataFrame:
        values = block.values
        if block.texts is not None:
            values = _values(block.texts, block.tokens if not block.rejects else None)
        if self._is_text_only:
            texts = [None] * len(values) if block.texts is None else map(block.texts.__getitem__, range(len(values)))
            values = [written(value, text) for value, text in zip(values, texts, strict=True)]
        return self._build(self._learn(values), len(values))

    def _learn(self, values: Sequence[Any]) -> dict[str, list[Any]]:
        """VALUES by column; the shapes hold them from now on."""
        columns = self._columns(values)
        if len(columns) > self._most_columns:  # before what is in them is looked at, which takes long
            raise Refused(reasons.too_many_columns(len(columns), self._most_columns))
        is_top = not self._is_text_only
        known = self._shapes
        shapes = {name: shape_of(cells, known.get(name, NOTHING), is_top=is_top) for name, cells in columns.items()}
        if shapes != known:
            self._shapes = shapes
        return columns

    def _columns(self, values: Sequence[Any]) -> dict[str, list[Any]]:
        if not all(type(value) is dict for value in values):
            values = [value if type(value) is dict else {"value": value} for value in values]
        names: dict[str, None] = dict.fromkeys(self._shapes)
        for value in values:
            if value.keys() != names.keys():
                names.update(dict.fromkeys(value))
        return {name: [value.get(name) for value in values] for name in names}

    def _build(self, columns: dict[str, list[Any]], height: int) -> pl.DataFrame:
        names = unique_names(list(self._shapes))
        nothing = [None] * height
        return pl.DataFrame(
            [
                column(name, columns.get(key, nothing), shape)
                for name, (key, shape) in zip(names, self._shapes.items(), strict=True)
            ]
        )


def _values(texts: Texts, tokens: Tokens | None) -> list[Any]:
    """The values of TEXTS, whose TOKENS may be known, with all of their keys."""
    every = range(texts.count)
    try:
        values = [decode(texts[index]) for index in every]
    except msgspec.ValidationError:
        return [decode_all(texts[index]) for index in every]
    if keys_in(values) == (tokens or count_tokens(texts.data)).colons:
        return values
    return [decode_all(texts[index]) for index in every]


def _framed(columns: Columns) -> pl.DataFrame:
    names = unique_names(list(columns))
    return pl.DataFrame([series.alias(name) for name, series in zip(names, columns.values(), strict=True)])
