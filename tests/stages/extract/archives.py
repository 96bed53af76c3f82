"""Makes the archives that tests take apart."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

Files = Iterable[tuple[str, bytes]]


def rows(count: int, seed: int = 1) -> bytes:
    """A CSV of COUNT rows that compresses as real ones do."""
    chance = random.Random(seed)
    lines = [f"{i},{chance.random():.6f},{chance.choice(('north', 'south', 'east'))}" for i in range(count)]
    return ("id,value,region\n" + "\n".join(lines) + "\n").encode()


def make_zip(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of FILES."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def make_tar(files: Files, mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of FILES; MODE as tarfile has it."""
    buffer = io.BytesIO()
    fast = {"preset": 0} if mode == "w:xz" else {}
    with tarfile.open(fileobj=buffer, mode=mode, format=form, **fast) as archive:  # type: ignore[call-overload]
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def saved(folder: Path, name: str, data: bytes) -> Path:
    """DATA as the file NAME."""
    path = folder / name
    path.write_bytes(data)
    return path


class Unseekable:
    """A file that can't go back, so that sizes come behind the data."""

    def __init__(self, buffer: io.BytesIO) -> None:
        self.write, self.flush = buffer.write, buffer.flush


def mixture() -> bytes:
    """A zip with everything in it: small and large members, a tar in a gz, a zip in a tar, a gz, a bad entry."""
    inner_zip = make_zip([(f"z{i}.csv", rows(50, i)) for i in range(7)])
    inner_tar = make_tar([("first.csv", rows(40)), ("deep.zip", inner_zip), ("last.csv", rows(30))])
    large = make_tar([("large.csv", rows(90_000)), ("more.csv", rows(10)), ("deep.zip", inner_zip)], "w:gz")
    stored = make_zip([("a.bin", random.Random(3).randbytes(1_500_000)), ("b.csv", rows(5))], zipfile.ZIP_STORED)
    data = make_zip(
        [
            ("one.csv", rows(20)),
            ("folder/", b""),
            ("folder/two.csv", rows(60_000, 2)),
            ("inner.tar", inner_tar),
            ("large.tar.gz", large),
            ("damaged.csv", b"MARK" * 1000),
            ("stored.zip", stored),
            ("three.csv.gz", gzip.compress(rows(100, 3))),
            ("empty.csv", b""),
            ("nothing.zip", make_zip([])),
            ("four.csv", rows(200, 4)),
        ]
    )
    return _damage(data, b"damaged.csv")


def _damage(data: bytes, name: bytes) -> bytes:
    at = data.index(name) + len(name) + 6
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
