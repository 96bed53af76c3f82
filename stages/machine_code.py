"""Where machine code lies that was made of Python once, and `python -m stages.machine_code STATE`, which makes it.

Making it takes seconds, so that's done once for an installation, and never by a worker: what reads people's files may
write no code. It lies with the package's own compiled files, or below the state directory where those can't be written.
Standard library only: each start of a daemon asks whether there's something to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_PACKAGE = Path(__file__).parent / "convert"
_SOURCES = ("kernels.py", "kernel_parts.py")
_CPU_FACTS = ("model name", "flags", "Features", "CPU part", "CPU implementer")
_CACHE = "NUMBA_CACHE_DIR"
FOLDER = "code"  # in the state directory


@lru_cache(maxsize=1)
def stamp() -> str:
    """What the code was made of: these sources, by that compiler, for this Python and processor."""
    known = hashlib.sha256()
    for name in _SOURCES:
        known.update((_PACKAGE / name).read_bytes())
    known.update(f"{importlib.metadata.version('numba')} {sys.version} {'|'.join(sorted(_cpu()))}".encode())
    return f"kernels-{known.hexdigest()[:20]}"


def _cpu() -> set[str]:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        return {line for line in file if line.partition("\t")[0].strip() in _CPU_FACTS}
    return set()


def places(state: Path | None) -> list[Path]:
    """Where it may lie, the best place first; STATE is the state directory, if there is one."""
    return [_PACKAGE / "__pycache__" / stamp(), *([state / FOLDER / stamp()] if state else [])]


def found(state: Path | None) -> Path | None:
    """Where it lies; None where it isn't made yet."""
    return next((place for place in places(state) if place.is_dir()), None)


def make(state: Path | None) -> Path | None:
    """Makes it, unless it's there or being made; where it lies, None where it's not there yet."""
    for place in () if found(state) else places(state):
        with contextlib.suppress(OSError), _alone(place.parent):
            if not place.is_dir():
                _make(place)
            break
    return found(state)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Held by one process at a time; OSError where another has it, or FOLDER can't be written."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "kernels.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)


def _make(place: Path) -> None:
    part = place.with_name(f"{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    _compile_into(part)
    for old in place.parent.glob("kernels-*"):
        if old != part:
            shutil.rmtree(old, ignore_errors=True)
    part.rename(place)


def _compile_into(folder: Path) -> None:
    from stages.convert import compiled

    compiled.load(folder)


if __name__ == "__main__":
    os.nice(19)
    sys.exit(0 if make(Path(sys.argv[1]) if sys.argv[1:] else None) else 1)
