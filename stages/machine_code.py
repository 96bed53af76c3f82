"""Machine code that's made of Python functions once, by Numba, and `python -m stages.machine_code [FOLDER]`, which makes it.

Making it takes twenty seconds, so that's done once for an installation, and never by a worker: what reads people's files may
write no code. It lies with the package's own compiled files, or in FOLDER where those can't be written. Without it all
works, large files of text more slowly. Standard library at the top: each start asks whether there's something to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_PACKAGE = Path(__file__).parent / "convert" / "kernels"
_KERNELS = ("stages.convert.kernels.text_kernels", "stages.convert.kernels.sheet_kernels")
_LOADER = "stages.convert.kernels.compiled"  # by name: it imports this module
_SOURCES = ("text_kernels.py", "kernel_parts.py", "sheet_kernels.py", "xml_parts.py", "sheet_codes.py")
_CPU_FACTS = ("model name", "flags", "Features", "CPU part", "CPU implementer")
_SUM = "kernels.sha256"
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
    "find_in_sheet": "u1 u1 q q u1 i4 i4 i8",
    "find_strings": "u1 q q u8 u1 i8",
    "sheet_texts": "u1 u1 i4 i4 u8 q u8 u1 q",
    "sheet_booleans": "u1 u1 i4 i4 u1",
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


def places(code: Path | None) -> list[Path]:
    """Where it may lie, the best place first; CODE is a folder for where it can't lie with the package."""
    return [_PACKAGE / "__pycache__" / stamp(), *([code / stamp()] if code else [])]


def found(code: Path | None) -> Path | None:
    """Where it lies; None where it isn't made yet."""
    return next((place for place in places(code) if (place / _SUM).is_file()), None)


def begin(code: Path | None) -> None:
    """Has it made by another process, of the lowest priority, that nobody waits for, unless it's there."""
    if found(code) is None:
        argv = [sys.executable, "-m", "stages.machine_code", "--begin", *([str(code)] if code else [])]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                check=False,
                timeout=10,
            )


def make(code: Path | None, *, patient: bool = False) -> Path | None:
    """Makes it, unless it's there or being made, which PATIENT waits for; where it lies, None where it's not there yet."""
    for place in () if found(code) else places(code):
        with contextlib.suppress(OSError), _alone(place.parent, 0 if patient else fcntl.LOCK_NB):
            if found(code) is None:
                _make(place)
            break
    return found(code)


@contextlib.contextmanager
def _alone(folder: Path, how: int) -> Iterator[None]:
    """Held by one process at a time; OSError where FOLDER can't be written, or another has it and HOW is not to wait."""
    folder.mkdir(exist_ok=True)
    lock = os.open(folder / "kernels.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(lock)


def _make(place: Path) -> None:
    """Makes it, and moves it to PLACE when it's whole and has run once."""
    part = place.with_name(f"{place.name}.part")
    for old in (part, *place.parent.glob("kernels-*")):
        shutil.rmtree(old, ignore_errors=True)
    part.mkdir()
    _compile_into(part)
    (part / _SUM).write_text(checksum(part))
    for path in (*part.iterdir(), part):
        _sync(path)
    _try(part)
    part.rename(place)


def checksum(folder: Path) -> str:
    """Of what the object files in FOLDER hold; OSError where one isn't there."""
    return hashlib.sha256(b"".join((folder / f"{name}.o").read_bytes() for name in SIGNATURES)).hexdigest()


def is_whole(folder: Path) -> bool:
    """Whether the object files in FOLDER are as they were made: a damaged one would end the process that loads it."""
    try:
        return (folder / _SUM).read_text() == checksum(folder)
    except OSError:
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _try(folder: Path) -> None:
    importlib.import_module(_LOADER).Kernels(folder).check()


def _compile_into(folder: Path) -> None:
    """Compiles each kernel to an object file in FOLDER, whose function takes a pointer and a size for each array."""
    import llvmlite.binding as llvm
    from numba import carray, cfunc, types  # type: ignore[attr-defined]

    modules = [importlib.import_module(name) for name in _KERNELS]
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
        (kernel,) = (vars(module)[name] for module in modules if name in vars(module))
        names = {"carray": carray, "kernel": kernel}
        exec(f"def take({', '.join(taken)}): return kernel({', '.join(passed)})", names)  # noqa: S102 - of our own words
        kinds: list[object] = []
        for word in words:
            kinds += [types.int64] if word == "q" else [types.CPointer(elements[word]), types.int64]  # type: ignore[no-untyped-call]
        made = cfunc(types.int64(*kinds), error_model="numpy")(names["take"])
        code = made.inspect_llvm().replace(made.native_name, f"{PREFIX}{name}")
        (folder / f"{name}.o").write_bytes(machine.emit_object(llvm.parse_assembly(code)))


def _main(arguments: list[str]) -> int:
    is_begun = arguments[:1] == ["--begin"]
    code = Path(arguments[is_begun]) if arguments[is_begun:] else None
    if is_begun and os.fork():  # whoever waits for this process needn't wait for that
        return 0
    if is_begun:
        os.setsid()
    with contextlib.suppress(OSError):  # a unit may forbid it
        os.nice(19)
    try:
        return 0 if make(code) else 1
    except Exception as error:  # noqa: BLE001 - whatever it is, it isn't needed
        sys.stderr.write(f"Machine code can't be made, so large files of text are read more slowly: {error!r}\n")
        return 1


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
