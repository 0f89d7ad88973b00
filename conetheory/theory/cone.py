"""The nonnegative orthant under Hilbert's metric: distances, diameters, rates, and angles from them.

d(x, y) = log(max_i x_i / y_i * max_j y_j / x_j) on vectors with the same zeros, infinite otherwise. The
projective diameter Delta(A) is the largest distance of two images A x, A y of nonnegative x, y; it is
attained at columns. Birkhoff and Hopf: A contracts d by exactly tau(A) = tanh(Delta(A) / 4). tau is 1.0 in
float64 from Delta = 77, so the diameter and the rate -log tau are what is kept. Delta and tau don't change
under positive diagonal scalings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from scipy import sparse

from conetheory.errors import InputError
from conetheory.theory import cosine, sparsematrix
from conetheory.theory.angles import (
    angle_of_deficit,
    birkhoff_rate,
    birkhoff_tau,
    contracted_diameter_upper,
    cosine_lower_from_diameter,
    cosine_lower_from_rates,
    deficit_of_angle,
    deficit_of_half_tangent,
    deficit_upper_from_diameter,
    deficit_upper_from_rates,
    diameter_of_rate,
    half_tangent_of_deficit,
    product_diameter_upper,
)
from conetheory.theory.matrices import matrix

__all__ = [
    "WorstPair",
    "angle_of_deficit",
    "birkhoff_rate",
    "birkhoff_tau",
    "contracted_diameter_upper",
    "cosine_lower_from_diameter",
    "cosine_lower_from_rates",
    "deficit_of_angle",
    "deficit_of_half_tangent",
    "deficit_upper_from_diameter",
    "deficit_upper_from_rates",
    "diameter_of_rate",
    "half_tangent_of_deficit",
    "hilbert_distance",
    "product_diameter_upper",
    "projective_diameter",
    "worst_pair_cosine",
]

_MANY = 16  # vectors of one matrix from which on those that can't be the farthest are left out first
_CACHED = 1 << 19  # bytes of a temporary that is passed over several times
_TILE = 1 << 20  # float64 numbers held by one temporary; small enough to stay in the second-level cache


# ---------------------------------------------------------------- Hilbert's metric


def hilbert_distance(x: Any, y: Any) -> Any:
    """d(x, y) along the last axis: zero for proportional vectors, inf where their zeros differ.

    Parameters
    ----------
    x, y : (..., n)
        nonnegative, broadcast.

    Returns
    -------
    (...)
        in nats, NaN where a vector is zero.

    Raises
    ------
    InputError
        for negative entries.

    References
    ----------
    Birkhoff 1957; fact F1 (proofs/README.md).
    """
    xp = array_namespace(x, y)
    x, y = xp.broadcast_arrays(_nonnegative(xp, x), _nonnegative(xp, y))
    if x.shape[-1] == 0:  # vectors of no entries are zero
        return xp.sum(x, axis=-1) + math.nan
    both = (x > 0) & (y > 0)
    one = xp.ones_like(x)
    logs = xp.log(xp.where(both, x, one)) - xp.log(xp.where(both, y, one))
    infinite = xp.full_like(x, math.inf)
    high = xp.max(xp.where(both, logs, -infinite), axis=-1)  # -inf - inf is -inf, and replaced below
    low = xp.min(xp.where(both, logs, infinite), axis=-1)
    differ = xp.any((x > 0) != (y > 0), axis=-1)
    distance = xp.where(differ, infinite[..., 0], high - low)
    dead = ~(xp.any(x > 0, axis=-1) & xp.any(y > 0, axis=-1))
    return xp.where(dead, xp.full_like(distance, math.nan), distance)


def projective_diameter(A: Any) -> Any:
    """Delta(A) = max log(a_ik a_jl / (a_jk a_il)) over rows i, j and columns k, l that are not zero.

    Taken over pairs of the shorter axis, in O(min(m, n) m n) time and bounded memory; a scipy sparse A is inf
    without a dense copy unless its live rows and columns have no zero.

    Parameters
    ----------
    A : (..., m, n)
        nonnegative; dense, or scipy sparse.

    Returns
    -------
    (...)
        in nats: zero for rank one, inf (exactly) where a column mixes zeros and positive entries on the
        rows that are not zero, NaN for a zero matrix.

    Raises
    ------
    InputError
        for negative entries or values that aren't finite.

    References
    ----------
    Birkhoff 1957, Hopf 1963; Seneta 1981, p. 108; theorem `birkhoff-hopf`.
    """
    if sparse.issparse(A):
        A = sparsematrix.live_part(A)
        if A is None:
            return np.asarray(math.inf)
    xp, A = matrix(A, nonnegative=True)
    positive = A > 0
    if bool(xp.all(positive)):
        return _widest(xp, xp.log(A))
    rows, columns = xp.any(positive, axis=-1), xp.any(positive, axis=-2)
    mixed = xp.any(rows[..., :, None] & columns[..., None, :] & ~positive, axis=(-2, -1))
    if bool(xp.all(mixed)):
        return xp.full(mixed.shape, math.inf, dtype=xp.float64, device=device(A))
    # A dead row or column becomes a copy of a live one, which changes no cross ratio.
    logs = xp.log(xp.where(positive, A, xp.ones_like(A)))
    diameter = _widest(xp, _fill(xp, _fill(xp, logs, rows, -2), columns, -1))
    diameter = xp.where(mixed, xp.full_like(diameter, math.inf), diameter)
    return xp.where(xp.any(rows, axis=-1), diameter, xp.full_like(diameter, math.nan))


def _fill(xp: Any, logs: Any, live: Any, axis: int) -> Any:
    if bool(xp.all(live)):
        return logs
    count = live.shape[-1]
    stand_in = xp.argmax(xp.astype(live, xp.int8), axis=-1)[..., None]
    index = xp.where(live, xp.arange(count, device=device(live)), stand_in)
    index = index[..., :, None] if axis == -2 else index[..., None, :]
    return xp.take_along_axis(logs, xp.broadcast_to(index, logs.shape), axis=axis)


def _widest(xp: Any, logs: Any) -> Any:
    """max over pairs of rows of (max - min over columns) of their difference."""
    logs = xp.matrix_transpose(logs) if logs.shape[-2] > logs.shape[-1] else logs
    rows, columns = logs.shape[-2:]
    batch = math.prod(logs.shape[:-2])
    flat = xp.reshape(logs, (batch, rows, columns))
    if batch == 1 and rows > _MANY:
        flat = flat[:, _outlying(xp, flat[0, ...], lambda x: xp.max(x, axis=-1) - xp.min(x, axis=-1)), :]
        rows = flat.shape[1]
    step = max(1, _TILE // max(1, rows * columns))
    widest = [_widest_tile(xp, flat[b : b + step, ...]) for b in range(0, batch, step)]
    joined = xp.concat(widest) if widest else xp.sum(flat, axis=(-2, -1))
    return xp.reshape(joined, logs.shape[:-2])


def _outlying(xp: Any, points: Any, size: Any) -> Any:
    """Of points (n, m), which may be one of the two farthest apart, by a norm `size` of rows; ascending.

    d(x, y) <= d(x, c) + d(c, y): a point is left out whose distance to c and the largest distance to c come
    to less than the distance of two known ones, which c lies between. What rounding may cost is left in.
    """
    one, best, other = 0, -1.0, 0
    for _ in range(4):  # the farthest from the farthest
        apart = size(points - points[one : one + 1, :])
        place = int(xp.argmax(apart))
        if not float(apart[place]) > best:
            break
        best, one, other = float(apart[place]), place, one
    apart = size(points - (points[one, :] + points[other, :]) / 2)
    lost = 2.0**-40 * (best + float(xp.max(xp.abs(points))))
    return xp.nonzero(~(apart + xp.max(apart) < best - lost))[0]


def _widest_tile(xp: Any, logs: Any) -> Any:
    """float32 finds the pairs that may be the widest, at half the traffic; float64 measures those.

    Logarithms of cross ratios with the first row and column are at most the diameter: float32 errs relative
    to that, and float64, in forming them, by ulps of logarithms, which are below 746.
    """
    batch, rows, columns = logs.shape
    ratios = xp.empty(logs.shape, dtype=xp.float32, device=device(logs))
    for i in range(rows):
        row = logs[:, i, :] - logs[:, 0, :]
        ratios[:, i, :] = xp.astype(row - row[:, :1], xp.float32)
    rough = xp.astype(_spreads(xp, ratios), xp.float64)
    top = xp.max(rough, axis=(-2, -1), keepdims=True)
    found = xp.nonzero(rough >= top * (1 - 2.0**-18) - 2.0**-37)
    if 4 * found[0].shape[0] > batch * rows * rows:
        return xp.max(_spreads(xp, logs), axis=(-2, -1))
    spread, step = xp.zeros_like(rough), max(1, _CACHED // (8 * columns))
    for start in range(0, found[0].shape[0], step):
        b, i, j = (index[start : start + step] for index in found)
        difference = logs[b, i, :] - logs[b, j, :]
        spread[b, i, j] = xp.max(difference, axis=-1) - xp.min(difference, axis=-1)
    return xp.max(spread, axis=(-2, -1))


def _spreads(xp: Any, logs: Any) -> Any:
    """max - min of the differences of rows i < j, (batch, rows, rows); zero elsewhere."""
    batch, rows, columns = logs.shape
    spread = xp.zeros((batch, rows, rows), dtype=logs.dtype, device=device(logs))
    step = max(1, _CACHED // max(1, batch * columns * xp.finfo(logs.dtype).bits // 8))
    for i in range(rows - 1):
        for j in range(i + 1, rows, step):
            difference = logs[:, j : j + step, :] - logs[:, i : i + 1, :]
            spread[:, i, j : j + step] = xp.max(difference, axis=-1) - xp.min(difference, axis=-1)
    return spread


# ---------------------------------------------------------------- generators


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
    """min over pairs of columns k < l of A that aren't zero of cos(A e_k, A e_l), with the pair that attains
    it.

    It is the smallest cosine of any A x, A y with x, y >= 0 (exact, not a bound): x = sum x_k a_k, |x| <= sum
    x_k for unit a_k, so <x, y> >= c |x| |y| if all <a_k, a_l> >= c >= 0. O(m n^2) by matrix products.

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
    if flat.shape[0] == 1 and count > _MANY and rows > 0:
        return _worst_of_many(xp, flat[0, ...], batch)
    step = max(1, _TILE // max(1, count * max(count, rows)))
    tiles = [_worst(xp, flat[i : i + step, ...]) for i in range(0, max(1, flat.shape[0]), step)]
    deficits, first, second = (xp.reshape(xp.concat(parts), batch) for parts in zip(*tiles, strict=True))
    return WorstPair(1 - deficits, deficits, first, second)


def _worst_of_many(xp: Any, vectors: Any, batch: tuple[int, ...]) -> WorstPair:
    """Of the rows of one matrix, (n, m): units that are not outlying can't be in the worst pair."""
    unit, live = _unit(xp, vectors)
    (live,) = xp.nonzero(live[:, 0])
    if live.shape[0] > 1:
        live = live[_outlying(xp, unit[live, :], lambda x: xp.sqrt(xp.sum(x * x, axis=-1)))]
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
    step = max(1, _TILE // max(1, n * vectors.shape[0]))
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


def _nonnegative(xp: Any, A: Any) -> Any:
    A = xp.astype(A, xp.float64, copy=False)
    if not bool(xp.all((A >= 0) & xp.isfinite(A))):
        raise InputError("entries must be finite and nonnegative")
    return A
