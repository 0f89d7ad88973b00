"""Memory that large tensors had is used again while something runs: on Linux, under glibc.

`malloc` maps what is larger than 32 MB anew for each tensor, and gives it back when the tensor goes; the
kernel then clears every page at its first touch. Of a product of 64 MB that was three quarters of the time on
a virtual machine (63 ms of one thread, 16 ms in memory that was there).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt, as malloc.h numbers them
KEPT = 1 << 30  # bytes of a tensor that is taken from the heap, and at its top before any goes back
USUAL = {MMAP_THRESHOLD: 1 << 25, TRIM_THRESHOLD: 1 << 26}  # where glibc's own end that see large tensors
_LOCK = Lock()
_INSIDE = 0


@contextmanager
def reused() -> Iterator[None]:
    """Keep what is freed for what comes next; at the end of the outermost of all threads it goes back."""
    _entered(+1)
    try:
        yield
    finally:
        _entered(-1)


def _entered(step: int) -> None:
    global _INSIDE
    libc = _glibc()
    if libc is None:
        return
    with _LOCK:
        _INSIDE += step
        if step > 0 and _INSIDE == 1:
            for option in USUAL:
                libc.mallopt(option, KEPT)
        elif _INSIDE == 0:
            for option, value in USUAL.items():
                libc.mallopt(option, value)
            libc.malloc_trim(0)


@cache
def _glibc() -> Any:
    """The C library, if it is glibc."""
    if sys.platform != "linux":
        return None
    found = ctypes.CDLL(None)
    return found if hasattr(found, "gnu_get_libc_version") else None
