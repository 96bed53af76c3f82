"""What the kernels are made of: eight bytes looked at as one number, digits, dates, escapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic


def each(byte: int) -> np.uint64:
    """BYTE eight times."""
    return np.uint64(0x0101010101010101 * byte)


ONES, _TOPS, _NIBBLES, _DIGIT_BITS, _ZEROS, _SIXES, _THREES = map(each, (0x01, 0x80, 0xF0, 0x0F, 0x30, 0x06, 0x33))
_QUOTES, _BACKSLASHES, _SPACES, _AFTER_SPACE, _COMMAS, _BRACES, _FEEDS = map(each, b'"\\ !,}\n')
NOTHING = np.uint64(0)
_PAIRS, _FOURS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
LOW = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)  # the first bytes of a word
_POWERS = np.array([10**power for power in range(19)], np.uint64)
_DOUBLES = 10.0 ** np.arange(23)  # those powers that a double holds exactly
_DIGITS = np.uint64(10**15)  # numbers of fewer digits come out of a double as they went in
_DATE_MARKS = np.uint64(int.from_bytes(b"0000-00-", "little"))
_DATE_TESTS = np.uint64(int.from_bytes(bytes([118, 118, 118, 118, 127, 118, 118, 127]), "little"))
_CLOCK_MARKS = np.uint64(int.from_bytes(b"00:00:00", "little"))
_CLOCK_TESTS = np.uint64(int.from_bytes(bytes([118, 118, 127, 118, 118, 127, 118, 118]), "little"))
_DAYS = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
NULL = np.uint64(int.from_bytes(b"null", "little"))
WORDS = np.array([int.from_bytes(word, "little") for word in (b"true", b"TRUE", b"True")], np.uint64)
OTHERS = np.array([int.from_bytes(word, "little") for word in (b"false", b"FALSE", b"False")], np.uint64)
_INLINE = 12  # bytes of a text that Arrow holds beside its length

inner = njit(error_model="numpy", nogil=True)
hot = njit(error_model="numpy", nogil=True, inline="always")  # where a call costs as much as what it does


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Eight bytes of ARRAY from INDEX on, the first of them the lowest; whoever asks knows that they are there."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        found = context.make_array(signature.args[0])(context, builder, values[0])
        word = ir.IntType(64)
        place = builder.bitcast(builder.gep(found.data, [values[1]]), word.as_pointer())
        return builder.load(place, align=1)

    return types.uint64(array, types.int64), generate


@intrinsic
def trailing_zeros(typing: Any, number: Any) -> Any:
    """How many bits below the lowest set one of NUMBER, which isn't 0."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@inner
def word_at(data, at):
    """Eight bytes of DATA from AT on; zeros are what's behind the end."""
    if at + 8 <= data.size:
        return load(data, at)
    found = np.uint64(0)
    for index in range(data.size - at):
        found |= np.uint64(data[at + index]) << np.uint64(8 * index)
    return found


@inner
def zeros(word):
    """The highest bit of each byte that is 0, true up to the first one."""
    return (word - ONES) & ~word & _TOPS


@inner
def first(flags):
    """Which byte of FLAGS, from 0, is the first that isn't 0."""
    return np.int64(trailing_zeros(flags) >> np.uint64(3))


@inner
def is_at(data, at, literals, start, end):
    """Whether LITERALS from START up to END stand in DATA at AT."""
    size = end - start
    if at + size > data.size:
        return False
    if size < 8:
        return (word_at(data, at) ^ word_at(literals, start)) & LOW[size] == 0
    for step in range(0, size - 8, 8):
        if load(data, at + step) != load(literals, start + step):
            return False
    return load(data, at + size - 8) == load(literals, end - 8)


@hot
def first_of(data, at, one, other, least):
    """Where the first byte is from AT on that is ONE, or OTHER, or less than LEAST; each is given eight times in a word."""
    while at + 8 <= data.size:
        word = load(data, at)
        found = zeros(word ^ one) | zeros(word ^ other) | ((word - least) & ~word & _TOPS)
        if found:
            return at + first(found)
        at += 8
    low = np.uint64(0xFF)
    while at < data.size and data[at] != one & low and data[at] != other & low and data[at] >= least & low:
        at += 1
    return at


@inner
def text_end(data, at):
    """Where the first quote, backslash or control character is from AT on."""
    return first_of(data, at, _QUOTES, _BACKSLASHES, _SPACES)


@inner
def token_end(data, at):
    """Where the first comma, closing brace, blank or control character is from AT on."""
    return first_of(data, at, _COMMAS, _BRACES, _AFTER_SPACE)


@inner
def field_end(data, at, delimiters, quotes):
    """Where the first delimiter, quote or line feed is from AT on; both are given eight times in a word."""
    while at + 8 <= data.size:
        word = load(data, at)
        found = zeros(word ^ delimiters) | zeros(word ^ quotes) | zeros(word ^ _FEEDS)
        if found:
            return at + first(found)
        at += 8
    delimiter, quote = delimiters & np.uint64(0xFF), quotes & np.uint64(0xFF)
    while at < data.size and data[at] != delimiter and data[at] != quote and data[at] != 0x0A:
        at += 1
    return at


@inner
def quote_after(data, at, quotes):
    """Where the first quote is from AT on; the end of DATA where there is none."""
    while at + 8 <= data.size:
        found = zeros(load(data, at) ^ quotes)
        if found:
            return at + first(found)
        at += 8
    while at < data.size and data[at] != quotes & np.uint64(0xFF):
        at += 1
    return at


@hot
def digits(data, start, size):
    """The number that SIZE digits, 0 to 16, from START on are, and whether they are digits."""
    if size > 8:
        high, is_high = eight(word_at(data, start), 8)
        low, is_low = eight(word_at(data, start + 8), size - 8)
        return high * _POWERS[size - 8] + low, is_high and is_low
    if size == 0:
        return np.uint64(0), True
    return eight(word_at(data, start), size)


@hot
def eight(word, size):
    """The same of the first SIZE bytes of WORD, 1 to 8."""
    if size < 8:
        shift = np.uint64(8 * (8 - size))
        word = (word << shift) | (_ZEROS >> (np.uint64(64) - shift))
    is_good = (word & _NIBBLES) | (((word + _SIXES) & _NIBBLES) >> np.uint64(4)) == _THREES
    word = ((word & _DIGIT_BITS) * np.uint64(2561)) >> np.uint64(8)
    word = ((word & _PAIRS) * np.uint64(6553601)) >> np.uint64(16)
    return ((word & _FOURS) * np.uint64(42949672960001)) >> np.uint64(32), is_good


@inner
def double(data, start, end, is_json):
    """The number from START up to END, and whether it has so few digits that a double is just that."""
    is_negative = start < end and data[start] == 0x2D
    start += is_negative
    point = start
    while point < end and data[point] != 0x2E:
        point += 1
    whole = point - start
    fraction = max(0, end - point - 1)
    is_odd = whole + fraction == 0 or whole > 16 or fraction > 16 or (fraction == 0 and point < end)
    if is_odd or (whole > 1 and data[start] == 0x30) or (is_json and whole == 0):
        return 0.0, False
    high, is_high = digits(data, start, whole)
    low, is_low = digits(data, point + 1, fraction)
    if not is_high or not is_low or low >= _DIGITS or (high and whole + fraction > 15):
        return 0.0, False
    number = np.float64(high * _POWERS[fraction] + low) / _DOUBLES[fraction]
    return (-number if is_negative else number), True


@inner
def date(data, start):
    """The days since 1970 of the date that starts at START, 10 bytes; and whether it's one."""
    word = word_at(data, start) ^ _DATE_MARKS
    tens, ones = np.int64(data[start + 8]) - 0x30, np.int64(data[start + 9]) - 0x30
    if ((word + _DATE_TESTS) | word) & _TOPS or tens < 0 or tens > 9 or ones < 0 or ones > 9:
        return 0, False
    pairs = word * np.uint64(10) + (word >> np.uint64(8))
    year = np.int64(pairs & np.uint64(0xFF)) * 100 + np.int64((pairs >> np.uint64(16)) & np.uint64(0xFF))
    month = np.int64((pairs >> np.uint64(40)) & np.uint64(0xFF))
    day = tens * 10 + ones
    if year < 1 or month < 1 or month > 12 or day < 1 or day > _DAYS[month - 1]:
        return 0, False
    if month == 2 and day == 29 and (year % 4 or (year % 100 == 0 and year % 400)):
        return 0, False
    if month <= 2:
        year, month = year - 1, month + 12
    days = year * 365 + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 1
    return days - 719468, True


@inner
def stamp(data, start, end, gap, has_fraction, has_zone):
    """The microseconds since 1970 of the time from START up to END, and whether it's one."""
    if has_zone:
        end -= 1
        if end < start or data[end] != 0x5A:
            return 0, False
    size = end - start
    if size < 19 or data[start + 10] != gap:
        return 0, False
    days, is_good = date(data, start)
    word = word_at(data, start + 11) ^ _CLOCK_MARKS
    if not is_good or ((word + _CLOCK_TESTS) | word) & _TOPS:
        return 0, False
    pairs = word * np.uint64(10) + (word >> np.uint64(8))
    hours = np.int64(pairs & np.uint64(0xFF))
    minutes = np.int64((pairs >> np.uint64(24)) & np.uint64(0xFF))
    seconds = np.int64((pairs >> np.uint64(48)) & np.uint64(0xFF))
    if hours > 23 or minutes > 59 or seconds > 59:
        return 0, False
    micros = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000_000
    if size == 19:
        return micros, True
    if not has_fraction or size < 21 or size > 26 or data[start + 19] != 0x2E:
        return 0, False
    fraction, is_good = digits(data, start + 20, size - 20)
    return micros + np.int64(fraction * _POWERS[26 - size]), is_good


@inner
def put_view(views, row, data, start, size, buffer):
    """A text as Arrow has it: its size and four bytes, then the next eight, or else which BUFFER it's in, and where."""
    at = 2 * row
    views[at] = np.uint64(size) | ((word_at(data, start) & LOW[min(size, 4)]) << np.uint64(32))
    if size > _INLINE:
        views[at + 1] = np.uint64(buffer) | (np.uint64(start) << np.uint64(32))
    elif size > 4:
        views[at + 1] = word_at(data, start + 4) & LOW[size - 4]
    else:
        views[at + 1] = 0


@inner
def hexadecimal(data, at, end):
    """The number of four hexadecimal digits at AT, which all lie before END, or -1."""
    if at + 4 > end:
        return -1
    number = 0
    for index in range(4):
        mark = np.int64(data[at + index])
        if 0x30 <= mark <= 0x39:
            digit = mark - 0x30
        elif mark | 0x20 >= 0x41 and 0x61 <= mark | 0x20 <= 0x66:
            digit = (mark | 0x20) - 0x57
        else:
            return -1
        number = number * 16 + digit
    return number


@inner
def put_character(arena, used, code):
    """The character of CODE as UTF-8 in ARENA from USED on; where it ends."""
    if code < 0x80:
        arena[used] = code
        return used + 1
    if code < 0x800:
        arena[used], arena[used + 1] = 0xC0 | code >> 6, 0x80 | code & 63
        return used + 2
    if code < 0x10000:
        arena[used], arena[used + 1], arena[used + 2] = 0xE0 | code >> 12, 0x80 | code >> 6 & 63, 0x80 | code & 63
        return used + 3
    arena[used], arena[used + 1] = 0xF0 | code >> 18, 0x80 | code >> 12 & 63
    arena[used + 2], arena[used + 3] = 0x80 | code >> 6 & 63, 0x80 | code & 63
    return used + 4


@inner
def escaped_end(data, at):
    """Where the quote is that ends a text whose first escape is at AT; where it can't go on if there is none."""
    while at + 1 < data.size and data[at] == 0x5C:
        at = text_end(data, at + 2)
    return at


@inner
def unescape(data, at, end, arena, used):
    """Copies the text from AT up to END into ARENA from USED on, its escapes read; gives where the copy ends, -1 where an
    escape means nothing. No copy is longer than its text."""
    while at < end:
        mark = data[at]
        at += 1
        if mark != 0x5C:
            arena[used] = mark
            used += 1
            continue
        if at >= end:
            return -1
        mark = data[at]
        at += 1
        if mark == 0x75:  # u
            code = hexadecimal(data, at, end)
            at += 4
            if 0xD800 <= code < 0xDC00 and at + 6 <= end and data[at] == 0x5C and data[at + 1] == 0x75:
                low = hexadecimal(data, at + 2, end)
                if low < 0xDC00 or low > 0xDFFF:
                    return -1
                code = 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00
                at += 6
            elif code < 0 or 0xD800 <= code <= 0xDFFF:
                return -1
            used = put_character(arena, used, code)
            continue
        if mark == 0x6E:
            mark = 0x0A
        elif mark == 0x74:
            mark = 0x09
        elif mark == 0x72:
            mark = 0x0D
        elif mark == 0x62:
            mark = 0x08
        elif mark == 0x66:
            mark = 0x0C
        elif mark != 0x22 and mark != 0x5C and mark != 0x2F:
            return -1
        arena[used] = mark
        used += 1
    return used


@inner
def undouble(data, at, end, arena, used):
    """The same of a field whose quotes are doubled."""
    quote = data[at - 1]
    while at < end:
        arena[used] = data[at]
        used += 1
        at += 1 + (data[at] == quote)
    return used


@inner
def begins_as_number(data, start, end):
    """Whether what's there begins as a number does in JSON."""
    start += data[start] == 0x2D
    if start >= end or not 0x30 <= data[start] <= 0x39:
        return False
    return data[start] != 0x30 or start + 1 >= end or not 0x30 <= data[start + 1] <= 0x39
