"""The sampled spectrum: no measured vector, a band that holds its scatter, a bias as derived."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import digamma

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


SHAPES = {
    "one": np.ones(1),
    "five": np.ones(5),
    "flat": np.ones(100),
    "geometric": 0.9 ** np.arange(60),
    "two above many": np.concatenate([np.ones(2), np.full(100, 0.02)]),
}


def of_sampled(tail: np.ndarray, k: int, draws: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Singular values of `P X / sqrt(k)`, P of squares 1 and `tail`; and the head's `|x_1|^2 / k`."""
    X = np.random.default_rng(seed).standard_normal((draws, 1 + len(tail), k))
    R = np.sqrt(np.append(1.0, tail))[:, None] * X / np.sqrt(k)
    return np.linalg.svd(R, compute_uv=False), np.square(X[:, 0]).mean(1)


QUICK = {("flat", 1.0), ("five", 1e-3), ("one", 1.0)}


@pytest.mark.parametrize(
    ("shape", "S"),
    [
        pytest.param(shape, S, marks=[] if (shape, S) in QUICK else pytest.mark.exhaustive)
        for shape in SHAPES
        for S in (1e-3, 1.0)
    ],
)
def test_the_correction_takes_the_bias_of_the_median_away(shape, S):
    """Over 120 draws of 24 vectors, against the law of the spectrum itself; in decades.

    The chi square of the head, whose mean logarithm is known, is taken out of the scatter by regression.
    """
    k, tail = 24, S * SHAPES[shape] / SHAPES[shape].sum()
    true = float(gaussian_deficit_quantile(np.sqrt(np.append(1.0, tail))).value)
    values, head = of_sampled(tail, k, 120)
    control = np.log10(head) - (digamma(k / 2) - np.log(k / 2)) / np.log(10)

    def off(spectra):
        error = np.log10(np.asarray(gaussian_deficit_quantile(spectra).value) / true)
        rest = error - np.cov(error, control)[0, 1] / control.var() * control
        return rest.mean(), 3 * rest.std() / np.sqrt(len(rest))

    plain, _ = off(values)
    corrected, noise = off(theory.corrected_spectrum_estimate(values, k, len(tail)))
    assert abs(corrected) < 0.02 + noise
    assert abs(corrected) < abs(plain) + noise
    if S == 1.0:  # as told: two hundredths of a decade and more are taken away, but for most of rank one
        assert plain < -0.015
        assert abs(corrected) < 0.01 or shape == "one"


def test_one_channel_has_no_tail():
    """As grey pictures have at the input."""
    assert np.isnan(theory.participation(np.array([[2.0], [3.0]]))).all()
    np.testing.assert_array_equal(theory.participation(np.array([[2.0, 1.0], [3.0, 0.0]])), [1.0, np.nan])


def test_the_participation_is_that_of_the_true_tail():
    k = 24
    for shape in ("one", "five", "geometric", "flat"):
        tail = SHAPES[shape]
        values, _ = of_sampled(1e-3 * tail / tail.sum(), k, 200)
        m = theory.true_participation_estimate(np.median(theory.participation(values)), k)
        assert m == pytest.approx(tail.sum() ** 2 / np.square(tail).sum(), rel=0.1)
    assert theory.true_participation_estimate(23.0, k) == np.inf


@given(times=st.floats(1.0, 6.0), rank=st.integers(1, 8), seed=st.integers(0, 99))
def test_a_tail_is_split_into_parts_of_its_sum(times, rank, seed):
    """All of a value's parts are it again; its m is raised as said; rank one and dead locations stay."""
    parts = theory._parts(times)
    assert parts.sum() == pytest.approx(1)
    assert 1 / np.square(parts).sum() == pytest.approx(times, rel=1e-6)
    values = -np.sort(-np.random.default_rng(seed).random((3, rank + 1)) * [[1.0], [1e-3], [0.0]], axis=1)
    values[:, 1:] *= 1e-3
    found = theory.corrected_spectrum_estimate(values, 12, rank)
    assert (np.diff(found, axis=1) <= 0).all()
    assert not found[2].any()
    tail, own = np.square(found[:2, 1:]).sum(1), np.square(values[:2, 1:]).sum(1)
    assert (own * (1 - 1e-12) <= tail).all()
    assert (tail <= own * np.exp(1 / 11) * (1 + 1e-12)).all()
    if rank == 1:
        assert found.shape == values.shape


def test_what_has_no_tail_is_left_alone():
    values = np.array([[1.0, 1e-9], [0.0, 0.0]])
    np.testing.assert_array_equal(theory.corrected_spectrum_estimate(values, 24, 1), values)
    with pytest.raises(InputError, match="at least 3 vectors"):
        theory.corrected_spectrum_estimate(values, 2, 1)


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
    theory, found = SampledSpectrum("logits"), chain("small vgg")
    assert theory.cost(found).passes - theory.law(found).passes == pytest.approx(24)
