"""Exact order statistics of more numbers than memory holds.

The bits of floating-point numbers, read as whole numbers, are in the order of the numbers. So a number of a
given rank is found 16 bits at a time: which of 2^16 intervals holds it is counted, and the next pass looks at
that interval alone, until what it holds is few enough to be sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from conetheory.errors import InputError

FEW = 2**16  # numbers that are sorted
BITS = 16  # that a pass decides
Parts = Callable[[], Iterable[np.ndarray]]  # the same arrays each time that it is called


def ranked(parts: Parts, rank: Callable[[int], int]) -> float:
    """The number of a rank among all numbers of some arrays.

    Parameters
    ----------
    parts
        gives the arrays, float64 without NaN, again and again.
    rank
        from 0 on, from how many numbers there are.

    Returns
    -------
    float
        one of the numbers.

    Raises
    ------
    InputError
        where there is none.
    """
    count = sum(part.size for part in parts())
    if count == 0:
        raise InputError("there is no number whose rank could be looked for")
    left, prefix, known = rank(count), 0, 0
    while count > FEW and known < 64:
        shift = 64 - known - BITS
        held = np.zeros(2**BITS, np.int64)
        for part in parts():
            keys = _within(_keys(part), prefix, known)
            held += np.bincount(
                (keys >> np.uint64(shift)).astype(np.int64) & (2**BITS - 1), minlength=2**BITS
            )
        ends = held.cumsum()
        interval = int(np.searchsorted(ends, left, side="right"))
        left -= int(ends[interval - 1]) if interval else 0
        count, prefix, known = int(held[interval]), (prefix << BITS) | interval, known + BITS
    if known == 64:  # all that are left are the same
        return float(_numbers(np.array([prefix], np.uint64))[0])
    found = np.concatenate([_within(_keys(part), prefix, known) for part in parts()])
    return float(_numbers(np.sort(found)[left : left + 1])[0])


def median(parts: Parts) -> float:
    """The median of all numbers of some arrays, as `numpy.median` has it; NaN where there are none.

    Parameters
    ----------
    parts
        as `ranked` takes them.

    Returns
    -------
    float
        of an even count the mean of the middle two.
    """
    count = sum(part.size for part in parts())
    if count <= FEW:
        return float(np.median(np.concatenate([part.ravel() for part in parts()]))) if count else float("nan")
    lower, upper = (ranked(parts, lambda count, more=more: (count - 1 + more) // 2) for more in (0, 1))
    return float(np.mean([lower, upper]))


def _keys(values: np.ndarray) -> np.ndarray:
    """Whole numbers in the order of the floats."""
    bits = np.ascontiguousarray(values, np.float64).ravel().view(np.uint64)
    negative = bits >> np.uint64(63) == 1
    return np.where(negative, ~bits, bits | np.uint64(1 << 63))


def _numbers(keys: np.ndarray) -> np.ndarray:
    """The floats of `_keys`."""
    positive = keys >> np.uint64(63) == 1
    return np.where(positive, keys & np.uint64((1 << 63) - 1), ~keys).view(np.float64)


def _within(keys: np.ndarray, prefix: int, known: int) -> np.ndarray:
    """Those whose first bits are known to be these."""
    return keys if known == 0 else keys[keys >> np.uint64(64 - known) == np.uint64(prefix)]
