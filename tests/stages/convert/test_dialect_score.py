"""What makes the look at a dialect quick gives the same as looking at everything."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.convert.text.dialect_marks import candidates
from stages.convert.text.dialect_score import _wrapped_share, best_of, score
from stages.convert.text.records import Dialect, _patterns, _read, read_record
from stages.convert.values.header import unique_names
from tests.stages.convert.conftest import Bench
from tests.stages.convert.pollution import Table, text_of
from tests.stages.convert.pollution_systematic import bases, delimiter_ways, joined

SHORT = [table._replace(rows=table.rows[:8]) for table in bases() if table.name in ("stock", "contacts", "survey")]
TEXT = st.lists(
    st.sampled_from([b"a", b"b", b",", b",", b'"', b'"', b" ", b"'", b"\n", b"\r\n", b"\r", b"\\"]), max_size=24
)


@pytest.mark.parametrize("table", SHORT, ids=[table.name for table in SHORT])
def test_the_best_way_is_the_first_with_the_highest_score(table: Table) -> None:
    for file in [*delimiter_ways(table)][::5]:
        some = list(candidates(file.data))
        scores = [score(file.data, written) for written in some]
        best = max(scores)
        assert best_of(file.data, some) == (best, some[scores.index(best)]), file.way


def test_a_score_that_is_too_low_is_never_told_too_high() -> None:
    sample = joined(text_of(SHORT[1]))
    for written in candidates(sample):
        exact = score(sample, written)
        assert score(sample, written, exact) == exact
        assert exact <= score(sample, written, exact + 0.01) < exact + 0.01 or exact == score(sample, written, 2)


def share(sample: bytes, delimiter: bytes, quote: bytes) -> float:
    """The share of quotes that wrap fields, by one pattern: simple, but it takes the square of a line's length."""
    mark, edge = re.escape(quote), re.escape(delimiter)
    inner = rb"[^\n" + quote + rb"]" if quote == b"'" else rb"[^" + mark + rb"]"
    body = rb"(?:((?:" + inner + rb"|" + mark * 2 + rb")*+)|[^\n]*?)"
    field = rb"(?:^|(?<=" + edge + rb")) *" + mark + body + mark + rb" *(?=" + edge + rb"|\r?$)"
    found = re.findall(field, sample, re.MULTILINE)
    return sum(2 + text.count(quote) for text in found) / sample.count(quote) if quote in sample else 1.0


@settings(max_examples=600, deadline=None)
@given(TEXT, st.sampled_from([b",", b" "]), st.sampled_from([b'"', b"'"]))
def test_the_share_of_quotes_that_wrap_fields(parts: list[bytes], delimiter: bytes, quote: bytes) -> None:
    sample = b"".join(parts)
    assert _wrapped_share(sample, delimiter, quote, None) == pytest.approx(share(sample, delimiter, quote))


def fields_by_pattern(text: bytes, pattern: re.Pattern[bytes], dialect: Dialect) -> tuple[list[bytes], int]:
    """The first record's fields, each by PATTERN, and where it ends."""
    fields, at, border = [], 0, dialect.delimiter
    while border == dialect.delimiter:
        found = pattern.match(text, at)
        assert found is not None
        is_plain = found.lastgroup == "border"
        border = found["border"] if is_plain else found["after"]
        fields.append(found["plain"] if is_plain else found["quoted"].replace(dialect.quote * 2, dialect.quote))  # type: ignore[operator]
        at = found.end()
    return fields, at


@settings(max_examples=600, deadline=None)
@given(TEXT, st.booleans())
@example([b'"a,"b\nc"\n'], False)
@example([b'"a,b","c",d"\n'], False)
def test_fields_that_need_no_closer_look(parts: list[bytes], is_padded: bool) -> None:
    text, dialect = b"".join(parts), Dialect(b",", b'"', is_padded)
    patterns = _patterns(dialect)
    for pattern in (patterns.strict, patterns.lenient):
        found = _read(text, 0, pattern, dialect)
        assert (found.fields, found.end) == fields_by_pattern(text, pattern, dialect)


@settings(max_examples=300, deadline=None)
@given(TEXT, st.integers(0, 4))
def test_lines_without_quotes(parts: list[bytes], width: int) -> None:
    text = b"".join(parts).replace(b'"', b"x")
    for quote in (None, b'"'):
        dialect = Dialect(b",", quote)
        found = read_record(text, 0, dialect, width)
        line = text[: found.end].removesuffix(b"\n").removesuffix(b"\r")
        assert (found.fields, found.is_regular, found.is_open) == (line.split(b","), True, False)
        assert found.end == (text.find(b"\n") + 1 or len(text))


@pytest.mark.parametrize("filler", ["lorem ipsum ", "it's 'so' so ", 'he said "yes" '])
def test_lines_of_half_a_megabyte(bench: Bench, filler: str) -> None:
    """Where the first 256 KiB hold no whole line, more of the file is looked at: one line would be parted anyhow."""
    texts = [(filler * 50_000)[: 500_000 - 100 * number].strip() for number in range(8)]
    done = bench.csv("".join(f"{number},{text}\n" for number, text in enumerate(texts)).encode())
    assert (done.part.facts["delimiter"], done.part.rows) == (",", 8)
    assert [tuple(row) for row in done.rows] == list(enumerate(texts))


def test_names_that_are_all_the_same() -> None:
    """Each is told apart from those before it, which are not gone through anew."""
    names = unique_names(["a", "A_3", *["A"] * 100_000])
    assert (names[:5], names[-1], len(set(names))) == (("a", "A_3", "A_2", "A_4", "A_5"), "A_100002", 100_002)
