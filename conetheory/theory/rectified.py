"""What a ReLU or a threshold on a pair of correlated Gaussians does to their moments.

Relevances that pass a ReLU on their way down (GuidedBP, Deconv) or a threshold (RectGrad) are, by the
central limit theorem, pairs (a, b) of jointly Gaussian numbers of one mean M, one variance V and a half gap
g = E(a - b)^2 / 2 = V - cov(a, b). With psi(x) = x for x > t, else 0, and h = (M - t)/sqrt(V),

    E psi(a)            = M Phi(h) + sqrt(V) phi(h)
    E psi(a)^2          = (M^2 + V) Phi(h) + sqrt(V) (M + t) phi(h)
    E (psi(a) - psi(b))^2 / 2 = int_(V-g)^V E[psi'(a) psi'(b)] dcov            (Price 1958)

and E[psi' psi'] is the probability that both exceed t (Owen's T), plus the densities at t that the jump of
psi brings. The integrand is positive, so that nothing cancels: the gap stays right however small it is. For
M = t = 0 this is the arc-cosine map (Cho and Saul 2009, n = 1); weight means add M. It is the case of one
mean of theorem `relu-pair` (`theory.relupair`), unit by unit and with a quarter of the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.special import ndtr, owens_t

from conetheory.errors import InputError

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
NEGLIGIBLE = 1e-24  # of the squares: a deviation that float64 does not hold beside them


@dataclass(frozen=True)
class Moments:
    """Of an exchangeable pair (a, b), elementwise.

    Attributes
    ----------
    mean
        E a.
    second
        E a^2.
    gap
        the half gap, E (a - b)^2 / 2.
    """

    mean: np.ndarray
    second: np.ndarray
    gap: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        return np.maximum(self.second - self.mean**2, 0.0)

    @property
    def deficit(self) -> float:
        """`1 - cos` of long vectors with these elements: the gaps over the second moments, both summed."""
        return float(self.gap.sum() / self.second.sum())


def rectified(moments: Moments, threshold: float | np.ndarray = 0.0) -> Moments:
    """The moments of `(psi(a), psi(b))`, a and b jointly Gaussian (see the module docstring).

    Elements whose variance is below 1e-24 of their squares are constants. Exact for Gaussian pairs up to
    quadrature: relative errors are below 1e-13 up to a half gap of 1.5 V (correlation -0.5), 1e-8 up to
    1.9 V and 1e-3 at 2 V.

    Parameters
    ----------
    moments
        of (a, b), arrays of one shape.
    threshold
        of psi, >= 0, a number or an array of that shape.

    Returns
    -------
    Moments
        of that shape.

    Raises
    ------
    InputError
        for a negative threshold or a gap outside [0, 2 V].

    References
    ----------
    Theorem: relu-pair.
    """
    M, V, g = np.broadcast_arrays(moments.mean, moments.variance, moments.gap)
    t = np.broadcast_to(np.asarray(threshold, dtype=float), M.shape)
    if not bool((t >= 0).all()):
        raise InputError("a threshold must be >= 0")
    if not bool(((g >= 0) & (g <= 2 * V * (1 + 1e-12) + 1e-300)).all()):
        raise InputError("the half gap of a pair lies between 0 and twice the variance")
    live = NEGLIGIBLE * (M**2 + t**2) < V
    sigma = np.sqrt(np.where(live, V, 1.0))
    h = (M - t) / sigma
    density = np.exp(-(h**2) / 2) / np.sqrt(2 * np.pi)
    mean = M * ndtr(h) + sigma * density
    second = (M**2 + V) * ndtr(h) + sigma * (M + t) * density
    passed = np.where(t < M, M, 0.0)
    return Moments(
        np.where(live, mean, passed),
        np.where(live, second, passed**2),
        np.where(live, _gap(h, t / sigma, np.where(live, g / sigma**2, 0.0)) * sigma**2, 0.0),
    )


def _gap(h: np.ndarray, t: np.ndarray, g: np.ndarray) -> np.ndarray:
    """`int_0^g E[psi' psi'] ds` at correlation 1 - s for unit variance.

    In the angle, s = 1 - cos(angle), the jump's root sqrt(1 - rho^2) is the Jacobian and drops out.
    """
    end = 2 * np.arcsin(np.sqrt(np.clip(g / 2, 0.0, 1.0)))
    angle = end[..., None] * (NODES + 1) / 2
    h, t = h[..., None], t[..., None]
    narrow = np.tan(angle / 2)  # sqrt((1 - rho)/(1 + rho))
    both = np.maximum(ndtr(h) - 2 * owens_t(h, narrow), 0.0)  # far in the tail the difference is rounding
    slope = 2 * t * np.exp(-(h**2) / 2) / np.sqrt(2 * np.pi) * ndtr(h * narrow)
    peak = t**2 * np.exp(-(h**2) / np.maximum(1 + np.cos(angle), 1e-300)) / (2 * np.pi)
    return end / 2 * np.sum(WEIGHTS * (np.sin(angle) * (both + slope) + peak), -1)


def threshold_keeping(moments: Moments, activation: np.ndarray, share: float) -> np.ndarray:
    """`tau / a`, tau >= 0 such that `E #{a r > tau} = share` of all units, r Gaussian with these moments.

    Parameters
    ----------
    moments
        of r.
    activation
        a, of the moments' shape; units with a <= 0 never pass.
    share
        of all units, in (0, 1].

    Returns
    -------
    np.ndarray
        of the moments' shape; zero where fewer than this share has `a r > 0`.

    Raises
    ------
    InputError
        where there are no units, or numbers that are not finite.

    References
    ----------
    RectGrad's percentile (Kim et al. 2019), in expectation.
    """
    known = (np.isfinite(x).all() for x in (moments.mean, moments.second, activation))
    if np.size(activation) == 0 or not all(known):
        raise InputError("a threshold needs units whose moments and activations are finite")
    variance = np.asarray(moments.variance, dtype=np.float64)
    sigma = np.sqrt(np.where(variance > 0, variance, 1e-300))
    live = activation > 0
    size = np.where(live, activation, 1.0)

    def excess(tau: float) -> float:
        return float((live * ndtr((moments.mean - tau / size) / sigma)).mean()) - share

    if excess(0.0) <= 0:
        return np.zeros_like(size)
    from scipy.optimize import brentq  # here: its import takes half a second

    top = float((size * (np.abs(moments.mean) + 40 * sigma)).max())
    return cast(float, brentq(excess, 0.0, top, rtol=np.float64(1e-6))) / size  # no full output
