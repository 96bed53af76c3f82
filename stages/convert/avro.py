"""Avro object container files, record by record, with nested values as structs and lists."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import uuid
from collections.abc import Iterator
from typing import IO, Any

from stages.convert.family import Bench
from stages.convert.json_rows import RowBlock, RowTable

_ROWS = 20_000


def read_avro(file: IO[bytes], bench: Bench) -> None:
    """Makes a table of FILE's records. The blocks' own headers tell how many there are."""
    import fastavro

    start = file.tell()
    counted = sum(block.num_records for block in fastavro.block_reader(file))

    def blocks() -> Iterator[RowBlock]:
        file.seek(start)
        reader = iter(fastavro.reader(file))
        while records := list(itertools.islice(reader, _ROWS)):
            yield RowBlock(values=[plain(record) for record in records])

    RowTable(blocks, bench).read({"format": "avro"}, counted=counted)


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
