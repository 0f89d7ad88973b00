"""ResNet-50 v2, the pre-activation network of He et al. ("Identity mappings", 2016), as in ONNX's model zoo.

A block with input x has `a = relu(bn1(x))`, `y = conv3(relu(bn3(conv2(relu(bn2(conv1(a)))))))` and gives
`y + x`, or `y + downsample(a)` where it is the first of its stage. Sums have no ReLU behind them, so that the
batch norm in front of a block, which also reads a sum, can't be folded into a convolution. The image passes a
batch norm of its own first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

import torch
from torch import Tensor, nn

NAME = "resnet50_v2"
DEPTHS = (3, 4, 6, 3)  # blocks of each stage
WIDTHS = (64, 128, 256, 512)  # channels inside a block; four times as many leave it


class PreactivationBlock(nn.Module):
    """`(N, inputs, H, W)` to `(N, 4 width, H / stride, W / stride)`."""

    def __init__(self, inputs: int, width: int, stride: int, first: bool) -> None:
        super().__init__()
        self.bn1, self.relu1 = nn.BatchNorm2d(inputs), nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn2, self.relu2 = nn.BatchNorm2d(width), nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3, self.relu3 = nn.BatchNorm2d(width), nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.downsample = nn.Conv2d(inputs, 4 * width, 1, stride, bias=False) if first else None

    def forward(self, x: Tensor) -> Tensor:
        a = self.relu1(self.bn1(x))
        y = self.relu2(self.bn2(self.conv1(a)))
        y = self.conv3(self.relu3(self.bn3(self.conv2(y))))
        return y + (x if self.downsample is None else self.downsample(a))


class ResNetV2(nn.Sequential):
    """`(N, 3, H, W)` images to `(N, num_classes)` logits; a part of it to the feature map where it ends.

    num_classes: of the dense layer.
    stages: how many; without all four, or with `head=False`, the network is a trunk.
    depths, widths: blocks of each stage, and channels inside them (ResNet-50's).
    stem: channels of the first convolution.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        *,
        stages: int = 4,
        head: bool = True,
        depths: tuple[int, ...] = DEPTHS,
        widths: tuple[int, ...] = WIDTHS,
        stem: int = 64,
    ) -> None:
        parts: list[tuple[str, nn.Module]] = [
            ("bn0", nn.BatchNorm2d(3)),
            ("conv1", nn.Conv2d(3, stem, 7, 2, 3, bias=False)),
            ("bn1", nn.BatchNorm2d(stem)),
            ("relu", nn.ReLU()),
            ("pool", nn.MaxPool2d(3, 2, 1)),
        ]
        channels = stem
        for stage, (depth, width) in enumerate(zip(depths[:stages], widths, strict=False), start=1):
            stride, blocks = 1 if stage == 1 else 2, []
            for i in range(depth):
                blocks.append(PreactivationBlock(channels, width, stride if i == 0 else 1, i == 0))
                channels = 4 * width
            parts.append((f"layer{stage}", nn.Sequential(*blocks)))
        if head and stages == len(depths):
            parts += [("bn2", nn.BatchNorm2d(channels)), ("relu2", nn.ReLU())]
            parts += [("mean", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
            parts.append(("fc", nn.Linear(channels, num_classes)))
        super().__init__(OrderedDict(parts))


def stages_in(names: Collection[str]) -> int | None:
    """How many stages of ResNet-50 v2 have all their parameters among these names, from the image upwards.

    None where there are none, and where the whole network is there.
    """
    with torch.device("meta"):
        whole, trunks = ResNetV2(), [ResNetV2(stages=n, head=False) for n in (4, 3, 2, 1)]
    if _all_in(whole, names):
        return None
    return next((n for n, trunk in zip((4, 3, 2, 1), trunks, strict=True) if _all_in(trunk, names)), None)


def _all_in(model: nn.Module, names: Collection[str]) -> bool:
    return all(name in names for name, _ in model.named_parameters())
