"""The kernels as machine code, as far as it was made: loaded where there's much to read, since that takes some time too.

It's loaded by llvmlite alone, from plain object files: nothing of them is run as Python, and Numba isn't imported.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np

from stages import machine_code

WORTH = 16 * 1024 * 1024  # bytes of text that a process has to read for loading to pay
_log = logging.getLogger(__name__)


class Kernel:
    """One kernel: it takes arrays of just the types of its signature, and numbers. It runs without Python's lock."""

    def __init__(self, address: int, signature: str) -> None:
        self._types = [None if word == "q" else np.dtype(word) for word in signature.split()]
        kinds: list[Any] = []
        for dtype in self._types:
            kinds += [ctypes.c_int64] if dtype is None else [ctypes.c_void_p, ctypes.c_int64]
        self._call = ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(address)

    def __call__(self, *values: Any) -> int:
        """What the kernel gives for VALUES."""
        flat: list[int] = []
        for value, dtype in zip(values, self._types, strict=True):
            if dtype is None:
                flat.append(value)
                continue
            assert value.dtype == dtype
            assert value.flags.c_contiguous
            flat += (value.ctypes.data, value.size)
        return int(self._call(*flat))


class Kernels:
    """The kernels whose object files lie in FOLDER. Raises RuntimeError where they aren't whole."""

    def __init__(self, folder: Path) -> None:
        import llvmlite.binding as llvm

        if not machine_code.is_whole(folder):
            raise RuntimeError(f"the object files in {folder} aren't as they were made")
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        for name in machine_code.NEVER_CALLED:
            llvm.add_symbol(name, _address_of_abort())
        target = llvm.Target.from_default_triple().create_target_machine()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)  # which owns the code
        for name in machine_code.SIGNATURES:
            self._engine.add_object_file(llvm.ObjectFileRef.from_data((folder / f"{name}.o").read_bytes()))
        self._engine.finalize_object()
        for name, signature in machine_code.SIGNATURES.items():
            setattr(self, name, Kernel(self._engine.get_function_address(machine_code.PREFIX + name), signature))

    def __getattr__(self, name: str) -> Kernel:  # for those who check types: each is an attribute by its name
        raise AttributeError(name)

    def check(self) -> None:
        """Runs one of them. Raises RuntimeError unless it does what it should."""
        numbers = np.zeros(2, np.int64)
        places = np.array([0, 3], np.int32), np.array([2, 2], np.int32)
        count = self.integers(np.frombuffer(b"12 -3", np.uint8), *places, numbers)
        if (count, numbers.tolist()) != (2, [12, -3]):
            raise RuntimeError("machine code that was just made is wrong")


def _address_of_abort() -> int:
    return ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value or 0


class Loader:
    """Loads them once a process, in a thread. Where they aren't made yet, or can't be loaded, there's no kernel."""

    def __init__(self) -> None:
        self.code: Path | None = None
        self._is_broken = False
        self._seen = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._kernels: Kernels | None = None

    def begin(self, size: int) -> None:
        """Begins to once it's worth it, SIZE bytes being read next; where they weren't made the last time, they may be
        now."""
        with self._lock:
            self._seen += size
            if self._seen < WORTH:
                return
            is_idle = self._thread is None or not self._thread.is_alive()
            if is_idle and self._kernels is None and not self._is_broken:
                self._thread = threading.Thread(target=self._run, name="kernels", daemon=True)
                self._thread.start()

    def wait(self) -> Kernels | None:
        """What is loaded, once it is."""
        thread = self._thread
        if thread is not None:
            thread.join()
        return self._kernels

    def _run(self) -> None:
        folder = machine_code.found(self.code)
        if folder is None:
            return
        try:
            import pyarrow as pa  # noqa: F401 - who uses kernels needs it too, and it takes 50 ms

            self._kernels = Kernels(folder)
        except Exception:  # noqa: BLE001 - whatever it is, there's another way
            self._is_broken = True
            _log.exception("machine code in %s can't be loaded; large files are read more slowly", folder)


_loader = Loader()


def look_in(code: Path) -> None:
    """CODE is a folder in which they may be where they aren't with the package."""
    _loader.code = code


def begin(size: int) -> None:
    """Loads them while other things go on, if that's worth it by SIZE bytes to read and all before."""
    _loader.begin(size)


def kernels() -> Kernels | None:
    """The kernels, which are waited for if they're being loaded; None where they aren't."""
    return _loader.wait()
