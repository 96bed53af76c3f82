"""Sheets of XLSX files taken apart: a walk over their XML to see where the cells' values are and of which kind, then one
for each column. As for lines and records (`text_kernels`), each byte is understood, or a walk stops: there's another reader.
"""

from __future__ import annotations

import numpy as np

from stages.convert.kernels import kernel_parts as parts
from stages.convert.kernels.kernel_parts import LOW, inner, word_at
from stages.convert.kernels.sheet_codes import BOOLEAN, EMPTY, ERROR, NUMBER, SHARED, TEXT
from stages.convert.kernels.xml_parts import (
    ASSIGNED,
    CHARACTERS,
    CLOSED,
    END_TAG,
    NO_ELEMENT,
    OPENINGS,
    begins_with,
    characters,
    copied,
    digits_of,
    number_at,
    past_attribute,
    past_attributes,
    text_end,
    word_of,
)

_ROW, _ROW_END, _NUMBERED = word_of(b"<row"), word_of(b"</row>"), word_of(b' r="')
_CELL, _CELL_END = word_of(b"<c"), word_of(b"</c>")
_FORMULA, _FORMULA_END = word_of(b"<f"), word_of(b"</f>")
_VALUE, _VALUE_END = word_of(b"<v"), word_of(b"</v>")
_INLINE, _INLINE_END, _EMPTY_INLINE = word_of(b"<is>"), word_of(b"</is>"), word_of(b"<is/>")
_ITEM, _ITEM_END, _EMPTY_ITEM = word_of(b"<si>"), word_of(b"</si>"), word_of(b"<si/>")
_RUN, _RUN_END, _LOOK, _LOOK_END = word_of(b"<r>"), word_of(b"</r>"), word_of(b"<rPr"), word_of(b"</rPr>")
_SPOKEN, _SPOKEN_END, _SPEAKING = word_of(b"<rPh"), word_of(b"</rPh>"), word_of(b"<phoneti")
_OF_TEXT, _OF_INLINE, _OF_INLINE_END = word_of(b'str"'), word_of(b"inlineSt"), word_of(b'r"')
_OF_NUMBER, _OF_SHARED, _OF_BOOLEAN, _OF_ERROR = word_of(b'n"'), word_of(b's"'), word_of(b'b"'), word_of(b'e"')
_R, _S, _T = map(np.uint64, b"rst")
_INLINE_TEXT = -TEXT


@inner
def find_in_sheet(data, styles, columns, rows, codes, starts, sizes, state):
    """Where the values of a sheet's rows are, and which kind of cell each is in by its type and the STYLES, each of which is
    a code too.

    DATA are whole rows of XML in UTF-8, fewer than 2^31 bytes; STATE says where in them to begin, which number the row
    before had (-1 for: the first one says its own), how many formulas without a result were seen, and for each column a bit
    for each code that it has; it's brought up to date. CODES, STARTS and SIZES get ROWS for each column: a start of -1 where
    there's no value, and a size that is less one and negative for a text that says more than its bytes do. Gives how many
    rows were read, -1 where something isn't as usual."""
    at, number = state[0], state[1]
    row = 0
    while at < data.size and row < rows:
        if not begins_with(word_at(data, at), _ROW, 4):
            return -1
        at, number, digits, named = _row_attributes(data, at + 4, number)
        if at < 0:
            return -1
        number += 1
        column = 0  # that comes next
        if begins_with(word_at(data, at), CLOSED, 2):
            at += 2
        elif at < data.size and data[at] == 0x3E:
            at += 1
            while not begins_with(word_at(data, at), _ROW_END, 6):
                at, place, code, start, size = _cell(data, at, column, digits, named, styles, state)
                if at < 0 or place < column or (place >= columns and code != EMPTY):
                    return -1
                while column < min(place, columns):
                    codes[column * rows + row] = EMPTY
                    starts[column * rows + row] = -1
                    state[3 + column] |= 1 << EMPTY
                    column += 1
                if place < columns:
                    state[3 + place] |= 1 << code
                    codes[place * rows + row] = code
                    starts[place * rows + row] = start
                    sizes[place * rows + row] = size
                column = place + 1
            at += 6
        else:
            return -1
        while column < columns:
            state[3 + column] |= 1 << EMPTY
            codes[column * rows + row] = EMPTY
            starts[column * rows + row] = -1
            column += 1
        row += 1
    state[0], state[1] = at, number
    return row


@inner
def _row_attributes(data, at, number):
    """Where the attributes of a row end that begin at AT (-1 where they aren't as usual), the NUMBER of the row before, which
    may be told by them, and the row's own as its cells have it: how many digits, and which."""
    bad = (-1, 0, 0, np.uint64(0))
    digits, named = 0, np.uint64(0)
    while word_at(data, at) & LOW[1] == 0x20:
        if not begins_with(word_at(data, at), _NUMBERED, 4):
            at = past_attribute(data, at)
            if at < 0:
                return bad
            continue
        at += 4
        given = number_at(data, at)
        if given < 1 or (number >= 0 and given != number + 1):
            return bad
        number = given - 1
        digits = digits_of(given)
        named = word_at(data, at) & LOW[digits]
        at += digits
        if at >= data.size or data[at] != 0x22:
            return bad
        at += 1
    return (at, number, digits, named) if number >= 0 else bad


@inner
def _cell(data, at, place, digits, named, styles, state):
    """The cell at AT, which has the column PLACE unless it says another: where it ends (-1 where it isn't as usual), its
    column, what it is, and where its value starts and how many bytes it has, as for texts."""
    bad = (-1, 0, 0, 0, 0)
    if not begins_with(word_at(data, at), _CELL, 2):
        return bad
    at, place, code, style = _cell_attributes(data, at + 2, place, digits, named)
    if at < 0:
        return bad
    word = word_at(data, at)
    if begins_with(word, CLOSED, 2) and code != ERROR:
        return at + 2, place, EMPTY, -1, 0
    if word & LOW[1] != 0x3E:
        return bad
    at += 1
    if code == _INLINE_TEXT:
        return _inline(data, at, place)
    if code == NUMBER and 0 <= style < styles.size:
        code = np.int64(styles[style])
    is_formula = begins_with(word_at(data, at), _FORMULA, 2)
    if is_formula:
        at = _past_formula(data, at)
        if at < 0:
            return bad
    start, size = -1, 0
    is_valued = begins_with(word_at(data, at), _VALUE, 2)
    if is_valued:
        start, size, at = _value(data, at + 2)
        if at < 0 or (size < 0 and code < TEXT):
            return bad
    if not begins_with(word_at(data, at), _CELL_END, 4):
        return bad
    at += 4
    if code == ERROR and not _is_error(data, start, size):
        return bad
    if code == TEXT and is_valued:
        return at, place, TEXT, (start if size else -1), size
    if size:
        return at, place, code, start, size
    state[2] += is_formula
    return at, place, EMPTY, -1, 0


@inner
def _is_error(data, start, size):
    """Whether an error is there, such as `#DIV/0!`: there are more of them than any program knows. Another value would be
    lost by being none."""
    end = start + size if size >= 0 else start - size - 1
    if end < start + 2 or data[start] != 0x23:
        return False
    for at in range(start + 1, end):
        mark = data[at]
        if not (0x41 <= mark <= 0x5A or 0x2F <= mark <= 0x39 or mark == 0x21 or mark == 0x3F or mark == 0x5F):
            return False
    return True


@inner
def _cell_attributes(data, at, place, digits, named):
    """Where the attributes of a cell end that begin at AT (-1 where they aren't as usual), and what they say: its column,
    PLACE unless it's said, its type as a code, its style or -1."""
    bad = (-1, 0, 0, 0)
    code, style = NUMBER, -1
    said = 0  # which were there, a bit each
    while True:
        word = word_at(data, at)
        if word & LOW[1] != 0x20:
            return at, place, code, style
        name = (word >> np.uint64(8)) & LOW[1]
        if (word >> np.uint64(16)) & LOW[2] != ASSIGNED or (name != _R and name != _S and name != _T):
            at = past_attribute(data, at)
            if at < 0:
                return bad
            continue
        at += 4
        bit = 1 << np.int64(name - _R)
        if said & bit:
            return bad
        said |= bit
        if name == _R:
            at, place = _column(data, at)
            if not digits or word_at(data, at) & LOW[digits] != named:
                return bad
            at += digits
        elif name == _S:
            style = number_at(data, at)
            if style < 0:
                return bad
            at += digits_of(style)
        else:
            at, code = _type(data, at)
        if at >= data.size or data[at] != 0x22:
            return bad
        at += 1


@inner
def _column(data, at):
    """Where the letters of a column end that begin at AT, and its number, -1 without letters."""
    number = 0
    for _ in range(3):
        if at < data.size and 0x41 <= data[at] <= 0x5A:
            number = number * 26 + np.int64(data[at]) - 0x40
            at += 1
    return at, number - 1


@inner
def _type(data, at):
    """Where the type at AT ends, and its code; the end of DATA where it's no usual one."""
    word = word_at(data, at)
    if begins_with(word, _OF_SHARED, 2):
        return at + 1, SHARED
    if begins_with(word, _OF_NUMBER, 2):
        return at + 1, NUMBER
    if begins_with(word, _OF_BOOLEAN, 2):
        return at + 1, BOOLEAN
    if begins_with(word, _OF_ERROR, 2):
        return at + 1, ERROR
    if begins_with(word, _OF_TEXT, 4):
        return at + 3, TEXT
    if word == _OF_INLINE and begins_with(word_at(data, at + 8), _OF_INLINE_END, 2):
        return at + 9, _INLINE_TEXT
    return data.size, NUMBER


@inner
def _value(data, at):
    """Where the value starts, -1 where there's none, and how many bytes it has, as for texts, of the element `v` whose
    attributes begin at AT; and where the element ends, -1 where it isn't as usual."""
    at = past_attributes(data, at)
    if at < 0:
        return -1, 0, -1
    word = word_at(data, at)
    if begins_with(word, CLOSED, 2):
        return -1, 0, at + 2
    if word & LOW[1] != 0x3E:
        return -1, 0, -1
    start = at + 1
    end = text_end(data, start)
    is_odd = end < 0
    if is_odd:
        end = -end - 1
    if not begins_with(word_at(data, end), _VALUE_END, 4):
        return -1, 0, -1
    return start, (start - end - 1 if is_odd else end - start), end + 4


@inner
def _past_formula(data, at):
    at = past_attributes(data, at + 2)
    if at < 0 or begins_with(word_at(data, at), CLOSED, 2):
        return at + 2 if at >= 0 else -1
    if at >= data.size or data[at] != 0x3E:
        return -1
    at = parts.first_of(data, at, OPENINGS, OPENINGS, parts.NOTHING)
    return at + 4 if begins_with(word_at(data, at), _FORMULA_END, 4) else -1


@inner
def _inline(data, at, place):
    """The same of a cell whose text stands in itself, from behind its opening tag on."""
    bad = (-1, 0, 0, 0, 0)
    start, size = -1, 0
    word = word_at(data, at)
    if begins_with(word, _INLINE, 4):
        at += 4
        if begins_with(word_at(data, at), CHARACTERS, 2):
            start, size, at = characters(data, at)
            if start < 0:
                return bad
        if not begins_with(word_at(data, at), _INLINE_END, 5):
            return bad
        at += 5
    elif begins_with(word, _EMPTY_INLINE, 5):
        at += 5
    if not begins_with(word_at(data, at), _CELL_END, 4):
        return bad
    return at + 4, place, TEXT, (start if size else -1), size


@inner
def find_strings(data, rows, buffer, views, arena, state):
    """The texts of shared strings as Arrow's views of ARENA, which is as large as DATA and is their buffer with the number
    BUFFER; each has all of its runs, and not how it's spoken. DATA are whole strings of XML; STATE says where in them to
    begin, and what is used of ARENA. Gives how many were read; -1 where something isn't as usual."""
    at, used = state[0], state[1]
    row = 0
    while at < data.size and row < rows:
        begin = used
        word = word_at(data, at)
        if begins_with(word, _EMPTY_ITEM, 5):
            at += 5
        elif begins_with(word, _ITEM, 4):
            at += 4
            at, used = _item(data, at, arena, used)
            if at < 0:
                return -1
        else:
            return -1
        parts.put_view(views, row, arena, begin, used - begin, buffer)
        row += 1
    state[0], state[1] = at, used
    return row


@inner
def _item(data, at, arena, used):
    """Where the shared string ends that has its first element at AT, and what is used of ARENA then."""
    while True:
        word = word_at(data, at)
        if begins_with(word, _ITEM_END, 5):
            return at + 5, used
        if begins_with(word, _SPOKEN, 4):
            at = _past_spoken(data, at)
            if at < 0:
                return -1, 0
            continue
        if word == _SPEAKING:
            at = past_attributes(data, at + 11)
            if at < 0 or not begins_with(word_at(data, at), CLOSED, 2):
                return -1, 0
            at += 2
            continue
        is_run = begins_with(word, _RUN, 3)
        if is_run:
            at += 3
            if begins_with(word_at(data, at), _LOOK, 4):
                at = _past_look(data, at)
                if at < 0:
                    return -1, 0
            word = word_at(data, at)
        if not begins_with(word, CHARACTERS, 2):
            return -1, 0
        start, size, at = characters(data, at)
        if start < 0:
            return -1, 0
        used = copied(data, start, size, arena, used)
        if used < 0:
            return -1, 0
        if is_run:
            if not begins_with(word_at(data, at), _RUN_END, 4):
                return -1, 0
            at += 4


@inner
def _past_spoken(data, at):
    """Where the element `rPh` ends that begins at AT; -1 where it isn't as usual."""
    at = past_attributes(data, at + 4)
    if at < 0 or at >= data.size or data[at] != 0x3E:
        return -1
    while not begins_with(word_at(data, at), _SPOKEN_END, 6):
        at = parts.first_of(data, at + 1, OPENINGS, OPENINGS, parts.NOTHING)
        if at >= data.size or begins_with(word_at(data, at), NO_ELEMENT, 2):
            return -1
    return at + 6


@inner
def _past_look(data, at):
    """Where the element `rPr` ends that begins at AT and has none but closed ones within; -1 where it isn't so."""
    at = past_attributes(data, at + 4)
    if at < 0:
        return -1
    if begins_with(word_at(data, at), CLOSED, 2):
        return at + 2
    if at >= data.size or data[at] != 0x3E:
        return -1
    begin = at + 1
    while True:
        at = parts.first_of(data, at + 1, OPENINGS, OPENINGS, parts.NOTHING)
        if at != begin and not begins_with(word_at(data, at - 2), CLOSED, 2):
            return -1
        word = word_at(data, at)
        if word & LOW[2] == END_TAG or word & LOW[2] == NO_ELEMENT or at >= data.size:
            return at + 6 if begins_with(word, _LOOK_END, 6) else -1


@inner
def sheet_texts(data, codes, starts, sizes, strings, buffer, views, arena, used):
    """A column of texts as Arrow's views: those of shared ones are in STRINGS, two numbers each, and others are copied into
    ARENA, their buffer with the number BUFFER, from USED on; there is room. Gives what is used of it then; -1 where one
    isn't as usual. An empty text is none: its start becomes -1."""
    for row in range(starts.size):
        start, size = np.int64(starts[row]), np.int64(sizes[row])
        views[2 * row] = views[2 * row + 1] = 0
        if codes[row] == SHARED:
            if size > 9:
                return -1
            number, is_good = parts.digits(data, start, size)
            at = 2 * np.int64(number)
            if not is_good or at >= strings.size:
                return -1
            views[2 * row], views[2 * row + 1] = strings[at], strings[at + 1]
        elif codes[row] == TEXT and start >= 0:
            top = copied(data, start, size, arena, used)
            if top < 0:
                return -1
            parts.put_view(views, row, arena, used, top - used, buffer)
            used = top
        if (codes[row] == SHARED or codes[row] == TEXT) and not views[2 * row] & LOW[4]:
            starts[row] = -1
    return used


@inner
def sheet_booleans(data, codes, starts, sizes, flags):
    """A column of cells that are true or false. Gives how many were read, all unless one is neither."""
    for row in range(starts.size):
        flags[row] = 0
        if codes[row] == BOOLEAN:
            mark = data[starts[row]]
            if sizes[row] != 1 or mark & 0xFE != 0x30:
                return row
            flags[row] = mark & 1
    return starts.size
