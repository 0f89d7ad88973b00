"""Scrambling: what is true of the paper's Theorem 1, and its rate

The theorem: nonnegative matrices Z_n of bounded size, a limit Z* without zero columns, no two columns of Z*
orthogonal; then Z_1 ... Z_n converges to rank one. It is true of matrices whose columns sum to one, with a
rate; without that it is not.

**Statement.** (a) For a column-stochastic matrix Z: tau_1(Z) < 1 <=> every two columns are positive in a
common row (Z is scrambling) <=> no two columns are orthogonal. So for such matrices the case that the theorem
excludes, two orthogonal columns in the limit, is that of a limit Z* with tau_1(Z*) = 1.

(b) Let Z_1, Z_2, ... be column-stochastic and composable, of bounded size, such that for every shape that
occurs infinitely often the matrices of this shape converge, to scrambling limits. Let r be the largest
tau_1 of these limits. Then every two columns of Z_1 ... Z_n differ in l1 by at most 2 prod tau_1(Z_k), and
for every r < s < 1 this is at most c s^n: the products converge to rank one exponentially. For factors
appended on the left the columns come together as fast, but the products need not converge.

(c) Z_n -> Z* alone is not enough: if Z* has orthogonal columns the product need not converge to rank one,
even if every factor is positive; and it may.

(d) z+ without biases is column-stochastic on live units. Chains that are nonnegative but not stochastic are
treated by the h-transform (proofs/test_h_transform.py): then (b) asks its hypotheses of the *transformed*
factors, which depend on the whole chain, and not of the Z_n. Convolutions with local support are not
scrambling, so (b) applies to blocks only.

(e) Nonnegative matrices without a common column sum, Z_n = Z for all n. The theorem's hypotheses on Z do not
make columns of Z^n merge, nor make the normalised product tend to rank one:

    [[1/2, 1], [0, 1]]                   the columns' cosine tends to 2 / sqrt 5 = 0.894;
    [[1, 1], [0, 1]]                     they merge, with 1 - cos = 1 / (2 n^2) + O(n^-4): no rate s^n, s < 1;
    [[2, 0, 0], [0, 2, 0], [1, 1, 1]]    Z^n / 2^n tends to a matrix of rank two.

What decides are the classes of units that lead to each other (j leads to i where Z_ij > 0). If no two
columns of Z are orthogonal and none is zero, exactly one class K is closed (leads to no other); let rho be
its spectral radius. If all other classes have a smaller one, the angle of every two columns of Z^n tends to
zero geometrically. If one has a larger, there are two columns whose angle does not tend to zero. If none has
a larger and one the same, no rate s^n with s < 1 holds for all columns.

(f) Whatever the column sums: if the limits of (b) are positive and no product is zero, the columns of Z_1 ...
Z_n merge geometrically, with any rate above the largest tau (Birkhoff's) of the limits.

**Source:** Sixt, Granz, Landgraf 2020, Theorem 1, for the hypotheses; Hajnal 1958, Theorem 2, and Dobrushin
1956 for the tools; the equivalence, the rate, (c), (e) and (f): new here.

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
Z_n -> I. With 2 e_n = 1 / (n + 1) it is 1 / (n + 1) -> 0.

**Proof of (e).** The examples: Z^n = [[2^-n, 2 - 2^(1-n)], [0, 1]] and [[1, n], [0, 1]], and the columns of
Z^n / 2^n tend to (1, 0, 1), (0, 1, 1) and 0. From every unit a closed class can be reached. Since any two
columns share a row, any two units have a common successor. So there is one closed class K only, and it is
aperiodic: a unit k of K and its successor k' have a common successor i, and if i leads back to k in m steps,
there are cycles of m + 1 and of m + 2 steps. Hence the block Z_K is primitive. Let u > 0 and v > 0 be its
left and right Perron vectors. For j in K, Z^n e_j / rho^n tends to a positive multiple of v, geometrically.
For another j write Z^n e_j = (x_n, y_n), x_n on K, y_n on the rest; x_(n+1) = Z_K x_n + B y_n.

  All other classes below rho: y_n = O(r^n) for some r < rho. So rho^-n u^T x_n, which grows by rho^-n-1 u^T
  B y_n, and is positive once a walk has reached K, tends to a positive limit geometrically, and so does
  rho^-n x_n to a multiple of v, while rho^-n y_n -> 0.

  Some class above rho: let sigma be the largest radius, and C a class that has it and leads to no other that
  has it. For j in C the part of Z^n e_j on C is Z_C^n e_j; with the left Perron vector w > 0 of Z_C its
  product with w is sigma^n w_j. The classes that C leads to have smaller radii, so that all of Z^n e_j is
  O(sigma^n). The share of C in Z^n e_j so stays above a positive constant, and the angle to the columns of
  K, which tend to v on K, does not tend to zero.

  Some class C at rho, none above: as before the part on C is at least a constant times rho^n, and Z^n e_j is
  at most a constant times n^d rho^n, d the number of classes. The tangent of the angle to v is at least a
  constant times n^-d, while columns of K are within O(r^n), r < 1, of v.

**Proof of (f).** log is continuous where entries are positive, so Delta(Z_n) and tau(Z_n) of a shape
converge to those of its limit: all but finitely many factors have tau(Z_n) <= s for any s above the largest.
The half-angle theorem (proofs/test_half_angle.py) gives tan(angle / 2) <= prod tau(Z_k) <= c s^n. []
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from conetheory.theory.cone import birkhoff_tau, projective_diameter
from conetheory.theory.cosine import deficit as cosine_deficit
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


def power(Z, n):
    result = [[int(i == j) for j in range(len(Z))] for i in range(len(Z))]
    while n:
        result = times(result, Z) if n & 1 else result
        Z, n = times(Z, Z), n >> 1
    return result


def deficit(p, q):
    """1 - cos^2 of two columns, exactly."""
    dot, one, two = (sum(a * b for a, b in zip(x, y, strict=True)) for x, y in ((p, q), (p, p), (q, q)))
    return 1 - Fraction(dot) ** 2 / (Fraction(one) * two)


def test_e_the_examples():
    """They have the hypotheses of the theorem: no zero column, no two columns orthogonal."""
    apart, slow, two = [[1, 2], [0, 2]], [[1, 1], [0, 1]], [[2, 0, 0], [0, 2, 0], [1, 1, 1]]
    for Z in (apart, slow, two):
        assert scrambling(np.asarray(Z, float))
    first, second = zip(*power(apart, 200), strict=True)  # twice the example: the same columns but for 2^n
    assert abs(deficit(first, second) - Fraction(1, 5)) < Fraction(1, 2**190)  # cos^2 = 4 / 5
    for n in (10, 1000):
        first, second = zip(*power(slow, n), strict=True)
        assert deficit(first, second) == Fraction(1, n * n + 1)  # 1 - cos is half of it, + O(n^-4)
    limit = np.asarray([[Fraction(a, 2**300) for a in row] for row in power(two, 300)], float)
    np.testing.assert_allclose(limit, [[1, 0, 0], [0, 1, 0], [1, 1, 0]], atol=1e-15)
    assert np.linalg.svd(limit, compute_uv=False)[1] >= 1 - 1e-12


def classes(Z):
    """The classes as lists of units, and which lead to no other."""
    n = len(Z)
    reach = np.linalg.matrix_power(np.asarray(Z, float) + np.eye(n), n) > 0
    groups = {tuple(np.flatnonzero(reach[:, j] & reach[j])) for j in range(n)}
    return [(list(g), set(np.flatnonzero(reach[:, g[0]])) == set(g)) for g in groups]


def test_e_the_radii_of_the_classes_decide():
    """Random scrambling matrices of whole numbers; powers 400 and 800 in whole numbers."""
    seen = {-1: 0, 0: 0, 1: 0}
    while min(seen.values()) < 15:
        n = int(rng.integers(2, 5))
        Z = np.triu(rng.integers(0, 4, (n, n))) + rng.integers(0, 2) * np.tril(rng.integers(0, 2, (n, n)))
        if not scrambling(Z) or not Z.any(axis=0).all():
            continue
        found = classes(Z)
        (closed,) = (g for g, last in found if last)
        radii = [max(abs(np.linalg.eigvals(Z[np.ix_(g, g)]))) for g, last in found if not last]
        rho = max(abs(np.linalg.eigvals(Z[np.ix_(closed, closed)])))
        excess = max(radii, default=0.0) - rho
        if 1e-6 < abs(excess) < 0.2:
            continue  # too slow to see at these powers
        widest = [
            max(
                float(deficit(p, q))
                for p, q in itertools.combinations(zip(*power(Z.tolist(), m), strict=True), 2)
            )
            for m in (400, 800)
        ]
        seen[int(np.sign(round(excess, 6)))] += 1
        if excess > 1e-6:
            assert min(widest) > 1e-4
            assert widest[1] > widest[0] * 0.9
        elif excess < -1e-6:
            assert widest[0] < 1e-8
            assert widest[1] <= widest[0] ** 2 * 1e12
        else:
            assert widest[1] > widest[0] / 10 > 0  # a power of n: 4 or so for twice the n


def test_f_positive_limits_merge_whatever_their_sums():
    limit = np.asarray([[3.0, 1.0], [1.0, 2.0]])
    product, total = np.eye(2), 1.0
    for n in range(1, 20):
        Z = limit + 1 / (n + 1) ** 2
        product, total = product @ Z, total * float(birkhoff_tau(projective_diameter(Z)))
        u, v = product.T
        tangent = math.sqrt(float(cosine_deficit(u, v)) / (2 - float(cosine_deficit(u, v))))
        assert tangent <= total * (1 + 1e-9) + 1e-15
    assert total < 1e-7


def test_d_a_convolution_is_not_scrambling():
    Z = conv_pattern(np.ones((2, 2, 3, 3)), (6, 6), padding=1).toarray().astype(float)
    Z /= Z.sum(axis=0)
    verdict = scrambling(Z)
    assert not verdict
    assert Z[:, verdict.columns[0]] @ Z[:, verdict.columns[1]] == 0
    assert float(tau_1(Z)) == pytest.approx(1, abs=1e-15)
    assert scrambling(np.linalg.matrix_power(Z, 5))  # the block is
