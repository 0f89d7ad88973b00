"""Half-angle theorem: tan(angle / 2) of two nonnegative starts is at most the product of the tau

**Statement.** Let P = A_1 ... A_L be a product of nonnegative matrices, x, y >= 0 with P x, P y != 0. Then

    tan(angle(P x, P y) / 2) <= tau(P) <= tau(A_1) ... tau(A_L) =: T,

so cos >= (1 - T^2) / (1 + T^2) = tanh(R) and 1 - cos <= 2 T^2 / (1 + T^2), R = sum of the rates -log
tau(A_l). Moreover tau(A) is the supremum of the half-angle tangents of two columns over rescalings of rows:

    sup over positive diagonal D of max_{k,l} tan(angle(D A e_k, D A e_l) / 2) = tau(A).

**Source:** new here, from Birkhoff-Hopf and the sech lemma (proofs/test_birkhoff_hopf.py,
test_metric_to_cosine.py).

**Proof.** If tau(P) = 1 there is nothing to show, as the angle of nonnegative vectors is at most a right one.
Otherwise Delta(P) < inf, so d(P x, P y) <= Delta(P) by definition, for all nonnegative x, y, and the sech
lemma gives tan(angle / 2) <= tanh(d / 4) <= tanh(Delta(P) / 4) = tau(P); tau is submultiplicative. With T =
e^-R, (1 - T^2) / (1 + T^2) = tanh(R).

For the second claim: <= is the first one for L = 1 and D A, since tau(D A) = tau(A). For >= let columns p,
q of A attain Delta, at rows i and j where p / q is largest and smallest. Let D have on these two rows the
weights that give equality in the sech lemma, and let it tend to zero on the others: the angle tends to that
of two vectors in the plane at Hilbert distance Delta with equality in the lemma, whose half-angle tangent is
tanh(Delta / 4). If Delta = inf, some row i has p_i > 0 = q_i, and some row j has q_j > 0: with D_i = 1,
D_j = t and t^2 on the others, t -> 0, the angle tends to a right one. []
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import sympy as sp

from conetheory.theory.cone import cosine_lower_from_rates, deficit_upper_from_rates

rng = np.random.default_rng(0)


def times(A, B):
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*B, strict=True)] for row in A
    ]


def cosine2(u, v):
    dot = sum(a * b for a, b in zip(u, v, strict=True))
    return Fraction(dot) ** 2 / (sum(a * a for a in u) * sum(b * b for b in v))


def factor(k):
    """A positive matrix, scaled from entries 1 ... k^2 with (k^2, 1), (1, k^2) in it, and its tau."""
    A = rng.integers(1, k * k + 1, (3, 3))
    A[:2, :2] = [[k * k, 1], [1, k * k]]
    D, E = rng.integers(1, 50, (2, 3))
    order = rng.permutation(3)
    return [[Fraction(int(a)) for a in row] for row in (D[:, None] * A * E)[order]], Fraction(
        k**2 - 1, k**2 + 1
    )


def test_products_of_rational_tau():
    """Everything is rational here, so the theorem is checked without any rounding."""
    for _ in range(300):
        (A, s), (B, t) = factor(int(rng.integers(1, 4))), factor(int(rng.integers(1, 4)))
        T = s * t
        P = times(A, B)
        x, y = ([Fraction(int(a)) for a in row] for row in rng.integers(0, 5, (2, 3)))
        if not (any(x) and any(y)):
            continue
        u, v = ([row[0] for row in times(P, [[a] for a in z])] for z in (x, y))
        assert cosine2(u, v) >= ((1 - T**2) / (1 + T**2)) ** 2
        for k, m in itertools.combinations(range(3), 2):
            columns = list(zip(*P, strict=True))
            assert cosine2(columns[k], columns[m]) >= ((1 - T**2) / (1 + T**2)) ** 2


def test_the_rescaling_that_attains_tau():
    for _ in range(50):
        k = int(rng.integers(2, 5))
        A, tau = factor(k)
        best = Fraction(2)
        for i, j in itertools.permutations(range(3), 2):
            for c, d in itertools.permutations(range(3), 2):
                ratio = A[i][c] * A[j][d] / (A[j][c] * A[i][d])
                if ratio != k**4:
                    continue
                # Weights v^2 in the ratio M : m on the rows where u / v is m and M.
                scale = [Fraction(1, 10**12)] * 3
                scale[i], scale[j] = 1 / (A[i][d] * k * k), 1 / A[j][d]
                columns = list(
                    zip(*[[s * a for a in row] for s, row in zip(scale, A, strict=True)], strict=True)
                )
                best = min(best, cosine2(columns[c], columns[d]))
        bound = ((1 - tau**2) / (1 + tau**2)) ** 2
        assert bound <= best <= bound * (1 + Fraction(1, 10**9))


def test_the_conversion():
    R = sp.Symbol("R", positive=True)
    T = sp.exp(-R)
    assert sp.simplify(((1 - T**2) / (1 + T**2) - sp.tanh(R)).rewrite(sp.exp)) == 0
    rates = np.asarray([0.3, 0.9])
    T = math.exp(-1.2)
    assert math.isclose(cosine_lower_from_rates(rates), (1 - T**2) / (1 + T**2), rel_tol=1e-13)
    assert math.isclose(deficit_upper_from_rates(rates), 2 * T**2 / (1 + T**2), rel_tol=1e-13)
