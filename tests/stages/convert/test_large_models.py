"""Files of many records with known bad ones in any density: every cell and every reject is compared with the model.

STAMPMILL_TEST_RECORDS (20,000) says how many records a file has at most, STAMPMILL_TEST_EXAMPLES (6) how many files
each test makes: 1000000 and 25 for the long form.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.convert.json_files import json_lines
from stages.convert.text import blocks, delimited
from tests.stages.convert.conftest import Bench, Converted

pytestmark = pytest.mark.usefixtures("either_way")

MOST = int(os.environ.get("STAMPMILL_TEST_RECORDS", "20000"))
EXAMPLES = int(os.environ.get("STAMPMILL_TEST_EXAMPLES", "6"))
TEXTS = ("plain", "com,ma;", 'quo"te', "new\nline", "crlf\r\nx", "Größe", "東京", " lead", "trail ", "", "x" * 300)
NAMES = ["id", "amount", "day", "note"]
Reject = tuple[int, int, str]

models = given(
    seed=st.integers(0, 2**32),
    share=st.sampled_from((0.0, 0.001, 0.02, 0.1, 0.25, 0.5, 0.9)) | st.floats(0, 1),
    records=st.integers(MOST // 2, MOST),
    chunk=st.sampled_from((4_099, 65_537, 8 << 20)),
)
slow = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


class File:
    """A file in the making, line by line, with what must come of it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.rows: list[tuple[Any, ...]] = []
        self.rejects: list[Reject] = []
        self._line, self._byte = 1, 0

    def add(self, text: str, row: tuple[Any, ...] | None, end: str = "\n") -> None:
        """A record; ROW is what it says, None for a bad one."""
        if row is None:
            self.rejects.append((self._line, self._byte, text))
        else:
            self.rows.append(row)
        self.skip(text, end)

    def skip(self, text: str, end: str = "\n") -> None:
        """A line that is no record."""
        self.parts.append((text + end).encode())
        self._line += self.parts[-1].count(b"\n")
        self._byte += len(self.parts[-1])


def check(done: Converted, file: File, schema: dict[str, Any]) -> None:
    assert done.part.read == len(file.rows) + len(file.rejects)
    wanted = pl.DataFrame(file.rows, schema=schema, orient="row")
    found = done.frame(done.part)
    assert found.schema == wanted.schema
    assert found.equals(wanted)
    assert [(entry["line"], entry["byte"], entry["raw"]) for entry in done.rejects(done.part)] == file.rejects


@slow
@models
def test_csv(seed: int, share: float, records: int, chunk: int) -> None:
    chance = random.Random(seed)
    delimiter, end = chance.choice(",;\t|"), chance.choice(("\n", "\r\n"))
    file = File()
    file.skip(delimiter.join(NAMES), end)
    for number in range(max(records, 60)):
        if number > 40 and chance.random() < share:
            file.add(delimiter.join(["bad"] * chance.randint(5, 9)), None, end)
            continue
        note, cents = chance.choice(TEXTS), chance.randint(0, 10**6)
        day = f"20{chance.randint(10, 24)}-0{chance.randint(1, 9)}-{chance.randint(10, 28)}"
        fields = [str(number), f"{cents // 100}.{cents % 100:02d}", day, _quoted(note, delimiter)]
        file.add(delimiter.join(fields), (number, cents / 100, day, note or None), end)
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "CHUNK", chunk)
        patch.setattr(blocks, "SLOW_START", 1024)
        done = Bench(Path(home)).csv(b"".join(file.parts))
        file.rows = [(number, amount, _day(day), note) for number, amount, day, note in file.rows]
        check(done, file, dict(zip(NAMES, (pl.Int64, pl.Float64, pl.Date, pl.String), strict=True)))


def _quoted(text: str, delimiter: str) -> str:
    special = any(mark in text for mark in (delimiter, '"', "\n", "\r"))
    return '"' + text.replace('"', '""') + '"' if special else text


def _day(text: str) -> Any:
    return dt.date.fromisoformat(text)


@slow
@models
def test_ndjson(seed: int, share: float, records: int, chunk: int) -> None:
    chance = random.Random(seed)
    separators = chance.choice(((",", ":"), (", ", ": ")))
    is_ascii = chance.random() < 0.5
    bad = (
        '{"id": 1, "amount"',
        '{"id": 1,}',
        "id,amount",
        '{"id": NaN}',
        '{"id": 01}',
        '{"id": 1} {"id": 2}',
        "{'id': 1}",
    )
    file = File()
    for number in range(records):
        if number > 40 and chance.random() < share:
            file.add(chance.choice(bad), None)
            continue
        note, cents = chance.choice(TEXTS), chance.randint(0, 10**6)
        record = {"id": number, "amount": cents / 100 + 0.001, "ok": chance.random() < 0.5, "note": note}
        if chance.random() < 0.1:
            del record["note"]
        text = json.dumps(record, separators=separators, ensure_ascii=is_ascii)
        file.add(text, (number, record["amount"], record["ok"], record.get("note")))
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lines, "CHUNK", chunk)
        done = Bench(Path(home)).convert({"a.ndjson": b"".join(file.parts)})
        check(done, file, {"id": pl.Int64, "amount": pl.Float64, "ok": pl.Boolean, "note": pl.String})


@pytest.mark.parametrize("every", [2, 4, 10, 50])
@pytest.mark.parametrize("kind", ["a text among numbers", "a field too many", "a field too few", "an open quote"])
def test_every_nth_record_is_odd(bench: Bench, kind: str, every: int) -> None:
    """The files in which engines lose rows: no record is anywhere but in a row or a reject."""
    odd = {
        "a text among numbers": "{0},x{0},{0}",
        "a field too many": "{0},{0},{0},{0}",
        "a field too few": "{0},{0}",
        "an open quote": '{0},{0},"{0}',
    }[kind]
    count = max(MOST, 20_000)
    lines = [(odd if number % every == every - 1 else "{0},{0},{0}").format(number) for number in range(count)]
    done = bench.csv(("a,b,c\n" + "\n".join(lines) + "\n").encode())
    part = done.part
    spoilt = count // every
    assert part.read == count
    is_reject = kind == "a field too many" or (kind == "an open quote" and part.facts["quote"])
    rejected = spoilt if is_reject else 0  # where half of the records have one quote, it's text like any other
    assert (part.rows, part.rejected) == (count - rejected, rejected)
    found = done.frame(part).cast(pl.String)
    assert found["a"].to_list() == [
        str(number) for number in range(count) if not (rejected and number % every == every - 1)
    ]
    assert part.repaired == (spoilt if kind == "a field too few" else 0)
