"""How much goes together: blocks that are halved where memory is short.

Whoever sends vectors in blocks asks `block` how large they may be. What is computed is the same in any block;
sums that a library takes in another order may differ in their last digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Found = TypeVar("Found")

MOST = 8  # times that blocks are halved
SIGNS = ("not enough memory", "can't allocate memory", "DefaultCPUAllocator", "out of memory", "bad_alloc")
_HALVED: ContextVar[int] = ContextVar("halved", default=0)


def block(size: int) -> int:
    """A size of blocks, halved as often as memory asks for; at least 1.

    Parameters
    ----------
    size
        where there is enough.

    Returns
    -------
    int
        to be used.
    """
    return max(1, size >> _HALVED.get())


@contextmanager
def halved(times: int) -> Iterator[None]:
    """Blocks of half the size, so many times over; not counted from those around it.

    Parameters
    ----------
    times
        that they are halved.
    """
    token = _HALVED.set(times)
    try:
        yield
    finally:
        _HALVED.reset(token)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short: Python's, numpy's, torch's on the CPU or on a GPU.

    Parameters
    ----------
    error
        any.

    Returns
    -------
    bool
        torch's are no class of their own on the CPU, so it is told by their words.
    """
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def within(work: Callable[[], Found], told: Callable[[int], object], times: int = 0) -> Found:
    """What some work gives, done again in smaller blocks for as long as memory is short.

    Parameters
    ----------
    work
        from the beginning, each time.
    told
        is given how often blocks are halved now.
    times
        that they are halved at first.

    Returns
    -------
    Found
        of the first time that memory sufficed.

    Raises
    ------
    MemoryError, RuntimeError
        where the smallest blocks do not fit either.
    """
    while True:
        try:
            with halved(times):
                return work()
        except (MemoryError, RuntimeError) as error:
            if times >= MOST or not is_out_of_memory(error):
                raise
        times += 1  # outside of the handler, whose error holds on to what took the memory
        told(times)
