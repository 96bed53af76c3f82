"""A query's answer as a file or a stream: CSV, JSON or Parquet, a bounded piece of it in memory at a time."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from pipeline.results.catalogue import Question

FORMATS: Final = ("table", "csv", "json", "parquet")
_ROWS: Final = 10_000  # fetched at a time
_encoder = msgspec.json.Encoder(enc_hook=str)


def format_of(path: Path | None, wanted: str) -> str:
    """The format to write in: the WANTED one, else what PATH's name says, else a table on the screen."""
    if wanted:
        return wanted
    ending = path.suffix.lower().removeprefix(".") if path else ""
    return {"csv": "csv", "json": "json", "parquet": "parquet"}.get(ending, "csv" if path else "table")


def write(question: Question, form: str, file: BinaryIO) -> int:
    """Writes the answer to QUESTION into FILE in FORM (csv, json, parquet); returns the number of rows."""
    return {"csv": _write_csv, "json": _write_json, "parquet": _write_parquet}[form](question, file)


def _write_csv(question: Question, file: BinaryIO) -> int:
    """Missing values are empty; lists and structs are JSON."""
    count = 0
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(question.columns)
        for row in question.relation.iter_rows():
            writer.writerow([_plain(value) for value in row])
            count += 1
    finally:
        text.detach()
    return count


def _plain(value: Any) -> Any:
    return _encoder.encode(value).decode() if isinstance(value, (dict, list, tuple)) else value


def _write_json(question: Question, file: BinaryIO) -> int:
    """An array of objects, one a line. Where two columns have one name, the last of them stands for both."""
    count = 0
    file.write(b"[")
    for row in question.relation.iter_rows():
        file.write(b"\n" if count == 0 else b",\n")
        file.write(_encoder.encode(dict(zip(question.columns, row, strict=True))))
        count += 1
    file.write(b"]\n" if count == 0 else b"\n]\n")
    return count


def _write_parquet(question: Question, file: BinaryIO) -> int:
    from pyarrow import parquet

    count = 0
    reader = question.relation.to_arrow_reader(_ROWS)
    with parquet.ParquetWriter(file, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count
