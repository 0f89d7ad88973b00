"""Power law: on a grid the deficit of random convolutions falls like a power of the depth

**Statement.** Let location weights walk on the d-dimensional periodic grid of N = side^d places, s_(l+1) =
w * s_l, w a probability distribution that is symmetric, a product over axes with variance a > 0 each, and
has no frequency with |w^(k)| = 1 but k = 0. Let s_0 have independent entries of mean mu and variance 1, v_l
= Var s_l(p) and u_l the variance of its derivative along one axis (half the difference of the neighbours).
Then

    v_l = (1/N) sum_k w^(k)^(2 l),      u_l = (1/N) sum_k sin^2(k_1) w^(k)^(2 l),

and on an infinite grid, as l grows, v_l ~ (4 pi a l)^(-d/2) and u_l / v_l ~ 1/(2 a l). With conv-two-scales
the deficit of two starts is to leading order (kappa a' / 2 n) |grad s_x/s_x - grad s_y/s_y|^2, a' from the
taps' second moments, so that its scale is u_l / v_l ~ l^-1 for mu = 0, where s itself is of the size
sqrt(v_l), and u_l / mu^2 ~ l^-(1 + d/2) for mu != 0 once v_l << mu^2. On a grid of finite side both hold
while l a << side^2; beyond, the frequency 2 pi/side alone is left: for mu != 0 (and for mu = 0 the mean of
s_0 that was drawn takes its place) u_l falls exponentially at the rate w^(2 pi/side)^2 a layer, so the
crossover is at l of the order of side^2.

**Source:** new here; the local limit theorem for random walks.

**Proof.** Convolution multiplies frequencies; Parseval gives v_l and, the derivative multiplying by i sin
k_1, u_l. For an infinite grid the sums are integrals over [-pi, pi]^d / (2 pi)^d. Away from k = 0 |w^| <= q
< 1 contributes O(q^(2 l)); near it w^(k) = 1 - a |k|^2/2 + O(k^4), so w^(2 l) -> exp(-a l |k|^2): int
exp(-a l k^2) dk/(2 pi) = (4 pi a l)^(-1/2) an axis, and the mean of k_1^2 under this Gaussian is 1/(2 a l).
The deficit is kappa/(2 n) sum (t_x - t_y)^2 with t(delta) = w(delta) s(p + delta)/s'(p), and s(p + delta) =
s(p) + delta.grad s + ..., whose corrections are of relative order 1/l. With finite side the sum over k != 0
is dominated by the smallest frequencies when a l (2 pi/side)^2 >> 1. []

**What is no theorem.** That medians over locations follow these scales is checked by the recursion itself
(`tests/theory/test_convchains.py`): for mu = 0 the ratio of two Gaussians has no mean, but its median
scales.
"""

import numpy as np
import pytest
import sympy as sp

SIDE, A = 2048, 2 / 3  # three equal taps


def transfer(side):
    """w^ of three equal taps at the frequencies of a ring, and the frequencies."""
    k = 2 * np.pi * np.fft.fftfreq(side)
    return (1 + 2 * np.cos(k)) / 3, k


def moments(side, layers, dimensions):
    """v_l and u_l from the sums: a product over axes."""
    w, k = transfer(side)
    one, slope = np.mean(w ** (2 * layers)), np.mean(np.sin(k) ** 2 * w ** (2 * layers))
    return one**dimensions, slope * one ** (dimensions - 1)


def test_the_sums_are_the_variances_of_a_walk():
    """The kernel's own entries: v_l is the sum of its squares, u_l that of its half differences."""
    kernel = np.zeros(64)
    kernel[[-1, 0, 1]] = 1 / 3
    s = np.zeros(64)
    s[0] = 1
    for _ in range(9):
        s = sum(np.roll(s, d) for d in (-1, 0, 1)) / 3
    v, u = moments(64, 9, 1)
    assert v == pytest.approx((s**2).sum(), rel=1e-12)
    assert u == pytest.approx((((np.roll(s, 1) - np.roll(s, -1)) / 2) ** 2).sum(), rel=1e-12)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_both_exponents(dimensions):
    """v ~ (4 pi a l)^(-d/2), u/v ~ 1/(2 a l), with errors of order 1/l."""
    for layers in (50, 500):
        v, u = moments(SIDE, layers, dimensions)
        assert v == pytest.approx((4 * np.pi * A * layers) ** (-dimensions / 2), rel=1 / layers)
        assert u / v == pytest.approx(1 / (2 * A * layers), rel=2 / layers)
    slopes = [np.log(moments(SIDE, 800, dimensions)[1] / moments(SIDE, 400, dimensions)[1]) / np.log(2)]
    assert slopes[0] == pytest.approx(-(1 + dimensions / 2), abs=0.01)


def test_the_crossover_is_at_the_square_of_the_side():
    """Far below it the power law holds, far above it the rate of the smallest frequency."""
    for side in (16, 32, 64):
        early, late = side**2 // 64, side**2
        v, u = moments(side, early, 1)
        assert u / v == pytest.approx(1 / (2 * A * early), rel=0.3)
        ratio = moments(side, late + 1, 1)[1] / moments(side, late, 1)[1]
        w, _ = transfer(side)
        assert ratio == pytest.approx(w[1] ** 2, rel=1e-6)


def test_the_gaussian_integrals():
    k, b = sp.symbols("k", real=True), sp.symbols("b", positive=True)
    whole = sp.integrate(sp.exp(-b * k**2), (k, -sp.oo, sp.oo)) / (2 * sp.pi)
    assert sp.simplify(whole - 1 / sp.sqrt(4 * sp.pi * b)) == 0
    second = sp.integrate(k**2 * sp.exp(-b * k**2), (k, -sp.oo, sp.oo)) / (2 * sp.pi)
    assert sp.simplify(second / whole - 1 / (2 * b)) == 0
