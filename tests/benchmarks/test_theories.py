"""What theories cost beside the measurement: VGG-16 at 224 x 224, random weights, one image, from conv5_3.

Everything is timed in one run and read as ratios to the measurement of 10 vectors with all statistics;
`conftest.py` prints them. Targets: origin at most 1.5, sampled-spectrum 2.5, second-moment 5; the peak of
memory above the loaded model at most 2.5 GB.
"""

from __future__ import annotations

import pytest
import torch
from torchvision.models import vgg16

from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.meter import CscMeter
from conetheory.predict import find
from tests.benchmarks.memory import gib_above_the_model

VECTORS = 10
START = "conv5_3"
THEORIES = ("origin", "sampled-spectrum", "second-moment")
METHODS = ("lrp-alpha1beta0", "lrp-alpha2beta1")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = networks.load(vgg16(weights=None).eval().requires_grad_(False))
    RelevanceChain(network, torch.randn(1, 3, 224, 224))  # a first pass makes what later ones find made
    return network


@pytest.mark.benchmark(group="theories")
@pytest.mark.parametrize("method", METHODS)
def test_measurement(benchmark, network, image, method):
    def run():
        CscMeter([START], vectors=VECTORS).add(RelevanceChain(network, image, method))

    benchmark.pedantic(run, rounds=1)


@pytest.mark.benchmark(group="theories")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("theory", THEORIES)
def test_theory(benchmark, network, image, theory, method):
    benchmark.pedantic(lambda: find(theory)(START).add(RelevanceChain(network, image, method)), rounds=1)


@pytest.mark.benchmark(group="memory of theories")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("theory", THEORIES)
def test_peak_memory_of_a_theory(benchmark, theory, method):
    """Peak resident memory above the loaded model in GiB (`extra_info`), in its own process; Linux only."""

    def run():
        work = f'find("{theory}")("{START}").add(RelevanceChain(network, image, "{method}"))'
        benchmark.extra_info["gib_above_the_model"] = gib_above_the_model(work)

    benchmark.pedantic(run, rounds=1)
