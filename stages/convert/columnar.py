"""Columnar files and Avro, which bring their schema: Parquet, Arrow (Feather, IPC files and streams), ORC, Avro."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl

from pipeline.model import Column
from stages.convert import reasons
from stages.convert.arrow_types import portable, sql_type, unfolded
from stages.convert.family import Bench, Head, Refused
from stages.convert.header import unique_names
from stages.convert.source import RawFile, Source, native_file

_MAGIC = {
    b"PAR1": "parquet",
    b"PARE": "encrypted",
    b"ARROW1": "arrow",
    b"ORC": "orc",
    b"Obj\x01": "avro",
    b"FEA1": "feather",
}
_SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".arrows": "stream",
    ".orc": "orc",
    ".avro": "avro",
}
_STEP = "Write it with plainer types, or as CSV, and send it again; its bytes are kept as they came."
_ROWS = 64 * 1024  # in a block

Batches = Callable[[], Iterator[Any]]


class Columnar:
    """The family of files that bring their schema."""

    name = "columnar"

    def sniff(self, head: Head) -> float:
        """By its first bytes, or its name."""
        return 0.99 if _kind_by_magic(head) else 0.9 if head.suffix in _SUFFIXES else 0.0

    def read(self, source: Source, head: Head, bench: Bench) -> None:
        """Makes one table, with the file's own schema."""
        kind = _kind_by_magic(head) or _SUFFIXES[head.suffix]
        import pyarrow as pa

        try:
            _OPENERS[kind](source, bench)
        except (
            pa.ArrowException,
            pl.exceptions.PolarsError,
            OSError,
            ValueError,
            KeyError,
            EOFError,
            IndexError,
            OverflowError,
            StopIteration,
        ) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            if "crypt" in str(error):  # in the words of Parquet's library
                raise Refused(reasons.encrypted()) from error
            if isinstance(error, pa.ArrowNotImplementedError):
                raise Refused(
                    reasons.unsupported(f"its {kind} has something unusual ({_short(error)})", _STEP)
                ) from error
            raise Refused(reasons.corrupt(f"it can't be read as {kind} ({_short(error)})")) from error


def _kind_by_magic(head: Head) -> str:
    return next((kind for magic, kind in _MAGIC.items() if head.data.startswith(magic)), "")


def _short(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def _read_parquet(source: Source, bench: Bench) -> None:
    from pyarrow import parquet

    file = parquet.ParquetFile(native_file(source))
    _write(file.schema_arrow, lambda: file.iter_batches(_ROWS), file.metadata.num_rows, "parquet", bench)


def _read_arrow(source: Source, bench: Bench) -> None:
    from pyarrow import feather, ipc

    if source.read(0, 4) == b"FEA1":
        table = feather.read_table(native_file(source))
        _write(table.schema, lambda: iter(table.to_batches(_ROWS)), table.num_rows, "feather", bench)
        return
    if source.read(0, 6) != b"ARROW1":
        _read_stream(source, bench)
        return
    file = ipc.open_file(native_file(source))

    def batches() -> Iterator[Any]:
        return map(file.get_batch, range(file.num_record_batches))

    _write(file.schema, batches, sum(batch.num_rows for batch in batches()), "arrow", bench)


def _read_stream(source: Source, bench: Bench) -> None:
    from pyarrow import ipc

    schema = ipc.open_stream(native_file(source)).schema
    rows = sum(batch.num_rows for batch in ipc.open_stream(native_file(source)))
    _write(schema, lambda: iter(ipc.open_stream(native_file(source))), rows, "arrow stream", bench)


def _read_orc(source: Source, bench: Bench) -> None:
    from pyarrow import orc

    file = orc.ORCFile(native_file(source))
    _write(file.schema, lambda: (file.read_stripe(i) for i in range(file.nstripes)), file.nrows, "orc", bench)


def _write(schema: Any, batches: Batches, counted: int, kind: str, bench: Bench) -> None:
    """Writes the rows of BATCHES, of which the file's own metadata has COUNTED so many."""
    import pyarrow as pa

    if len(schema) > bench.limits.max_columns:
        raise Refused(reasons.too_many_columns(len(schema), bench.limits.max_columns))
    if not len(schema):
        raise Refused(reasons.no_records(f"its table has {counted:,} rows and no column"))
    target = portable(schema, is_text_only=bench.is_text_only)
    names = unique_names(schema.names)
    sheet = bench.sheet()
    done = 0
    for batch in batches():
        batch.validate(full=True)  # the engine trusts offsets and texts, and a damaged file would end this process
        columns = zip(pa.Table.from_batches([batch]).columns, target, strict=True)
        table = pa.Table.from_arrays([unfolded(column, field.type) for column, field in columns], list(names))
        sheet.write(pl.DataFrame(pl.from_arrow(table)))
        done += batch.num_rows
    if not done:
        sheet.write(pl.DataFrame(pl.from_arrow(target.empty_table().rename_columns(list(names)))))
    if done != counted:
        raise ValueError(f"it says that it has {counted:,} rows, and {done:,} are found")
    units = {name: f.type.unit for name, f in zip(names, schema, strict=True) if pa.types.is_duration(f.type)}
    sheet.facts = {"format": kind, **({"durations_in": units} if units else {})}
    made = [Column(name=name, type=sql_type(field.type)) for name, field in zip(names, target, strict=True)]
    sheet.finish(counted, made)


def _read_avro(source: Source, bench: Bench) -> None:
    from stages.convert.avro import read_avro

    read_avro(io.BufferedReader(RawFile(source), 1 << 20), bench)


def _refuse_encrypted(source: Source, bench: Bench) -> None:
    raise Refused(reasons.encrypted())


_OPENERS: dict[str, Callable[[Source, Bench], None]] = {
    "parquet": _read_parquet,
    "arrow": _read_arrow,
    "feather": _read_arrow,
    "stream": _read_stream,
    "orc": _read_orc,
    "avro": _read_avro,
    "encrypted": _refuse_encrypted,
}
