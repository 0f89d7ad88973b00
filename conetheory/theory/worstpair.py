"""The two columns of a nonnegative matrix that are farthest apart in angle: the worst case of its cone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from array_api_compat import device

from conetheory.theory import cosine, farthest
from conetheory.theory.matrices import matrix

SMALL = 1e-140  # vectors of such numbers have a squared length
TILE = 1 << 20  # float64 numbers held by one temporary
BAND = 128  # rows of the pairs' triangle that are compared together
# In place of half the squared length of a dead column, so that no pair with it is the widest: residuals are
# shorter than 2, so its gaps are below 2 + 4 - 16. Not -inf: a BLAS may multiply it by the zeros that fill up
# its blocks, and numpy warns.
DEAD = -16.0


@dataclass(frozen=True)
class WorstPair:
    """The two columns with the smallest cosine; for a batch, arrays of the batch's shape.

    Attributes
    ----------
    cosine, deficit
        of the two; the deficit has its own digits.
    first, second
        their numbers; the same one twice where one column is live, -1 where none is.
    """

    cosine: Any
    deficit: Any
    first: Any
    second: Any


def worst_pair_cosine(A: Any) -> WorstPair:
    """min over pairs of columns k < l of A that aren't zero of cos(A e_k, A e_l), with the pair that
    attains it.

    It is the smallest cosine of any A x, A y with x, y >= 0 (exact, not a bound): x = sum x_k a_k, |x| <=
    sum x_k for unit a_k, so <x, y> >= c |x| |y| if all <a_k, a_l> >= c >= 0. O(m n^2) by matrix products.

    Parameters
    ----------
    A : (..., m, n)
        nonnegative.

    Returns
    -------
    WorstPair
        cosine 1, deficit 0 and the same column twice where one column is live; NaN and -1 where none is.

    References
    ----------
    theorem `generators`.
    """
    xp, A = matrix(A, nonnegative=True)
    batch, (rows, count) = A.shape[:-2], A.shape[-2:]
    flat = xp.reshape(A, (math.prod(batch), rows, count))
    few = count <= farthest.MANY
    step = max(1, TILE // max(1, count * (max(count, rows) if few else rows)))
    of = _worst if few else _screened
    tiles = [of(xp, flat[i : i + step, ...]) for i in range(0, max(1, flat.shape[0]), step)]
    deficits, *pair = (xp.reshape(xp.concat(parts), batch) for parts in zip(*tiles, strict=True))
    return WorstPair(1 - deficits, deficits, *pair)


def _screened(xp: Any, A: Any) -> tuple[Any, Any, Any]:
    """`_worst` of matrices (batch, m, n), by the pairs of those columns that may be in it."""
    largest = xp.max(A, axis=1)
    live = largest > 0
    least = xp.min(xp.where(live, largest, xp.ones_like(largest))) if A.shape[0] else 1.0
    most = xp.max(largest) if A.shape[0] else 0.0
    safe = float(least) > SMALL and float(most) < 1 / SMALL
    scaled = A if safe else A / xp.where(live, largest, xp.ones_like(largest))[:, None, :]
    return _of_kept(xp, A, farthest.outlying_in_angle(scaled), _screened_again)


def _screened_again(xp: Any, A: Any) -> tuple[Any, Any, Any]:
    """The same by differences of unit vectors, which tell those that are close to each other."""
    if A.shape[2] <= farthest.MANY:
        return _worst(xp, A)
    unit, live = _unit(xp, A, axis=1)
    count = xp.sum(xp.astype(live, xp.float64), axis=2, keepdims=True)
    mean = xp.sum(unit, axis=2, keepdims=True) / xp.where(count > 0, count, xp.ones_like(count))
    apart = xp.where(live, unit - mean, xp.zeros_like(unit))
    kept = farthest.outlying_in_length(xp.matrix_transpose(apart)) & live[:, 0, :]
    return _of_kept(xp, A, kept, _worst)


def _of_kept(xp: Any, A: Any, kept: Any, of: Any) -> tuple[Any, Any, Any]:
    """What a function finds among the columns of each matrix (batch, m, n) that are kept, (batch, n).

    Matrices go together of which about as many are kept, the others being zero.
    """
    places = xp.arange(A.shape[0], device=device(A))
    counts = xp.sum(xp.astype(kept, xp.float64), axis=1)
    sizes = xp.ceil(xp.log2(xp.where(counts > 1, counts, xp.ones_like(counts))))
    found = [xp.full_like(counts, math.nan), xp.zeros_like(places), xp.zeros_like(places)]
    rows = xp.arange(A.shape[1], device=device(A))[None, :, None]
    for size in sorted(set(sizes.tolist())):
        here = places[sizes == size]
        number, real = farthest.numbers(kept[here, :])
        some = A[here[:, None, None], rows, number[:, None, :]]
        deficit, *pair = of(xp, some if bool(xp.all(real)) else xp.where(real[:, None, :], some, 0.0))
        found[0][here] = deficit
        for own, other in zip(found[1:], pair, strict=True):
            at = xp.where(other < 0, xp.zeros_like(other), other)[:, None]
            own[here] = xp.where(other < 0, other, xp.take_along_axis(number, at, axis=1)[:, 0])
    return tuple(found)


def _unit(xp: Any, vectors: Any, axis: int) -> tuple[Any, Any]:
    """Vectors along an axis, of length one, zero ones as they are, and which are not."""
    largest = xp.max(vectors, axis=axis, keepdims=True)
    live = largest > 0
    unit = vectors / xp.where(live, largest, xp.ones_like(largest))
    norm = xp.sqrt(xp.sum(unit * unit, axis=axis, keepdims=True))
    return unit / xp.where(live, norm, xp.ones_like(norm)), live


def _worst(xp: Any, A: Any) -> tuple[Any, Any, Any]:
    """For the columns of each matrix (batch, m, n): found on residuals of unit vectors to their mean, valued
    by `deficit`."""
    vectors = xp.matrix_transpose(A)
    n = vectors.shape[1]
    unit, live = _unit(xp, vectors, axis=-1)
    count = xp.sum(xp.astype(live, xp.float64), axis=1, keepdims=True)
    mean = xp.sum(unit, axis=1, keepdims=True) / xp.where(count > 0, count, xp.ones_like(count))
    residual = unit - mean
    half = xp.where(live, 0.5 * xp.sum(residual * residual, axis=-1, keepdims=True), DEAD)
    ones = xp.ones_like(half)
    left, right = xp.concat([-residual, half, ones], axis=2), xp.concat([residual, ones, half], axis=2)
    best = xp.full_like(half[:, 0, 0], -1.0)  # less than of two live columns, whose gap is zero or more
    first = xp.astype(xp.argmax(xp.astype(live[..., 0], xp.int8), axis=-1), xp.int64)
    second = first
    step = max(1, min(BAND, TILE // max(1, n * vectors.shape[0])))
    for start in range(0, n, step):  # a band of the pairs' triangle
        end = min(n, start + step)
        # |x - y|^2 / 2 = |x|^2 / 2 + |y|^2 / 2 - <x, y>, as one product
        gap = xp.matmul(left[:, start:end, :], xp.matrix_transpose(right[:, start:, :]))
        own = xp.arange(end - start, device=device(gap))
        gap[:, own, own] = -math.inf
        gap = xp.reshape(gap, (gap.shape[0], (end - start) * (n - start)))
        place = xp.argmax(gap, axis=-1)
        widest = xp.take_along_axis(gap, place[:, None], axis=-1)[:, 0]
        better = widest > best
        best = xp.where(better, widest, best)
        found = (start + place // (n - start), start + place % (n - start))
        first, second = (xp.where(better, i, old) for i, old in zip(found, (first, second), strict=True))
    one, other = (xp.take_along_axis(vectors, i[:, None, None], axis=1)[:, 0, :] for i in (first, second))
    deficits = xp.where(first == second, 0 * one[:, 0], cosine.deficit(one, other))
    none = count[:, 0, 0] == 0
    deficits = xp.where(none, math.nan, deficits)
    first, second = xp.where(first < second, first, second), xp.where(first < second, second, first)
    return deficits, xp.where(none, -1, first), xp.where(none, -1, second)


__all__ = ["WorstPair", "worst_pair_cosine"]
