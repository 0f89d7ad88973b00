"""Generators: the worst pair of any two members of a cone is a pair of its generators

**Statement.** Let p_1, ..., p_n be vectors with <p_k, p_l> >= c |p_k| |p_l| for all k, l and some c >= 0.
Then <u, v> >= c |u| |v| for all u = sum x_k p_k, v = sum y_l p_l with x, y >= 0. So for a nonnegative
matrix P the smallest cosine of any two images of nonnegative starts is the smallest cosine of two of its
columns: one pass for each class settles whether any two mixtures of classes can get different maps.

**Source:** close to Orlitzky 2020, on maximal angles between cones where they are not obtuse; the proof here
is elementary and for any set of generators.

**Proof.** Normalise |p_k| = 1 (put the lengths into x and y). Then <u, v> = sum x_k y_l <p_k, p_l> >= c sum
x_k sum y_l, and |u| <= sum x_k, |v| <= sum y_l by the triangle inequality. As c >= 0, <u, v> >= c |u| |v|.
Columns of a nonnegative matrix have nonnegative cosines, so c can be their smallest one, which a pair of
columns attains. []

c >= 0 is needed: for c < 0 the last step fails, and so does the statement (second test).
"""

import itertools
from fractions import Fraction

import numpy as np

from conetheory.theory.worstpair import worst_pair_cosine


def signed_square(u, v):
    """sign(cos) cos^2, rational and increasing in the cosine."""
    dot = sum(a * b for a, b in zip(u, v, strict=True))
    return dot * abs(dot) / Fraction(sum(a * a for a in u) * sum(b * b for b in v))


def mixtures(P, x):
    return [sum(a * b for a, b in zip(row, x, strict=True)) for row in P]


def test_no_mixture_is_worse_than_the_worst_pair():
    rng = np.random.default_rng(0)
    touched = 0
    for _ in range(500):
        # Columns around a common direction with signs: the statement does not need nonnegative entries.
        P = rng.integers(-4, 8, (4, 3)) + np.asarray([[6], [0], [3], [0]])
        columns = [[int(a) for a in column] for column in P.T]
        worst = min(signed_square(u, v) for u, v in itertools.combinations(columns, 2))
        if worst < 0:
            continue
        x, y = rng.integers(0, 4, (2, 3)).tolist()
        if any(x) and any(y):
            cosine = signed_square(mixtures(P.tolist(), x), mixtures(P.tolist(), y))
            assert cosine >= worst
            touched += cosine == worst
    assert touched > 0  # attained, so no larger constant will do


def test_a_negative_constant_is_not_enough():
    # Three directions in the plane, 120 degrees or so apart: the sum of two is opposite to the third.
    P = [[10, -5, -5], [0, 9, -9]]
    worst = min(signed_square(u, v) for u, v in itertools.combinations(zip(*P, strict=True), 2))
    u, v = mixtures(P, [1, 1, 0]), mixtures(P, [0, 0, 1])
    assert -1 < worst < 0
    assert signed_square(u, v) == -1


def test_the_function_finds_the_pair():
    rng = np.random.default_rng(1)
    for _ in range(50):
        P = rng.integers(1, 9, (3, 5))
        found = worst_pair_cosine(P.astype(float))
        columns = P.T.tolist()
        worst = min(signed_square(u, v) for u, v in itertools.combinations(columns, 2))
        pair = signed_square(columns[int(found.first)], columns[int(found.second)])
        assert abs(float(pair - worst)) < 1e-14
        assert abs(float(found.cosine) ** 2 - worst) < 1e-14
