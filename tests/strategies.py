"""Hypothesis generators by property, of whole-number entries where exact oracles must see the same matrix."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

SIZES = st.integers(1, 6)


def shapes(low: int = 1, high: int = 6) -> st.SearchStrategy:
    return st.tuples(st.integers(low, high), st.integers(low, high))


def whole(shape=None, low: int = 0, high: int = 9) -> st.SearchStrategy:
    """Float64 matrices of whole numbers."""
    elements = st.integers(low, high).map(float)
    return hnp.arrays(np.float64, shapes() if shape is None else shape, elements=elements)


def positive(shape=None, high: int = 50) -> st.SearchStrategy:
    return whole(shape, 1, high)


def wide_positive(shape=None, decades: float = 6.0) -> st.SearchStrategy:
    """Positive entries over many decades."""
    exponents = st.floats(-decades, decades, allow_subnormal=False)
    return hnp.arrays(np.float64, shapes() if shape is None else shape, elements=exponents).map(
        lambda e: 10.0**e
    )


def zero_patterns(shape=None) -> st.SearchStrategy:
    return hnp.arrays(bool, shapes() if shape is None else shape)


@st.composite
def allowable(draw, shape=None) -> np.ndarray:
    """Nonnegative, no zero row or column: an entry is put into each line that has none."""
    A = draw(whole(shape))
    for line in (A, A.T):
        for row in line:
            if not row.any():
                row[draw(st.integers(0, row.size - 1))] = 1.0
    return A


@st.composite
def scrambling(draw, shape=None) -> np.ndarray:
    """Every two columns share a positive row."""
    A = draw(allowable(shape))
    for j in range(A.shape[1]):
        for k in range(j):
            if not ((A[:, j] > 0) & (A[:, k] > 0)).any():
                A[draw(st.integers(0, A.shape[0] - 1)), [j, k]] = 1.0
    return A


@st.composite
def primitive(draw, size=None) -> np.ndarray:
    """A cycle through all indices, one loop, and anything else."""
    n = draw(SIZES) if size is None else size
    A = draw(whole((n, n)))
    order = draw(st.permutations(range(n)))
    for a, b in zip(order, [*order[1:], order[0]], strict=True):
        A[b, a] = max(A[b, a], 1.0)
    A[order[0], order[0]] = max(A[order[0], order[0]], 1.0)
    return A


@st.composite
def prescribed_diameter(draw) -> tuple[np.ndarray, Fraction]:
    """A positive matrix and exp of its projective diameter, by diagonal scalings of one with entries 1 and r.

    Entries in [1, r] have cross ratios of at most r^2, and [[r, 1], [1, r]] attains it. Powers of two scale
    exactly.
    """
    m, n = draw(shapes(2, 6))
    r = draw(st.integers(2, 40))
    A = draw(hnp.arrays(np.float64, (m, n), elements=st.integers(1, r).map(float)))
    i, j = draw(st.permutations(range(m)))[:2], draw(st.permutations(range(n)))[:2]
    A[np.ix_(i, j)] = [[r, 1.0], [1.0, r]]
    powers = st.integers(-20, 20).map(lambda e: 2.0**e)
    rows, columns = (
        draw(hnp.arrays(np.float64, m, elements=powers)),
        draw(hnp.arrays(np.float64, n, elements=powers)),
    )
    return rows[:, None] * A * columns, Fraction(r) ** 2


@st.composite
def stochastic(draw, shape=None, exact: bool = True) -> np.ndarray:
    """Columns of sum one. Exact: multiples of 1/1024, whose sums are one in floats and in rationals."""
    m, n = draw(shapes()) if shape is None else shape
    if not exact:
        A = draw(positive((m, n)))
        return A / A.sum(axis=0)
    columns = []
    for _ in range(n):
        cuts = sorted(draw(st.lists(st.integers(0, 1024), min_size=m - 1, max_size=m - 1)))
        columns.append(np.diff([0, *cuts, 1024]) / 1024.0)
    return np.stack(columns, axis=1)


@st.composite
def signed_sum_preserving(draw, shape=None) -> tuple[np.ndarray, int]:
    """alpha Z+ - (alpha - 1) Z- with both parts exactly stochastic, and alpha (a whole number up to 12)."""
    shape = draw(shapes()) if shape is None else shape
    alpha = draw(st.integers(1, 12))
    return alpha * draw(stochastic(shape)) - (alpha - 1) * draw(stochastic(shape)), alpha


def exact(A) -> list[list[Fraction]]:
    """The matrix as it is stored, in rationals."""
    return [[Fraction(float(a)) for a in row] for row in np.atleast_2d(np.asarray(A))]


def exact_product(*factors: list[list[Fraction]]) -> list[list[Fraction]]:
    product = factors[0]
    for B in factors[1:]:
        product = [
            [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*B, strict=True)]
            for row in product
        ]
    return product
