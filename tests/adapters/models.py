"""Networks that both zennit and we run."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from tests.networks.toys import random_images, seeded

pytest.importorskip("zennit.layer", reason="zennit is not installed")
from zennit.layer import Sum  # noqa: TID253


class Block(nn.Module):
    """A residual block whose sum has nonnegative terms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.norm_a = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.b, self.norm_b = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.sum = Sum()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm_a(self.a(x)))
        return self.add(x, self.relu(self.norm_b(self.b(y))))

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class BlockForZennit(Block):
    """The same with a module for the sum, which is what zennit can hook."""

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return self.sum(torch.stack([x, y], -1))


def residual(block: Callable[[int], nn.Module]) -> nn.Module:
    stem = [nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)]
    return nn.Sequential(
        *stem, block(8), nn.AvgPool2d(2), block(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6)
    )


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    for into, out in ((3, 8), (8, 8), (8, 12)):
        layers += [nn.Conv2d(into, out, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 6))


def vgg11_bn() -> nn.Module:
    model = models.vgg11_bn(weights=None, init_weights=False)
    model.classifier = nn.Sequential(nn.Linear(512 * 49, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 10))
    return model


# name: (the network, the same for zennit, image side)
NETWORKS = {
    "small vgg": (vgg, vgg, 32),
    "small resnet": (lambda: residual(Block), lambda: residual(BlockForZennit), 16),
    "squeezenet1_1": (models.squeezenet1_1, models.squeezenet1_1, 64),
    "vgg11_bn": (vgg11_bn, vgg11_bn, 64),
    "resnet18": (models.resnet18, models.resnet18, 64),
}


@lru_cache(maxsize=1)
def network(name: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """The network, the same for zennit with the same parameters, and images."""
    *builds, side = NETWORKS[name]
    ours, theirs = (seeded(build) for build in builds)
    for model in (ours, theirs):
        generator = torch.Generator().manual_seed(5)
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                module.bias.data.normal_(0, 0.1, generator=generator)
    return ours, theirs, random_images(2, 3, side, side)
