"""Old binary workbooks respelled where a number is no day, though its format shows it as one (see sheet_days.py).

The number of a cell's style is overwritten where it stands, so that the container ([MS-CFB]) around it stays as it is.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Mapping

from stages.convert.workbooks.sheet_binary import unpacked
from stages.convert.workbooks.sheet_days import Shown, is_none, shown_by
from stages.convert.workbooks.sheet_old import Endless, Stream, records, streams

_FORMAT, _STYLE, _FROM_1904, _END = 0x041E, 0x00E0, 0x0022, 0x000A
_NUMBER, _SHORT, _SHORTS = 0x0203, 0x027E, 0x00BD
_NUMBERS = {_NUMBER: 14, _SHORT: 10, 0x0006: 14, 0x0406: 14}  # and formulas: how many bytes they have at least
_NO_STYLE = 0xFFFF
_NO_NUMBER = b"\xff\xff"  # ends the value of a formula that is text, a truth value or an error
_SHORT_SIZE = 6  # bytes of a style and a number in its short form
_number, _short, _word = (
    struct.Struct("<d").unpack_from,
    struct.Struct("<i").unpack_from,
    struct.Struct("<H").unpack_from,
)


def respelled(data: bytes) -> tuple[bytes, int]:
    """The container DATA with the cells that show a day and hold a number that is none without a style, and how many they
    are. What can't be followed is left to the engine."""
    made, count = data, 0
    with contextlib.suppress(struct.error, IndexError, Endless):
        for stream in streams(data):
            places = list(_odd_places(stream))
            if places:
                made = _overwritten(made, stream, places)
                count += len(places)
    return made, count


def _odd_places(stream: Stream) -> Iterator[int]:
    """Where STREAM has the style of a cell that isn't what its style shows."""
    shown, is_1904 = _shown(stream.records)
    if not shown:
        return
    for at, value, what in _numbers(stream.records, shown):
        if is_none(value, what, is_1904=is_1904):
            yield at


def _shown(stream: bytes) -> tuple[dict[int, Shown], bool]:
    """What the styles show, by number, those left out that show numbers; and whether days are counted from 1904."""
    codes: dict[int, str] = {}
    styles: list[int] = []
    is_1904, is_unicode = False, _word(stream, 4)[0] >= 0x0600
    for kind, at, size in records(stream):
        if kind == _FORMAT and size >= 4:
            codes[_word(stream, at)[0]] = _code(stream[at + 2 : at + size], is_unicode=is_unicode)
        elif kind == _STYLE and size >= 4:
            styles.append(_word(stream, at + 2)[0])
        elif kind == _FROM_1904 and size >= 2:
            is_1904 = _word(stream, at)[0] == 1
        elif kind == _END:  # of what all sheets share, which comes first
            break
    shown = [shown_by(number, codes) for number in styles]
    return {number: what for number, what in enumerate(shown) if what is not Shown.NUMBER}, is_1904


def _code(text: bytes, *, is_unicode: bool) -> str:
    """A format's code, which has its length and, in files from 1997 on, the width of its characters before it."""
    if not is_unicode:
        return text[1:].decode("latin-1")
    return text[3:].decode("utf-16-le" if text[2] & 1 else "latin-1", "replace")


def _numbers(stream: bytes, shown: Mapping[int, Shown]) -> Iterator[tuple[int, float, Shown]]:
    """Each number with a style that is SHOWN: where the style stands, what the number is and what it's shown as."""
    for kind, at, size in records(stream):
        if kind == _SHORTS:
            for place in range(at + 4, at + size - _SHORT_SIZE - 1, _SHORT_SIZE):
                if (what := shown.get(_word(stream, place)[0])) is not None:
                    yield place, unpacked(_short(stream, place + 2)[0]), what
        elif kind in _NUMBERS and size >= _NUMBERS[kind] and (what := shown.get(_word(stream, at + 4)[0])) is not None:
            if kind == _SHORT:
                yield at + 4, unpacked(_short(stream, at + 6)[0]), what
            elif kind == _NUMBER or stream[at + 12 : at + 14] != _NO_NUMBER:
                yield at + 4, _number(stream, at + 6)[0], what


def _overwritten(data: bytes, stream: Stream, places: list[int]) -> bytes:
    """DATA with no style at PLACES of STREAM; the two bytes may lie in different sectors."""
    made = bytearray(data)
    for place in places:
        for at in (place, place + 1):
            made[stream.starts[at // stream.size] + at % stream.size] = _NO_STYLE & 0xFF
    return bytes(made)
