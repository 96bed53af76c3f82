"""What kind of value a text is, and the kind that holds two kinds: pure decisions, one value at a time.

A kind never changes a value. So `01234`, `+49 30 1`, `1e5` and `2024-1-5` are text: another text could become the
same number or date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec


class Kind(msgspec.Struct, frozen=True, gc=False):
    """A column's kind. `form` is how it's written (a strptime pattern, a number's separators, a pair of words);
    `whole` and `scale` are the most digits before and after the point of a decimal."""

    name: str
    form: str = ""
    whole: int = 0
    scale: int = 0


NULL = Kind("null")  # no value yet
TEXT = Kind("text")
INTEGER = Kind("integer")  # 64 bits
DOUBLE = Kind("double")  # every text is exactly what the double prints as, or has at most 15 digits
DATE = Kind("date", "%Y-%m-%d")

DOUBLE_DIGITS = 15  # any decimal of so many significant digits survives the way through a double
DECIMAL_DIGITS = 38
INT64 = 2**63

_VALUE = re.compile(
    r"(?P<integer>-?(?:0|[1-9][0-9]*))"
    r"|(?P<double>-?(?:0|[1-9][0-9]*)?\.[0-9]+)"
    r"|(?P<exponent>-?[0-9](?:\.[0-9]+)?[eE][+-][0-9]{2,3}|-?[0-9]\.[0-9]+[eE][0-9]{1,3})"
    r"|(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"|(?P<stamp>[0-9]{4}-[0-9]{2}-[0-9]{2}(?P<gap>[ T])[0-9]{2}:[0-9]{2}(?P<seconds>:[0-5][0-9])?"
    r"(?P<fraction>\.[0-9]{1,6})?(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)"
    r"|(?P<time>[0-9]{2}:[0-9]{2}:[0-5][0-9](?P<parts>\.[0-9]{1,6})?)"
    r"|(?P<bool>true|false|TRUE|FALSE|True|False)"
    r"|(?P<slash>[0-9]{4}/[0-9]{2}/[0-9]{2})"
    r"|(?P<region>[0-9]{1,2}(?P<mark>[./-])[0-9]{1,2}(?P=mark)[0-9]{4})"
    r"|(?P<comma>-?(?:[0-9]{1,3}(?:\.[0-9]{3})+|0|[1-9][0-9]*),[0-9]+)"
    r"|(?P<grouped>-?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?)"
)


def classify(text: str) -> Kind:
    """The narrowest kind of TEXT."""
    if not text:
        return NULL
    found = _VALUE.fullmatch(text)
    if found is None:
        return TEXT
    return _MAKERS[found.lastgroup or ""](text, found)


def _integer(text: str, _: re.Match[str]) -> Kind:
    if text == "-0":
        return TEXT
    digits = len(text) - text.startswith("-")
    if digits <= 18 or -INT64 <= int(text) < INT64:
        return INTEGER
    return Kind("decimal", whole=digits) if digits <= DECIMAL_DIGITS else TEXT


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
    exact = sum(map(str.isdigit, mantissa)) <= DOUBLE_DIGITS or float(text) == float(repr(float(text)))
    return DOUBLE if exact and abs(float(text)) < float("inf") and "e" in text.lower() else TEXT


def _stamp(text: str, found: re.Match[str]) -> Kind:
    form = "%Y-%m-%d" + found["gap"] + "%H:%M"
    if found["seconds"]:
        form += ":%S"
    elif found["fraction"]:
        return TEXT
    if found["fraction"]:
        form += "%.f"
    zone = found["zone"]
    if not zone:
        return Kind("timestamp", form)
    return Kind("timestamptz", form + ("Z" if zone == "Z" else "%z"))


def _time(text: str, found: re.Match[str]) -> Kind:
    return Kind("time", "%H:%M:%S" + ("%.f" if found["parts"] else ""))


def _boolean(text: str, _: re.Match[str]) -> Kind:
    return Kind("boolean", "upper" if text.isupper() else "lower" if text.islower() else "title")


def _region(text: str, found: re.Match[str]) -> Kind:
    mark = found["mark"]
    first, second, _year = text.split(mark)
    if int(first) > 12 or mark == ".":
        return Kind("date", f"%d{mark}%m{mark}%Y")
    return Kind("date", f"%m{mark}%d{mark}%Y" if int(second) > 12 else f"?{mark}")


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
    "comma": lambda text, found: Kind("comma", "?" if _is_three(text) else ""),
    "grouped": lambda text, found: Kind("grouped", "" if "." in text or text.count(",") > 1 else "?"),
}


def _is_three(text: str) -> bool:
    """Whether TEXT, like 1,234, could be grouped thousands as well as a decimal comma."""
    whole, _comma, fraction = text.rpartition(",")
    return (
        "." not in whole
        and len(fraction) == 3
        and len(whole.lstrip("-")) <= 3
        and not whole.lstrip("-").startswith("0")
    )


def join(one: Kind, other: Kind) -> Kind:
    """The narrowest kind that holds both without changing a value of either."""
    if other in (one, NULL):
        return one
    if one == NULL:
        return other
    if one.name == other.name:
        return _JOIN_FORMS.get(one.name, _to_text)(one, other)
    low, high = sorted((one, other), key=lambda kind: _RANK.get(kind.name, 9))
    if low.name == "integer" and high.name in ("double", "comma", "grouped"):
        return high
    if high.name == "decimal" and low.name == "integer":
        return decimal(max(high.whole, 19), high.scale)
    if high.name == "decimal" and low.name == "double":
        return high
    if high.name == "grouped" and low.name in ("double", "comma") and low.form in ("", "?"):
        return Kind("grouped") if low.name == "double" or low.form == "?" else TEXT
    return TEXT


_RANK = {"integer": 0, "double": 1, "comma": 2, "grouped": 3, "decimal": 4}


def _to_text(_one: Kind, _other: Kind) -> Kind:
    return TEXT


def _join_decimals(one: Kind, other: Kind) -> Kind:
    return decimal(max(one.whole, other.whole), max(one.scale, other.scale))


def _join_dates(one: Kind, other: Kind) -> Kind:
    """An undecided day and month order gives way to a decided one of the same mark."""
    open_one, decided = sorted((one, other), key=lambda kind: not kind.form.startswith("?"))
    same_mark = open_one.form[:1] == "?" and decided.form[2:3] == open_one.form[1:] and decided.form[:2] != "%Y"
    return decided if same_mark else TEXT


def _join_stamps(one: Kind, other: Kind) -> Kind:
    """Fractions and zones may be there or not, and be written either way; all else must agree."""
    bases = {
        kind.form.replace("%.f", "").removesuffix("Z").removesuffix("%#z").removesuffix("%z") for kind in (one, other)
    }
    if len(bases) > 1:
        return TEXT
    fraction = "%.f" if "%.f" in one.form + other.form else ""
    zone = "" if "stamp" in one.name and not one.name.endswith("tz") else "%#z" if one.name != "time" else ""
    return Kind(one.name, bases.pop() + fraction + zone)


_JOIN_FORMS: dict[str, Callable[[Kind, Kind], Kind]] = {
    "decimal": _join_decimals,
    "date": _join_dates,
    "timestamp": _join_stamps,
    "timestamptz": _join_stamps,
    "time": _join_stamps,
    "comma": lambda one, other: Kind("comma"),
    "grouped": lambda one, other: Kind("grouped"),
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
    """KIND as it's written out: what stayed undecided, or had no value, is text."""
    return TEXT if kind == NULL or kind.form.startswith("?") else kind


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
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "boolean": "BOOLEAN",
}
