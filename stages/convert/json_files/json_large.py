"""JSON documents that aren't held as a whole: their lists are streamed, what's left of them is a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from stages.convert import reasons
from stages.convert.family import Bench, Refused
from stages.convert.json_files import geojson, json_split
from stages.convert.json_files.json_engine import Texts
from stages.convert.json_files.json_marks import count_tokens, why
from stages.convert.json_files.json_rows import NOT_JSON, RowBlock, RowTable, checked, decode_all, distinct, joined
from stages.convert.json_files.json_split import Items
from stages.convert.source import Source

SMALL = 4 * 1024 * 1024  # bytes of a value that is taken as it is into a document's own row
WIDEST = 16 * 1024 * 1024  # bytes of that row; the values of an object that has more are rows of their own
_CHEAP = 8 * 1024 * 1024  # bytes of text whose values can always be held; else they may take
_DEAREST = 900_000_000  # bytes, of which each byte of text is a reason for so many,
_COST = 8
_COST_OF_ITEM = 110  # each comma for so many more,
_COST_OF_LIST = 250  # and each bracket
_AHEAD = 4096  # bytes after a colon in which its value begins
ROW = "document"  # the title of what is left beside tables
_BLANKS = b" \t\r\n"
_encode = msgspec.json.encode
_SCALARS = b'"-0123456789tfn'  # their first bytes
_valid = msgspec.json.Decoder(msgspec.Raw).decode
_raws = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_of_values = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Field(NamedTuple):
    """A value that isn't a table: its name, and where it lies."""

    name: str
    start: int
    end: int


def read(source: Source, start: int, facts: dict[str, Any], bench: Bench) -> None:
    """Makes the tables of the document at START of SOURCE, which is UTF-8, on BENCH. Raises Refused; a document that is
    broken somewhere gives none."""
    document = _Document(source, facts, bench)
    try:
        try:
            document.take("", _skip_blanks(source, start), source.length)
            document.finish()
        except json_split.SomethingFollows:
            bench.clear()
            document.take_several(start)
        if not bench.tables:
            raise Refused(reasons.no_records("its lists are empty"))
    except json_split.CutOff as error:
        raise Refused(CUT_OFF) from error
    except json_split.ElementTooLarge as error:
        raise Refused(_TOO_LARGE) from error
    except RecursionError as error:
        raise Refused(TOO_DEEP) from error
    except json_split.NotAList as error:
        raise Refused(reasons.corrupt(f"it isn't valid JSON ({error})")) from error
    except NOT_JSON as error:
        raise Refused(reasons.corrupt(f"it isn't valid JSON ({why(error)})")) from error


def _skip_blanks(source: Source, start: int) -> int:
    """Where the first byte from START on lies that isn't blank."""
    while head := source.read(start, 4096):
        left = head.lstrip(_BLANKS)
        start += len(head) - len(left)
        if left:
            break
    return start


class _Document:
    """One document: its tables so far, and what will be its row."""

    def __init__(self, source: Source, facts: dict[str, Any], bench: Bench) -> None:
        self._source = source
        self._facts = facts
        self._bench = bench
        self._fields: list[_Field] = []
        self._titles: set[str] = set()

    def take(self, title: str, start: int, end: int) -> None:
        """Makes tables of the value at START."""
        first = self._source.read(start, 1)
        if first == b"[":
            self._add(title, lambda: self._blocks(start, end, list_block))
        elif first == b"{":
            self._take_object(title, start, end)
        elif first == json_split.MARK:
            raise json_split.SomethingFollows("it's a sequence of values")
        elif title:
            self._fields.append(_Field(title, start, end))
        elif first and first in _SCALARS:
            self._take_scalar(start, end)
        else:
            raise json_split.NotAList("it starts with neither a bracket nor a brace")

    def _take_scalar(self, start: int, end: int) -> None:
        """Makes a row of the text, number or word that is all of the document."""
        text = self._source.read(start, min(end - start, json_split.LARGEST + 1)).rstrip(_BLANKS + b"\0")
        if len(text) > json_split.LARGEST:
            raise json_split.ElementTooLarge
        _valid(text)
        self._add("", lambda: iter([RowBlock(texts=checked([_valued(text)]))]), is_large=False)

    def _take_object(self, title: str, start: int, end: int) -> None:
        try:
            values = json_split.values(self._source, start, end, self._bench.limits.max_columns)
        except json_split.TooManyValues:
            self._add(title, lambda: self._blocks(start, end, self._by_id))
            return
        inked = [value._replace(start=_skip_blanks(self._source, value.start)) for value in values]
        if sum(value.end - value.start for value in inked if value.end - value.start <= SMALL) > WIDEST:
            self._add(title, lambda: self._blocks(start, end, object_block))
            return
        by_key = distinct([(value.key, value) for value in inked])
        if not title and self._is_geographic(by_key):
            features = by_key.pop("features")
            self._add("", lambda: self._blocks(features.start, features.end, geojson.block))
            del by_key["type"]
        for key, value in by_key.items():
            self._take_value(f"{title}.{key}" if title else key, value)

    def _take_value(self, name: str, value: json_split.Value) -> None:
        start, end = value.start, value.end
        if end - start > SMALL:
            self.take(name, start, end)
            return
        if self._source.read(start, 1) == b"[":
            texts = records_in(self._source.read(start, end - start))
            if texts is not None:
                self._add(name, lambda: iter([RowBlock(texts=checked(texts))]), is_large=False)
                return
        self._fields.append(_Field(name, start, end))

    def _is_geographic(self, values: Mapping[str, json_split.Value]) -> bool:
        kind, features = values.get("type"), values.get("features")
        if kind is None or features is None or kind.end - kind.start > SMALL:
            return False
        text = self._source.read(kind.start, kind.end - kind.start)
        return decode_all(text) == geojson.COLLECTION and self._source.read(features.start, 1) == b"["

    def _add(self, title: str, blocks: Callable[[], Iterator[RowBlock]], *, is_large: bool = True) -> None:
        title = self._titled(title)
        RowTable(blocks, self._bench, title, is_large=is_large).read(self._facts)

    def _by_id(self, block: Items) -> RowBlock:
        """The records of an object of more values than a row may have; Refused where one of them is no object."""
        if not are_objects(block):
            most = self._bench.limits.max_columns
            raise Refused(reasons.too_many_columns(most + 1, most))
        return object_block(block)

    def take_several(self, start: int) -> None:
        """Makes a table of the values from START on, one after another."""
        RowTable(lambda: self._several(start), self._bench, is_large=True).read(self._facts)

    def _several(self, start: int) -> Iterator[RowBlock]:
        is_marked = self._source.read(_skip_blanks(self._source, start), 1) == json_split.MARK
        for found, reach in (json_split.sequence if is_marked else json_split.several)(self._source, start):
            check_cost(max(found, key=len))
            yield RowBlock(texts=checked([text if text.startswith(b"{") else _valued(text) for text in found]))
            self._bench.progress(reach)

    def _titled(self, title: str) -> str:
        """TITLE, or with a number where another table has it."""
        *_, found = distinct([*((known, None) for known in self._titles), (title, None)])
        self._titles.add(found)
        return found

    def _blocks(self, start: int, end: int, made: Callable[[Items], RowBlock]) -> Iterator[RowBlock]:
        for block in json_split.items(self._source, start, end):
            check_cost(block.text)
            block.check()
            yield made(block)
            self._bench.progress(block.reach)

    def finish(self) -> None:
        """Makes the row of what is no table."""
        if not self._fields:
            return
        names = distinct([(field.name, field) for field in self._fields])
        if len(names) > self._bench.limits.max_columns:
            raise Refused(reasons.too_many_columns(len(names), self._bench.limits.max_columns))
        if sum(field.end - field.start for field in self._fields) > 2 * WIDEST:
            raise Refused(_TOO_WIDE)
        text = _braced([_encode(name) + b":" + self._text(field) for name, field in names.items()])
        check_cost(text)
        title = ROW if self._titles else ""
        self._add(title, lambda: iter([RowBlock(texts=checked([text]))]), is_large=False)

    def _text(self, field: _Field) -> bytes:
        return self._source.read(field.start, field.end - field.start).strip(_BLANKS)


def check_cost(text: bytes) -> None:
    """Raises Refused where the values of TEXT, which are made all at once, would take too much memory."""
    if len(text) > _CHEAP:
        brackets = text.count(b"[") + text.count(b"{")
        if _COST * len(text) + _COST_OF_ITEM * text.count(b",") + _COST_OF_LIST * brackets > _DEAREST:
            raise Refused(_TOO_DEAR)


def _braced(parts: Sequence[bytes]) -> bytes:
    return b"{" + b",".join(parts) + b"}"


def records_in(text: bytes) -> list[bytes] | None:
    """The elements of TEXT, a list, if they are objects, and there are some. Raises one of NOT_JSON."""
    found = [bytes(value) for value in _of_values(text)]
    return found if found and all(value.startswith(b"{") for value in found) else None


def list_block(block: Items) -> RowBlock:
    """The records of BLOCK, a list's, which is valid; what is no object gets a column `value`."""
    array = np.frombuffer(block.text, np.uint8).copy()
    array[(array == 0x0A) | (array == 0x0D)] = 0x20  # they are blanks between tokens, or it wouldn't be valid
    starts = np.concatenate([np.zeros(1, np.int64), block.commas + 1])
    firsts = array[starts]
    if (firsts <= 0x20).any():
        inked = np.flatnonzero(array > 0x20)
        firsts = array[inked[np.searchsorted(inked, starts)]]
    are_objects = firsts == ord("{")
    if not are_objects.all() and are_objects.any():
        each = (text if text.startswith(b"{") else _valued(text) for text in block.each())
        return RowBlock(texts=joined([text.replace(b"\n", b" ") for text in each]))
    array[block.commas] = 0x0A
    text = array.tobytes()
    if not are_objects.any():
        text = _valued(text.replace(b"\n", b'}\n{"value":'))
        starts = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(np.frombuffer(text, np.uint8) == 0x0A) + 1])
    return RowBlock(texts=Texts(text, np.append(starts, len(text))))


def _valued(text: bytes) -> bytes:
    return b'{"value":' + text + b"}"


def are_objects(block: Items) -> bool:
    """Whether the values of BLOCK, an object's, are all objects."""
    return all(
        block.text[colon + 1 : colon + _AHEAD].lstrip(_BLANKS).startswith(b"{") for colon in block.colons.tolist()
    )


def object_block(block: Items) -> RowBlock:
    """The records of BLOCK, an object's, which is valid: a column `key`, then the value's own columns, or `value`."""
    commas, text = block.commas.tolist(), block.text
    marks = zip([-1, *commas], block.colons.tolist(), [*commas, len(text)], strict=True)
    parts = (
        (text[start + 1 : colon].strip(_BLANKS), text[colon + 1 : end].strip(_BLANKS)) for start, colon, end in marks
    )
    return RowBlock(texts=joined([_keyed(key, value).replace(b"\n", b" ") for key, value in parts]))


def _keyed(key: bytes, value: bytes) -> bytes:
    """VALUE, JSON text, as a record with KEY, another, as its first field."""
    inside = value[1:-1].strip(_BLANKS) if value.startswith(b"{") else b'"value":' + value
    if b"key" in inside or b"\\" in inside:  # it may have a field of that name
        inside = _without_key(inside)
    return b'{"key":' + key + (b"," + inside if inside else b"") + b"}"


def _without_key(inside: bytes) -> bytes:
    """The fields of an object, with `key` called otherwise; as they are where one stands twice."""
    fields = _raws(b"{" + inside + b"}")
    if "key" not in fields:
        return inside
    _first, *others = distinct([("key", ""), *((name, name) for name in fields)]).items()
    found = b",".join(_encode(new) + b":" + bytes(fields[old]) for new, old in others)
    return found if count_tokens(found).colons == count_tokens(inside).colons else inside


TOO_DEEP = reasons.too_deep("its values are nested in each other more than some hundred times")
CUT_OFF = reasons.truncated("its JSON is cut off before the last bracket is closed")
_TOO_LARGE = reasons.too_large("a single value in it has more than 64 MB", "Split it into smaller records.")
_TOO_DEAR = reasons.too_large("a value in it has more parts than can be held at once", "Split it into smaller records.")
_TOO_WIDE = reasons.too_large("what would be one row of it has more than 32 MB", "Send it as a list of records.")
