"""Every record of an input is a row of a table or a reject with its line, its byte and its reason."""

from __future__ import annotations

import io
import json
import random
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.acceptance.contract import manifests, process

RECORDS = 4000
BAD = {3, 700, 701, 1999, RECORDS - 1}  # by their place among the records


def record(number: int) -> str:
    return f'{number},"line one\nof record, {number}",{number % 97}.25,2024-0{number % 9 + 1}-15'


def table(bad: set[int]) -> tuple[bytes, list[tuple[int, int, str]]]:
    """A CSV and the (line, byte, text) of its bad records, which have too many fields."""
    text, rejects, line = "id,note,price,day\n", [], 2
    for number in range(RECORDS):
        one = record(number) + (",x,y" if number in bad else "")
        if number in bad:
            rejects.append((line, len(text), one))
        text += one + "\n"
        line += one.count("\n") + 1
    return text.encode(), rejects


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path / "library"


def test_rejects_are_the_source_s_own_records(tmp_path: Path, library: Path) -> None:
    content, expected = table(BAD)
    (tmp_path / "notes.csv").write_bytes(content)
    (one,) = process(tmp_path / "notes.csv", into=library, check=3).job("notes.csv").tables
    assert (one.rows, one.rejected) == (RECORDS - len(BAD), len(BAD))
    lines = (library / one.path / "rejects.ndjson").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert [(entry["line"], entry["byte"], entry["raw"]) for entry in found] == expected
    assert all(entry["reason"].startswith("malformed: ") for entry in found)


def test_rows_are_the_other_records_in_order(tmp_path: Path, library: Path) -> None:
    content, _ = table(BAD)
    (tmp_path / "notes.csv").write_bytes(content)
    (one,) = process(tmp_path / "notes.csv", into=library, check=3).job("notes.csv").tables
    rows = [
        row for part in sorted((library / one.path).glob("part-*.parquet")) for row in pq.read_table(part).to_pylist()
    ]
    good = [number for number in range(RECORDS) if number not in BAD]
    assert [row["id"] for row in rows] == good
    assert [row["note"] for row in rows] == [f"line one\nof record, {number}" for number in good]
    assert {column.name: column.type for column in one.columns}["day"] == "DATE"


def test_the_sums_hold_for_every_table_of_an_archive(tmp_path: Path, library: Path) -> None:
    rng = random.Random(7)
    expected = {}
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("north", "south", "east"):
            bad = set(rng.sample(range(RECORDS), rng.randrange(1, 200)))
            archive.writestr(f"{name}.csv", table(bad)[0])
            expected[f"pack.zip!/{name}.csv"] = (RECORDS - len(bad), len(bad))
    (tmp_path / "pack.zip").write_bytes(data.getvalue())
    job = process(tmp_path / "pack.zip", into=library, check=3).job("pack.zip")
    parts = {
        part["source"]: (part["rows"], part["rejected"])
        for table in manifests(library)["pack.zip"]["tables"]
        for part in table["parts"]
    }
    assert parts == expected
    assert sum(table.rows + table.rejected for table in job.tables) == 3 * RECORDS
