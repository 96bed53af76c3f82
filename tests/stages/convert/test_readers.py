"""What comes out is read alike by DuckDB, Polars, pandas and pyarrow (which is what Spark goes by)."""

from __future__ import annotations

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from stages.convert.text import delimited
from tests.stages.convert.conftest import Bench

CSV = (
    "id,big,price,day,at,zoned,clock,flag,text,empty\n"
    + "1,99999999999999999999,1.5,2024-01-02,2024-01-02 03:04:05,2024-01-02T03:04:05+02:00,01:02:03,true,Größe,\n"
    + '2,1,-0.25,1900-01-01,1999-12-31 23:59:59.123456,2024-01-02T03:04:05Z,23:59:59,false,"a,""b""\nc",\n'
)


@pytest.fixture(params=[1 << 25, 40])
def done(bench: Bench, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Bench, str]:
    monkeypatch.setattr(delimited, "CHUNK", request.param)
    made = bench.csv(CSV.encode())
    return bench, str(bench.work / made.part.file)


def test_every_reader_sees_the_same(done: tuple[Bench, str]) -> None:
    path = done[1]
    duck = duckdb.connect().execute(f"SELECT * EXCLUDE (zoned, clock) FROM '{path}'").fetchall()
    frame = pl.read_parquet(path)
    assert duck == frame.drop("zoned", "clock").rows()
    assert [str(value) for value in frame["clock"]] == ["01:02:03", "23:59:59"]
    table = parquet.read_table(path)
    assert table["text"].to_pylist() == ["Größe", 'a,"b"\nc']
    pandas = pytest.importorskip("pandas").read_parquet(path)
    assert list(pandas["id"]) == [1, 2]
    assert [str(moment) for moment in pandas["at"]] == ["2024-01-02 03:04:05", "1999-12-31 23:59:59.123456"]
    assert [value.isoformat() for value in table["zoned"].to_pylist()] == [
        "2024-01-02T01:04:05+00:00",
        "2024-01-02T03:04:05+00:00",
    ]


def test_types_in_duckdb_s_words_are_duckdb_s(done: tuple[Bench, str], bench: Bench) -> None:
    described = duckdb.connect().execute(f"DESCRIBE SELECT * FROM '{done[1]}'").fetchall()
    made = bench.csv(CSV.encode())
    assert [(name, kind) for name, kind, *_rest in described] == [
        (column.name, column.type) for column in made.part.columns
    ]


def test_the_file_itself(done: tuple[Bench, str]) -> None:
    file = parquet.ParquetFile(done[1])
    column = file.metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.statistics.min == 1
    assert not any(pa.types.is_dictionary(field.type) for field in file.schema_arrow)
    assert file.schema_arrow.field("at").type == pa.timestamp("us")
