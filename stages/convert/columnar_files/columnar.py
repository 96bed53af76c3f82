"""Columnar files and Avro, which bring their schema: Parquet, Arrow (Feather, IPC files and streams), ORC, Avro."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.model import Column
from stages.convert import reasons
from stages.convert.columnar_files import arrow_sizes, arrow_unfolded, parquet_sizes
from stages.convert.columnar_files.arrow_types import portable, sql_type, unfolded
from stages.convert.family import Bench, Head, Refused
from stages.convert.parquet_file import GROUP_BYTES
from stages.convert.source import RawFile, Source, native_file
from stages.convert.values.header import unique_names
from stages.parquet_footer import NotParquet

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
_STREAM_STARTS = b"\xff\xff\xff\xff"
_OLD_STREAM = b"\x10\0\0\0"  # after the schema's length, in streams of Arrow before 0.15
_UNUSUAL = (
    "out of range for nanosecond",  # in ORC's library: years before 1677
    "Time zone file",  # a zone that isn't known here
    "out of bounds timestamp",  # in seconds, and too many for milliseconds
)
_STEP = "Write it with plainer types, or as CSV, and send it again; its bytes are kept as they came."
_ROWS = 64 * 1024  # in a block
_PADDING = 64  # bytes that may follow a stream
_LARGEST_BATCH = 768 * 1024 * 1024  # bytes of a batch of Arrow's, unpacked, as all of it has to be at once
_MUCH_UNPACKED = 128 * 1024 * 1024  # bytes of one that may have any ratio,
_RATIO = 1000  # and how many times its bytes in the file a larger one may have
_MOST_REPEATED = 16 * 1024**3  # bytes that a file has once and shows in many rows, all rows together,
_ORDINARY = 16  # where a byte of the file's own may stand for so many
_PIECE_BYTES = GROUP_BYTES // 2  # of rows that are written together, unpacked: a few of them are held at once
_LARGEST_ROW = 80 * 1024 * 1024  # bytes of a row, unpacked: a text takes ten times as much on its way
_MOST_ROWS = 2**31  # of a batch; one of nothing but nulls takes no bytes

Sizes = npt.NDArray[np.float64]
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
            if isinstance(error, pa.ArrowNotImplementedError) or any(word in str(error) for word in _UNUSUAL):
                raise Refused(
                    reasons.unsupported(f"its {kind} has something unusual ({_short(error)})", _STEP)
                ) from error
            raise Refused(reasons.corrupt(f"it can't be read as {kind} ({_short(error)})")) from error


def _kind_by_magic(head: Head) -> str:
    found = next((kind for magic, kind in _MAGIC.items() if head.data.startswith(magic)), "")
    return found or ("stream" if _is_stream(head.data) else "")


def _is_stream(data: bytes) -> bool:
    """Whether DATA begins with the schema of an Arrow stream, which has no magic bytes."""
    if not data.startswith(_STREAM_STARTS) and data[4:8] != _OLD_STREAM:
        return False
    import pyarrow as pa
    from pyarrow import ipc

    try:
        ipc.open_stream(pa.BufferReader(data))
    except (pa.ArrowException, OSError):
        return False
    return True


def _short(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def _footer(source: Source) -> bytes:
    """The footer of a Parquet file, which is known to have one."""
    size = int.from_bytes(source.read(source.length - 8, 4), "little")
    return source.read(max(0, source.length - 8 - size), size)


def _read_parquet(source: Source, bench: Bench) -> None:
    from pyarrow import parquet

    file = parquet.ParquetFile(native_file(source))
    try:
        sizes = parquet_sizes.look(_footer(source), file.metadata.schema, _ROWS)
    except NotParquet as error:
        raise Refused(reasons.corrupt(f"its row groups can't be told ({error})")) from error
    if sizes.largest > parquet_sizes.MOST:
        what = f"{sizes.largest:,} bytes of lists in it may belong to one row, once they're unpacked"
        raise Refused(reasons.too_large(what, "Write it in smaller row groups, and send it again."))
    if sizes.repeated:
        file = parquet.ParquetFile(native_file(source), read_dictionary=sizes.repeated)
    leaves = map(file.metadata.schema.column, range(len(file.metadata.schema)))
    old_times = [leaf.path for leaf in leaves if leaf.physical_type == "INT96"]
    if old_times:
        file = _with_old_times(source, file, old_times, sizes.repeated)

    def batches() -> Iterator[Any]:
        if sizes.repeated:  # texts in lists aren't read apart where a batch is of two row groups
            for group in range(file.num_row_groups):
                yield from file.iter_batches(sizes.rows, [group])
            return
        found = file.iter_batches(sizes.rows)
        yield from found if sizes.rows == _ROWS else parquet_sizes.joined(found, _ROWS)

    _write(file.schema_arrow, batches, file.metadata.num_rows, "parquet", bench)


def _with_old_times(source: Source, file: Any, paths: list[str], repeated: list[str]) -> Any:
    """FILE, or in microseconds where times of its columns at PATHS, which have no unit of their own, don't fit into
    64 bits of nanoseconds: the library would let them wrap around."""
    import pyarrow as pa
    from pyarrow import parquet

    wide = parquet.ParquetFile(native_file(source), coerce_int96_timestamp_unit="us", read_dictionary=repeated)
    both = zip(*(each.iter_batches(_ROWS, columns=paths) for each in (file, wide)), strict=True)
    try:
        for fine, coarse in both:
            for one, other in zip(fine.columns, coarse.columns, strict=True):
                other.cast(one.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return wide
    return file


def _read_arrow(source: Source, bench: Bench) -> None:
    from pyarrow import feather, ipc

    if source.read(0, 4) == b"FEA1":
        table = feather.read_table(native_file(source))
        _write(table.schema, lambda: iter(table.to_batches(_ROWS)), table.num_rows, "feather", bench)
        return
    if source.read(0, 6) != b"ARROW1":
        _read_stream(source, bench)
        return
    _check_sizes(source)
    file = ipc.open_file(native_file(source))

    def batches() -> Iterator[Any]:
        return map(file.get_batch, range(file.num_record_batches))

    _write(file.schema, batches, sum(batch.num_rows for batch in batches()), "arrow", bench)


def _read_stream(source: Source, bench: Bench) -> None:
    from pyarrow import ipc

    _check_sizes(source)
    schema = ipc.open_stream(native_file(source)).schema

    def batches() -> Iterator[Any]:
        file = native_file(source)
        while source.read(file.tell(), _PADDING).strip(b"\0"):  # streams may follow each other
            reader = ipc.open_stream(file)
            if reader.schema != schema:
                raise ValueError("a second stream of other columns follows the first one")
            yield from reader

    _write(schema, batches, sum(batch.num_rows for batch in batches()), "arrow stream", bench)
    end = source.read(max(0, source.length - _PADDING), _PADDING).rstrip(b"\0")
    if source.read(0, 4) == _STREAM_STARTS and not end.endswith(_STREAM_STARTS):
        bench.notes.append(
            "the stream has no mark at its end: its writer left that out, or it was cut off between batches"
        )


def _check_sizes(source: Source) -> None:
    """Raises Refused where a batch, and the dictionaries of its columns, are larger than can be unpacked."""
    for batch in arrow_sizes.held(arrow_sizes.sizes(source)):
        most = _LARGEST_BATCH if batch.unpacked <= batch.packed * _RATIO else _MUCH_UNPACKED
        if batch.unpacked > most or batch.rows > _MOST_ROWS:
            what = f"a batch in it has {batch.rows:,} rows and {batch.unpacked:,} bytes once it's unpacked"
            raise Refused(reasons.too_large(what, "Write it in smaller batches, or as Parquet, and send it again."))


def _read_orc(source: Source, bench: Bench) -> None:
    from pyarrow import orc

    file = orc.ORCFile(native_file(source))

    def stripes() -> Iterator[Any]:
        return (file.read_stripe(number) for number in range(file.nstripes))

    def pieces() -> Iterator[Any]:
        """Of stripes, which may be far larger in memory than in the file."""
        import pyarrow.dataset as ds

        fragment = ds.OrcFileFormat().make_fragment(native_file(source))
        return iter(fragment.to_batches(batch_size=_ROWS, batch_readahead=1, use_threads=False))

    is_doubled = len(set(file.schema.names)) < len(file.schema)  # which pieces can't have
    _write(file.schema, stripes if is_doubled else pieces, file.nrows, "orc", bench)


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
    done, pieces = 0, _Pieces()
    for batch in batches():
        batch.validate(full=True)  # the engine trusts offsets and texts, and a damaged file would end this process
        for piece in pieces.of(batch):
            columns = zip(pa.Table.from_batches([piece]).columns, target, strict=True)
            table = pa.Table.from_arrays([unfolded(column, field.type) for column, field in columns], list(names))
            sheet.write(pl.DataFrame(pl.from_arrow(table)))
        done += batch.num_rows
    if not done:
        sheet.write(pl.DataFrame(pl.from_arrow(target.empty_table().rename_columns(list(names)))))
    if done != counted:
        raise ValueError(f"it says that it has {counted:,} rows, and {done:,} are found")
    fields = list(zip(names, schema, target, strict=True))
    units = {name: f.type.unit for name, f, _made in fields if pa.types.is_duration(f.type)}
    zones = {
        name: f.type.tz for name, f, made in fields if pa.types.is_timestamp(made.type) and f.type.tz != made.type.tz
    }
    sheet.facts = {"format": kind, **({"durations_in": units} if units else {}), **({"zones": zones} if zones else {})}
    made = [Column(name=name, type=sql_type(field.type)) for name, _field, field in fields]
    sheet.finish(counted, made)


class _Pieces:
    """Batches in pieces of so few rows that they are held at once, whatever stands in them for something else."""

    def __init__(self) -> None:
        self._repeated = 0.0  # bytes that the file hasn't got, but its rows have

    def of(self, batch: Any) -> Iterator[Any]:
        """BATCH piece by piece. Raises Refused where a row is too large, or all of them are together."""
        unfolded = arrow_unfolded.Unfolded(batch)
        self._repeated -= _ORDINARY * batch.nbytes
        for start in range(0, batch.num_rows, _ROWS):
            sizes = unfolded.sizes(start, min(start + _ROWS, batch.num_rows))
            self._check(sizes)
            for begin, end in _cuts(np.cumsum(sizes)):
                yield batch.slice(start + begin, end - begin)
        self._repeated = max(0.0, self._repeated)

    def _check(self, sizes: Sizes) -> None:
        self._repeated += float(sizes.sum())
        if sizes.max() > _LARGEST_ROW:
            what = f"a row of it has {int(sizes.max()):,} bytes once it's unpacked"
            raise Refused(reasons.too_large(what, "Write shorter lists and texts, and send it again."))
        if self._repeated > _MOST_REPEATED:
            what = f"its rows have over {_MOST_REPEATED:,} bytes once it's unpacked, many times what it has itself"
            raise Refused(reasons.too_large(what, "Write shorter texts, or fewer rows, and send it again."))


def _cuts(ends: Sizes) -> Iterator[tuple[int, int]]:
    """Pieces of rows of which the bytes up to each one's end are ENDS: where each piece begins and ends."""
    start = 0
    while start < len(ends):
        before = float(ends[start - 1]) if start else 0.0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PIECE_BYTES, "right")))
        yield start, stop
        start = stop


def _read_avro(source: Source, bench: Bench) -> None:
    from stages.convert.columnar_files.avro import open_avro

    file = open_avro(io.BufferedReader(RawFile(source), 1 << 20))
    _write(file.schema, file.batches, file.counted, "avro", bench)


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
