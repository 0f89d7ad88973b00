"""Ergodicity coefficients: how much a matrix that keeps the sum contracts what has sum zero.

Matrices act on columns, and columns belong to units of the later layer: a z+ layer is column-stochastic. A
column that is zero belongs to a dead unit and is left out everywhere. The coefficients are

    tau_p(A) = max |A x|_p / |x|_p over x with 1^T x = 0,

submultiplicative for chains of matrices whose columns have sum one, signed or not. A single convolution has
units without a common input, hence tau_1 = 1 (2 alpha - 1 for alpha-beta): coefficients live on blocks of
layers. `tau_1`, `tau_1_weighted` and `doeblin_upper` take scipy sparse matrices too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.spatial.distance import cdist

from conetheory.errors import InputError
from conetheory.theory import sparsematrix
from conetheory.theory._columnsums import (
    as_rows,
    block_of,
    live_columns,
    mass_of,
    not_stochastic,
    not_sum_preserving,
    product_of,
    product_of_masses,
    stand_in,
)
from conetheory.theory.enclosure import floats, gamma, round_up
from conetheory.theory.matrices import matrix as as_matrix
from conetheory.theory.records import NotApplicable
from conetheory.theory.twonorm import chi_square_contraction as chi_square_contraction
from conetheory.theory.twonorm import tau_2 as tau_2

_TILE = 1 << 17  # float64 numbers held by one temporary: one megabyte, which a second-level cache keeps


# ---------------------------------------------------------------- coefficients of one matrix


def tau_1(A: Any) -> Any:
    """tau_1(A) = 1/2 max_{j, k} |A e_j - A e_k|_1, the Dobrushin coefficient; signed matrices too.

    It is exactly the largest |A x|_1 / |x|_1 over x of sum zero, because the extreme points of that set's
    unit ball are (e_j - e_k) / 2. O(m n^2), tiled; for a scipy sparse A at most O(n nnz), and O(nnz) where
    two columns of the largest sums have disjoint supports.

    Parameters
    ----------
    A : (..., m, n)
        dense, or scipy sparse.

    Returns
    -------
    (...)
        zero with one live column, NaN with none.

    References
    ----------
    Dobrushin 1956; Seneta 1981; for signed matrices new here, theorem `tau1`.
    """
    if sparse.issparse(A):
        return sparsematrix.farthest(sparsematrix.finite_columns(A)[0])
    xp, vectors = as_rows(A)
    return _farthest(xp, vectors, None)


def tau_1_weighted(A: Any, row_weights: Any, column_weights: Any) -> Any:
    """max_{j, k} |A (e_j - e_k)|_{row} / (d_j + d_k), the coefficient for weighted norms |x|_d = sum d_i
    |x_i|.

    Exact, as `tau_1`, which it is for weights of one.

    Parameters
    ----------
    A : (..., m, n)
        dense, or scipy sparse.
    row_weights : (..., m)
        positive.
    column_weights : (..., n)
        positive.

    Returns
    -------
    (...)
        zero with one live column, NaN with none.

    Raises
    ------
    InputError
        for weights of another length, or not positive.

    References
    ----------
    new here, theorem `tau1`.
    """
    xp, rows, columns = floats(row_weights, column_weights)
    if bool(xp.any(~(rows > 0))) or bool(xp.any(~(columns > 0))):
        raise InputError("weights must be positive")
    if sparse.issparse(A):
        weighted, live = sparsematrix.finite_columns(A.multiply(rows[:, None]))
        return sparsematrix.farthest(weighted, columns[live])
    if A.ndim < 2 or rows.shape[-1] != A.shape[-2] or columns.shape[-1] != A.shape[-1]:
        raise InputError(
            f"a matrix of shape {tuple(A.shape)} has other weights, not {rows.shape}, {columns.shape}"
        )
    if 0 in A.shape[-2:]:
        return tau_1(A)
    # A dead column becomes a copy of a live one, and so does its weight.
    live = live_columns(xp, xp.astype(A, xp.float64))
    columns = xp.take_along_axis(xp.broadcast_to(columns, live.shape), stand_in(xp, live), axis=-1)
    xp, vectors = as_rows(xp.astype(A, xp.float64) * rows[..., :, None])
    return _farthest(xp, vectors, columns)


def _farthest(xp: Any, vectors: Any, weights: Any) -> Any:
    """max over pairs of the rows of (..., n, m) of their l1 distance, over 2 or the sum of their weights."""
    lead, (count, rows) = vectors.shape[:-2], vectors.shape[-2:]
    flat = xp.reshape(vectors, (math.prod(lead), count, rows))
    if weights is not None:
        weights = xp.reshape(xp.broadcast_to(weights, (*lead, count)), (-1, count))
    together = max(1, _TILE // max(1, count * rows))
    parts = []
    for b in range(0, flat.shape[0], together):
        own = None if weights is None else weights[b : b + together, :]
        parts.append(_farthest_tile(xp, flat[b : b + together, :, :], own))
    return xp.reshape(xp.concat(parts) if parts else xp.sum(flat, axis=(-2, -1)), lead)


def _farthest_tile(xp: Any, vectors: Any, weights: Any) -> Any:
    batch, count, _ = vectors.shape
    best = 0 * xp.max(vectors[:, 0, :], axis=-1)  # keeps NaN
    step = max(1, _TILE // max(1, batch * count))
    for j in range(0, count, step):  # the triangle above the diagonal, in strips
        distance = _city_block(xp, vectors[:, j : j + step, :], vectors[:, j:, :])
        scale = 2.0 if weights is None else weights[:, j : j + step, None] + weights[:, None, j:]
        best = xp.maximum(best, xp.max(distance / scale, axis=(-2, -1)))
    return best


def _city_block(xp: Any, a: Any, b: Any) -> Any:
    """l1 distances (batch, p, q) of the rows of (batch, p, m) and (batch, q, m): torch's own or scipy's."""
    if hasattr(xp, "cdist"):
        return xp.cdist(a, b, p=1.0)
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)  # ten times faster than strided rows
    return np.stack([cdist(x, y, "cityblock") for x, y in zip(a, b, strict=True)])


def doeblin_upper(A: Any) -> Any:
    """tau_1(A) <= 1 - sum_i min_j a_ij, the Doeblin bound, O(m n).

    Parameters
    ----------
    A : (..., m, n)
        dense, or scipy sparse, nonnegative, columns of sum one or zero.

    Returns
    -------
    (...) or NotApplicable
        rounded up; the second where the columns have other sums.

    References
    ----------
    Doeblin 1937; theorem `tau1`.
    """
    if sparse.issparse(A):
        xp, (A, _) = np, sparsematrix.finite_columns(A)
        entries, sums, common = A.data, A.sum(axis=0), np.asarray(A.min(axis=1).sum())
    else:
        xp, entries = as_rows(A)
        sums, common = xp.sum(entries, axis=-1), xp.sum(xp.min(entries, axis=-2), axis=-1)
    refused = not_stochastic(xp, entries, sums, A.shape[-2])
    if refused is not None:
        return refused
    # Column sums may be off by as much as `sums_differ` lets pass.
    return xp.clip(round_up(1 - common + (A.shape[-2] + 18) * 2.0**-50), max=1.0)


def tau_1_signed_upper(alpha: float) -> float:
    """tau_1(alpha Z+ - beta Z-) <= alpha tau_1(Z+) + beta tau_1(Z-) <= 2 alpha - 1, beta = alpha - 1 >= 0.

    An equality, for alpha > 1, iff for two columns j, k the supports of Z+_j + Z-_k and of Z+_k + Z-_j are
    disjoint, as those of two units without a common input are: one convolution certifies nothing. For alpha =
    1 iff Z+_j and Z+_k are.

    Parameters
    ----------
    alpha
        at least one.

    Returns
    -------
    float
        2 alpha - 1.

    Raises
    ------
    InputError
        for alpha < 1.

    References
    ----------
    Theorem `tau1`.
    """
    if alpha < 1:
        raise InputError(f"alpha - beta = 1 with beta >= 0 needs alpha >= 1, not {alpha}")
    return 2 * alpha - 1


# ---------------------------------------------------------------- chains


def block_products(matrices: Sequence[Any], ends: Sequence[int]) -> list[Any]:
    """The products M_1...M_{k_1}, M_{k_1 + 1}...M_{k_2}, ... of the blocks of a chain.

    Parameters
    ----------
    matrices
        M_1, ..., M_L.
    ends
        (k_1, ..., k_s = L), increasing.

    Returns
    -------
    list
        a matrix for each block.

    Raises
    ------
    InputError
        for other ends, and shapes that can't be multiplied.
    """
    ends = list(ends)
    if not ends or ends[-1] != len(matrices) or any(b <= a for a, b in zip([0, *ends], ends, strict=False)):
        raise InputError(f"block ends must increase to {len(matrices)}, not {ends}")
    return [product_of(matrices[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def chain_tau_1_upper(matrices: Sequence[Any], ends: Sequence[int] | None = None) -> Any:
    """tau_1(M_1 ... M_L) <= product of tau_1 of the blocks.

    Hypotheses (else NotApplicable): the columns of each block have one common sum, as zero-sum vectors don't
    stay so otherwise; a column of zeros, which has another sum, belongs to a unit that the block after it
    does not feed, and is zero by its zeros and not by underflow or cancellation. Two images of equal sum
    differ by at most 2 times it in l1, per unit of mass. It holds for the given float64 factors: the rounding
    of the blocks' products and what their column sums differ by (tau(P B) <= tau(P) tau(B) + (tau(P) + |P|_1)
    defect(B)) are counted.

    Parameters
    ----------
    matrices
        M_1, ..., M_L, each (..., m_l, n_l).
    ends
        of the blocks, as in `block_products` (None: every factor alone).

    Returns
    -------
    (...) or NotApplicable
        rounded up; NaN for a zero matrix.

    Raises
    ------
    InputError
        for other ends, and shapes that can't be multiplied.

    References
    ----------
    Theorems: tau1, scrambling.
    """
    matrices = [as_matrix(M)[1] for M in matrices]
    ends = list(range(1, len(matrices) + 1) if ends is None else ends)
    block_products(matrices, ends)  # refuses wrong ends and shapes
    total, mass, dead = 1.0, 1.0, None
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        block, dead = block_of(matrices[start:end], dead)
        refused = block if isinstance(block, NotApplicable) else not_sum_preserving(block)
        if refused is not None:
            return refused
        own = product_of_masses(matrices[start:end])
        error = own * gamma(sum(M.shape[-2] + M.shape[-1] + 4 for M in matrices[start:end]))
        xp, vectors = as_rows(block)
        sums = xp.sum(vectors, axis=-1)
        defect = (xp.max(sums, axis=-1) - xp.min(sums, axis=-1)) / 2 + error
        tau = round_up(tau_1(block) + error)
        # The first block has nothing on its left, whose zero sums its defect could spoil.
        spoiled = (total + mass) * defect if start else 0.0
        total, mass = round_up(total * tau + spoiled, 4), mass * own
    return total


@dataclass(frozen=True)
class NormCone:
    """All x with |x - (1^T x) center|_1 <= radius |1^T x|.

    Attributes
    ----------
    center
        (..., n).
    radius
        (...).
    """

    center: Any
    radius: Any

    def deficit_upper(self) -> Any:
        """1 - |cos| of any two members is at most (radius / |center|_2)^2; NotApplicable if that exceeds one
        everywhere.

        Hypothesis: the center has sum one. A member of sum one differs from it by a vector of sum zero, whose
        2-norm is at most its 1-norm over sqrt 2; so it is at an angle of at most arcsin(r), r = radius /
        (sqrt 2 |center|_2), and two members at most twice that: 1 - cos(2 arcsin r) = 2 r^2. Rounded up; one
        where a batch has cones too wide.
        """
        xp, center, radius = floats(self.center, self.radius)
        n = center.shape[-1]
        off, _ = _off(xp, center)
        size = xp.sqrt(xp.sum(center * center, axis=-1)) * (1 - (n + 4) * 2.0**-52)
        known = size > 0
        ratio = ((radius + off) / math.sqrt(2) + off) / xp.where(known, size, xp.ones_like(size))
        # 1 - |cos| grows with the angle up to a right one.
        upper = round_up(2 * round_up(ratio, 6) ** 2, 3)
        known = known & (upper <= 1)
        if not bool(xp.any(known)) and math.prod(known.shape):
            widest = float(xp.min(ratio))
            return NotApplicable(f"the radius is {widest:.3g} times sqrt 2 of the center's length: no angle")
        return xp.where(known, upper, xp.ones_like(upper))


def _off(xp: Any, center: Any) -> tuple[Any, Any]:
    """What a center's sum lacks of one, as computed and with the rounding of that sum; and its 1-norm."""
    size = xp.sum(xp.abs(center), axis=-1)
    return xp.abs(xp.sum(center, axis=-1) - 1) + center.shape[-1] * 2.0**-52 * size, size


def propagated_norm_cone(matrices: Sequence[Any], start: NormCone) -> list[NormCone] | NotApplicable:
    """The cones that a sum-preserving chain maps a cone into: w' = M w, kappa' = tau_1(M) kappa for each M.

    It holds for starts of non-zero sum, for every chain with exact sums that the given one is the rounding
    of, and says little about single positions.

    Parameters
    ----------
    matrices
        M_1, ..., M_L, (..., m_l, n_l), signed, columns of sum one.
    start
        center of sum one and radius at the entrance of M_L.

    Returns
    -------
    list of NormCone or NotApplicable
        the cones at the exits of M_L, ..., M_1, in this order, radii rounded up; the second where columns
        have other sums, e.g. where a pool of alpha-beta is empty, or where a column is zero and its unit
        is fed by M_(l+1), or is one of the start's.

    Raises
    ------
    InputError
        for a cone of another length than the matrix that it enters.

    References
    ----------
    Theorem: tau1.
    """
    xp, center, radius = floats(start.center, start.radius)
    cones, fed = [], None  # at the start any unit may have mass
    for M in (as_matrix(M)[1] for M in reversed(list(matrices))):
        if M.shape[-1] != center.shape[-1]:
            raise InputError(f"a cone of {center.shape[-1]} units can't enter {M.shape[-1]} columns")
        lost = ~live_columns(xp, M) if fed is None else ~live_columns(xp, M) & fed
        if bool(xp.any(lost)):
            return NotApplicable("the column of a unit that may have mass is zero: its sum is lost")
        fed = xp.any(M != 0, axis=-1)
        refused = not_sum_preserving(M, 1.0)
        if refused is not None:
            return refused
        # Rounding moves the center, and lets its sum and those of M's columns miss one by `off`.
        (off, size), mass = _off(xp, center), mass_of(M)
        ulps = (M.shape[-1] + M.shape[-2] + 8) * 2.0**-52
        off = off + ulps * size
        tau = round_up(tau_1(M) + ulps * mass)
        center = xp.matmul(M, center[..., None])[..., 0]
        radius = round_up(tau * (radius + off) + (off + ulps * size) * mass, 4)
        cones.append(NormCone(center, radius))
    return cones
