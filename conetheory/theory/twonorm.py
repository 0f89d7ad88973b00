"""Coefficients of ergodicity in 2-norms: by singular values. `ergodicity` has these functions too."""

from __future__ import annotations

import math
from typing import Any

from conetheory.errors import InputError
from conetheory.theory._columnsums import as_rows, live_columns, not_stochastic
from conetheory.theory.matrices import matrix as as_matrix


def tau_2(A: Any) -> Any:
    """tau_2(A) = |A (I - 1 1^T / n)|_2 on the n live columns: sigma_2(A) <= tau_2(A) <= sigma_1(A).

    Parameters
    ----------
    A : (..., m, n)
        signed or not.

    Returns
    -------
    (...)
        NaN with no live column.

    References
    ----------
    Ipsen and Selee 2011.
    """
    xp, A = as_matrix(A)
    live = xp.astype(live_columns(xp, A), xp.float64)[..., None]
    count = xp.sum(live, axis=(-2, -1))
    vectors = xp.matrix_transpose(A)
    mean = xp.sum(vectors, axis=-2, keepdims=True) / xp.clip(count, min=1.0)[..., None, None]
    found = _norm_2(xp, (vectors - mean) * live)
    return xp.where(count > 0, found, xp.full_like(found, math.nan))


def chi_square_contraction(A: Any, w: Any) -> Any:
    """sigma_2 of D(A w)^{-1/2} A D(w)^{1/2}: what A contracts the chi distance sqrt(sum (x_i - w_i)^2 / w_i)
    by.

    Its sigma_1 is one, with vectors sqrt(w) and sqrt(A w), and is taken out exactly. sigma_2^2 <= tau_1 and
    sigma_2 <= tau.

    Parameters
    ----------
    A : (..., m, n)
        nonnegative with columns of sum one or zero.
    w : (..., n)
        nonnegative.

    Returns
    -------
    (...) or NotApplicable
        NaN where w is zero on all live columns; the second where the columns have other sums.

    Raises
    ------
    InputError
        for a w that is negative, not finite, or of another length.

    References
    ----------
    Cohen et al. 1993; fact F6 (proofs/README.md).
    """
    xp, vectors = as_rows(A)
    refused = not_stochastic(xp, vectors, xp.sum(vectors, axis=-1), A.shape[-2])
    if refused is not None:
        return refused
    (_, A), w = as_matrix(A), xp.astype(w, xp.float64)
    if w.shape[-1] != A.shape[-1] or not bool(xp.all((w >= 0) & xp.isfinite(w))):
        raise InputError("the reference w must be finite and nonnegative, with one entry a column")
    w = w * xp.astype(live_columns(xp, A), xp.float64)
    image = xp.matmul(A, w[..., None])[..., 0]
    root, image_root = xp.sqrt(w), xp.sqrt(image)
    inverse = 1 / xp.where(image_root > 0, image_root, xp.ones_like(image_root))
    B = inverse[..., :, None] * A * root[..., None, :]
    total = xp.sum(w, axis=-1)
    along = (
        image_root[..., :, None]
        * root[..., None, :]
        / xp.where(total > 0, total, 1 + 0 * total)[..., None, None]
    )
    found = _norm_2(xp, B - along)
    return xp.where(total > 0, found, xp.full_like(found, math.nan))


def _norm_2(xp: Any, A: Any) -> Any:
    return xp.linalg.svdvals(A)[..., 0]
