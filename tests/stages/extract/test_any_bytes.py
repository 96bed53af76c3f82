"""Whatever bytes come, the stage answers; and a tool's stream that doesn't fit its list never gives a wrong member."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipeline.model import Done, Reason, Reject
from stages.extract import split
from stages.extract.protocol import Refused
from tests.stages.extract.archives import make_tar, make_zip, rows
from tests.stages.extract.conftest import Runner

SEEDS = [
    make_zip([("a.csv", rows(30)), ("b/c.zip", make_zip([("d", b"x" * 50)])), ("e", b"")]),
    make_tar([("a.csv", rows(30)), ("n" * 150, b"long"), ("c.gz", gzip.compress(b"hello"))]),
    make_tar([("a.csv", rows(200))], "w:gz"),
    gzip.compress(rows(100)),
]
changes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.sampled_from(SEEDS), changes=changes, keep=st.floats(0.05, 1), doubled=st.booleans())
def test_a_mangled_archive_is_answered(
    seed: bytes, changes: list[tuple[float, int]], keep: float, doubled: bool
) -> None:
    data = bytearray(seed)
    for where, value in changes:
        data[int(where * (len(data) - 1))] = value
    data = data[: max(1, int(len(data) * keep))] + (data if doubled else b"")
    with TemporaryDirectory() as folder:
        run = Runner(Path(folder))
        path = Path(folder) / "x"
        path.write_bytes(data)
        undisturbed = run(path)
        assert isinstance(undisturbed.outcome, Done | Reject)
        assert undisturbed.code or run.left_over(undisturbed) == set()
        if not undisturbed.code:
            assert run(path, batch={"files": 1}, abandon_every=1).table() == undisturbed.table()


class Words:
    """A tool's output that was written beforehand."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int, /) -> bytes:
        part, self.data = self.data[:size], self.data[size:]
        return part

    def finish(self) -> int:
        return 0

    def close(self) -> None:
        pass


class Scripted:
    """An archive whose tool gives `streams` in turn, one at each start, each short of what `without` names."""

    given = True

    def __init__(self, members: list[split.Listed], contents: list[bytes], broken: set[int], folder: Path) -> None:
        self.listed, self.contents, self.broken, self.folder = members, contents, broken, folder

    def members(self) -> Iterator[split.Listed]:
        return iter(self.listed)

    def unpack(self, without: str | None, aside: object) -> Words:
        left_out = Path(without).read_text().split() if without else []
        data = b""
        for index, (one, content) in enumerate(zip(self.listed, self.contents, strict=True)):
            if one.name not in left_out:
                data += content[: len(content) // 2] if index in self.broken else content
        return Words(data)

    def failed(self, code: int) -> Reason | None:
        return None


@given(
    contents=st.lists(st.binary(max_size=40), min_size=1, max_size=12),
    broken=st.sets(st.integers(0, 11)),
    summed=st.booleans(),
    read_size=st.integers(1, 50),
)
@settings(max_examples=300, deadline=None)
def test_the_splitter_gives_each_member_its_own_bytes(
    contents: list[bytes], broken: set[int], summed: bool, read_size: int
) -> None:
    names = [f"n{i}" for i in range(len(contents))]
    members = [
        split.Listed(name, name.encode(), len(data), zlib.crc32(data) if summed else None)
        for name, data in zip(names, contents, strict=True)
    ]
    broken = {index for index in broken if index < len(contents) and len(contents[index]) > 1}
    streamed = [data[: len(data) // 2] if index in broken else data for index, data in enumerate(contents)]
    for index in broken:  # what follows may happen to be just what is missing
        assume(not b"".join(streamed[index + 1 :]).startswith(contents[index][len(contents[index]) // 2 :]))
    with TemporaryDirectory() as folder:
        made = (str(Path(folder) / f"list{i}") for i in itertools.count())
        archive = Scripted(members, contents, broken, Path(folder))
        reader = split.SplitReader(archive, made.__next__)  # type: ignore[arg-type]
        got: dict[str, bytes] = {}
        try:
            for entry in reader.entries(0):
                if entry.open is None:
                    continue
                try:
                    source = entry.open()
                    data = b""
                    while part := source.read(read_size):
                        data += part
                    got[entry.name] = data
                except Refused:
                    pass
        except Refused:
            assert not summed
    if summed:
        assert got == {
            name: data for i, (name, data) in enumerate(zip(names, contents, strict=True)) if i not in broken
        }
    elif not broken:
        assert got == dict(zip(names, contents, strict=True))
