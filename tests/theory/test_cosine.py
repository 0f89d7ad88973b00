"""Deficits, certificates and the baseline against many-digit arithmetic and closed forms."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from conetheory.errors import InputError
from conetheory.theory import cosine


@pytest.fixture(scope="module", autouse=True)
def eighty_digits():
    with mpmath.workdps(80):
        yield


def many_digits(x, y):
    x, y = ([mpmath.mpf(float(a)) for a in v] for v in (x, y))
    dot = mpmath.fdot(x, y)
    return 1 - abs(dot) / mpmath.sqrt(mpmath.fdot(x, x) * mpmath.fdot(y, y))


def relative_error(values, x):
    pairs = [(i, j) for i in range(len(x)) for j in range(i + 1, len(x))]
    exact = [many_digits(x[i], x[j]) for i, j in pairs]
    return max(float(abs(mpmath.mpf(float(v)) - e) / e) for v, e in zip(values, exact, strict=True))


@pytest.mark.parametrize("exponent", range(0, 31, 3))
@pytest.mark.parametrize("library", [np.asarray, torch.tensor])
def test_deficits_hold_their_digits_down_to_1e_30(exponent, library):
    rng = np.random.default_rng(exponent)
    x = rng.standard_normal(40) + 10.0 ** (-exponent / 2) * rng.standard_normal((5, 40))
    x *= rng.choice([-1, 1], (5, 1)) * np.exp(5 * rng.standard_normal((5, 1)))
    values = np.asarray(cosine.pairwise_deficits(library(x)))
    assert 1e-2 < values.min() / 10.0**-exponent < 10
    # Each residual is off by 2^-77 of its vector (24 and 53 bits): twice that for a chord, four times for its
    # square.
    assert relative_error(values, x) < 1e-14 + 2.0**-75 * 10.0 ** (exponent / 2)


def test_close_pairs_far_from_the_reference_keep_their_digits():
    rng = np.random.default_rng(3)
    center = rng.standard_normal((3, 30))
    x = np.concatenate([c + 1e-9 * rng.standard_normal((3, 30)) for c in center])
    assert relative_error(cosine.pairwise_deficits(x), x) < 1e-12


@pytest.mark.parametrize("scale", [1e-200, 1e-60, 1e-30, 1e30, 1e60, 1e200])
def test_scale_is_no_matter(scale):
    x = np.random.default_rng(0).standard_normal((4, 7))
    np.testing.assert_allclose(
        cosine.pairwise_deficits(x * scale), cosine.pairwise_deficits(x), rtol=1e-14, atol=0
    )
    mixed = x * np.asarray([[1.0], [scale], [1.0], [1 / scale]])
    np.testing.assert_allclose(cosine.pairwise_deficits(mixed), cosine.pairwise_deficits(x), rtol=1e-14)


def test_batches_dead_vectors_and_order():
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 5))
    x[0, 0, 0] = 0
    x[1, 2] = 0
    values = cosine.pairwise_deficits(x)
    assert values.shape == (2, 3, 6)
    assert np.isnan(values[0, 0]).tolist() == [True] * 3 + [False] * 3
    assert np.isnan(values[1, 2]).all()
    assert np.isfinite(values[0, 1]).all()
    for place, (i, j) in enumerate([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]):
        assert float(many_digits(x[1, 1, i], x[1, 1, j])) == pytest.approx(values[1, 1, place], rel=1e-13)
        assert cosine.deficit(x[1, 1, i], x[1, 1, j]) == pytest.approx(values[1, 1, place], rel=1e-13)


def test_known_values():
    x = np.asarray([[1.0, 0, 0], [0, 2, 0], [-3, 0, 0], [1, 1, 0]])
    expected = [1, 0, 1 - 0.5**0.5, 1, 1 - 0.5**0.5, 1 - 0.5**0.5]
    np.testing.assert_allclose(cosine.pairwise_deficits(x), expected, rtol=1e-15)
    assert cosine.pairwise_deficits(x)[1] == 0.0
    float32 = np.asarray(x, dtype=np.float32)
    assert cosine.pairwise_deficits(float32).dtype == np.float64


def test_bad_vectors_are_refused():
    with pytest.raises(InputError, match="not finite"):
        cosine.pairwise_deficits(np.asarray([[1.0, np.nan], [1, 1]]))
    with pytest.raises(InputError, match="vectors, channels"):
        cosine.pairwise_deficits(np.ones(3))


# ---------------------------------------------------------------- certificates


@given(st.lists(st.floats(1e-3, 1), min_size=2, max_size=5), st.floats(0.02, 1.5))
@settings(max_examples=25)
def test_tail_bound(spectrum, angle):
    """Property 12: the exact law never exceeds the bound."""
    s = np.asarray(spectrum)
    bound = cosine.deficit_tail_bound(cosine.stable_rank_excess(s), angle)
    law = cosine.gaussian_deficit_cdf(s, 1 - math.cos(angle))
    assert 1 - law.value - 4 * law.error <= bound <= 1


@given(st.floats(1e-28, 1e-3), st.floats(0.001, 0.999))
def test_the_certificate_inverts_the_tail_bound(S, failure):
    deficit = float(cosine.deficit_upper(S, failure))
    if deficit < 1:
        angle = 2 * math.asin(math.sqrt(deficit / 2))
        assert cosine.deficit_tail_bound(S, angle) == pytest.approx(failure, rel=1e-9)
    exact = mpmath.mpf(S) / 2 / mpmath.erfinv(mpmath.mpf(failure)) ** 2
    assert mpmath.mpf(deficit) >= min(1, 2 * exact / (1 + exact))  # zero slack
    assert deficit <= float(2 * exact / (1 + exact)) * (1 + 1e-13)


@given(st.floats(1e-300, 1e6), st.floats(1e-9, math.pi / 2))
def test_bounds_are_rounded_up(S, angle):
    S_, t = mpmath.mpf(S), mpmath.mpf(angle)
    tail, mean = float(cosine.deficit_tail_bound(S, angle)), float(cosine.deficit_mean_upper(S))
    assert mpmath.mpf(tail) >= min(1, mpmath.erf(mpmath.sqrt(S_ / 2) / mpmath.tan(t / 2)))
    x = mpmath.sqrt(S_ / 2)
    exact = 1 - (mpmath.exp(x * x) * mpmath.erfc(x)) ** 2
    assert exact <= mpmath.mpf(mean) <= 1 + 1e-14


def test_extreme_certificates():
    S = np.asarray([0.0, 1e-300, 1e300, math.inf])
    np.testing.assert_array_equal(cosine.deficit_upper(S, 1e-300), [0, 1, 1, 1])
    assert cosine.deficit_upper(S, 0.05)[1] == pytest.approx(1e-300 / special.erfinv(0.05) ** 2, rel=1e-12)
    np.testing.assert_array_equal(cosine.deficit_mean_upper(S)[[0, 2, 3]], [0, 1, 1])
    np.testing.assert_array_equal(cosine.deficit_tail_bound(S, 0.1)[[0, 2, 3]], [0, 1, 1])


def test_baseline_closed_forms():
    assert cosine.random_baseline_deficit(1) == 0.0
    # Two channels: the angle is uniform. Three: |cos| is uniform (Archimedes).
    assert cosine.random_baseline_deficit(2, 0.3) == pytest.approx(1 - math.cos(0.3 * math.pi / 2), rel=1e-13)
    assert cosine.random_baseline_deficit(3, 0.3) == pytest.approx(0.3, rel=1e-13)
    assert cosine.random_baseline_deficit(3, None) == pytest.approx(0.5, rel=1e-13)
    assert cosine.random_baseline_deficit(2, None) == pytest.approx(1 - 2 / math.pi, rel=1e-13)
    with pytest.raises(InputError):
        cosine.random_baseline_deficit(0)


def test_bad_input_is_refused():
    for q in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(InputError):
            cosine.random_baseline_deficit(4, q)
    with pytest.raises(InputError):
        cosine.deficit_tail_bound(-1.0, 0.1)
    with pytest.raises(InputError):
        cosine.deficit_tail_bound(1.0, 0.0)
    with pytest.raises(InputError):
        cosine.deficit_upper(1.0, 0.0)
