"""What the kernels of sheets are made of: attributes, texts and what stands for characters in XML."""

from __future__ import annotations

import numpy as np

from stages.convert.kernels import kernel_parts as parts
from stages.convert.kernels.kernel_parts import LOW, hot, inner, word_at


def word_of(text: bytes) -> np.uint64:
    """TEXT of up to eight bytes as a number, the first of them the lowest."""
    return np.uint64(int.from_bytes(text, "little"))


CHARACTERS, _CHARACTERS_END = word_of(b"<t"), word_of(b"</t>")
_IS_SPACE, _IS_PRESERVED, _IS_ALL_OF_IT = word_of(b" xml:spa"), word_of(b'ce="pres'), word_of(b'erve"')
CLOSED, END_TAG, NO_ELEMENT, ASSIGNED = word_of(b"/>"), word_of(b"</"), word_of(b"<!"), word_of(b'="')
_AMP, _LT, _GT, _QUOT, _APOS = word_of(b"amp;"), word_of(b"lt;"), word_of(b"gt;"), word_of(b"quot;"), word_of(b"apos;")
OPENINGS, _AMPERSANDS, _LINES, _SPACES = map(parts.each, b"<&_ ")
_MOST_CODE = 0x10FFFF
_MOST_WRITTEN = 0xFF  # what the engine reads of codes such as `_x000D_`; above it, spreadsheets write the characters


@hot
def begins_with(word, what, size):
    """Whether WORD begins with WHAT, of SIZE bytes."""
    return word & LOW[size] == what


@inner
def past_attributes(data, at):
    """Where attributes end that begin at AT: at a slash or the end of the tag; -1 where they aren't as usual."""
    while word_at(data, at) & LOW[1] == 0x20:
        at = past_attribute(data, at)
        if at < 0:
            return -1
    return at


@hot
def _is_of_name(mark):
    """Whether names of usual attributes have MARK: letters, digits, `:`, `.`, `-`, `_`."""
    return 0x61 <= mark | 0x20 <= 0x7A or 0x30 <= mark <= 0x3A or mark == 0x2D or mark == 0x2E or mark == 0x5F


@inner
def past_attribute(data, at):
    """Where the attribute ends that begins at AT with a blank."""
    at += 1
    start = at
    while at < data.size and _is_of_name(data[at]):
        at += 1
    if at == start or not begins_with(word_at(data, at), ASSIGNED, 2):
        return -1
    at += 2
    while at < data.size and data[at] != 0x22 and data[at] != 0x3C:
        at += 1
    return at + 1 if at < data.size and data[at] == 0x22 else -1


@inner
def number_at(data, at):
    """The number of up to seven digits at AT; -1 where there's none."""
    number = 0
    for index in range(8):
        digit = np.int64(data[at + index]) - 0x30 if at + index < data.size else -1
        if digit < 0 or digit > 9:
            return number if index else -1
        number = number * 10 + digit
    return -1


@hot
def digits_of(number):
    """How many digits NUMBER has."""
    size = 1
    while number >= 10:
        number //= 10
        size += 1
    return size


@inner
def text_end(data, at):
    """Where the `<` is that ends the text at AT; negative, less one, where the text says more than its bytes do: an entity,
    a code, a control character."""
    start = at
    at = parts.first_of(data, at, OPENINGS, _AMPERSANDS, _SPACES)
    is_odd = at >= data.size or data[at] != 0x3C
    while at < data.size and data[at] != 0x3C:
        at = parts.first_of(data, at + 1, OPENINGS, OPENINGS, parts.NOTHING)
    return -at - 1 if is_odd or _has_line(data, start, at) else at


@inner
def _has_line(data, at, end):
    """Whether a `_` is there, with which the code of a character begins."""
    while at + 8 <= end:
        if parts.zeros(parts.load(data, at) ^ _LINES):
            return True
        at += 8
    while at < end:
        if data[at] == 0x5F:
            return True
        at += 1
    return False


@hot
def _is_blank(mark):
    return mark == 0x20 or mark == 0x09 or mark == 0x0A or mark == 0x0D


@inner
def _trimmed(data, start, end):
    """START and END of a text without the blanks around it; -1 where a blank there may be written as a number."""
    while start < end and _is_blank(data[start]):
        start += 1
    while end > start and _is_blank(data[end - 1]):
        end -= 1
    if end > start and data[start] == 0x26 and data[start + 1] == 0x23:
        return -1, -1
    if end > start and data[end - 1] == 0x3B:
        at = end - 1
        while at > start and data[at] != 0x26:
            at -= 1
        if data[at] == 0x26 and data[at + 1] == 0x23:
            return -1, -1
    return start, end


@inner
def characters(data, at):
    """The text of the element `t` at AT: where it starts, how many bytes it has (less one and negative where they say more),
    and where the element ends; -1 where it isn't as usual."""
    at += 2
    is_kept = word_at(data, at) == _IS_SPACE
    if is_kept:
        if word_at(data, at + 8) != _IS_PRESERVED or not begins_with(word_at(data, at + 16), _IS_ALL_OF_IT, 5):
            return -1, 0, 0
        at += 21
    word = word_at(data, at)
    if begins_with(word, CLOSED, 2):
        return at, 0, at + 2
    if word & LOW[1] != 0x3E:
        return -1, 0, 0
    start = at + 1
    end = text_end(data, start)
    is_odd = end < 0
    if is_odd:
        end = -end - 1
    if not begins_with(word_at(data, end), _CHARACTERS_END, 4):
        return -1, 0, 0
    after = end + 4
    if not is_kept:
        start, end = _trimmed(data, start, end)
    return start, (start - end - 1 if is_odd else end - start), after


@inner
def copied(data, start, size, arena, used):
    """Copies the text at START, SIZE as for texts, into ARENA from USED on; gives where the copy ends, -1 where an entity
    means nothing. No copy is longer than its text."""
    if size < 0:
        return _read(data, start, start - size - 1, arena, used)
    for index in range(size):
        arena[used + index] = data[start + index]
    return used + size


@inner
def _read(data, at, end, arena, used):
    """The same of a text up to END that has entities, codes such as `_x000D_`, or control characters."""
    while at < end:
        mark = data[at]
        if mark == 0x0D:
            return -1  # XML has it mean a line feed, with or without another
        if mark == 0x26:
            code, at = _entity(data, at + 1, end)
            if code < 0:
                return -1
            used = parts.put_character(arena, used, code)
            continue
        if mark == 0x5F and at + 7 <= end and data[at + 1] == 0x78 and data[at + 6] == 0x5F:
            code = parts.hexadecimal(data, at + 2, end)
            if 0 <= code <= _MOST_WRITTEN:
                used = parts.put_character(arena, used, code)
                at += 7
                continue
        arena[used] = mark
        used += 1
        at += 1
    return used


@inner
def _entity(data, at, end):
    """The character that the entity stands for whose name begins at AT, and where it ends; -1 where it has no meaning."""
    word = word_at(data, at)
    if begins_with(word, _AMP, 4):
        return 0x26, at + 4
    if begins_with(word, _LT, 3):
        return 0x3C, at + 3
    if begins_with(word, _GT, 3):
        return 0x3E, at + 3
    if begins_with(word, _QUOT, 5):
        return 0x22, at + 5
    if begins_with(word, _APOS, 5):
        return 0x27, at + 5
    if at >= end or data[at] != 0x23:
        return -1, at
    at += 1
    base = 10
    if at < end and data[at] == 0x78:
        base = 16
        at += 1
    code = 0
    begin = at
    while at < end and data[at] != 0x3B:
        digit = np.int64(data[at]) - 0x30
        if digit > 9 and base == 16:
            digit = (np.int64(data[at]) | 0x20) - 0x57
            digit = digit if digit >= 10 else -1
        if digit < 0 or digit >= base:
            return -1, at
        code = min(code * base + digit, _MOST_CODE + 1)
        at += 1
    is_good = begin < at < end and 0 < code <= _MOST_CODE and not 0xD800 <= code <= 0xDFFF
    return (code if is_good else -1), at + 1
