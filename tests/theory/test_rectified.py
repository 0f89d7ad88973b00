"""Moments of rectified Gaussian pairs: high-precision quadrature, the arc-cosine map, Monte Carlo."""

from __future__ import annotations

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conetheory.errors import InputError
from conetheory.theory.randomlayers import RandomLayer
from conetheory.theory.rectified import Moments, rectified
from conetheory.theory.relupair import ReluPair, relu_pair_step

means = st.floats(-2, 2)
shares = st.floats(1e-12, 2.0)  # of the half gap in the variance


def moments(mean, variance, gap) -> Moments:
    mean, variance, gap = (np.atleast_1d(np.asarray(x, dtype=float)) for x in (mean, variance, gap))
    return Moments(mean, mean**2 + variance, gap)


def by_quadrature(M: float, g: float, t: float) -> float:
    """E (psi(a) - psi(b))^2 / 2 for variance 1, from the definition: a = M + x + y, b = M + x - y."""
    narrow, wide = np.sqrt(g / 2), np.sqrt(1 - g / 2)
    nodes, weights = np.polynomial.legendre.leggauss(60)

    def integral(f, low, high):
        return (high - low) / 2 * np.sum(weights * f((high - low) / 2 * nodes + (high + low) / 2))

    def inner(y):
        def gap(x):
            a, b = M + x + y, M + x - y
            difference = np.where(a > t, a, 0.0) - np.where(b > t, b, 0.0)
            return difference**2 / 2 * np.exp(-((x / wide) ** 2) / 2) / (wide * np.sqrt(2 * np.pi))

        jumps = np.clip([t - M - abs(y), t - M + abs(y)], -12 * wide, 12 * wide)
        edges = [-12 * wide, jumps[0], jumps[1], 12 * wide]  # smooth between the jumps of psi
        pieces = [np.linspace(low, high, 5) for low, high in pairwise(edges)]
        return sum(integral(gap, low, high) for piece in pieces for low, high in pairwise(piece))

    def outer(ys):
        return np.array([inner(y) for y in ys]) * np.exp(-((ys / narrow) ** 2) / 2)

    edges = narrow * np.array([0, 1, 3, 10])
    total = sum(integral(outer, low, high) for low, high in pairwise(edges))
    return 2 * total / (narrow * np.sqrt(2 * np.pi))


@pytest.mark.parametrize(
    ("M", "g", "t"),
    [
        (0, 0.5, 0),
        (0.7, 0.3, 0),
        (-1.2, 1e-3, 0),
        (0.4, 1e-8, 0),
        (0.3, 0.2, 1.0),
        (0, 1e-4, 1.5),
        (1, 1.2, 0.5),
    ],
)
def test_the_gap_is_the_integral_that_defines_it(M, g, t):
    found = rectified(moments(M, 1.0, g), t)
    assert found.gap[0] == pytest.approx(by_quadrature(M, g, t), rel=2e-5)


@given(st.floats(1e-12, 1.0))
def test_without_a_mean_it_is_the_arc_cosine_map(gap):
    """c -> (sqrt(1 - c^2) + c (pi - arccos c)) / pi, with 1 - c carried (mpmath for its deficit)."""
    found = rectified(moments(0.0, 1.0, gap))
    with mpmath.workdps(40):
        c = 1 - mpmath.mpf(gap)
        expected = 1 - (mpmath.sqrt(1 - c**2) + c * (mpmath.pi - mpmath.acos(c))) / mpmath.pi
    assert found.gap[0] / found.second[0] == pytest.approx(float(expected), rel=1e-12)


@given(means, shares, st.floats(0, 2))
def test_moments_are_those_of_a_pair(mean, gap, threshold):
    found = rectified(moments(mean, 1.0, gap), threshold)
    assert found.gap[0] >= 0
    assert found.second[0] >= found.mean[0] ** 2 * (1 - 1e-12)
    assert found.gap[0] <= found.second[0] * (1 + 1e-6)  # E psi(a) psi(b) >= 0


@given(means, shares, st.floats(0, 2), st.floats(1e-3, 1e3))
def test_scaling_the_pair_scales_the_moments(mean, gap, threshold, by):
    one = rectified(moments(mean, 1.0, gap), threshold)
    other = rectified(moments(by * mean, by**2, by**2 * gap), by * threshold)
    for a, b in (
        (other.mean, by * one.mean),
        (other.second, by**2 * one.second),
        (other.gap, by**2 * one.gap),
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-12 * by**2)


@given(st.floats(-2, 3), st.floats(1e-12, 1.9))
def test_it_is_the_step_of_a_relu_pair_of_one_mean(h, gap):
    """`theory.relupair` for a layer whose entries have mean h and variance 1: s' = A/sqrt(B), eps' = G/B."""
    pair = ReluPair(np.array([1.0]), np.array([0.0]), np.array([gap]))
    step = relu_pair_step(pair, RandomLayer("layer", h, 1.0), 1)
    found = rectified(moments(h, 1.0, gap))
    assert found.gap[0] / found.second[0] == pytest.approx(step.deficit[0], rel=1e-8)
    assert found.mean[0] / np.sqrt(found.second[0]) == pytest.approx(step.ones[0], rel=1e-12)


def test_a_large_mean_passes_unchanged():
    found = rectified(moments(50.0, 1.0, 0.3))
    np.testing.assert_allclose([found.mean[0], found.second[0], found.gap[0]], [50, 2501, 0.3], rtol=1e-12)


def test_monte_carlo():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 2_000_000))
    M, V, g, t = 0.3, 2.0, 0.6, 0.8
    pair = [M + np.sqrt(V - g / 2) * x + sign * np.sqrt(g / 2) * y for sign in (1, -1)]
    a, b = (np.where(z > t, z, 0) for z in pair)
    found = rectified(moments(M, V, g), t)
    assert found.mean[0] == pytest.approx(a.mean(), rel=5e-3)
    assert found.second[0] == pytest.approx((a**2).mean(), rel=5e-3)
    assert found.gap[0] == pytest.approx(((a - b) ** 2).mean() / 2, rel=5e-3)


def test_constants_pass_or_are_cut():
    found = rectified(moments([1.0, 1.0, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]), np.array([0.0, 2.0, 0.0]))
    np.testing.assert_array_equal(found.mean, [1, 0, 0])
    np.testing.assert_array_equal(found.gap, 0)


@pytest.mark.parametrize(
    ("gap", "threshold", "message"), [(3.0, 0, "half gap"), (-0.1, 0, "half gap"), (0.1, -1, ">= 0")]
)
def test_what_is_no_pair_is_refused(gap, threshold, message):
    with pytest.raises(InputError, match=message):
        rectified(moments(0.0, 1.0, gap), threshold)
