"""The recursion of random convolutions: its power laws, what it keeps, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from conetheory.errors import InputError
from conetheory.theory.convchains import Walk, walk_layers


def medians(s: np.ndarray, layers: int, n: int = 64) -> np.ndarray:
    blank = np.zeros((len(s), len(s), *s.shape[1:]))
    return np.array([np.median(walk.deficits) for walk in walk_layers(Walk(s, blank), layers, n, 1.0)])


def slope(values: np.ndarray, first: int, last: int) -> float:
    layers = np.log(np.arange(first, last))
    return float(np.polyfit(layers, np.log(values[first - 1 : last - 1]), 1)[0])


@pytest.mark.parametrize(("mean", "exponent"), [(0.0, -1.0), (30.0, -1.5)])
def test_a_power_law_within_a_resolution(mean, exponent):
    """One dimension: l^-1 for zero-mean starts, l^-3/2 for positive ones, while l is well below side^2."""
    rng = np.random.default_rng(0)
    values = medians(mean + rng.standard_normal((8, 1024)), 120)
    assert slope(values, 20, 120) == pytest.approx(exponent, abs=0.15)


def test_then_it_is_exponential():
    """On a small ring the slowest mode decides: the rate is twice its logarithm, (1 + 2 cos(2 pi/side))/3."""
    rng = np.random.default_rng(1)
    side = 12
    values = medians(5 + rng.standard_normal((4, side)), 60)
    rate = np.log(values[-1] / values[-11]) / 10
    assert rate == pytest.approx(2 * np.log((1 + 2 * np.cos(2 * np.pi / side)) / 3), rel=0.02)


def test_equal_walks_have_no_deficit():
    s = np.ones((2, 5, 6))
    (walk,) = walk_layers(Walk(s, np.zeros((2, 2, 5, 6))), 1, 16, 0.5)
    assert np.abs(walk.deficits).max() < 1e-15
    np.testing.assert_allclose(walk.T, 0.5 / 16 / 9)


def test_what_it_refuses():
    with pytest.raises(InputError, match="kappa"):
        next(walk_layers(Walk(np.ones((2, 4)), np.zeros((2, 2, 4))), 1, 4, -1.0))
