"""What is told by bytes in one go agrees with what the pattern says of each value."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.convert.text import counter
from stages.convert.values import columns, forms
from stages.convert.values.kinds import DATE, Kind

STAMP = Kind("timestamp", "%Y-%m-%d %H:%M:%S")
FORMS = (
    DATE,
    Kind("date", "%Y/%m/%d"),
    Kind("date", "%d.%m.%Y"),
    STAMP,
    Kind("timestamp", "%Y-%m-%dT%H:%M"),
    Kind("timestamp", "%Y-%m-%dT%H:%M:%S%.f"),
    Kind("timestamptz", "%Y-%m-%dT%H:%M:%SZ"),
    Kind("time", "%H:%M:%S"),
    Kind("time", "%H:%M:%S%.f"),
)
PLAIN = (
    "2024-01-31", "2024/01/31", "31.01.2024", "2024-01-31 10:20:30", "2024-01-31T10:20", "2024-01-31T10:20:30.25",
    "2024-01-31T10:20:30.123456", "2024-01-31T10:20:30Z", "10:20:30", "10:20:30.5",
)  # fmt: skip
ODD = ("2024-01-3", "+024-01-31", "2024-01-31 ", "2024-01-31 10:20:60", "2024- 1-31", "10:20:3x", "", "٢٠٢٤-٠١-٣١")


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("plain", PLAIN)
@pytest.mark.parametrize("odd", [None, *ODD])
def test_no_text_is_taken_that_the_pattern_refuses(kind: Kind, plain: str, odd: str | None) -> None:
    texts = [plain] * 1000 + ([odd] if odd is not None else [None])
    pattern = columns._PATTERNS[kind.name](kind)
    fits = all(re.match(pattern, text) for text in texts if text is not None)
    has_form = forms.has_form(pl.Series(texts, dtype=pl.String), kind)
    assert not has_form or fits
    if odd is None:
        named = plain.count(":"), len(plain), plain[4:5] == "/"
        wide = {"%Y": "9999", "%m": "99", "%d": "99", "%H": "99", "%M": "99", "%S": "99"}
        written = kind.form
        for part, digits in wide.items():
            written = written.replace(part, digits)
        written = written.replace("%.f", "." + "9" * len(plain.partition(".")[2]))
        same = re.sub("[0-9]", "9", plain) == written
        assert has_form == same, named


def test_few_values_are_for_the_pattern() -> None:
    assert not forms.has_form(pl.Series(["2024-01-31"]), DATE)
    assert not forms.has_form(pl.Series([None] * 2000, dtype=pl.String), DATE)


@settings(max_examples=300)
@given(st.lists(st.lists(st.sampled_from(("", "a", '"', '""', ",", "\n", 'a"', '"a')), min_size=1), min_size=1))
def test_empty_fields_in_quotes_are_seen(rows: list[list[str]]) -> None:
    fields = [[('"' + text.replace('"', '""') + '"') for text in row] for row in rows]
    data = "\n".join(",".join(row) for row in fields).encode() + b"\n"
    marks = counter.mark(data, ord(","), ord('"'))
    assert marks.irregular < 0
    assert marks.has_empty_quoted == any(text == "" for row in rows for text in row)
