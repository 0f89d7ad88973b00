"""Gaussian law: |cos| of the images of Gaussian starts, from the singular values alone

**Statement.** Let P have singular values s_1 >= s_2 >= ..., v, w be independent N(0, I), W the Gram matrix of
(P v, P w) with eigenvalues mu_1 >= mu_2 > 0, and delta = 2 sqrt(mu_1 mu_2) / (mu_1 - mu_2). Then

  (a) the law of the angle depends on the ratios s_i / s_1 only, and tan(angle) = delta / |sin psi| with psi
  uniform
      on the circle and independent of delta. Hence P(tan(angle) <= x | delta) = (2/pi) arccos(min(1, delta
      / x)) and E[1 - |cos| | delta] = (2/pi) arctan(delta);
  (b) with z_i independent N(0, I_2) and W = sum s_i^2 z_i z_i^T, z_1 may be turned onto the first axis, and
  then
      det W = s_1^2 |z_1|^2 T_22 + det T with T = sum_{i >= 2} s_i^2 z_i z_i^T: nothing is subtracted but in
      det T;
  (c) as S = sum_{i >= 2} (s_i / s_1)^2 -> 0, (1 - |cos|) -> 2 Q / g^2 with Q = sum_{i >= 2} (s_i / s_1)^2
  g_i^2 and
      g, g_i independent N(0, 1); the median is 2 S for one tail value and 2 S / z^2 = 4.396 S, z the third
      quartile of N(0, 1), for a flat tail;
  (d) P(angle > t) <= 2 sqrt(2 S / pi) / tan(t / 2).

**Source:** (a), (b) new here; (c), (d) theory.md B9.

**Proof of (a).** P v = U D V^T v, V^T v is N(0, I), and U does not change angles; a common factor does not
either. For a rotation R of the plane the columns of (v, w) R are again independent N(0, I), and their W is
R^T W R. So W has the law of R^T diag(mu) R with R uniform and independent of mu. With the angle phi of R
and psi = 2 phi, m = (mu_1 + mu_2) / 2, b = (mu_1 - mu_2) / 2: W_11 = m + b cos psi, W_22 = m - b cos psi,
|W_12| = b |sin psi|, so that

    tan(angle)^2 = (W_11 W_22 - W_12^2) / W_12^2 = mu_1 mu_2 / (b sin psi)^2.

|sin psi| is the sine of a uniform angle in [0, pi / 2]: P(|sin psi| >= y) = (2/pi) arccos(y). Last,
|cos| = sin psi / sqrt(sin^2 psi + delta^2), whose mean over [0, pi / 2] is, with c = cos psi,
(2/pi) int_0^1 dc / sqrt(1 + delta^2 - c^2) = (2/pi) arcsin(1 / sqrt(1 + delta^2)) = (2/pi) arctan(1 / delta).

**Proof of (b).** A joint rotation of all z_i keeps their law and the eigenvalues of W. With z_1 = (|z_1|, 0),
det(s_1^2 |z_1|^2 e_1 e_1^T + T) = s_1^2 |z_1|^2 T_22 + det T, and (W_11 - W_22)^2 + 4 W_12^2 = (mu_1 -
mu_2)^2.

**Proof of (c).** By (b), delta^2 = 4 T_22 / (s_1^2 |z_1|^2) (1 + o(1)), and 1 - |cos| = tan^2 / 2 (1 + o(1)),
so the deficit tends to 2 (T_22 / s_1^2) / (|z_1| sin psi)^2, where |z_1| sin psi is N(0, 1) and T_22 /
s_1^2 has the law of Q. One tail value: Q / g^2 = S (g_2 / g)^2, a squared Cauchy variable, of median one.
Flat: Q -> S, and the median of 1 / g^2 is 1 / z^2. (Where the tail vanishes, mu_2 = 0 and the deficit is
zero.)

**Proof of (d).** Let e be the leading left singular vector. tan(angle(P v, e)) = sqrt(Q_v) / |g_v| with Q_v
as in (c) and g_v independent of it. If the angle of the lines of P v and P w exceeds t, one of them is more
than t / 2 from e. And P(|g| < sqrt(Q) / tan(t / 2)) <= sqrt(2/pi) E sqrt(Q) / tan(t / 2) <= sqrt(2 S / pi)
/ tan(t / 2), since the density of |g| is at most sqrt(2/pi) and E sqrt(Q) <= sqrt(E Q) = sqrt(S). Twice
that for two vectors. []
"""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy as sp
from scipy import special, stats

from conetheory.theory.cosine import (
    deficit,
    deficit_tail_bound,
    gaussian_deficit_cdf,
    gaussian_deficit_mean,
    gaussian_deficit_quantile,
    stable_rank_excess,
)


def test_a_the_tangent():
    mu1, mu2, phi = sp.symbols("mu1 mu2 phi", positive=True)
    R = sp.Matrix([[sp.cos(phi), -sp.sin(phi)], [sp.sin(phi), sp.cos(phi)]])
    W = R.T * sp.diag(mu1, mu2) * R
    tangent2 = W.det() / W[0, 1] ** 2
    delta2 = 4 * mu1 * mu2 / (mu1 - mu2) ** 2
    assert sp.simplify(tangent2 - delta2 / sp.sin(2 * phi) ** 2) == 0


def test_a_the_gram_matrix_turns_with_the_pair():
    rng = np.random.default_rng(0)
    P = [[Fraction(int(a)) for a in row] for row in rng.integers(-5, 6, (3, 4))]
    pair = [[Fraction(int(a)) for a in row] for row in rng.integers(-5, 6, (4, 2))]
    R = [[Fraction(3, 5), Fraction(-4, 5)], [Fraction(4, 5), Fraction(3, 5)]]
    P, pair, R = (sp.Matrix(z) for z in (P, pair, R))
    gram, turned = (P * pair).T * (P * pair), (P * pair * R).T * (P * pair * R)
    assert turned == R.T * gram * R
    assert turned.det() == gram.det()
    assert turned.trace() == gram.trace()


@pytest.mark.parametrize("delta", [1e-3, 0.2, 1.0, 30.0])
def test_a_the_two_integrals(delta):
    def cosine(psi):
        return mpmath.sin(psi) / mpmath.sqrt(mpmath.sin(psi) ** 2 + delta**2)

    mean = mpmath.quad(cosine, [0, min(10 * delta, 1), mpmath.pi / 2]) * 2 / mpmath.pi
    assert float(mean) == pytest.approx(1 - 2 / math.pi * math.atan(delta), abs=1e-12)
    psi = (np.arange(10**6) + 0.5) * math.pi / 2 / 10**6
    for x in (delta * 0.9, delta * 1.5, delta * 20):
        share = np.mean(delta / np.sin(psi) <= x)
        assert share == pytest.approx(2 / math.pi * math.acos(min(1, delta / x)), abs=2e-6)


def test_b_the_determinant():
    head, t11, t12, t22 = sp.symbols("head t11 t12 t22")
    W = sp.Matrix([[head + t11, t12], [t12, t22]])
    assert sp.expand(W.det() - (head * t22 + t11 * t22 - t12**2)) == 0
    gap2 = (W[0, 0] - W[1, 1]) ** 2 + 4 * W[0, 1] ** 2
    assert sp.expand(gap2 - (W.trace() ** 2 - 4 * W.det())) == 0


@pytest.mark.parametrize("spectrum", [[1, 1, 1], [3, 2, 1], [1, 0.1, 0.1, 0.02], [1, 1e-3]])
def test_a_b_the_law_is_that_of_the_starts(spectrum):
    """Kolmogorov-Smirnov: 40,000 simulated pairs against the law, at the one percent level."""
    s = np.asarray(spectrum, dtype=float)
    rng = np.random.default_rng(1)
    P = stats.ortho_group.rvs(s.size, random_state=rng) * s @ stats.ortho_group.rvs(s.size, random_state=rng)
    v, w = rng.standard_normal((2, 40000, s.size))
    sample = np.sort(deficit(v @ P.T, w @ P.T))
    levels = sample[::400]
    law = gaussian_deficit_cdf(s, levels).value
    assert np.max(np.abs(law - np.arange(100) / 100)) < 1.63 / 200 + 2e-3
    assert sample.mean() == pytest.approx(gaussian_deficit_mean(s).value, abs=5 * sample.std() / 200)


def test_c_small_tails():
    z = special.ndtri(0.75)
    assert 2 / z**2 == pytest.approx(4.396, abs=5e-4)
    for S in (1e-6, 1e-20):
        one = np.asarray([1.0, math.sqrt(S)])
        flat = np.concatenate([[1.0], np.full(400, math.sqrt(S / 400))])
        assert gaussian_deficit_quantile(one).value == pytest.approx(2 * S, rel=5e-3)
        assert gaussian_deficit_quantile(flat).value == pytest.approx(2 * S / z**2, rel=5e-3)


def test_d_the_tail_bound_holds_and_has_the_right_slope():
    for spectrum in ([1.0, 0.1], [1.0, 0.3, 0.3, 0.3], [1.0] + [0.01] * 50):
        s = np.asarray(spectrum)
        S = stable_rank_excess(s)
        for angle in (0.1, 0.5, 1.0, 1.5):
            law = gaussian_deficit_cdf(s, 1 - math.cos(angle))
            assert 1 - law.value <= deficit_tail_bound(S, angle) + 4 * law.error
    # The slope in 1 / tan is real: for a small flat tail the bound is a bounded factor above the truth.
    s = np.asarray([1.0] + [1e-3] * 50)
    for angle in (0.2, 0.8):
        truth = 1 - gaussian_deficit_cdf(s, 1 - math.cos(angle)).value
        assert 1 < deficit_tail_bound(stable_rank_excess(s), angle) / truth < 5
    assert stats.halfnorm.pdf(0) == pytest.approx(math.sqrt(2 / math.pi))
