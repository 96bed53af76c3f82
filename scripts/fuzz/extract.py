"""Feeds the readers of extract with mutated archives under atheris: whatever comes, a reader may only refuse.

    python scripts/fuzz/extract.py {zip,tar,single,cpio,ar,split} CORPUS_DIR -max_total_time=600

atheris isn't among the project's dependencies; install it (with msgspec, isal, lz4 and backports.zstd) into an
environment of its own. A crash is written as `crash-...` by libFuzzer, and is run again by giving its path.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["stages.extract"]):
    from pipeline.model import Options
    from stages.extract import split
    from stages.extract.blobs import BlobSource, MemoryBlob
    from stages.extract.formats import ar, cpio, sevenzip, single, tar
    from stages.extract.formats import zip as zips
    from stages.extract.protocol import Opening, Refused, Stop

FORMATS = {"zip": zips.FORMAT, "tar": tar.FORMAT, "single": single.FORMAT, "cpio": cpio.FORMAT, "ar": ar.FORMAT}
SCRATCH = tempfile.mkdtemp()
LIMIT = 4 << 20  # produced bytes after which an input has shown enough


def opening(data: bytes) -> Opening:
    """As the walk makes it, without tools."""
    blob = MemoryBlob(data)
    return Opening(
        name="x",
        source=BlobSource(blob),
        blob=blob,
        options=Options(),
        count=lambda source: source,
        tools=None,  # type: ignore[arg-type]
        file=lambda: "/nowhere",
        split=False,
        threads=False,
        scratch=lambda: "/dev/null",
        tick=lambda: None,
        read_more=lambda size: None,
    )


def read_all(kind: str, data: bytes) -> None:
    """Opens DATA and reads every entry."""
    form = FORMATS[kind]
    if not form.matches(data[: 36 << 10]) and kind != "zip":
        return
    reader = form.open(opening(data))
    if reader is None:
        return
    left = LIMIT
    try:
        for entry in reader.entries(0):
            if entry.open is None:
                continue
            try:
                source = entry.open()
                while left > 0 and (part := source.read(1 << 16)):
                    left -= len(part)
            except Refused:
                pass
            if left <= 0:
                return
    finally:
        reader.close()


class FakeTool:
    """A tool whose output is DATA."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int) -> bytes:
        """The next bytes."""
        part, self.data = self.data[:size], self.data[size:]
        return part

    def finish(self) -> int:
        """Its exit code."""
        return 0

    def close(self) -> None:
        """Nothing runs."""


class FakeArchive:
    """Lists what the fuzzer says, and unpacks what it says, whether they fit or not."""

    def __init__(self, data: bytes) -> None:
        provider = atheris.FuzzedDataProvider(data)
        self.given = provider.ConsumeBool()
        self.lists = [self.listed(provider) for _ in range(provider.ConsumeIntInRange(0, 12))]
        self.streams = [provider.ConsumeBytes(provider.ConsumeIntInRange(0, 200)) for _ in range(30)]

    def listed(self, provider: atheris.FuzzedDataProvider) -> dict[str, str]:
        """One member's fields, as 7zz would give them."""
        fields = {
            "Path": provider.ConsumeUnicodeNoSurrogates(4) or "x",
            "Size": str(provider.ConsumeIntInRange(-1, 40)),
        }
        fields["Block"] = str(provider.ConsumeIntInRange(0, 2))
        if provider.ConsumeBool():
            fields["CRC"] = f"{provider.ConsumeIntInRange(0, 2**32 - 1):08X}"
        if provider.ConsumeBool():
            fields["Encrypted"] = "+"
        fields["Attributes"] = provider.PickValueInList(["A", "D", "A lrwxrwxrwx", "A -rw-r--r--"])
        return fields

    def members(self) -> Iterator[split.Listed]:
        """The list."""
        for fields in self.lists:
            yield sevenzip.listed(fields)

    def unpack(self, without: str | None, aside: object) -> FakeTool:
        """The next stream."""
        return FakeTool(self.streams.pop() if self.streams else b"")

    def failed(self, code: int) -> None:
        """Never."""
        return


def split_all(data: bytes) -> None:
    """Splits a stream that may not fit its list; what is handed on must be of the listed length."""
    archive = FakeArchive(data)
    numbers = itertools.count()  # the same few files serve every input
    reader = split.SplitReader(archive, lambda: f"{SCRATCH}/{next(numbers)}")  # type: ignore[arg-type]
    for entry in reader.entries(0):
        if entry.open is None:
            continue
        made = b""
        try:
            source = entry.open()
            while part := source.read(7):
                made += part
        except Refused:
            continue
        assert entry.size in (-1, len(made))


def main() -> None:
    kind = sys.argv.pop(1)

    def one(data: bytes) -> None:
        try:
            split_all(data) if kind == "split" else read_all(kind, data)
        except (Refused, Stop):
            pass

    os.environ["PATH"] = "/nowhere"
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
