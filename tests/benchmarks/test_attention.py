"""What a gradient sweep costs on a vision transformer: vit_b_16, random weights, one image, 10 vectors.

Both are timed in one run, in turns, and read as a ratio: at most 1.3 times autograd's forward and backward
pass of the same batch of vectors.
"""

from __future__ import annotations

import os
from time import perf_counter

import pytest
import torch
from torchvision.models import vit_b_16

from conetheory import networks
from conetheory.chain.relevance import RelevanceChain

VECTORS, ROUNDS, LIMIT = 10, 5, 1.3
SIDE = int(os.environ.get("CONETHEORY_BENCH_SIDE", "224"))  # of the image; a small one says if it still runs


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return vit_b_16(weights=None, image_size=SIDE).eval().requires_grad_(False)


def seconds(function) -> float:
    begin = perf_counter()
    function()
    return perf_counter() - begin


@pytest.mark.benchmark(group="gradient of a vision transformer")
def test_a_gradient_sweep_against_autograd(benchmark, model):
    network = networks.load(model, input_shape=(3, SIDE, SIDE))
    image = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    vectors = torch.randn(1, VECTORS, 1000, generator=torch.Generator().manual_seed(1))

    def autograd() -> torch.Tensor:
        x = image.expand(VECTORS, -1, -1, -1).clone().requires_grad_()
        return torch.autograd.grad(model(x), x, vectors[0])[0]

    def sweep() -> torch.Tensor:
        return RelevanceChain(network, image, "gradient").down(vectors, "logits")[0]

    torch.testing.assert_close(sweep(), autograd(), rtol=1e-3, atol=1e-5)
    times = [(seconds(sweep), seconds(autograd)) for _ in range(ROUNDS)]
    ours, theirs = (min(each) for each in zip(*times, strict=True))
    benchmark.extra_info["to one autograd pass of the same batch"] = round(ours / theirs, 3)
    benchmark.pedantic(sweep, rounds=1)
    assert ours <= LIMIT * theirs
