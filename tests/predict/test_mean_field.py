"""The mean-field prediction of rectified chains: wide random networks, and where it must not be used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import conetheory as ct
from conetheory.networks import trace
from conetheory.predict import MeanField
from conetheory.predict.registry import applies
from conetheory.rules.gradient import RectGrad
from tests.toys import chain, typical

RECTIFIED = ("guided-backprop", "deconvnet", "rectgrad")


def wide(mean: float, depth: int = 4, width: int = 400) -> nn.Module:
    """Linear layers with independent Gaussian weights of this mean (in units of their deviation / 20)."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layer = nn.Linear(width, width, bias=False)
        nn.init.normal_(layer.weight, mean / 20 * width**-0.5, width**-0.5)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, width, bias=False))


@pytest.mark.parametrize("method", RECTIFIED)
@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_a_wide_random_network_is_predicted(method, mean):
    """From the last hidden layer, whose starts are independent, within 0.1 decade at every layer below.

    RectGrad keeps 8 of 400 units, so its medians scatter: 0.25 decade.
    """
    found = ct.RelevanceChain(trace(wide(mean), (400,)), torch.randn(1, 400), method, dtype=torch.float64)
    measured = ct.measure_csc(found, vectors=40, seed=1).dataset["measured_deficit_median"]
    predicted = ct.predict_csc(found, theory="mean-field").dataset["predicted_mean_field"]
    error = np.log10((predicted / measured).values[0, 0][1:])
    assert np.abs(error).max() < (0.25 if method == "rectgrad" else 0.1)


def test_weight_means_make_it_converge_faster():
    at_input = []
    for mean in (0.0, 2.0):
        found = ct.RelevanceChain(trace(wide(mean), (400,)), torch.ones(1, 400), "guided-backprop")
        predictor = MeanField("logits")
        predictor.add(found)
        at_input.append(predictor.median("input"))
    assert at_input[1] < at_input[0]


@pytest.mark.parametrize("toy", typical())
def test_every_toy_has_a_prediction(toy):
    for method in RECTIFIED:
        found = ct.predict_csc(chain(toy, method, count=1), theory="mean-field")
        values = found.dataset["predicted_mean_field"].values
        live = values[np.isfinite(values)]
        assert ((live >= 0) & (live <= 1)).all()


@pytest.mark.parametrize("method", ["gradient", "lrp-alpha1beta0"])
def test_linear_methods_have_none(method):
    found = chain("small vgg", method, count=1)
    assert "no ReLU" in applies("mean-field", found.method).reason
    assert "predicted_mean_field" not in ct.predict_csc(found, theory="mean-field").dataset


def test_rectgrad_keeps_the_predicted_share():
    """With a percentile of 0 the threshold is zero: RectGrad is then GuidedBP up to what is exactly zero."""
    net = trace(wide(0.0), (400,))
    medians = []
    for method in (RectGrad(percentile=0.0), "guided-backprop"):
        options = {"percentile": 0.0} if isinstance(method, RectGrad) else {}
        name = "rectgrad" if options else method
        predictor = MeanField("logits")
        predictor.add(ct.RelevanceChain(net, torch.ones(1, 400), name, parameters=options))
        medians.append(predictor.median("input"))
    assert medians[0] == pytest.approx(medians[1], rel=1e-9)
