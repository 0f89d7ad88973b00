"""The law of |cos| for Gaussian starts against closed forms, Imhof's integral and simulation."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special

from conetheory.errors import InputError
from conetheory.theory import cosine
from conetheory.theory.gaussian_law import gaussian_deficit_cdf, live_baseline_deficit
from tests import strategies


def wrapped_cauchy(rho):
    """Median and mean of the deficit for two singular values 1, rho: twice the angle is wrapped Cauchy."""
    r = (1 - rho) / (1 + rho)
    median = 2 * math.sin(math.atan(2 * rho / (1 + rho * rho)) / 2) ** 2
    mean = 1 - (2 / math.pi) * (r + 1 / r) * math.atan(r) if r else 1 - 2 / math.pi
    return median, mean


@pytest.mark.parametrize("rho", [1.0, 0.7, 0.3, 0.1, 1e-2, 1e-3])
def test_two_singular_values(rho):
    median, mean = wrapped_cauchy(rho)
    spectrum = np.asarray([1.0, rho])
    found = cosine.gaussian_deficit_quantile(spectrum)
    assert found.value == pytest.approx(median, rel=5e-3)
    assert abs(found.value - median) < 4 * found.error
    assert cosine.gaussian_deficit_mean(spectrum).value == pytest.approx(mean, rel=3e-3)
    cdf = cosine.gaussian_deficit_cdf(spectrum, np.asarray([0.0, median, 1.0]))
    assert cdf.value[0] == 0
    assert cdf.value[2] == pytest.approx(1, abs=1e-12)
    assert cdf.value[1] == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize("rho", [1.0, 0.3, 1e-3, 1e-6, 1e-9])
def test_the_error_of_the_law_is_no_less_than_it_is_off_by(rho):
    """Deep in the left tail, where no node may lie, and in the right one: five reported errors at most."""
    t = np.concatenate(
        [[0.0], 10.0 ** np.arange(-32, 0, 0.5), [0.1, 0.5, 0.9], 1 - 10.0 ** -np.arange(2, 17, 2)]
    )
    r, angle = ((1 - rho) / (1 + rho)) ** 2, np.arctan2(np.sqrt(t * (2 - t)), 1 - t)
    exact = 2 / math.pi * np.arctan((1 + r) / (1 - r) * np.tan(angle))
    law = cosine.gaussian_deficit_cdf(np.asarray([1.0, rho]), t)
    assert np.all(np.abs(law.value - exact) <= 5 * law.error)
    assert law.error[0] == law.value[0] == 0
    assert np.all(law.error[1:] > 0)
    quantile = cosine.gaussian_deficit_quantile(np.asarray([1.0, rho]), 1e-9)
    tangent = math.tan(math.pi / 2 * 1e-9) * (1 - r) / (1 + r)
    assert abs(quantile.value - tangent**2 / 2) <= 5 * quantile.error


@pytest.mark.parametrize("deficit", [1e-4, 1e-16, 1e-28])
def test_tiny_deficits_scale(deficit):
    spectrum = np.asarray([1.0, math.sqrt(deficit / 2)])
    assert cosine.gaussian_deficit_quantile(spectrum).value == pytest.approx(deficit, rel=5e-3)
    assert cosine.gaussian_deficit_cdf(spectrum, deficit).value == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize("channels", [2, 3, 10, 64, 512])
def test_isotropic_starts_have_the_beta_law(channels):
    spectrum = np.ones(channels)
    for q in (0.05, 0.5, 0.9):
        exact = cosine.random_baseline_deficit(channels, q)
        found = cosine.gaussian_deficit_quantile(spectrum, q)
        assert abs(found.value - exact) < 4 * found.error + 1e-3 * exact
        if q == 0.5:
            assert found.value == pytest.approx(exact, rel=5e-3)
    exact = cosine.random_baseline_deficit(channels, None)
    assert cosine.gaussian_deficit_mean(spectrum).value == pytest.approx(exact, rel=2e-3)


@pytest.mark.parametrize("S", [1e-28, 1e-8, 0.01, 1.0])
def test_flat_tail(S):
    """A long flat tail is deterministic: E|cos| = erfcx(sqrt(S / 2))^2."""
    n = 511
    spectrum = np.concatenate([[1.0], np.full(n, math.sqrt(S / n))])
    mean = cosine.gaussian_deficit_mean(spectrum).value
    exact = 1 - special.erfcx(math.sqrt(S / 2)) ** 2 if S > 1e-20 else math.sqrt(8 * S / math.pi)
    assert mean == pytest.approx(exact, rel=5e-3)
    if S < 1e-3:
        # The sum of two Levy laws of scale one is Levy of scale four: the median of 2 / g^2.
        median = S * 2 / special.ndtri(0.75) ** 2
        assert cosine.gaussian_deficit_quantile(spectrum).value == pytest.approx(median, rel=5e-3)
        assert median / S == pytest.approx(4.396, abs=1e-3)


def imhof_small_s(weights, t):
    """P(2 Q / g^2 <= t), Q = sum w chi^2, by Imhof's integral: another method for the law at small S."""
    terms = np.concatenate([weights, [-t / 2]]) / np.max(weights)

    def integrand(u):
        angle = 0.5 * np.sum(np.arctan(terms * u))
        return math.sin(angle) / (u * np.prod((1 + (terms * u) ** 2) ** 0.25))

    value, _ = integrate.quad(integrand, 0, np.inf, limit=500)
    return 0.5 - value / math.pi


@pytest.mark.parametrize("decay", [0.9, 0.5, 0.2])
def test_small_tails_agree_with_imhof(decay):
    weights = 1e-12 * decay ** np.arange(8)
    spectrum = np.concatenate([[1.0], np.sqrt(weights)])
    for factor in (0.5, 3.0, 20.0):
        t = factor * weights.sum()
        law = cosine.gaussian_deficit_cdf(spectrum, t)
        assert law.value == pytest.approx(imhof_small_s(weights, t), abs=2e-3)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_the_law_is_what_simulation_gives(spectrum, seed):
    s = np.asarray(spectrum)
    v, w = np.random.default_rng(seed).standard_normal((2, 20000, s.size)) * s
    sample = cosine.deficit(v, w)
    for q in (0.25, 0.5, 0.75):
        level = cosine.gaussian_deficit_quantile(s, q).value
        # Five standard deviations of the sample and one percent of the quadrature.
        assert np.mean(sample <= level) == pytest.approx(q, abs=0.02)
    # The mean: the deficit is bounded by one.
    assert np.mean(sample) == pytest.approx(cosine.gaussian_deficit_mean(s).value, abs=0.013)


def test_the_mixture_is_the_law_of_the_pool():
    spectra = np.asarray([[1.0, 0.5, 0.1], [2.0, 2e-3, 1e-3], [0, 0, 0], [1, 0, 0]])
    weights = np.asarray([1.0, 2.0, 5.0, 0.5])
    found = cosine.mixture_deficit_quantile(spectra, 0.5, weights)
    laws = cosine.gaussian_deficit_cdf(spectra[:2], found.value).value
    # Weight 5 is on a dead position, which is left out; the last position is of rank one: deficit zero.
    assert (laws @ weights[:2] + 0.5) / 3.5 == pytest.approx(0.5, abs=2e-3)
    assert cosine.mixture_deficit_quantile(spectra, 0.1, weights).value == 0.0
    alone = cosine.mixture_deficit_quantile(spectra[:1], 0.3)
    assert alone.value == pytest.approx(cosine.gaussian_deficit_quantile(spectra[0], 0.3).value, rel=1e-3)
    with pytest.raises(InputError, match="no position"):
        cosine.mixture_deficit_quantile(np.zeros((2, 3)))
    with pytest.raises(InputError, match="weight"):
        cosine.mixture_deficit_quantile(spectra, 0.5, -weights)


def test_the_mixture_of_several_arrays_is_that_of_one():
    """With dead positions and those of rank one among them; of fewer columns the nodes are others."""
    rng = np.random.default_rng(0)
    spectra = np.concatenate([10.0 ** rng.uniform(-6, 0, (20, 4)), np.zeros((2, 4)), [[1.0, 0, 0, 0]]])
    spectra[7, 3] = 0
    parts = [spectra[:7], spectra[7:8], np.empty((0, 2)), spectra[8:]]
    for q in (0.02, 0.5):
        one, several = (cosine.mixture_deficit_quantile(given, q) for given in (spectra, parts))
        assert several.value == pytest.approx(one.value, rel=1e-9)
        assert several.error == pytest.approx(one.error, rel=1e-6)
        narrow = cosine.mixture_deficit_quantile([*parts[:1], spectra[7:8, :3], *parts[2:]], q)
        assert narrow.value == pytest.approx(one.value, abs=5 * one.error)
    with pytest.raises(InputError, match="one array alone"):
        cosine.mixture_deficit_quantile(parts, 0.5, np.ones(23))


def test_mixture_over_twenty_eight_decades():
    spectra = np.asarray([[1.0, 10.0**-k] for k in range(15)])
    median = cosine.mixture_deficit_quantile(spectra).value
    assert median == pytest.approx(2e-14, rel=0.2)


def test_torch_numpy_batches_and_dead_spectra():
    spectra = np.random.default_rng(0).uniform(0.1, 1, (2, 3, 4))
    spectra[1, 1] = 0
    spectra[0, 0, 1:] = 0
    for function in (
        cosine.gaussian_deficit_quantile,
        cosine.gaussian_deficit_mean,
        lambda s: cosine.gaussian_deficit_cdf(s, 0.1),
    ):
        ours, theirs = function(spectra), function(torch.tensor(spectra))
        assert ours.value.shape == (2, 3)
        assert np.isnan(ours.value).sum() == 1
        assert np.isnan(ours.value[1, 1])
        np.testing.assert_allclose(theirs.value.numpy(), ours.value, rtol=1e-10)
        assert ours.value[0, 0] in (0.0, 1.0)
    scaled = cosine.gaussian_deficit_quantile(spectra[..., ::-1] * 1e-90)
    np.testing.assert_allclose(scaled.value, cosine.gaussian_deficit_quantile(spectra).value, rtol=1e-9)
    levels = cosine.gaussian_deficit_cdf(spectra, np.full((5, 7), 0.2)).value
    assert levels.shape == (2, 3, 5, 7)


@given(strategies.wide_positive(st.integers(1, 6)), st.permutations(range(6)))
def test_stable_rank_excess(s, order):
    exact = [mpmath.mpf(float(x)) for x in s]
    top = max(exact)
    excess = mpmath.fsum((x / top) ** 2 for x in exact) - 1
    shuffled = s[[k for k in order if k < s.size]]
    assert float(cosine.stable_rank_excess(shuffled)) == pytest.approx(float(excess), rel=1e-13)


@pytest.mark.parametrize("spread", [0.02, 0.3])
def test_few_points_err_as_they_say(spread):
    rng = np.random.default_rng(0)
    spectra = np.concatenate([np.ones((20, 1)), spread * rng.uniform(0.2, 1, (20, 9))], 1)
    level = cosine.mixture_deficit_quantile(spectra).value
    few, all_of_them = (gaussian_deficit_cdf(spectra, level, points) for points in (128, 1024))
    assert np.all(np.abs(few.value - all_of_them.value) <= 5 * few.error + 5 * all_of_them.error)
    assert few.error.mean() > 2 * all_of_them.error.mean()
    for points in (0, 3, 2048):
        with pytest.raises(InputError, match="points"):
            gaussian_deficit_cdf(spectra, level, points)


def test_one_value_and_no_spectrum():
    assert cosine.gaussian_deficit_quantile(np.asarray([3.0])).value == 0
    assert cosine.gaussian_deficit_mean(np.asarray([3.0])).value == 0
    assert cosine.gaussian_deficit_cdf(np.asarray([3.0]), 0.0).value == 1
    assert cosine.gaussian_deficit_quantile(np.ones((0, 3))).value.shape == (0,)
    assert cosine.gaussian_deficit_cdf(np.ones((0, 3)), np.zeros(2)).value.shape == (0, 2)


def test_bad_spectra_and_levels_are_refused():
    for bad in ([1.0, -1.0], [1.0, math.inf]):
        with pytest.raises(InputError):
            cosine.stable_rank_excess(np.asarray(bad))
    with pytest.raises(InputError):
        cosine.gaussian_deficit_cdf(np.ones(2), 1.5)
    for q in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(InputError):
            cosine.gaussian_deficit_quantile(np.ones(2), q)
        with pytest.raises(InputError):
            cosine.mixture_deficit_quantile(np.ones((1, 2)), q)


@pytest.mark.parametrize("channels", [2, 3, 7, 500])
def test_live_channels_alike_are_the_baseline(channels):
    pairs = np.zeros(channels + 1)
    pairs[[0, channels]] = 5, 3  # those that are dead don't count
    assert live_baseline_deficit(pairs) == pytest.approx(cosine.random_baseline_deficit(channels), rel=1e-12)


def test_the_median_of_pairs_in_different_numbers_of_channels():
    rng = np.random.default_rng(0)
    pairs = np.array([4, 300, 500, 0, 200])
    deficits = [np.zeros(100 * pairs[1])]
    for channels in (2, 4):
        v, w = rng.standard_normal((2, 100 * pairs[channels], channels))
        cosines = np.abs((v * w).sum(1)) / np.linalg.norm(v, axis=1) / np.linalg.norm(w, axis=1)
        deficits.append(1 - cosines)
    low, high = np.quantile(np.concatenate(deficits), [0.49, 0.51])  # four standard errors of 100,000
    assert low < live_baseline_deficit(pairs) < high


def test_channels_alone_agree():
    assert live_baseline_deficit([7, 5, 5]) == 0.0
    assert 0 < live_baseline_deficit([7, 4, 5]) < 0.1
    assert np.isnan(live_baseline_deficit([7, 0, 0]))
    for wrong in ([1, -1], [1, np.nan], [[1, 2]]):
        with pytest.raises(InputError, match="a number of pairs, zero or more"):
            live_baseline_deficit(wrong)
