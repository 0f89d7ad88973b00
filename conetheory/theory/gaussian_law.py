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
least the mass of one node.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import device
from scipy import special

from conetheory.errors import InputError
from conetheory.theory._quadrature import (
    METHOD,
    POINTS,
    arccos_mean,
    check_level,
    estimate,
    grid,
    histogram,
    log_deltas,
    log_tangent,
    points_of_each,
    solve,
    squared_ratios,
    tiles,
    unresolved,
)
from conetheory.theory.records import Estimate

HALVINGS = 60  # of an interval, to the last digits


def stable_rank_excess(singular_values: Any) -> Any:
    """S = sum_{i >= 2} (s_i / s_1)^2, the stable rank minus one, without the subtraction.

    Parameters
    ----------
    singular_values : (..., r)
        in any order.

    Returns
    -------
    (...)
        NaN where all are zero.

    References
    ----------
    theorem `gaussian-law`.
    """
    xp, weights = squared_ratios(singular_values)
    return xp.sum(weights[..., 1:], axis=-1) + 0 * weights[..., 0]  # the second term carries the NaN


def gaussian_deficit_cdf(singular_values: Any, t: Any, points: int = POINTS) -> Estimate:
    """P(1 - |cos(P v, P w)| <= t) for v, w independent N(0, I), from the singular values of P.

    Parameters
    ----------
    singular_values : (..., r)
        any order, not all zero (else NaN).
    t
        any shape, values in [0, 1].
    points
        nodes of each of the eight randomisations, a power of two: fewer of them cost less and err more.

    Returns
    -------
    Estimate
        (..., *t.shape) with its standard error, which is at least the mass of one node (1.2e-4 for all
        points) where fewer than 64 of the nodes lie below t, and 2^-52 anywhere but at t = 0 and for rank
        one, where the law is exact.

    Raises
    ------
    InputError
        for t outside [0, 1], and for points that are no power of two up to 1024.

    References
    ----------
    new here (module), theorem `gaussian-law`.
    """
    xp, weights = squared_ratios(singular_values)
    t = xp.asarray(t, dtype=xp.float64, device=device(weights))
    if bool(xp.any((t < 0) | (t > 1))):
        raise InputError("gaussian_deficit_cdf needs 0 <= t <= 1")
    if not 0 < points <= POINTS or points & (points - 1):
        raise InputError(f"the law is integrated at 1, 2, 4, ... or {POINTS} points, not {points}")
    levels = xp.reshape(log_tangent(xp, t), (-1,))
    parts, floors = [], []
    for part in tiles(weights, points):
        logs, mass = log_deltas(xp, part, points)
        columns = [arccos_mean(xp, logs, mass, level) for level in xp.unstack(levels)]
        empty = xp.zeros((*logs.shape[:2], 0), dtype=xp.float64, device=device(logs))
        parts.append((xp.stack(columns, axis=-1) if columns else empty) + 0 * part[:, :1, None])
        floors.append(unresolved(xp, logs, levels))
    shape = (*weights.shape[:-1], *t.shape)
    found = estimate(xp, xp.concat(parts, axis=0), shape)
    return Estimate(found.value, xp.maximum(found.error, xp.reshape(xp.concat(floors), shape)), METHOD)


def gaussian_deficit_mean(singular_values: Any) -> Estimate:
    """E[1 - |cos(P v, P w)|] = (2/pi) E arctan(delta), for v, w independent N(0, I).

    It scales as sqrt(S) where the median scales as S: the two are never interchangeable.

    Parameters
    ----------
    singular_values : (..., r)
        in any order.

    Returns
    -------
    Estimate
        (...) with its standard error.

    References
    ----------
    Theorem: gaussian-law.
    """
    xp, weights = squared_ratios(singular_values)
    parts = [
        xp.sum(mass * xp.atan(xp.exp(logs)), axis=-1) * (2 / math.pi) + 0 * part[:, :1]
        for part in tiles(weights)
        for logs, mass in [log_deltas(xp, part)]
    ]
    return estimate(xp, xp.concat(parts, axis=0), weights.shape[:-1])


def gaussian_deficit_quantile(singular_values: Any, q: float = 0.5) -> Estimate:
    """The q-quantile of 1 - |cos(P v, P w)| for each spectrum; q = 0.5 is the median.

    Parameters
    ----------
    singular_values : (..., r)
        in any order.
    q
        0 < q < 1.

    Returns
    -------
    Estimate
        (...) with the standard error of the value; zero for rank one, NaN where all are zero.

    References
    ----------
    as `gaussian_deficit_cdf`.
    """
    check_level(q)
    xp, weights = squared_ratios(singular_values)
    values, errors = [], []
    for part in tiles(weights):
        tail = xp.sum(part[:, 1:], axis=-1)
        logs, mass = log_deltas(xp, xp.where((tail > 0)[:, None], part, xp.ones_like(part)))
        low, step, bins = grid(xp, xp.where(tail > 0, tail, xp.ones_like(tail)), shared=False)
        value, error = solve(xp, histogram(xp, logs, mass, low, step, bins), low, step, q)
        many = xp.astype(tail > 0, xp.float64)
        values.append(value * many + 0 * part[:, 0])
        errors.append(error * many + 0 * part[:, 0])
    shape = weights.shape[:-1]
    return Estimate(xp.reshape(xp.concat(values), shape), xp.reshape(xp.concat(errors), shape), METHOD)


def mixture_deficit_quantile(singular_values: Any, q: float = 0.5, weights: Any = None) -> Estimate:
    """The q-quantile of 1 - |cos| pooled over positions: each position has its own spectrum.

    Positions whose singular values are all zero are dropped, as dead positions are in the measurement.

    Parameters
    ----------
    singular_values : (positions, r)
        in any order; or what gives such arrays whenever it is iterated over, where memory does not hold all
        positions at once.
    q
        0 < q < 1.
    weights : (positions,)
        nonnegative, equal where None, as they are of several arrays.

    Returns
    -------
    Estimate
        two numbers (shape ()).

    Raises
    ------
    InputError
        if no position is left, and for weights of several arrays.

    References
    ----------
    as `gaussian_deficit_cdf`, averaged over positions.
    """
    check_level(q)
    several = not hasattr(singular_values, "ndim")
    if several and weights is not None:
        raise InputError("mixture_deficit_quantile takes weights of one array alone")
    total, certain, count, ends = 0.0, 0.0, 0, [math.inf, 0.0]  # certain: of rank one, whose deficit is zero
    for part in singular_values if several else (singular_values,):
        xp, ratios, own, tail, sure = _uncertain(part, weights)
        total, certain, count = total + sure + float(xp.sum(own)), certain + sure, count + tail.shape[0]
        if tail.shape[0]:
            ends = [min(ends[0], float(xp.min(tail))), max(ends[1], float(xp.max(tail)))]
    if not total > 0:
        raise InputError("no position has both a positive weight and a singular value that is not zero")
    if certain / total >= q:
        zero = xp.zeros((), dtype=xp.float64, device=device(ratios))
        return Estimate(zero, zero, METHOD)
    low, step, bins = grid(xp, xp.asarray(ends, dtype=xp.float64, device=device(ratios)), shared=True)
    points, pooled = points_of_each(count), 0.0
    for part in singular_values if several else (singular_values,):
        xp, ratios, own, *_ = _uncertain(part, weights)
        done = 0
        for tile in tiles(ratios, points) if ratios.shape[0] else ():
            share = own[done : done + tile.shape[0]] / total
            pooled = pooled + histogram(xp, *log_deltas(xp, tile, points), low, step, bins, share)
            done += tile.shape[0]
    value, error = solve(xp, pooled, low, step, q - certain / total, points)
    return Estimate(value[0], error[0], METHOD)


def live_baseline_deficit(pairs: Any) -> float:
    """The median deficit of independent Gaussian vectors that live in few channels here, in many there.

    By bisection of the mixture of the laws of sin^2, Beta((c - 1) / 2, 1 / 2) in c channels.

    Parameters
    ----------
    pairs : (channels + 1,)
        how many pairs live in 0, 1, ... channels; those in none do not count.

    Returns
    -------
    float
        zero where half of them have one channel alone; NaN without pairs.

    Raises
    ------
    InputError
        for negative numbers of pairs.

    References
    ----------
    classical (Muirhead 1982, 1.5).
    """
    weights = np.asarray(pairs, dtype=np.float64)
    if weights.ndim != 1 or not (weights >= 0).all():
        raise InputError("live_baseline_deficit needs a number of pairs, zero or more, for each of 0, 1, ...")
    live = np.flatnonzero(weights[1:])  # less one: channels beyond the first
    if not len(live):
        return math.nan
    shares = weights[1:][live] / weights[1:].sum()

    def below(d: float) -> float:
        several = special.betainc(np.maximum(live, 1) / 2, 0.5, d * (2 - d))
        return float(shares @ np.where(live == 0, 1.0, several))

    low, high = 0.0, 1.0
    for _ in range(HALVINGS if below(0.0) < 0.5 else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < 0.5 else (low, middle)
    return (low + high) / 2 if low else 0.0


def _uncertain(singular_values: Any, weights: Any) -> tuple[Any, Any, Any, Any, float]:
    """The positions that are not dead and have more than one singular value: squared ratios, weights, tails.

    First the namespace of the arrays, last the weight of all those of rank one.
    """
    xp, ratios = squared_ratios(singular_values)
    if ratios.ndim != 2:
        raise InputError(f"mixture_deficit_quantile needs (positions, r), not shape {tuple(ratios.shape)}")
    if weights is None:
        weights = xp.ones_like(ratios[:, 0])
    weights = xp.asarray(weights, dtype=xp.float64, device=device(ratios))
    if weights.shape != ratios.shape[:1] or bool(xp.any(~(weights >= 0))):
        raise InputError("mixture_deficit_quantile needs one nonnegative weight for each position")
    keep = xp.nonzero(~xp.isnan(ratios[:, 0]) & (weights > 0))[0]
    ratios, weights = ratios[keep, :], weights[keep]
    tail = xp.sum(ratios[:, 1:], axis=-1)
    many = xp.nonzero(tail > 0)[0]
    sure = float(xp.sum(xp.where(tail > 0, xp.zeros_like(weights), weights)))
    return xp, ratios[many, :], weights[many], tail[many], sure
