"""tau_1: zero-sum vectors contract by half the largest l1 distance of two columns, signed or not

**Statement.** For every real m x n matrix A, n >= 2 (for n = 1 nothing has the sum zero, and tau_1 is zero),

    max { |A x|_1 : 1^T x = 0, |x|_1 = 1 } = 1/2 max_{j,k} |A e_j - A e_k|_1 =: tau_1(A).

With weights, |x|_d = sum d_i |x_i|, it is max_{j,k} |A (e_j - e_k)|_{d'} / (d_j + d_k). If all columns of B
have the same sum, tau_1(A B) <= tau_1(A) tau_1(B). If A is column-stochastic, tau_1(A) = 1 - min_{j,k} sum_i
min(a_ij, a_ik), at most 1 - sum_i min_j a_ij (Doeblin). If M = alpha Z+ - beta Z- with Z+, Z-
column-stochastic, alpha - beta = 1 and beta >= 0, tau_1(M) <= alpha tau_1(Z+) + beta tau_1(Z-) <= 2 alpha -
1. For alpha > 1 the last value is attained iff for some columns j, k

    the support of Z+_j + Z-_k and that of Z+_k + Z-_j are disjoint,

for instance where all four parts have disjoint supports. Disjoint supports of two columns of M, or of Z+
alone, are not enough (Z+ = Z- = I: M = I, and tau_1 is 1 for every alpha). In a layer's matrix the two parts
of one column never overlap, as a weight is positive or negative; there it says that Z+_j and Z+_k, and Z-_j
and Z-_k, don't meet, as in convolutions for units without a common input. For alpha = 1 it is attained iff
Z+_j and Z+_k don't meet.

**Source:** Dobrushin 1956 for stochastic matrices; signed matrices and weighted norms by the same argument,
new here.

**Proof.** Let x != 0 have sum zero, x = x+ - x- with disjoint supports, s = sum x+ = sum x- = |x|_1 / 2. Put
c_jk = x+_j x-_k / s >= 0. Then sum_k c_jk = x+_j and sum_j c_jk = x-_k, so x = sum c_jk (e_j - e_k), sum
c_jk = s and

    |A x|_1 <= sum c_jk |A (e_j - e_k)|_1 <= s max_{j,k} |A e_j - A e_k|_1 = |x|_1 tau_1(A),

with equality at x = e_j - e_k for the worst pair. With weights, sum c_jk (d_j + d_k) = |x|_d, and the same
argument holds with |A (e_j - e_k)|_{d'} <= tau (d_j + d_k). If the columns of B have one common sum, B x has
sum zero with x, so |A B x|_1 <= tau_1(A) |B x|_1 <= tau_1(A) tau_1(B) |x|_1. For vectors p, q of equal sum
one, |p - q|_1 = sum (p_i + q_i - 2 min(p_i, q_i)) = 2 - 2 sum min(p_i, q_i), and min(a_ij, a_ik) >= min_l
a_il. The bound for M is the triangle inequality and tau_1 <= 1. Row by row with p, n for columns of Z+, Z-,

    |alpha (p_ij - p_ik) - beta (n_ij - n_ik)| = |(alpha p_ij + beta n_ik) - (alpha p_ik + beta n_ij)|

is a difference of two nonnegative numbers, at most their sum, and equal to it iff one of them is zero.
Summed over i the right side is 2 (alpha + beta) = 2 (2 alpha - 1), attained iff in every row alpha p_ij +
beta n_ik or alpha p_ik + beta n_ij is zero. []
"""

import itertools
from fractions import Fraction

import numpy as np

from conetheory.theory.ergodicity import doeblin_upper, tau_1, tau_1_signed_upper, tau_1_weighted

rng = np.random.default_rng(0)


def image_norm(A, x, weights=None):
    weights = [1] * len(A) if weights is None else weights
    return sum(
        w * abs(sum(a * b for a, b in zip(row, x, strict=True))) for w, row in zip(weights, A, strict=True)
    )


def exact_tau_1(A):
    n = len(A[0])
    pairs = itertools.combinations(range(n), 2)
    return max(
        (image_norm(A, [(i == j) - (i == k) for i in range(n)]) / 2 for j, k in pairs), default=Fraction(0)
    )


def stochastic(m, n):
    A = rng.integers(0, 6, (m, n))
    A[rng.integers(0, m, n), range(n)] += 1
    return [[Fraction(int(a), int(s)) for a, s in zip(row, A.sum(axis=0), strict=True)] for row in A]


def signed(m, n):
    """No zero entry, so no column is dead (the code leaves dead units out)."""
    A = rng.integers(1, 10, (m, n)) * rng.choice([-1, 1], (m, n))
    return [[Fraction(int(a)) for a in row] for row in A]


def test_all_small_zero_sum_vectors():
    """The maximum over a whole grid of vectors is the maximum over pairs: not above, and attained."""
    grid = [x for x in itertools.product(range(-3, 4), repeat=3) if sum(x) == 0 and any(x)]
    for _ in range(40):
        A = signed(3, 3)
        best = max(image_norm(A, x) / sum(abs(a) for a in x) for x in grid)
        assert best == exact_tau_1(A) == Fraction(float(tau_1(np.asarray(A, float))))


def test_the_decomposition():
    for _ in range(100):
        x = [Fraction(int(a)) for a in rng.integers(-9, 10, 5)]
        x[0] -= sum(x)
        plus, minus = [max(a, 0) for a in x], [max(-a, 0) for a in x]
        s = sum(plus)
        if s == 0:
            continue
        c = [[p * q / s for q in minus] for p in plus]
        rebuilt = [sum(c[i]) - sum(row[i] for row in c) for i in range(5)]
        assert rebuilt == x
        assert sum(map(sum, c)) == s == sum(abs(a) for a in x) / 2
        d = [Fraction(int(a)) for a in rng.integers(1, 9, 5)]
        paid = sum(c[j][k] * (d[j] + d[k]) for j in range(5) for k in range(5))
        assert paid == sum(w * abs(a) for w, a in zip(d, x, strict=True))


def test_weighted():
    grid = [x for x in itertools.product(range(-3, 4), repeat=3) if sum(x) == 0 and any(x)]
    for _ in range(40):
        A = signed(2, 3)
        rows, columns = rng.integers(1, 9, 2).tolist(), rng.integers(1, 9, 3).tolist()
        best = max(
            image_norm(A, x, rows) / sum(d * abs(a) for d, a in zip(columns, x, strict=True)) for x in grid
        )
        found = tau_1_weighted(np.asarray(A, float), np.asarray(rows, float), np.asarray(columns, float))
        assert abs(float(found) - float(best)) < 1e-13


def test_products_and_why_the_sums_must_agree():
    for _ in range(100):
        A = [[Fraction(int(a)) for a in row] for row in rng.integers(-9, 10, (3, 4))]
        B = rng.integers(-9, 10, (4, 3))
        B[0] += 7 - B.sum(axis=0)  # one common sum
        B = [[Fraction(int(b)) for b in row] for row in B]
        C = [
            [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*B, strict=True)]
            for row in A
        ]
        assert exact_tau_1(C) <= exact_tau_1(A) * exact_tau_1(B)
    # Unequal sums: B moves zero-sum vectors out, A = (1, 1) has tau_1 = 0, and their product does not.
    assert exact_tau_1([[Fraction(1), Fraction(1)]]) == 0
    assert exact_tau_1([[Fraction(1), Fraction(2)]]) > 0  # (1, 1) [[1, 2], [0, 0]]


def test_overlap_and_doeblin():
    for _ in range(100):
        A = stochastic(4, 3)
        columns = list(zip(*A, strict=True))
        overlaps = [sum(map(min, p, q)) for p, q in itertools.combinations(columns, 2)]
        assert exact_tau_1(A) == 1 - min(overlaps)
        assert exact_tau_1(A) <= 1 - sum(min(row) for row in A)
        assert Fraction(float(doeblin_upper(np.asarray(A, float)))) >= exact_tau_1(A)


def test_alpha_beta():
    for alpha in (1, 2, 5):
        for _ in range(50):
            plus, minus = stochastic(3, 3), stochastic(3, 3)
            M = [
                [alpha * p - (alpha - 1) * q for p, q in zip(r, s, strict=True)]
                for r, s in zip(plus, minus, strict=True)
            ]
            assert exact_tau_1(M) <= alpha * exact_tau_1(plus) + (alpha - 1) * exact_tau_1(minus)
            assert exact_tau_1(M) <= tau_1_signed_upper(alpha)
        apart = [[alpha, 0], [1 - alpha, 0], [0, alpha], [0, 1 - alpha]]
        assert exact_tau_1([[Fraction(a) for a in row] for row in apart]) == 2 * alpha - 1


def test_when_the_alpha_beta_bound_is_attained():
    """All pairs of supports on three rows, with equal shares: 7^4 pairs of columns, exactly."""
    supports = [set(c) for n in (1, 2, 3) for c in itertools.combinations(range(3), n)]
    attained = {True: 0, False: 0}
    for pj, pk, nj, nk in itertools.product(supports, repeat=4):
        for alpha in (1, 2, Fraction(7, 5)):
            M = [
                [
                    alpha * Fraction(i in p, len(p)) - (alpha - 1) * Fraction(i in n, len(n))
                    for p, n in ((pj, nj), (pk, nk))
                ]
                for i in range(3)
            ]
            apart = pj.isdisjoint(pk) if alpha == 1 else (pj | nk).isdisjoint(pk | nj)
            assert (exact_tau_1(M) == 2 * alpha - 1) == apart
            attained[apart] += 1
    assert min(attained.values()) > 50


def test_disjoint_columns_of_a_layer_alone_do_not_attain_it():
    for alpha in (2, 3):
        eye = np.eye(2)
        M = alpha * eye - (alpha - 1) * eye
        assert tau_1(M) == exact_tau_1([[Fraction(int(a)) for a in row] for row in M]) == 1
        assert tau_1_signed_upper(alpha) == 2 * alpha - 1
