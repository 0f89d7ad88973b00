"""Local CSC certificate: the cosine of a random pair, with a stated probability

**Statement.** Let P_p != 0 be the rows of a chain at position p (channels x start units), of any linear rule,
S_p the sum of (s_i / s_1)^2 over i >= 2 for its singular values, and v, w independent N(0, I). For every 0 <
q < 1, with probability at least 1 - q,

    1 - |cos(P_p v, P_p w)| <= 2 T^2 / (1 + T^2),   T = sqrt(S_p / 2) / erfinv(q)
    (one pair)

and, for N pairs and positions together, the same with q / N in place of q. Moreover:

  (a) if the columns of P_p have lengths m_k and angles t_k < pi / 2 to any one unit vector c, then
      S_p <= sum m_k^2 sin^2 t_k / sum m_k^2 cos^2 t_k <= tan^2(max t_k);
  (b) for every rank-one matrix a b^T, S_p <= (|P_p - a b^T|_F / s)^2 for every 0 < s <= s_1; with |P_p -
  Q|_F <= e,
      sqrt(S_p) s_1 is at most the same for Q plus e, and s_1 is at least that of Q minus e. So S_p has a
      certified upper bound from a computed matrix and its a-priori error.

There is no hypothesis on limits, depth, or weights; the certificate is for one image, as P_p belongs to it.

**Source:** new here.

**Proof.** Where S = 0 the deficit is zero, and where T >= 1 the bound is one or more. Else t = 2 arctan(T)
lies in (0, pi / 2), and the tail bound P(angle > t) <= erf(sqrt(S / 2) / tan(t / 2)) of the angle of the two
lines (proofs/test_gaussian_law.py, d) is erf(sqrt(S / 2) / T) = q there. The deficit is monotone in the
angle, and 1 - cos(2 arctan T) = 2 T^2 / (1 + T^2). N events: union bound.

(a) s_1^2 >= |c^T P|^2 = sum m_k^2 cos^2 t_k and |P|_F^2 = sum m_k^2, so S = (|P|_F^2 - s_1^2) / s_1^2 is at
most the quotient; it is a weighted mean of tan^2 t_k with weights m_k^2 cos^2 t_k. (b) sqrt(S) s_1 is the
Frobenius distance of P to the matrices of rank at most one (Eckart, Young), which is at most |P - a b^T|_F
and 1-Lipschitz in the Frobenius norm; and |s_1(P) - s_1(Q)| <= |P - Q|_F (Weyl). []
"""

import math

import numpy as np
import pytest
import sympy as sp
from scipy import special

from conetheory.theory.cosine import deficit, deficit_tail_bound, deficit_upper, stable_rank_excess
from conetheory.theory.enclosure import stable_rank_excess_upper

rng = np.random.default_rng(0)


def test_the_inversion():
    T = sp.Symbol("T", positive=True)
    assert sp.simplify(1 - sp.cos(2 * sp.atan(T)) - 2 * T**2 / (1 + T**2)) == 0
    for S, q in ((1e-10, 0.1), (1e-4, 0.5), (1e-24, 1e-3)):
        tangent = math.sqrt(S / 2) / special.erfinv(q)
        assert deficit_upper(S, q) == pytest.approx(2 * tangent**2 / (1 + tangent**2), rel=1e-13)
        assert deficit_tail_bound(S, 2 * math.atan(tangent)) == pytest.approx(q, rel=1e-12)


@pytest.mark.parametrize("q", [0.05, 0.3])
def test_pairs_break_it_more_rarely_than_stated(q):
    """Signed matrices near rank one; 20,000 pairs each: the share above is below q, and not by far."""
    shares = []
    for noise in (1e-1, 1e-3, 1e-6):
        P = np.outer(rng.standard_normal(6), rng.standard_normal(9)) + noise * rng.standard_normal((6, 9))
        bound = deficit_upper(stable_rank_excess(np.linalg.svd(P, compute_uv=False)), q)
        v, w = rng.standard_normal((2, 20000, 9))
        shares.append(np.mean(deficit(v @ P.T, w @ P.T) > bound))
    assert max(shares) <= q
    assert max(shares) > q / 10


def test_a_columns_within_an_angle():
    """Exactly, for two channels: the squared singular values are roots of a quadratic in rationals."""
    for _ in range(300):
        P, c = rng.integers(0, 9, (2, 4)), rng.integers(1, 9, 2)
        lengths2, along2 = (P**2).sum(axis=0), (c @ P) ** 2
        if (along2 == 0).any():
            continue
        c2 = int((c**2).sum())
        mean = sp.Rational(int(lengths2.sum()) * c2 - int(along2.sum()), int(along2.sum()))
        largest = max(
            sp.Rational(int(m) * c2 - int(x), int(x)) for m, x in zip(lengths2, along2, strict=True)
        )
        # S <= mean iff s_1^2 >= |P|^2 / (1 + mean): the characteristic polynomial is <= 0 there, or the
        # level is below the mean of the two eigenvalues.
        total, determinant = int(lengths2.sum()), round(np.linalg.det(P @ P.T))
        level = sp.Rational(total) / (1 + mean)
        assert level**2 - total * level + determinant <= 0 or 2 * level <= total
        assert mean <= largest
        S = stable_rank_excess(np.linalg.svd(P.astype(float), compute_uv=False))
        assert float(S) <= float(mean) * (1 + 1e-12) + 1e-15


def test_b_the_computed_bound_covers_every_matrix_within_the_error():
    for noise, g in ((1e-2, 1e-6), (1e-5, 1e-9), (0.0, 1e-12)):
        Q = np.outer(rng.uniform(1, 2, 5), rng.uniform(1, 2, 7)) * (1 + noise * rng.uniform(-1, 1, (5, 7)))
        upper = float(stable_rank_excess_upper(Q, g))
        for _ in range(50):
            P = Q / (1 + g * rng.choice([-1.0, 1.0], Q.shape))
            S = float(stable_rank_excess(np.linalg.svd(P, compute_uv=False)))
            assert upper >= S
        own = float(stable_rank_excess(np.linalg.svd(Q, compute_uv=False)))
        assert upper <= (math.sqrt(own) + 3 * g * math.sqrt(35)) ** 2 * (1 + 1e-6) + 1e-28
