"""Metric to cosine: at Hilbert distance d the cosine is at least 1 / cosh(d / 2), and this is sharp

**Statement.** Let u, v be nonnegative, not zero, with d = d(u, v) < inf. Then

    cos(u, v) >= 1 / cosh(d / 2),   equivalently   tan(angle / 2) <= tanh(d / 4),

with equality for suitable u, v in every dimension from two on.

**Source:** Kantorovich 1948; Cassels in Watson 1955; Polya and Szego 1925. As an angle: Gustafson 1968; with
r = u / v the cosine of v and D(r) v is at least 2 sqrt(m M) / (m + M), the first antieigenvalue of D(r). In
Hilbert's metric: new here.

**Proof.** On the common support let r_i = u_i / v_i lie in [m, M], M / m = e^d, and let E be the mean with
weights v_i^2 / |v|^2. Then cos(u, v) = E r / sqrt(E r^2). Since (r - m)(M - r) >= 0, E r^2 <= (m + M) E r -
m M. With mu = E r,

    (m + M)^2 mu^2 - 4 m M ((m + M) mu - m M) = ((m + M) mu - 2 m M)^2 >= 0,

so cos^2 = mu^2 / E r^2 >= 4 m M / (m + M)^2 = 1 / cosh(d / 2)^2. Equality holds iff r takes the values m
and M only and mu = 2 m M / (m + M), that is for weights M / (m + M) on m and m / (m + M) on M. At last
tan(angle / 2)^2 = (1 - cos) / (1 + cos) decreases in the cosine, and for cos = 1 / cosh(x) it is tanh(x /
2)^2. []
"""

from fractions import Fraction

import numpy as np
import sympy as sp

from conetheory.theory.cone import cosine_lower_from_diameter, deficit_upper_from_diameter


def cosine2(u, v):
    dot = sum(a * b for a, b in zip(u, v, strict=True))
    return dot**2 / (sum(a * a for a in u) * sum(b * b for b in v))


def test_the_square():
    m, M, mu = sp.symbols("m M mu", positive=True)
    left = (m + M) ** 2 * mu**2 - 4 * m * M * ((m + M) * mu - m * M)
    assert sp.expand(left - ((m + M) * mu - 2 * m * M) ** 2) == 0


def test_the_conversions():
    e = sp.Symbol("e", positive=True)  # e^(d / 4)
    sech = 2 / (e**2 + e**-2)
    assert sp.simplify(sech**2 - 4 * e**4 / (1 + e**4) ** 2) == 0  # M / m = e^d
    tanh = (e - 1 / e) / (e + 1 / e)
    assert sp.simplify((1 - sech) / (1 + sech) - tanh**2) == 0


def test_no_rational_pair_is_below():
    rng = np.random.default_rng(0)
    nearest = 2.0
    for _ in range(2000):
        n = int(rng.integers(2, 5))
        u, v = ([Fraction(int(a)) for a in rng.integers(1, 20, n)] for _ in range(2))
        ratios = [a / b for a, b in zip(u, v, strict=True)]
        R = max(ratios) / min(ratios)
        bound = 4 * R / (1 + R) ** 2
        assert cosine2(u, v) >= bound
        nearest = min(nearest, float(cosine2(u, v) / bound)) if R > 1 else nearest
    assert nearest < 1.001


def test_equality():
    for k in range(2, 30):
        u, v = [Fraction(k), Fraction(k * k)], [Fraction(k), Fraction(1)]
        R = Fraction(k) ** 2
        assert cosine2(u, v) == 4 * R / (1 + R) ** 2
        d = np.log(float(R))
        assert abs(float(cosine_lower_from_diameter(d)) - float(cosine2(u, v)) ** 0.5) < 1e-13
        assert abs(float(deficit_upper_from_diameter(d)) - (1 - float(cosine2(u, v)) ** 0.5)) < 1e-13
