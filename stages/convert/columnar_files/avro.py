"""Avro object container files: the schema that they bring, and their records as batches of Arrow's.

Dates and times are taken as the numbers that they are, so that no year is out of reach. What has no type of its own (a
union of several, a record within itself) is written as JSON.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Context, Decimal
from typing import IO, Any

import msgspec

from stages.convert import reasons
from stages.convert.columnar_files.arrow_types import as_json
from stages.convert.family import Refused

_ROWS = 20_000
_EMPTY_ROWS = 10_000_000  # records that may have not one byte
_STEP = "Write it with the codec deflate, and send it again; its bytes are kept as they came."
_WIDE = Context(prec=400)


class Avro(msgspec.Struct, frozen=True):
    """An Avro file: its SCHEMA in Arrow's words, how many records its blocks say they have, and these in batches."""

    schema: Any
    counted: int
    batches: Callable[[], Iterator[Any]]


def open_avro(file: IO[bytes]) -> Avro:
    """What FILE holds. Raises ValueError where it's damaged, and Refused where it can't be read."""
    import fastavro
    import pyarrow as pa

    start = file.tell()
    with _own_words():
        counted = sum(block.num_records for block in fastavro.block_reader(file))
        file.seek(start)
        plan = _Plan(fastavro.reader(file).writer_schema)
    names = [name for name, _kind in plan.columns]

    def batches() -> Iterator[Any]:
        with _own_words():
            file.seek(start)
            records = itertools.chain.from_iterable(map(plan.records, fastavro.block_reader(file)))
            while rows := list(itertools.islice(records, _ROWS)):
                arrays = [plan.column(index, rows) for index in range(len(names))]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    schema = pa.schema([pa.field(name, kind or pa.string()) for name, kind in plan.columns])
    return Avro(schema, counted, batches)


@contextmanager
def _own_words() -> Iterator[None]:
    """What fastavro raises for a damaged file, which may be anything, as ValueError."""
    try:
        yield
    except OSError:
        raise
    except RecursionError as error:
        raise Refused(reasons.too_deep("its records are nested in each other some hundred times")) from error
    except Exception as error:  # of MemoryError too, for a text that says that it has 2^60 bytes
        if "codec" in str(error):
            raise Refused(reasons.unsupported(f"its blocks are packed in an unknown way ({error})", _STEP)) from error
        raise ValueError(f"{type(error).__name__}: {error}") from error


class _Plan:
    """How the records of a file with SCHEMA, as fastavro has it parsed, are read: its columns, each with its type, or
    none where it's written as JSON."""

    def __init__(self, schema: Any) -> None:
        import fastavro
        from fastavro import _read_py, read

        named: dict[str, Any] = {}
        fastavro.parse_schema(_copied(schema), named)
        kinds = _Kinds(named)
        self._is_record = type(schema) is dict and schema["type"] in ("record", "error")
        fields = schema["fields"] if self._is_record else [{"name": "value", "type": schema}]
        inside = (schema["name"],) if self._is_record else ()
        self.columns = [(str(field["name"]), kinds.of(field["type"], inside)) for field in fields]
        typed = [
            {**field, "type": field["type"] if kind is None else kinds.bare(field["type"])}
            for field, (_name, kind) in zip(fields, self.columns, strict=True)
        ]
        self._schema = fastavro.parse_schema(
            _copied({**schema, "fields": typed} if self._is_record else typed[0]["type"])
        )
        # The fast reader doesn't count how deep it is, and ends the process where a record is too long a chain.
        reader = _read_py if kinds.is_recursive else read
        for module in (_read_py, read):
            module.LOGICAL_READERS["bytes-decimal"] = module.LOGICAL_READERS["fixed-decimal"] = _exact_decimal
        self._read = reader.schemaless_reader

    def records(self, block: Any) -> Iterator[Any]:
        """The records of BLOCK. Raises ValueError unless they are all that it holds."""
        data = block.bytes_
        size = len(data.getbuffer())
        if block.num_records > size + _EMPTY_ROWS:
            raise ValueError(f"a block of {size:,} bytes says that it has {block.num_records:,} records")
        for _number in range(block.num_records):
            yield self._read(data, self._schema, None)
        if data.tell() != size:
            raise ValueError(
                f"after the {block.num_records:,} records of a block {size - data.tell():,} bytes are left"
            )

    def column(self, index: int, rows: list[Any]) -> Any:
        """The column with INDEX of ROWS as an array."""
        import pyarrow as pa

        name, kind = self.columns[index]
        values = [row[name] for row in rows] if self._is_record else rows
        return pa.array(map(as_json, values) if kind is None else values, kind or pa.string())


def _copied(schema: Any) -> Any:
    """SCHEMA as fastavro hasn't yet seen it."""
    found = json.loads(json.dumps(schema, default=str))
    return {key: part for key, part in found.items() if not key.startswith("__")} if type(found) is dict else found


def _exact_decimal(data: bytes, writer_schema: Any = None, reader_schema: Any = None) -> Decimal:
    """The decimal in DATA with all of its digits, also those that the schema doesn't know of."""
    number = Decimal(int.from_bytes(data, "big", signed=True))
    return number.scaleb(-writer_schema.get("scale", 0), _WIDE)


class _Kinds:
    """Avro's types in Arrow's words; NAMED are those that have a name."""

    def __init__(self, named: dict[str, Any]) -> None:
        self._named = named
        self.is_recursive = False

    def of(self, schema: Any, inside: tuple[str, ...] = ()) -> Any:
        """The type of SCHEMA, which lies within the records INSIDE; None where it has none of its own."""
        import pyarrow as pa

        if type(schema) is list:
            return self._union(schema, inside)
        if type(schema) is str:
            return self._by_name(schema, inside)
        name = schema["type"]
        if name in ("record", "error"):
            inner = (*inside, schema["name"])
            fields = [(field["name"], self.of(field["type"], inner)) for field in schema["fields"]]
            return None if any(kind is None for _name, kind in fields) else pa.struct(fields)
        if name in ("array", "map"):
            items = self.of(schema["items" if name == "array" else "values"], inside)
            return items and (pa.list_(items) if name == "array" else pa.map_(pa.string(), items))
        return _logical(schema) or self.of(name, inside)

    def _by_name(self, name: str, inside: tuple[str, ...]) -> Any:
        import pyarrow as pa

        if name in inside:
            self.is_recursive = True
            return None
        return self.of(self._named[name], inside) if name in self._named else _PRIMITIVES[name](pa)

    def _union(self, branches: list[Any], inside: tuple[str, ...]) -> Any:
        import pyarrow as pa

        kinds = [self.of(branch, inside) for branch in branches]
        others = [kind for branch, kind in zip(branches, kinds, strict=True) if branch != "null"]
        if len(others) < 2:
            return others[0] if others else pa.null()
        names = {branch if type(branch) is str else "" for branch in branches} - {"null"}
        for numbers, kind in _NUMBERS:
            if names <= numbers:
                return kind(pa)
        return None

    def bare(self, schema: Any) -> Any:
        """SCHEMA without its logical types but decimals: what they are made of is typed by Arrow."""
        if type(schema) is list:
            return [self.bare(branch) for branch in schema]
        if type(schema) is not dict:
            return schema
        found = {key: part for key, part in schema.items() if key != "logicalType" or part == "decimal"}
        for key in ("items", "values"):
            if key in found:
                found[key] = self.bare(found[key])
        if "fields" in found:
            found["fields"] = [{**field, "type": self.bare(field["type"])} for field in found["fields"]]
        return found


_PRIMITIVES: dict[str, Callable[[Any], Any]] = {
    "null": lambda pa: pa.null(),
    "boolean": lambda pa: pa.bool_(),
    "int": lambda pa: pa.int32(),
    "long": lambda pa: pa.int64(),
    "float": lambda pa: pa.float32(),
    "double": lambda pa: pa.float64(),
    "bytes": lambda pa: pa.binary(),
    "fixed": lambda pa: pa.binary(),
    "string": lambda pa: pa.string(),
    "enum": lambda pa: pa.string(),
}
_NUMBERS: tuple[tuple[set[str], Callable[[Any], Any]], ...] = (
    ({"int", "long"}, lambda pa: pa.int64()),
    ({"int", "float", "double"}, lambda pa: pa.float64()),
)
_LOGICAL: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("int", "date"): lambda pa: pa.date32(),
    ("int", "time-millis"): lambda pa: pa.time32("ms"),
    ("long", "time-micros"): lambda pa: pa.time64("us"),
}
_MOMENTS = {f"timestamp-{word}": unit for word, unit in (("millis", "ms"), ("micros", "us"), ("nanos", "ns"))}


def _logical(schema: dict[str, Any]) -> Any:
    """The type that SCHEMA's logical type stands for; None where it has none, or one that is to be ignored."""
    import pyarrow as pa

    name, logical = schema["type"], schema.get("logicalType")
    if logical == "decimal" and name in ("bytes", "fixed"):
        return _decimal(schema.get("precision"), schema.get("scale", 0))
    if logical == "uuid" and name == "fixed" and schema["size"] == 16:
        return pa.uuid()
    if type(name) is not str or type(logical) is not str:
        return None
    unit = _MOMENTS.get(logical.removeprefix("local-"))
    if name == "long" and unit:
        return pa.timestamp(unit, None if logical.startswith("local-") else "UTC")
    found = _LOGICAL.get((name, logical))
    return found and found(pa)


def _decimal(digits: Any, scale: Any) -> Any:
    """The type for DIGITS, SCALE of them after the point; None where that can't be."""
    import pyarrow as pa

    if type(digits) is not int or type(scale) is not int or not 0 <= scale <= digits or not 0 < digits <= 76:
        return None
    return pa.decimal128(digits, scale) if digits <= 38 else pa.decimal256(digits, scale)
