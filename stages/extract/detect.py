"""Which format a file is, told by its first bytes alone."""

from __future__ import annotations

from stages.extract.formats import ar, cpio, rar, sevenzip, single, tar
from stages.extract.formats import zip as zips
from stages.extract.protocol import Format

HEAD = 36 << 10  # bytes that tell; an iso9660 image has its mark at 32 KiB
FORMATS: tuple[Format, ...] = (
    zips.FORMAT,
    single.FORMAT,
    sevenzip.FORMAT,
    rar.FORMAT,
    ar.FORMAT,
    cpio.FORMAT,
    tar.FORMAT,
)


def detect(head: bytes) -> Format | None:
    """The format of the file that starts with HEAD, None where it's no archive."""
    return next((known for known in FORMATS if known.matches(head)), None)
