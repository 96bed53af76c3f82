"""Archives cut into pieces, `x.7z.001`, `x.7z.002` and so on: the pieces that lie beside the first."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from pipeline.model import Code, Reason
from stages.extract import reasons

_PART = re.compile(r"\.(\d{3}|z\d\d|r\d\d)$", re.IGNORECASE)


def later_parts(path: str) -> Iterator[str]:
    """The paths of the pieces that follow PATH, where that is a first one."""
    if not path.endswith(".001"):
        return
    number = 2
    while os.path.isfile(part := f"{path[:-3]}{number:03}"):
        yield part
        number += 1


def explained(reason: Reason, name: str) -> Reason:
    """REASON, or where the file's NAME tells that it is but one piece of several, that the others are missing."""
    if reason.code in (Code.CORRUPT, Code.TRUNCATED) and _PART.search(name):
        return reasons.missing_volume("its name says that this is one part of several, and the archive can't be read")
    return reason
