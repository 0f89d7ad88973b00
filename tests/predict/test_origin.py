"""Origin and location columns: against dense matrices, and on random chains where the theory should hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.networks import trace
from conetheory.predict.local_spectrum import LocalSpectrum
from conetheory.predict.location_columns import LocationColumns
from conetheory.predict.origin import OriginLaw
from conetheory.predict.origin_cut import centred_grid
from conetheory.predict.registry import find
from conetheory.predict.states import first_state
from conetheory.rules.registry import get_method
from conetheory.theory import origin as theory
from conetheory.theory.gaussian_law import mixture_deficit_quantile
from tests.networks.toys import random_images, seeded
from tests.toys import chain, conv


def deep(channels: int = 24, layers: int = 5) -> RelevanceChain:
    """Positive random convolutions: origins spread and channels collapse."""

    def build() -> nn.Module:
        body: list[nn.Module] = []
        for into in (2, *[channels] * (layers - 1)):
            body += [conv(into, channels), nn.ReLU()]
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(channels * 196, 3))

    model = seeded(build)
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Conv2d):
                layer.weight.abs_()
    return RelevanceChain(trace(model, (2, 14, 14)), random_images(2, 2, 14, 14).abs())


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1"])
def test_location_columns_are_the_overlap_of_origins(method):
    """A_ij = c_i c_j sum f_i f_j / |c0|^2, from the dense matrix, at every location."""
    found = chain("conv same", method, count=1)
    cut, state = first_state(found, "2", Supply(found, "2"))
    predictor = LocationColumns("2", layers=["input"])
    predictor.add(found)
    channels, *_ = found.shape("2")
    M = torch.from_numpy(found.as_matrix("2")).reshape(2, -1, channels, state.c.shape[2])
    D = torch.einsum("ipjq,jq->piq", M, state.c[0])
    K = state.K[0]
    A = torch.einsum("piq,q,pjq->pij", D, K, D)
    expected = torch.linalg.eigvalsh(A).flip(-1).clamp(min=0)
    values = torch.from_numpy(predictor.spectra._values["input"][0]) ** 2
    torch.testing.assert_close(values[:, :2], expected, rtol=1e-6, atol=1e-12)
    assert cut == "2"


@pytest.mark.slow
def test_they_predict_collapsed_channels():
    """Three layers below the start the exact spectrum is that of the locations, and of value and gradient."""
    found = deep()
    layers = ["3", "1"]
    exact, columns, law = (kind("8", layers=layers) for kind in (LocalSpectrum, LocationColumns, OriginLaw))
    for each in (exact, columns, law):
        each.add(found)
    for layer in layers:
        assert abs(np.log10(columns.median(layer) / exact.median(layer))) < 0.15
        repaired, narrow, replaced = (
            law.detail(f"origin_{name}_share", layer) for name in ("repaired", "narrow", "columns")
        )
        assert 0 <= repaired <= narrow <= 1
        assert 0 <= replaced <= 1
    assert abs(np.log10(law.median("1") / exact.median("1"))) < 0.15  # wide enough only there


def test_dense_starts_take_the_columns_of_their_units():
    found = chain("small vgg")
    for kind in (OriginLaw, LocationColumns):
        predictor = kind("logits")
        predictor.add(found)
        known = [layer for layer in below(found, "logits") if np.isfinite(predictor.median(layer))]
        assert "input" in known
        for layer in known:
            low, high = predictor.band(layer)
            assert 0 <= low <= predictor.median(layer) <= high <= 1


@pytest.mark.parametrize("kind", [OriginLaw, LocationColumns])
def test_predictions_do_not_depend_on_batches(kind):
    found = chain("small vgg", count=2)
    whole, parts = kind("4", positions=5), kind("4", positions=5)
    whole.add(found)
    for image in range(2):
        parts.add(found.only(image))
    for layer in below(found, "4"):
        spectra = whole.spectra.live(layer)
        # rounding is the tail of locations of rank one, and the grid of the law begins at the smallest tail
        error = float(mixture_deficit_quantile(spectra).error) if len(spectra) else 0.0
        assert parts.median(layer) == pytest.approx(whole.median(layer), abs=2 * error, nan_ok=True)


def test_many_locations_have_no_columns(monkeypatch):
    monkeypatch.setattr("conetheory.predict.location_columns.COLUMNS", 4)
    predictor = LocationColumns("2")
    predictor.add(chain("conv same"))
    assert np.isnan(predictor.median("input"))


def test_what_they_refuse():
    assert OriginLaw.applies(get_method("lrp-alpha2beta1")) is None
    assert "cone nor the sum" in OriginLaw.applies(get_method("lrp-gamma")).reason
    assert LocationColumns.applies(get_method("lrp-gamma")) is None
    assert "linear" in LocationColumns.applies(get_method("guided-backprop")).reason


# ---------------------------------------------------------------- the closed form on grids


def gaussian_origins(shift: float, sigma: float, side: int = 41) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns D (channels, grid) whose origins are Gaussians of one width and means apart, c = ones."""
    grid = centred_grid((side, side))
    means = shift * torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)
    D = torch.exp(-((grid[None] - means[:, None]) ** 2).sum(-1) / (2 * sigma**2))
    return D / D.sum(1, keepdim=True), grid


def moments_of(D: torch.Tensor, grid: torch.Tensor) -> theory.Origin:
    x, y = grid.T
    return theory.moments(*((D * f).sum(1, keepdim=True) for f in (1 + 0 * x, x, y, x * x, x * y, y * y)))


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_gaussian_origins_have_the_spectrum_of_the_closed_form(sigma):
    D, grid = gaussian_origins(0.05, sigma)
    origin = moments_of(D, grid)
    A = theory.overlap(D, torch.ones(len(grid), dtype=torch.float64))
    exact = torch.linalg.eigvalsh(A).flip(0)
    squares = theory.origin_squares(origin)[0]
    torch.testing.assert_close(exact[1:3] / exact[0], squares, rtol=0.02, atol=1e-12)
    L = theory.smoothing(origin.mean, origin.Sigma, grid)
    on_grid = theory.origin_spectrum(
        origin, theory.field_covariance(L, torch.ones(len(grid), dtype=torch.float64))
    )
    closed = theory.origin_spectrum(
        origin, theory.white_field_covariance(origin.Sigma, torch.ones(1, dtype=torch.float64))
    )
    torch.testing.assert_close(on_grid, closed, rtol=0.02, atol=1e-12)
    torch.testing.assert_close((closed[0, 1:] / closed[0, 0]) ** 2, squares, rtol=1e-9, atol=1e-15)


def test_an_indefinite_covariance_is_raised_and_told():
    Sigma = torch.tensor([[[1.0, 0.0], [0.0, -0.3]], [[1.0, 0.2], [0.2, 2.0]]], dtype=torch.float64)
    mended, repaired = theory.positive_part(Sigma)
    assert repaired.tolist() == [True, False]
    torch.testing.assert_close(mended[0], torch.diag(torch.tensor([1.0, 0.05], dtype=torch.float64)))
    torch.testing.assert_close(mended[1], Sigma[1])


@pytest.mark.parametrize("name", ["origin", "location-columns"])
def test_what_lies_below_rounding_is_nothing(name):
    """A tail of 1e-16 of the head is no prediction; one of 1e-12 is."""
    spectra = find(name)("logits").spectra
    spectra.add("rounding", np.array([[2.0, 2e-8], [1.0, 5e-9]]), 2)
    spectra.add("tail", np.array([[2.0, 2e-6], [1.0, 1e-6]]), 2)
    assert spectra.median("rounding") == 0
    assert 1e-13 < spectra.median("tail") < 1e-11
