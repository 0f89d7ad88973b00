"""Grey pictures: one channel at the input, and max pools below which most locations have one live channel."""

from __future__ import annotations

import pytest
from torch import nn

import conetheory as ct
from conetheory import networks
from conetheory.results.evidence import ASKED, FORGOTTEN
from conetheory.results.verdict import Outcome
from tests.networks.toys import random_images, seeded


def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3), nn.Conv2d(6, 8, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 9, 5)),
    )


@pytest.mark.parametrize("method", ["lrp-0", "lrp-alpha2beta1", "gradient"])
def test_what_one_channel_alone_shows_decides_nothing(method):
    network = networks.load(seeded(lenet), input_shape=(1, 24, 24))
    found = ct.audit(network, random_images(2, 1, 24, 24), method, theories=(), certify=0, bootstrap=20)
    data = found.comparison.dataset.isel(method=0, start=0)
    above, below = (data.sel(layer=layer) for layer in ("2", "1"))
    assert float(below["live_baseline_deficit"]) < ASKED < float(above["live_baseline_deficit"])
    assert float(below["measured_deficit_median"]) < FORGOTTEN < float(above["measured_deficit_median"])
    assert found.verdict[method].outcome is Outcome.DEPENDS
