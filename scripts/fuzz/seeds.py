"""Valid files of every kind, for the fuzzer to spoil."""

# ruff: noqa: PLC0415 - what a kind needs is imported for it alone
from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any


def seeds(kind: str) -> list[bytes]:
    """Valid files of KIND."""
    import polars as pl

    frame = pl.DataFrame({"id": [1, 2, 3], "name": ["a", "Größe", 'q"x,\n'], "half": [0.5, None, 1.5]})
    if kind in ("sniffer", "counter", "csv"):
        text = frame.write_csv().encode()
        return [
            text,
            text.replace(b",", b";"),
            text.decode().encode("utf-16"),
            b"a\n1\n2\n",
            text.replace(b"\n", b"\r\n"),
        ]
    if kind in ("ndjson", "lines"):
        return [frame.write_ndjson().encode(), b'{"a":{"b":[1,2,{}]},"c":[]}\n{"a":null,"c":["x"]}\n']
    if kind == "json":
        return [frame.write_json().encode(), b'{"rows":[{"a":1},{"a":"2"}],"n":{"x":1e5}}', b'// c\n{"a":[1,2,],}']
    if kind == "xml":
        return [_MARKUP["xml"], SPREADSHEET]
    return _SEEDS[kind]() if kind in _SEEDS else [_MARKUP[kind]]


def _columns() -> Any:
    """A table with columns of many types."""
    import pyarrow as pa

    return pa.table(
        {
            "id": pa.array([1, None, 3], pa.int32()),
            "name": pa.array(["a", "Größe, of more than twelve bytes", None]),
            "price": pa.array([Decimal("1.50"), None, Decimal(-2)], pa.decimal128(9, 2)),
            "at": pa.array([0, None, -1], pa.timestamp("us", "Europe/Berlin")),
            "day": pa.array([0, None, 20_000], pa.date32()),
            "tags": pa.array([["x", None], [], None]),
            "place": pa.array([{"x": 1, "y": [2.5]}, None, {"x": None, "y": []}]),
            "raw": pa.array([b"\xff\0", b"", None]),
            "flag": pa.array([True, False, None]),
        }
    )


def _parquet() -> list[bytes]:
    from pyarrow import parquet

    made = []
    for more in (
        {"compression": "none", "use_dictionary": False},
        {"compression": "snappy", "data_page_version": "2.0", "use_deprecated_int96_timestamps": True},
        {
            "compression": "zstd",
            "use_dictionary": False,
            "column_encoding": {"id": "DELTA_BINARY_PACKED", "name": "DELTA_BYTE_ARRAY"},
        },
    ):
        data = io.BytesIO()
        parquet.write_table(_columns(), data, **more)
        made.append(data.getvalue())
    return made


def _arrow(kind: str) -> list[bytes]:
    """A file or a stream of Arrow's, plain and packed, with what only Arrow has."""
    import pyarrow as pa

    table = _columns().append_column("word", pa.array(["a", "b", "a"]).dictionary_encode())
    ends = pa.array([2, 3], pa.int32())
    table = table.append_column("runs", pa.RunEndEncodedArray.from_arrays(ends, pa.array(["x", None])))
    table = table.append_column("view", pa.array(["a", "of more than twelve bytes", None], pa.string_view()))
    table = table.append_column("lists", pa.array([[1], None, [2, 3]], pa.list_view(pa.int16())))
    kinds = pa.array([0, 1, 0], pa.int8())
    table = table.append_column(
        "union", pa.UnionArray.from_sparse(kinds, [pa.array([1, 2, 3]), pa.array(["x", "y", "z"])])
    )
    made = []
    for compression in (None, "lz4"):
        data = io.BytesIO()
        begin = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with begin(data, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
            writer.write_table(table, 2)
        made.append(data.getvalue())
    return made


def _orc() -> list[bytes]:
    from pyarrow import orc

    made = []
    for compression in ("uncompressed", "zlib"):
        data = io.BytesIO()
        orc.write_table(_columns(), data, compression=compression)
        made.append(data.getvalue())
    return made


def _avro() -> list[bytes]:
    import fastavro

    node = {"type": "record", "name": "node", "fields": [
        {"name": "id", "type": ["null", "long"]}, {"name": "name", "type": "string"}, {"name": "half", "type": "double"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}}, {"name": "tags", "type": {"type": "map", "values": "int"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "list", "type": {"type": "array", "items": "string"}}, {"name": "next", "type": ["null", "node"]},
    ]}  # fmt: skip
    record = {
        "id": 1,
        "name": "Größe",
        "half": 0.5,
        "day": 7,
        "tags": {"a": 1},
        "price": Decimal("1.50"),
        "list": ["x"],
    }
    made = []
    for schema in (node, {**node, "fields": node["fields"][:-1]}):
        for codec in ("null", "deflate"):
            data = io.BytesIO()
            fastavro.writer(data, schema, [{**record, "next": {**record, "next": None}}] * 3, codec=codec)
            made.append(data.getvalue())
    return made


_MARKUP = {
    "xml": b'<?xml version="1.0"?><rows><row id="1"><name>a</name></row><row id="2"><name>b &amp; c</name></row></rows>',
    "html": b"<html><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>x</td></tr></table></html>",
    "mbox": b"From a@b Mon Jan  1 00:00:00 2024\nFrom: a@b\nSubject: x\n\nbody\n\nFrom c@d Mon Jan  1 00:00:00 2024\nSubject: y\n\nz\n",
    "log": b"2024-01-01 10:00:00 INFO start\n2024-01-01 10:00:01 ERROR stop\n127.0.0.1 - - [x] y\n" * 3,
}


SPREADSHEET = b"""<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"
 xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet"><Styles><Style ss:ID="d"><NumberFormat ss:Format="Short Date"/></Style></Styles>
<Worksheet ss:Name="S"><Table><Row><Cell><Data ss:Type="String">id</Data></Cell><Cell ss:Index="3"><Data ss:Type="String">at</Data></Cell>
</Row><Row ss:Index="2"><Cell><Data ss:Type="Number">1</Data></Cell><Cell ss:MergeAcross="1" ss:StyleID="d"><Data ss:Type="DateTime"
>2024-02-29T00:00:00.000</Data></Cell></Row><Row ss:Span="1"><Cell ss:Formula="=1"><Data ss:Type="Boolean">1</Data></Cell></Row></Table>
</Worksheet></Workbook>"""

ODS_MIME = "application/vnd.oasis.opendocument.spreadsheet"
ODS_CONTENT = """<?xml version="1.0" encoding="UTF-8"?><office:document-content
 xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.3"><office:body><office:spreadsheet>
<table:table table:name="one"><table:table-column table:number-columns-repeated="4"/>
<table:table-row><table:table-cell office:value-type="string"><text:p>id</text:p></table:table-cell><table:table-cell
 office:value-type="string"><text:p>day</text:p></table:table-cell><table:table-cell table:number-columns-spanned="2"
 office:value-type="string"><text:p>name</text:p></table:table-cell><table:covered-table-cell/></table:table-row>
<table:table-row table:number-rows-repeated="3"><table:table-cell office:value-type="float" office:value="1.5"><text:p>1.5</text:p>
</table:table-cell><table:table-cell office:value-type="date" office:date-value="2024-02-29T01:02:03"/><table:table-cell
 office:value-type="boolean" office:boolean-value="true"/><table:table-cell office:value-type="time" office:time-value="PT1H2M3S"/>
</table:table-row><table:table-row table:number-rows-repeated="1048570"><table:table-cell table:number-columns-repeated="1024"/>
</table:table-row></table:table></office:spreadsheet></office:body></office:document-content>"""


def open_document() -> bytes:
    """An ODS file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", ODS_MIME, zipfile.ZIP_STORED)
        archive.writestr(
            "META-INF/manifest.xml",
            '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><manifest:file-entry'
            f' manifest:full-path="/" manifest:media-type="{ODS_MIME}"/></manifest:manifest>',
        )
        archive.writestr("content.xml", ODS_CONTENT)
    return made.getvalue()


def _database() -> bytes:
    import sqlite3

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        base = sqlite3.connect(path)
        base.executescript("create table t(a, b text); insert into t values (1,'x'),(2.5,null),(x'00ff','y')")
        base.commit()
        base.close()
        return path.read_bytes()


def _workbook() -> bytes:
    from tests.stages.convert.workbooks import workbook

    rows = [["id", "name", "half"], [1, "a", 0.5], [2, "Größe", None], ["x", None, True]]
    return workbook({"one": rows, "two": [["a", "b"], [1, "y"]]})


def _binary_workbook() -> bytes:
    from tests.stages.convert.binary_workbooks import binary_workbook

    cells = {
        0: [("shared", 0), ("text", "day"), ("rich text", "c")],
        5: [("integer", 1), ("integer", 45_000, 1), ("error", 7)],
    }
    return binary_workbook(
        {"one": {**cells, 6: [("short", 0.5), ("formula text", "x"), ("boolean", 1)]}, "two": cells}, ["id"]
    )


def _old_workbook() -> bytes:
    import xlwt

    book, data = xlwt.Workbook(), io.BytesIO()
    for name in ("one", "two"):
        sheet = book.add_sheet(name)
        for row, values in enumerate([["id", "name", "half"], [1, "Größe", 0.5], [2.5, "x" * 5000, True]]):
            for column, value in enumerate(values):
                sheet.write(row, column, value)
    book.save(data)
    return data.getvalue()


_SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "parquet": _parquet,
    "arrow": lambda: _arrow("arrow"),
    "stream": lambda: _arrow("stream"),
    "orc": _orc,
    "avro": _avro,
    "xlsb": lambda: [_binary_workbook()],
    "xls": lambda: [_old_workbook()],
    "ods": lambda: [open_document()],
    "xlsx": lambda: [_workbook()],
    "sqlite": lambda: [_database()],
}
