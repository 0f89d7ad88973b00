"""Cosines of the images of a linear map: the deficit 1 - |cos|, its law for Gaussian starts, its certificate.

Deficit. For vectors x, y != 0 at angle t (of the lines that they span), deficit = 1 - |cos t| = sin^2 t / (1 + |cos t|).

Law (new here, proofs/test_gaussian_law.py). Let x = P v, y = P w with v, w independent N(0, I), P of singular values
s_1 >= s_2 >= ..., and W the 2 x 2 Gram matrix of (x, y). W is invariant under rotations of (v, w), so with
delta = 2 sqrt(det W) / sqrt((W_11 - W_22)^2 + 4 W_12^2) and an independent uniform angle psi

    tan(angle) = delta / |sin psi|,   P(tan(angle) <= tau | delta) = (2/pi) arccos(min(1, delta / tau)),
    E[1 - |cos| | delta] = (2/pi) arctan(delta).

Only delta is left to integrate. It needs s_i / s_1 alone, and no subtraction that loses digits, so deficits of 1e-28
come out as accurately as those of 0.1. The integral is randomised quasi-Monte Carlo with fixed seeds: the same
input gives the same output, and the spread of the randomisations is the error that is reported.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from scipy import special
from scipy.stats import qmc

from conetheory.errors import InputError
from conetheory.theory.records import Estimate

_SAFE = 1e70  # fourth powers of what lies within [1/_SAFE, _SAFE] stay inside float64
_CANCELLED = 2.0**-20  # a wedge this much below its terms has lost 20 of its 53 bits: computed again, pair by pair
_TILE = 1 << 22  # float64 numbers held by one temporary
_SEED = 20200713
_REPLICATES = 8
_POINTS = 1024  # per replicate


# ---------------------------------------------------------------- deficits of given vectors


def pairwise_deficits(x: Any) -> Any:
    """1 - |cos(x_i, x_j)| for all i < j, with relative accuracy far below the spacing of floats at one.

    x: (..., vectors, channels). Returns (..., vectors * (vectors - 1) // 2) in float64, pairs in the order
    (0, 1), (0, 2), ..., (1, 2), ...; NaN where a vector of the pair is zero.

    With one reference vector e per leading index, x_i = b_i e + f_i and f_i orthogonal to e, one Gram matrix
    F = <f_i, f_j> gives every pair by Lagrange's identity,

        |x_i ^ x_j|^2 = |e|^2 (b_i^2 F_jj + b_j^2 F_ii - 2 b_i b_j F_ij) + F_ii F_jj - F_ij^2,

    and deficit = sin^2 / (1 + |cos|). No cosine is subtracted from one. The residuals f_i are taken with exact
    products (b_i rounded to 24 bits, e split), so their error is relative to f_i itself and deficits of 1e-30 keep
    ten digits. Pairs much closer to each other than to e are computed again with one of the two as the reference.

    Raises InputError for fewer than two axes or values that are not finite.
    """
    xp = array_namespace(x)
    if x.ndim < 2:
        raise InputError(f"pairwise_deficits needs (..., vectors, channels), not shape {tuple(x.shape)}")
    x = _scaled(xp, xp.astype(x, xp.float64))
    vectors = x.shape[-2]
    first, second = (xp.asarray(i, device=device(x)) for i in np.triu_indices(vectors, 1))
    norm2 = xp.sum(x * x, axis=-1)
    alive = norm2 > 0
    # The first live vector is the reference; where none lives, zero stands in and every pair is NaN below.
    pick = xp.argmax(xp.astype(alive, xp.int8), axis=-1)
    live = xp.astype(alive, xp.float64)
    one_hot = xp.astype(xp.arange(vectors, device=device(x)) == pick[..., None], xp.float64)
    reference = xp.matmul(one_hot[..., None, :], x)
    slope, residual, reference2 = _split(xp, x, reference)
    gram = xp.matmul(residual, xp.matrix_transpose(residual))
    diagonal = xp.sum(residual * residual, axis=-1)
    b_i, b_j = xp.take(slope, first, axis=-1), xp.take(slope, second, axis=-1)
    f_ii, f_jj = xp.take(diagonal, first, axis=-1), xp.take(diagonal, second, axis=-1)
    f_ij = _pairs(xp, gram, first, second)
    n_ij = xp.take(norm2, first, axis=-1) * xp.take(norm2, second, axis=-1)
    terms = reference2 * (b_i * b_i * f_jj + b_j * b_j * f_ii) + f_ii * f_jj
    wedge = terms - 2 * reference2 * b_i * b_j * f_ij - f_ij * f_ij
    cosine = xp.abs(reference2 * b_i * b_j + f_ij) / xp.sqrt(n_ij)
    deficit = wedge / n_ij / (1 + cosine)
    both = (xp.take(live, first, axis=-1) * xp.take(live, second, axis=-1)) > 0
    lost = both & (wedge < _CANCELLED * terms)
    if bool(xp.any(lost)):
        deficit = _recompute(xp, deficit, lost, x, first, second)
    return xp.where(both, deficit, xp.asarray(math.nan, dtype=xp.float64, device=device(x)))


def deficit(x: Any, y: Any) -> Any:
    """1 - |cos(x, y)| along the last axis, in float64, with the accuracy of `pairwise_deficits`.

    x, y: (..., channels), broadcast against each other. NaN where one of them is zero.
    """
    xp = array_namespace(x, y)
    x = _scaled(xp, xp.astype(x, xp.float64))
    y = _scaled(xp, xp.astype(y, xp.float64))
    return _deficit(xp, *xp.broadcast_arrays(x, y))


def _deficit(xp: Any, x: Any, y: Any) -> Any:
    slope, residual, x2 = _split(xp, y[..., None, :], x[..., None, :])
    wedge = x2[..., 0] * xp.sum(residual[..., 0, :] ** 2, axis=-1)
    y2 = xp.sum(y * y, axis=-1)
    n = x2[..., 0] * y2
    alive = n > 0
    n = xp.where(alive, n, xp.ones_like(n))
    value = wedge / n / (1 + x2[..., 0] * xp.abs(slope[..., 0]) / xp.sqrt(n))
    return xp.where(alive, value, xp.full_like(value, math.nan))


def _split(xp: Any, x: Any, reference: Any) -> tuple[Any, Any, Any]:
    """x = slope * reference + residual, residual orthogonal to reference; also |reference|^2 (last axis kept).

    slope is first rounded to 24 bits and the reference is split into 24 + 29 bits: both products are exact, the
    first difference is exact wherever x is near (Sterbenz), so only one rounding, relative to the residual, is left.
    The small multiple of the reference that stays in the residual is then taken off.
    """
    reference2 = xp.sum(reference * reference, axis=-1)
    safe = xp.where(reference2 > 0, reference2, xp.ones_like(reference2))
    across = xp.matrix_transpose(reference)
    slope = xp.matmul(x, across)[..., 0] / safe
    slope = xp.astype(xp.astype(slope, xp.float32), xp.float64)
    high = xp.astype(xp.astype(reference, xp.float32), xp.float64)
    residual = (x - slope[..., None] * high) - slope[..., None] * (reference - high)
    rest = xp.matmul(residual, across)[..., 0] / safe
    return slope + rest, residual - rest[..., None] * reference, reference2


def _scaled(xp: Any, x: Any) -> Any:
    """x, with every vector brought to the order of one by a power of two (exact) where squares could leave float64."""
    largest = xp.max(xp.abs(x), axis=-1, keepdims=True)
    if not bool(xp.all(xp.isfinite(largest))):
        raise InputError("a vector holds a value that is not finite")
    low = xp.min(xp.where(largest > 0, largest, xp.ones_like(largest)))
    if float(xp.max(largest)) < _SAFE**0.5 and float(low) > _SAFE**-0.5:
        return x
    exponent = xp.floor(xp.log2(xp.where(largest > 0, largest, xp.ones_like(largest))))
    half = xp.floor(exponent / 2)  # in two steps: 2**-exponent alone may overflow
    return x * _power_of_two(xp, -half) * _power_of_two(xp, half - exponent)


def _power_of_two(xp: Any, exponent: Any) -> Any:
    return xp.asarray(np.ldexp(1.0, np.asarray(exponent.tolist(), dtype=np.int64)), device=device(exponent))


def _pairs(xp: Any, matrix: Any, first: Any, second: Any) -> Any:
    """matrix[..., first, second] in Array-API terms."""
    columns = matrix.shape[-1]
    flat = xp.reshape(matrix, (*matrix.shape[:-2], columns * columns))
    return xp.take(flat, first * columns + second, axis=-1)


def _recompute(xp: Any, deficit: Any, lost: Any, x: Any, first: Any, second: Any) -> Any:
    """The pairs in `lost`, each with its own first vector as the reference, in tiles of bounded memory."""
    vectors, channels = x.shape[-2:]
    flat, rows = xp.reshape(x, (-1, channels)), xp.reshape(deficit, (-1,))
    (where,) = xp.nonzero(xp.reshape(lost, (-1,)))
    batch, pair = where // first.shape[0], where % first.shape[0]
    left, right = batch * vectors + first[pair], batch * vectors + second[pair]
    values = xp.asarray(rows, copy=True)
    step = max(1, _TILE // channels)
    for start in range(0, where.shape[0], step):
        part = slice(start, start + step)
        values[where[part]] = _deficit(xp, flat[left[part], :], flat[right[part], :])
    return xp.reshape(values, deficit.shape)


# ---------------------------------------------------------------- the law for Gaussian starts


def stable_rank_excess(singular_values: Any) -> Any:
    """S = sum_{i >= 2} (s_i / s_1)^2, the stable rank minus one, without the subtraction.

    singular_values: (..., r), in any order. Returns (...); NaN where all are zero. Source: theory.md B9.
    """
    weights = _squared_ratios(singular_values)
    return array_namespace(weights).sum(weights[..., 1:], axis=-1) + 0 * weights[..., 0]


def gaussian_deficit_cdf(singular_values: Any, t: Any) -> Estimate:
    """P(1 - |cos(P v, P w)| <= t) for v, w independent N(0, I), from the singular values of P.

    singular_values: (..., r), any order, not all zero (else NaN); t: any shape, in [0, 1].
    Returns an Estimate of shape (..., *t.shape) with its standard error. Source: theory.md B9 and new here (module).
    """
    xp = array_namespace(singular_values)
    weights = _squared_ratios(singular_values)
    t = xp.astype(xp.asarray(t, device=device(weights)), xp.float64)
    levels = _log_tangent(xp, xp.reshape(t, (-1,)))
    flat = xp.reshape(weights, (-1, weights.shape[-1]))
    rows = []
    for part in _tiles(flat, _REPLICATES * _POINTS):
        logs = _log_deltas(xp, part)
        rows.append(xp.stack([_cdf(xp, logs, level) for level in levels], axis=-1))
    by_replicate = xp.concat(rows, axis=0)  # (batch, replicates, levels)
    value, error = _mean_and_error(xp, by_replicate, axis=1)
    shape = (*weights.shape[:-1], *t.shape)
    return Estimate(xp.reshape(value, shape), xp.reshape(error, shape), "rotation-conditioned QMC")


def gaussian_deficit_quantile(singular_values: Any, q: float = 0.5) -> Estimate:
    """The q-quantile of 1 - |cos(P v, P w)|, one for each spectrum; q = 0.5 is the median.

    singular_values: (..., r); 0 < q < 1. Returns an Estimate of shape (...); its error is the standard error of the
    value. Zero for rank one, NaN where all are zero. Source: as `gaussian_deficit_cdf`.
    """
    _check_level(q)
    xp = array_namespace(singular_values)
    weights = _squared_ratios(singular_values)
    flat = xp.reshape(weights, (-1, weights.shape[-1]))
    values, errors = [], []
    for part in _tiles(flat, _REPLICATES * _POINTS):
        logs = _log_deltas(xp, part)
        log_tau = _solve(xp, lambda level, logs=logs: xp.mean(_cdf(xp, logs, level), axis=-1) - q, logs, q)
        value = _deficit_of_tangent(xp, xp.exp(log_tau))
        # One step of the secant through a slightly larger tangent turns the spread of F into one of log t.
        _, spread = _mean_and_error(xp, _cdf(xp, logs, log_tau[:, None]), axis=1)
        slope = xp.mean(_cdf(xp, logs, log_tau[:, None] + 0.1) - _cdf(xp, logs, log_tau[:, None] - 0.1), axis=-1)
        rank_one = part[:, 0] + xp.sum(part[:, 1:], axis=-1) == part[:, 0]
        rank_one = rank_one & (xp.sum(part[:, 1:], axis=-1) == 0)
        zero = xp.zeros_like(value)
        values.append(xp.where(rank_one, zero, value) + 0 * part[:, 0])
        errors.append(xp.where(rank_one, zero, 2 * value * spread * 0.2 / slope) + 0 * part[:, 0])
    shape = weights.shape[:-1]
    value, error = xp.reshape(xp.concat(values), shape), xp.reshape(xp.concat(errors), shape)
    return Estimate(value, error, "rotation-conditioned QMC")
