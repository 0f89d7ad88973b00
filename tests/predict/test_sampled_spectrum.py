"""The sampled spectrum: no measured vector, a band that holds its scatter, a bias as derived."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from conetheory.chain.layers import below
from conetheory.errors import InputError
from conetheory.measure.meter import draw
from conetheory.predict import sampled_spectrum
from conetheory.predict.local_spectrum import LocalSpectrum
from conetheory.predict.sampled_spectrum import SampledSpectrum
from conetheory.rules.registry import get_method
from conetheory.theory import sampledspectrum as theory
from conetheory.theory.gaussian_law import gaussian_deficit_quantile
from tests.toys import chain


def test_the_vectors_are_never_those_of_a_measurement(monkeypatch):
    drawn = []

    def spy(*args, **options):
        drawn.append(draw(*args, **options))
        return drawn[-1]

    monkeypatch.setattr(sampled_spectrum, "draw", spy)
    found = chain("small vgg")
    SampledSpectrum("4", seed=7).add(found)
    for seed in range(20):
        measured = draw(found.shape("4"), range(2), 24, start="4", seed=seed)
        assert not torch.isclose(measured, drawn[0]).any(dim=-1).all()


def test_the_band_holds_the_exact_spectrum():
    """Over many seeds, at 95%: the exact median lies inside at about that rate."""
    found = chain("conv same", count=1)
    exact = LocalSpectrum("logits")
    exact.add(found)
    layers = [layer for layer in below(found, "logits") if exact.median(layer) > 0][-3:]
    inside = []
    for seed in range(6):
        sampled = SampledSpectrum("logits", seed=seed)
        sampled.add(found)
        for layer in layers:
            low, high = sampled.band(layer)
            inside.append(low <= exact.median(layer) <= high)
    assert np.mean(inside) > 0.8


def test_the_median_of_a_flat_tail_is_that_of_f():
    for m in (1, 2, 5, 40):
        S = 1e-6
        values = np.concatenate([[1.0], np.full(m, np.sqrt(S / m))])
        assert float(gaussian_deficit_quantile(values).value) == pytest.approx(
            S * float(theory.flat_tail_median(m)), rel=0.01
        )
    assert float(theory.flat_tail_median(1)) == pytest.approx(2.0)
    assert float(theory.flat_tail_median(np.inf)) == pytest.approx(2 / stats.chi2.ppf(0.5, 1), rel=1e-6)


def test_the_bias_of_many_tail_values_is_as_derived():
    """A flat tail of 200 values seen by 8 vectors: the median over draws, against the formula."""
    rng, k, m, S = np.random.default_rng(0), 8, 200, 1e-6
    logs, sampled = [], []
    for _ in range(400):
        lead, tail = rng.standard_normal((1, k)), np.sqrt(S / m) * rng.standard_normal((m, k))
        values = np.linalg.svd(np.concatenate([lead, tail]) / np.sqrt(k), compute_uv=False)
        sampled.append(theory.participation(values))
        # the mean of S_R over draws times the shape's factor is the median that the sample predicts
        logs.append(np.sum(values[1:] ** 2) / values[0] ** 2 * theory.flat_tail_median(sampled[-1]))
    predicted = np.log(S * theory.flat_tail_median(m) / np.mean(logs))
    assert theory.true_participation_estimate(np.mean(sampled), k) > 50
    assert predicted == pytest.approx(float(theory.log_bias_estimate(np.mean(sampled), k)), abs=0.05)
    assert np.mean(sampled) == pytest.approx((k - 1) * m / (m + k), rel=0.03)


def test_the_jackknife_is_the_spread_over_draws():
    rng, k = np.random.default_rng(1), 12
    P = rng.standard_normal((30, 6, 40)) * 0.01
    P += rng.standard_normal((30, 6, 1)) * rng.standard_normal(40)
    means, errors = [], []
    for _ in range(60):
        R = P @ rng.standard_normal((40, k))
        gram = np.swapaxes(R, 1, 2) @ R
        values = np.linalg.eigvalsh(gram)
        means.append(np.mean(np.log(values[:, :-1].sum(1) / values[:, -1])))
        errors.append(theory.jackknife_log_error(gram))
    assert np.median(errors) == pytest.approx(np.std(means), rel=0.4)


def test_it_does_not_depend_on_batches():
    found = chain("nested branches", count=3)
    whole, parts = SampledSpectrum("logits", positions=4), SampledSpectrum("logits", positions=4)
    whole.add(found)
    for image in range(3):
        parts.add(found.only(image))
    for layer in below(found, "logits"):
        assert parts.median(layer) == pytest.approx(whole.median(layer), rel=1e-6, nan_ok=True)
        assert parts.band(layer) == pytest.approx(whole.band(layer), rel=1e-6, nan_ok=True)


def test_what_it_refuses():
    with pytest.raises(InputError, match="at least 3 vectors"):
        SampledSpectrum("logits", draws=2)
    assert SampledSpectrum.applies(get_method("gradient")) is None
    assert "linear" in SampledSpectrum.applies(get_method("guided-backprop")).reason
    assert SampledSpectrum("logits").cost(chain("small vgg")).passes == pytest.approx(24)
