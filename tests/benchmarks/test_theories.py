"""What theories cost beside the measurement: VGG-16 at 224 x 224, random weights, one image, from conv5_3.

Everything is timed in one run and read as ratios to the measurement of 10 vectors with all statistics;
`conftest.py` prints them. Targets: origin at most 1.5, sampled-spectrum 2.5, second-moment 5; the peak of
memory above the loaded model at most 2.5 GB.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torchvision.models import vgg16

from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.meter import CscMeter
from conetheory.predict import find

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


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))


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


MEMORY = """
import gc, torch
from torchvision.models import vgg16
from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.predict import find

def resident(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20

torch.manual_seed(0)
network = networks.load(vgg16(weights=None).eval().requires_grad_(False))
theory = find("THEORY")("conv5_3")
image = torch.randn(1, 3, 224, 224)
gc.collect()
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
loaded = resident("VmRSS")
theory.add(RelevanceChain(network, image, "METHOD"))
print(resident("VmHWM") - loaded)
"""


@pytest.mark.benchmark(group="memory of theories")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("theory", THEORIES)
def test_peak_memory_of_a_theory(benchmark, theory, method):
    """Peak resident memory above the loaded model in GiB (`extra_info`), in its own process; Linux only."""

    def run():
        out = subprocess.run(
            [sys.executable, "-c", MEMORY.replace("METHOD", method).replace("THEORY", theory)],
            capture_output=True,
            text=True,
            check=True,
        )
        benchmark.extra_info["gib_above_the_model"] = round(float(out.stdout), 3)

    benchmark.pedantic(run, rounds=1)
