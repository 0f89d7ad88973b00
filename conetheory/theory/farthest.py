"""Of many points, those that may be one of the two farthest apart: the others need no comparison."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from array_api_compat import array_namespace

MANY = 16  # points from which on it pays to leave some out
STEPS = 4  # from the farthest to the farthest


def outlying(apart: Callable[[int, int], Any], lost: float) -> Any:
    """Which points of a metric space may be one of the two that are farthest apart.

    A point x is left out whose distance to some c and the largest distance to c come to less than that of two
    known points: `d(x, y) <= d(x, c) + d(c, y)`.

    Parameters
    ----------
    apart
        `apart(i, j)` are the distances (n,) of all points to one that lies between the points i and j, to i
        itself where they are the same.
    lost
        what these are off by at most.

    Returns
    -------
    (k,)
        the numbers of the points, ascending.
    """
    one, best, other = 0, -1.0, 0
    for _ in range(STEPS):
        found = apart(one, one)
        xp = array_namespace(found)
        place = int(xp.argmax(found))
        if not float(found[place]) > best:
            break
        best, one, other = float(found[place]), place, one
    found = apart(one, other)
    return xp.nonzero(~(found + xp.max(found) < best - 4 * lost))[0]


def outlying_in_length(points: Any) -> Any:
    """The same in Euclid's metric, `|x - c|^2 = |x|^2 - 2 <x, c> + |c|^2`.

    Each of the three is off by gamma_(m+2) |x|^2 at most, and so the distance by the root of their sum. 2^-42
    more are left for points that are differences of unit vectors.

    Parameters
    ----------
    points : (n, m)
        finite, near the origin.

    Returns
    -------
    (k,)
        as `outlying`.
    """
    xp = array_namespace(points)
    squares = xp.sum(points * points, axis=-1)
    size, terms = float(xp.max(squares)), points.shape[-1] + 4

    def apart(i: int, j: int) -> Any:
        c = (points[i, :] + points[j, :]) / 2
        return xp.sqrt(xp.clip(squares - 2 * xp.matmul(points, c) + xp.sum(c * c), min=0.0))

    return outlying(apart, math.sqrt(4 * terms * 2.0**-53 * size) + 2.0**-42)


def outlying_in_angle(A: Any) -> Any:
    """The same of the columns of a matrix in angle, by the chords of their unit vectors.

    `|u - c|^2 = 1 - 2 <u, c> + |c|^2`, off by gamma_(m+8) for each of the three: columns within 10^-7 of all
    others are not told apart, but by `outlying_in_length` of differences of unit vectors.

    Parameters
    ----------
    A : (m, n)
        no column is zero, and squared lengths keep within the range of float64.

    Returns
    -------
    (k,)
        the numbers of columns, as `outlying`.
    """
    xp = array_namespace(A)
    inverse = 1 / xp.sqrt(xp.sum(A * A, axis=0))

    def apart(i: int, j: int) -> Any:
        c = (A[:, i] * inverse[i] + A[:, j] * inverse[j]) / 2
        return xp.sqrt(xp.clip(1 - 2 * xp.matmul(c, A) * inverse + xp.sum(c * c), min=0.0))

    return outlying(apart, math.sqrt(4 * (A.shape[0] + 8) * 2.0**-53))


def outlying_in_range(points: Any) -> Any:
    """The same by the range of a difference, `max(x - c) - min(x - c)`.

    Of logarithms of positive vectors it is Hilbert's metric. A number that is the same in all points changes
    nothing, nor does one that is added to all coordinates of a point: without them, float32 does.

    Parameters
    ----------
    points : (n, m)
        finite.

    Returns
    -------
    (k,)
        as `outlying`.
    """
    xp = array_namespace(points)
    ratios = points - points[:1, :]
    ratios = xp.astype(ratios - ratios[:, :1], xp.float32)

    def apart(i: int, j: int) -> Any:
        difference = ratios - (ratios[i, :] + ratios[j, :]) / 2
        return xp.astype(xp.max(difference, axis=-1) - xp.min(difference, axis=-1), xp.float64)

    lost = 2.0**-20 * float(xp.max(xp.abs(ratios)))
    return outlying(apart, lost + 2.0**-40 * float(xp.max(xp.abs(points))))


__all__ = ["MANY", "outlying", "outlying_in_angle", "outlying_in_length", "outlying_in_range"]
