"""Rectified pairs: Monte Carlo, the arc-cosine map, another implementation, invariances, wide simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from conetheory.errors import InputError
from conetheory.theory import randomlayers
from conetheory.theory.randomlayers import RandomLayer, arc_cosine_deficit
from conetheory.theory.rectified import Moments, rectified
from conetheory.theory.relupair import ReluPair, relu_pair_of, relu_pair_step, relu_rate

UNIT = RandomLayer("unit", 1.0, 1.0)  # with one input h = s and eta = s_v - s
DRAWS = 20_000
heights, deficits = st.floats(-1.5, 4), st.floats(0, 2)
shifts = st.floats(-2, 2).map(lambda x: x if abs(x) > 1e-100 else 0.0)  # whose squares are numbers


def pair(*numbers) -> ReluPair:
    return ReluPair(*(np.asarray(x, dtype=float) for x in numbers))


def numbers(state: ReluPair) -> np.ndarray:
    return np.array([state.ones, state.shift, state.deficit])


def monte_carlo(h, eta, eps, keep=None, activations=(1.0,)) -> tuple[np.ndarray, np.ndarray]:
    """The three numbers after a layer of many rows, and their standard errors, from ten batches."""
    rng, found = np.random.default_rng(0), []
    for _ in range(10):
        x, y = rng.standard_normal((2, DRAWS))
        a, b = h + x, h + eta + (1 - eps) * x + np.sqrt(max(0.0, eps * (2 - eps))) * y
        if keep is None:
            a, b = np.maximum(a, 0), np.maximum(b, 0)
        else:
            scale = np.resize(activations, DRAWS)
            products = (np.where(scale > 0, scale * r, -np.inf) for r in (a, b))
            a, b = (r * (p > np.sort(p)[-round(keep * DRAWS)]) for r, p in zip((a, b), products, strict=True))
        found.append(numbers(relu_pair_of(a, b)))
    return np.mean(found, axis=0), np.std(found, axis=0) / 3


@given(heights, shifts, deficits)
def test_against_monte_carlo(h, eta, eps):
    mean, error = monte_carlo(h, eta, eps)
    assert np.all(np.abs(numbers(relu_pair_step(pair(h, eta, eps), UNIT, 1)) - mean) <= 6 * error + 1e-4)


@settings(max_examples=15)
@given(heights, shifts, deficits, st.floats(0.02, 0.9), st.sampled_from([(1.0,), (0.0, 0.5, 1.0, 3.0)]))
def test_thresholds_against_monte_carlo(h, eta, eps, keep, activations):
    """The quantile of a sample moves by about 1/sqrt(draws), which the deficit feels."""
    share = np.mean(np.asarray(activations) > 0)
    keep = 0.9 * keep * share  # more could not pass
    mean, error = monte_carlo(h, eta, eps, keep, activations)
    given = None if activations == (1.0,) else activations
    found = relu_pair_step(pair(h, eta, eps), UNIT, 1, keep=keep, activations=given)
    assert np.all(np.abs(numbers(found) - mean) <= 6 * error + 3e-3)


@given(st.floats(1e-250, 2.0), st.floats(-1, 1))
def test_without_a_mean_it_is_the_arc_cosine_map(eps, ones):
    """Whatever the sums of the vectors are."""
    found = relu_pair_step(pair(ones, 0.3, eps), randomlayers.vanilla(), 100)
    assert float(found.deficit) == pytest.approx(float(arc_cosine_deficit(np.asarray(eps))), rel=1e-13, abs=0)
    assert float(found.ones) == pytest.approx(np.sqrt(1 / np.pi), rel=1e-14)
    assert float(found.shift) == 0


@given(st.floats(-2, 3), st.floats(1e-12, 1.5), st.sampled_from([None, 0.05, 0.4]))
def test_equal_means_are_exchangeable_pairs(h, eps, keep):
    """G/B of `theory.rectified`, written apart for units of a network."""
    one = np.atleast_1d(1.0)
    quantile = {0.05: 1.6448536269514722, 0.4: 0.2533471031357997}
    threshold = 0.0 if keep is None else h + quantile[keep]
    if threshold < 0:
        return
    other = rectified(Moments(h * one, (h**2 + 1) * one, eps * one), threshold)
    found = relu_pair_step(pair(h, 0.0, eps), UNIT, 1, keep=keep)
    assert float(found.deficit) == pytest.approx(other.deficit, rel=1e-6)


@given(heights, shifts, deficits, st.sampled_from([None, 0.3]))
def test_exchanging_the_vectors(h, eta, eps, keep):
    forth = relu_pair_step(pair(h, eta, eps), UNIT, 1, keep=keep)
    back = relu_pair_step(pair(h + eta, -eta, eps), UNIT, 1, keep=keep)
    assert float(back.deficit) == pytest.approx(float(forth.deficit), rel=1e-7, abs=1e-15)
    assert float(back.shift) == pytest.approx(-float(forth.shift), rel=1e-9, abs=1e-15)
    assert float(back.ones) == pytest.approx(float(forth.ones + forth.shift), rel=1e-12)


@given(heights, shifts, deficits)
def test_a_pair_is_possible(h, eta, eps):
    """0 <= eps' <= 1 for nonnegative vectors, s' in [0, 1], and |s_v - s| <= sqrt(2 eps)."""
    found = relu_pair_step(pair(h, eta, eps), UNIT, 1)
    assert 0 <= float(found.deficit) <= 1 + 1e-11  # the documented accuracy
    assert 0 <= float(found.ones) <= 1
    assert abs(float(found.shift)) <= np.sqrt(2 * float(found.deficit)) * (1 + 1e-9)


@given(st.floats(0.05, 3), st.floats(-20, -3))
def test_merged_pairs_fall_by_the_rate(mean, exponent):
    """At the fixed point, whatever the size of the deficit, up to its root."""
    layer = RandomLayer("any", mean, 1.0)
    h, rate = relu_rate(layer, 9)
    state = pair(h / (3 * mean), 0.0, 10.0**exponent)
    moved = relu_pair_step(state, layer, 9)
    assert float(moved.ones) == pytest.approx(float(state.ones), rel=1e-9)
    assert float(moved.deficit / state.deficit) == pytest.approx(rate, rel=10 ** (exponent / 2))


def test_rates():
    """Large means: kappa/n, as without a ReLU; positive below one, negative above; a published factor."""
    assert relu_rate(randomlayers.vanilla(), 50) == (0.0, 1.0)
    assert relu_rate(RandomLayer("m", 0.05, 1.0), 1024)[1] == pytest.approx(0.33, abs=5e-3)
    layer = RandomLayer("m", 2.0, 1.0)
    assert relu_rate(layer, 400)[1] == pytest.approx(randomlayers.rate(layer, 400), rel=1e-12)
    rates = [relu_rate(RandomLayer("m", m, 1.0), 100)[1] for m in (-0.3, -0.05, 0.0, 0.05, 0.3)]
    assert rates == sorted(rates, reverse=True)
    assert rates[1] > 1 > rates[3]


@given(arrays(np.int64, (2, 7), elements=st.integers(-9, 9)).filter(lambda x: bool(x.any(axis=1).all())))
def test_the_state_of_two_vectors(uv):
    u, v = uv.astype(float)
    state = relu_pair_of(u, 3 * v)
    cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
    assert float(state.deficit) == pytest.approx(1 - cosine, abs=1e-14)
    ones = [x.sum() / np.sqrt(7) / np.linalg.norm(x) for x in (u, v)]
    assert float(state.ones) == pytest.approx(ones[0], abs=1e-14)
    assert float(state.shift) == pytest.approx(ones[1] - ones[0], abs=1e-14)
    near = relu_pair_of(u, u + 1e-9 * v)
    w = v - (u @ v) / (u @ u) * u
    assert float(near.deficit) == pytest.approx(0.5e-18 * (w @ w) / (u @ u), rel=1e-4, abs=1e-31)


def test_batches():
    state = pair(*np.random.default_rng(0).uniform(0.1, 0.9, (3, 2, 3)))
    for options in ({}, {"keep": 0.2}, {"keep": 0.2, "activations": [0.0, 1.0, 2.0]}):
        whole = relu_pair_step(state, UNIT, 4, **options)
        single = relu_pair_step(pair(*(x[1, 2] for x in numbers(state))), UNIT, 4, **options)
        np.testing.assert_allclose(numbers(whole)[:, 1, 2], numbers(single), rtol=1e-12)


def test_nothing_lives_and_everything_is_one_ray():
    dead = relu_pair_step(pair(-60.0, 0.0, 0.1), UNIT, 1)
    assert np.isnan(numbers(dead)).all()
    same = relu_pair_step(pair(0.4, 0.0, 0.0), UNIT, 1)
    assert float(same.deficit) == 0
    assert float(same.shift) == 0


@pytest.mark.parametrize(
    "request_",
    [
        lambda: relu_pair_step(pair(0, 0, 2.1), UNIT, 1),
        lambda: relu_pair_step(pair(0, 0, -1e-3), UNIT, 1),
        lambda: relu_pair_step(pair(0, 0, 1), UNIT, 0),
        lambda: relu_pair_step(pair(0, 0, 1), UNIT, 1, keep=1.0),
        lambda: relu_pair_step(pair(0, 0, 1), UNIT, 1, keep=0.5, activations=[-1.0]),
        lambda: relu_pair_step(pair(0, 0, 1), UNIT, 1, keep=0.5, activations=[0.0]),
        lambda: relu_pair_step(pair(0, 0, 1), RandomLayer("flat", 1.0, 0.0), 1),
        lambda: relu_rate(randomlayers.row_stochastic(), 9),
        lambda: relu_pair_of(np.zeros(3), np.ones(3)),
    ],
)
def test_bad_input(request_):
    with pytest.raises(InputError):
        request_()


@pytest.mark.parametrize("keep", [None, 0.1])
def test_a_wide_chain_of_uniform_weights(keep):
    """Weights that are not Gaussian: the central limit; six layers, within what 1200 rows scatter."""
    rng, n, ratios = np.random.default_rng(1), 1200, []
    layer = RandomLayer("uniform", 0.03, 1 / 3)
    u, v = rng.standard_normal((2, n))
    for _ in range(6):
        M = 0.03 + rng.uniform(-1, 1, (n, n))
        expected = relu_pair_step(relu_pair_of(u, v), layer, n, keep=keep)
        u, v = M @ u, M @ v
        u, v = (np.where(x > (0 if keep is None else np.quantile(x, 1 - keep)), x, 0) for x in (u, v))
        ratios.append(float(relu_pair_of(u, v).deficit / expected.deficit))
    assert abs(np.mean(np.log(ratios))) < 0.1
    assert np.max(np.abs(np.log(ratios))) < 0.35
