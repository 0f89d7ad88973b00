"""The walk's functions on numpy and torch, and its estimate of mixing against exact chains."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conetheory.errors import InputError
from conetheory.theory.walk import (
    joined,
    kernel_variances,
    point,
    slowest_mode_estimate,
    thinned_kappa,
    variances,
    walk_step,
)

rng = np.random.default_rng(0)


def test_numpy_and_torch_agree():
    first, second, c = rng.random((3, 4, 3, 2)), rng.random((3, 2, 2)), rng.random(4)
    found = []
    for asarray in (np.asarray, torch.from_numpy):
        six = walk_step(point(asarray(c)), asarray(first), (0.5, 1.0), (2, 1), (1, 0))
        six = joined(six, walk_step(six, asarray(second), (0.5, 0.5), (1, 2)))
        spread, step = variances(six), kernel_variances(asarray(first), asarray(c))
        found.append([np.asarray(x) for x in (six, spread.within, spread.between, step.within, step.between)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_within_and_between_are_sigma():
    six = walk_step(point(rng.random(4)), rng.random((3, 4, 3, 3)))
    c, X, _, XX, _, _ = six[:, :, 0, 0]
    w = c**2 / (c**2).sum()
    mean, second = X / c, XX / c
    spread = variances(six)
    assert spread.within[0, 0, 0] == pytest.approx((w * (second - mean**2)).sum())
    assert spread.between[0, 0, 0] == pytest.approx((w * (mean - (w * mean).sum()) ** 2).sum())


def test_dead_channels_have_no_variance():
    spread = variances(point(np.zeros(3)))
    assert np.isnan(spread.within).all()
    assert np.isnan(spread.between).all()


@pytest.mark.parametrize("side", [14, 28, 56])
@pytest.mark.parametrize("step", [0.1, 1 / 3])
def test_the_slowest_mode_of_a_reflecting_walk(side, step):
    """Second eigenvalue of the matrix of steps to both neighbours, after 30 layers."""
    t = np.diag(np.full(side, 1 - 2 * step)) + step * (np.eye(side, k=1) + np.eye(side, k=-1))
    t[0, 0] = t[-1, -1] = 1 - step
    exact = np.linalg.eigvalsh(np.linalg.matrix_power(t, 30))[-2]
    assert slowest_mode_estimate(side, 30 * 2 * step) == pytest.approx(exact, rel=0.02)


def test_what_has_no_walk():
    for wrong in ((0, 1.0), (14, -1.0), (14, float("nan"))):
        with pytest.raises(InputError, match="a walk a variance"):
            slowest_mode_estimate(*wrong)
    for wrong in ((1.0, 0.0), (1.0, 1.5), (-1.0, 0.5)):
        with pytest.raises(InputError, match="a share is above 0"):
            thinned_kappa(*wrong)
