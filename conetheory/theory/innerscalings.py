"""What no activation can spoil: chains of layers whose diameter is bounded over all positive inner diagonals.

A z+ layer is a fixed nonnegative pattern of weights between two positive diagonals, which the image sets.
Diagonals at the outside of a chain A_1 D_1 A_2 ... D_(L-1) A_L change no diameter. Whether those inside can
make it as large as they like is a matter of the zeros of the A_l alone: for two factors an exchange condition
(theorem `z-plus-image-dependence`), for any number of them whether one factor is positive on the units
that are alive (theorem `image-free-depth`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from conetheory.errors import InputError
from conetheory.theory.pattern import pattern_of
from conetheory.theory.records import NotApplicable

# ---------------------------------------------------------------- two factors


@dataclass(frozen=True)
class InnerScalings:
    """Is sup over positive diagonal D of Delta(A D B) finite? If not: the indices that show why.

    Attributes
    ----------
    finite
        whether it is.
    rows, columns, inner
        (i, i'), (j, j') and (k, l) of the condition that fails, None where it is finite.
    """

    finite: bool
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None
    inner: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return self.finite


def diameter_sup_over_inner_scalings_is_finite(A: Any, B: Any) -> InnerScalings:
    """Whether Delta(A D B) stays bounded over all positive diagonal D; a matter of the zeros of A and B
    alone.

    Finite iff for all rows i, i' of A, columns j, j' of B and inner k, l

        A_ik A_i'l B_kj B_lj' + A_il A_i'k B_lj B_kj' > 0

    implies that the same with j and j' exchanged is positive, or that both A_ik A_i'k B_kj B_kj' > 0 and
    A_il A_i'l B_lj B_lj' > 0. Zero rows and columns satisfy it by themselves, as do equal indices.

    Parameters
    ----------
    A : (m, r)
        nonnegative.
    B : (r, n)
        nonnegative.

    Returns
    -------
    InnerScalings
        the answer, and a witness where it is no.

    Raises
    ------
    InputError
        for shapes that can't be multiplied.

    References
    ----------
    Theorem: z-plus-image-dependence.
    """
    a, b = (_dense(z) for z in (A, B))
    if a.shape[1] != b.shape[0]:
        raise InputError(f"shapes {a.shape} and {b.shape} can't be multiplied")
    # Equal patterns satisfy the condition among themselves, so one of each kind is enough.
    a, row = np.unique(a, axis=0, return_index=True)
    b, column = np.unique(b, axis=1, return_index=True)
    for k in range(a.shape[1]):
        for m in range(k):
            found = _violation(a[:, k], a[:, m], b[k], b[m])
            if found is not None:
                i, i2, j, j2 = found
                return InnerScalings(
                    False, (int(row[i]), int(row[i2])), (int(column[j]), int(column[j2])), (k, m)
                )
    return InnerScalings(True)


def _violation(ak: Any, al: Any, bk: Any, bl: Any) -> Any:
    x = (ak[:, None] & al[None, :])[:, :, None, None]
    y = (bk[:, None] & bl[None, :])[None, None]
    xt, yt = x.transpose(1, 0, 2, 3), y.transpose(0, 1, 3, 2)
    own_k = (ak[:, None] & ak[None, :])[:, :, None, None] & (bk[:, None] & bk[None, :])
    own_l = (al[:, None] & al[None, :])[:, :, None, None] & (bl[:, None] & bl[None, :])
    bad = ((x & y) | (xt & yt)) & ~((x & yt) | (xt & y)) & ~(own_k & own_l)
    places = np.argwhere(bad)
    return tuple(int(p) for p in places[0]) if len(places) else None


# ---------------------------------------------------------------- any number of factors


@dataclass(frozen=True)
class ChainScalings:
    """Is sup over positive diagonals of Delta(A_1 D_1 A_2 ... D_(L-1) A_L) finite?

    Attributes
    ----------
    finite
        whether it is.
    factor
        if it is, the number of one that is positive on the units alive in the chain; its diameter bounds
        the chain's.
    exponents
        if not, D_l = diag(t^e) with e in `exponents[l]` makes the diameter infinite, or grow at least
        like log t.
    """

    finite: bool
    factor: int | None = None
    exponents: tuple[tuple[int, ...], ...] | None = None

    def __bool__(self) -> bool:
        return self.finite


def chain_diameter_sup_is_finite(matrices: Sequence[Any]) -> ChainScalings | NotApplicable:
    """Whether Delta(A_1 D_1 A_2 ... D_(L-1) A_L) stays bounded over all positive diagonals D_l.

    Units that no path from a row of A_1 to a column of A_L crosses are dropped first, which changes no
    product. On the others: finite iff one of the factors has no zero.

    Parameters
    ----------
    matrices
        A_1, ..., A_L, nonnegative, dense or scipy sparse, each with as many columns as the next has rows.

    Returns
    -------
    ChainScalings or NotApplicable
        the second where no path is left.

    Raises
    ------
    InputError
        for an empty chain and shapes that can't be multiplied.

    References
    ----------
    Theorem: image-free-depth.
    """
    patterns = [_dense(A) for A in matrices]
    if not patterns:
        raise InputError("the chain has no factors")
    for number, (A, B) in enumerate(pairwise(patterns), start=1):
        if A.shape[1] != B.shape[0]:
            raise InputError(f"factor {number} has {A.shape[1]} columns, and the next {B.shape[0]} rows")
    alive = _alive(patterns)
    if not alive[0].any():
        return NotApplicable("the product of the chain is zero")
    kept = [
        A[np.ix_(rows, columns)] for A, rows, columns in zip(patterns, alive[:-1], alive[1:], strict=True)
    ]
    full = [number for number, A in enumerate(kept) if A.all()]
    if full:
        return ChainScalings(True, factor=full[0])
    exponents = []
    for found, live in zip(_exponents(kept)[:-1], alive[1:-1], strict=True):
        places = iter(found)
        exponents.append(tuple(next(places) if on else 0 for on in live))
    return ChainScalings(False, exponents=tuple(exponents))


def _dense(A: Any) -> np.ndarray:
    if A.ndim == 2 and 0 in A.shape:  # no units, no path
        return np.zeros(tuple(A.shape), dtype=bool)
    pattern = pattern_of(A)
    return pattern.toarray() if sparse.issparse(pattern) else pattern


def _alive(patterns: list[np.ndarray]) -> list[np.ndarray]:
    """For the rows of A_1, the inner units and the columns of A_L: those that lie on a path of the chain."""
    from_left, from_right = [np.any(patterns[0], axis=1)], [np.any(patterns[-1], axis=0)]
    for A in patterns:
        from_left.append(np.any(A[from_left[-1]], axis=0))
    for A in reversed(patterns):
        from_right.append(np.any(A[:, from_right[-1]], axis=1))
    return [a & b for a, b in zip(from_left, reversed(from_right), strict=True)]


def _exponents(patterns: list[np.ndarray]) -> list[list[int]]:
    """The lemma of the proof, from the last factor to the first: exponents that keep t^x and t^y apart."""
    n = patterns[-1].shape[1]
    x, y = [0] * n, [1] + [0] * (n - 1)
    found = []
    for A in reversed(patterns):
        first, second = _order(A, [a - b for a, b in zip(x, y, strict=True)])
        gap = 1 + max(x) - min(x) + max(y) - min(y)
        v = [2 * gap if k == first else gap if k == second else 0 for k in range(A.shape[1])]
        x, y = ([max(v[k] + z[k] for k in np.flatnonzero(row)) for row in A] for z in (x, y))
        found.append(v)
    return found[::-1]


def _order(A: np.ndarray, apart: list[int]) -> tuple[int, int]:
    """Columns c, c' of different x - y, and a row that holds c' but not c, while another holds c."""
    for row in A:
        for second in np.flatnonzero(row):
            for first in np.flatnonzero(~row):
                if apart[first] != apart[second]:
                    return int(first), int(second)
    raise AssertionError("a factor without zeros, or two vectors that are proportional")
