"""What functions of a matrix ask of it: at least two axes, finite numbers, of any kind, in float64.

A matrix without rows or without columns has no live unit, as one of zeros has none: it becomes one of zeros,
and what is said of those (NaN, mostly) is said of it.
"""

from __future__ import annotations

import math
from typing import Any

from array_api_compat import array_namespace, device

from conetheory.errors import InputError


def matrix(A: Any, *, nonnegative: bool = False) -> tuple[Any, Any]:
    """The namespace of a matrix, and itself in float64.

    Parameters
    ----------
    A : (..., m, n)
        integers, booleans or floats, m, n >= 1.
    nonnegative
        whether negative entries are refused.

    Returns
    -------
    tuple
        the Array-API namespace, and A (..., m, n) in float64.

    Raises
    ------
    InputError
        for fewer than two axes, for NaN and inf, and, where `nonnegative`, for negative entries.
    """
    xp = array_namespace(A)
    if A.ndim < 2:
        raise InputError(f"a matrix has at least two axes, not shape {tuple(A.shape)}")
    A = xp.astype(A, xp.float64, copy=False)
    *lead, m, n = A.shape
    low, high = (
        (float(xp.min(A)), float(xp.max(A))) if math.prod(A.shape) else (0.0, 0.0)
    )  # NaN passes through
    if nonnegative and not (low >= 0 and high < math.inf):
        raise InputError("entries must be finite and nonnegative")
    if not (low > -math.inf and high < math.inf):
        raise InputError("a matrix holds a value that is not finite")
    if 0 in (m, n):
        A = xp.zeros((*lead, max(m, 1), max(n, 1)), dtype=xp.float64, device=device(A))
    return xp, A


def real(*arrays: Any) -> tuple[Any, ...]:
    """The namespace, then the arrays, with integers and booleans in float64; floats as they are."""
    xp = array_namespace(*arrays)
    return xp, *(x if xp.isdtype(x.dtype, "real floating") else xp.astype(x, xp.float64) for x in arrays)
