"""Lines of JSON that are all written after one pattern, taken apart by where their quotes are.

What programs write by the million has the same keys in the same order on each line. Then what stands between two values
is known to the byte, and is compared to the byte; values lie between. Every byte of a block is a part of the pattern or
of a value, else the block isn't taken, and a parser reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import numpy as np
import polars as pl

from stages.convert.kernels import compiled, fields
from stages.convert.kernels.compiled import Kernels
from stages.convert.kernels.fields import Fields
from stages.convert.values.kinds import TEXT, Kind
from stages.convert.values.shapes import TIMES, Shape

Columns = dict[str, pl.Series]

_KEY = re.compile(rb'[ \t]*"([^"\\\x00-\x1f]*)"[ \t]*:[ \t]*')
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|[-0-9.eE+]+|true|false|null')
_AFTER = re.compile(rb"[ \t]*([,}])")
_PLAIN = ("integer", "double", "boolean", "null", "text", *TIMES)  # kinds that can be read here


class Slot(msgspec.Struct, frozen=True):
    """Where a value stands: the keys that lead to it, and the bytes between the value before it, or the line's start, and
    itself."""

    path: tuple[str, ...]
    literal: bytes


class Pattern(msgspec.Struct, frozen=True):
    """How a line is written: its values in their order, and the bytes after the last one."""

    slots: tuple[Slot, ...]
    tail: bytes


def find(line: bytes) -> Pattern | None:
    """How LINE is written, its end included; None where that's no object of scalars and objects, or a key in it is
    written with an escape or twice."""
    slots: list[Slot] = []
    start = line.find(b"{")
    if start < 0 or line[:start].strip(b" \t"):
        return None
    rest = _take_object(line, start + 1, 0, (), slots)
    if rest is None or line[rest[0] :] not in (b"\n", b"\r\n"):
        return None
    return Pattern(tuple(slots), line[rest[1] :])


def _take_object(line: bytes, at: int, before: int, path: tuple[str, ...], slots: list[Slot]) -> tuple[int, int] | None:
    """Adds the slots of the object whose brace ends at AT, BEFORE being where the value before it ended; gives where the
    object ends, and where its last value did."""
    seen: set[bytes] = set()
    while True:
        key = _KEY.match(line, at)
        if key is None or key[1] in seen:
            return None
        seen.add(key[1])
        inner = (*path, key[1].decode())
        if line[key.end() : key.end() + 1] == b"{":
            found = _take_object(line, key.end() + 1, before, inner, slots)
            if found is None:
                return None
            at, before = found
        else:
            value = _VALUE.match(line, key.end())
            if value is None:
                return None
            slots.append(Slot(inner, line[before : key.end()]))
            at = before = value.end()
        after = _AFTER.match(line, at)
        if after is None:
            return None
        at = after.end()
        if after[1] == b"}":
            return at, before


def read(data: bytes, count: int, shapes: dict[str, Shape]) -> Columns | None:
    """The columns of DATA, which is COUNT lines of UTF-8, none of them blank; None unless all are written after one
    pattern, and SHAPES hold their values."""
    kernels = compiled.kernels()
    if kernels is None or len(data) >= fields.MOST_BYTES:
        return None
    data = data if data.endswith(b"\n") else data + b"\n"
    pattern = find(data[: data.find(b"\n") + 1])
    if pattern is None:
        return None
    wanted = dict(_leaves(shapes, ()))
    paths = [slot.path for slot in pattern.slots]
    if wanted.keys() != set(paths) or any(kind.name not in _PLAIN for kind in wanted.values()):
        return None
    kinds = [wanted[path] for path in paths]
    found = _fields(kernels, data, count, pattern, kinds)
    columns = fields.read(kernels, found, kinds) if found is not None else None
    if columns is None:
        return None
    by_path = dict(zip(paths, columns, strict=True))
    return {key: _column((key,), shape, by_path) for key, shape in shapes.items()}


def _fields(kernels: Kernels, data: bytes, count: int, pattern: Pattern, kinds: list[Kind]) -> Fields | None:
    """Where the values of DATA are; None where a line isn't written after PATTERN, or a text is none by its kind."""
    literals = b"".join(slot.literal for slot in pattern.slots) + pattern.tail
    ends = np.cumsum([len(slot.literal) for slot in pattern.slots])
    texts = np.array([kind == TEXT or kind.name in TIMES for kind in kinds], np.uint8)
    found = Fields(data, *fields.room(len(kinds), count), is_json=True)
    places = (np.frombuffer(literals, np.uint8), ends, texts, count, found.starts.ravel(), found.sizes.ravel())
    return found if kernels.find_in_lines(found.bytes, *places) == count else None


def _leaves(shapes: dict[str, Shape], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Kind]]:
    """The kind of each scalar that SHAPES have, by the keys that lead to it."""
    for key, shape in shapes.items():
        if shape.fields:
            yield from _leaves(dict(shape.fields), (*path, key))
        else:
            yield (*path, key), shape.kind


def _column(path: tuple[str, ...], shape: Shape, columns: dict[tuple[str, ...], pl.Series]) -> pl.Series:
    """The column of SHAPE at PATH, put together from COLUMNS of scalars."""
    if not shape.fields:
        return columns[path]
    return pl.DataFrame([_column((*path, key), field, columns).alias(key) for key, field in shape.fields]).to_struct()
