"""How many of the keys in JSON texts have a place in a table's columns: a key that is null wherever it stands leaves no
other trace in what an engine makes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec

from stages.convert.values.shapes import Shape

_MOST_PLANS = 32


class _Plan(msgspec.Struct, frozen=True):
    """Objects of some shape: their type, what gives their values, and where in these other objects lie, lists of them
    being so many levels deep."""

    kind: Any
    values: Callable[[Any], tuple[Any, ...]]
    width: int
    inner: tuple[tuple[int, int, _Plan], ...]


def count(data: bytes, shapes: dict[str, Shape]) -> int:
    """How many keys of the objects in DATA, one a line and valid, SHAPES have: one that stands twice counts once. -1 where
    they don't hold one of the values, or a key of theirs is written with an escape."""
    try:
        plan, decoder = _made(tuple(shapes.items()))
        return _count(decoder.decode_lines(data), plan)
    except (msgspec.DecodeError, ValueError):
        return -1


def _count(objects: Sequence[Any], plan: _Plan) -> int:
    rows = list(map(plan.values, objects))
    found = len(rows) * plan.width - sum(row.count(msgspec.UNSET) for row in rows)
    for index, levels, inner in plan.inner:
        values: Iterable[Any] = (row[index] for row in rows)
        for _level in range(levels):
            values = chain.from_iterable(value for value in values if value)
        found += _count([value for value in values if type(value) is inner.kind], inner)
    return found


@lru_cache(_MOST_PLANS)
def _made(fields: tuple[tuple[str, Shape], ...]) -> tuple[_Plan, msgspec.json.Decoder[Any]]:
    plan = _plan(fields)
    return plan, msgspec.json.Decoder(plan.kind)


def _plan(fields: tuple[tuple[str, Shape], ...]) -> _Plan:
    names = [f"f{number}" for number in range(len(fields))]
    types: list[Any] = []
    inner: list[tuple[int, int, _Plan]] = []
    for index, (_key, field) in enumerate(fields):
        shape, levels = field, 0
        while shape.items is not None:
            shape, levels = shape.items, levels + 1
        if not shape.fields:
            types.append(msgspec.Raw)
            continue
        inner.append((index, levels, _plan(shape.fields)))
        kind = inner[-1][2].kind | None
        for _level in range(levels):
            kind = list[kind] | None  # type: ignore[valid-type] # it's made here
        types.append(kind)
    kind = msgspec.defstruct(
        "Fields",
        [(name, each, msgspec.UNSET) for name, each in zip(names, types, strict=True)],
        rename=dict(zip(names, (key for key, _shape in fields), strict=True)),
        gc=False,
    )
    get = attrgetter(*names)
    return _Plan(kind, get if len(names) > 1 else lambda found: (get(found),), len(names), tuple(inner))
