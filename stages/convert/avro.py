"""Avro object container files, record by record, with nested values as structs and lists."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from stages.convert.family import Bench
from stages.convert.json_rows import RowBlock, RowTable

_ROWS = 20_000


def read_avro(file: IO[bytes], bench: Bench) -> None:
    """Makes a table of FILE's records. The blocks' own headers tell how many there are."""
    import fastavro

    start = file.tell()

    def blocks() -> Iterator[RowBlock]:
        with _own_words():
            file.seek(start)
            reader = iter(fastavro.reader(file))
            while records := list(itertools.islice(reader, _ROWS)):
                yield RowBlock(values=[plain(record) for record in records])

    with _own_words():
        counted = sum(block.num_records for block in fastavro.block_reader(file))
    found = sum(block.rows for block in blocks())
    if found != counted:
        raise ValueError(f"its blocks say that they have {counted:,} records, and {found:,} are found")
    RowTable(blocks, bench).read({"format": "avro"}, counted=counted)


@contextmanager
def _own_words() -> Iterator[None]:
    """What fastavro raises for a damaged file, which may be anything, as ValueError."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def plain(value: Any) -> Any:
    """VALUE with what JSON has no word for written as text."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, (dt.date, dt.time, uuid.UUID)):
        return str(value)
    return value
