"""Cosines of given vectors as deficits, and what is certain about them for Gaussian starts.

The deficit of two vectors at angle t (of the lines that they span) is 1 - |cos t| = sin^2 t / (1 + |cos
t|). It is what decays in a chain, so it is never taken as a difference of numbers near one. The law of the
deficit for Gaussian starts is in `gaussian_law`, and can be imported from here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, to_device
from scipy import special

from conetheory.errors import InputError
from conetheory.theory.enclosure import floats
from conetheory.theory.gaussian_law import (
    gaussian_deficit_cdf,
    gaussian_deficit_mean,
    gaussian_deficit_quantile,
    mixture_deficit_quantile,
    stable_rank_excess,
)

__all__ = [
    "deficit",
    "deficit_mean_upper",
    "deficit_tail_bound",
    "deficit_upper",
    "gaussian_deficit_cdf",
    "gaussian_deficit_mean",
    "gaussian_deficit_quantile",
    "mixture_deficit_quantile",
    "pairwise_deficits",
    "random_baseline_deficit",
    "stable_rank_excess",
]

_UP = 1 + 2.0**-46  # covers some ten roundings, and three ulps of a special function
_SAFE = 1e70  # squared lengths within [1 / _SAFE, _SAFE]: their products stay inside float64
_CANCELLED = 2.0**-20  # a wedge this much below its terms has lost 20 of its 53 bits: taken again
_TILE = 1 << 22  # float64 numbers held by one temporary
_CACHE = 1 << 16  # as much of it as a second-level cache keeps


# ---------------------------------------------------------------- deficits of given vectors


def pairwise_deficits(x: Any) -> Any:
    """1 - |cos(x_i, x_j)| for all i < j, with relative accuracy far below the spacing of floats at one.

    With one reference vector e per leading index, x_i = b_i e + f_i and f_i orthogonal to e, one Gram
    matrix F = <f_i, f_j> gives every pair by Lagrange's identity,

        |x_i ^ x_j|^2 = |e|^2 (b_i^2 F_jj + b_j^2 F_ii - 2 b_i b_j F_ij) + F_ii F_jj - F_ij^2,

    and deficit = sin^2 / (1 + |cos|). No cosine is subtracted from one. The residuals f_i are taken with
    exact products (b_i rounded to 24 bits, e split), so their error is relative to f_i itself and deficits
    of 1e-30 keep ten digits. Pairs much closer to each other than to e are computed again with one of the
    two as the reference.

    Parameters
    ----------
    x : (..., vectors, channels)
        any numbers.

    Returns
    -------
    (..., vectors * (vectors - 1) // 2)
        float64, pairs in the order (0, 1), (0, 2), ..., (1, 2), ...; NaN where a vector of the pair is
        zero.

    Raises
    ------
    InputError
        for fewer than two axes or values that are not finite.
    """
    xp = array_namespace(x)
    if x.ndim < 2:
        raise InputError(f"pairwise_deficits needs (..., vectors, channels), not shape {tuple(x.shape)}")
    lead, (vectors, channels) = x.shape[:-2], x.shape[-2:]
    if vectors < 2 or channels == 0:  # no pairs, or pairs of zero vectors
        return xp.full((*lead, vectors * (vectors - 1) // 2), math.nan, dtype=xp.float64, device=device(x))
    first, second = (xp.asarray(i, device=device(x)) for i in np.triu_indices(vectors, 1))
    flat = xp.reshape(x, (math.prod(lead), vectors, channels))
    # On a CPU all temporaries of a tile stay in the cache, which is worth a factor of three.
    room = _CACHE if "cpu" in str(device(x)) else _TILE
    step = max(1, room // max(1, vectors * channels))
    parts = [
        _pairwise(xp, xp.astype(flat[start : start + step, :, :], xp.float64), first, second)
        for start in range(0, flat.shape[0], step)
    ]
    joined = xp.concat(parts) if parts else xp.empty((0, first.shape[0]), dtype=xp.float64)
    return xp.reshape(joined, (*lead, first.shape[0]))


def _pairwise(xp: Any, x: Any, first: Any, second: Any) -> Any:
    x, norm2 = _scaled(xp, x)
    alive = norm2 > 0
    reference = x[:, :1, :]
    if not bool(xp.all(alive[:, 0])):
        # The first live vector; where none lives, zero stands in and every pair is NaN below.
        pick = xp.argmax(xp.astype(alive, xp.int8), axis=-1)[:, None, None]
        reference = xp.take_along_axis(x, xp.broadcast_to(pick, reference.shape), axis=1)
    slope, residual, reference2 = _split(xp, x, reference)
    gram = xp.matmul(residual, xp.matrix_transpose(residual))
    diagonal = xp.sum(residual * residual, axis=-1)
    b_i, b_j = xp.take(slope, first, axis=-1), xp.take(slope, second, axis=-1)
    f_ii, f_jj = xp.take(diagonal, first, axis=-1), xp.take(diagonal, second, axis=-1)
    f_ij = _pairs(xp, gram, first, second)
    n_ij = xp.take(norm2, first, axis=-1) * xp.take(norm2, second, axis=-1)
    both = n_ij > 0
    n_ij = xp.where(both, n_ij, xp.ones_like(n_ij))
    along = reference2 * b_i * b_j
    terms = reference2 * (b_i * b_i * f_jj + b_j * b_j * f_ii) + f_ii * f_jj
    wedge = terms - (2 * along + f_ij) * f_ij
    deficit = wedge / n_ij / (1 + xp.abs(along + f_ij) / xp.sqrt(n_ij))
    deficit = xp.clip(deficit, max=1.0)  # orthogonal vectors may round above it
    lost = both & (wedge < _CANCELLED * terms)
    if bool(xp.any(lost)):
        deficit = _recompute(xp, deficit, lost, x, first, second)
    return xp.where(both, deficit, xp.full_like(deficit, math.nan))


def deficit(x: Any, y: Any) -> Any:
    """1 - |cos(x, y)| along the last axis, with the accuracy of `pairwise_deficits`.

    Parameters
    ----------
    x, y : (..., channels)
        broadcast against each other.

    Returns
    -------
    (...)
        float64; NaN where one of them is zero.

    References
    ----------
    elementary, by Lagrange's identity.
    """
    xp = array_namespace(x, y)
    x, _ = _scaled(xp, xp.astype(x, xp.float64))
    y, _ = _scaled(xp, xp.astype(y, xp.float64))
    return _deficit(xp, *xp.broadcast_arrays(x, y))


def _deficit(xp: Any, x: Any, y: Any) -> Any:
    slope, residual, x2 = _split(xp, y[..., None, :], x[..., None, :])
    wedge = x2[..., 0] * xp.sum(residual[..., 0, :] ** 2, axis=-1)
    y2 = xp.sum(y * y, axis=-1)
    n = x2[..., 0] * y2
    alive = n > 0
    n = xp.where(alive, n, xp.ones_like(n))
    value = xp.clip(wedge / n / (1 + x2[..., 0] * xp.abs(slope[..., 0]) / xp.sqrt(n)), max=1.0)
    return xp.where(alive, value, xp.full_like(value, math.nan))


def _split(xp: Any, x: Any, reference: Any) -> tuple[Any, Any, Any]:
    """x = slope * reference + residual, residual orthogonal to reference; also |reference|^2.

    slope is first rounded to 24 bits and the reference is split into 24 + 29 bits: both products are
    exact, the first difference is exact wherever x is near (Sterbenz), so only one rounding, relative to
    the residual, is left. The small multiple of the reference that stays in the residual is then taken off.
    """
    reference2 = xp.sum(reference * reference, axis=-1)
    safe = xp.where(reference2 > 0, reference2, xp.ones_like(reference2))
    across = xp.matrix_transpose(reference)
    slope = _round_to_24_bits(xp.matmul(x, across)[..., 0] / safe)
    high = _round_to_24_bits(reference)
    low = reference - high
    residual = x - slope[..., None] * high
    if bool(xp.any(low != 0)):  # never for float32 input
        residual = residual - slope[..., None] * low
    rest = xp.matmul(residual, across)[..., 0] / safe
    return slope + rest, residual - rest[..., None] * reference, reference2


def _round_to_24_bits(x: Any) -> Any:
    """Veltkamp's splitting."""
    shifted = x * (2.0**29 + 1)
    return shifted - (shifted - x)


def _scaled(xp: Any, x: Any) -> tuple[Any, Any]:
    """x and the squared lengths; scaled by powers of two, exactly, where these could leave float64."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        norm2 = xp.sum(x * x, axis=-1)
    if bool(xp.all(norm2 < _SAFE)) and not bool(xp.any((norm2 < 1 / _SAFE) & xp.any(x != 0, axis=-1))):
        return x, norm2
    largest = xp.max(xp.abs(x), axis=-1, keepdims=True)
    if not bool(xp.all(xp.isfinite(largest))):
        raise InputError("a vector holds a value that is not finite")
    exponent = xp.floor(xp.log2(xp.where(largest > 0, largest, xp.ones_like(largest))))
    half = xp.floor(exponent / 2)  # in two steps: 2**-exponent alone may overflow
    x = x * _power_of_two(xp, -half) * _power_of_two(xp, half - exponent)
    return x, xp.sum(x * x, axis=-1)


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


# ---------------------------------------------------------------- certificates and baseline


def deficit_tail_bound(S: Any, angle: Any) -> Any:
    """P(angle > t) <= erf(sqrt(S / 2) / tan(t / 2)) for v, w independent N(0, I), whatever the spectrum.

    Attained to leading order by long flat tails.

    Parameters
    ----------
    S
        `stable_rank_excess` >= 0.
    angle
        0 < angle <= pi / 2; both broadcast.

    Returns
    -------
    float64
        an upper bound, rounded up, not above one.

    Raises
    ------
    InputError
        for S and angles out of range.

    References
    ----------
    Theorem: gaussian-law.
    """
    xp, S, angle = floats(S, angle)
    if bool(xp.any(~(S >= 0))) or bool(xp.any(~((angle > 0) & (angle <= math.pi / 2 + 1e-15)))):
        raise InputError("deficit_tail_bound needs S >= 0 and 0 < angle <= pi / 2")
    bound = _special(xp, "erf", xp.sqrt(S / 2) / xp.tan(angle / 2))
    return xp.clip(bound * _UP, max=1.0)


def deficit_upper(S: Any, failure: Any) -> Any:
    """The certificate for one pair: 1 - |cos| <= deficit_upper(S, failure) with probability >= 1 - failure.

    The inverse of `deficit_tail_bound`: with e = erfinv(failure), T = sqrt(S / 2) / e and the deficit is
    2 T^2 / (1 + T^2) = 2 S / (S + 2 e^2), at most one. At failure 1/2 it bounds the median: T^2 = 2.198 S.

    Parameters
    ----------
    S
        `stable_rank_excess` >= 0, inf allowed.
    failure
        0 < failure < 1; both broadcast.

    Returns
    -------
    float64
        rounded up.

    Raises
    ------
    InputError
        for S and failures out of range.

    References
    ----------
    Theorem: local-csc-certificate.
    """
    xp, S, failure = floats(S, failure)
    if bool(xp.any(~(S >= 0))) or bool(xp.any(~((failure > 0) & (failure < 1)))):
        raise InputError("deficit_upper needs S >= 0 and 0 < failure < 1")
    e = _special(xp, "erfinv", failure)
    most = 2 * e * e  # where it underflows the bound is one, unless S is zero
    finite = (S > 0) & xp.isfinite(S)
    within = xp.where(finite, S, xp.ones_like(S))
    upper = xp.clip(2 * within / (within + most) * _UP, max=1.0)
    return xp.where(finite, upper, xp.clip(S + 0 * most, max=1.0))


def deficit_mean_upper(S: Any) -> Any:
    """E[1 - |cos(P v, P w)|] <= 1 - erfcx(sqrt(S / 2))^2 <= 2 sqrt(2 S / pi), whatever the spectrum.

    erfcx(x) = exp(x^2) erfc(x). The first form is attained by long flat tails; for small S its digits cancel,
    and the second, 1.596 sqrt(S), is given.

    Parameters
    ----------
    S
        `stable_rank_excess` >= 0, inf allowed.

    Returns
    -------
    float64
        of the shape of S, rounded up.

    Raises
    ------
    InputError
        for a negative S.

    References
    ----------
    Theorem: gaussian-law.
    """
    xp, S = floats(S)
    if bool(xp.any(~(S >= 0))):
        raise InputError("deficit_mean_upper needs S >= 0")
    along = _special(xp, "erfcx", xp.sqrt(S / 2))
    linear = 2 * xp.sqrt(2 * S / math.pi) * _UP
    return xp.minimum(xp.clip(linear, max=1.0), (1 - along) * (1 + along) + 2.0**-48)


def _special(xp: Any, name: str, x: Any) -> Any:
    """A function of scipy.special, elementwise, on the CPU: no Array-API library has all of them."""
    values = getattr(special, name)(np.asarray(to_device(x, "cpu")))
    return xp.asarray(values, device=device(x))


def random_baseline_deficit(channels: int, q: float | None = 0.5) -> float:
    """The q-quantile of 1 - |cos| of two independent Gaussian vectors in R^channels.

    sin^2 has the law Beta((channels - 1) / 2, 1 / 2); deficit = sin^2 / (1 + |cos|).
    E|cos| = Gamma(c / 2) / (sqrt(pi) Gamma((c + 1) / 2)).

    Parameters
    ----------
    channels
        c, at least one.
    q
        0 < q < 1; None: the mean.

    Returns
    -------
    float
        zero for one channel.

    Raises
    ------
    InputError
        for no channel and q out of range.

    References
    ----------
    classical (Muirhead 1982, 1.5).
    """
    if channels < 1:
        raise InputError(f"random_baseline_deficit needs at least one channel, not {channels}")
    if channels == 1:
        return 0.0
    if q is None:
        log_mean = special.gammaln(channels / 2) - special.gammaln((channels + 1) / 2)
        return float(1 - math.exp(log_mean) / math.sqrt(math.pi))
    if not 0 < q < 1:
        raise InputError(f"a quantile level lies between 0 and 1, not {q}")
    sine2 = special.betaincinv((channels - 1) / 2, 0.5, q)
    return float(sine2 / (1 + math.sqrt(special.betaincinv(0.5, (channels - 1) / 2, 1 - q))))
