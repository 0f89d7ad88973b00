"""Convolutions and pools over three axes: the model's outputs, autograd's gradient, and no origin."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.video import r3d_18

from conetheory.chain.places import VOLUME, places
from conetheory.chain.relevance import RelevanceChain
from conetheory.networks import trace
from conetheory.networks.graph import INPUT
from conetheory.networks.ops import Affine
from conetheory.networks.volumes import Conv3d, MaxPool3d
from tests.networks.toys import random_images, seeded

SHAPE = (2, 5, 6, 7)


class Modules(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2, 4, (3, 1, 3), (2, 1, 1), (1, 0, 2), (1, 1, 2))
        self.norm, self.pool = nn.BatchNorm3d(4), nn.MaxPool3d(2, (1, 2, 2), 1, ceil_mode=True)
        self.same, self.mean = nn.Conv3d(4, 4, 3, padding="same", groups=2), nn.AvgPool3d(2, 1, 1)
        self.largest, self.small = nn.AdaptiveMaxPool3d(3), nn.AdaptiveAvgPool3d((2, None, 1))
        self.head = nn.Linear(4 * 2 * 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.norm(self.conv(x)).relu())
        x = self.small(self.largest(self.mean(self.same(x).relu())))
        return self.head(x.flatten(1))


class Calls(Modules):
    def forward(self, x: Tensor) -> Tensor:
        c = self.conv
        x = F.conv3d(x, c.weight, c.bias, c.stride, padding=c.padding, dilation=c.dilation)
        x = F.max_pool3d(x.relu(), 2, (1, 2, 2), 1, ceil_mode=True)
        x = F.avg_pool3d(F.conv3d(x, self.same.weight, None, 1, "same", groups=2).relu(), 2, 1, 1)
        gate = x.mean((-3, -2, -1), keepdim=True)
        x = F.adaptive_avg_pool3d(F.adaptive_max_pool3d(x, 3), (2, 3, 1)) * gate
        return self.head(x.flatten(1))


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (Modules, SHAPE),
        (Calls, SHAPE),
        pytest.param(lambda: r3d_18(num_classes=3), (3, 4, 16, 16), marks=pytest.mark.exhaustive),
    ],
)
def test_the_gradient_is_autograds(build, shape):
    model, x = seeded(build), random_images(2, *shape)
    graph = trace(model, shape)
    torch.testing.assert_close(graph.forward(x), model(x).detach(), rtol=1e-11, atol=1e-12)
    assert not any(isinstance(node.op, Affine) for node in graph.nodes.values() if build is not Calls)
    point, v = x.clone().requires_grad_(), random_images(2, 1, 3, seed=4)
    (expected,) = torch.autograd.grad(model(point), point, v[:, 0])
    found = RelevanceChain(graph, x, "gradient").down(v, "logits")[:, 0]
    assert float((found - expected).abs().max()) <= 1e-11 * float(expected.abs().max())
    sums = RelevanceChain(graph, x.abs(), "lrp-zplus").down(v.abs(), "logits")
    assert float(sums.min()) >= 0


def test_an_origin_has_two_axes():
    graph = trace(seeded(Modules), SHAPE)
    assert {type(node.op) for node in graph.nodes.values()} >= {Conv3d, MaxPool3d}
    found = places(graph)
    assert found[INPUT] == found["conv"] == found["pool"] == VOLUME
    assert found["head"] == (1, 1)
