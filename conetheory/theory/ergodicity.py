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
from array_api_compat import array_namespace, device
from scipy import sparse
from scipy.spatial.distance import cdist

from conetheory.errors import InputError
from conetheory.theory import sparsematrix
from conetheory.theory.enclosure import floats, gamma, round_up
from conetheory.theory.matrices import matrix as as_matrix
from conetheory.theory.matrices import real
from conetheory.theory.records import NotApplicable

_TILE = 1 << 17  # float64 numbers held by one temporary: one megabyte, which a second-level cache keeps


# ---------------------------------------------------------------- coefficients of one matrix


def tau_1(A: Any) -> Any:
    """tau_1(A) = 1/2 max_{j, k} |A e_j - A e_k|_1, the Dobrushin coefficient; signed matrices too.

    It is exactly the largest |A x|_1 / |x|_1 over x of sum zero, because the extreme points of that set's
    unit ball are (e_j - e_k) / 2. A: (..., m, n); returns (...); zero with one live column, NaN with none.
    O(m n^2), tiled; for a scipy sparse A at most O(n nnz), and O(nnz) where two columns of the largest sums
    have disjoint supports. Source: Dobrushin 1956; Seneta 1981; for signed matrices new here,
    theorem `tau1`.
    """
    if sparse.issparse(A):
        return sparsematrix.farthest(sparsematrix.finite_columns(A)[0])
    xp, vectors = _columns(A)
    return _farthest(xp, vectors, None)


def tau_1_weighted(A: Any, row_weights: Any, column_weights: Any) -> Any:
    """max_{j, k} |A (e_j - e_k)|_{row} / (d_j + d_k), the coefficient for weighted norms |x|_d = sum d_i
    |x_i|.

    A: (..., m, n), or scipy sparse; row_weights: (..., m) and column_weights: (..., n), positive. Exact, as
    `tau_1`, which it is for weights of one. Source: new here, theorem `tau1`.
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
    live = _live(xp, xp.astype(A, xp.float64))
    columns = xp.take_along_axis(xp.broadcast_to(columns, live.shape), _stand_in(xp, live), axis=-1)
    xp, vectors = _columns(xp.astype(A, xp.float64) * rows[..., :, None])
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
    """tau_1(A) <= 1 - sum_i min_j a_ij, the Doeblin bound, O(m n). Rounded up.

    A: (..., m, n), or scipy sparse, nonnegative, columns of sum one or zero (NotApplicable otherwise).
    Source: Doeblin 1937; theorem `tau1`.
    """
    if sparse.issparse(A):
        xp, (A, _) = np, sparsematrix.finite_columns(A)
        entries, sums, common = A.data, A.sum(axis=0), np.asarray(A.min(axis=1).sum())
    else:
        xp, entries = _columns(A)
        sums, common = xp.sum(entries, axis=-1), xp.sum(xp.min(entries, axis=-2), axis=-1)
    refused = _not_stochastic(xp, entries, sums, A.shape[-2])
    if refused is not None:
        return refused
    # Column sums may be off by as much as `_sums_differ` lets pass.
    return xp.clip(round_up(1 - common + (A.shape[-2] + 18) * 2.0**-50), max=1.0)


def tau_1_signed_upper(alpha: float) -> float:
    """tau_1(alpha Z+ - beta Z-) <= alpha tau_1(Z+) + beta tau_1(Z-) <= 2 alpha - 1, beta = alpha - 1 >= 0.

    An equality iff for two columns j, k the supports of Z+_j + Z-_k and of Z+_k + Z-_j are disjoint, as
    those of two units without a common input are: above alpha = 1 one convolution certifies nothing.
    Theorem `tau1`.
    """
    if alpha < 1:
        raise InputError(f"alpha - beta = 1 with beta >= 0 needs alpha >= 1, not {alpha}")
    return 2 * alpha - 1


def tau_2(A: Any) -> Any:
    """tau_2(A) = |A (I - 1 1^T / n)|_2 on the n live columns: sigma_2(A) <= tau_2(A) <= sigma_1(A).

    A: (..., m, n), signed or not; returns (...), NaN with no live column. Source: Ipsen and Selee 2011.
    """
    xp, A = as_matrix(A)
    live = xp.astype(_live(xp, A), xp.float64)[..., None]
    count = xp.sum(live, axis=(-2, -1))
    vectors = xp.matrix_transpose(A)
    mean = xp.sum(vectors, axis=-2, keepdims=True) / xp.clip(count, min=1.0)[..., None, None]
    found = _norm_2(xp, (vectors - mean) * live)
    return xp.where(count > 0, found, xp.full_like(found, math.nan))


def chi_square_contraction(A: Any, w: Any) -> Any:
    """sigma_2 of D(A w)^{-1/2} A D(w)^{1/2}: what A contracts the chi distance sqrt(sum (x_i - w_i)^2 /
    w_i) by.

    A: (..., m, n), nonnegative with columns of sum one or zero (NotApplicable otherwise); w: (..., n),
    nonnegative; NaN where it is zero on all live columns. Its sigma_1 is one, with vectors sqrt(w) and
    sqrt(A w), and is taken out exactly. sigma_2^2 <= tau_1 and sigma_2 <= tau. Source: Cohen et al.
    1993; fact F6 (proofs/README.md).
    """
    xp, vectors = _columns(A)
    refused = _not_stochastic(xp, vectors, xp.sum(vectors, axis=-1), A.shape[-2])
    if refused is not None:
        return refused
    (_, A), w = as_matrix(A), xp.astype(w, xp.float64)
    if w.shape[-1] != A.shape[-1] or not bool(xp.all((w >= 0) & xp.isfinite(w))):
        raise InputError("the reference w must be finite and nonnegative, with one entry a column")
    w = w * xp.astype(_live(xp, A), xp.float64)
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


# ---------------------------------------------------------------- chains


def block_products(matrices: Sequence[Any], ends: Sequence[int]) -> list[Any]:
    """The products M_1...M_{k_1}, M_{k_1 + 1}...M_{k_2}, ... for ends = (k_1, ..., k_s = L)."""
    ends = list(ends)
    if not ends or ends[-1] != len(matrices) or any(b <= a for a, b in zip([0, *ends], ends, strict=False)):
        raise InputError(f"block ends must increase to {len(matrices)}, not {ends}")
    return [_product(matrices[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def _product(factors: Sequence[Any]) -> Any:
    _, product, *others = real(*factors)
    for factor in others:
        if product.ndim < 2 or factor.ndim < 2 or product.shape[-1] != factor.shape[-2]:
            raise InputError(f"shapes {tuple(product.shape)} and {tuple(factor.shape)} can't be multiplied")
        product = product @ factor
    return product


def chain_tau_1_upper(matrices: Sequence[Any], ends: Sequence[int] | None = None) -> Any:
    """tau_1(M_1 ... M_L) <= product of tau_1 of the blocks; every factor alone where `ends` is None.

    Hypotheses (else NotApplicable): the columns of each block have one common sum, as zero-sum vectors don't
    stay so otherwise; a column of zeros, which has another sum, belongs to a unit that the block after it
    does not feed, and is zero by its zeros and not by underflow or cancellation. Two images of equal sum
    differ by at most 2 times it in l1, per unit of mass. It holds for the given float64 factors: the
    rounding of the blocks' products and what their column sums differ by (tau(P B) <= tau(P) tau(B) +
    (tau(P) + |P|_1) defect(B)) are counted. Rounded up; NaN for a zero matrix. Theorems: tau1, scrambling.
    """
    matrices = [as_matrix(M)[1] for M in matrices]
    ends = list(range(1, len(matrices) + 1) if ends is None else ends)
    block_products(matrices, ends)  # refuses wrong ends and shapes
    total, mass, dead = 1.0, 1.0, None
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        block, dead = _block(matrices[start:end], dead)
        refused = block if isinstance(block, NotApplicable) else _not_sum_preserving(block)
        if refused is not None:
            return refused
        own = _product_of_masses(matrices[start:end])
        error = own * gamma(sum(M.shape[-2] + M.shape[-1] + 4 for M in matrices[start:end]))
        xp, vectors = _columns(block)
        sums = xp.sum(vectors, axis=-1)
        defect = (xp.max(sums, axis=-1) - xp.min(sums, axis=-1)) / 2 + error
        tau = round_up(tau_1(block) + error)
        # The first block has nothing on its left, whose zero sums its defect could spoil.
        spoiled = (total + mass) * defect if start else 0.0
        total, mass = round_up(total * tau + spoiled, 4), mass * own
    return total


def _block(factors: Sequence[Any], dead: Any) -> tuple[Any, Any]:
    """The product of the factors, and which of its columns hold no path; or why a zero one can't be dropped.

    dead: those of the block to the left, None for the first.
    """
    product = _product(factors)
    xp, paths = array_namespace(product), factors[0] != 0
    for factor in factors[1:]:
        paths = xp.astype(paths, xp.float64) @ xp.astype(factor != 0, xp.float64) > 0
    if dead is not None and bool(xp.any(dead[..., :, None] & paths)):
        return NotApplicable("a block feeds a unit whose column in the next is zero: its sum is lost"), None
    dead = ~xp.any(paths, axis=-2)
    if bool(xp.any(~_live(xp, product) & ~dead)):
        return NotApplicable("a column of a block underflows or cancels: it is not dead"), None
    return product, dead


def _product_of_masses(matrices: Sequence[Any]) -> Any:
    product = 1.0
    for M in matrices:
        product = product * _mass(M) * (1 + M.shape[-2] * 2.0**-52)
    return product


def _mass(A: Any) -> Any:
    """|A|_1, the largest column sum of absolute values."""
    xp = array_namespace(A)
    return xp.max(xp.sum(xp.abs(A), axis=-2), axis=-1)


@dataclass(frozen=True)
class NormCone:
    """All x with |x - (1^T x) center|_1 <= radius |1^T x|; center (..., n), radius (...)."""

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
    """The cones that a sum-preserving chain maps `start` into: w' = M w, kappa' = tau_1(M) kappa for each M.

    matrices: M_1, ..., M_L, (..., m_l, n_l), signed, columns of sum one (NotApplicable otherwise, e.g. where
    a pool of alpha-beta is empty, or where a column is zero and its unit is fed by M_(l+1), or is one of the
    start's); start: center of sum one and radius at the entrance of M_L. Returns the cones at the exits of
    M_L, ..., M_1, in this order, radii rounded up, for every chain with exact sums that the given one is the
    rounding of. It holds for starts of non-zero sum and says little about single positions. Theorem: tau1.
    """
    xp, center, radius = floats(start.center, start.radius)
    cones, fed = [], None  # at the start any unit may have mass
    for M in (as_matrix(M)[1] for M in reversed(list(matrices))):
        if M.shape[-1] != center.shape[-1]:
            raise InputError(f"a cone of {center.shape[-1]} units can't enter {M.shape[-1]} columns")
        lost = ~_live(xp, M) if fed is None else ~_live(xp, M) & fed
        if bool(xp.any(lost)):
            return NotApplicable("the column of a unit that may have mass is zero: its sum is lost")
        fed = xp.any(M != 0, axis=-1)
        refused = _not_sum_preserving(M, 1.0)
        if refused is not None:
            return refused
        # Rounding moves the center, and lets its sum and those of M's columns miss one by `off`.
        (off, size), mass = _off(xp, center), _mass(M)
        ulps = (M.shape[-1] + M.shape[-2] + 8) * 2.0**-52
        off = off + ulps * size
        tau = round_up(tau_1(M) + ulps * mass)
        center = xp.matmul(M, center[..., None])[..., 0]
        radius = round_up(tau * (radius + off) + (off + ulps * size) * mass, 4)
        cones.append(NormCone(center, radius))
    return cones


# ---------------------------------------------------------------- hypotheses


def _live(xp: Any, A: Any) -> Any:
    return xp.any(A != 0, axis=-2)


def _stand_in(xp: Any, live: Any) -> Any:
    """For each column its own number, or that of the first live column if it is dead."""
    first = xp.argmax(xp.astype(live, xp.int8), axis=-1)[..., None]
    return xp.where(live, xp.arange(live.shape[-1], device=device(live)), first)


def _columns(A: Any) -> tuple[Any, Any]:
    """The columns as rows, (..., n, m) in float64, dead ones replaced by a live one; NaN if none lives."""
    xp, A = as_matrix(A)
    live = _live(xp, A)
    vectors = xp.matrix_transpose(A)
    if not bool(xp.all(live)):
        index = xp.broadcast_to(_stand_in(xp, live)[..., None], vectors.shape)
        vectors = xp.take_along_axis(vectors, index, axis=-2)
        none = ~xp.any(live, axis=-1)[..., None, None]
        vectors = xp.where(none, xp.full_like(vectors, math.nan), vectors)
    return xp, xp.asarray(vectors, copy=True)


def _not_stochastic(xp: Any, entries: Any, sums: Any, rows: int) -> NotApplicable | None:
    if bool(xp.any(entries < 0)):
        return NotApplicable("the matrix has negative entries")
    return _sums_differ(xp, sums, sums, rows, 1.0)


def _not_sum_preserving(A: Any, target: float | None = None) -> NotApplicable | None:
    xp, vectors = _columns(A)
    sums, sizes = xp.sum(vectors, axis=-1), xp.sum(xp.abs(vectors), axis=-1)
    return _sums_differ(xp, sums, sizes, A.shape[-2], target)


def _sums_differ(xp: Any, sums: Any, sizes: Any, rows: int, target: float | None) -> NotApplicable | None:
    goal = sums[..., :1] if target is None else target
    off = xp.abs(sums - goal) / xp.where(sizes > 0, sizes, xp.ones_like(sizes))
    off = xp.where(
        xp.isnan(off), xp.zeros_like(off), off
    )  # a zero matrix of a batch must not hide the others
    off = float(xp.max(off)) if math.prod(off.shape) else 0.0
    # Columns that were divided by their computed sums are off by a few ulps for each term.
    if off > (rows + 16) * 2.0**-50:
        wanted = "one common sum" if target is None else "sum one"
        return NotApplicable(f"columns don't have {wanted}: they are off by {off:.1e} of their mass")
    return None


def _norm_2(xp: Any, A: Any) -> Any:
    return xp.linalg.svdvals(A)[..., 0]
