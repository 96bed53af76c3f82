"""What kind of value a text is, and the kind that holds two kinds: pure decisions, one value at a time.

A kind never changes a value. So `01234`, `+49 30 1`, `12E5` and `2024-1-5` are text: another text could become the
same number or date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec


class Kind(msgspec.Struct, frozen=True, gc=False):
    """A column's kind.

    `form` is how it's written (a strptime pattern, a number's separators, a pair of words), `scale` the digits after
    a decimal's point, `whole` those before it. `null` is the word that says "no value" in it, and `has_empty` whether
    empty fields do so too: where both occur they mean two things, and only text tells them apart.
    """

    name: str
    form: str = ""
    whole: int = 0
    scale: int = 0
    null: str = ""
    has_empty: bool = False


NULL = Kind("null")  # no value yet
TEXT = Kind("text")
INTEGER = Kind("integer")  # 64 bits, of which at most 9 digits have been seen
_LONG_INTEGER = Kind("integer", whole=15)  # what a double holds exactly, and more than that
_LONGEST_INTEGER = Kind("integer", whole=19)
DOUBLE = Kind("double")  # every text is exactly what the double prints as, or has at most 15 digits
DATE = Kind("date", "%Y-%m-%d")
NONFINITE = Kind("nonfinite")  # NaN and the infinities, which are numbers only beside numbers

DOUBLE_DIGITS = 15  # any decimal of so many significant digits survives the way through a double
LEAST_NORMAL = 2.3e-308  # doubles below hold fewer digits
DECIMAL_DIGITS = 38
INT64 = 2**63
NULL_WORDS = frozenset(
    ("NULL", "null", "Null", "NA", "N/A", "n/a", "#N/A", "None", "none", r"\N", "(null)", "<NULL>", "<null>")
)
NONFINITE_WORDS = ("nan", "NaN", "inf", "-inf", "Inf", "-Inf", "Infinity", "-Infinity")

# As programs write doubles: 1e-06, 5e-6, 1.0E-5, 1.5E10; but 12E5 may be a code.
EXPONENT = r"-?[0-9](?:\.[0-9]+)?[eE](?:[+-][0-9]{2,3}|-[0-9])|-?[0-9]+\.[0-9]+[eE]-?[0-9]{1,3}"

_VALUE = re.compile(
    r"(?P<integer>-?(?:0|[1-9][0-9]*))"
    r"|(?P<double>-?(?:0|[1-9][0-9]*)?\.[0-9]+)"
    rf"|(?P<exponent>{EXPONENT})"
    r"|(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"|(?P<stamp>[0-9]{4}-[0-9]{2}-[0-9]{2}(?P<gap>[ T])[0-9]{2}:[0-9]{2}(?P<seconds>:[0-5][0-9])?"
    r"(?P<fraction>\.[0-9]{1,6})?(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)"
    r"|(?P<time>[0-9]{2}:[0-9]{2}:[0-5][0-9](?P<parts>\.[0-9]{1,6})?)"
    r"|(?P<bool>true|false|TRUE|FALSE|True|False)"
    r"|(?P<slash>[0-9]{4}/[0-9]{2}/[0-9]{2})"
    r"|(?P<region>[0-9]{1,2}(?P<mark>[./-])[0-9]{1,2}(?P=mark)[0-9]{4})"
    r"|(?P<comma>-?(?:[1-9][0-9]{0,2}(?:\.[0-9]{3})+|0|[1-9][0-9]*),[0-9]+)"
    r"|(?P<grouped>-?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?)",
    re.ASCII,
)


def classify(text: str) -> Kind:
    """The narrowest kind of TEXT."""
    found = _VALUE.fullmatch(text)
    if found is not None:
        return _MAKERS[found.lastgroup or ""](text, found)
    if text in NULL_WORDS:
        return Kind("null", null=text)
    if text in NONFINITE_WORDS:
        return NONFINITE
    return TEXT if text else NULL


def _integer(text: str, _: re.Match[str]) -> Kind:
    digits = len(text) - text.startswith("-")
    if digits <= 9:
        return TEXT if text == "-0" else INTEGER
    if digits <= DOUBLE_DIGITS:
        return _LONG_INTEGER
    if digits <= 18 or (digits == 19 and -INT64 <= int(text) < INT64):
        return _LONGEST_INTEGER
    return decimal(digits, 0)


def _double(text: str, _: re.Match[str]) -> Kind:
    whole, _point, fraction = text.lstrip("-").partition(".")
    if len(whole.lstrip("0")) + len(fraction) <= DOUBLE_DIGITS or repr(float(text)) == text:
        return DOUBLE
    return decimal(len(whole), len(fraction))


def decimal(whole: int, scale: int) -> Kind:
    """The decimal of so many digits before and after its point, or text where they are too many."""
    return Kind("decimal", whole=whole, scale=scale) if whole + scale <= DECIMAL_DIGITS else TEXT


def _exponent(text: str, _: re.Match[str]) -> Kind:
    mantissa = text.lower().partition("e")[0]
    digits = len(mantissa.replace(".", "").lstrip("-0"))
    is_within = LEAST_NORMAL <= abs(float(text)) < float("inf") or not digits
    return DOUBLE if is_within and digits <= DOUBLE_DIGITS + 2 else TEXT


def _stamp(_: str, found: re.Match[str]) -> Kind:
    if found["fraction"] and not found["seconds"]:
        return TEXT
    form = f"%Y-%m-%d{found['gap']}%H:%M" + (":%S" if found["seconds"] else "") + ("%.f" if found["fraction"] else "")
    zone = found["zone"]
    if not zone:
        return Kind("timestamp", form)
    return Kind("timestamptz", form + ("Z" if zone == "Z" else "%z"))


def _time(_: str, found: re.Match[str]) -> Kind:
    return Kind("time", "%H:%M:%S" + ("%.f" if found["parts"] else ""))


def _boolean(text: str, _: re.Match[str]) -> Kind:
    return Kind("boolean", "upper" if text.isupper() else "lower" if text.islower() else "title")


def _region(text: str, found: re.Match[str]) -> Kind:
    mark = found["mark"]
    first, second, _year = text.split(mark)
    if int(first) > 12 or mark == ".":
        return Kind("date", f"%d{mark}%m{mark}%Y")
    return Kind("date", f"%m{mark}%d{mark}%Y" if int(second) > 12 else f"?{mark}")


def _comma(text: str, _: re.Match[str]) -> Kind:
    """1,234 could be grouped thousands as well as a decimal comma; 1.234,5 couldn't."""
    whole, _comma, fraction = text.lstrip("-").rpartition(",")
    is_open = "." not in whole and len(fraction) == 3 and len(whole) <= 3 and not whole.startswith("0")
    return Kind("comma", "?" if is_open else "")


_MAKERS: dict[str, Callable[[str, re.Match[str]], Kind]] = {
    "integer": _integer,
    "double": _double,
    "exponent": _exponent,
    "date": lambda text, found: DATE,
    "stamp": _stamp,
    "time": _time,
    "bool": _boolean,
    "slash": lambda text, found: Kind("date", "%Y/%m/%d"),
    "region": _region,
    "comma": _comma,
    "grouped": lambda text, found: Kind("grouped"),
}


def join(one: Kind, other: Kind) -> Kind:
    """The narrowest kind that holds both without changing a value of either."""
    if other in (one, NULL) or one == TEXT:
        return one
    if one == NULL or other == TEXT:
        return other
    if one.null and other.null and one.null != other.null:
        return TEXT
    null, has_empty = one.null or other.null, one.has_empty or other.has_empty
    if null or has_empty:
        return _with_nulls(join(_without_nulls(one), _without_nulls(other)), null, has_empty)
    if one.name == other.name:
        return _SAME[one.name](one, other) if one.name in _SAME else TEXT
    low, high = sorted((one, other), key=lambda kind: _RANK.get(kind.name, 9))
    return _DIFFERENT[low.name, high.name](low, high) if (low.name, high.name) in _DIFFERENT else TEXT


def _without_nulls(kind: Kind) -> Kind:
    return msgspec.structs.replace(kind, null="", has_empty=False)


def _with_nulls(kind: Kind, null: str, has_empty: bool) -> Kind:
    return kind if kind == TEXT else msgspec.structs.replace(kind, null=null, has_empty=has_empty)


def with_empty(kind: Kind) -> Kind:
    """KIND where empty fields occur as well."""
    return kind if kind == TEXT or kind.has_empty else msgspec.structs.replace(kind, has_empty=True)


def _join_decimals(one: Kind, other: Kind) -> Kind:
    return decimal(max(one.whole, other.whole), max(one.scale, other.scale))


def _join_dates(one: Kind, other: Kind) -> Kind:
    """An undecided order of day and month gives way to a decided one of the same mark."""
    undecided, decided = sorted((one, other), key=lambda kind: not kind.form.startswith("?"))
    is_same = undecided.form[:1] == "?" and decided.form[2:3] == undecided.form[1:] and decided.form[:2] != "%Y"
    return decided if is_same else TEXT


def _join_clocks(one: Kind, other: Kind) -> Kind:
    """Fractions and zones may be there or not, and be written either way; all else must agree."""
    bases = {_ZONE.sub("", kind.form.replace("%.f", "")) for kind in (one, other)}
    if len(bases) > 1:
        return TEXT
    fraction = "%.f" if "%.f" in one.form + other.form else ""
    zones = {match[0] for kind in (one, other) if (match := _ZONE.search(kind.form))}
    return Kind(one.name, bases.pop() + fraction + (zones.pop() if len(zones) == 1 else "%z" if zones else ""))


_ZONE = re.compile(r"Z$|%z$")
_RANK = {"nonfinite": 0, "integer": 1, "double": 2, "comma": 3, "grouped": 4, "decimal": 5}
_SAME: dict[str, Callable[[Kind, Kind], Kind]] = {
    "integer": lambda one, other: one if one.whole > other.whole else other,
    "decimal": _join_decimals,
    "date": _join_dates,
    "timestamp": _join_clocks,
    "timestamptz": _join_clocks,
    "time": _join_clocks,
    "comma": lambda one, other: Kind("comma"),
}
_DIFFERENT: dict[tuple[str, str], Callable[[Kind, Kind], Kind]] = {
    ("nonfinite", "integer"): lambda low, high: DOUBLE,
    ("nonfinite", "double"): lambda low, high: DOUBLE,
    ("integer", "double"): lambda low, high: DOUBLE if low.whole <= DOUBLE_DIGITS else decimal(low.whole, 0),
    ("integer", "comma"): lambda low, high: high,
    ("integer", "grouped"): lambda low, high: high,
    ("integer", "decimal"): lambda low, high: decimal(max(high.whole, low.whole or 9), high.scale),
    ("double", "decimal"): lambda low, high: decimal(max(high.whole, DOUBLE_DIGITS), high.scale),
    ("double", "grouped"): lambda low, high: high,
    ("comma", "grouped"): lambda low, high: high if low.form == "?" else TEXT,
}


def join_all(texts: Iterable[str], start: Kind = NULL) -> Kind:
    """The kind that holds START and every one of TEXTS."""
    kind = start
    for text in texts:
        kind = join(kind, classify(text))
        if kind == TEXT:
            break
    return kind


def settle(kind: Kind) -> Kind:
    """KIND as it's written out: what stayed undecided, had no value, or says "no value" in two ways, is text."""
    if kind.name in ("null", "nonfinite", "text") or kind.form.startswith("?") or (kind.null and kind.has_empty):
        return TEXT
    return msgspec.structs.replace(kind, has_empty=False, whole=0) if kind.has_empty or kind.whole else kind


def pinned_kind(word: str) -> Kind:
    """The kind that a configuration's WORD asks for; a column that it doesn't hold gets a wider one all the same."""
    if word.startswith("%"):
        return Kind("date", word)
    return {"BIGINT": INTEGER, "DOUBLE": DOUBLE, "DATE": DATE}.get(word.upper(), TEXT)


def sql_type(kind: Kind) -> str:
    """KIND in DuckDB's words."""
    if kind.name == "decimal":
        return f"DECIMAL({DECIMAL_DIGITS},{kind.scale})"
    return _SQL.get(kind.name, "VARCHAR")


_SQL = {
    "integer": "BIGINT",
    "double": "DOUBLE",
    "comma": "DOUBLE",
    "grouped": "DOUBLE",
    "date": "DATE",
    "time": "TIME_NS",  # what the engine writes a time of day as
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "boolean": "BOOLEAN",
}
