"""Free memory goes back to the system where much of it has come together.

glibc keeps free blocks of up to 32 MB for the process. Between tensors of many sizes they are of little use:
of ResNet-50's relevance as much is kept as is in use (0.8 GB resident for 0.4, in pages of 4 kB).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

KEPT = 2**29  # bytes that a process may keep; handed back more often it takes up to a fifth of the time
PAGES = Path("/proc/self/statm")  # of the process, on Linux


@dataclass
class Heap:
    """Of a process. least: the bytes that were resident at the least since some were handed back."""

    least: int = 0

    def hand_back(self) -> None:
        """Give back what is free, where `KEPT` bytes more are resident than at the least."""
        now = resident()
        self.least = min(self.least or now, now)
        if now > self.least + KEPT and (trim := _trim()) is not None:
            trim(0)
            self.least = resident()


HEAP = Heap()


def resident() -> int:
    """Bytes of the machine's memory that the process has; 0 where the system does not say."""
    try:
        return int(PAGES.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@cache
def _trim() -> Callable[[int], int] | None:
    """glibc's `malloc_trim`; None where there is another library."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # TypeError: on Windows None names no library
        return None
