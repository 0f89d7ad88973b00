"""Cases of a test: those held together say which of them went wrong; devices are those that exist."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
devices = pytest.mark.parametrize("device", DEVICES)
needs_cuda = pytest.mark.skipif(
    "cuda" not in DEVICES, reason="no CUDA device: the cases of this file are held on the CPU alone"
)


@contextmanager
def told(case: str) -> Iterator[None]:
    """What goes wrong inside says in which case."""
    try:
        yield
    except Exception as wrong:
        wrong.add_note(f"the case: {case}")
        raise
