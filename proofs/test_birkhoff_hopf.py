"""Birkhoff-Hopf: a nonnegative matrix contracts Hilbert's metric by exactly tanh(Delta / 4)

**Statement.** Let A be a nonnegative m x n matrix without zero rows and columns (dead ones are dropped
first), d(x, y) = log max_{i,j} x_i y_j / (x_j y_i), and Delta(A) = sup { d(A x, A y) : x, y >= 0, not 0 }.
Then

  (a) Delta(A) = max over pairs of columns of d(A e_k, A e_l) = max log(a_ik a_jl / (a_jk a_il));
  (b) sup d(A x, A y) / d(x, y) = tau(A) = tanh(Delta(A) / 4), with tau = 1 where Delta = inf;
  (c) Delta(D A E) = Delta(A) = Delta(A^T) for all positive diagonal D, E;
  (d) tau(A B) <= tau(A) tau(B), so Delta(A_1 ... A_L) <= 4 artanh(prod tau(A_l));
  (e) for all x, y with A x, A y not zero, tanh(d(A x, A y) / 4) <= tau(A) tanh(d(x, y) / 4); for every
      finite distance d(x, y) there are x, y with equality where Delta(A) is finite, n >= 2, and as near to it
      as we like where it is infinite. So Delta(A D B) <= 4 artanh(tau(A) tau(B)) for every positive diagonal
      D, and radii contract as R -> 4 artanh(tau(A) tanh(R / 4)) <= tau(A) R.

**Source:** (a) to (d) Birkhoff 1957, Hopf 1963; rectangular, with zeros: Seneta 1981, p. 108. The proof
follows Eveson and Nussbaum 1995 in the plane, in full; (e) is what it gives before it is made linear in d(x,
y).

**Proof of (a).** For rows i, j the ratio (A x)_i / (A x)_j = sum_k a_ik x_k / sum_k a_jk x_k is a mediant of
the ratios a_ik / a_jk, so it lies between the smallest and the largest of those with x_k > 0. Hence
(A x)_i (A y)_j / ((A x)_j (A y)_i) <= max_k (a_ik / a_jk) max_l (a_jl / a_il), which columns k and l attain.

**Proof of (b), upper bound.** Let x, y have the same zeros, m = min x_i / y_i < M = max x_i / y_i over the
others, R = M / m, d(x, y) = log R. Then u = x - m y and v = M y - x are nonnegative and not zero, (M - m) x
= M u + m v and (M - m) y = u + v. With p = A u, q = A v and s_i = p_i / q_i (rows where both vanish are
left out),

    (A x)_i / (A y)_i = (M s_i + m) / (s_i + 1),

an increasing function of s_i. Let a and b be the smallest and largest s_i: b / a = exp d(p, q) <= exp
Delta. So

    d(A x, A y) = g(log R) - g(0),   g(t) = log(b e^t + 1) - log(a e^t + 1),

and, with z = e^t, alpha = sqrt a, beta = sqrt b,

    g'(t) = z (b - a) / ((z b + 1)(z a + 1))
          = (beta - alpha)/(beta + alpha) * [1 - (z alpha beta - 1)^2 / ((z b + 1)(z a + 1))],

which is at most (beta - alpha) / (beta + alpha) = tanh(log(b / a) / 4) <= tanh(Delta / 4). Integrate over
[0, log R].

**Sharpness.** Let columns k, l attain Delta < inf and put p = A e_k, q = A e_l. The vectors x = w e^h e_k +
e_l and y = w e_k + e_l with w = 1 / sqrt(a b) have d(x, y) = h and d(A x, A y) = g(log w + h) - g(log w), and
the quotient tends to g'(log w) = (beta - alpha) / (beta + alpha) = tanh(Delta / 4) as h -> 0. If Delta =
inf, some row is positive in column k and zero in column l or the reverse (b = inf or a = 0), and g' comes
as near to 1 as we like.

**Proof of (c).** D and E cancel from every cross ratio of (a), and transposition exchanges the names of its
indices. Proof of (d). d(A B x, A B y) <= tau(A) d(B x, B y) <= tau(A) tau(B) d(x, y); then (b) for the
product.

**Proof of (e).** If Delta(A) = inf or d(x, y) = inf, it says d(A x, A y) <= d(x, y), which holds with (b),
or d(A x, A y) <= Delta(A), which is the definition. Else take m, M, R, a, b of (b) and K = b / a <= exp
Delta. If R or K is one, A x and A y are proportional. In general, with y = a,

    exp d(A x, A y) = (K y R + 1)(y + 1) / ((y R + 1)(K y + 1))
                    = 1 + (K - 1)(R - 1) / (K R y + 1 / y + K + R),

and K R y + 1 / y >= 2 sqrt(K R), with equality at y = 1 / sqrt(K R). So exp d(A x, A y) is at most

    1 + (K - 1)(R - 1) / (sqrt K + sqrt R)^2 = ((1 + sqrt(K R)) / (sqrt K + sqrt R))^2,

that is tanh(d(A x, A y) / 4) <= (sqrt K - 1)(sqrt R - 1) / ((sqrt K + 1)(sqrt R + 1)) = tanh(log K / 4)
tanh(d(x, y) / 4), and log K <= Delta. For equality take the columns of the sharpness of (b), x = w R e_k +
e_l, y = w e_k + e_l with w = 1 / sqrt(a b R). Where b = inf or a = 0, (A x)_i / (A y)_i = (w R s_i + 1) / (w
s_i + 1) is R for s_i = inf, one for s_i = 0, and tends to one and to R for other s_i > 0 as w falls to zero
and as it grows: d(A x, A y) tends to log R. With d(x, y) <= Delta(B) for x, y among the images of D B, the
bound for A D B follows; and artanh(tau tanh s) <= tau s as both vanish at 0 and the left side has the slope
tau / (cosh^2 s - tau^2 sinh^2 s) <= tau. []
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from conetheory.theory.cone import birkhoff_rate, product_diameter_upper, projective_diameter

rng = np.random.default_rng(0)


def cross_ratio(A):
    rows = range(len(A))
    columns = range(len(A[0]))
    return max(
        A[i][k] * A[j][m] / (A[j][k] * A[i][m]) for i in rows for j in rows for k in columns for m in columns
    )


def random_matrix(m, n):
    return [[Fraction(int(a)) for a in row] for row in rng.integers(1, 30, (m, n))]


def times(A, x):
    return [sum(a * b for a, b in zip(row, x, strict=True)) for row in A]


def hilbert(x, y):
    """exp d(x, y)."""
    ratios = [a / b for a, b in zip(x, y, strict=True)]
    return max(ratios) / min(ratios)


def test_a_no_pair_of_images_is_farther_apart_than_two_columns():
    for _ in range(200):
        A = random_matrix(3, 4)
        x, y = ([Fraction(int(a)) for a in rng.integers(0, 9, 4)] for _ in range(2))
        if any(x) and any(y):
            assert hilbert(times(A, x), times(A, y)) <= cross_ratio(A)
        assert math.isclose(
            math.log(cross_ratio(A)), projective_diameter(np.asarray(A, float)), rel_tol=1e-13
        )


@pytest.mark.slow
def test_b_the_derivative_and_its_largest_value():
    t = sp.Symbol("t", real=True)
    z, alpha, beta = sp.symbols("z alpha beta", positive=True)
    a, b = alpha**2, beta**2
    g = sp.log(b * sp.exp(t) + 1) - sp.log(a * sp.exp(t) + 1)
    slope = sp.simplify(sp.diff(g, t).subs(t, sp.log(z)))
    largest = (beta - alpha) / (beta + alpha)
    missing = (z * alpha * beta - 1) ** 2 / ((z * b + 1) * (z * a + 1))
    assert sp.simplify(slope - largest * (1 - missing)) == 0
    # tanh(log(b / a) / 4), written in exponentials
    ratio = sp.sqrt(beta / alpha)
    assert sp.simplify((ratio - 1 / ratio) / (ratio + 1 / ratio) - largest) == 0


def test_b_the_plane_of_two_vectors():
    x, y, m, M = sp.symbols("x y m M", positive=True)
    u, v = x - m * y, M * y - x
    assert sp.expand(M * u + m * v - (M - m) * x) == 0
    assert sp.expand(u + v - (M - m) * y) == 0


def test_b_contraction_and_sharpness_in_numbers():
    for _ in range(50):
        A = random_matrix(3, 3)
        root = math.sqrt(cross_ratio(A))
        tau = (root - 1) / (root + 1)
        x, y = ([Fraction(int(a)) for a in rng.integers(1, 30, 3)] for _ in range(2))
        before, after = hilbert(x, y), hilbert(times(A, x), times(A, y))
        assert math.log(after) <= tau * math.log(before) + 1e-12
        best = 0.0
        for k, m in itertools.permutations(range(3), 2):
            s = [row[k] / row[m] for row in A]
            w = Fraction(1 / math.sqrt(max(s) * min(s)))
            x, y = [Fraction(0)] * 3, [Fraction(0)] * 3
            x[k], x[m], y[k], y[m] = w * Fraction(1001, 1000), Fraction(1), w, Fraction(1)
            image = hilbert(times(A, x), times(A, y))
            best = max(best, math.log(image) / math.log(1.001))
        assert tau * (1 - 1e-6) <= best <= tau * (1 + 1e-9)


def test_e_the_identity_and_its_largest_value():
    K, R, y, k, r = sp.symbols("K R y k r", positive=True)
    image = (K * y * R + 1) * (y + 1) / ((y * R + 1) * (K * y + 1))
    assert sp.simplify(image - 1 - (K - 1) * (R - 1) / (K * R * y + 1 / y + K + R)) == 0
    top = ((1 + k * r) / (k + r)) ** 2  # K = k^2, R = r^2, y = 1 / (k r)
    assert sp.simplify(image.subs({K: k**2, R: r**2}).subs(y, 1 / (k * r)) - top) == 0
    half = (1 + k * r) / (k + r)  # tanh(log(half^2) / 4) = (half - 1) / (half + 1)
    product = (k - 1) * (r - 1) / ((k + 1) * (r + 1))
    assert sp.simplify((half - 1) / (half + 1) - product) == 0


def at_most_e(after, diameter, before):
    """tanh(log after / 4) <= tanh(log diameter / 4) tanh(log before / 4), decided in rationals.

    sqrt(after) <= (1 + k r) / (k + r) with k^2, r^2 the others, which is after (k + r)^2 <= (1 + k r)^2, or
    after (K + R) - 1 - K R <= 2 (1 - after) k r; both sides may be negative.
    """
    left, right = after * (diameter + before) - 1 - diameter * before, 2 * (1 - after)
    square = right * right * diameter * before
    return left <= 0 and left * left >= square


def test_e_with_zero_slack():
    """No random pair is above, in rationals; the pair of the proof attains it."""
    for _ in range(300):
        A = random_matrix(3, 3)
        x, y = ([Fraction(int(a)) for a in rng.integers(1, 30, 3)] for _ in range(2))
        assert at_most_e(hilbert(times(A, x), times(A, y)), cross_ratio(A), hilbert(x, y))
    for k, r in itertools.product((2, 3, 7), repeat=2):
        A = [[Fraction(k), Fraction(1)], [Fraction(1), Fraction(k)]]  # a = 1 / k, b = k, and K = k^2
        x, y = [Fraction(r), Fraction(1)], [Fraction(1, r), Fraction(1)]  # w = 1 / r, and R = r^2
        assert hilbert(times(A, x), times(A, y)) == Fraction(1 + k * r, k + r) ** 2
        assert not at_most_e(
            Fraction(1 + k * r, k + r) ** 2 + Fraction(1, 10**9), Fraction(k**2), Fraction(r**2)
        )


def test_c_diagonals_and_transposition_cancel():
    for _ in range(50):
        A = random_matrix(3, 4)
        D, E = rng.integers(1, 99, 3), rng.integers(1, 99, 4)
        scaled = [[int(D[i]) * A[i][k] * Fraction(1, int(E[k])) for k in range(4)] for i in range(3)]
        assert cross_ratio(scaled) == cross_ratio(A) == cross_ratio(list(zip(*A, strict=True)))


def test_d_products():
    for _ in range(50):
        A, B = random_matrix(3, 4), random_matrix(4, 2)
        C = [
            [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*B, strict=True)]
            for row in A
        ]
        roots = [math.sqrt(cross_ratio(M)) for M in (A, B, C)]
        taus = [(r - 1) / (r + 1) for r in roots]
        assert taus[2] <= taus[0] * taus[1] * (1 + 1e-12)
        rates = birkhoff_rate(np.asarray([math.log(cross_ratio(M)) for M in (A, B)]))
        assert math.log(cross_ratio(C)) <= float(product_diameter_upper(rates)) * (1 + 1e-13)


def test_b_is_sharp_for_products_of_two_by_two():
    for a, b in itertools.product((2, 5, 11), repeat=2):
        A, B = [[a, 1], [1, a]], [[b, 1], [1, b]]
        C = [[Fraction(a * b + 1), Fraction(a + b)], [Fraction(a + b), Fraction(a * b + 1)]]
        assert np.array_equal(np.asarray(A) @ np.asarray(B), np.asarray(C, int))
        # sqrt(cross ratio) of [[a, 1], [1, a]] is a: everything is rational, and equal.
        tau = Fraction(a - 1, a + 1) * Fraction(b - 1, b + 1)
        root = C[0][0] / C[0][1]
        assert (root - 1) / (root + 1) == tau
