"""The band of a median over pairs: its weights, its expansion, and whether it covers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm, t

from conetheory.measure import histogram
from conetheory.measure.bootstrap import expansion, pair_band, pair_weights, scatter
from conetheory.measure.meter import local_deficits
from conetheory.theory.gaussian_law import mixture_deficit_quantile


def test_weights_hold_no_self_pairs():
    """Row 0 counts every pair once; the others multiply how often each of two different vectors was drawn."""
    weights = pair_weights(6, 200, np.random.default_rng(1))
    assert weights.shape == (201, 15)
    assert (weights[0] == 1).all()
    # sum over i < j of n_i n_j = (36 - sum n_i^2) / 2 for 6 draws: a self pair would add to it
    assert (weights.sum(1)[1:] <= 15).all()
    assert weights[1:].mean() == pytest.approx(5 / 6, abs=0.05)  # E n_i n_j = 6 * 5 / 36


@pytest.mark.parametrize("vectors", [3, 4, 5])
def test_scatter_is_that_of_all_resamples(vectors):
    """Every one of the n^n resamples, of which those of a single vector hold no pair."""
    counts = np.array([np.bincount(r, minlength=vectors) for r in product(range(vectors), repeat=vectors)])
    counts = counts[counts.max(1) < vectors]
    weights = counts * (vectors - counts) / (vectors**2 - (counts**2).sum(1, keepdims=True))
    exact = vectors * ((weights - 1 / vectors) ** 2).sum(1).mean()
    assert scatter(vectors) == pytest.approx(exact, rel=0.01)


def test_scatter_for_many_vectors_is_the_first_order():
    assert scatter(60) == pytest.approx(58**2 / (60 * 59), rel=0.005)
    assert scatter(10) < scatter(24) < scatter(60) < 1


def test_a_sum_over_vectors_scatters_in_resamples_as_it_does_in_measurements():
    """Deficits `(h_i + h_j) / 2`, whose mean over pairs is the mean of h: variance 1 / n."""
    n, rng = 10, np.random.default_rng(0)
    first, second = np.triu_indices(n, 1)
    h = rng.standard_normal((2000, n))
    weights = pair_weights(n, 1000, rng)[1:]
    means = weights @ ((h[:, first] + h[:, second]) / 2).T / weights.sum(1, keepdims=True)
    student = t.ppf(0.975, n - 1) / norm.ppf(0.975)
    assert means.var(0).mean() * (expansion(n, 1) / student) ** 2 == pytest.approx(1 / n, rel=0.05)


def histograms(deficits: torch.Tensor, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Of `(images, locations, pairs)`, each image's pairs weighted anew."""
    images, vectors = len(deficits), round((1 + np.sqrt(1 + 8 * deficits.shape[-1])) / 2)
    weights = np.stack([pair_weights(vectors, replicates, rng) for _ in range(images)])
    return np.einsum("irp,ipb->rb", weights, histogram.pair_histograms(deficits).numpy())


@pytest.mark.parametrize(
    ("vectors", "images", "spectrum", "draws"),
    [
        *(pytest.param(n, 1, (1, 0.3, 0.2), 300, marks=pytest.mark.exhaustive) for n in (5, 10)),
        pytest.param(10, 1, (1, 0.01, 0.003), 300, marks=pytest.mark.exhaustive),
        (5, 2, (1, 0.03, 0.02), 100),
        *(
            pytest.param(n, m, (1, 0.03, 0.02), 300, marks=pytest.mark.exhaustive)
            for n, m in ((5, 2), (10, 4))
        ),
    ],
)
def test_the_band_holds_the_true_median_in_95_of_100_measurements(vectors, images, spectrum, draws):
    """Gaussian vectors through a matrix of known singular values, whose median deficit is exact."""
    rng, scales = np.random.default_rng(0), np.array(spectrum)
    truth = float(mixture_deficit_quantile(scales[None]).value)
    hits = 0
    for _ in range(draws):
        r = torch.from_numpy(rng.standard_normal((images, vectors, len(scales))) * scales)
        low, high = pair_band(histograms(local_deficits(r)[0], 100, rng), vectors, images)
        hits += low <= truth <= high
    assert binomtest(hits, draws, 0.95, alternative="less").pvalue > 0.01


def test_there_is_no_band_for_one_pair_or_without_replicates():
    counts = np.zeros((3, histogram.BINS))
    assert np.isnan(pair_band(counts, 5, 1)).all()
    counts[0, 100] = 1
    assert np.isnan(pair_band(counts[:1], 5, 1)).all()
    assert np.isnan(expansion(2, 1))
    counts[:, 100] = 1
    assert np.isnan(pair_band(counts, 2, 1)).all()
    assert np.isfinite(pair_band(counts, 3, 1)).all()


def test_bands_of_equal_deficits_have_no_width():
    for index, deficit in ((0, 0.0), (histogram.BINS - 1, 1.0)):
        counts = np.zeros((5, histogram.BINS))
        counts[:, index] = 7
        assert pair_band(counts, 5, 2) == (deficit, deficit)


def test_positions_and_deficits_are_inverse():
    deficits = np.array([0.0, 1e-40, 1e-30, 1e-5, 0.5, 0.9, 1.0])
    found = histogram.deficit(histogram.position(deficits))
    np.testing.assert_allclose(found, [0.0, 0.0, 1e-30, 1e-5, 0.5, 0.9, 1.0], rtol=1e-12)
    assert np.isnan(histogram.position(np.nan))
