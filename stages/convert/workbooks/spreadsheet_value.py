"""What the text of a cell of XML Spreadsheet 2003 stands for, by the type that it names."""

from __future__ import annotations

import datetime as dt
import re
import sys
from decimal import Decimal

from stages.convert.workbooks.sheet_days import Shown, shown_by_code

Value = str | float | bool | dt.datetime | dt.time | dt.timedelta

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,6})0*)?)?")
_SURE = 15  # digits, whatever they are, that a double tells apart
_DIGITS = 17  # of a double, so that it comes back as the same
_NAMED = {"Long Time": Shown.CLOCK, "Medium Time": Shown.CLOCK, "Short Time": Shown.CLOCK}  # formats with names
_LEAP = dt.datetime.combine(dt.date(1900, 3, 1), dt.time())  # from here on, days count one that never was
_STARTS = [dt.datetime.combine(day, dt.time()) for day in (dt.date(1899, 12, 31), dt.date(1904, 1, 1))]  # day 0


def shown_by_format(code: str) -> Shown:
    """What a format shows, which has a name or is a code."""
    return _NAMED.get(code) or shown_by_code(code)


def value_of(kind: str, text: str, shown: Shown, *, is_1904: bool) -> Value:
    """TEXT of the type KIND in a cell that is SHOWN so; TEXT itself where its type can't hold it unchanged. A time of day is
    written as one of day 0, which is December 31, 1899, or January 1, 1904."""
    if kind == "Number":
        return text if (number := _number(text.strip())) is None else number
    if kind == "Boolean":
        return {"1": True, "0": False, "true": True, "false": False}.get(text.strip().lower(), text)
    if kind == "DateTime":
        return text if (moment := _moment(text.strip(), shown, is_1904=is_1904)) is None else moment
    return text


def _number(text: str) -> float | None:
    """A double, which the cell was; None where it's none, or more is written than a double holds."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    mantissa, exponent, _rest = text.lower().partition("e")
    if len(text) <= _SURE and not exponent:
        return value
    if abs(value) < sys.float_info.min or value in (float("inf"), float("-inf")):
        return value if Decimal(text) == Decimal(repr(value)) else None
    digits = sum(map(str.isdigit, mantissa.lstrip("-+0.")))
    is_more = digits > _DIGITS or (not exponent and mantissa.lstrip("-+").isdigit())
    return None if is_more and Decimal(text) != Decimal(value) else value


def _moment(text: str, shown: Shown, *, is_1904: bool) -> Value | None:
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00:00'}.{(found[3] or '').ljust(6, '0')}")
    except ValueError:  # the February 29 that never was
        return None
    start = _STARTS[is_1904]
    if shown is Shown.LENGTH:
        skipped = dt.timedelta(days=not is_1904 and moment >= _LEAP)
        return moment - start + skipped
    return moment.time() if shown is Shown.CLOCK and moment.date() == start.date() else moment
