"""The program that reads tables for answers: one request after the other, whatever became of those before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def table(tmp_path: Path) -> Path:
    import polars as pl

    folder = tmp_path / "orders"
    folder.mkdir()
    pl.DataFrame({f"c{number}": [number, number + 1] for number in range(9)}).write_parquet(
        folder / "part-00000.parquet"
    )
    return folder


def answers(*requests: dict[str, Any]) -> list[dict[str, Any]]:
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    words = [sys.executable, "-m", "pipeline.results.previews"]
    output = subprocess.run(words, input=lines, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def test_requests_of_every_kind_follow_each_other(table: Path, tmp_path: Path) -> None:
    common = {"folder": str(table), "into": str(tmp_path / "out"), "name": "orders"}
    asked = [
        {"type": "picture", "rows": 2, **common},
        {"type": "copy", "format": "xlsx", **common},
        {"type": "first", "rows": 2, "folder": str(table)},
        {"type": "copy", "format": "csv", **common},
        {"type": "copy", "format": "parquet", **common},
    ]
    missing = {"type": "first", "rows": 2, "folder": str(tmp_path / "nowhere")}
    unknown = {
        "type": "report",
        "root": str(tmp_path),
        "ledger": str(tmp_path / "l"),
        "job": 9,
        "into": "x",
        "name": "y",
    }
    found = answers(*asked, missing, unknown, *asked)
    good = found[: len(asked)] + found[-len(asked) :]
    assert not [one for one in good if "error" in one]
    assert [Path(file).name for one in good[:2] for file in one["files"]] == ["orders.png", "orders.xlsx"]
    assert good[2]["rows"][1][0] == "1"
    assert all("error" in one for one in found[len(asked) : len(asked) + 2])
