"""The nonnegative orthant under Hilbert's metric: distances, diameters, rates, and angles from them.

d(x, y) = log(max_i x_i / y_i * max_j y_j / x_j) on vectors with the same zeros, infinite otherwise. The
projective diameter Delta(A) is the largest distance of two images A x, A y of nonnegative x, y; it is
attained at columns. Birkhoff and Hopf: A contracts d by exactly tau(A) = tanh(Delta(A) / 4). tau is 1.0 in
float64 from Delta = 77, so the diameter and the rate -log tau are what is kept. Delta and tau don't change
under positive diagonal scalings.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from scipy import sparse

from conetheory.errors import InputError
from conetheory.theory import farthest, sparsematrix
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
    "pairwise_hilbert_distances",
    "product_diameter_upper",
    "projective_diameter",
]

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
    return _distance(xp, _logs(xp, x), _logs(xp, y))


def pairwise_hilbert_distances(x: Any) -> Any:
    """`hilbert_distance` of all pairs i < j of some vectors.

    Parameters
    ----------
    x : (..., k, n)
        nonnegative.

    Returns
    -------
    (..., k (k - 1) / 2)
        in nats, by i, then by j.

    Raises
    ------
    InputError
        for negative entries or values that aren't finite.
    """
    xp, x = matrix(x, nonnegative=True)
    logs, positive = _logs(xp, x)
    each = [(logs[..., i, :], positive[..., i, :]) for i in range(x.shape[-2])]
    found = [_distance(xp, one, other) for one, other in combinations(each, 2)]
    return xp.stack(found, axis=-1) if found else xp.sum(logs[..., :0, :], axis=-1)


def _logs(xp: Any, x: Any) -> tuple[Any, Any]:
    """Logarithms, zero where there is none; and where there is one."""
    positive = x > 0
    return xp.log(xp.where(positive, x, xp.ones_like(x))), positive


def _distance(xp: Any, x: tuple[Any, Any], y: tuple[Any, Any]) -> Any:
    """Hilbert's distance, from what `_logs` gives."""
    (log_x, in_x), (log_y, in_y) = x, y
    if log_x.shape[-1] == 0:  # vectors of no entries are zero
        return xp.sum(log_x, axis=-1) + math.nan
    both, difference = in_x & in_y, log_x - log_y
    high = xp.max(xp.where(both, difference, -math.inf), axis=-1)  # -inf - inf is -inf, and replaced below
    low = xp.min(xp.where(both, difference, math.inf), axis=-1)
    distance = xp.where(xp.any(in_x != in_y, axis=-1), math.inf, high - low)
    return xp.where(xp.any(in_x, axis=-1) & xp.any(in_y, axis=-1), distance, math.nan)


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
    if math.prod(A.shape[:-2]) == 1:
        rows, columns = xp.any(positive, axis=-1), xp.any(positive, axis=-2)
        return xp.reshape(_of_one(xp, A, rows, columns), A.shape[:-2])
    mixed = xp.any(_mixed(xp, positive), axis=(-2, -1))
    if bool(xp.all(mixed)):
        return xp.full(mixed.shape, math.inf, dtype=xp.float64, device=device(A))
    return diameter_of_logs(xp, positive, xp.log(xp.where(positive, A, xp.ones_like(A))))


def diameter_of_logs(xp: Any, positive: Any, logs: Any) -> Any:
    """The projective diameter of a matrix whose positive entries have these logarithms.

    Parameters
    ----------
    xp
        the Array-API namespace.
    positive : (..., m, n)
        where entries are positive.
    logs : (..., m, n)
        finite; what stands where an entry is zero does not count.

    Returns
    -------
    (...)
        in nats; NaN for a zero matrix.
    """
    if bool(xp.all(positive)):
        return _widest(xp, logs)
    rows, columns = xp.any(positive, axis=-1), xp.any(positive, axis=-2)
    mixed = xp.any(_mixed(xp, positive), axis=(-2, -1))
    if bool(xp.all(mixed)):
        return xp.full(mixed.shape, math.inf, dtype=xp.float64, device=device(logs))
    # A dead row or column becomes a copy of a live one, which changes no cross ratio.
    diameter = _widest(xp, _fill(xp, _fill(xp, logs, rows, -2), columns, -1))
    diameter = xp.where(mixed, xp.full_like(diameter, math.inf), diameter)
    return xp.where(xp.any(rows, axis=-1), diameter, xp.full_like(diameter, math.nan))


def _mixed(xp: Any, positive: Any) -> Any:
    """Which entries are zero though their row and their column are not."""
    rows, columns = xp.any(positive, axis=-1), xp.any(positive, axis=-2)
    return rows[..., :, None] & columns[..., None, :] & ~positive


def _of_one(xp: Any, A: Any, rows: Any, columns: Any) -> Any:
    """The diameter of one matrix that has zeros: of its live rows and columns."""
    for axis, live in ((-2, rows), (-1, columns)):
        if not bool(xp.all(live)):
            A = xp.take(A, xp.nonzero(xp.reshape(live, (-1,)))[0], axis=axis)
    if math.prod(A.shape) == 0:
        return xp.asarray(math.nan, dtype=xp.float64, device=device(A))
    if not bool(xp.all(A > 0)):
        return xp.asarray(math.inf, dtype=xp.float64, device=device(A))
    return _widest(xp, xp.log(A))


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
    logs = _upright(xp, logs)
    batch = math.prod(logs.shape[:-2])
    flat = xp.reshape(logs, (batch, *logs.shape[-2:]))
    if batch and flat.shape[1] > farthest.MANY:
        flat = _outlying(xp, flat)
        if flat.shape[1] > farthest.MANY:
            flat = _upright(xp, _outlying(xp, xp.matrix_transpose(flat)))
    rows, columns = flat.shape[-2:]
    step = max(1, _TILE // max(1, rows * columns))
    widest = [_widest_tile(xp, flat[b : b + step, ...]) for b in range(0, batch, step)]
    joined = xp.concat(widest) if widest else xp.sum(flat, axis=(-2, -1))
    return xp.reshape(joined, logs.shape[:-2])


def _outlying(xp: Any, logs: Any) -> Any:
    """The rows that may be in the widest pair, and where these are fewer than of another matrix the first."""
    number, real = farthest.numbers(farthest.outlying_in_range(logs))
    return xp.take_along_axis(logs, xp.where(real, number, number[:, :1])[..., None], axis=1)


def _upright(xp: Any, logs: Any) -> Any:
    """With no more rows than columns."""
    return xp.matrix_transpose(logs) if logs.shape[-2] > logs.shape[-1] else logs


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


def _nonnegative(xp: Any, A: Any) -> Any:
    A = xp.astype(A, xp.float64, copy=False)
    if not bool(xp.all((A >= 0) & xp.isfinite(A))):
        raise InputError("entries must be finite and nonnegative")
    return A
