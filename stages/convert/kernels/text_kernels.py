"""Lines of JSON and records of delimited text taken apart, and their values typed: a walk over a block to see where its
values are, then one for each column. `machine_code` makes machine code of it, by Numba; `compiled` has what they take.

Nothing is guessed: each byte belongs to a value or to what must stand between values, and each value is just what is said,
else a walk stops. No walk looks at a byte that isn't there.
"""

from __future__ import annotations

import numpy as np

from stages.convert.kernels import kernel_parts as parts
from stages.convert.kernels.kernel_parts import inner


@inner
def find_in_lines(data, literals, ends, texts, rows, starts, sizes):
    """Where the values of lines of JSON are, each of which has LITERALS before its values, the slot's own end at ENDS, and
    after the last; TEXTS are the slots that have quotes around them.

    DATA are whole lines in UTF-8, fewer than 2^31 bytes. STARTS and SIZES get ROWS for each slot: -1 and 0 where it's
    null, the size as it's written less one and negative where there are escapes in it. Gives how many lines were read."""
    at, row = 0, 0
    while at < data.size and row < rows:
        literal = 0
        for slot in range(ends.size):
            if not parts.is_at(data, at, literals, literal, ends[slot]):
                return -1
            at += ends[slot] - literal
            literal = ends[slot]
            place = slot * rows + row
            if texts[slot] and at < data.size and data[at] == 0x22:
                at += 1
                end = parts.text_end(data, at)
                starts[place], sizes[place] = at, end - at
                if end < data.size and data[end] == 0x5C:
                    end = parts.escaped_end(data, end)
                    sizes[place] = at - end - 1
                if end >= data.size or data[end] != 0x22:
                    return -1
                at = end + 1
            else:
                end = parts.token_end(data, at)
                starts[place], sizes[place] = at, end - at
                if end - at == 4 and parts.word_at(data, at) & parts.LOW[4] == parts.NULL:
                    starts[place], sizes[place] = -1, 0
                elif texts[slot] or end == at:
                    return -1
                at = end
        if not parts.is_at(data, at, literals, literal, literals.size):
            return -1
        at += literals.size - literal
        row += 1
    return row if at == data.size else -1


@inner
def find_in_records(data, delimiter, quote, columns, rows, starts, sizes):
    """Where the fields of delimited text are, COLUMNS of them in each of ROWS records; QUOTE is -1 where there is none.
    Quotes are around whole fields, and doubled within, where the size is given as for escapes. The rest is as for
    lines; an empty field is null."""
    delimiters = np.uint64(delimiter) * parts.ONES
    quotes = np.uint64(quote if quote >= 0 else 0x0A) * parts.ONES
    at, row = 0, 0
    last = columns - 1
    while at < data.size and row < rows:
        for slot in range(columns):
            start, place = at, slot * rows + row
            is_doubled = False
            if at < data.size and data[at] == quote:
                start += 1
                end = parts.quote_after(data, start, quotes)
                while end + 1 < data.size and data[end + 1] == quote:
                    is_doubled = True
                    end = parts.quote_after(data, end + 2, quotes)
                at = end + 1
                if end >= data.size:
                    return -1
                if slot == last and at + 1 < data.size and data[at] == 0x0D:
                    at += 1
            else:
                end = at = parts.field_end(data, at, delimiters, quotes)
                if slot == last and end > start and end < data.size and data[end - 1] == 0x0D:
                    end -= 1
            if at < data.size:
                if data[at] != (delimiter if slot < last else 0x0A):
                    return -1
            elif slot < last:
                return -1
            at += 1
            sizes[place] = start - end - 1 if is_doubled else end - start
            starts[place] = start if end > start else -1
        row += 1
    return row if at >= data.size else -1


@inner
def texts(data, starts, sizes, is_json, views, arena, used):
    """The texts at STARTS as Arrow's views of DATA, or of ARENA where they have escapes or doubled quotes: copied there
    from USED on, and there is room. Gives what is used of it then; -1 where an escape means nothing."""
    for row in range(starts.size):
        start, size = np.int64(starts[row]), np.int64(sizes[row])
        if start < 0:
            views[2 * row] = views[2 * row + 1] = 0
        elif size >= 0:
            parts.put_view(views, row, data, start, size, 0)
        else:
            end = start - size - 1
            top = (
                parts.unescape(data, start, end, arena, used)
                if is_json
                else parts.undouble(data, start, end, arena, used)
            )
            if top < 0:
                return -1
            parts.put_view(views, row, arena, used, top - used, 1)
            used = top
    return used


@inner
def integers(data, starts, sizes, numbers):
    """The integers at STARTS, 0 for null. Gives how many were read, all unless one is none, or has over 16 digits."""
    for row in range(starts.size):
        start = np.int64(starts[row])
        if start < 0:
            numbers[row] = 0
            continue
        end = start + sizes[row]
        is_negative = end > start and data[start] == 0x2D
        start += is_negative
        size = end - start
        if size < 1 or size > 16 or (data[start] == 0x30 and (size > 1 or is_negative)):
            return row
        number, is_good = parts.digits(data, start, size)
        if not is_good:
            return row
        numbers[row] = -np.int64(number) if is_negative else np.int64(number)
    return starts.size


@inner
def doubles(data, starts, sizes, is_json, numbers):
    """The same of numbers with so few digits that a double is just that."""
    for row in range(starts.size):
        start = np.int64(starts[row])
        if start < 0:
            numbers[row] = 0.0
            continue
        numbers[row], is_good = parts.double(data, start, start + sizes[row], is_json)
        if not is_good:
            return row
    return starts.size


@inner
def dates(data, starts, sizes, days):
    """The same of ISO's dates, as days since 1970."""
    for row in range(starts.size):
        days[row] = 0
        if starts[row] >= 0:
            if sizes[row] != 10:
                return row
            days[row], is_good = parts.date(data, np.int64(starts[row]))
            if not is_good:
                return row
    return starts.size


@inner
def stamps(data, starts, sizes, gap, has_fraction, has_zone, micros):
    """The same of ISO's times, as microseconds since 1970: GAP is the byte between day and time, there may be a fraction
    of up to six digits, and a Z must follow, if so is said."""
    for row in range(starts.size):
        micros[row] = 0
        if starts[row] >= 0:
            start = np.int64(starts[row])
            micros[row], is_good = parts.stamp(data, start, start + sizes[row], gap, has_fraction, has_zone)
            if not is_good:
                return row
    return starts.size


@inner
def booleans(data, starts, sizes, form, flags):
    """The same of the words for true and false: lower case, upper case, or as titles, by FORM."""
    for row in range(starts.size):
        flags[row] = 0
        if starts[row] >= 0:
            word = parts.word_at(data, np.int64(starts[row]))
            flags[row] = sizes[row] == 4 and word & parts.LOW[4] == parts.WORDS[form]
            if not flags[row] and not (sizes[row] == 5 and word & parts.LOW[5] == parts.OTHERS[form]):
                return row
    return starts.size


@inner
def are_numbers(data, starts, sizes):
    """Whether what is at STARTS, but for nulls, begins as numbers do in JSON."""
    for row in range(starts.size):
        if starts[row] >= 0 and not parts.begins_as_number(
            data, np.int64(starts[row]), np.int64(starts[row]) + sizes[row]
        ):
            return False
    return True
