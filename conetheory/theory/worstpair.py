"""The two columns of a nonnegative matrix that are farthest apart in angle: the worst case of its cone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from array_api_compat import device

from conetheory.theory import cosine, farthest
from conetheory.theory.matrices import matrix

TILE = 1 << 20  # float64 numbers held by one temporary; small enough to stay in the second-level cache


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
    flat = xp.reshape(xp.matrix_transpose(A), (math.prod(batch), count, rows))
    if flat.shape[0] == 1 and count > farthest.MANY and rows > 0:
        return _worst_of_many(xp, flat[0, ...], batch)
    step = max(1, TILE // max(1, count * max(count, rows)))
    tiles = [_worst(xp, flat[i : i + step, ...]) for i in range(0, max(1, flat.shape[0]), step)]
    deficits, first, second = (xp.reshape(xp.concat(parts), batch) for parts in zip(*tiles, strict=True))
    return WorstPair(1 - deficits, deficits, first, second)


def _worst_of_many(xp: Any, vectors: Any, batch: tuple[int, ...]) -> WorstPair:
    """Of the rows of one matrix, (n, m): units that are not outlying can't be in the worst pair."""
    unit, live = _unit(xp, vectors)
    (live,) = xp.nonzero(live[:, 0])
    if live.shape[0] > 1:
        unit = unit if live.shape[0] == len(unit) else unit[live, :]
        live = live[farthest.outlying_in_length(unit - xp.mean(unit, axis=0))]
    deficits, *pair = _worst(xp, vectors[None, live, :] if live.shape[0] else vectors[None, :1, :])
    found = [xp.where(i < 0, i, xp.take(live, xp.clip(i, min=0))) if live.shape[0] else i for i in pair]
    deficits, first, second = (xp.reshape(x, batch) for x in (deficits, *found))
    return WorstPair(1 - deficits, deficits, first, second)


def _unit(xp: Any, vectors: Any) -> tuple[Any, Any]:
    """Vectors of length one, zero ones as they are, and which are not."""
    largest = xp.max(vectors, axis=-1, keepdims=True)
    live = largest > 0
    unit = vectors / xp.where(live, largest, xp.ones_like(largest))
    norm = xp.sqrt(xp.sum(unit * unit, axis=-1, keepdims=True))
    return unit / xp.where(live, norm, xp.ones_like(norm)), live


def _worst(xp: Any, vectors: Any) -> tuple[Any, Any, Any]:
    """For the rows of each matrix (batch, n, m): found on residuals of unit vectors to their mean, valued
    by `deficit`."""
    n = vectors.shape[1]
    unit, live = _unit(xp, vectors)
    count = xp.sum(xp.astype(live, xp.float64), axis=1, keepdims=True)
    mean = xp.sum(unit, axis=1, keepdims=True) / xp.where(count > 0, count, xp.ones_like(count))
    residual = unit - mean
    # Half of the squared length of a dead column counts as -inf, so that no pair with it is the widest.
    half = xp.where(live, 0.5 * xp.sum(residual * residual, axis=-1, keepdims=True), -math.inf)[..., 0]
    best = xp.full_like(half[:, 0], -math.inf)
    first = xp.astype(xp.argmax(xp.astype(live[..., 0], xp.int8), axis=-1), xp.int64)
    second = first
    step = max(1, TILE // max(1, n * vectors.shape[0]))
    for start in range(0, n, step):
        part = slice(start, min(n, start + step))
        gap = (
            half[:, part, None]
            + half[:, None, :]
            - xp.matmul(residual[:, part, :], xp.matrix_transpose(residual))
        )
        own = xp.arange(part.start, part.stop, device=device(gap))[:, None] == xp.arange(
            n, device=device(gap)
        )
        gap = xp.reshape(xp.where(own, -math.inf, gap), (gap.shape[0], (part.stop - part.start) * n))
        place = xp.argmax(gap, axis=-1)
        widest = xp.take_along_axis(gap, place[:, None], axis=-1)[:, 0]
        better = widest > best
        best = xp.where(better, widest, best)
        first, second = (
            xp.where(better, i, old) for i, old in ((start + place // n, first), (place % n, second))
        )
    one, other = (xp.take_along_axis(vectors, i[:, None, None], axis=1)[:, 0, :] for i in (first, second))
    deficits = xp.where(first == second, 0 * one[:, 0], cosine.deficit(one, other))
    none = count[:, 0, 0] == 0
    deficits = xp.where(none, math.nan, deficits)
    first, second = xp.where(first < second, first, second), xp.where(first < second, second, first)
    return deficits, xp.where(none, -1, first), xp.where(none, -1, second)


__all__ = ["WorstPair", "worst_pair_cosine"]
