"""h-transform: one adjoint pass of ones turns any nonnegative chain into a Markov chain

**Statement.** Let Z_1, ..., Z_L be nonnegative, h_0 = 1 and h_l = Z_l^T h_{l-1}. Put S_l = D(h_{l-1}) Z_l
D(h_l)^{-1} on the columns with h_l > 0, and zero columns elsewhere. Then every S_l is column-stochastic on
its live columns, and

    Z_1 ... Z_L = S_1 ... S_L D(h_L).

No hypothesis on biases, stabilisers or column sums is needed, and h_L = (1^T Z_1 ... Z_L)^T is the
relevance that a unit of relevance at each unit of the last layer leaves at the input. For chains that
conserve relevance h = 1.

**Source:** the h-transform of Doob 1957; for relevance chains new here.

**Proof.** Column j of S_l sums to sum_i h_{l-1,i} Z_l,ij / h_l,j = 1 where h_l,j > 0. Where h_l,j = 0,
nonnegativity gives h_{l-1,i} Z_l,ij = 0 for all i, so D(h_{l-1}) Z_l = S_l D(h_l) in all columns. Hence
Z_1 ... Z_L = D(h_0) Z_1 Z_2 ... Z_L = S_1 D(h_1) Z_2 ... Z_L = ... = S_1 ... S_L D(h_L). Unfolding the
recursion, h_L^T = 1^T Z_1 ... Z_L. []

Nonnegativity matters: with signs h_l,j = 0 does not make the column vanish (last test).
"""

import itertools
from fractions import Fraction

import numpy as np

from conetheory.theory.htransform import h_transform

rng = np.random.default_rng(0)


def times(A, B):
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*B, strict=True)] for row in A
    ]


def transform(chain):
    h, out = [Fraction(1)] * len(chain[0]), []
    for Z in chain:
        weighted = [[g * z for z in row] for g, row in zip(h, Z, strict=True)]
        h = [sum(column) for column in zip(*weighted, strict=True)]
        out.append([[w / g if g else Fraction(0) for w, g in zip(row, h, strict=True)] for row in weighted])
    return out, h


def random_chain():
    """Three factors with many zeros, so that dead columns occur."""
    shapes = itertools.pairwise(rng.integers(1, 5, 4))
    return [
        [[Fraction(int(a)) for a in row] for row in rng.integers(-3, 5, shape).clip(0)] for shape in shapes
    ]


def test_exactly():
    dead = 0
    for _ in range(200):
        chain = random_chain()
        S, h = transform(chain)
        for matrix in S:
            sums = [sum(column) for column in zip(*matrix, strict=True)]
            assert set(sums) <= {Fraction(0), Fraction(1)}
        left = times(times(chain[0], chain[1]), chain[2])
        right = [[a * g for a, g in zip(row, h, strict=True)] for row in times(times(S[0], S[1]), S[2])]
        assert left == right
        assert h == [sum(column) for column in zip(*left, strict=True)]
        dead += any(g == 0 for g in h)
        found = h_transform([np.asarray(Z, float) for Z in chain])
        np.testing.assert_allclose(found.h, np.asarray(h, float), rtol=1e-14)
        for ours, theirs in zip(found.stochastic, S, strict=True):
            np.testing.assert_allclose(ours, np.asarray(theirs, float), rtol=1e-13)
    assert dead > 10  # dead columns were met


def test_with_signs_a_column_of_sum_zero_need_not_vanish():
    chain = [[[Fraction(1)], [Fraction(-1)]], [[Fraction(1)]]]
    S, h = transform(chain)
    assert h == [0]
    assert times(*chain) != [[a * h[0] for a in row] for row in times(*S)]
