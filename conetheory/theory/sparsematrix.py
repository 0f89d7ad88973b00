"""What `cone` and `ergodicity` do for scipy sparse matrices, without a dense copy.

Columns whose supports don't meet are as far apart as they can be: half of |a_j|_1 + |a_k|_1. That bound, with
the columns in descending order, ends the search as soon as a pair attains it, which for a single
convolution is at once.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
from scipy import sparse

from conetheory.errors import InputError

Sparse: TypeAlias = Any  # an array of scipy.sparse, which declares no types: its shape is inferred as None


def finite_columns(A: Any) -> tuple[Sparse, np.ndarray]:
    """The live columns of a matrix, zeros left out.

    Parameters
    ----------
    A : (m, n)
        dense, or scipy sparse.

    Returns
    -------
    tuple
        them in float64, and which they are.

    Raises
    ------
    InputError
        for values that aren't finite.
    """
    if np.ndim(A) != 2 and A.ndim != 2:
        raise InputError(f"a matrix has two axes, not shape {A.shape}")
    A = cast(Sparse, sparse.csc_array(A, dtype=np.float64, copy=True))
    A.sum_duplicates()
    A.eliminate_zeros()
    if not np.isfinite(A.data).all():
        raise InputError("a matrix holds a value that is not finite")
    live = np.diff(A.indptr) > 0
    return A[:, live], live


def farthest(A: Sparse, weights: np.ndarray | None = None) -> np.float64:
    """max over pairs of columns of |a_j - a_k|_1 / (d_j + d_k).

    O(nnz) for each column that is looked at. Sums of |a_ij - a_ik| - |a_ij| over the support of column k are
    added to |a_j|_1, so the error is relative to the columns and not to their distance.

    Parameters
    ----------
    A
        from `finite_columns`.
    weights : (n,)
        d, one where None.

    Returns
    -------
    float
        NaN without a column, zero with one.
    """
    n = A.shape[1]
    if n == 0:
        return np.float64("nan")
    d = np.ones(n) if weights is None else weights
    reach = np.bincount(_owners(A), np.abs(A.data), n) / d
    order = np.argsort(-reach, kind="stable")
    A, d, reach = A[:, order], d[order], reach[order]
    owners, best = _owners(A), np.float64(0.0)
    for j in range(n - 1):
        bound = reach[j]  # (|a_j| + |a_k|) / (d_j + d_k) is a mean of reach_j and reach_k
        if best >= bound * (1 - (A.shape[0] + 2) * 2.0**-53):
            return max(best, bound)
        column, later = np.zeros(A.shape[0]), slice(A.indptr[j + 1], None)
        column[A.indices[A.indptr[j] : A.indptr[j + 1]]] = A.data[A.indptr[j] : A.indptr[j + 1]]
        facing = column[A.indices[later]]
        change = np.abs(facing - A.data[later]) - np.abs(facing)
        distance = reach[j] * d[j] + np.bincount(owners[later] - j - 1, change, n - j - 1)
        best = max(best, np.max(distance / (d[j] + d[j + 1 :])))
    return best


def h_step(Z: Any, mantissa: np.ndarray, exponent: np.ndarray) -> tuple[Sparse, np.ndarray, np.ndarray]:
    """One step of the h-transform, h = mantissa 2^exponent: S = D(h) Z D(h')^{-1}, and h' = Z^T h likewise.

    Parameters
    ----------
    Z : (m, n)
        finite and nonnegative.
    mantissa, exponent
        (m,) of h.

    Returns
    -------
    tuple
        S, whose columns are zero where h' is, and mantissa and exponent (n,) of h'.

    Raises
    ------
    InputError
        for other entries and lengths.

    References
    ----------
    Theorem: h-transform.
    """
    Z = cast(Sparse, sparse.coo_array(Z, dtype=np.float64, copy=True))
    if Z.ndim != 2:
        raise InputError(f"a matrix has two axes, not shape {Z.shape}")
    if Z.shape[0] != mantissa.size:
        raise InputError(f"a layer has {Z.shape[0]} rows where the one before has {mantissa.size} columns")
    if not ((Z.data >= 0) & np.isfinite(Z.data)).all():
        raise InputError("the h-transform needs finite nonnegative matrices")
    Z.sum_duplicates()
    live = (Z.data > 0) & (mantissa[Z.row] > 0)
    data, row, column = Z.data[live], Z.row[live], Z.col[live]
    top = np.full(Z.shape[1], -np.inf)
    np.maximum.at(top, column, np.floor(np.log2(data)) + exponent[row])
    top = np.where(np.isfinite(top), top, 0.0)
    shift = np.clip(exponent[row] - top[column], -2200, 2200).astype(int)  # below, all that is left is zero
    weighted = np.ldexp(data, shift) * mantissa[row]
    sums = np.bincount(column, weighted, Z.shape[1])
    S = sparse.coo_array((weighted / sums[column], (row, column)), shape=Z.shape).tocsr()
    image, power = np.frexp(sums)
    return S, image, np.where(image > 0, top + power, 0.0)


def live_part(A: Any) -> np.ndarray | None:
    """The live rows and columns of a nonnegative matrix.

    Parameters
    ----------
    A : (m, n)
        scipy sparse.

    Returns
    -------
    np.ndarray or None
        a single zero if there are none; None if they hold zeros.

    Raises
    ------
    InputError
        for entries that are negative or not finite.
    """
    A, _ = finite_columns(A)
    if (A.data < 0).any():
        raise InputError("entries must be finite and nonnegative")
    A = cast(Sparse, sparse.csr_array(A))
    A = A[np.diff(A.indptr) > 0]
    if A.nnz == 0:
        return np.zeros((1, 1))
    return A.toarray() if A.nnz == A.shape[0] * A.shape[1] else None


def _owners(A: Sparse) -> np.ndarray:
    """The column of each stored entry."""
    return np.repeat(np.arange(A.shape[1]), np.diff(A.indptr))
