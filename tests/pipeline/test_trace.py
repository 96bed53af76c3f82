"""From a row back to its record, member, upload and source."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli import STAGES
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.machine.process import config_for, process
from pipeline.model import Options
from pipeline.results import trace


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A library of a table with rejects, and of one that twenty files share."""
    folder = tmp_path_factory.mktemp("trace")
    drops = folder / "drops"
    (drops / "many").mkdir(parents=True)
    (drops / "bad.csv").write_text("id,n\n1,2\nx,y,z,w\n" + "".join(f"{n},{n}\n" for n in range(2, 60)))
    import zipfile

    with zipfile.ZipFile(drops / "many.zip", "w") as archive:
        for number in range(20):
            odd = "no,good,this\n" if number in (5, 6) else ""
            archive.writestr(f"{number:02}.csv", f"id,n\n{number},1\n{odd}{number},2\n")
    config = config_for(folder / "library")
    process([drops / "bad.csv", drops / "many.zip"], config, STAGES, Options())
    return config


def of(config: Config, table: str, row: int) -> trace.Trace:
    return trace.trace(Path(config.paths.library), config.paths.ledger, table, row)


def test_a_plain_table(config: Config) -> None:
    found = of(config, "bad", 30)
    assert found.values == {"id": 30, "n": 30}
    assert (found.member, found.record, found.rejected) == ("bad.csv", 31, 1)
    assert of(config, "bad", 1).record == 1
    assert of(config, "bad", 2).record == 3, "the second one was rejected"
    assert found.upload.name == "bad.csv"
    assert found.source.startswith("file:/")
    assert found.part.endswith("bad/part-00000.parquet")


def test_a_table_of_many_files(config: Config) -> None:
    found = of(config, "t2_many", 14)
    assert found.values["id"] == 6
    assert (found.member, found.record, found.rejected, found.job) == ("many.zip!/06.csv", 3, 1, 2)
    assert (of(config, "t2_many", 13).record, of(config, "t2_many", 16).record) == (1, 2)


@pytest.mark.parametrize(("table", "row", "says"), [("bad", 60, "1 to 59"), ("nope", 1, "no table nope")])
def test_what_isnt_there(config: Config, table: str, row: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        of(config, table, row)
