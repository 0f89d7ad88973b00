"""What a relevance sweep costs: VGG-16 at 224 x 224, random weights, one image, down to the input.

Everything is timed in one run and read as ratios to one plain autograd forward and backward pass of
the same batch of vectors; `conftest.py` prints them. Targets: z+ with statistics at most 1.0, alpha2-beta1
at most 1.8, and 3.5 x and 4.5 x faster than zennit's ZPlus and AlphaBeta.
"""

from __future__ import annotations

import pytest
import torch
from torchvision.models import vgg16

from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.meter import CscMeter
from conetheory.predict import TwoScale
from tests.benchmarks.memory import gib_above_the_model

VECTORS = 10
PAPER_STARTS = ("fc3", "fc1", "conv4_3", "conv3_3", "conv2_2")


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return vgg16(weights=None).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network(model):
    return networks.load(model)


def sweep(network, image, method, *, vectors=VECTORS, starts=("logits",)):
    meter = CscMeter(starts, vectors=vectors)
    meter.add(RelevanceChain(network, image, method))
    return meter


def time(benchmark, function, rounds=3):
    benchmark.pedantic(function, rounds=rounds, warmup_rounds=1)


@pytest.mark.benchmark(group="10 vectors")
def test_autograd(benchmark, model, image):
    def forward_backward():
        x = image.expand(VECTORS, -1, -1, -1).clone().requires_grad_()
        y = model(x)
        return torch.autograd.grad(y, x, torch.ones_like(y))

    time(benchmark, forward_backward)


@pytest.mark.benchmark(group="10 vectors")
@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1"])
def test_sweep_with_statistics(benchmark, network, image, method):
    time(benchmark, lambda: sweep(network, image, method))


@pytest.mark.benchmark(group="10 vectors")
def test_two_scale(benchmark, network, image):
    time(benchmark, lambda: TwoScale("logits", vectors=VECTORS).add(RelevanceChain(network, image)), rounds=1)


@pytest.mark.benchmark(group="10 vectors")
@pytest.mark.parametrize("rule", ["ZPlus", "AlphaBeta"])
def test_zennit(benchmark, model, image, rule):
    composites = pytest.importorskip("zennit.composites", reason="zennit is not installed")
    types = pytest.importorskip("zennit.types")
    rules = pytest.importorskip("zennit.rules")
    made = rules.ZPlus(zero_params="bias") if rule == "ZPlus" else rules.AlphaBeta(2, 1, zero_params="bias")
    composite = composites.LayerMapComposite([(types.Linear, made), (types.Activation, rules.Pass())])

    def attribute():
        x = image.expand(VECTORS, -1, -1, -1).clone().requires_grad_()
        with composite.context(model) as modified:
            y = modified(x)
            return torch.autograd.grad(y, x, torch.ones_like(y))

    time(benchmark, attribute, rounds=2)


@pytest.mark.benchmark(group="growth")
@pytest.mark.parametrize("vectors", [2, 5, 10, 20])
def test_growth_with_vectors(benchmark, network, image, vectors):
    time(benchmark, lambda: sweep(network, image, "lrp-alpha1beta0", vectors=vectors), rounds=1)


@pytest.mark.benchmark(group="growth")
@pytest.mark.parametrize("images", [1, 2, 4])
def test_growth_with_images(benchmark, network, image, images):
    batch = image.expand(images, -1, -1, -1).contiguous()
    time(benchmark, lambda: sweep(network, batch, "lrp-alpha1beta0", vectors=5), rounds=1)


@pytest.mark.benchmark(group="growth")
@pytest.mark.parametrize("starts", [1, 3, 5])
def test_growth_with_starts(benchmark, network, image, starts):
    chosen = PAPER_STARTS[:starts]
    time(benchmark, lambda: sweep(network, image, "lrp-alpha1beta0", vectors=5, starts=chosen), rounds=1)


@pytest.mark.benchmark(group="memory")
@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1"])
def test_peak_memory(benchmark, method):
    """Peak resident memory above the loaded model in GiB (`extra_info`), in its own process; Linux only."""

    def run():
        work = f'CscMeter(["logits"], vectors=10).add(RelevanceChain(network, image, "{method}"))'
        benchmark.extra_info["gib_above_the_model"] = gib_above_the_model(work)

    benchmark.pedantic(run, rounds=1)
