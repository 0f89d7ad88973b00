"""Of many points, those that may be one of the two farthest apart: the others need no comparison."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from array_api_compat import array_namespace, device

MANY = 16  # points from which on it pays to leave some out
STEPS = 4  # from the farthest to the farthest


def outlying(apart: Callable[[Any, Any], Any], lost: Any, first: Any) -> Any:
    """Which points of a metric space may be one of the two that are farthest apart; of several spaces.

    A point x is left out whose distance to some c and the largest distance to c come to less than that of two
    known points: `d(x, y) <= d(x, c) + d(c, y)`.

    Parameters
    ----------
    apart
        `apart(i, j)` are the distances (..., n) of all points to one that lies between the points i and j, to
        i itself where they are the same.
    lost : (...)
        what these are off by at most.
    first : (...)
        the number of a point to begin with.

    Returns
    -------
    (..., n)
        true for these points.
    """
    xp = array_namespace(first)
    one, other, best = first, first, xp.full_like(lost, -1.0)
    for _ in range(STEPS):
        found = apart(one, one)
        place = xp.argmax(found, axis=-1)
        value = xp.take_along_axis(found, place[..., None], axis=-1)[..., 0]
        better = value > best
        if not bool(xp.any(better)):
            break
        best, other = xp.where(better, value, best), xp.where(better, one, other)
        one = xp.where(better, place, one)
    found = apart(one, other)
    return ~(found + xp.max(found, axis=-1, keepdims=True) < (best - 4 * lost)[..., None])


def outlying_in_length(points: Any) -> Any:
    """The same in Euclid's metric, `|x - c|^2 = |x|^2 - 2 <x, c> + |c|^2`.

    Each of the three is off by gamma_(m+2) |x|^2 at most, and so the distance by the root of their sum. 2^-42
    more are left for points that are differences of unit vectors.

    Parameters
    ----------
    points : (..., n, m)
        finite, near the origin.

    Returns
    -------
    (..., n)
        as `outlying`.
    """
    xp = array_namespace(points)
    squares = xp.sum(points * points, axis=-1)
    size, terms = xp.max(squares, axis=-1), points.shape[-1] + 4

    def apart(i: Any, j: Any) -> Any:
        c = _between(xp, points, i, j)
        along = xp.matmul(points, xp.matrix_transpose(c))[..., 0]
        return xp.sqrt(xp.abs(squares - 2 * along + xp.sum(c * c, axis=-1)))

    return outlying(apart, xp.sqrt(4 * terms * 2.0**-53 * size) + 2.0**-42, _none(xp, size))


def outlying_in_angle(A: Any) -> Any:
    """The same of the columns of a matrix in angle, by the chords of their unit vectors.

    `|u - c|^2 = 1 - 2 <u, c> + |c|^2`, off by gamma_(m+8) for each of the three: columns within 10^-7 of all
    others are not told apart, but by `outlying_in_length` of differences of unit vectors.

    Parameters
    ----------
    A : (..., m, n)
        squared lengths keep within the range of float64; columns of zeros count for nothing.

    Returns
    -------
    (..., n)
        as `outlying`, false for columns of zeros.
    """
    xp = array_namespace(A)
    squares = xp.sum(A * A, axis=-2)
    live = squares > 0
    columns = xp.matrix_transpose(A)
    inverse = 1 / xp.sqrt(xp.where(live, squares, xp.full_like(squares, math.inf)))

    def apart(i: Any, j: Any) -> Any:
        c = _between(xp, columns, i, j, inverse)
        along = xp.matmul(c, A)[..., 0, :] * inverse
        return xp.where(live, xp.sqrt(xp.abs(1 - 2 * along + xp.sum(c * c, axis=-1))), 0.0)

    lost = xp.full_like(squares[..., 0], math.sqrt(4 * (A.shape[-2] + 8) * 2.0**-53))
    return outlying(apart, lost, xp.argmax(xp.astype(live, xp.int8), axis=-1)) & live


def outlying_in_range(points: Any) -> Any:
    """The same by the range of a difference, `max(x - c) - min(x - c)`.

    Of logarithms of positive vectors it is Hilbert's metric. A number that is the same in all points changes
    nothing, nor does one that is added to all coordinates of a point: without them, float32 does.

    Parameters
    ----------
    points : (..., n, m)
        finite.

    Returns
    -------
    (..., n)
        as `outlying`.
    """
    xp = array_namespace(points)
    ratios = points - points[..., :1, :]
    ratios = xp.astype(ratios - ratios[..., :1], xp.float32)

    def apart(i: Any, j: Any) -> Any:
        difference = ratios - _between(xp, ratios, i, j)
        return xp.astype(xp.max(difference, axis=-1) - xp.min(difference, axis=-1), xp.float64)

    lost = 2.0**-20 * xp.astype(_largest(xp, ratios), xp.float64)
    return outlying(apart, lost + 2.0**-40 * _largest(xp, points), _none(xp, lost))


def numbers(kept: Any) -> tuple[Any, Any]:
    """The numbers of the points that are kept, as many for each space as there are at most in one.

    Parameters
    ----------
    kept : (..., n)
        of `outlying`.

    Returns
    -------
    tuple
        numbers (..., k), k >= 1, ascending, and which of them are of points that are kept: where they are
        fewer, others follow.
    """
    xp = array_namespace(kept)
    counts = xp.sum(xp.astype(kept, xp.int64), axis=-1, keepdims=True)
    most = max(1, int(xp.max(counts)))
    order = xp.argsort(xp.astype(~kept, xp.int8), axis=-1, stable=True)[..., :most]
    return order, xp.arange(most, device=device(kept)) < counts


def _between(xp: Any, points: Any, i: Any, j: Any, factors: Any = None) -> Any:
    """The middle of two points of each space, (..., 1, m); factors: (..., n), of the points."""
    flat = xp.reshape(points, (-1, *points.shape[-2:]))
    spaces = xp.arange(flat.shape[0], device=device(points))

    def at(number: Any) -> Any:
        number = xp.reshape(number, (-1,))
        point = flat[spaces, number, :]
        if factors is None:
            return point
        return point * xp.reshape(factors, flat.shape[:2])[spaces, number][:, None]

    middle = at(i) if i is j else (at(i) + at(j)) / 2
    return xp.reshape(middle, (*points.shape[:-2], 1, points.shape[-1]))


def _largest(xp: Any, x: Any) -> Any:
    return xp.max(xp.abs(x), axis=(-2, -1))


def _none(xp: Any, like: Any) -> Any:
    """Number 0 for each."""
    return xp.zeros(like.shape, dtype=xp.int64, device=device(like))


__all__ = ["MANY", "numbers", "outlying", "outlying_in_angle", "outlying_in_length", "outlying_in_range"]
