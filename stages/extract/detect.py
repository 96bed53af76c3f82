"""Which format a file is, told by its first bytes alone.

A further format comes as an entry point of the group `stampmill.extract` that names a `protocol.Format`.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from stages.extract.formats import ar, cpio, rar, sevenzip, single, tar, zip_directory
from stages.extract.formats import zip as zips
from stages.extract.protocol import Blob, Format

HEAD = 36 << 10  # bytes that tell; an iso9660 image has its mark at 32 KiB
PROGRAMS = (b"MZ", b"\x7fELF", b"#!")
SEARCHED = 1 << 20  # bytes at a program's start in which the archive behind it is looked for
GROUP = "stampmill.extract"
FORMATS: list[Format] = [
    zips.FORMAT,
    single.FORMAT,
    sevenzip.FORMAT,
    rar.FORMAT,
    ar.FORMAT,
    cpio.FORMAT,
    tar.FORMAT,
]


def detect_behind(blob: Blob) -> Format | None:
    """The format of the archive behind a program that unpacks it, or a script; None where there is none."""
    head = blob.pread(SEARCHED, 0)
    directory = zip_directory.find(blob)
    if directory is not None and directory.count:
        return zips.FORMAT
    if rar.MARK5 in head or rar.MARK4 in head:
        return rar.FORMAT
    return sevenzip.FORMAT if sevenzip.MARKS[0][1] in head and head[:1] != b"#" else None


def add_installed() -> None:
    """Adds the formats that other packages bring, after ours."""
    for entry in entry_points(group=GROUP):
        form: Format = entry.load()
        if form not in FORMATS:
            FORMATS.append(form)


def format_of(head: bytes) -> Format | None:
    """The format of the file that starts with HEAD, None where it's no archive."""
    for known in FORMATS:
        if known.matches(head):
            return known
    return None
