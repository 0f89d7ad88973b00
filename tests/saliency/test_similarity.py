"""Similarity of maps: against scikit-image and scipy, known answers, the choices of the paper's code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from skimage.feature import hog
from skimage.metrics import structural_similarity

from conetheory.errors import InputError
from conetheory.saliency.similarity import (
    MEASURES,
    PAPER,
    Ssim,
    median_band,
    normalised,
    similarities,
    similarity,
)


def smooth(seed: int, images: int = 3, side: int = 40) -> np.ndarray:
    """Random maps with structure: noise summed along both axes."""
    noise = np.random.default_rng(seed).standard_normal((images, side, side))
    return noise.cumsum(1).cumsum(2)


X, Y = smooth(0), 0.5 * smooth(0) + 0.5 * smooth(1)


def by_hand(x: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((x - np.percentile(x, low)) / (np.percentile(x, high) - np.percentile(x, low)), 0, 1)


@pytest.mark.parametrize("flip", [False, True])
def test_ssim_is_that_of_scikit_image_on_normalised_maps(flip):
    found = similarity(X, Y, "ssim", Ssim(flip=flip))
    for one, x, y in zip(found, X, Y, strict=True):
        options = {"win_size": 5, "data_range": 1.0}
        plain = structural_similarity(by_hand(x, 0.5, 99.5), by_hand(y, 0.5, 99.5), **options)
        turned = structural_similarity(by_hand(x, 0.5, 99.5), by_hand(-y, 0.5, 99.5), **options)
        assert one == pytest.approx(max(plain, turned) if flip else plain, abs=1e-12)


def test_the_papers_ssim_is_inverted_and_of_range_two():
    """`clip((x - P_hi) / (P_lo - P_hi), 0, 1)`, no data_range in scikit-image 0.16: 2 for floats."""
    x, y = X[0], Y[0]
    down = lambda v: by_hand(v, 99.5, 0.5)  # noqa: E731
    expected = max(structural_similarity(down(x), down(z), win_size=5, data_range=2.0) for z in (y, -y))
    assert similarity(x[None], y[None], "ssim", PAPER)[0] == pytest.approx(expected, abs=1e-12)
    assert abs(expected - similarity(x[None], y[None], "ssim")[0]) > 1e-4  # and it matters


def test_ssim_is_two_dimensional():
    """The SSIM of flattened maps, which Quantus takes, is another number."""
    options = {"win_size": 5, "data_range": 1.0}
    shared, *noise = np.random.default_rng(2).standard_normal((3, 1, 40, 40)).cumsum(1)
    pair = shared + 0.5 * noise[0], shared + 0.5 * noise[1]  # smooth along columns only
    x, y = (normalised(one, Ssim()) for one in pair)
    flat = structural_similarity(x[0].ravel(), y[0].ravel(), **options)
    square = structural_similarity(x[0], y[0], **options)
    assert abs(flat - square) > 0.01
    assert similarity(*pair, "ssim", Ssim(flip=False))[0] == pytest.approx(square, abs=1e-12)


def test_rank_correlations_are_scipys():
    for measure, change in (("spearman", lambda v: v), ("abs_spearman", np.abs)):
        found = similarity(X, Y, measure)
        for one, x, y in zip(found, X, Y, strict=True):
            assert one == pytest.approx(spearmanr(change(x).ravel(), change(y).ravel()).statistic, abs=1e-12)


def test_ties_share_their_ranks():
    x, y = np.round(X), np.round(Y / 3)
    assert len(np.unique(x)) < x.size / 4
    assert similarity(x, y, "spearman")[0] == pytest.approx(spearmanr(x[0].ravel(), y[0].ravel()).statistic)


def test_hog_is_the_correlation_of_scikit_images_histograms():
    options = {"orientations": 9, "pixels_per_cell": (4, 4), "cells_per_block": (3, 3)}
    expected = pearsonr(hog(X[1], **options), hog(Y[1], **options)).statistic
    assert similarity(X, Y, "hog")[1] == pytest.approx(expected, abs=1e-12)


def test_hog_has_cells_of_16_pixels_at_224():
    x, y = smooth(3, 1, 224), smooth(4, 1, 224)
    options = {"orientations": 9, "pixels_per_cell": (16, 16)}
    expected = pearsonr(hog(x[0], **options), hog(y[0], **options)).statistic
    assert similarity(x, y, "hog")[0] == pytest.approx(expected, abs=1e-12)


def test_cosine_disregards_the_sign():
    x, y = X[0].ravel(), Y[0].ravel()
    expected = abs(x @ y) / np.sqrt((x @ x) * (y @ y))
    assert similarity(X, Y, "cosine")[0] == pytest.approx(expected)
    assert similarity(X, -Y, "cosine")[0] == pytest.approx(expected)


# ---------------------------------------------------------------- known answers


@pytest.mark.parametrize("measure", MEASURES)
def test_identical_maps_have_similarity_one_whatever_their_scale(measure):
    np.testing.assert_allclose(similarity(X, 7.5 * X, measure), 1.0, atol=1e-9)


def test_independent_noise_has_none():
    x, y = np.random.default_rng(5).standard_normal((2, 8, 96, 96))
    for measure in ("ssim", "spearman", "abs_spearman", "cosine"):
        assert np.abs(similarity(x, y, measure)).max() < 5 / 96, (
            measure
        )  # 5 standard deviations of a correlation
    assert np.abs(similarity(x, y, "hog")).max() < 0.25  # of a few hundred histograms


def test_the_sign_counts_where_it_should():
    """-x: the same to SSIM with its flip, to |values| and to HOG; the opposite to signed ranks."""
    found = dict(zip(MEASURES, similarities(X, -X), strict=True))
    for measure in ("ssim", "abs_spearman", "hog", "cosine"):
        np.testing.assert_allclose(found[measure], 1.0, atol=1e-9)
    np.testing.assert_allclose(found["spearman"], -1.0)
    assert similarity(X, -X, "ssim", Ssim(flip=False)).max() < 0.2


@pytest.mark.parametrize("measure", MEASURES)
def test_constant_maps_have_no_similarity(measure):
    maps = np.concatenate([X[:1], np.zeros((1, 40, 40))])
    found = similarity(maps, maps, measure)
    assert found[0] == pytest.approx(1)
    assert np.isnan(found[1])


def test_maps_that_are_zero_almost_everywhere_are_scaled_by_their_extremes():
    x = np.zeros((1, 40, 40))
    x[0, 3, 4], x[0, 9, 9] = 2.0, 1.0  # both percentiles are zero
    unit = normalised(x, Ssim())
    assert (unit.min(), unit[0, 9, 9], unit.max()) == (0, 0.5, 1)


def test_what_is_not_a_pair_of_maps_is_refused():
    with pytest.raises(InputError, match="one shape"):
        similarity(X, Y[:, :8], "ssim")
    with pytest.raises(InputError, match="compares pictures"):
        similarity(X[0], Y[0], "ssim")
    with pytest.raises(InputError, match="NaN"):
        similarity(X * np.nan, Y, "ssim")
    with pytest.raises(InputError, match="unknown measure"):
        similarity(X, Y, "l2")
    with pytest.raises(InputError, match="larger maps"):
        similarity(X[:, :4], Y[:, :4], "ssim")
    with pytest.raises(InputError, match="larger maps"):
        similarity(X[:, :2], Y[:, :2], "hog")
    for wrong in ({"percentile": 40}, {"window": 4}, {"data_range": 0}):
        with pytest.raises(InputError):
            Ssim(**wrong)


# ---------------------------------------------------------------- medians over images


def test_medians_leave_out_nan_and_their_band_is_the_bootstraps():
    values = np.random.default_rng(0).normal(0.5, 0.1, (2, 3, 25))
    values[0, 0, :5] = np.nan
    medians, bands = median_band(values)
    assert medians.shape == (2, 3)
    assert bands.shape == (2, 3, 2)
    np.testing.assert_array_equal(medians, np.nanmedian(values, -1))
    assert (bands[..., 0] < medians).all()
    assert (medians < bands[..., 1]).all()


def test_the_band_covers_the_true_median():
    rng = np.random.default_rng(1)
    samples = rng.exponential(size=(300, 30))
    _, bands = median_band(samples, resamples=400)
    covered = ((bands[:, 0] <= np.log(2)) & (np.log(2) <= bands[:, 1])).mean()
    assert 0.9 <= covered <= 0.99  # nominally 95%; 300 samples tell it to 1.3%


def test_one_image_has_no_band():
    medians, bands = median_band(np.array([[0.3], [np.nan]]))
    assert medians[0] == 0.3
    assert np.isnan(medians[1])
    assert np.isnan(bands).all()
