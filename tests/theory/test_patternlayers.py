"""Correlation, rate and singular values of a layer of PatternAttribution."""

from __future__ import annotations

import numpy as np
import pytest

from conetheory.errors import InputError
from conetheory.theory.patternlayers import pattern_layer


def test_statistics_of_a_layer():
    rng = np.random.default_rng(0)
    W, noise = rng.standard_normal((2, 400, 600))
    c = 0.5
    A = c * W + np.sqrt(1 - c * c) * noise
    A[0] = 0  # a unit without a pattern does not count, and the scale of the others does not matter
    A[1:] *= rng.lognormal(size=(399, 1))
    layer = pattern_layer(W, A)
    assert layer.correlation == pytest.approx(c, abs=0.01)
    assert layer.kappa == pytest.approx(5, rel=0.05)
    assert layer.rate == pytest.approx(layer.kappa / 400)
    assert layer.centre == layer.summed
    sigma = np.linalg.svd(W * A, compute_uv=False)
    assert layer.centre == pytest.approx(sigma[:2], rel=1e-9)
    assert layer.ratio == pytest.approx((sigma[1] / sigma[0]) ** 2, rel=1e-9)


def test_the_taps_of_a_convolution():
    W, A = np.random.default_rng(1).standard_normal((2, 5, 4, 3, 3))
    layer = pattern_layer(W, A)
    for found, M in ((layer.centre, (W * A)[:, :, 1, 1]), (layer.summed, (W * A).sum((2, 3)))):
        assert found == pytest.approx(np.linalg.svd(M, compute_uv=False)[:2], rel=1e-9)
    assert layer.weights == pytest.approx(np.linalg.svd(W[:, :, 1, 1], compute_uv=False)[:2], rel=1e-9)
    assert layer.patterns == pytest.approx(np.linalg.svd(A[:, :, 1, 1], compute_uv=False)[:2], rel=1e-9)
    assert layer.fan == 45
    uncorrelated = pattern_layer(W, -W)
    assert not uncorrelated.rate
    assert "not positive" in uncorrelated.rate.reason
    with pytest.raises(InputError, match="outputs, inputs"):
        pattern_layer(W, A[:4])
