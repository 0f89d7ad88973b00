"""Column angles: the spectrum of a matrix says how far apart its columns are

**Statement.** Let C have n >= 2 columns c_i that are not zero, w_i = |c_i|^2, singular values s_k and the
participation ratio PR = (sum s_k^2)^2 / sum s_k^4. Then

    sum_(i != j) w_i w_j sin^2(c_i, c_j) / sum_(i != j) w_i w_j >= n / (n - 1) (1 - 1 / PR),

with equality if and only if all columns are equally long or all are parallel (C = [1 2]: both sides are
zero). Scaling the columns does not change their angles, so the spectrum of the matrix with its columns
scaled to one length gives the mean of sin^2 over all pairs exactly. For a saliency chain with the channels
summed the columns are the maps of the classes: the mean squared sine between the maps of two classes is
n/(n-1) (1 - 1/PR), which a few random vectors sent up and down estimate without any class's map.

**Source:** sum s_k^4 of columns of one length is their frame potential (Benedetto and Fickus 2003); as PR is
at most the rank, the identity for such columns holds the bound of Welch 1974. For columns of any length, and
as a mean of angles between maps, new here. The participation ratio is that of Bell and Dean 1970.

**Proof.** G = C^T C has the diagonal w and G_ij^2 = w_i w_j cos_ij^2. |G|_F^2 = sum s_k^4, and tr G = sum w_i
= sum s_k^2 =: t. With q = sum w_i^2 and f = sum s_k^4,

    sum_(i != j) w_i w_j = t^2 - q,    sum_(i != j) w_i w_j sin_ij^2 = (t^2 - q) - (f - q) = t^2 - f.

The quotient (t^2 - f) / (t^2 - q) grows with q, strictly unless t^2 = f, and q >= t^2 / n by Cauchy and
Schwarz, with equality if and only if all w_i are equal. t^2 >= f, with equality if and only if one s_k alone
is not zero, that is if all columns are parallel; then both sides of the claim are zero. At q = t^2 / n it is
n/(n-1) (1 - f/t^2) = n/(n-1) (1 - 1/PR). []
"""

import itertools
from fractions import Fraction

import numpy as np
import sympy

from conetheory.theory.columns import mean_squared_sine


def gram(C):
    return [
        [sum(a * b for a, b in zip(u, v, strict=True)) for v in zip(*C, strict=True)]
        for u in zip(*C, strict=True)
    ]


def both_sides(C):
    """The weighted mean of sin^2 and the bound, in rationals: f = |C^T C|_F^2, t = tr C^T C."""
    G = gram([[Fraction(int(a)) for a in row] for row in C])
    n = len(G)
    t, f = sum(G[i][i] for i in range(n)), sum(g * g for row in G for g in row)
    pairs = list(itertools.permutations(range(n), 2))
    weights = [G[i][i] * G[j][j] for i, j in pairs]
    sines = [1 - G[i][j] ** 2 / (G[i][i] * G[j][j]) for i, j in pairs]
    mean = sum(w * s for w, s in zip(weights, sines, strict=True)) / sum(weights)
    return mean, Fraction(n, n - 1) * (1 - f / t**2)


def test_the_bound_holds_exactly_and_is_attained_by_equal_lengths_and_parallel_columns_alone():
    rng = np.random.default_rng(0)
    equal = unequal_but_parallel = 0
    for _ in range(300):
        C = rng.integers(-2, 3, (int(rng.integers(1, 5)), int(rng.integers(2, 5))))
        lengths = set((C**2).sum(0).tolist())
        if 0 in lengths:
            continue
        mean, bound = both_sides(C)
        assert mean >= bound  # zero slack
        parallel = np.linalg.matrix_rank(C) == 1
        assert (mean == bound) == (len(lengths) == 1 or parallel)
        equal += len(lengths) == 1
        unequal_but_parallel += parallel and len(lengths) > 1
    assert equal > 10
    assert unequal_but_parallel > 10
    assert both_sides(np.asarray([[1, 2]])) == (0, 0)


def test_the_quotient_grows_with_the_spread_of_the_lengths():
    t, f, q = sympy.symbols("t f q", positive=True)
    slope = sympy.diff((t**2 - f) / (t**2 - q), q)
    assert sympy.simplify(slope - (t**2 - f) / (t**2 - q) ** 2) == 0


def test_the_implementation_is_the_formula():
    rng = np.random.default_rng(1)
    for _ in range(50):
        C = rng.integers(-3, 4, (4, 3))
        if not (C**2).sum(0).all():
            continue
        s = np.linalg.svd(C.astype(float), compute_uv=False)
        assert abs(mean_squared_sine(s, 3) - float(both_sides(C)[1])) < 1e-12
