"""The diameter of softmax by exact differences, bounds of rollout with zero slack."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch

from conetheory.errors import InputError
from conetheory.theory import attention
from conetheory.theory.cone import projective_diameter


@pytest.fixture(scope="module", autouse=True)
def forty_digits():
    with mpmath.workdps(40):
        yield


def exact(S):
    """The largest difference, in Fractions of the numbers that S holds."""
    F = [[Fraction(float(x)) for x in row] for row in S]
    rows, columns = range(len(F)), range(len(F[0]))
    return max(
        F[i][k] - F[j][k] - F[i][q] + F[j][q] for i in rows for j in rows for k in columns for q in columns
    )


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (3, 5), (5, 3)])
def test_it_is_the_largest_difference(shape):
    rng = np.random.default_rng(sum(shape))
    for scale in (1e-3, 1.0, 300.0):  # exp(300) squared is out of range: no exponential is taken
        S = rng.normal(size=shape) * scale
        found, wanted = float(attention.softmax_diameter(S)), float(exact(S))
        assert abs(found - wanted) <= 4e-16 * 4 * np.abs(S).max()
        assert float(attention.softmax_diameter(torch.from_numpy(S))) == found


def test_it_is_that_of_the_matrix():
    S = np.random.default_rng(0).normal(size=(2, 4, 6))
    A = np.exp(S) / np.exp(S).sum(-1, keepdims=True)
    np.testing.assert_allclose(attention.softmax_diameter(S), projective_diameter(A), rtol=1e-12)


@pytest.mark.parametrize("bound", [0.0, 0.3, 2.0, 50.0, 1e3])
@pytest.mark.parametrize("tokens", [2, 3, 197])
def test_bounds_lie_above_the_exact_ones(tokens, bound):
    """Zero slack, and no more than rounding above."""
    e, n = mpmath.exp(2 * mpmath.mpf(bound)), mpmath.mpf(tokens)
    wide = 2 * mpmath.log(1 + n * e)
    assert wide <= attention.rollout_diameter_upper(tokens, bound) <= wide * (1 + mpmath.mpf(10) ** -14)
    kept = 1 - n / (2 * (1 + (n - 1) * e))
    assert kept <= attention.rollout_tau_1_upper(tokens, bound) <= kept + mpmath.mpf(10) ** -14
    assert attention.softmax_diameter_upper(bound) == 4 * bound


def test_rollout_by_an_adversary():
    """Random heads, and the worst there are, in float64."""
    rng = np.random.default_rng(1)
    for n, b in ((2, 0.5), (6, 1.0)):
        S = rng.uniform(-b, b, (50, 3, n, n))
        S[0] = b
        S[0, :, 0, 1] = S[0, :, 1, 0] = -b
        A = np.exp(S)
        A /= A.sum(-1, keepdims=True)
        R = (A.mean(1) + np.eye(n)) / 2
        upper = attention.rollout_diameter_upper(n, b)
        widths = projective_diameter(R)
        assert widths.max() <= upper * (1 + 1e-13)
        assert widths[0] >= upper * (1 - 1e-13)
        tau = np.abs(R[:, :, None] - R[:, None]).sum(-1).max((1, 2)) / 2
        assert tau.max() <= attention.rollout_tau_1_upper(n, b)


@pytest.mark.parametrize(
    "call",
    [
        lambda: attention.softmax_diameter(np.array([[np.nan, 1.0]])),
        lambda: attention.softmax_diameter(np.array([[np.inf, 1.0]])),
        lambda: attention.softmax_diameter(np.ones(3)),
        lambda: attention.softmax_diameter_upper(-1.0),
        lambda: attention.rollout_diameter_upper(1, 1.0),
        lambda: attention.rollout_diameter_upper(float("nan"), 1.0),
        lambda: attention.rollout_tau_1_upper(float("inf"), 1.0),
        lambda: attention.rollout_tau_1_upper(3, float("nan")),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()
