"""What k random vectors know of a spectrum, and what they make of it that is not so.

Let P have singular values s_1, s_2, ..., and let R = P X / sqrt(k) with k independent standard Gaussian
columns. The law of |cos| of the matrix R is the prediction that k vectors make of that of P. To first order
in the tail `S = sum_(i>=2) (s_i/s_1)^2`, with m = `(sum s_i^2)^2 / sum s_i^4` over i >= 2:

- the head of R takes one degree of freedom of the tail's k: its square is too large by `1/(k - 1)` of the
  tail that it leaves;
- what it leaves, T, is a Wishart matrix of n = k - 1 degrees of freedom, so the logarithm of its trace is
  `1/(n m)` too low in the mean (and 1/k for the degree that it lost, which the head's own 1/k cancels);
- by Wishart's moments (theorem `second-moment`, d) `E (tr T)^2 = n (n S_1^2 + 2 S_2)` and
  `E tr T^2 = n (S_1^2 + (n + 1) S_2)`, S_j = `sum l_i^j`: T's own m is less than m, about `n m / (m + k)`, so
  that a tail looks less flat than it is. The ratio of unbiased estimates of S_1^2 and S_2 is
  `(k m_T - 2) / (k - 1 - m_T)`: one for rank one.

Deficits grow with the tail and with its m, so all of this makes predicted medians too low: for k = 24 by
0.01 to 0.03 decade where S is small and by 0.02 to 0.04 where it is not, at any shape. The scatter of one
draw, at one location, is 0.12 to 0.19 decade where S is small: no correction takes that away.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from conetheory.errors import InputError

ROUNDING = 1e-13  # of the eigenvalues of a Gram matrix in float64, relative to the first
COPIES = 4.0  # by which m is raised at most: of 23 values to 92, whose median is 0.7% below that of more


def participation(singular_values: Any, rounding: float = ROUNDING) -> Any:
    """m of the tail, `(sum s_i^2)^2 / sum s_i^4` over i >= 2.

    Parameters
    ----------
    singular_values : (..., r)
        descending.
    rounding
        a tail below this share of the head is none: it is that of a Gram matrix.

    Returns
    -------
    (...)
        NaN where there is no tail.
    """
    squares = np.square(np.asarray(singular_values, np.float64))
    head, squares = squares[..., :1], squares[..., 1:]
    top = np.max(squares, axis=-1, keepdims=True, initial=0.0)
    shares = squares / np.where(top > rounding * head, top, np.nan)
    fourth = np.sum(shares**2, axis=-1)
    return np.sum(shares, axis=-1) ** 2 / np.where(fourth == 0, np.nan, fourth)  # one channel has no tail


def true_participation_estimate(sampled: Any, vectors: int) -> Any:
    """m of the tail from that of k vectors, `(k m_R - 2) / (k - 1 - m_R)`.

    Parameters
    ----------
    sampled
        m_R, a number or an array.
    vectors
        k.

    Returns
    -------
    float64
        inf where no m is large enough.

    References
    ----------
    Theorem: second-moment.
    """
    m = np.asarray(sampled, np.float64)
    left = vectors - 1 - m
    return np.where(left > 0, (vectors * m - 2) / np.where(left > 0, left, 1.0), np.inf)


def corrected_spectrum_estimate(
    singular_values: Any, vectors: int, most: int, rounding: float = ROUNDING
) -> np.ndarray:
    """Singular values whose law is nearer to that of P than that of R is.

    The head gives back its share of the tail, the tail's sum is raised by `exp(1/((k - 1) m))`, and every
    value of it is split into parts, the same for all, so that the tail has the m of
    `true_participation_estimate`, at most four times its own and `most`. First order in S/k; tails whose
    values differ keep their shape. Rank one stays as it is.

    Parameters
    ----------
    singular_values : (locations, r)
        of R, descending; locations of one layer, whose tails are taken to be alike in m: the median of
        m_R counts.
    vectors
        k.
    most
        values that a tail of P can have.
    rounding
        as in `participation`.

    Returns
    -------
    (locations, r')
        descending.

    Raises
    ------
    InputError
        for fewer than 3 vectors.
    """
    if vectors < 3:
        raise InputError(f"a sampled spectrum needs at least 3 vectors, not {vectors}")
    values = np.asarray(singular_values, np.float64)
    found = participation(values, rounding)
    found = found[np.isfinite(found)]
    if not len(found):
        return values
    own = float(np.median(found))
    m = min(float(true_participation_estimate(own, vectors)), COPIES * own, float(max(most, 1)))
    parts = _parts(max(m / own, 1.0))
    squares = np.square(values)
    head, tail = squares[:, :1], squares[:, 1:]
    head = np.maximum(head - np.sum(tail, axis=1, keepdims=True) / (vectors - 1), tail[:, :1])
    tail = tail * np.exp(1 / ((vectors - 1) * max(m, own)))
    split = (tail[:, :, None] * parts).reshape(len(tail), -1)
    return np.sqrt(np.concatenate([head, -np.sort(-split, axis=1)], axis=1))


def _parts(times: float) -> np.ndarray:
    """Positive numbers of sum one and sum of squares `1 / times`: some equal ones, and a smaller one."""
    n = int(times)
    first = (n + np.sqrt(max(0.0, n * n - n * (n + 1) * (1 - 1 / times)))) / (n * (n + 1))
    parts = np.append(np.full(n, first), 1 - n * first)
    return parts[parts > 1e-9]


def jackknife_log_error(gram: Any) -> float:
    """The standard error, over draws of the vectors, of the mean over locations of log S_R.

    The infinitesimal jackknife, everywhere at once: with weights w on the vectors, mu the leading eigenvalue
    of the Gram matrix G and y its eigenvector, `S_R = tr G / mu - 1` and `dS_R/dw_j = G_jj / mu - (S_R + 1)
    y_j^2`, whose sum over j is zero.

    Parameters
    ----------
    gram : (locations, k, k)
        `R^T R` at each.

    Returns
    -------
    float
        zero where no location has a tail.

    References
    ----------
    Jaeckel 1972
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
