"""Files that bring their schema keep it."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal

import pyarrow as pa
import pytest

from pipeline.model import Code
from tests.stages.convert.conftest import Bench

TABLE = pa.table(
    {
        "id": pa.array([1, 2, None], pa.int32()),
        "name": pa.array(["a", None, "Größe"]).dictionary_encode(),
        "price": pa.array([Decimal("1.50"), None, Decimal("2.25")], pa.decimal128(9, 2)),
        "at": pa.array([dt.datetime(2024, 1, 2, 3, 4, 5)] * 3, pa.timestamp("us", "UTC")),
        "tags": pa.array([["x", "y"], [], None]),
        "place": pa.array([{"x": 1, "y": 2.5}, None, {"x": 3, "y": None}]),
    }
)
ROWS = TABLE.to_pylist()


def parquet() -> bytes:
    from pyarrow import parquet

    data = io.BytesIO()
    parquet.write_table(TABLE, data, row_group_size=2)
    return data.getvalue()


def arrow() -> bytes:
    data = io.BytesIO()
    with pa.ipc.new_file(data, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return data.getvalue()


def stream() -> bytes:
    data = io.BytesIO()
    with pa.ipc.new_stream(data, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return data.getvalue()


def orc_file() -> bytes:
    from pyarrow import orc

    data = io.BytesIO()
    plain = TABLE.set_column(1, "name", TABLE["name"].cast(pa.string()))
    orc.write_table(plain, data)
    return data.getvalue()


def avro() -> bytes:
    import fastavro

    schema = {
        "type": "record",
        "name": "r",
        "fields": [
            {"name": "id", "type": ["null", "int"]},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {"name": "tags", "type": {"type": "array", "items": "string"}},
        ],
    }
    data = io.BytesIO()
    fastavro.writer(
        data,
        schema,
        [{"id": 1, "day": dt.date(2024, 1, 2), "tags": ["a"]}, {"id": None, "day": dt.date(2024, 1, 3), "tags": []}],
    )
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "make"), [("a.parquet", parquet), ("a.feather", arrow), ("a.arrows", stream), ("a.orc", orc_file)]
)
def test_the_schema_is_kept(bench: Bench, name: str, make: type) -> None:
    done = bench.convert({name: make()})
    assert done.types == {
        "id": "INTEGER",
        "name": "VARCHAR",
        "price": "DECIMAL(9,2)",
        "at": "TIMESTAMP WITH TIME ZONE",
        "tags": "VARCHAR[]",
        "place": 'STRUCT("x" BIGINT, "y" DOUBLE)',
    }
    assert done.frame(done.part).to_arrow().to_pylist() == ROWS


def test_avro(bench: Bench) -> None:
    done = bench.convert({"a.avro": avro()})
    assert done.types == {"id": "INTEGER", "day": "DATE", "tags": "VARCHAR[]"}
    assert done.rows == [(1, dt.date(2024, 1, 2), ["a"]), (None, dt.date(2024, 1, 3), [])]


@pytest.mark.parametrize("make", [parquet, arrow, orc_file, avro])
def test_a_damaged_one_is_rejected(bench: Bench, make: type) -> None:
    data = make()
    for cut in (len(data) // 2, len(data) - 3, 9):
        done = bench.convert({"a.bin": data[:cut]})
        assert done.member.outcome == "rejected"
        assert done.member.reason is not None
        assert done.member.reason.code == Code.CORRUPT
        assert not done.results.tables


def test_streams_need_no_name_and_may_follow_each_other(bench: Bench) -> None:
    data = stream()
    done = bench.convert({"a": data + data + bytes(8)})
    assert done.frame(done.part).to_arrow().to_pylist() == ROWS * 2
    assert not done.member.notes
    cut = bench.convert({"a": data[:-8]})
    assert cut.part.rows == 3
    assert "no mark at its end" in cut.member.notes[0]
    junk, none = bench.convert({"a": data + b"more that is none", "b": b"\xff" * 4 + b"\1\2xy" * 99}).results.members
    assert junk.reason is not None
    assert junk.reason.code == Code.CORRUPT
    assert none.outcome == "kept"


def test_old_timestamps_of_any_year(bench: Bench) -> None:
    """They have no unit of their own, and in nanoseconds the year 9999 would be 1816."""
    from pyarrow import parquet

    days = [dt.datetime(1, 1, 1), dt.datetime(2024, 1, 1, 1, 2, 3, 456789), dt.datetime(9999, 12, 31), None]
    for kind, values in (("us", days), ("ns", [1_700_000_000_123_456_789])):
        data = io.BytesIO()
        parquet.write_table(
            pa.table({"v": pa.array(values, pa.timestamp(kind))}), data, use_deprecated_int96_timestamps=True
        )
        done = bench.convert({"a.parquet": data.getvalue()})
        assert done.types == {"v": "TIMESTAMP" if kind == "us" else "TIMESTAMP_NS"}
        assert done.frame(done.part)["v"].to_arrow().cast(pa.int64()).to_pylist() == (
            pa.array(values, pa.timestamp(kind)).cast(pa.int64()).to_pylist()
        )


def test_orc_in_pieces_and_its_times(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow import orc

    from stages.convert.columnar_files import columnar

    monkeypatch.setattr(columnar, "_ROWS", 2)
    early, doubled = io.BytesIO(), io.BytesIO()
    orc.write_table(pa.table({"at": pa.array([dt.datetime(1600, 1, 1)], pa.timestamp("us"))}), early)
    orc.write_table(pa.table([[1, 2, 3], ["x", "y", "z"]], names=["a", "a"]), doubled)
    done = bench.convert({"a.orc": orc_file(), "b.orc": early.getvalue(), "c.orc": doubled.getvalue()})
    first, second = done.results.tables
    assert done.frame(first).to_arrow().to_pylist() == ROWS
    assert done.frame(second).rows() == [(1, "x"), (2, "y"), (3, "z")]
    reason = done.results.members[1].reason
    assert reason is not None
    assert reason.code == Code.UNSUPPORTED


def avro_of(kind: object, values: list[object], name: str = "v") -> bytes:
    import fastavro

    data = io.BytesIO()
    schema = {"type": "record", "name": "r", "fields": [{"name": name, "type": kind}]}
    fastavro.writer(data, schema, [{name: value} for value in values])
    return data.getvalue()


CHAIN = {
    "type": "record",
    "name": "c",
    "fields": [{"name": "n", "type": "int"}, {"name": "next", "type": ["null", "c"]}],
}
AVRO: list[tuple[object, list[object], str, list[object]]] = [
    ("bytes", [b"\xff"], "BLOB", [b"\xff"]),
    ("string", ["2024-01-02", "2024-01-03"], "VARCHAR", ["2024-01-02", "2024-01-03"]),
    ({"type": "map", "values": "int"}, [{"a": 1}, {}], 'STRUCT("key" VARCHAR, "value" INTEGER)[]', [[{"key": "a", "value": 1}], []]),
    (["null", "long", "int"], [2**60, None], "BIGINT", [2**60, None]),
    (["long", "double"], [2**60 + 1, 0.5, float("nan")], "VARCHAR", [str(2**60 + 1), "0.5", '"nan"']),
    (["null", "string", {"type": "int", "logicalType": "date"}], [dt.date(2024, 1, 2), "x"], "VARCHAR", ['"2024-01-02"', '"x"']),
    ({"type": "long", "logicalType": "time-micros"}, [dt.time(1, 2, 3)], "TIME_NS", [dt.time(1, 2, 3)]),
    ({"type": "long", "logicalType": "local-timestamp-millis"}, [dt.datetime(1, 1, 1)], "TIMESTAMP", [dt.datetime(1, 1, 1)]),
    ({"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 2}, [Decimal("1.50")], "VARCHAR", ["1.50"]),
    ({"type": "fixed", "name": "f", "size": 5, "logicalType": "decimal", "precision": 9, "scale": 2}, [Decimal("1.50")],
     "DECIMAL(9,2)", [Decimal("1.50")]),
    (CHAIN, [{"n": 1, "next": {"n": 2, "next": None}}], "VARCHAR", ['{"n":1,"next":{"n":2,"next":null}}']),
    ("int", [], "INTEGER", []),
]  # fmt: skip


def test_avro_types(bench: Bench) -> None:
    done = bench.convert({f"{number}.avro": avro_of(case[0], case[1]) for number, case in enumerate(AVRO)})
    assert [(part.columns[0].type, done.frame(part)["v"].to_list()) for part in done.results.tables] == [
        (kind, wanted) for _schema, _values, kind, wanted in AVRO
    ]


def test_an_avro_decimal_of_more_digits_than_it_says(bench: Bench) -> None:
    """fastavro would round it."""
    kind = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}
    data = avro_of(kind, [Decimal("123456789.12")]).replace(b'"precision": 20', b'"precision":  4')
    reason = bench.convert({"a.avro": data}).member.reason
    assert reason is not None
    assert reason.code == Code.CORRUPT


def test_avro_records_nested_without_end_or_without_a_byte(bench: Bench) -> None:
    """fastavro's fast reader would end the process by the first; the second would go on for ever."""
    import fastavro

    head = io.BytesIO()
    fastavro.writer(head, CHAIN, [], sync_marker=b"s" * 16)
    nested = b"\x02\x02" * 100_000 + b"\x02\x00"
    size = io.BytesIO()
    fastavro.schemaless_writer(size, "long", len(nested))
    chain = head.getvalue() + b"\x02" + size.getvalue() + nested + b"s" * 16
    endless = io.BytesIO()
    fastavro.schemaless_writer(endless, "long", 2**60)
    none = avro_of("null", [])[:-16]
    long = avro_of("string", ["xxxx"], "v")
    long = long.replace(b"\x08xxxx", endless.getvalue()[:5])  # a text that says it has thousands of millions of bytes
    done = bench.convert(
        {"a.avro": chain, "b.avro": none + b"s" * 16 + endless.getvalue() + b"\x00" + b"s" * 16, "c.avro": long}
    )
    codes = [member.reason and member.reason.code for member in done.results.members]
    assert codes == [Code.TOO_DEEP, Code.CORRUPT, Code.CORRUPT]
