"""What rank-one theory sees of a layer of PatternAttribution, `M = (W * A)^T`.

Sixt, Granz and Landgraf (2020) look at the singular values of the centre tap of W, A and W * A. Here beside
them the rate of the mean field: for independent entries of correlation `c = corr(A, W)` the products have
`kappa = var/mean^2 = 1 + 1/c^2`, and a layer whose inputs get relevance from n entries each shrinks the
deficit of a merged pair by `rho = kappa/n` (`randomlayers.pattern_weighted`). It leaves out gates, units of
unlike scale and the directions of neighbouring layers; the exact law is that of the chain's local spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from conetheory.errors import InputError
from conetheory.theory.randomlayers import pattern_weighted, rate
from conetheory.theory.records import NotApplicable


@dataclass(frozen=True)
class PatternLayer:
    """One layer of weights W and patterns A.

    Attributes
    ----------
    fan
        n, units times taps, the entries that bring relevance to an input (stride 1, no groups).
    correlation
        `w.a / (|w| |a|)` of the median unit of those that have a pattern, whatever their scale.
    centre
        (sigma_1, sigma_2) of the centre tap of W * A.
    summed
        of the sum of W * A over the taps, the map of relevance that is the same everywhere. Of a dense
        layer both are those of the whole matrix.
    weights, patterns
        (sigma_1, sigma_2) of the centre taps of W and A.
    """

    fan: int
    correlation: float
    centre: tuple[float, float]
    summed: tuple[float, float]
    weights: tuple[float, float]
    patterns: tuple[float, float]

    @property
    def kappa(self) -> float | NotApplicable:
        """`1 + 1/c^2`."""
        if not 0 < self.correlation <= 1:
            return NotApplicable(
                f"the correlation of pattern and weight is {self.correlation:g}, not positive"
            )
        return pattern_weighted(self.correlation).kappa

    @property
    def rate(self) -> float | NotApplicable:
        """`rho = kappa / n` of the mean field."""
        if not 0 < self.correlation <= 1:
            return self.kappa
        return rate(pattern_weighted(self.correlation), self.fan)

    @property
    def ratio(self) -> float:
        """`(sigma_2 / sigma_1)^2` of the centre tap: a deficit's factor if the layers' axes were aligned."""
        return (self.centre[1] / self.centre[0]) ** 2 if self.centre[0] > 0 else float("nan")


def pattern_layer(W: np.ndarray, A: np.ndarray) -> PatternLayer:
    """Statistics of the weights and patterns of a layer.

    Parameters
    ----------
    W, A
        `(outputs, inputs)` or `(outputs, inputs, height, width)`.

    Returns
    -------
    PatternLayer
        correlation and leading singular values.

    Raises
    ------
    InputError
        where the shapes differ.
    """
    if W.shape != A.shape or W.ndim not in (2, 4) or 0 in W.shape:
        raise InputError(f"weights and patterns are (outputs, inputs[, h, w]), not {W.shape} and {A.shape}")
    if not (np.isfinite(W).all() and np.isfinite(A).all()):
        raise InputError("weights or patterns hold a value that is not finite")
    W, A = (x.astype(np.float64, copy=False) for x in (W, A))
    M = W * A
    lengths = np.sqrt((W**2).reshape(len(W), -1).sum(1) * (A**2).reshape(len(W), -1).sum(1))
    known = lengths > 0
    correlations = M.reshape(len(W), -1).sum(1)[known] / lengths[known]
    return PatternLayer(
        fan=len(W) * int(np.prod(W.shape[2:], dtype=int)),
        correlation=float(min(np.median(correlations), 1.0)) if known.any() else 0.0,
        centre=leading(centre_tap(M)),
        summed=leading(M.reshape(*M.shape[:2], -1).sum(2)),
        weights=leading(centre_tap(W)),
        patterns=leading(centre_tap(A)),
    )


def centre_tap(W: np.ndarray) -> np.ndarray:
    """The matrix at the middle of a kernel; a dense layer as it is.

    Parameters
    ----------
    W
        `(outputs, inputs)` or `(outputs, inputs, height, width)`.

    Returns
    -------
    np.ndarray
        `(outputs, inputs)`.

    Raises
    ------
    InputError
        for what is neither.
    """
    if W.ndim not in (2, 4):
        raise InputError(f"a layer's weights have two or four axes, not shape {W.shape}")
    return W if W.ndim == 2 else W[:, :, W.shape[2] // 2, W.shape[3] // 2]


def leading(M: np.ndarray) -> tuple[float, float]:
    """sigma_1 and sigma_2, of large matrices by Lanczos iteration.

    Parameters
    ----------
    M
        (m, n).

    Returns
    -------
    tuple of float
        the second is 0 where there is but one.

    Raises
    ------
    InputError
        for what is no finite matrix.
    """
    if M.ndim != 2 or 0 in M.shape or not np.isfinite(M).all():
        raise InputError(f"singular values need a finite matrix with rows and columns, not shape {M.shape}")
    if min(M.shape) > 100:
        from scipy.sparse.linalg import svds  # here: its import takes half a second

        found = svds(M, 2, v0=np.ones(min(M.shape)), return_singular_vectors=False)
        sigma = np.sort(cast(np.ndarray, found))[::-1]  # scipy declares no types: the vectors are inferred
    else:
        sigma = np.append(np.linalg.svd(M, compute_uv=False), 0.0)
    return float(sigma[0]), float(sigma[1])
