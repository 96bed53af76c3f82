"""The only place that imports telethon: downloads in, answers out."""

from __future__ import annotations

import contextlib
import sys
from typing import Any, Final

# Telethon loads these where they are installed, for things that aren't done here: 11 MB of a process that mostly waits.
_NOT_FOR_TELETHON: Final = ("aiohttp", "PIL")


def _load_telethon() -> None:
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in _NOT_FOR_TELETHON if name not in modules]
    modules.update(dict.fromkeys(hidden))  # None: as if it weren't installed
    try:
        with contextlib.suppress(ImportError):  # `telethon_facts` says what is missing
            import telethon  # noqa: F401, PLC0415
    finally:
        for name in hidden:
            del modules[name]


_load_telethon()
