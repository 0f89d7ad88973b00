"""Columns and their sums: what coefficients of ergodicity ask of a matrix or of a block of a chain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from array_api_compat import array_namespace, device

from conetheory.errors import InputError
from conetheory.theory.matrices import matrix as as_matrix
from conetheory.theory.matrices import real
from conetheory.theory.records import NotApplicable


def live_columns(xp: Any, A: Any) -> Any:
    return xp.any(A != 0, axis=-2)


def stand_in(xp: Any, live: Any) -> Any:
    """For each column its own number, or that of the first live column if it is dead."""
    first = xp.argmax(xp.astype(live, xp.int8), axis=-1)[..., None]
    return xp.where(live, xp.arange(live.shape[-1], device=device(live)), first)


def as_rows(A: Any) -> tuple[Any, Any]:
    """The columns as rows, (..., n, m) in float64, dead ones replaced by a live one; NaN if none lives."""
    xp, A = as_matrix(A)
    live = live_columns(xp, A)
    vectors = xp.matrix_transpose(A)
    if not bool(xp.all(live)):
        index = xp.broadcast_to(stand_in(xp, live)[..., None], vectors.shape)
        vectors = xp.take_along_axis(vectors, index, axis=-2)
        none = ~xp.any(live, axis=-1)[..., None, None]
        vectors = xp.where(none, xp.full_like(vectors, math.nan), vectors)
    return xp, xp.asarray(vectors, copy=True)


def not_stochastic(xp: Any, entries: Any, sums: Any, rows: int) -> NotApplicable | None:
    if bool(xp.any(entries < 0)):
        return NotApplicable("the matrix has negative entries")
    return sums_differ(xp, sums, sums, rows, 1.0)


def not_sum_preserving(A: Any, target: float | None = None) -> NotApplicable | None:
    xp, vectors = as_rows(A)
    sums, sizes = xp.sum(vectors, axis=-1), xp.sum(xp.abs(vectors), axis=-1)
    return sums_differ(xp, sums, sizes, A.shape[-2], target)


def sums_differ(xp: Any, sums: Any, sizes: Any, rows: int, target: float | None) -> NotApplicable | None:
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


def product_of(factors: Sequence[Any]) -> Any:
    _, product, *others = real(*factors)
    for factor in others:
        if product.ndim < 2 or factor.ndim < 2 or product.shape[-1] != factor.shape[-2]:
            raise InputError(f"shapes {tuple(product.shape)} and {tuple(factor.shape)} can't be multiplied")
        product = product @ factor
    return product


def block_of(factors: Sequence[Any], dead: Any) -> tuple[Any, Any]:
    """The product of the factors, and which of its columns hold no path; or why a zero one can't be dropped.

    dead: those of the block to the left, None for the first.
    """
    product = product_of(factors)
    xp, paths = array_namespace(product), factors[0] != 0
    for factor in factors[1:]:
        paths = xp.astype(paths, xp.float64) @ xp.astype(factor != 0, xp.float64) > 0
    if dead is not None and bool(xp.any(dead[..., :, None] & paths)):
        return NotApplicable("a block feeds a unit whose column in the next is zero: its sum is lost"), None
    dead = ~xp.any(paths, axis=-2)
    if bool(xp.any(~live_columns(xp, product) & ~dead)):
        return NotApplicable("a column of a block underflows or cancels: it is not dead"), None
    return product, dead


def product_of_masses(matrices: Sequence[Any]) -> Any:
    product = 1.0
    for M in matrices:
        product = product * mass_of(M) * (1 + M.shape[-2] * 2.0**-52)
    return product


def mass_of(A: Any) -> Any:
    """|A|_1, the largest column sum of absolute values."""
    xp = array_namespace(A)
    return xp.max(xp.sum(xp.abs(A), axis=-2), axis=-1)
