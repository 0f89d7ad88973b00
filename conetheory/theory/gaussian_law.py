"""The law of 1 - |cos(P v, P w)| for independent Gaussian v, w, from the singular values of P.

Theorem (new here, proofs/test_gaussian_law.py). Let v, w be independent N(0, I), P have singular values
s_1 >= s_2 >= ..., and W be the 2 x 2 Gram matrix of (P v, P w). Rotating the pair (v, w) in its plane does
not change its law, so W is a uniform rotation of its eigenvalues. Hence, with

    delta = 2 sqrt(det W) / sqrt((W_11 - W_22)^2 + 4 W_12^2)

(a function of the eigenvalues) and psi uniform and independent of delta,

    tan(angle) = delta / |sin psi|,   P(tan(angle) <= x | delta) = (2/pi) arccos(min(1, delta / x)),
    E[1 - |cos| | delta] = (2/pi) arctan(delta).

Only delta is left to integrate. It depends on the ratios s_i / s_1, and nothing that loses digits is
subtracted, so deficits of 1e-28 come out as well as those of 0.1. The integral is randomised quasi-Monte
Carlo with fixed seeds: the same input gives the same output, and the spread of the randomisations is the
error that is reported. Their spread says nothing of a tail that few of the nodes reach: there the error is at
least the mass of one node, `_LEAST`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from scipy import linalg, special

from conetheory.errors import InputError
from conetheory.theory.records import Estimate

_TILE = 1 << 22  # float64 numbers held by one temporary
_SEED = 20200713
_REPLICATES = 8
_POINTS = 1024  # per replicate; a power of two, as are those of mixtures
_MIXED, _FEWEST = 64, 128  # spectra of a mixture from which on each has fewer points, and down to how many
_LEAST = 1 / (_REPLICATES * _POINTS)  # what one node weighs: no smaller probability is resolved
_FEW = 64  # nodes below which the spread of the replicates is no guide to the error of a tail
_METHOD = "rotation-conditioned quasi-Monte Carlo"


def stable_rank_excess(singular_values: Any) -> Any:
    """S = sum_{i >= 2} (s_i / s_1)^2, the stable rank minus one, without the subtraction.

    singular_values: (..., r), in any order. Returns (...); NaN where all are zero. Source: theorem
    `gaussian-law`.
    """
    xp, weights = _squared_ratios(singular_values)
    return xp.sum(weights[..., 1:], axis=-1) + 0 * weights[..., 0]  # the second term carries the NaN


def gaussian_deficit_cdf(singular_values: Any, t: Any) -> Estimate:
    """P(1 - |cos(P v, P w)| <= t) for v, w independent N(0, I), from the singular values of P.

    singular_values: (..., r), any order, not all zero (else NaN); t: any shape, values in [0, 1].
    Returns an Estimate of shape (..., *t.shape) with its standard error, which is at least 1.2e-4 where fewer
    than 64 of the nodes lie below t, and 2^-52 anywhere but at t = 0 and for rank one, where the law is
    exact. Source: new here (module).
    """
    xp, weights = _squared_ratios(singular_values)
    t = xp.asarray(t, dtype=xp.float64, device=device(weights))
    if bool(xp.any((t < 0) | (t > 1))):
        raise InputError("gaussian_deficit_cdf needs 0 <= t <= 1")
    levels = xp.reshape(_log_tangent(xp, t), (-1,))
    parts, floors = [], []
    for part in _tiles(weights):
        logs, mass = _log_deltas(xp, part)
        columns = [_arccos_mean(xp, logs, mass, level) for level in xp.unstack(levels)]
        empty = xp.zeros((*logs.shape[:2], 0), dtype=xp.float64, device=device(logs))
        parts.append((xp.stack(columns, axis=-1) if columns else empty) + 0 * part[:, :1, None])
        floors.append(_unresolved(xp, logs, levels))
    shape = (*weights.shape[:-1], *t.shape)
    found = _estimate(xp, xp.concat(parts, axis=0), shape)
    return Estimate(found.value, xp.maximum(found.error, xp.reshape(xp.concat(floors), shape)), _METHOD)


def gaussian_deficit_mean(singular_values: Any) -> Estimate:
    """E[1 - |cos(P v, P w)|] = (2/pi) E arctan(delta), for v, w independent N(0, I).

    It scales as sqrt(S) where the median scales as S: the two are never interchangeable.
    singular_values: (..., r). Returns an Estimate of shape (...). Theorem: gaussian-law.
    """
    xp, weights = _squared_ratios(singular_values)
    parts = [
        xp.sum(mass * xp.atan(xp.exp(logs)), axis=-1) * (2 / math.pi) + 0 * part[:, :1]
        for part in _tiles(weights)
        for logs, mass in [_log_deltas(xp, part)]
    ]
    return _estimate(xp, xp.concat(parts, axis=0), weights.shape[:-1])


def gaussian_deficit_quantile(singular_values: Any, q: float = 0.5) -> Estimate:
    """The q-quantile of 1 - |cos(P v, P w)| for each spectrum; q = 0.5 is the median.

    singular_values: (..., r); 0 < q < 1. Returns an Estimate of shape (...), with the standard error of
    the value; zero for rank one, NaN where all are zero. Source: as `gaussian_deficit_cdf`.
    """
    _check_level(q)
    xp, weights = _squared_ratios(singular_values)
    values, errors = [], []
    for part in _tiles(weights):
        tail = xp.sum(part[:, 1:], axis=-1)
        logs, mass = _log_deltas(xp, xp.where((tail > 0)[:, None], part, xp.ones_like(part)))
        low, step, bins = _grid(xp, xp.where(tail > 0, tail, xp.ones_like(tail)), shared=False)
        value, error = _solve(xp, _histogram(xp, logs, mass, low, step, bins), low, step, q)
        many = xp.astype(tail > 0, xp.float64)
        values.append(value * many + 0 * part[:, 0])
        errors.append(error * many + 0 * part[:, 0])
    shape = weights.shape[:-1]
    return Estimate(xp.reshape(xp.concat(values), shape), xp.reshape(xp.concat(errors), shape), _METHOD)


def mixture_deficit_quantile(singular_values: Any, q: float = 0.5, weights: Any = None) -> Estimate:
    """The q-quantile of 1 - |cos| pooled over positions: each position has its own spectrum.

    singular_values: (positions, r); 0 < q < 1; weights: (positions,), nonnegative, equal where None.
    Positions whose singular values are all zero are dropped, as dead positions are in the measurement;
    InputError if none is left. Returns an Estimate of two numbers (shape ()). Source: as
    `gaussian_deficit_cdf`, averaged over positions.
    """
    _check_level(q)
    xp, ratios = _squared_ratios(singular_values)
    if ratios.ndim != 2:
        raise InputError(f"mixture_deficit_quantile needs (positions, r), not shape {tuple(ratios.shape)}")
    if weights is None:
        weights = xp.ones_like(ratios[:, 0])
    weights = xp.asarray(weights, dtype=xp.float64, device=device(ratios))
    if weights.shape != ratios.shape[:1] or bool(xp.any(~(weights >= 0))):
        raise InputError("mixture_deficit_quantile needs one nonnegative weight for each position")
    keep = xp.nonzero(~xp.isnan(ratios[:, 0]) & (weights > 0))[0]
    if keep.shape[0] == 0:
        raise InputError("no position has both a positive weight and a singular value that is not zero")
    ratios, weights = ratios[keep, :], weights[keep] / xp.sum(weights[keep])
    tail = xp.sum(ratios[:, 1:], axis=-1)
    certain = float(xp.sum(xp.where(tail > 0, xp.zeros_like(weights), weights)))  # rank one: deficit zero
    if certain >= q:
        return Estimate(0.0 * weights[0], 0.0 * weights[0], _METHOD)
    many = xp.nonzero(tail > 0)[0]
    ratios, weights, tail = ratios[many, :], weights[many], tail[many]
    low, step, bins = _grid(xp, tail, shared=True)
    points = _points_of_each(ratios.shape[0])
    histogram, done = 0.0, 0
    for part in _tiles(ratios, points):
        share = weights[done : done + part.shape[0]]
        histogram = histogram + _histogram(xp, *_log_deltas(xp, part, points), low, step, bins, share)
        done += part.shape[0]
    value, error = _solve(xp, histogram, low, step, q - certain, points)
    return Estimate(value[0], error[0], _METHOD)


# ---------------------------------------------------------------- quadrature


def _squared_ratios(singular_values: Any) -> tuple[Any, Any]:
    """(s_i / s_1)^2 in descending order, (..., r); NaN where all singular values are zero."""
    xp = array_namespace(singular_values)
    if singular_values.ndim < 1 or singular_values.shape[-1] < 1:
        raise InputError("singular values need a last axis that is not empty")
    s = xp.astype(singular_values, xp.float64)
    if not bool(xp.all(xp.isfinite(s))) or bool(xp.any(s < 0)):
        raise InputError("singular values must be finite and nonnegative")
    s = xp.sort(s, axis=-1, descending=True)
    top = s[..., :1]
    ratios = s / xp.where(top > 0, top, xp.full_like(top, math.nan))
    return xp, ratios * ratios


def _check_level(q: float) -> None:
    if not 0 < q < 1:
        raise InputError(f"a quantile level lies between 0 and 1, not {q}")


def _log_tangent(xp: Any, t: Any) -> Any:
    """log tan(angle) of the deficit t, kept finite: exp of +-1000 is as good as infinity and zero."""
    inside = (t > 0) & (t < 1)
    safe = xp.where(inside, t, xp.full_like(t, 0.5))
    value = 0.5 * xp.log(safe * (2 - safe)) - xp.log1p(-safe)
    end = xp.where(t > 0, xp.full_like(t, 1000.0), xp.full_like(t, -1000.0))
    return xp.where(inside, value, end)


def _deficit_of_tangent(xp: Any, log_tau: Any) -> Any:
    tau2 = xp.exp(2 * log_tau)
    secant = xp.sqrt(1 + tau2)
    return tau2 / (secant * (1 + secant))


def _points_of_each(spectra: int) -> int:
    """Nodes a replicate for each spectrum of a mixture: the more there are, the less each of them weighs."""
    most = max(_FEWEST, _POINTS * _MIXED // max(spectra, 1))
    return min(_POINTS, 1 << (most.bit_length() - 1))


def _tiles(weights: Any, points: int = _POINTS) -> Any:
    xp = array_namespace(weights)
    flat = xp.reshape(weights, (-1, weights.shape[-1]))
    step = max(1, _TILE // (_REPLICATES * points))
    for start in range(0, max(1, flat.shape[0]), step):
        yield flat[start : start + step, :]


@lru_cache(maxsize=2)
def _nodes(tails: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """|z_1|^2 and its weights, (replicates, points); the tail's (g^2, h^2, g h), (replicates, 3, points,
    tails).

    |z_1|^2 / 2 is exponential, and the mean has a |z_1|^-1 singularity at zero: with probability of being
    below written as s^2 and weight 2 s, s uniform, the integrand is bounded.
    """
    from scipy.stats import qmc  # here: its import takes a second

    lead, weights = np.empty((2, _REPLICATES, _POINTS))
    products = np.empty((_REPLICATES, 3, _POINTS, tails))
    for k in range(_REPLICATES):
        # Half a cell inward: the scrambled sequence may hold an exact zero.
        u = qmc.Sobol(2 * tails + 1, rng=np.random.default_rng([_SEED, k])).random(_POINTS)
        u = u * (1 - 2.0**-30) + 2.0**-31
        lead[k] = -2 * np.log1p(-(u[:, 0] ** 2))
        weights[k] = u[:, 0]
        g, h = special.ndtri(u[:, 1::2]), special.ndtri(u[:, 2::2])
        products[k] = g * g, h * h, g * h
    return lead, weights, products


def _log_deltas(xp: Any, weights: Any, points: int = _POINTS) -> tuple[Any, Any]:
    """log delta at every node, (batch, replicates, points), and the nodes' mass, (replicates, points).

    weights: squared ratios (batch, r), descending. points: the first so many of each replicate.

    The first row of N is turned onto the first axis, so W = |z_1|^2 e e^T + tail: the leading direction
    enters det W only through the product |z_1|^2 * tail_22, and nothing of order one is subtracted.
    """
    room = 1 << max(weights.shape[-1] - 2, 1).bit_length()
    # Long tails are mostly tiny: columns that hold less than 1e-9 of every tail together are left out.
    least = 1e-9 / weights.shape[-1] * xp.sum(weights[:, 1:], axis=-1, keepdims=True)
    tails = int(xp.sum(xp.astype(xp.any(weights[:, 1:] > least, axis=0), xp.int64)))
    lead, mass, products = (xp.asarray(z, device=device(weights)) for z in _nodes(room))
    lead, mass = lead[:, :points], mass[:, :points]
    mass = mass / xp.sum(mass, axis=-1, keepdims=True)
    rest = xp.matrix_transpose(weights[:, 1 : 1 + tails])
    out = []
    for k in range(_REPLICATES):
        gg, hh, gh = (xp.matmul(products[k, i, :points, :tails], rest) for i in range(3))  # (points, batch)
        head = lead[k, :, None]
        # Cauchy-Schwarz: the difference is nonnegative; rounding of its far smaller terms must not undo it.
        determinant = head * hh + xp.clip(gg * hh - gh * gh, min=0.0)
        spread = (head + gg - hh) ** 2 + 4 * gh * gh
        alive = determinant > 0
        logs = 0.5 * xp.log(4 * xp.where(alive, determinant, xp.ones_like(head)) / spread)
        out.append(xp.where(alive, logs, xp.full_like(logs, -math.inf)))
    return xp.permute_dims(xp.stack(out, axis=0), (2, 0, 1)), mass


def _arccos_mean(xp: Any, logs: Any, mass: Any, level: Any) -> Any:
    """P(tan(angle) <= exp(level)) for each replicate, (batch, replicates)."""
    return xp.sum(mass * xp.acos(xp.exp(xp.clip(logs - level, max=0.0))), axis=-1) * (2 / math.pi)


def _unresolved(xp: Any, logs: Any, levels: Any) -> Any:
    """The least error of P(log tan <= level), (batch, levels), from the nodes that lie below the level."""
    known = ~xp.any(logs > -math.inf, axis=(-2, -1))  # rank one: all of the law is at zero
    floors = []
    for level in xp.unstack(levels):
        below = xp.sum(xp.astype(logs < level, xp.int64), axis=(-2, -1))
        rounding = xp.full_like(logs[:, 0, 0], 2.0**-52)
        least = xp.where(below < _FEW, xp.full_like(rounding, _LEAST), rounding)
        exact = known | xp.broadcast_to(level <= -1000.0, known.shape)
        floors.append(xp.where(exact, xp.zeros_like(least), least))
    return xp.stack(floors, axis=-1) if floors else xp.zeros((logs.shape[0], 0), device=device(logs))


def _estimate(xp: Any, by_replicate: Any, shape: tuple[int, ...]) -> Estimate:
    value, error = _mean_and_error(xp, by_replicate)
    return Estimate(xp.reshape(value, shape), xp.reshape(error, shape), _METHOD)


def _mean_and_error(xp: Any, by_replicate: Any) -> tuple[Any, Any]:
    """Mean over the replicates (second axis) and its standard error."""
    mean = xp.sum(by_replicate, axis=1, keepdims=True) / _REPLICATES
    squares = xp.sum((by_replicate - mean) ** 2, axis=1)
    return mean[:, 0, ...], xp.sqrt(squares / (_REPLICATES * (_REPLICATES - 1)))


def _grid(xp: Any, tail: Any, shared: bool) -> tuple[Any, float, int]:
    """Where to bin log delta: it lies within e^+-12 of sqrt(S), but for a part e^-24 of the nodes."""
    log_s = 0.5 * xp.log(tail)
    if not shared:
        return log_s - 12, 0.02, 1202
    low, high = float(xp.min(log_s)) - 12, float(xp.max(log_s)) + 12
    step = max(0.02, (high - low) / 2500)
    return xp.asarray([low], device=device(tail)), step, int((high - low) / step) + 2


def _histogram(xp: Any, logs: Any, mass: Any, low: Any, step: float, bins: int, share: Any = None) -> Any:
    """The mass at each log delta, divided linearly between the two bins around it.

    Returns (batch, replicates, bins) of mass one, or, with `share` (batch,), the one pooled histogram (1,
    ...).
    """
    batch, replicates, _ = logs.shape
    place = xp.clip((logs - low[:, None, None]) / step, min=0.0, max=bins - 1.001)
    cell = xp.floor(place)
    upper = place - cell
    groups = xp.arange(replicates, device=device(logs))[None, :, None]
    if share is None:
        groups = groups + replicates * xp.arange(batch, device=device(logs))[:, None, None]
        mass = mass + 0 * upper
    else:
        mass = share[:, None, None] * mass
    index = xp.reshape(xp.astype(cell, xp.int64) + bins * groups, (-1,))
    size = replicates * bins * (batch if share is None else 1)
    # bincount is not in the Array API, but numpy and torch have it under the same name and arguments.
    counts = xp.bincount(index, xp.reshape(mass * (1 - upper), (-1,)), minlength=size)
    counts = counts + xp.bincount(index + 1, xp.reshape(mass * upper, (-1,)), minlength=size + 1)[:size]
    counts = xp.astype(counts, xp.float64)  # torch counts nothing at all in whole numbers
    return xp.reshape(counts, (-1, replicates, bins))


def _solve(
    xp: Any, histogram: Any, low: Any, step: float, q: float, points: int = _POINTS
) -> tuple[Any, Any]:
    """The deficit at which the binned law reaches q, and its standard error, for each histogram."""
    bins = histogram.shape[-1]
    law = np.arccos(np.exp(-step * np.arange(bins))) * (2 / math.pi)  # by how many bins delta lies below
    kernel = xp.asarray(linalg.toeplitz(np.zeros(bins), law), device=device(histogram))
    pooled = xp.matmul(xp.mean(histogram, axis=1), kernel)  # (batch, levels)
    j = xp.clip(xp.sum(xp.astype(pooled < q, xp.int64), axis=-1), min=1, max=bins - 1)[:, None]
    below, above = (xp.take_along_axis(pooled, i, axis=-1)[:, 0] for i in (j - 1, j))
    fraction = (q - below) / (above - below)
    log_tau = low + step * (xp.astype(j[:, 0], xp.float64) - 1 + fraction)
    columns = xp.permute_dims(kernel[:, j[:, 0]], (1, 0))
    _, spread = _mean_and_error(xp, xp.matmul(histogram, columns[..., None])[..., 0])
    least = 1 / (_REPLICATES * points)
    if q < _FEW * least:  # as for the law: so few nodes can't tell
        spread = xp.clip(spread, min=least)
    value = _deficit_of_tangent(xp, log_tau)
    # d log(deficit) / d log(tan) = (1 + cos) cos <= 2
    cosine = 1 - value
    return value, value * (1 + cosine) * cosine * spread * step / (above - below)
