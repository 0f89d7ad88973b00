"""What k random vectors know of a spectrum, and how far the median that they predict is off.

Let P have singular values s_1 >> s_2, ..., and let R = P X / sqrt(k) with k independent standard Gaussian
columns. The law of |cos| of the matrix R is the prediction that k vectors make of that of P.

To leading order in the tail `S = sum_(i>=2) (s_i/s_1)^2`, with m = `(sum s_i^2)^2 / sum s_i^4` over i >= 2:

- the deficit of two Gaussian starts is `(1/2)(1/g^2 + 1/g'^2) W`, W of mean S, and `1/g^2 + 1/g'^2 ~ 4/z^2`;
  a flat tail of m values makes `W = S chi^2_m / m`, so the median is `2 S median F(m, 1)`: from 2 S
  (m = 1) to 4.396 S (m infinite);
- the tail of R is a Wishart matrix of k - 1 degrees of freedom: `E S_R = S (k - 1)/(k - 2)`, and with its
  moments `E tr G = (k - 1) S_1`, `E tr G^2 = (k - 1)(S_1^2 + k S_2)` its own m is `(k - 1) m / (m + k)`.

So a tail of higher rank than k looks less flat than it is, and its median too low by F(m_R, 1) over F(m, 1),
some percent for k = 24. Theorem: second-moment (its part on samples).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from conetheory.errors import InputError

ROUNDING = 1e-13  # of the eigenvalues of a Gram matrix in float64, relative to the first


def flat_tail_median(values: Any) -> Any:
    """The median deficit over S for a flat tail of that many values, S -> 0: `2 median F(m, 1)`; m > 0."""
    m = np.asarray(values, np.float64)
    finite = np.minimum(m, 1e12)
    return 2 * special.fdtri(finite, 1.0, 0.5)


def participation(singular_values: Any) -> Any:
    """m of the tail, `(sum s_i^2)^2 / sum s_i^4` over i >= 2: (..., r) descending to (...).

    NaN where there is no tail: below 1e-13 of the head it is the rounding of a Gram matrix.
    """
    squares = np.square(np.asarray(singular_values, np.float64))
    head, squares = squares[..., :1], squares[..., 1:]
    top = np.max(squares, axis=-1, keepdims=True, initial=0.0)
    shares = squares / np.where(top > ROUNDING * head, top, np.nan)
    return np.sum(shares, axis=-1) ** 2 / np.sum(shares**2, axis=-1)


def true_participation_estimate(sampled: Any, vectors: int) -> Any:
    """m of the tail from that of k vectors, `k m_R / (k - 1 - m_R)`; inf where no m is large enough."""
    m = np.asarray(sampled, np.float64)
    left = vectors - 1 - m
    return np.where(left > 0, vectors * m / np.where(left > 0, left, 1.0), np.inf)


def log_bias_estimate(sampled: Any, vectors: int) -> Any:
    """How much too low the logarithm of the predicted median is: positive for tails of many values.

    `log(F(m, 1) / F(m_R, 1)) - log((k - 1)/(k - 2))`, to leading order in S.
    """
    if vectors < 3:
        raise InputError(f"a sampled spectrum needs at least 3 vectors, not {vectors}")
    m = true_participation_estimate(sampled, vectors)
    ratio = flat_tail_median(m) / flat_tail_median(sampled)
    return np.log(ratio) - np.log((vectors - 1) / (vectors - 2))


def jackknife_log_error(gram: Any) -> float:
    """The standard error, over draws of the vectors, of the mean over locations of log S_R.

    gram: (locations, k, k), `R^T R` at each. The infinitesimal jackknife (Jaeckel 1972), everywhere at once:
    with weights w on the vectors, mu the leading eigenvalue of the Gram matrix G and y its eigenvector,
    `S_R = tr G / mu - 1` and `dS_R/dw_j = G_jj / mu - (S_R + 1) y_j^2`, whose sum over j is zero. Zero where
    no location has a tail.
    """
    G = np.asarray(gram, np.float64)
    k = G.shape[-1]
    values, vectors = np.linalg.eigh(G)
    tail, top = np.sum(np.clip(values[:, :-1], 0, None), axis=1), values[:, -1]
    live = tail > ROUNDING * top
    if not live.any():
        return 0.0
    top, S = top[live, None], (tail[live] / top[live])[:, None]
    slopes = np.diagonal(G[live], axis1=1, axis2=2) / top - (S + 1) * vectors[live, :, -1] ** 2
    return float(np.sqrt(k / (k - 1) * np.sum(np.mean(slopes / S, axis=0) ** 2)))
