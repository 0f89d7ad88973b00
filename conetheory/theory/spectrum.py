"""Perron roots, leading singular values and effective ranks; the accuracy of the answer decides when to stop.

Collatz-Wielandt: for a nonnegative square A and x > 0, `min_i (Ax)_i/x_i <= rho(A) <= max_i (Ax)_i/x_i`.
Each step of power iteration so encloses the answer, whatever the step size was. Sums of nonnegative terms
are accurate to gamma_K relative, so the enclosure is rounded outward by that factor and holds for the
matrix as stored.

Lanczos: for Ritz values s_1 >= s_2 >= ... of A on a subspace, `s_i <= sigma_i(A)` (interlacing), within
|A^T u_i - s_i v_i| / sqrt(2) of each s_i there is a singular value (Weyl, on ((0, A), (A^T, 0))), and
`sigma_i^2 <= s_i^2 + |A|_F^2 - sum_j s_j^2` (Weyl, on A A^T).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from scipy import sparse

from conetheory.errors import InputError
from conetheory.theory.gaussian_law import stable_rank_excess
from conetheory.theory.matrices import real
from conetheory.theory.records import Bound

Map = Callable[[Any], Any]


@dataclass(frozen=True)
class PerronRoot:
    """An enclosure of the spectral radius.

    Attributes
    ----------
    bound
        lower and upper.
    vector
        (..., n), the last one, positive.
    steps
        how many there were.
    reached
        whether the bound's relative width is below the tolerance asked.
    """

    bound: Bound
    vector: Any
    steps: int
    reached: bool


def _gamma(terms: int, dtype_eps: float) -> float:
    """Relative error of a sum of `terms` products of nonnegatives, in any order, and what the caller adds."""
    k = (terms + 6) * dtype_eps / 2
    if k >= 0.5:
        raise InputError(f"sums of {terms} terms are too long for this precision")
    return k / (1 - k)


def _as_map(operator: Any, start: Any, terms: int | None) -> tuple[Map, Any, int]:
    if callable(operator):
        if start is None or terms is None:
            raise InputError(
                "a matrix-free operator needs `start` and `terms`, the roundings on its longest path"
            )
        return operator, start, terms
    if sparse.issparse(operator):
        return _sparse_map(operator, start)
    xp, operator = real(operator)
    if operator.ndim < 2 or operator.shape[-1] != operator.shape[-2] or operator.shape[-1] == 0:
        raise InputError(f"the spectral radius needs square matrices, got {tuple(operator.shape)}")
    if not bool(xp.all(xp.isfinite(operator))) or bool(xp.any(operator < 0)):
        raise InputError("the Collatz-Wielandt enclosure needs finite nonnegative entries")
    start = xp.ones_like(operator[..., 0]) if start is None else start
    return lambda x: (operator @ x[..., None])[..., 0], start, int(operator.shape[-1])


def _sparse_map(A: Any, start: Any) -> tuple[Map, Any, int]:
    A = sparse.csr_array(A, dtype=np.float64)
    if A.shape[0] != A.shape[1] or A.shape[0] == 0 or not ((A.data >= 0) & (A.data < math.inf)).all():
        raise InputError("the Collatz-Wielandt enclosure needs a square matrix of finite nonnegative entries")
    start = np.ones(A.shape[0]) if start is None else start
    return lambda x: A @ x, start, int(np.diff(A.indptr).max(initial=0))


def _core(apply: Map, x: Any) -> Any:
    """Indices that start arbitrarily long paths: zero rows are dropped until there are none."""
    xp = array_namespace(x)
    live = x > 0
    while True:
        kept = live & (apply(xp.astype(live, x.dtype)) > 0)
        if bool(xp.all(kept == live)):
            return live
        live = kept


def perron_root(
    operator: Any,
    *,
    start: Any = None,
    terms: int | None = None,
    rtol: float = 1e-9,
    max_steps: int = 10_000,
    lazy: float = 0.1,
) -> PerronRoot:
    """Spectral radius of a nonnegative square A by power iteration, enclosed by Collatz-Wielandt quotients.

    Stops when `upper - lower <= rtol lower`, so any number in the bound is right to rtol. Zero rows are
    dropped first; a reducible remainder may keep the bound open, in which case `reached` is False and the
    bound, still valid, is what there is.

    Parameters
    ----------
    operator
        array `(..., n, n)`, a scipy sparse matrix, or a map of arrays `(..., n)`, which must never
        subtract; it needs `start` and `terms`.
    start : (..., n)
        positive.
    terms
        the number of roundings on the longest path from input to output.
    rtol
        the relative width asked for.
    max_steps
        but no more than these.
    lazy
        how much of the old vector is mixed in, which breaks cycles.

    Returns
    -------
    PerronRoot
        the bound.

    Raises
    ------
    InputError
        for negative or non-finite entries and for an rtol below the rounding of the sums.

    References
    ----------
    Theorem: collatz-wielandt; Collatz 1942, Wielandt 1950.
    """
    apply, x, terms = _as_map(operator, start, terms)
    xp = array_namespace(x)
    info = xp.finfo(x.dtype)
    gamma, underflow = _gamma(terms, float(info.eps)), terms * float(info.smallest_normal) * float(info.eps)
    if rtol <= 4 * gamma:
        raise InputError(f"rtol {rtol:g} is below what sums of {terms} terms can certify, {4 * gamma:.1e}")
    if not bool(xp.all(x > 0)):
        raise InputError("the start vector must be positive")
    floor = math.sqrt(float(info.smallest_normal))
    live = _core(apply, x)
    x = xp.where(live, x, xp.zeros_like(x))
    nothing = ~xp.any(live, axis=-1)  # nilpotent: the root is 0
    for step in range(1, max_steps + 1):
        y = apply(x)
        safe = xp.where(live, x, xp.ones_like(x))
        low = xp.min(xp.where(live, (y - underflow) / safe, xp.full_like(x, math.inf)), axis=-1) * (1 - gamma)
        high = xp.max(xp.where(live, (y + underflow) / safe, xp.zeros_like(x)), axis=-1) * (1 + gamma)
        low = xp.where(nothing | (low < 0), xp.zeros_like(low), low)
        reached = bool(xp.all(high - low <= rtol * low))
        if reached or step == max_steps:
            return PerronRoot(Bound(low, high, "collatz-wielandt"), x, step, reached)
        scale = xp.where(high > 0, high, xp.ones_like(high))[..., None]
        x = xp.where(live, y / scale + lazy * x, xp.zeros_like(x))
        x = x / xp.where(nothing, xp.ones_like(low), xp.max(x, axis=-1))[..., None]
        x = xp.where(live & (x < floor), xp.full_like(x, floor), x)  # any positive vector encloses
    raise InputError(f"max_steps must be at least 1, got {max_steps}")


@dataclass(frozen=True)
class SingularValues:
    """Leading singular values of a matrix-free map, in exact arithmetic.

    Attributes
    ----------
    lower
        (..., k), `lower_i = s_i <= sigma_i`.
    upper
        (..., k), above sigma_i; inf without a Frobenius norm.
    residual
        (..., k): some singular value lies within `residual_i` of s_i.
    miss_probability_upper
        for a Gaussian start, of the event that sigma_1 (1 - rtol) > s_1.
    left, right
        (..., m, k) and (..., n, k), the Ritz vectors.
    steps
        how many there were.
    reached
        whether all residuals are below the tolerance.
    """

    lower: Any
    upper: Any
    residual: Any
    miss_probability_upper: float
    left: Any
    right: Any
    steps: int
    reached: bool


def _orthonormal(block: Any, basis: Any | None) -> Any:
    """An orthonormal basis of `block`, orthogonal to `basis`: twice, since once is not enough."""
    xp = array_namespace(block)
    for _ in range(2):
        if basis is not None:
            block = block - basis @ (xp.matrix_transpose(basis) @ block)
        block = xp.linalg.qr(block)[0]
    return block


def _miss_probability(n: int, krylov: int, rtol: float) -> float:
    """Kuczynski and Wozniakowski 1992, Theorem 4.2: relative error eps of the top eigenvalue of A^T A."""
    eps = 1 - (1 - rtol) ** 2
    return (
        0.0 if krylov >= n else min(1.0, 1.648 * math.sqrt(n) * math.exp(-math.sqrt(eps) * (2 * krylov - 1)))
    )


def leading_singular_values(
    matvec: Map,
    rmatvec: Map,
    start: Any,
    *,
    count: int = 2,
    rtol: float = 1e-6,
    max_steps: int = 100,
    frobenius: Any = None,
) -> SingularValues:
    """The leading singular values of A by block Lanczos with full reorthogonalisation.

    Each step costs b passes and b adjoint passes. Stops when all wanted Ritz values have a residual below
    `rtol s_i`, which no small step can fake. For c probes of a chain that ends in c numbers two steps are
    exact.

    Parameters
    ----------
    matvec
        (..., n, b) -> (..., m, b).
    rmatvec
        its adjoint.
    start : (..., n, b)
        probes with b <= n, best Gaussian.
    count
        values wanted.
    rtol
        of the residuals.
    max_steps
        but no more than these.
    frobenius : (...)
        the norm |A|_F, which closes the bound from above.

    Returns
    -------
    SingularValues
        with bounds and residuals.

    Raises
    ------
    InputError
        unless 1 <= b <= n and count >= 1.
    """
    xp, start = real(start)
    if start.ndim < 2:
        raise InputError(f"probes are (..., n, b), not {tuple(start.shape)}")
    n, width = int(start.shape[-2]), int(start.shape[-1])
    if not 1 <= width <= n or count < 1:
        raise InputError(f"need 1 <= probes <= {n} and count >= 1, got {width} probes, count {count}")
    fresh = _orthonormal(start, None)
    V = W = T = None
    for step in range(1, max_steps + 1):
        image = matvec(fresh)
        back = rmatvec(image)
        if not bool(xp.all(xp.isfinite(image))) or not bool(xp.all(xp.isfinite(back))):
            raise InputError("the map makes values that are not finite")
        V, W, T = (
            x if y is None else xp.concat([y, x], axis=-1) for y, x in ((V, fresh), (W, image), (T, back))
        )
        Q, R = xp.linalg.qr(W)  # W is tall: the SVD of R costs nothing beside it
        U, s, Zt = xp.linalg.svd(R, full_matrices=False)
        k = min(count, int(s.shape[-1]))
        Z = xp.matrix_transpose(Zt)[..., :, :k]
        right, top = V @ Z, s[..., None, :k]
        miss = T @ Z / xp.where(top > 0, top, xp.ones_like(top)) - top * right
        residual = xp.sqrt(xp.sum(miss**2, axis=-2)) / math.sqrt(2)
        spent = min(width, n - int(V.shape[-1]))  # directions left for the next step
        reached = bool(xp.all(residual <= rtol * s[..., :k])) and k == min(count, int(W.shape[-2]), n)
        if reached or spent == 0 or step == max_steps:
            break
        fresh = _orthonormal(back[..., :, :spent], V)
    upper = xp.full_like(residual, math.inf)
    if frobenius is not None:
        unseen = frobenius**2 - xp.sum(s**2, axis=-1)
        upper = xp.sqrt(s[..., :k] ** 2 + xp.where(unseen > 0, unseen, xp.zeros_like(unseen))[..., None])
    reached = reached or spent == 0  # the whole space is spanned: exact
    left = Q @ U[..., :, :k]
    sign = _sign(xp, right)
    left, right = left * sign, right * sign
    return SingularValues(
        s[..., :k], upper, residual, _miss_probability(n, step, rtol), left, right, step, reached
    )


def stable_rank(singular_values: Any) -> Any:
    """`|A|_F^2 / sigma_1^2 = 1 + S` from singular values (..., k); for small S use `stable_rank_excess`."""
    return 1 + stable_rank_excess(singular_values)


def effective_rank(singular_values: Any) -> Any:
    """`exp(entropy of sigma_i / sum sigma)`, between 1 and the rank.

    Parameters
    ----------
    singular_values : (..., k)
        in any order.

    Returns
    -------
    (...)
        between 1 and k.

    Raises
    ------
    InputError
        for negative values, and where all are zero.

    References
    ----------
    Roy and Vetterli 2007, Definition 1.
    """
    xp, singular_values = real(singular_values)
    if singular_values.ndim < 1 or singular_values.shape[-1] < 1:
        raise InputError("singular values need a last axis that is not empty")
    if bool(xp.any(singular_values < 0)) or not bool(xp.all(xp.max(singular_values, axis=-1) > 0)):
        raise InputError("singular values must be nonnegative and not all zero")
    share = singular_values / xp.sum(singular_values, axis=-1, keepdims=True)
    logs = xp.log(xp.where(share > 0, share, xp.ones_like(share)))
    return xp.exp(-xp.sum(share * logs, axis=-1))


def _sign(xp: Any, right: Any) -> Any:
    """The signs that make the largest entry of each vector positive, so that every library gives the same."""
    largest = xp.argmax(xp.abs(right), axis=-2, keepdims=True)
    return xp.where(xp.take_along_axis(right, largest, axis=-2) < 0, -1.0, 1.0)
