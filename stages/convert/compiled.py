"""The kernels as machine code, which takes a third of a second to load: only where there's much to read, and only if it
was made before."""

from __future__ import annotations

import importlib
import logging
import threading
from pathlib import Path
from typing import Any

from stages import machine_code

WORTH = 48 * 1024 * 1024  # bytes of a file for which loading pays
_log = logging.getLogger(__name__)


class _Loader:
    """Loads them once a process, in a thread."""

    def __init__(self) -> None:
        self.state: Path | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._kernels: Any = None

    def begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kernels", daemon=True)
                self._thread.start()

    def wait(self) -> Any:
        thread = self._thread
        if thread is not None:
            thread.join()
        return self._kernels

    def _run(self) -> None:
        folder = machine_code.found(self.state)
        if folder is None:
            return
        try:
            self._kernels = load(folder)
        except Exception:
            _log.exception("machine code in %s can't be loaded; large files are read more slowly", folder)


_loader = _Loader()


def look_in(state: Path) -> None:
    """STATE is a state directory in which they may be, too."""
    _loader.state = state


def begin(size: int) -> None:
    """Loads them, if SIZE bytes to read are worth it, while other things go on."""
    if size >= WORTH:
        _loader.begin()


def kernels() -> Any:
    """The module `kernels`, which is waited for if it's being loaded; None where it isn't."""
    return _loader.wait()


def load(folder: Path) -> Any:
    """The module `kernels`, its machine code from FOLDER, or made anew and put there. Raises what Numba does, and OSError
    where it can't be put there."""
    import numba.core.caching
    import numba.core.config

    class Locator(numba.core.caching.UserProvidedCacheLocator):  # type: ignore[misc]
        """A folder of our own, which needn't be writable."""

        def ensure_cache_path(self) -> None:
            """It's there."""

        def get_cache_path(self) -> str:
            """It."""
            return str(folder)

        @classmethod
        def from_function(cls, function: Any, file: str) -> Any:
            """For every function."""
            return cls(function, file)

    numba.core.config.CACHE_DIR = str(folder)
    standard = numba.core.caching.CacheImpl._locator_classes
    numba.core.caching.CacheImpl._locator_classes = [Locator]
    try:
        return importlib.import_module("stages.convert.kernels")
    finally:
        numba.core.caching.CacheImpl._locator_classes = standard
