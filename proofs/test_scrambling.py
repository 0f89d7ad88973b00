"""Scrambling: the paper's Theorem 1 with a rate; what it excludes is the lack of scrambling

**Statement.** (a) For a column-stochastic matrix Z: tau_1(Z) < 1 <=> every two columns are positive in a
common row (Z is scrambling) <=> no two columns are orthogonal. So the case that the paper's Theorem 1
excludes, two orthogonal columns in the limit, is that of a limit Z* with tau_1(Z*) = 1.

(b) Let Z_1, Z_2, ... be column-stochastic and composable, of bounded size, such that for every shape that
occurs infinitely often the matrices of this shape converge, to scrambling limits. Let r be the largest
tau_1 of these limits. Then every two columns of Z_1 ... Z_n differ in l1 by at most 2 prod tau_1(Z_k), and
for every r < s < 1 this is at most c s^n: the products converge to rank one exponentially. The same holds
for appending factors on the left.

(c) Z_n -> Z* alone is not enough: if Z* has orthogonal columns the product need not converge to rank one,
even if every factor is positive; and it may.

(d) Chains that are nonnegative but not stochastic are treated by the h-transform
(proofs/test_h_transform.py) and (b) for the transformed factors; convolutions with local support are not
scrambling, so (b) applies to blocks only.

**Source:** Sixt, Granz, Landgraf 2020, Theorem 1, for convergence; Hajnal 1958 and Dobrushin 1956 for the
tools; the equivalence and the rate: new here (theory.md B3).

**Proof of (a).** tau_1 = 1 - min_{j,k} sum_i min(z_ij, z_ik) (proofs/test_tau1.py). The sum is zero for a
pair iff the supports are disjoint, and a scalar product of nonnegative columns is zero iff their supports are
disjoint.

**Proof of (b).** The difference of columns j, k of the product is Z_1 ... Z_n (e_j - e_k), and e_j - e_k has
sum zero and l1 norm 2; every factor keeps the sum zero and contracts the l1 norm by its tau_1. tau_1 is
continuous (a maximum of finitely many continuous functions, Lipschitz with constant one in the largest
column l1 norm), so limsup tau_1(Z_n) <= r < s, over the finitely many shapes: all but finitely many factors
have tau_1 <= s. The argument only uses the order in which factors are applied to a vector, not at which end
new ones are added. For factors added on the right, the columns of the products lie in nested convex hulls
whose diameters tend to zero, so they converge to one vector c, and Z_1 ... Z_n -> c 1^T.

**Proof of (c).** Z_n = [[1 - e_n, e_n], [e_n, 1 - e_n]] has tau_1 = |1 - 2 e_n| and determinant 1 - 2 e_n.
With 2 e_n = 1 / (n + 1)^2 the determinants' product is (n + 2) / (2 (n + 1)) -> 1/2: not of rank one, while
Z_n -> I. With 2 e_n = 1 / (n + 1) it is 1 / (n + 1) -> 0. []
"""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from conetheory.theory.ergodicity import chain_tau_1_upper, tau_1
from conetheory.theory.pattern import conv_pattern, scrambling

rng = np.random.default_rng(0)


def stochastic(n, low=0):
    A = rng.integers(low, 4, (n, n)) * rng.integers(0, 2, (n, n)) + np.diag(rng.integers(low, 2, n))
    A[rng.integers(0, n, n), range(n)] += 1
    return [[Fraction(int(a), int(s)) for a, s in zip(row, A.sum(axis=0), strict=True)] for row in A]


def times(A, B):
    columns = list(zip(*B, strict=True))
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in A]


def pairs(A):
    return itertools.combinations(list(zip(*A, strict=True)), 2)


def exact_tau_1(A):
    return max(sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2 for p, q in pairs(A))


def test_a_three_ways_to_say_it():
    seen = set()
    for _ in range(400):
        Z = stochastic(3)
        below = exact_tau_1(Z) < 1
        orthogonal = any(sum(a * b for a, b in zip(p, q, strict=True)) == 0 for p, q in pairs(Z))
        assert below == (not orthogonal) == bool(scrambling(np.asarray(Z, float)))
        seen.add(below)
    assert seen == {True, False}


def test_b_the_bound_at_every_step():
    for _ in range(30):
        limit = stochastic(3)
        product, bound = [[Fraction(int(i == j)) for j in range(3)] for i in range(3)], Fraction(2)
        for n in range(1, 7):
            other, part = stochastic(3), Fraction(1, 2**n)
            Z = [
                [(1 - part) * a + part * b for a, b in zip(r, s, strict=True)]
                for r, s in zip(limit, other, strict=True)
            ]
            # Lipschitz, which is the continuity that the proof uses
            moved = max(
                sum(abs(a - b) for a, b in zip(*c, strict=True))
                for c in zip(zip(*Z, strict=True), zip(*limit, strict=True), strict=True)
            )
            assert abs(exact_tau_1(Z) - exact_tau_1(limit)) <= moved
            product, bound = times(product, Z), bound * exact_tau_1(Z)
            assert 2 * exact_tau_1(product) <= bound


def test_b_the_rate():
    """With a scrambling limit the distance falls below c s^n; in the code, too."""
    limit = [[Fraction(1, 2), Fraction(1, 4)], [Fraction(1, 2), Fraction(3, 4)]]
    r, s = exact_tau_1(limit), Fraction(3, 10)
    assert r == Fraction(1, 4)
    product, factors, largest = limit, [], Fraction(0)
    for n in range(1, 30):
        e = Fraction(1, (n + 3) ** 2)
        Z = [[limit[0][0] + e, limit[0][1]], [limit[1][0] - e, limit[1][1]]]
        product = times(product, Z)
        factors.append(np.asarray(Z, float))
        largest = max(largest, exact_tau_1(product) / s**n)
    assert exact_tau_1(product) / s**29 < largest / 10
    assert float(chain_tau_1_upper(factors)) >= float(exact_tau_1(product))


def test_c_orthogonal_limits_decide_nothing():
    for power, expected in ((2, lambda n: Fraction(n + 2, 2 * (n + 1))), (1, lambda n: Fraction(1, n + 1))):
        product = [[Fraction(1), Fraction(0)], [Fraction(0), Fraction(1)]]
        for n in range(1, 40):
            e = Fraction(1, 2 * (n + 1) ** power)
            product = times(product, [[1 - e, e], [e, 1 - e]])
            determinant = product[0][0] * product[1][1] - product[0][1] * product[1][0]
            assert determinant == expected(n)
            assert exact_tau_1(product) == determinant


def test_d_a_convolution_is_not_scrambling():
    Z = conv_pattern(np.ones((2, 2, 3, 3)), (6, 6), padding=1).toarray().astype(float)
    Z /= Z.sum(axis=0)
    verdict = scrambling(Z)
    assert not verdict
    assert Z[:, verdict.columns[0]] @ Z[:, verdict.columns[1]] == 0
    assert float(tau_1(Z)) == pytest.approx(1, abs=1e-15)
    assert scrambling(np.linalg.matrix_power(Z, 5))  # the block is
