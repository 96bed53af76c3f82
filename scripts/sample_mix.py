"""Many files of all kinds and sizes, with the variety of real ones, made fast."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
from isal import igzip
from sample_formats import Entry, write_tar, xlsx, zip_bytes
from sample_words import CITIES, FIRST, LAST, NOTES, PRODUCTS, WORDS

MIB = 1024 * 1024
CHUNK_ROWS = 100_000
SMALL_BYTES = {"xlsx": 3 * MIB, "json": 24 * MIB}  # nobody sends larger ones of these
KINDS = ("csv", "zip", "tar.gz", "ndjson", "csv", "zip", "csv", "json", "gz", "xlsx")
DELIMITERS = (",", ";", "\t", "|")


def mixed(out: Path, count: int, total: int, seed: int) -> Iterator[int]:
    """Writes COUNT files of TOTAL bytes, extracted, to OUT; yields each one's bytes as extracted."""
    rng = np.random.default_rng(seed)
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    for number, (kind, size) in enumerate(zip(kinds, _sizes(kinds, total, rng), strict=True), 1):
        path = out / f"{number:04}-{('orders', 'people', 'readings')[number % 3]}.{'csv.gz' if kind == 'gz' else kind}"
        if sys.stderr.isatty():
            print(f"\r{number} of {count}", end="", file=sys.stderr)
        yield WRITERS[kind](path, Source(rng, number % 3), size)


def _sizes(kinds: list[str], total: int, rng: np.random.Generator) -> list[int]:
    """A size for each of KINDS: few large and many small, as people send them, TOTAL in all."""
    shares = rng.lognormal(0, 1.2, len(kinds))
    limits = [SMALL_BYTES.get(kind, total) for kind in kinds]
    sizes = [0.0] * len(kinds)
    for _ in range(8):  # what a limit cuts off goes to the others
        left = total - sum(sizes)
        free = [share if size < limit else 0.0 for share, size, limit in zip(shares, sizes, limits, strict=True)]
        sizes = [
            min(limit, size + left * share / (sum(free) or 1))
            for size, share, limit in zip(sizes, free, limits, strict=True)
        ]
    return [max(200, int(size)) for size in sizes]


class Source:
    """Rows of one of three kinds, as many as are asked for."""

    def __init__(self, rng: np.random.Generator, kind: int) -> None:
        self.rng = rng
        self._make = (self._orders, self._people, self._readings)[kind]
        self.delimiter = DELIMITERS[int(rng.integers(len(DELIMITERS)))]
        self._next = 1

    def frame(self, rows: int) -> pl.DataFrame:
        """The next ROWS rows."""
        frame = pl.DataFrame(self._make(rows)).with_columns(pl.int_range(self._next, self._next + rows).alias("id"))
        self._next += rows
        return frame.select("id", pl.exclude("id"))

    def csv(self, size: int) -> Iterator[bytes]:
        """About SIZE bytes of CSV, in pieces."""
        sample = self._measure(lambda rows: self._csv(rows, header=False))
        rows, header = max(1, round(size / sample)), True
        while rows > 0:
            yield self._csv(min(rows, CHUNK_ROWS), header)
            rows, header = rows - CHUNK_ROWS, False

    def ndjson(self, size: int) -> Iterator[bytes]:
        """About SIZE bytes of NDJSON, in pieces."""
        sample = self._measure(lambda rows: _ndjson(self.frame(rows)))
        rows = max(1, round(size / sample))
        while rows > 0:
            yield _ndjson(self.frame(min(rows, CHUNK_ROWS)))
            rows -= CHUNK_ROWS

    def _measure(self, make: Callable[[int], bytes]) -> float:
        """How many bytes a row takes, as MAKE writes it."""
        size = len(make(200)) / 200
        self._next = 1
        return size

    def _csv(self, rows: int, header: bool) -> bytes:
        return self.frame(rows).write_csv(separator=self.delimiter, include_header=header).encode()

    def _orders(self, rows: int) -> dict[str, Any]:
        return {
            "customer": self._names(rows),
            "city": self._pick(CITIES, rows),
            "ordered_on": self._days(rows),
            "product": self._pick(PRODUCTS, rows),
            "quantity": self.rng.integers(1, 60, rows),
            "amount": self._cents(rows),
            "note": self._pick(_notes(), rows),
        }

    def _people(self, rows: int) -> dict[str, Any]:
        return {
            "name": self._names(rows),
            "born_on": self._days(rows, 5_000),
            "city": self._pick(CITIES, rows),
            "postcode": pl.Series(self.rng.integers(0, 100_000, rows)).cast(pl.String).str.zfill(5),
            "height_cm": self.rng.normal(172, 9, rows).round(1),
            "active": self.rng.random(rows) < 0.8,
        }

    def _readings(self, rows: int) -> dict[str, Any]:
        start = 1_700_000_000_000 + self._next * 1000
        return {
            "sensor": self._pick([f"S-{number:03}" for number in range(300)], rows),
            "read_at": pl.Series(start + self.rng.integers(200, 2000, rows).cumsum()).cast(pl.Datetime("ms")),
            "celsius": self.rng.normal(20, 6, rows).round(2),
            "volts": self.rng.normal(3.3, 0.05, rows).round(4),
            "errors": self.rng.poisson(0.2, rows),
            "state": self._pick(["ok"] * 20 + ["low", "fault", None], rows),
        }

    def _pick(self, values: list[Any], rows: int) -> pl.Series:
        return pl.Series(values, dtype=pl.String).gather(self.rng.integers(0, len(values), rows))

    def _names(self, rows: int) -> pl.Series:
        return self._pick(FIRST, rows) + " " + self._pick(LAST, rows)

    def _days(self, rows: int, around: int = 19_000) -> pl.Series:
        return pl.Series(around + self.rng.integers(-700, 700, rows)).cast(pl.Int32).cast(pl.Date)

    def _cents(self, rows: int) -> pl.Series:
        cents = pl.Series((self.rng.lognormal(4, 1, rows) * 100).astype("int64"))
        return (cents / 100).round(2).cast(pl.Decimal(12, 2))


@cache
def _notes() -> list[str]:
    rng = random.Random(7)
    plain = [" ".join(rng.choices(WORDS, k=rng.randint(2, 9))) for _ in range(3000)]
    return plain + list(NOTES) * 10


def _ndjson(frame: pl.DataFrame) -> bytes:
    return frame.with_columns(pl.selectors.decimal().cast(pl.Float64)).write_ndjson().encode()


def _write_csv(path: Path, source: Source, size: int) -> int:
    return _write(path, source.csv(size))


def _write_ndjson(path: Path, source: Source, size: int) -> int:
    return _write(path, source.ndjson(size))


def _write_json(path: Path, source: Source, size: int) -> int:
    lines = b"".join(source.ndjson(size)).rstrip(b"\n").replace(b"\n", b",\n")
    return path.write_bytes(b"[" + lines + b"]\n")


def _write(path: Path, pieces: Iterable[bytes]) -> int:
    with path.open("wb") as file:
        return sum(map(file.write, pieces))


def _write_gz(path: Path, source: Source, size: int) -> int:
    with path.open("wb") as raw, _packer(raw) as file:
        return sum(map(file.write, source.csv(size)))


def _write_zip(path: Path, source: Source, size: int) -> int:
    entries = list(_entries(source, size))
    path.write_bytes(zip_bytes(entries, level=1))
    return sum(len(entry.data) for entry in entries)


def _write_tar_gz(path: Path, source: Source, size: int) -> int:
    entries = list(_entries(source, size))
    with path.open("wb") as raw, _packer(raw) as file:
        write_tar(file, entries)
    return sum(len(entry.data) for entry in entries)


def _write_xlsx(path: Path, source: Source, size: int) -> int:
    frame = source.frame(max(1, size // 350))
    sheet = [frame.columns, *(["" if value is None else value for value in row] for row in frame.rows())]
    path.write_bytes(xlsx({"Data": sheet}, level=1))
    return size


def _packer(raw: IO[bytes]) -> IO[bytes]:
    packed: IO[bytes] = igzip.IGzipFile("", "wb", 2, raw, 0)  # type: ignore[assignment, no-untyped-call]
    return packed


def _entries(source: Source, size: int) -> Iterator[Entry]:
    """One to twelve members of SIZE bytes in all, mostly CSV."""
    count = int(source.rng.integers(1, 13))
    for number in range(1, count + 1):
        kind = ("csv", "csv", "csv", "ndjson")[number % 4]
        pieces = source.csv(size // count) if kind == "csv" else source.ndjson(size // count)
        yield Entry(f"data/part {number}.{kind}", b"".join(pieces))


WRITERS: dict[str, Callable[[Path, Source, int], int]] = {
    "csv": _write_csv,
    "ndjson": _write_ndjson,
    "json": _write_json,
    "gz": _write_gz,
    "zip": _write_zip,
    "tar.gz": _write_tar_gz,
    "xlsx": _write_xlsx,
}
