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
FOLDER = "code"  # in the state directory
PREFIX = "stampmill_"  # of a function's name in its object file
# The kernels and what they take: arrays of bytes, of integers and doubles by size, and numbers of 64 bits (q).
SIGNATURES = {
    "find_in_lines": "u1 u1 i8 u1 q i4 i4",
    "find_in_records": "u1 q q q q i4 i4",
    "texts": "u1 i4 i4 q u8 u1 q",
    "integers": "u1 i4 i4 i8",
    "doubles": "u1 i4 i4 q f8",
    "dates": "u1 i4 i4 i4",
    "stamps": "u1 i4 i4 q q q i8",
    "booleans": "u1 i4 i4 q u1",
    "are_numbers": "u1 i4 i4",
}
# What Numba's code would call where it raises something or gives memory back, which ours never does.
NEVER_CALLED = (
    "NRT_Free",
    "NRT_MemInfo_call_dtor",
    "numba_do_raise",
    "numba_gil_ensure",
    "numba_gil_release",
    "numba_runtime_build_excinfo_struct",
    "numba_unpickle",
)


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
    """Compiles each kernel to an object file in FOLDER, whose function takes a pointer and a size for each array."""
    import llvmlite.binding as llvm
    from numba import carray, cfunc, types

    from stages.convert import kernels

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    machine = target.create_target_machine(llvm.get_host_cpu_name(), features, opt=3, jit=True)
    elements = {"u1": types.uint8, "i4": types.int32, "i8": types.int64, "u8": types.uint64, "f8": types.float64}
    for name, signature in SIGNATURES.items():
        words = signature.split()
        taken = [f"a{index}" if word == "q" else f"a{index}, n{index}" for index, word in enumerate(words)]
        passed = [f"a{index}" if word == "q" else f"carray(a{index}, (n{index},))" for index, word in enumerate(words)]
        names = {"carray": carray, "kernel": getattr(kernels, name)}
        exec(f"def take({', '.join(taken)}): return kernel({', '.join(passed)})", names)
        kinds: list[object] = []
        for word in words:
            kinds += [types.int64] if word == "q" else [types.CPointer(elements[word]), types.int64]
        made = cfunc(types.int64(*kinds), error_model="numpy")(names["take"])
        code = made.inspect_llvm().replace(made.native_name, f"{PREFIX}{name}")
        (folder / f"{name}.o").write_bytes(machine.emit_object(llvm.parse_assembly(code)))


if __name__ == "__main__":
    os.nice(19)
    sys.exit(0 if make(Path(sys.argv[1]) if sys.argv[1:] else None) else 1)
