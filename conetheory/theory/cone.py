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
from conetheory.theory.enclosure import floats, round_down, round_up
from conetheory.theory.matrices import matrix

_CACHED = 1 << 19  # bytes of a temporary that is passed over several times
_TILE = 1 << 20  # float64 numbers held by one temporary; small enough to stay in the second-level cache


# ---------------------------------------------------------------- Hilbert's metric


def hilbert_distance(x: Any, y: Any) -> Any:
    """d(x, y) along the last axis: zero for proportional vectors, inf where their zeros differ.

    x, y: (..., n), nonnegative, broadcast. NaN where a vector is zero. Raises InputError for negative
    entries. Source: Birkhoff 1957; fact F1 (proofs/README.md).
    """
    xp = array_namespace(x, y)
    x, y = xp.broadcast_arrays(_nonnegative(xp, x), _nonnegative(xp, y))
    return _distance(xp, _logs(xp, x), _logs(xp, y))


def pairwise_hilbert_distances(x: Any) -> Any:
    """`hilbert_distance` of the pairs i < j of vectors x (..., k, n): (..., k (k - 1) / 2), by i, then j."""
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

    A: (..., m, n), nonnegative. Returns (...): zero for rank one, inf (exactly) where a column mixes zeros
    and positive entries on the rows that are not zero, NaN for a zero matrix. Taken over pairs of the
    shorter axis, in O(min(m, n) m n) time and bounded memory; a scipy sparse A is inf without a dense copy
    unless its live rows and columns have no zero. Raises InputError for negative entries or values that
    aren't finite. Source: Birkhoff 1957, Hopf 1963; Seneta 1981, p. 108; theorem `birkhoff-hopf`.
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
    logs = _upright(xp, logs)
    batch = math.prod(logs.shape[:-2])
    flat = xp.reshape(logs, (batch, *logs.shape[-2:]))
    if batch == 1 and flat.shape[1] > farthest.MANY:
        flat = flat[:, farthest.outlying_in_range(flat[0, ...]), :]
        if flat.shape[1] > farthest.MANY:
            flat = _upright(xp, flat[:, :, farthest.outlying_in_range(xp.matrix_transpose(flat[0, ...]))])
    rows, columns = flat.shape[-2:]
    step = max(1, _TILE // max(1, rows * columns))
    widest = [_widest_tile(xp, flat[b : b + step, ...]) for b in range(0, batch, step)]
    joined = xp.concat(widest) if widest else xp.sum(flat, axis=(-2, -1))
    return xp.reshape(joined, logs.shape[:-2])


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


# ---------------------------------------------------------------- rates


def birkhoff_rate(diameter: Any) -> Any:
    """-log tau = 2 artanh(exp(-Delta / 2)) = -log tanh(Delta / 4): what one application contracts, in nats.

    Zero for an infinite diameter, inf for rank one. Source: theorem `birkhoff-hopf`.
    """
    return _minus_log_tanh_half(diameter / 2)


def birkhoff_tau(diameter: Any) -> Any:
    """tau = tanh(Delta / 4), the Birkhoff-Hopf coefficient; exactly 1.0 in float64 for Delta > 77."""
    xp, diameter = floats(diameter)
    return xp.tanh(diameter / 4)


def diameter_of_rate(rate: Any) -> Any:
    """Delta = 4 artanh(exp(-rate)) = -2 log tanh(rate / 2), the inverse of `birkhoff_rate`."""
    return 2 * _minus_log_tanh_half(rate)


def product_diameter_upper(rates: Any) -> Any:
    """Delta(A_1 ... A_L) <= 4 artanh(prod tau) from the rates (..., L) of the factors: added, converted
    once.

    Never above (prod_{l < L} tau_l) Delta(A_L). Rounded up. Theorem: birkhoff-hopf (d).
    """
    return round_up(diameter_of_rate(_total_lower(rates)), 12)


def contracted_diameter_upper(diameter: Any, distance: Any) -> Any:
    """d(A x, A y) <= 4 artanh(tanh(Delta(A) / 4) tanh(d(x, y) / 4)), sharp: Birkhoff-Hopf in its full form.

    diameter: Delta(A); distance: d(x, y), or a bound of it, such as a radius; broadcast, inf where infinite.
    As Delta(A D B) is a distance of two images of A, it bounds that, for every positive diagonal D, from
    Delta(A) and Delta(B). Never above tau d(x, y) nor above Delta(A); rounded up.
    Theorem: birkhoff-hopf (e).
    """
    xp, diameter, distance = floats(diameter, distance)
    diameter, distance = xp.broadcast_arrays(diameter, distance)
    rates = xp.stack([birkhoff_rate(diameter), birkhoff_rate(distance)], axis=-1)
    return xp.minimum(product_diameter_upper(rates), xp.minimum(diameter, distance))


def _minus_log_tanh_half(x: Any) -> Any:
    """-log tanh(x / 2) for x in [0, inf], an involution, accurate at both ends."""
    xp, x = floats(x)
    if bool(xp.any(x < 0)):
        raise InputError("a diameter or a rate can't be negative")
    inside = x > 0
    safe = xp.where(inside, x, xp.ones_like(x))
    small = -xp.log(xp.tanh(xp.clip(safe, max=1.0) / 2))
    large = 2 * xp.atanh(xp.exp(-xp.clip(safe, min=1.0)))
    return xp.where(inside, xp.where(safe < 1, small, large), x + math.inf)  # NaN stays


def _total_lower(rates: Any) -> Any:
    xp = array_namespace(rates)
    total = xp.sum(xp.astype(rates, xp.float64), axis=-1)
    # Rates of diameters above 1400 are subnormal: what they have lost is not relative to them.
    lower = total * (1 - (rates.shape[-1] + 8) * 2.0**-52) - rates.shape[-1] * 2.0**-1072
    return xp.where(total > 0, xp.clip(lower, min=0.0), total)


# ---------------------------------------------------------------- angles


def cosine_lower_from_rates(rates: Any) -> Any:
    """The half-angle theorem: cos(P x, P y) >= (1 - T^2) / (1 + T^2) = tanh(sum of rates), T = prod tau.

    rates: (..., L), -log tau of the factors of P; x, y any nonnegative vectors that P does not kill.
    Rounded down. Source: new here, theorem `half-angle`.
    """
    xp = array_namespace(rates)
    return xp.clip(round_down(xp.tanh(_total_lower(rates)), 4), min=0.0)


def deficit_upper_from_rates(rates: Any) -> Any:
    """1 - cos(P x, P y) <= 2 T^2 / (1 + T^2) = 2 / (exp(2 sum of rates) + 1), accurate far below 1e-16."""
    xp = array_namespace(rates)
    total = _total_lower(rates)
    # exp(-2 total) has a relative error of 2 total ulps, from the rounding of its argument.
    square = xp.exp(-2 * total) * (1 + 2.0**-50 * (1 + xp.clip(total, max=1e6)))
    return round_up(2 * square / (1 + square), 8)


def cosine_lower_from_diameter(diameter: Any) -> Any:
    """The sech lemma: cos(u, v) >= 1 / cosh(d / 2) for nonnegative u, v at Hilbert distance <= d. Sharp.
    Rounded down.

    Source: Kantorovich 1948; Watson 1955 (Cassels); theorem `metric-to-cosine`.
    """
    xp, d = _checked_diameter(diameter)
    e = xp.exp(-d / 2)
    slack = 1 - 2.0**-50 * (1 + xp.clip(d, max=1e6))
    return xp.clip(round_down(2 * e / (1 + e * e) * slack, 6), min=0.0)


def deficit_upper_from_diameter(diameter: Any) -> Any:
    """1 - cos(u, v) <= 1 - 1 / cosh(d / 2) = (1 - e)^2 / (1 + e^2), e = exp(-d / 2); no digits lost."""
    xp, d = _checked_diameter(diameter)
    e = xp.expm1(-d / 2)
    return xp.clip(round_up(e * e / (1 + (1 + e) ** 2), 12), max=1.0)


def _checked_diameter(diameter: Any) -> tuple[Any, Any]:
    xp, diameter = floats(diameter)
    if bool(xp.any(diameter < 0)):
        raise InputError("a diameter can't be negative")
    return xp, diameter


def angle_of_deficit(deficit: Any) -> Any:
    """The angle t in [0, pi] with 1 - cos t = deficit: 2 arcsin(sqrt(deficit / 2))."""
    xp, deficit = floats(deficit)
    return 2 * xp.asin(xp.sqrt(deficit / 2))


def deficit_of_angle(angle: Any) -> Any:
    """1 - cos(angle) = 2 sin(angle / 2)^2."""
    xp, angle = floats(angle)
    return 2 * xp.sin(angle / 2) ** 2


def half_tangent_of_deficit(deficit: Any) -> Any:
    """tan(angle / 2) = sqrt(deficit / (2 - deficit)), the quantity that Birkhoff's coefficient bounds."""
    xp, deficit = floats(deficit)
    return xp.sqrt(deficit / (2 - deficit))


def deficit_of_half_tangent(tangent: Any) -> Any:
    """1 - cos(angle) = 2 T^2 / (1 + T^2) for T = tan(angle / 2)."""
    _, tangent = floats(tangent)
    square = tangent * tangent
    return 2 * square / (1 + square)


def _nonnegative(xp: Any, A: Any) -> Any:
    A = xp.astype(A, xp.float64, copy=False)
    if not bool(xp.all((A >= 0) & xp.isfinite(A))):
        raise InputError("entries must be finite and nonnegative")
    return A
