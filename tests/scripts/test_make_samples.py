"""The samples: the same ones every time, of the size asked for, and readable."""

from __future__ import annotations

import datetime as dt
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from python_calamine import CalamineWorkbook

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_samples.py"


def make(out: Path, *options: str) -> dict[str, bytes]:
    run = subprocess.run([sys.executable, SCRIPT, out, *options], check=True, capture_output=True, text=True)
    assert "files of" in run.stdout
    return {path.name: path.read_bytes() for path in out.iterdir()}


def sheet(book: bytes) -> list[list[object]]:
    rows: list[list[object]] = CalamineWorkbook.from_filelike(io.BytesIO(book)).get_sheet_by_index(0).to_python()
    return rows


def test_the_drops_of_the_quickstart(tmp_path: Path) -> None:
    drops = make(tmp_path / "a")
    assert make(tmp_path / "b") == drops
    shop = zipfile.ZipFile(tmp_path / "a/shop-2024.zip")
    assert shop.testzip() is None
    assert b'"said ""leave it"", then left"' in shop.read("orders.csv")
    with shop.open("archive/2023.tar.gz") as nested, tarfile.open(fileobj=nested, mode="r|gz") as archive:
        assert archive.getnames() == ["orders-2023.csv", "returns-2023.csv"]
    assert shop.read("pictures/logo.png").startswith(b"\x89PNG")
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(tmp_path / "a/cut-off.zip")
    assert len(json.loads(drops["exchange-rates.json"])) == 250
    assert all(map(json.loads, drops["web-events.ndjson"].splitlines()))
    head, first, *_ = sheet(drops["budget.xlsx"])
    assert head == ["Booked on", "Department", "Item", "Amount"]
    assert isinstance(first[0], dt.date)
    fields = [line.count(b",") for line in drops["sensors-bad-rows.csv"].splitlines()]
    assert fields.count(5) == 8
    assert fields.count(3) == 1993


def test_mixed_files(tmp_path: Path) -> None:
    options = ("--mixed", "20", "--bytes", "8000000", "--seed", "3")
    files = make(tmp_path / "a", *options)
    assert make(tmp_path / "b", *options) == files
    assert make(tmp_path / "c", "--mixed", "20", "--bytes", "100000") != files
    assert len(files) == 20
    kinds = {name.partition(".")[2] for name in files}
    assert kinds == {"csv", "csv.gz", "json", "ndjson", "tar.gz", "xlsx", "zip"}
    for name, data in files.items():
        if name.endswith(".json"):
            assert json.loads(data)[0]["id"] == 1
        if name.endswith(".xlsx"):
            assert len(sheet(data)) > 1
