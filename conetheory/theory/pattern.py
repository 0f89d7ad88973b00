"""Zero patterns: allowable, scrambling, primitive, the indices, the local scrambling time; always with a
witness.

All of this depends on which entries are positive alone. Patterns are 2-D arrays (numpy, torch or scipy
sparse; true or > 0 is an edge) with the convention of the package: column j holds the units of the earlier
layer that unit j feeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Any, cast

import numpy as np
from array_api_compat import is_array_api_obj, to_device
from scipy import sparse

from conetheory.errors import InputError
from conetheory.theory.patternrecords import (
    Allowable,
    LocalScrambling,
    Primitive,
    Scrambling,
    ScramblingIndex,
)
from conetheory.theory.sparsematrix import Sparse

__all__ = [
    "Allowable",
    "LocalScrambling",
    "Primitive",
    "Scrambling",
    "ScramblingIndex",
    "allowable",
    "conv_pattern",
    "local_scrambling_time",
    "pattern_of",
    "primitive",
    "primitivity_index",
    "scrambling",
    "scrambling_index",
]

# ---------------------------------------------------------------- one matrix


def allowable(A: Any) -> Allowable:
    """Is no row and no column of A zero? Source: Seneta 1981, section 3.1."""
    A = pattern_of(A)
    rows, columns = np.flatnonzero(A.sum(axis=1) == 0), np.flatnonzero(A.sum(axis=0) == 0)
    if rows.size:
        return Allowable(False, zero_row=int(rows[0]))
    if columns.size:
        return Allowable(False, zero_column=int(columns[0]))
    return Allowable(True)


def scrambling(A: Any) -> Scrambling:
    """Do every two columns of A share a positive row? For nonnegative A: are no two columns orthogonal?

    A zero column shares nothing, not even with itself. For column-stochastic A it is equivalent to tau_1(A) <
    1.

    Parameters
    ----------
    A : (m, n)
        dense, or scipy sparse.

    Returns
    -------
    Scrambling
        true where it is so.

    References
    ----------
    Hajnal 1958; theorem `scrambling`.
    """
    A = pattern_of(A)
    lonely = _lonely(A) if sparse.issparse(A) else np.argwhere(np.triu(~_times(A.T, A)))
    return Scrambling(False, (int(lonely[0, 0]), int(lonely[0, 1]))) if len(lonely) else Scrambling(True)


def _lonely(A: Sparse) -> np.ndarray:
    """The first two columns j <= k that share no row, (1, 2), or none, (0, 2)."""
    n = A.shape[1]
    meets = cast(Sparse, sparse.triu(A.T @ A, format="csr"))
    short = np.flatnonzero(np.diff(meets.indptr) < n - np.arange(n))
    pairs = [(j, np.setdiff1d(np.arange(j, n), meets[[j], :].indices)[0]) for j in short[:1]]
    return np.reshape(np.asarray(pairs, dtype=int), (-1, 2))


def primitive(A: Any) -> Primitive:
    """Is A^k > 0 for some k? Wielandt: then for k = (n - 1)^2 + 1. The index is found by bisection on powers.

    Parameters
    ----------
    A : (n, n)
        dense, or scipy sparse.

    Returns
    -------
    Primitive
        true where it is so.

    References
    ----------
    Seneta 1981, Theorem 2.9 (Wielandt).
    """
    A = _square(A)
    n = A.shape[0]
    reach = _power(A | np.eye(n, dtype=bool), n)
    if not reach.all():
        i, j = np.argwhere(~reach)[0]
        return Primitive(False, unreachable=(int(i), int(j)))
    period = _period(A)
    if period != 1:
        return Primitive(False, period=period)
    return Primitive(True, index=_first_power(A, (n - 1) ** 2 + 1, lambda power: bool(power.all())))


def primitivity_index(A: Any) -> int | None:
    """The smallest k with A^k > 0, None if A is not primitive (`primitive` says why)."""
    return primitive(A).index


def scrambling_index(A: Any) -> ScramblingIndex:
    """The smallest k for which A^k is scrambling; k <= n (n - 1) / 2 if there is one.

    Hypothesis: no zero column (else no power scrambles, and the witness is that column, twice). Two columns
    of A^k meet iff two walks of k steps end at one unit; walks that have met can go on together, so the
    property stays, and a shortest pair of walks visits no pair of units twice.

    Parameters
    ----------
    A : (n, n)
        dense, or scipy sparse.

    Returns
    -------
    ScramblingIndex
        the power, or a witness.

    References
    ----------
    Akelbek and Kirkland 2009.
    """
    A = _square(A)
    dead = np.flatnonzero(~A.any(axis=0))
    if dead.size:
        return ScramblingIndex(None, (int(dead[0]), int(dead[0])))
    n = A.shape[0]
    last = max(1, n * (n - 1) // 2)
    verdict = scrambling(_power(A, last))
    if not verdict:
        return ScramblingIndex(None, verdict.columns)
    return ScramblingIndex(_first_power(A, last, lambda power: bool(scrambling(power))))


def _first_power(A: np.ndarray, last: int, holds: Any) -> int:
    """The smallest k >= 1 with holds(A^k), a property that stays once it holds and holds for k = last."""
    squares = [A]
    while 2 ** len(squares) <= last:
        squares.append(_times(squares[-1], squares[-1]))
    below, power = 0, np.eye(A.shape[0], dtype=bool)
    for bit in reversed(range(len(squares))):
        longer = _times(power, squares[bit])
        if not holds(longer):
            below, power = below + 2**bit, longer
    return below + 1


def _period(A: np.ndarray) -> int:
    """The greatest common divisor of the lengths of the cycles of an irreducible pattern."""
    level = np.full(A.shape[0], -1)
    level[0], queue, period = 0, [0], 0
    for j in queue:
        for i in np.flatnonzero(A[:, j]):
            if level[i] < 0:
                level[i] = level[j] + 1
                queue.append(int(i))
            period = gcd(period, abs(int(level[j] + 1 - level[i])))
    return period


# ---------------------------------------------------------------- chains of convolutions


def conv_pattern(
    kernel: Any,
    size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
    active_in: Any = None,
    active_out: Any = None,
) -> sparse.csr_array:
    """The pattern of a z+ step through a convolution.

    Units are numbered channel first, as a flattened tensor. One step of the chain is one boolean product with
    it.

    Parameters
    ----------
    kernel : (out, in, kh, kw)
        true or > 0 where the weight is positive.
    size
        (h, w) of the input.
    stride, padding
        of the convolution.
    active_in : (in, h, w)
        which units are alive, all where None.
    active_out : (out, h', w')
        which units are alive, all where None.

    Returns
    -------
    csr_array
        booleans, (in * h * w, out * h' * w').

    Raises
    ------
    InputError
        for a kernel without four axes, with NaN, or larger than the padded input.
    """
    kernel = np.asarray(to_device(kernel, "cpu"))
    if kernel.ndim != 4 or np.isnan(kernel).any():
        raise InputError(
            f"a convolution's kernel has four axes and no NaN; this one has shape {kernel.shape}"
        )
    kernel = kernel > 0
    (outs, ins, kh, kw), (h, w) = kernel.shape, size
    h2, w2 = (h + 2 * padding - kh) // stride + 1, (w + 2 * padding - kw) // stride + 1
    if h2 < 1 or w2 < 1:
        raise InputError(f"a {kh} x {kw} kernel does not fit an input of {h} x {w} with padding {padding}")
    o, c, ky, kx = (a[:, None, None] for a in np.nonzero(kernel))
    y2, x2 = np.arange(h2)[None, :, None], np.arange(w2)[None, None, :]
    y, x = y2 * stride + ky - padding, x2 * stride + kx - padding
    inside = (y >= 0) & (y < h) & (x >= 0) & (x < w)
    rows = np.broadcast_to((c * h + y) * w + x, inside.shape)[inside]
    columns = np.broadcast_to((o * h2 + y2) * w2 + x2, inside.shape)[inside]
    keep = np.ones(rows.size, dtype=bool)
    for active, index in ((active_in, rows), (active_out, columns)):
        if active is not None:
            keep &= np.asarray(to_device(active, "cpu")).reshape(-1)[index] > 0
    ones = np.ones(int(keep.sum()), dtype=bool)
    shape = (ins * h * w, outs * h2 * w2)
    return sparse.csr_array((ones, (rows[keep], columns[keep])), shape=shape)


def local_scrambling_time(patterns: Sequence[Any], positions: Any) -> LocalScrambling:
    """The smallest k for which every local block P_p of Z_1 ... Z_k is positive on its live rows and columns.

    P_p holds the rows of position p: those that are alive must have the same support. That stays so in every
    longer block, so all local diameters are finite from length k on, and certificates start there.

    Parameters
    ----------
    patterns
        those of Z_1, Z_2, ..., dense or scipy sparse.
    positions : (rows of Z_1,)
        the position of each row.

    Returns
    -------
    LocalScrambling
        the length, or a witness.

    Raises
    ------
    InputError
        for patterns that can't be multiplied, and positions that aren't one for each row.

    References
    ----------
    new here, fact F7 (proofs/README.md).
    """
    positions = (
        np.asarray(to_device(positions, "cpu")) if is_array_api_obj(positions) else np.asarray(positions)
    )
    product, witness = None, None
    for k, Z in enumerate(patterns, start=1):
        Z = cast(Sparse, sparse.csr_array(pattern_of(Z)))
        if product is not None and product.shape[1] != Z.shape[0]:
            raise InputError(f"factor {k} has {Z.shape[0]} rows, not {product.shape[1]}")
        product = Z if product is None else (product @ Z).astype(bool)
        if positions.shape != (product.shape[0],):
            raise InputError(f"positions needs one entry for each of the {product.shape[0]} rows")
        witness = _not_positive(product, positions)
        if witness is None:
            return LocalScrambling(k)
    if witness is None:
        raise InputError("the chain has no factors")
    return LocalScrambling(None, *witness)


def _not_positive(product: Sparse, positions: np.ndarray) -> Any:
    """A position, two of its live rows and a column that reaches the first row only; None if none exist."""
    supports = [product.indices[a:b] for a, b in zip(product.indptr[:-1], product.indptr[1:], strict=True)]
    first: dict[int, int] = {}
    for row, support in enumerate(supports):
        position = int(positions[row])
        if support.size == 0:
            continue
        other = first.setdefault(position, row)
        difference = np.setxor1d(support, supports[other])
        if difference.size:
            column = int(difference[0])
            pair = (row, other) if column in support else (other, row)
            return position, pair, column
    return None


# ---------------------------------------------------------------- boolean arithmetic


def pattern_of(A: Any) -> Any:
    """Where a matrix is positive.

    Parameters
    ----------
    A : (m, n)
        dense, or scipy sparse.

    Returns
    -------
    (m, n)
        booleans, numpy or sparse.

    Raises
    ------
    InputError
        for what is no matrix.
    """
    A = sparse.csr_array(A) if sparse.issparse(A) else np.asarray(to_device(A, "cpu"))
    if A.ndim != 2 or 0 in A.shape:
        raise InputError(f"a pattern is a matrix with at least one row and column, not shape {A.shape}")
    entries = A.data if sparse.issparse(A) else A
    if A.dtype != bool and not (entries >= 0).all():
        raise InputError("a pattern comes from a nonnegative matrix")
    return A > 0


def _square(A: Any) -> np.ndarray:
    A = pattern_of(A)
    if A.shape[0] != A.shape[1]:
        raise InputError(f"powers need a square matrix, not shape {A.shape}")
    return A.toarray() if sparse.issparse(A) else A  # powers of a sparse matrix fill up


def _times(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return A.astype(np.float32) @ B.astype(np.float32) > 0


def _power(A: np.ndarray, k: int) -> np.ndarray:
    result = np.eye(A.shape[0], dtype=bool)
    while k:
        result = _times(result, A) if k & 1 else result
        A, k = _times(A, A), k >> 1
    return result
