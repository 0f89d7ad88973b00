"""DeepLIFT against captum and the cases that its authors published."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.networks import trace
from conetheory.saliency.explain import explain
from tests.networks.toys import random_images, seeded
from tests.rules.deeplift_textbook import (
    ACTIVATIONS,
    METHODS,
    captum_net,
    every_output,
    layer,
    open_chain,
)
from tests.toys import SHAPE


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks", "ignore:Input Tensor")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_captum_rescale(activation):
    DeepLift = pytest.importorskip("captum.attr").DeepLift
    net, x = seeded(lambda: captum_net(activation)), random_images(3, *SHAPE)
    for reference in (torch.zeros_like(x), random_images(3, *SHAPE, seed=5)):
        chain = open_chain(net, x, "deeplift-rescale", parameters={"reference": reference, "pool": "rescale"})
        ours = chain.down(every_output(chain), "logits")
        for output in range(4):
            theirs = DeepLift(net, eps=1e-12).attribute(x, reference, target=output)
            torch.testing.assert_close(ours[:, output], theirs, rtol=1e-9, atol=1e-11)


W = [[1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, -3.0, -4.0]]


ONES_AND_TWOS = torch.tensor([[1.0] * 4, [2.0] * 4])


def test_the_packages_dense_relu():
    """deeplift tests/layers/test_activation.py: scale factors 9/10, 19/20 and 1/10, 1/20."""
    net = nn.Sequential(layer(W, [-1.0, 1.0]), nn.ReLU())
    chain = open_chain(net, ONES_AND_TWOS, "deeplift-rescale")
    m = chain.down(every_output(chain), "logits") / chain.images.unsqueeze(1)
    factors = torch.tensor([[0.9, 0.1], [0.95, 0.05]], dtype=torch.float64)
    expected = factors.unsqueeze(2) * torch.tensor(W, dtype=torch.float64)
    torch.testing.assert_close(m, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("method", METHODS[:2])
def test_the_packages_max_pool(method):
    """tests/layers/test_pool2d.py: 2 x 2 windows at stride 1, a dense layer of weights 2 and 3 by channel."""
    reference = (
        torch.tensor([[[0, 0, 2, 3], [0, 1, 0, 0], [0, 5, 4, 0], [6, 0, 7, 8]]]).repeat(2, 1, 1).double()
    )
    reference[1] += 1
    x = torch.tensor(
        [[[2, 0, 2, 3], [0, 1, 4, 0], [7, 6, 5, 0], [6, 0, 8, 9]], reference[0].tolist()]
    ).double()
    net = nn.Sequential(nn.MaxPool2d(2, 1), nn.Flatten(), layer([[2.0] * 9 + [3.0] * 9], [1.0]))
    # away from the reference everywhere, with the same winners, so that multipliers can be told
    chain = open_chain(net, x[None], method, parameters={"reference": reference - 100})
    m = chain.down(every_output(chain), "logits")[0, 0] / (x - reference + 100)
    first = torch.tensor([[1, 0, 0, 0], [0, 0, 2, 0], [2, 1, 1, 0], [0, 0, 1, 1]]) * 2.0
    second = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 0], [0, 2, 1, 0], [1, 0, 1, 1]]) * 3.0
    torch.testing.assert_close(m, torch.stack([first, second]).double(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("method", METHODS[:2])
def test_the_packages_convolution(method):
    """tests/layers/test_conv2d.py: kernels 0..7 and their negatives, a dense layer of 1 and -1."""
    kernel = nn.Conv2d(2, 2, 2)
    with torch.no_grad():
        kernel.weight.copy_(torch.stack([torch.arange(8.0), -torch.arange(8.0)]).view(2, 2, 2, 2))
        kernel.bias.copy_(torch.tensor([-1.0, 1.0]))
    x = torch.arange(1.0, 65).view(2, 2, 4, 4)  # from one, so that every pixel differs from the reference
    net = nn.Sequential(kernel, nn.Flatten(), layer([[1.0] * 9 + [-1.0] * 9], [1.0]))
    chain = open_chain(net, x, method)
    m = chain.down(every_output(chain), "logits")[:, 0] / chain.images
    first = [[0, 2, 2, 2], [4, 12, 12, 8], [4, 12, 12, 8], [4, 10, 10, 6]]
    second = [[8, 18, 18, 10], [20, 44, 44, 24], [20, 44, 44, 24], [12, 26, 26, 14]]
    torch.testing.assert_close(m, torch.tensor([[first, second]] * 2).double(), rtol=1e-12, atol=1e-12)


class Minimum(nn.Module):
    """min(i1, i2) = i1 - ReLU(i1 - i2)."""

    def __init__(self) -> None:
        super().__init__()
        self.difference = layer([[1.0, -1.0]], [0.0])
        self.last = layer([[1.0, 0.0, -1.0]], [0.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([x, self.difference(x).relu()], 1))


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_the_minimum_is_shared_equally(i1, i2):
    """Section 3.4 of the paper: each input contributes half of the minimum, all of it under Rescale."""
    x = torch.tensor([[i1, i2]])
    half = explain(trace(Minimum().double(), (2,)), x.double(), "deeplift-revealcancel")[0, 0].tolist()
    assert half == pytest.approx([min(x[0].tolist()) / 2] * 2, rel=1e-6)
    if abs(i1 - i2) > 1e-3:
        whole = explain(trace(Minimum().double(), (2,)), x.double(), "deeplift-rescale")[0, 0].tolist()
        expected = [i1, 0] if i1 < i2 else [0, i2]
        assert whole == pytest.approx(expected, rel=1e-6, abs=1e-9 * max(i1, i2))


@pytest.mark.parametrize("method", METHODS[:2])
def test_saturation(method):
    """Fig. 1 of the paper, y = 1 - ReLU(1 - i1 - i2): at (1, 1) the gradient is 0, contributions 1/2."""
    net = nn.Sequential(layer([[-1.0, -1.0]], [1.0]), nn.ReLU(), layer([[-1.0]], [1.0]))
    chain = open_chain(net, torch.ones(1, 2), method)
    assert chain.down(every_output(chain), "logits")[0, 0].tolist() == [0.5, 0.5]
    assert RelevanceChain(chain.graph, chain.images, "gradient").columns("logits", [0]).abs().max() == 0
