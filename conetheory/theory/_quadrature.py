"""The quadrature of `gaussian_law`: nodes of delta, its histogram, and the law that is solved for a level."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from scipy import special

from conetheory.errors import InputError
from conetheory.theory.records import Estimate

_TILE = 1 << 16  # nodes that are worked on at a time: their numbers stay in a cache
_SEED = 20200713
_REPLICATES = 8
POINTS = 1024  # per replicate; a power of two, as are those of mixtures
_MIXED, _FEWEST = 64, 128  # spectra of a mixture from which on each has fewer points, and down to how many
_FEW = 64  # nodes below which the spread of the replicates is no guide to the error of a tail
METHOD = "rotation-conditioned quasi-Monte Carlo"


def squared_ratios(singular_values: Any) -> tuple[Any, Any]:
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


def check_level(q: float) -> None:
    if not 0 < q < 1:
        raise InputError(f"a quantile level lies between 0 and 1, not {q}")


def log_tangent(xp: Any, t: Any) -> Any:
    """log tan(angle) of the deficit t, kept finite: exp of +-1000 is as good as infinity and zero."""
    inside = (t > 0) & (t < 1)
    safe = xp.where(inside, t, xp.full_like(t, 0.5))
    value = 0.5 * xp.log(safe * (2 - safe)) - xp.log1p(-safe)
    end = xp.where(t > 0, xp.full_like(t, 1000.0), xp.full_like(t, -1000.0))
    return xp.where(inside, value, end)


def deficit_of_tangent(xp: Any, log_tau: Any) -> Any:
    tau2 = xp.exp(2 * log_tau)
    secant = xp.sqrt(1 + tau2)
    return tau2 / (secant * (1 + secant))


def points_of_each(spectra: int) -> int:
    """Nodes a replicate for each spectrum of a mixture: the more there are, the less each of them weighs."""
    most = max(_FEWEST, POINTS * _MIXED // max(spectra, 1))
    return min(POINTS, 1 << (most.bit_length() - 1))


def tiles(weights: Any, points: int = POINTS) -> Any:
    xp = array_namespace(weights)
    flat = xp.reshape(weights, (-1, weights.shape[-1]))
    step = max(1, _TILE // (_REPLICATES * points))
    for start in range(0, max(1, flat.shape[0]), step):
        yield flat[start : start + step, :]


@lru_cache(maxsize=6)  # of as many powers of two of tails; 25 MB of the largest that are usual
def nodes(tails: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """|z_1|^2 and its weights, (replicates, points); the tail's (g^2, h^2, g h), (replicates, 3, points,
    tails).

    |z_1|^2 / 2 is exponential, and the mean has a |z_1|^-1 singularity at zero: with probability of being
    below written as s^2 and weight 2 s, s uniform, the integrand is bounded.
    """
    from scipy.stats import qmc  # here: its import takes a second

    lead, weights = np.empty((2, _REPLICATES, POINTS))
    products = np.empty((_REPLICATES, 3, POINTS, tails))
    for k in range(_REPLICATES):
        # Half a cell inward: the scrambled sequence may hold an exact zero.
        u = qmc.Sobol(2 * tails + 1, rng=np.random.default_rng([_SEED, k])).random(POINTS)
        u = u * (1 - 2.0**-30) + 2.0**-31
        lead[k] = -2 * np.log1p(-(u[:, 0] ** 2))
        weights[k] = u[:, 0]
        g, h = special.ndtri(u[:, 1::2]), special.ndtri(u[:, 2::2])
        products[k] = g * g, h * h, g * h
    return lead, weights, products


def log_deltas(xp: Any, weights: Any, points: int = POINTS) -> tuple[Any, Any]:
    """log delta at every node, (batch, replicates, points), and the nodes' mass, (replicates, points).

    weights: squared ratios (batch, r), descending. points: the first so many of each replicate.

    The first row of N is turned onto the first axis, so W = |z_1|^2 e e^T + tail: the leading direction
    enters det W only through the product |z_1|^2 * tail_22, and nothing of order one is subtracted.
    """
    room = 1 << max(weights.shape[-1] - 2, 1).bit_length()
    # Long tails are mostly tiny: columns that hold less than 1e-9 of every tail together are left out.
    least = 1e-9 / weights.shape[-1] * xp.sum(weights[:, 1:], axis=-1, keepdims=True)
    tails = int(xp.sum(xp.astype(xp.any(weights[:, 1:] > least, axis=0), xp.int64)))
    lead, mass, products = (xp.asarray(z, device=device(weights)) for z in nodes(room))
    lead, mass = lead[:, :points], mass[:, :points]
    mass = mass / xp.sum(mass, axis=-1, keepdims=True)
    rest = weights[:, 1 : 1 + tails]
    logs = xp.empty((weights.shape[0], _REPLICATES, points), dtype=xp.float64, device=device(weights))
    for k in range(_REPLICATES):
        squares = (xp.matmul(rest, xp.matrix_transpose(products[k, i, :points, :tails])) for i in range(3))
        logs[:, k, :] = _log_delta(xp, lead[k, :], *squares)
    return logs, mass


def _log_delta(xp: Any, head: Any, gg: Any, hh: Any, gh: Any) -> Any:
    """log delta of `head = |z_1|^2` and the tail's matrix (gg, gh; gh, hh), which is written over."""
    difference = gg * hh
    gg += head
    gg -= hh
    gg *= gg
    hh *= head
    gh *= gh
    # Cauchy-Schwarz: the difference is nonnegative; rounding of its far smaller terms must not undo it.
    difference -= gh
    determinant = xp.abs(difference)
    determinant += hh
    gh *= 4
    gg += gh
    alive = determinant > 0
    if bool(xp.all(alive)):
        determinant /= gg
        determinant *= 4
        return 0.5 * xp.log(determinant)
    logs = 0.5 * xp.log(4 * xp.where(alive, determinant, xp.ones_like(determinant)) / gg)
    return xp.where(alive, logs, xp.full_like(logs, -math.inf))


def arccos_mean(xp: Any, logs: Any, mass: Any, level: Any) -> Any:
    """P(tan(angle) <= exp(level)) for each replicate, (batch, replicates)."""
    return xp.sum(mass * xp.acos(xp.exp(xp.clip(logs - level, max=0.0))), axis=-1) * (2 / math.pi)


def unresolved(xp: Any, logs: Any, levels: Any) -> Any:
    """The least error of P(log tan <= level), (batch, levels), from the nodes that lie below the level.

    No smaller probability is resolved than what one node weighs.
    """
    node = 1 / math.prod(logs.shape[1:])
    known = ~xp.any(logs > -math.inf, axis=(-2, -1))  # rank one: all of the law is at zero
    floors = []
    for level in xp.unstack(levels):
        below = xp.sum(xp.astype(logs < level, xp.int64), axis=(-2, -1))
        rounding = xp.full_like(logs[:, 0, 0], 2.0**-52)
        least = xp.where(below < _FEW, xp.full_like(rounding, node), rounding)
        exact = known | xp.broadcast_to(level <= -1000.0, known.shape)
        floors.append(xp.where(exact, xp.zeros_like(least), least))
    return xp.stack(floors, axis=-1) if floors else xp.zeros((logs.shape[0], 0), device=device(logs))


def estimate(xp: Any, by_replicate: Any, shape: tuple[int, ...]) -> Estimate:
    value, error = mean_and_error(xp, by_replicate)
    return Estimate(xp.reshape(value, shape), xp.reshape(error, shape), METHOD)


def mean_and_error(xp: Any, by_replicate: Any) -> tuple[Any, Any]:
    """Mean over the replicates (second axis) and its standard error."""
    mean = xp.sum(by_replicate, axis=1, keepdims=True) / _REPLICATES
    squares = xp.sum((by_replicate - mean) ** 2, axis=1)
    return mean[:, 0, ...], xp.sqrt(squares / (_REPLICATES * (_REPLICATES - 1)))


def grid(xp: Any, tail: Any, shared: bool) -> tuple[Any, float, int]:
    """Where to bin log delta: it lies within e^+-12 of sqrt(S), but for a part e^-24 of the nodes."""
    log_s = 0.5 * xp.log(tail)
    if not shared:
        return log_s - 12, 0.02, 1202
    low, high = float(xp.min(log_s)) - 12, float(xp.max(log_s)) + 12
    step = max(0.02, (high - low) / 2500)
    return xp.asarray([low], device=device(tail)), step, int((high - low) / step) + 2


def histogram(xp: Any, logs: Any, mass: Any, low: Any, step: float, bins: int, share: Any = None) -> Any:
    """The mass at each log delta, divided linearly between the two bins around it.

    Returns (batch, replicates, bins) of mass one, or, with `share` (batch,), the one pooled histogram (1,
    ...).
    """
    batch, replicates, _ = logs.shape
    upper = logs - low[:, None, None]
    upper /= step
    ends = (xp.asarray(end, dtype=xp.float64, device=device(logs)) for end in (0.0, bins - 1.001))
    upper = xp.minimum(xp.maximum(upper, next(ends)), next(ends))
    cell = xp.astype(upper, xp.int64)  # rounds towards zero
    upper -= cell
    cell += bins * xp.arange(replicates, device=device(logs))[None, :, None]
    if share is None:
        cell += bins * replicates * xp.arange(batch, device=device(logs))[:, None, None]
    else:
        mass = share[:, None, None] * mass
    upper *= mass
    size = replicates * bins * (batch if share is None else 1)
    index, above = xp.reshape(cell, (-1,)), xp.reshape(upper, (-1,))
    # bincount is not in the Array API, but numpy and torch have it under the same name and arguments.
    counts = xp.bincount(index, xp.reshape(mass - upper, (-1,)), minlength=size)
    counts = xp.astype(counts, xp.float64)  # torch counts nothing at all in whole numbers
    counts[1:] += xp.bincount(index, above, minlength=size)[:-1]
    return xp.reshape(counts, (-1, replicates, bins))


def solve(xp: Any, counts: Any, low: Any, step: float, q: float, points: int = POINTS) -> tuple[Any, Any]:
    """The deficit at which the binned law reaches q, and its standard error, for each histogram."""
    bins = counts.shape[-1]
    steps = np.arccos(np.exp(-step * np.arange(bins))) * (2 / math.pi)  # by how many bins delta lies below
    law, own = xp.asarray(steps, device=device(counts)), xp.arange(bins, device=device(counts))

    def at(level: Any) -> Any:  # the law of each replicate at a bin
        distance = xp.clip(level[:, None] - own, min=0)
        weights = xp.reshape(xp.take(law, xp.reshape(distance, (-1,))), distance.shape)
        return xp.matmul(counts, weights[..., None])[..., 0]

    under = xp.zeros(counts.shape[0], dtype=xp.int64, device=device(counts))
    j = under + bins - 1
    for _ in range((bins - 1).bit_length()):  # the first bin that reaches q
        middle = (under + j) // 2
        less = xp.mean(at(middle), axis=1) < q
        under, j = xp.where(less, middle, under), xp.where(less, j, middle)
    reached = at(j)
    below, above = xp.mean(at(j - 1), axis=1), xp.mean(reached, axis=1)
    fraction = (q - below) / (above - below)
    log_tau = low + step * (xp.astype(j, xp.float64) - 1 + fraction)
    _, spread = mean_and_error(xp, reached)
    least = 1 / (_REPLICATES * points)
    if q < _FEW * least:  # as for the law: so few nodes can't tell
        spread = xp.clip(spread, min=least)
    value = deficit_of_tangent(xp, log_tau)
    # d log(deficit) / d log(tan) = (1 + cos) cos <= 2
    cosine = 1 - value
    return value, value * (1 + cosine) * cosine * spread * step / (above - below)
