"""The random layers of the paper's simulation by their two moments; rates, critical alpha, low rank plus
noise.

For a layer with entries of mean m and variance v only kappa = v / m^2 matters: the deficit of a merged pair
shrinks by rho = kappa / n in a layer with n inputs (columns). W has independent N(0, 1) entries:

    positive      |W|                     kappa = pi/2 - 1
    nonnegative   max(W, 0)               kappa = pi - 1
    alpha-beta    alpha W+ - beta |W-|    kappa = pi (alpha^2 + beta^2) - 1,   beta = alpha - 1
    pattern       A * W, corr(A, W) = c   kappa = 1 + 1/c^2
    vanilla       W                       kappa = inf

Theorems: mean-field, critical-alpha (`proofs/test_mean_field.py`, `proofs/test_critical_alpha.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from conetheory.errors import InputError
from conetheory.theory.matrices import real
from conetheory.theory.records import NotApplicable


@dataclass(frozen=True)
class RandomLayer:
    """A random matrix of independent entries, before `sums` rescales or flips.

    Attributes
    ----------
    name
        as tables have it.
    mean, variance
        of an entry.
    sums
        "free" (as drawn), "rows" or "columns" (nonnegative, divided by those sums, to leading order in
        1/width), "positive" (each column times the sign of its sum; zero mean, unit variance only).
    """

    name: str
    mean: float
    variance: float
    sums: Literal["free", "rows", "columns", "positive"] = "free"

    def __post_init__(self) -> None:
        if self.variance < 0 or not math.isfinite(self.variance + self.mean):
            raise InputError(f"mean {self.mean} and variance {self.variance} are no moments")
        if self.sums in ("rows", "columns") and self.mean <= 0:
            raise InputError("only matrices of positive mean can be divided by their sums")
        if self.sums not in ("free", "rows", "columns", "positive"):
            raise InputError(f"unknown kind of sums {self.sums!r}")

    @property
    def kappa(self) -> float:
        """`variance / mean^2`, inf for a mean of zero."""
        return self.variance / self.mean**2 if self.mean else math.inf

    def moments(self, inputs: int, outputs: int) -> tuple[float, float, float]:
        """Ones component's gain and deviation, and the deviation of each of the other components.

        Parameters
        ----------
        inputs, outputs
            of the layer.

        Returns
        -------
        tuple of float
            for a vector of length one.
        """
        if self.sums == "positive":  # the ones row holds |g| with g ~ N(0, 1)
            return math.sqrt(2 * inputs / math.pi), math.sqrt(1 - 2 / math.pi), 1.0
        gain, deviation = math.sqrt(inputs * outputs) * self.mean, math.sqrt(self.variance)
        if self.sums == "columns":  # the noise lives on the outputs - 1 directions of sum zero
            return gain, 0.0, deviation * math.sqrt(outputs / (outputs - 1))
        if self.sums == "rows":  # and here on the inputs - 1 directions of sum zero
            deviation *= math.sqrt(inputs / (inputs - 1))
        return gain, deviation, deviation


HALF_NORMAL = (math.sqrt(2 / math.pi), 1 - 2 / math.pi)
POSITIVE_PART = (1 / math.sqrt(2 * math.pi), 0.5 - 0.5 / math.pi)


def vanilla() -> RandomLayer:
    """N(0, 1) entries."""
    return RandomLayer("vanilla", 0.0, 1.0)


def positive() -> RandomLayer:
    """|W|, W of N(0, 1) entries."""
    return RandomLayer("positive", *HALF_NORMAL)


def nonnegative() -> RandomLayer:
    """max(W, 0), W of N(0, 1) entries."""
    return RandomLayer("nonnegative", *POSITIVE_PART)


def column_stochastic() -> RandomLayer:
    """|W| divided by its column sums: the sum of a vector is kept exactly."""
    return RandomLayer("column-stochastic", *HALF_NORMAL, sums="columns")


def row_stochastic() -> RandomLayer:
    """|W| divided by its row sums: constant vectors are kept exactly. The paper's 'stochastic' variant."""
    return RandomLayer("row-stochastic", *HALF_NORMAL, sums="rows")


def positive_sums() -> RandomLayer:
    """W with each column times the sign of its sum; rho = (pi/2) N/n does not shrink with the width."""
    return RandomLayer("positive-sums", 0.0, 1.0, sums="positive")


def alpha_beta(alpha: float) -> RandomLayer:
    """`alpha W+ - (alpha - 1) |W-|`, which leaves the mean at 1/sqrt(2 pi).

    Parameters
    ----------
    alpha
        any real number.

    Returns
    -------
    RandomLayer
        its two moments.

    References
    ----------
    theorems `mean-field` and `critical-alpha`.
    """
    square = alpha**2 + (alpha - 1) ** 2
    return RandomLayer(f"alpha{alpha:g}beta{alpha - 1:g}", POSITIVE_PART[0], (square - 1 / math.pi) / 2)


def pattern_weighted(correlation: float = 0.5) -> RandomLayer:
    """`A * W` entrywise, A ~ N(0, 1); at correlation 1 it is W^2.

    Parameters
    ----------
    correlation
        of A and W, in (0, 1].

    Returns
    -------
    RandomLayer
        its two moments.

    Raises
    ------
    InputError
        for a correlation out of range.
    """
    if not 0 < correlation <= 1:
        raise InputError(f"the correlation of pattern and weight must lie in (0, 1], got {correlation}")
    return RandomLayer("pattern", correlation, 1 + correlation**2)


def rate(layer: RandomLayer, inputs: int) -> float | NotApplicable:
    """`rho = kappa / inputs`, a layer's factor for a merged pair's deficit, to leading order in 1/width.

    Parameters
    ----------
    layer
        its two moments.
    inputs
        n.

    Returns
    -------
    float or NotApplicable
        the second where the mean is zero.

    References
    ----------
    Theorem: mean-field.
    """
    if layer.sums == "positive" or layer.mean == 0:
        return NotApplicable("the entries have mean zero: no direction stands out of the noise")
    return layer.kappa / inputs


def critical_alpha(inputs: float) -> float:
    """The alpha > 1 with `pi (alpha^2 + (alpha - 1)^2) - 1 = inputs`, above which alpha-beta cannot converge.

    `alpha* = (1 + sqrt(2 (n + 1)/pi - 1)) / 2`.

    Parameters
    ----------
    inputs
        n.

    Returns
    -------
    float
        alpha*.

    Raises
    ------
    InputError
        for n < pi - 1, where no alpha >= 1 converges.

    References
    ----------
    Theorem: critical-alpha.
    """
    if not inputs >= math.pi - 1:
        raise InputError(f"alpha >= 1 needs a layer with at least pi - 1 inputs, got {inputs}")
    return (1 + math.sqrt(max(2 * (inputs + 1) / math.pi - 1, 0.0))) / 2


def gamma_rule(gamma: float) -> RandomLayer:
    """`W + gamma W+`, which is gamma times `alpha_beta(1 + 1/gamma)`: alpha W+ with what W- takes away.

    Parameters
    ----------
    gamma
        above zero.

    Returns
    -------
    RandomLayer
        its two moments.

    Raises
    ------
    InputError
        for gamma <= 0, whose entries have mean zero or a negative one.

    References
    ----------
    theorem `critical-alpha`.
    """
    if not gamma > 0:
        raise InputError(f"gamma must be above zero, not {gamma:g}")
    layer = alpha_beta(1 + 1 / gamma)
    return RandomLayer(f"gamma{gamma:g}", gamma * layer.mean, gamma**2 * layer.variance)


def critical_gamma(inputs: float) -> float:
    """`gamma* = 1 / (alpha* - 1)`, below which LRP-gamma on random layers of width n does not converge.

    `W + gamma W+ = gamma ((1 + 1/gamma) W+ - |W-|/gamma)` is alpha-beta with alpha = 1 + 1/gamma between
    constants; so `gamma* = (pi + sqrt(2 pi (n + 1) - pi^2)) / (n + 1 - pi)`.

    Parameters
    ----------
    inputs
        n.

    Returns
    -------
    float
        gamma*, of order n^(-1/2).

    Raises
    ------
    InputError
        for n <= pi - 1, where not even z+ (gamma = infinity) converges.

    References
    ----------
    Theorem: critical-alpha.
    """
    if not inputs > math.pi - 1:
        raise InputError(f"a critical gamma needs a layer with more than pi - 1 inputs, got {inputs}")
    if math.isinf(inputs):  # the limit, of inf / inf here
        return 0.0
    return (math.pi + math.sqrt(2 * math.pi * (inputs + 1) - math.pi**2)) / (inputs + 1 - math.pi)


def arc_cosine_deficit(deficit: Any) -> Any:
    """Backward ReLU with zero-mean weights: `1 - c'` from `1 - c` for signed cosines c.

    `c' = (sin t + (pi - t) cos t)/pi`, t = arccos c, the limit of wide layers. As a deficit it reads
    `(1 - c) - (sin t - t cos t)/pi`; the bracket t^3/3 - ... is summed as a series below t = 1/2, where
    it would cancel.

    Parameters
    ----------
    deficit
        in [0, 2], a number or an array.

    Returns
    -------
    float64
        of its shape.

    Raises
    ------
    InputError
        for a deficit out of range.

    References
    ----------
    Cho and Saul 2009, eq. (6), their kernel of degree 1. Theorem: mean-field.
    """
    xp, deficit = real(deficit)
    if bool(xp.any(deficit < 0)) or bool(xp.any(deficit > 2)):
        raise InputError("a deficit 1 - cos lies in [0, 2]")
    t = 2 * xp.asin(xp.sqrt(deficit / 2))
    small = xp.where(t < 0.5, t, 0.5 * xp.ones_like(t))
    series, term = xp.zeros_like(t), small
    for k in range(1, 9):  # sin t - t cos t = sum (-1)^(k+1) t^(2k+1) 2k / (2k+1)!; the ninth term is < 1e-20
        term = -term * small**2 / (2 * k * (2 * k + 1))
        series = series - 2 * k * term
    bracket = xp.where(t < 0.5, series, xp.sin(t) - t * xp.cos(t))
    return deficit - bracket / math.pi


@dataclass(frozen=True)
class SpikedMatrix:
    """Large-size limits for `mu 11^T + s G`, G of shape m x n with independent N(0, 1) entries.

    Attributes
    ----------
    sigma1, sigma2
        the leading singular values.
    alignment_left, alignment_right
        squared cosines of the leading singular vectors and ones.
    outlier
        whether sigma_1 leaves the bulk.
    """

    sigma1: float
    sigma2: float
    alignment_left: float
    alignment_right: float
    outlier: bool


def spiked_singular_values(mean: float, deviation: float, rows: int, columns: int) -> SpikedMatrix:
    """Leading singular values of low rank plus noise, and the squared cosines of singular vectors and ones.

    With th = |mean| sqrt(rows columns): an outlier `sigma_1^2 = (th^2 + s^2 m)(th^2 + s^2 n)/th^2` exists iff
    `th^2 > s^2 sqrt(m n)`; otherwise sigma_1 sits at the edge `s (sqrt m + sqrt n)`, as sigma_2 always does.

    Parameters
    ----------
    mean, deviation
        mu and s of an entry.
    rows, columns
        m and n.

    Returns
    -------
    SpikedMatrix
        the limits.

    Raises
    ------
    InputError
        for no rows or columns, and a negative deviation.

    References
    ----------
    Benaych-Georges and Nadakuditi 2012, Section 3.1.
    """
    if rows < 1 or columns < 1 or deviation < 0:
        raise InputError("need a positive shape and a deviation >= 0")
    spike, s2 = mean**2 * rows * columns, deviation**2
    edge = deviation * (math.sqrt(rows) + math.sqrt(columns))
    if spike <= s2 * math.sqrt(rows * columns):
        return SpikedMatrix(edge, edge, 0.0, 0.0, False)
    left, right = spike + s2 * rows, spike + s2 * columns
    lost = s2**2 * rows * columns
    sigma1 = math.sqrt(left / spike * right)
    return SpikedMatrix(
        sigma1, edge, 1 - (lost / spike + s2 * rows) / left, 1 - (lost / spike + s2 * columns) / right, True
    )
