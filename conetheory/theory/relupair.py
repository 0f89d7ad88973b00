"""Pairs of relevance vectors under random layers with a ReLU or a threshold on what comes out.

GuidedBP and Deconv pass relevance through a ReLU, RectGrad through a threshold, after each random layer
M with independent entries of mean m and variance v (kappa = v/m^2). A pair u, v is known by three numbers,

    s = S_u / (sqrt n |u|),     s_v - s,     eps = 1 - cos(u, v),

the cosine of u with the ones direction, how much that of v differs, and the deficit: lengths don't matter,
because a ReLU is positively homogeneous. In units of the deviation sqrt(v) |u| the entries of M u and M v
(|v| scaled to |u|) are Gaussians a = h + x and b = h + eta + y, x and y standard of correlation 1 - eps,

    h = sqrt(n/kappa) s,     eta = sqrt(n/kappa) (s_v - s)              (the sign of m is that of the root).

With psi(a) = a for x > z, else 0 (z = -h: the ReLU; z the same quantile for both: a threshold), Q = P(x > z):

    A = E psi(a) = h Q + phi(z),     B = E psi(a)^2 = (h^2 + 1) Q + (2 h + z) phi(z),
    G = E (psi(a) - psi(b))^2 / 2 = G at eps = 0  +  int_0^eps E[psi'(a) psi'(b)] at correlation 1 - r  dr,

the last by Price's theorem. Both parts of G and all differences of A and of B are integrals of one sign, so
that nothing cancels however close the pair is (relative errors stay below 1e-11); after many rows

    s' = A/sqrt(B),     eps' = (G - (sqrt(B_b) - sqrt(B_a))^2 / 2) / sqrt(B_a B_b).

A merged pair's deficit is multiplied by r = Phi(h)/B by a ReLU, once eta/sqrt(eps) is small (it shrinks from
layer to layer near a fixed point h > 0): below one, one or above one as m is positive, zero or negative. A
threshold t = h + z makes it (t^2 phi(z)/B) sqrt(eps/pi), which does not go to zero. Theorem: relu-pair;
argument and checks in `proofs/test_relu_pair.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, owens_t

from conetheory.errors import InputError
from conetheory.theory.randomlayers import RandomLayer

Array = NDArray[np.float64]
NODES, WEIGHTS = (x / 2 for x in np.polynomial.legendre.leggauss(40))
NODES = NODES + 0.5  # on [0, 1]


@dataclass(frozen=True)
class ReluPair:
    """The state of a pair, arrays of one shape; see the module docstring.

    Attributes
    ----------
    ones
        s.
    shift
        s_v - s.
    deficit
        eps.
    """

    ones: Array
    shift: Array
    deficit: Array


def relu_pair_of(u: Any, v: Any) -> ReluPair:
    """The state of two vectors.

    Parameters
    ----------
    u, v : (..., n)
        not zero.

    Returns
    -------
    ReluPair
        arrays (...).

    Raises
    ------
    InputError
        for other lengths and zero vectors.

    References
    ----------
    Theorem: relu-pair.
    """
    u, v = np.broadcast_arrays(np.asarray(u, dtype=float), np.asarray(v, dtype=float))
    lengths = [np.linalg.norm(x, axis=-1, keepdims=True) for x in (u, v)]
    if u.shape[-1:] < (1,) or not all((length > 0).all() for length in lengths):
        raise InputError("a pair is two vectors of one length, neither of them zero")
    u, v = (x / length for x, length in zip((u, v), lengths, strict=True))
    root, apart = math.sqrt(u.shape[-1]), v - u
    return ReluPair(u.sum(-1) / root, apart.sum(-1) / root, np.sum(apart**2, axis=-1) / 2)


def relu_pair_step(
    pair: ReluPair,
    layer: RandomLayer,
    inputs: int,
    *,
    keep: float | None = None,
    activations: Any = None,
) -> ReluPair:
    """The state after a layer with many rows and its ReLU, or a threshold that lets the share `keep` pass.

    Proved: the moments, for Gaussian pairs. Approximations: the entries of a layer are Gaussian (exact for
    Gaussian weights, else the central limit theorem over n terms) and independent of each other, sums over
    rows are their means (many rows), activations are independent of the relevance, and the weights of
    different layers of one another.

    Parameters
    ----------
    pair
        the state above.
    layer
        independent entries ("free" sums), of positive variance.
    inputs
        n, counting only units that are alive where a forward mask independent of the relevance kills
        others (GuidedBP).
    keep
        RectGrad, which passes R where activation x R is above the 1 - keep quantile. Dead units never
        pass; a negative quantile, which a large keep may have, lets negative relevance of the others
        pass.
    activations : (k,)
        >= 0, those of equally likely units, one for all where None.

    Returns
    -------
    ReluPair
        NaN where no unit is alive in float64 (h below -38).

    Raises
    ------
    InputError
        for other layers, a keep outside (0, 1), negative activations.

    References
    ----------
    new here; Price 1958 for the integral; mean zero: Cho and Saul 2009, eq. (6) (proofs/test_relu_pair.py).
    """
    scale = _scale(layer, inputs)
    h, eta, eps = np.broadcast_arrays(scale * pair.ones, scale * pair.shift, pair.deficit)
    if not ((eps >= 0) & (eps <= 2)).all():
        raise InputError("a deficit 1 - cos lies in [0, 2]")
    cuts = (-h, -h - eta) if keep is None else (_cut(x, keep, activations) for x in (h, h + eta))
    weights = 1 if keep is None else _alive(activations)
    if keep is not None:
        h, eta, eps = h[..., None], eta[..., None], eps[..., None]
    moments = _moments(h, eta, eps, *cuts)
    if keep is not None:
        moments = tuple(np.sum(weights * x, axis=-1) for x in moments)
    return _merged(*moments)


def relu_rate(layer: RandomLayer, inputs: int) -> tuple[float, float]:
    """The fixed point h of h = sqrt(n/kappa) A/sqrt(B), and a merged pair's factor r = Phi(h)/B(h).

    It is that of pairs with eta/sqrt(eps) -> 0, which all merged pairs come to for m > 0; eta = c sqrt(eps)
    makes it r + (c^2/2)(r - A^2/B^2).

    There is one: A/sqrt(B) rises with h and lies in (0, 1). Without a mean h = 0 and r = 1, and the deficit
    decays like 9 pi^2/(2 l^2). With a negative mean r > 1: merged pairs come apart.

    Parameters
    ----------
    layer
        independent entries ("free" sums), of positive variance.
    inputs
        n.

    Returns
    -------
    tuple of float
        (h, r).

    Raises
    ------
    InputError
        as `relu_pair_step`.

    References
    ----------
    Theorem: relu-pair.
    """
    scale = _scale(layer, inputs)

    def excess(ones: float) -> float:
        h = scale * ones
        B = _second(h, -h)
        return float(_first(h, -h) / math.sqrt(B)) - ones if B > 0 else -ones

    from scipy.optimize import brentq  # here: its import takes half a second

    h = scale * cast(float, brentq(excess, 0.0, 1.0, xtol=1e-16))  # no full output, which is inferred too
    return h, float(ndtr(h) / _second(h, -h))


# ---------------------------------------------------------------- moments


def _first(h: Any, z: Any) -> Any:
    return h * ndtr(-z) + _phi(z)


def _second(h: Any, z: Any) -> Any:
    return (h**2 + 1) * ndtr(-z) + (2 * h + z) * _phi(z)


def _phi(x: Any) -> Any:
    return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _moments(h: Array, eta: Array, eps: Array, z_a: Array, z_b: Array) -> tuple[Array, ...]:
    """A_a, B_a, A_b - A_a, B_b - B_a, G of elementwise Gaussian pairs."""
    low, high, sign = np.minimum(z_a, z_b), np.maximum(z_a, z_b), np.where(z_a <= z_b, -1.0, 1.0)
    own = np.where(z_a <= z_b, h, h + eta)  # the mean of the one that passes between the two cuts
    one, two = _between(own, low, high)
    Q, density = ndtr(-high), _phi(high)
    first = eta * Q + sign * one
    second = eta * ((2 * h + eta) * Q + 2 * density) + sign * two
    gap = (eta**2 * Q + two) / 2 + _apart(h + z_a, h + eta + z_b, z_a, z_b, eps)
    return _first(h, z_a), _second(h, z_a), first, second, gap


def _between(h: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """int (h + x)^k phi(x) dx from low to high, k = 1, 2; over short intervals, where it cancels, summed."""
    width = np.minimum(high - low, 1.0)[..., None]
    x = low[..., None] + width * NODES
    t, density = h[..., None] + x, width * WEIGHTS * _phi(x)
    short = high - low <= 1
    return (
        np.where(short, np.sum(t * density, axis=-1), _first(h, low) - _first(h, high)),
        np.where(short, np.sum(t**2 * density, axis=-1), _second(h, low) - _second(h, high)),
    )


def _apart(t_a: Array, t_b: Array, z_a: Array, z_b: Array, eps: Array) -> Array:
    """int_0^eps E[psi'(a) psi'(b)] dr at correlation 1 - r, psi' = 1 above the cut, and t delta(x - z).

    In the angle r = 1 - cos theta the roots at both ends are gone; what the distance of the cuts smooths,
    near theta = |z_a - z_b|, gets a panel of its own.
    """
    t_a, t_b, z_a, z_b, eps = (x[..., None] for x in np.broadcast_arrays(t_a, t_b, z_a, z_b, eps))
    end = 2 * np.arcsin(np.sqrt(eps / 2))
    split = np.minimum(end, 2 * np.abs(z_a - z_b))
    theta = np.concatenate([split * NODES, split + (end - split) * NODES], axis=-1)
    weight = np.concatenate([split * WEIGHTS, (end - split) * WEIGHTS], axis=-1)
    theta = np.maximum(theta, 1e-150)
    r, root = 2 * np.sin(theta / 2) ** 2, np.sin(theta)  # and root = sqrt(1 - rho^2)
    slope_a = t_a * _phi(z_a) * ndtr((z_a - z_b - r * z_a) / root)
    slope_b = t_b * _phi(z_b) * ndtr((z_b - z_a - r * z_b) / root)
    square = ((z_a - z_b) / root) ** 2 + z_a * z_b / np.cos(theta / 2) ** 2
    peak = t_a * t_b * np.exp(-square / 2) / (2 * math.pi)
    return np.sum(weight * (root * (_both(-z_a, -z_b, r, root) + slope_a + slope_b) + peak), axis=-1)


def _both(h: Array, k: Array, r: Array, root: Array) -> Array:
    """P(x < h, y < k) at correlation 1 - r, by Owen's T (Owen 1956, eq. (2.1))."""
    h, k = (np.where(np.abs(x) < 1e-100, 1e-100, x) for x in (h, k))
    with np.errstate(over="ignore"):
        tails = owens_t(h, (k - h + r * h) / (h * root)) + owens_t(k, (h - k + r * k) / (k * root))
    return np.maximum((ndtr(h) + ndtr(k)) / 2 - tails - np.where(h * k < 0, 0.5, 0.0), 0.0)


def _merged(A: Array, B: Array, first: Array, second: Array, gap: Array) -> ReluPair:
    live = (B > 0) & (B + second > 0)
    root_a, root_b = (np.sqrt(np.where(live, x, 1.0)) for x in (B, B + second))
    apart = second / (root_a + root_b)
    deficit = np.clip((gap - apart**2 / 2) / (root_a * root_b), 0.0, 2.0)
    shift = first / root_b - A * apart / (root_a * root_b)
    return ReluPair(*(np.where(live, x, np.nan) for x in (A / root_a, shift, deficit)))


# ---------------------------------------------------------------- layers and thresholds


def _scale(layer: RandomLayer, inputs: int) -> float:
    if layer.sums != "free" or not layer.variance > 0 or inputs < 1:
        raise InputError("a ReLU'd pair needs a layer of independent entries, positive variance and n >= 1")
    return math.sqrt(inputs / layer.variance) * layer.mean


def _alive(activations: Any) -> Array:
    """The weights of the units that can pass."""
    a = np.ones(1) if activations is None else np.asarray(activations, dtype=float)
    if a.ndim != 1 or not (a >= 0).all() or not (a > 0).any():
        raise InputError("activations are a vector of numbers >= 0, not all zero")
    return (a > 0) / a.size


def _cut(h: Array, keep: float, activations: Any) -> Array:
    """z = theta/activation - h, (..., k), with theta the 1 - keep quantile of activation x (h + x)."""
    if not 0 < keep < 1:
        raise InputError(f"the share that passes must lie in (0, 1), not {keep}")
    if activations is None:
        return np.broadcast_to(-ndtri(keep), (*h.shape, 1))
    share = _alive(activations)
    a = np.where(share > 0, np.asarray(activations, dtype=float), 1.0)
    h = h[..., None]
    reach = a.max() * (np.abs(h) + 40.0)
    low, high = -reach, reach
    for _ in range(100):  # bisection: the share above theta falls from that of the living units to zero
        theta = (low + high) / 2
        above = np.sum(share * ndtr(h - theta / a), axis=-1, keepdims=True) > keep
        low, high = np.where(above, theta, low), np.where(above, high, theta)
    return high / a - h
