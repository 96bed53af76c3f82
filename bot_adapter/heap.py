"""Keeps the C library from giving memory back between one part of a file and the next, and gives it back afterwards.

By itself glibc returns each freed MiB to the kernel and asks for it again, zeroed: measured, that took as long as a
third of decrypting. Where there is no glibc, nothing is done.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT_BYTES: Final = 64 * 1024 * 1024
_FROM_HEAP_BYTES: Final = 32 * 1024 * 1024  # the most that glibc allows


def keep() -> None:
    """Freed memory is kept for what comes next."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_MMAP_THRESHOLD, _FROM_HEAP_BYTES)


def give_back() -> None:
    """What is free goes back to the system."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
