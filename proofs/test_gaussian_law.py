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
  (c) as S = sum_{i >= 2} (s_i / s_1)^2 -> 0, whatever the tails, (1 - |cos|) / S has the law of 2 Q / g^2 up
      to o(1), Q = sum_{i >= 2} (s_i / s_1)^2 g_i^2 / S and g, g_i independent N(0, 1). For every x

          erfc(1 / sqrt x) <= P(2 Q / g^2 <= x) <= (2/pi) arctan(sqrt(x / 2)),

      attained by flat tails of growing length and by one tail value: the median is between 2 S and 2 S / z^2
      = 4.396 S, z the third quartile of N(0, 1);
  (d) P(angle > t) <= erf(sqrt(S / 2) / tan(t / 2)) for every spectrum and 0 < t <= pi / 2, so that the median
      of 1 - |cos| is at most 2 T^2 / (1 + T^2) with T^2 = S / (2 erfinv(1/2)^2) = 2.198 S;
  (e) E[1 - |cos|] <= 1 - erfcx(sqrt(S / 2))^2 <= 2 sqrt(2 S / pi) = 1.596 sqrt(S) for every spectrum,
      erfcx(x) = exp(x^2) erfc(x), and E[1 - |cos|] >= (4/pi - o(1)) sqrt(S) as S -> 0: the mean scales as
      sqrt(S).

There is no hypothesis on P but that it is not zero; where S = 0 the deficit is zero.

**Source:** new here. 1/g^2 is Levy's law, stable of index 1/2.

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

Scale s_1 to one from here on, and write w_i = s_i^2 for i >= 2, so that sum w_i = S.

**Proof of (c).** By (b), delta^2 = 4 T_22 / |z_1|^2 (1 + o(1)), the o(1) in probability and uniform in the
tails since E (T_11 + T_22) = 2 S. And 1 - |cos| = tan^2 / 2 (1 + o(1)), so (1 - |cos|) / S is 2 (T_22 / S) /
(|z_1| sin psi)^2 up to o(1), where |z_1| sin psi is N(0, 1), and T_22 / S has the law of Q and is
independent of it. Given Q = q, P(2 q / g^2 <= x) = P(|g| >= sqrt(2 q / x)) = erfc(sqrt(q / x)), which is
convex in q. E Q = 1, so by Jensen its mean is at least erfc(1 / sqrt x), which is the value for tails so
flat and long that Q -> 1. The mean over Q = sum w_i g_i^2 / S is convex in the weights w / S, hence largest
at a corner of their simplex: one tail value, where Q / g^2 = (g_2 / g)^2 is a squared Cauchy variable, of
median one.

**Proof of (d).** Write P v as g e + x, e the leading left singular vector, g ~ N(0, 1) and x = sum w_i^(1/2)
g_i e_i independent of it, and P w as g' e + x'. The lines of P v and P w are those of e + x / g and e + x' /
g'. If theta is the angle of these two vectors and D = |x / g - x' / g'| their distance, then tan(theta / 2)
<= D / 2: both lie in the plane at distance one from the origin, so the triangle they span with the origin
has an altitude of at least one on the side of length D, and of all triangles with this side and altitude h
the isosceles one has the widest angle, 2 arctan(D / (2 h)). The angle of the lines is at most theta. Given g
and g', x / g - x' / g' is Gaussian with (1 / g^2 + 1 / g'^2) times the covariance of x, so

    P(angle > t) <= P(D / 2 >= tan(t / 2)) = P((1 / g^2 + 1 / g'^2) Q >= 4 tan(t / 2)^2),  Q = sum w_i g_i^2,

Q independent of g and g'. The Laplace transform of 1 / g^2 is exp(-sqrt(2 s)) (Levy), that of the sum of two
is exp(-sqrt(8 s)), so 1 / g^2 + 1 / g'^2 has the law of 4 / g^2, and the right side is

    P(|g| <= sqrt(Q) / tan(t / 2)) = E erf(sqrt(Q / 2) / tan(t / 2)) <= erf(sqrt(S / 2) / tan(t / 2))

by Jensen, as q -> erf(c sqrt q) is concave (its derivative c exp(-c^2 q) / sqrt(pi q) falls) and E Q = S. At
the t with erf(...) = 1/2 the deficit is 1 - cos t = 2 T^2 / (1 + T^2), T = tan(t / 2).

**Proof of (e).** The cosine is (g g' + <x, x'>) / (|P v| |P w|). (x', g') and (-x', g') have one law and the
same lengths. Averaging over both signs, with (|a + b| + |a - b|) / 2 = max(|a|, |b|) >= |a|,

    E|cos| >= E |g g'| / (|P v| |P w|) = (E cos t0)^2,   cos t0 = |g| / sqrt(g^2 + Q).

Given Q = q, E cos t0 = sqrt(2/pi) int_0^oo g exp(-g^2 / 2) / sqrt(g^2 + q) dg = erfcx(sqrt(q / 2)) (put u^2
= g^2 + q), convex in q as every (g^2 + q)^(-1/2) is; so E cos t0 >= erfcx(sqrt(S / 2)). erfcx is convex with
erfcx(0) = 1 and slope -2 / sqrt(pi) there: m = erfcx(sqrt(S / 2)) >= 1 - sqrt(2 S / pi), and 1 - m^2 <= 2 (1
- m). For the lower bound, mu_1 - mu_2 <= mu_1 + mu_2 and (b) give delta >= 2 |z_1| sqrt(T_22) / (|z_1|^2 +
T_11 + T_22). Where |z_1| >= a and T_11 + T_22 <= K S this is at least 2 sqrt(T_22) / |z_1| / (1 + K S /
a^2), and tends to zero with S, so that arctan(delta) >= (1 - o(1)) times it. So E[1 - |cos|] = (2/pi) E
arctan(delta) is at least (1 - o(1)) (4/pi) E[1 / |z_1|; |z_1| >= a] E[sqrt(T_22); T_11 + T_22 <= K S]. As a
-> 0 the first factor tends to E 1 / |z_1| = sqrt(pi / 2). The second is at least E sqrt(T_22) - sqrt(2 / K)
sqrt(S) (Cauchy and Schwarz, Markov), and E sqrt(sum w_i g_i^2), concave in w, is least at a corner of the
simplex: sqrt(2/pi) sqrt(S). []
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
    deficit_mean_upper,
    deficit_tail_bound,
    deficit_upper,
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


SPECTRA = ([1.0, 0.1], [1.0, 1.0], [1.0, 0.3, 0.3, 0.3], [1.0] + [0.01] * 50, [1.0] + [0.9] * 20, [1.0, 1e-8])


def two_values(rho, angle):
    """P(angle > t) for the spectrum (1, rho), many digits: the doubled angle is a wrapped Cauchy variable."""
    r = ((1 - rho) / (1 + rho)) ** 2
    return 1 - 2 / mpmath.pi * mpmath.atan((1 + r) / (1 - r) * mpmath.tan(angle))


def test_c_the_extreme_tails_bound_every_other():
    """P(2 Q / g^2 <= x) = E erfc(sqrt(Q / x)) for random weights: between the flat and the single tail."""
    rng = np.random.default_rng(4)
    squares = rng.standard_normal((200_000, 4)) ** 2
    for _ in range(8):
        weights = rng.dirichlet(np.full(4, 0.4))
        for x in (0.3, 2.0, 20.0):
            sample = special.erfc(np.sqrt(squares @ weights / x))
            scatter = 5 * sample.std() / math.sqrt(len(sample))
            assert special.erfc(1 / math.sqrt(x)) <= sample.mean() + scatter
            assert sample.mean() <= 2 / math.pi * math.atan(math.sqrt(x / 2)) + scatter


def test_d_the_isosceles_triangle_is_the_widest():
    """tan(theta / 2) <= D / 2 for ends a, b in the plane at height one, in rationals: 4 (1 - cos) <= D^2 (1 +
    cos)."""
    rng = np.random.default_rng(5)
    for _ in range(500):
        a, b = ([Fraction(int(k), 7) for k in rng.integers(-30, 31, 3)] for _ in range(2))
        D2 = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
        dot = 1 + sum(x * y for x, y in zip(a, b, strict=True))
        square = (1 + sum(x * x for x in a)) * (1 + sum(x * x for x in b))  # of the product of the lengths
        # cos >= (4 - D^2) / (4 + D^2), compared through squares with their signs
        left, right = dot * abs(dot) / square, (4 - D2) * abs(4 - D2) / (4 + D2) ** 2
        assert left >= right


def test_d_two_levy_variables():
    """exp(-sqrt(2 s)) is the Laplace transform of 1 / g^2, and its square that of 4 / g^2."""
    for s in (0.1, 1.0, 7.0):
        found = mpmath.quad(lambda g, s=s: 2 * mpmath.npdf(g) * mpmath.exp(-s / g**2), [0, 1, 4, 20])
        assert abs(found - mpmath.exp(-mpmath.sqrt(2 * s))) < 1e-12
        assert math.isclose(math.exp(-math.sqrt(2 * s)) ** 2, math.exp(-math.sqrt(2 * 4 * s)), rel_tol=1e-14)


@pytest.mark.parametrize("rho", [1.0 - 2.0**-40, 0.9, 0.3, 1e-3, 1e-9])
@pytest.mark.parametrize("angle", [1e-9, 1e-3, 0.3, 1.0, 1.5, math.pi / 2])
def test_d_two_values_with_zero_slack(rho, angle):
    """Against the exact law, in many digits."""
    with mpmath.workdps(60):
        exact = two_values(mpmath.mpf(rho), mpmath.mpf(angle))
        S = float(mpmath.mpf(rho) ** 2) * (1 + 2.0**-52)
        assert mpmath.mpf(float(deficit_tail_bound(S, angle))) >= exact
        for failure in (0.01, 0.05, 0.5, 0.99):
            upper = mpmath.mpf(float(deficit_upper(S, failure)))
            assert upper == 1 or two_values(mpmath.mpf(rho), mpmath.acos(1 - upper)) <= failure


@pytest.mark.parametrize("rho", [1.0 - 2.0**-40, 0.9, 0.3, 1e-3, 1e-9])
def test_e_two_values_with_zero_slack(rho):
    """E[1 - |cos|] = int sin(t) P(angle > t) dt."""
    with mpmath.workdps(40):
        ends = [0, *(rho * 10**k for k in range(10) if rho * 10**k < 1), mpmath.pi / 2]
        mean = mpmath.quad(lambda t: two_values(mpmath.mpf(rho), t) * mpmath.sin(t), ends)
        S = float(mpmath.mpf(rho) ** 2) * (1 + 2.0**-52)
        assert 1 < deficit_mean_upper(S) / mean < 2


def test_d_the_tail_bound_holds_and_is_sharp_for_flat_tails():
    for spectrum in SPECTRA:
        s = np.asarray(spectrum)
        S = stable_rank_excess(s)
        for angle in (0.1, 0.5, 1.0, 1.5):
            law = gaussian_deficit_cdf(s, 1 - math.cos(angle))
            assert 1 - law.value <= deficit_tail_bound(S, angle) + 4 * law.error
        median = gaussian_deficit_quantile(s)
        assert median.value - 4 * median.error <= deficit_upper(S, 0.5) <= 4.397 * S
    s = np.asarray([1.0] + [1e-4] * 400)
    S = stable_rank_excess(s)
    for angle in (0.01, 0.1):  # the bound is the truth, but for what it rounds and S itself
        truth = 1 - gaussian_deficit_cdf(s, 1 - math.cos(angle)).value
        assert 1 < deficit_tail_bound(S, angle) / truth < 1.02
    assert deficit_upper(1e-12, 0.5) == pytest.approx(2 * 2.19811e-12, rel=1e-5)
    assert deficit_upper(S, 0.5) == pytest.approx(gaussian_deficit_quantile(s).value, rel=5e-3)


def test_d_four_times_tighter_than_one_end_at_a_time():
    """The union bound over both images, 2 sqrt(2 S / pi) / tan(t / 2), certifies four times the deficit."""
    for S, failure in ((1e-12, 0.05), (1e-12, 0.01)):
        square = 8 * S / (math.pi * failure**2)
        assert deficit_upper(S, failure) == pytest.approx(2 * square / (1 + square) / 4, rel=5e-3)


def test_e_the_mean_scales_as_the_root():
    for spectrum in SPECTRA:
        s = np.asarray(spectrum)
        mean = gaussian_deficit_mean(s)
        S = float(stable_rank_excess(s))
        assert mean.value - 4 * mean.error <= deficit_mean_upper(S) <= 2 * math.sqrt(2 * S / math.pi) * 1.0001
    for S in (1e-8, 1e-20):
        one, flat = [1.0, math.sqrt(S)], [1.0] + [math.sqrt(S / 400)] * 400
        means = [float(gaussian_deficit_mean(np.asarray(s)).value) / math.sqrt(S) for s in (one, flat)]
        assert means == pytest.approx([4 / math.pi, 2 * math.sqrt(2 / math.pi)], rel=5e-3)
        assert deficit_mean_upper(S) / math.sqrt(S) == pytest.approx(2 * math.sqrt(2 / math.pi), rel=3e-4)


@pytest.mark.slow
def test_e_the_integral_and_its_convexity():
    q, g = sp.symbols("q g", positive=True)
    assert sp.diff((g**2 + q) ** sp.Rational(-1, 2), q, 2).is_positive
    for value in (1e-6, 0.1, 3.0):
        found = mpmath.quad(
            lambda g, v=value: 2 * mpmath.npdf(g) * g / mpmath.sqrt(g * g + v), [0, value**0.5, 1, 5, 20]
        )
        assert float(found) == pytest.approx(special.erfcx(math.sqrt(value / 2)), rel=1e-12)
