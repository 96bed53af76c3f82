"""Uploads for crash campaigns: small, mixed, each with content of its own, some damaged, some that kill their worker.

What a member does to its worker stands in its name, which `tests.crash.wrapped` obeys:

    poison-convert-SEGV-17.csv    convert's process dies of SIGSEGV as soon as it is at this member, every time
    tool-extract-3.csv            extract runs an external program before it hands this member on
"""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEATHS: Final = ("SEGV", "ABRT", "KILL", "MEMORY", "EXIT")
Files = list[tuple[str, bytes]]


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file to submit. `poison` are the members' last names that must end as `crashed`; `copy_of` names an upload
    with the same bytes."""

    name: str
    data: bytes
    poison: tuple[str, ...] = ()
    copy_of: str = ""


def make(count: int, seed: int) -> Iterator[Upload]:
    """COUNT uploads; the same for the same SEED, and the first ones the same whatever COUNT is."""
    chance = random.Random(seed)
    copyable: Upload | None = None
    for number in range(count):
        if copyable is not None and chance.random() < 0.03:
            yield Upload(name=f"{number:05}-again-{copyable.name}", data=copyable.data, copy_of=copyable.name)
            continue
        if number % 40 == 7:
            yield _poison(number, chance)
            continue
        kind = chance.choices(_KINDS, _WEIGHTS)[0]
        made = kind(number, chance)
        if kind in (_csv, _zip):
            copyable = made
        yield made


def samples() -> list[Upload]:
    """One upload of each kind that has no business with workers or tools, and a copy of the first."""
    kinds: dict[str, Upload] = {}
    for upload in make(400, seed=5):
        kind = upload.name.partition("-")[2].partition("-")[0] or upload.name.partition(".")[2]
        if not upload.poison and "tool" not in upload.name and not upload.copy_of:
            kinds.setdefault(kind, upload)
    first = next(iter(kinds.values()))
    return [*kinds.values(), Upload(name=f"again-{first.name}", data=first.data, copy_of=first.name)]


def write(uploads: Iterator[Upload], folder: Path) -> list[Upload]:
    """Writes UPLOADS to FOLDER, each under its name."""
    written = []
    for upload in uploads:
        (folder / upload.name).write_bytes(upload.data)
        written.append(upload)
    return written


def rows(number: int, count: int, chance: random.Random) -> bytes:
    """A CSV of COUNT rows whose content says which one it is."""
    lines = [f"{number},{row},{chance.random():.6f},{chance.choice(('north', 'south'))}" for row in range(count)]
    return ("job,row,value,region\n" + "\n".join(lines) + "\n").encode()


def make_zip(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of FILES, the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def make_tar(files: Files) -> bytes:
    """A tar of FILES, the same bytes each time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _csv(number: int, chance: random.Random) -> Upload:
    return Upload(name=f"{number:05}.csv", data=rows(number, chance.randint(1, 200), chance))


def _ragged(number: int, chance: random.Random) -> Upload:
    """A CSV with a record that its table can't take."""
    data = rows(number, 30, chance) + b"1,2,3,4,5,6,7\n" + rows(number, 5, chance).split(b"\n", 1)[1]
    return Upload(name=f"{number:05}-ragged.csv", data=data)


def _large_csv(number: int, chance: random.Random) -> Upload:
    return Upload(name=f"{number:05}-large.csv", data=rows(number, 8000, chance))


def _ndjson(number: int, chance: random.Random) -> Upload:
    lines = [json.dumps({"job": number, "row": row, "value": chance.random()}) for row in range(chance.randint(1, 40))]
    return Upload(name=f"{number:05}.ndjson", data="\n".join(lines).encode() + b"\n")


def _members(number: int, chance: random.Random, count: int) -> Files:
    """Members of some kinds, their names free of any order."""
    files: Files = []
    for part in range(count):
        kind = chance.random()
        if kind < 0.7:
            files.append((f"part{part}.csv", rows(number * 1000 + part, chance.randint(1, 60), chance)))
        elif kind < 0.8:
            files.append((f"picture{part}.png", b"\x89PNG\r\n\x1a\n" + chance.randbytes(300)))
        elif kind < 0.9:
            files.append((f"only{part}.csv", b"name,%d\nx,1\n" % (number * 1000 + part)))
        else:
            files.append((f"empty{part}.csv", b""))
    return files


def _zip(number: int, chance: random.Random) -> Upload:
    return Upload(name=f"{number:05}.zip", data=make_zip(_members(number, chance, chance.randint(2, 12))))


def _long_zip(number: int, chance: random.Random) -> Upload:
    return Upload(name=f"{number:05}-long.zip", data=make_zip(_members(number, chance, 40)))


def _nested(number: int, chance: random.Random) -> Upload:
    inner = make_zip(_members(number, chance, 6))
    tar = make_tar(
        [*_members(number + 500_000, chance, 3), ("deep/inner.zip", inner), ("last.csv", rows(number, 3, chance))]
    )
    data = make_zip([("first.csv", rows(number, 4, chance)), ("set.tar.gz", gzip.compress(tar, mtime=0))])
    return Upload(name=f"{number:05}-nested.zip", data=data)


def _tar_gz(number: int, chance: random.Random) -> Upload:
    tar = make_tar(_members(number, chance, chance.randint(2, 12)))
    return Upload(name=f"{number:05}.tar.gz", data=gzip.compress(tar, mtime=0))


def _damaged_member(number: int, chance: random.Random) -> Upload:
    data = bytearray(make_zip([*_members(number, chance, 3), ("bad.csv", rows(number, 300, chance))]))
    data[data.index(b"bad.csv") + 60] ^= 0x55
    return Upload(name=f"{number:05}-damaged.zip", data=bytes(data))


def _cut_off(number: int, chance: random.Random) -> Upload:
    whole = _tar_gz(number, chance).data
    return Upload(name=f"{number:05}-cut.tar.gz", data=whole[: len(whole) * 2 // 3])


def _no_archive(number: int, chance: random.Random) -> Upload:
    return Upload(name=f"{number:05}-broken.zip", data=b"PK\x03\x04" + b"%d" % number + chance.randbytes(500))


def _empty(number: int, chance: random.Random) -> Upload:
    return Upload(name=f"{number:05}-empty.csv", data=b"")


def _picture(number: int, chance: random.Random) -> Upload:
    return Upload(name=f"{number:05}.png", data=b"\x89PNG\r\n\x1a\n%d" % number + chance.randbytes(2000))


def _tool(number: int, chance: random.Random) -> Upload:
    stage = chance.choice(("extract", "convert"))
    files = [(f"a{number}.csv", rows(number, 5, chance)), (f"tool-{stage}-{number}.csv", rows(number, 9, chance))]
    return Upload(name=f"{number:05}-tool.zip", data=make_zip(files))


def _poison(number: int, chance: random.Random) -> Upload:
    """One that kills its worker: alone, or as one of several members; by turns in each way and in each stage."""
    turn = number // 40
    death = DEATHS[turn % len(DEATHS)]
    stage = ("convert", "extract")[(turn // len(DEATHS)) % 2]
    bad = f"poison-{stage}-{death}-{number}.csv"
    if stage == "convert" and chance.random() < 0.3:
        return Upload(name=bad, data=rows(number, 5, chance), poison=(bad,))
    files = _members(number, chance, chance.randint(1, 12))
    files.insert(chance.randint(0, len(files)), (bad, rows(number, 5, chance)))
    pack: Callable[[Files], bytes] = make_tar if chance.random() < 0.3 else make_zip
    suffix = "tar" if pack is make_tar else "zip"
    return Upload(name=f"{number:05}-poisoned.{suffix}", data=pack(files), poison=(bad,))


_KINDS = [
    _csv,
    _ragged,
    _large_csv,
    _ndjson,
    _zip,
    _long_zip,
    _nested,
    _tar_gz,
    _damaged_member,
    _cut_off,
    _no_archive,
    _empty,
    _picture,
    _tool,
]
_WEIGHTS = [28, 3, 3, 8, 18, 3, 8, 6, 4, 3, 2, 2, 3, 12]
